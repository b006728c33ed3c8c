//! Who may use the host's own endpoints. Knows no endpoint.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use crate::auth::Authenticator;
use crate::auth::access::{Caller, Role};
use crate::gateway::errors::HostError;

/// Who may read the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Nobody: the path is not there.
    Off,
    /// Administrators.
    Token,
    /// Everybody who reaches the port.
    Open,
}

impl Exposure {
    /// What fits a port at this address, when metrics are `on`: without a token only for those who are
    /// on this machine already.
    #[must_use]
    pub fn at(address: IpAddr, on: bool) -> Self {
        match (on, address.to_canonical().is_loopback()) {
            (false, _) => Self::Off,
            (true, false) => Self::Token,
            (true, true) => Self::Open,
        }
    }
}

/// The caller's name, if the caller is an administrator.
pub fn admit(authenticator: &Authenticator, headers: &HeaderMap) -> Result<Arc<str>, HostError> {
    match authenticator.judge(headers) {
        Caller::Principal(principal) if principal.scope.role == Role::Admin => {
            Ok(Arc::clone(&principal.name))
        }
        Caller::Principal(_) => Err(HostError::not_admin()),
        caller => Err(HostError::unauthorized(&caller)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_open_to_this_machine_alone() {
        let exposed = |address: &str| Exposure::at(address.parse().unwrap(), true);
        for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(exposed(address), Exposure::Open, "{address}");
        }
        for address in ["0.0.0.0", "::", "192.168.0.1", "::ffff:10.0.0.1", "fe80::1"] {
            assert_eq!(exposed(address), Exposure::Token, "{address}");
        }
        assert_eq!(Exposure::at(IpAddr::from([127, 0, 0, 1]), false), Exposure::Off);
    }
}
