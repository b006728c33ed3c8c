//! Time through the whole server, on a driven clock: expiry to the millisecond, sweeps, and clocks
//! that jump, as a client over HTTP sees them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::pending;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use larder::clock::{Clock, DrivenClock, Millis};
use larder::config::{Config, Settings};
use larder::server::Server;
use larder::storage::Storage;

const START: Millis = Millis(1_800_000_000_000);
/// The last instant that the clients can read.
const EXPIRY_MAX: u64 = 253_402_207_200_999;
const ABSENT: &str = r#"{"expiry":null,"value":null,"version":0}"#;

/// A server in this process whose clock the test turns.
struct Bed {
    driver: DrivenClock,
    address: SocketAddr,
    storage: Storage,
    _dir: tempfile::TempDir,
}

impl Bed {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("larder.toml");
        std::fs::write(&file, "admin_token = 'token'\ndata = 'data'\nworkers = 1\n").unwrap();
        let args = Settings { config: Some(file), ..Settings::default() };
        let driver = DrivenClock::at(START);
        let config = Config::resolve(args, []).unwrap();
        let server = Server::open(config, Clock::driven(&driver)).unwrap();
        let storage = server.storage().clone();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(server.serve(listener, pending())).unwrap();
        });
        Self { driver, address, storage, _dir: dir }
    }

    /// Posts JSON; returns status and body.
    fn post(&self, operation: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request = format!(
            "POST /api/v1.kv.{operation} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer token\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    fn set(&self, body: &str) {
        let (status, answer) = self.post("set", body);
        assert_eq!(status, 200, "{answer}");
    }

    fn get(&self) -> String {
        self.post("get", r#"{"key":"k"}"#).1
    }

    fn sweep_all(&self) {
        while self.storage.sweep(100).unwrap() > 0 {}
    }
}

#[test]
fn a_key_is_absent_for_every_operation_from_its_very_millisecond_on() {
    let bed = Bed::start();
    bed.set(r#"{"key":"k","value":"v","ttl_ms":1000}"#);
    bed.driver.advance(999);
    assert_eq!(bed.get(), format!(r#"{{"expiry":{},"value":[118],"version":1}}"#, START.0 + 1000));
    bed.driver.advance(1);
    assert_eq!(bed.get(), ABSENT);
    assert_eq!(bed.post("delete", r#"{"key":"k"}"#).1, r#"{"success":false}"#);
    let update = bed.post("set", r#"{"key":"k","value":"v","behavior":"update"}"#);
    assert!(update.1.contains("key not found"), "{update:?}");
    assert_eq!(bed.post("set", r#"{"key":"k","value":"v","version":1}"#).0, 400);
    bed.set(r#"{"key":"k","value":"v","version":0,"behavior":"insert"}"#);
}

#[test]
fn a_key_set_again_after_it_expired_survives_the_sweep_of_its_old_expiry() {
    let bed = Bed::start();
    bed.set(r#"{"key":"k","value":"old","ttl_ms":1000}"#);
    bed.driver.advance(5000);
    bed.set(r#"{"key":"k","value":"n"}"#);
    bed.sweep_all();
    assert_eq!(bed.get(), r#"{"expiry":null,"value":[110],"version":2}"#);
}

#[test]
fn a_single_expired_key_is_swept() {
    let bed = Bed::start();
    bed.set(r#"{"key":"k","value":"v","ttl_ms":1000}"#);
    assert_eq!(bed.storage.stored_rows(), Ok((1, 1)));
    bed.driver.advance(1000);
    bed.sweep_all();
    assert_eq!(bed.storage.stored_rows(), Ok((0, 0)));
}

#[test]
fn a_ttl_that_ends_after_the_year_9999_is_refused_before_the_namespace_is_looked_up() {
    let bed = Bed::start();
    let longest = EXPIRY_MAX - START.0;
    bed.set(&format!(r#"{{"key":"k","value":"v","ttl_ms":{longest}}}"#));
    assert!(bed.get().contains(&format!(r#""expiry":{EXPIRY_MAX}"#)));
    for ttl in [longest + 1, u64::MAX] {
        for namespace in ["null", r#""never-configured""#] {
            let body =
                format!(r#"{{"key":"other","value":"v","ttl_ms":{ttl},"namespace":{namespace}}}"#);
            let (status, answer) = bed.post("set", &body);
            assert_eq!(status, 422);
            assert!(answer.contains(r#""location":"ttl_ms""#), "{answer}");
        }
    }
    assert_eq!(bed.post("get", r#"{"key":"other"}"#).1, ABSENT);
}

#[test]
fn nothing_comes_back_and_versions_rise_when_the_wall_clock_jumps() {
    let bed = Bed::start();
    bed.set(r#"{"key":"k","value":"v","ttl_ms":1000}"#);
    bed.driver.step_wall_to(Millis(START.0 + 365 * 24 * 3600 * 1000));
    assert_eq!(bed.get(), ABSENT);
    for back in [START, Millis(START.0 - 1_000_000_000), Millis(0)] {
        bed.driver.step_wall_to(back);
        assert_eq!(bed.get(), ABSENT);
    }
    let before = bed.storage.namespace("default").unwrap().updated;
    bed.set(r#"{"key":"k","value":"v","ttl_ms":50}"#);
    assert!(bed.get().contains(r#""version":2"#), "{}", bed.get());
    // Durations stay true while the wall clock is behind.
    bed.driver.advance(49);
    assert_ne!(bed.get(), ABSENT);
    bed.driver.advance(1);
    assert_eq!(bed.get(), ABSENT);
    let configured = bed.post("namespace.configure", r#"{"name":"default"}"#).1;
    assert!(bed.storage.namespace("default").unwrap().updated > before, "{configured}");
}
