//! The address to listen on, from its text. Looks no name up: a name may stand for several addresses, and
//! for others at the next start.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

/// The port by default, and in what is suggested where none was given.
const PORT: u16 = 8624;

/// An IP address and a port. `localhost` is the one name that stands for an address by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress(pub SocketAddr);

impl ListenAddress {
    /// This machine alone, at the usual port.
    pub const LOCAL: Self = Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT));
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(given: String) -> Result<Self, String> {
        given.parse()
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        if let Ok(address) = given.parse() {
            return Ok(Self(address));
        }
        if let Ok(ip) = given.parse::<IpAddr>() {
            let whole = SocketAddr::new(ip, 0).to_string();
            let address = whole.trim_end_matches('0');
            return Err(format!("the port is missing; write {address}{PORT}"));
        }
        let usual = PORT.to_string();
        let (host, port) = match given.rsplit_once(':') {
            Some(parts) => parts,
            None if given.bytes().all(|byte| byte.is_ascii_digit()) => ("", given),
            None => (given, usual.as_str()),
        };
        let Ok(number) = port.parse::<u16>() else {
            return Err(format!(
                "the port is a number from 0 to 65535, after an IP address, as in 127.0.0.1:{PORT}"
            ));
        };
        match host {
            "" | "*" => Err(format!(
                "the address is missing; write 127.0.0.1:{port} for this machine alone, or 0.0.0.0:{port} \
                 or [::]:{port} for all that reach it"
            )),
            host if host.eq_ignore_ascii_case("localhost") && given.contains(':') => {
                Ok(Self((Ipv4Addr::LOCALHOST, number).into()))
            }
            _ => Err(format!(
                "an IP address and a port are needed, such as 127.0.0.1:{port} or [::1]:{port}; names are \
                 not looked up"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &str) -> Result<SocketAddr, String> {
        given.parse().map(|ListenAddress(address)| address)
    }

    #[test]
    fn an_address_is_taken_and_anything_else_is_told_with_what_to_write() {
        for (given, meant) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:0", "[::1]:0"),
            ("localhost:8624", "127.0.0.1:8624"),
            ("LocalHost:1", "127.0.0.1:1"),
        ] {
            assert_eq!(parse(given).unwrap().to_string(), meant);
        }
        for (given, cure) in [
            (":9000", "127.0.0.1:9000 for this machine alone, or 0.0.0.0:9000"),
            ("*:9000", "127.0.0.1:9000"),
            ("9000", "127.0.0.1:9000"),
            ("", "127.0.0.1:8624"),
            ("127.0.0.1", "write 127.0.0.1:8624"),
            ("::1", "write [::1]:8624"),
            ("localhost", "127.0.0.1:8624"),
            ("example.com:80", "127.0.0.1:80 or [::1]:80; names are not looked up"),
            ("127.0.0.1:99999", "from 0 to 65535"),
            ("127.0.0.1:http", "from 0 to 65535"),
            ("http://127.0.0.1:8624", "127.0.0.1:8624"),
        ] {
            let error = parse(given).unwrap_err();
            assert!(error.contains(cure), "{cure:?} in {error}");
        }
    }
}
