//! What the host answers for whoever operates it: `/livez`, `/readyz` and `/metrics`. They need no
//! permit and no guest, so that they answer whatever the guests do. What the page of metrics says is
//! `page`'s.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::Semaphore;

use super::tokens;
use crate::clock::timeout::within;
use crate::clock::{Clock, Millis};
use crate::gateway::errors::HostError;
use crate::gateway::{Gateway, exposition};
use crate::metrics;
use crate::net::body::Reply;
use crate::net::workers::Serving;
use crate::runtime::{GuestMemory, Head};
use crate::storage::{Contents, Storage};

/// Paths of the host's own that are counted apart.
pub const PATHS: [&str; 4] = ["/livez", "/readyz", "/metrics", super::tokens::PATH];
const TEXT: &str = "text/plain; charset=utf-8";
/// How long the exposition waits for figures that stand in the data file; then it goes without.
const PROBE_TIME_MAX: Duration = Duration::from_secs(1);
/// Threads that may read them at once: with a disk that does not answer, each hangs.
const PROBES_MAX: usize = 4;

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

/// What the host knows of itself besides its requests.
pub struct Probe {
    /// The store.
    pub storage: Storage,
    /// Measures requests.
    pub clock: Clock,
    /// When the server was opened.
    pub started: Millis,
    /// Connections, and whether a shutdown has begun.
    pub serving: Arc<Serving>,
    /// Most connections at once.
    pub connections_max: usize,
    /// What guests take of the memory.
    pub guests: Arc<GuestMemory>,
    /// Who may read the metrics.
    pub exposure: Exposure,
    probes: Arc<Semaphore>,
}

impl Probe {
    /// What is known of a server that starts now.
    #[must_use]
    pub fn new(
        storage: Storage,
        clock: Clock,
        serving: Arc<Serving>,
        connections_max: usize,
        guests: Arc<GuestMemory>,
        exposure: Exposure,
    ) -> Self {
        let (started, probes) = (clock.now(), Arc::new(Semaphore::new(PROBES_MAX)));
        Self { storage, clock, started, serving, connections_max, guests, exposure, probes }
    }

    /// Whether requests can be served, writes among them; an error says why not.
    pub fn ready(&self) -> Result<(), String> {
        if self.serving.is_stopping() {
            return Err("the server is shutting down".to_owned());
        }
        self.storage.writable().map_err(|error| error.to_string())
    }

    /// What is in the file, if the disk tells it in time. Asked on another thread, so that this one
    /// serves on.
    async fn contents(&self) -> Option<Contents> {
        let permit = Arc::clone(&self.probes).try_acquire_owned().ok()?;
        let storage = self.storage.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let contents = storage.contents();
            drop(permit);
            contents
        });
        match within(PROBE_TIME_MAX, reading).await?.ok()? {
            Ok(contents) => Some(contents),
            Err(error) => {
                tracing::warn!(%error, "the metrics go without what is in the file");
                None
            }
        }
    }
}

/// Answers a path that no mount holds: one of the host's own, or 404.
pub async fn answer(gateway: &Gateway, head: &Head) -> Result<http::Response<Reply>, HostError> {
    let probe = &gateway.probe;
    Ok(match head.uri.path() {
        "/livez" => read_only(head, || text(StatusCode::OK, TEXT, "ok\n".to_owned())),
        "/readyz" => read_only(head, || match probe.ready() {
            Ok(()) => text(StatusCode::OK, TEXT, "ok\n".to_owned()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n")),
        }),
        "/metrics" if probe.exposure != Exposure::Off => {
            if probe.exposure == Exposure::Token {
                tokens::admit(gateway, &head.headers)?;
            }
            let contents = probe.contents().await;
            let page = || exposition::write(gateway, contents.as_ref());
            read_only(head, || text(StatusCode::OK, metrics::CONTENT_TYPE, page()))
        }
        _ => crate::gateway::empty(StatusCode::NOT_FOUND),
    })
}

/// The answer to GET and HEAD; other methods are told so.
fn read_only(head: &Head, answer: impl FnOnce() -> http::Response<Reply>) -> http::Response<Reply> {
    if head.method == Method::GET || head.method == Method::HEAD {
        return answer();
    }
    let mut response = crate::gateway::empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET,HEAD"));
    response
}

fn text(status: StatusCode, content_type: &'static str, text: String) -> http::Response<Reply> {
    let mut response = http::Response::new(Reply::new(vec![text.into()]));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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
