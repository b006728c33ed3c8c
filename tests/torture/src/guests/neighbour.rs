//! A well-behaved neighbour of hostile guests: it sets and gets keys of its own through the built-in
//! API all the while, and knows what each must hold.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::client::Connection;

/// Keys that are set and read in turn.
const KEYS: u64 = 10;

/// The neighbour, on a thread of its own.
pub struct Neighbour {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64, String>>,
}

impl Neighbour {
    /// Begins.
    #[must_use]
    pub fn start(address: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || live(address, &seen));
        Self { over, thread }
    }

    /// Whether it has ended by itself, as it does at the first answer that is wrong.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it; how many requests were answered rightly.
    ///
    /// # Errors
    /// The first answer that was wrong, or did not come.
    pub fn stop(self) -> Result<u64, String> {
        self.over.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "its thread panicked".to_owned())?
    }
}

/// The key that turns to a number.
#[must_use]
pub fn key(number: u64) -> String {
    format!("neighbour-{}", number % KEYS)
}

fn live(address: SocketAddr, over: &AtomicBool) -> Result<u64, String> {
    let mut connection = Connection::new(address);
    let mut number = 0;
    loop {
        let set = json!({"key": key(number), "value": number.to_string()});
        let version = &ask(&mut connection, "set", &set)?["version"];
        // Each is read when it is old: everybody else had time to change it.
        if let Some(old) = (number + 1).checked_sub(KEYS) {
            let read = ask(&mut connection, "get", &json!({"key": key(old)}))?;
            let bytes: Vec<u8> = old.to_string().into_bytes();
            if read["value"] != json!(bytes) {
                return Err(format!("{} holds {}, not {old}", key(old), read["value"]));
            }
        }
        if !version.is_u64() {
            return Err(format!("a set was answered {version}"));
        }
        number += 1;
        // Looked at last, so that it has always asked for something.
        if over.load(Ordering::Acquire) {
            return Ok(2 * number);
        }
    }
}

fn ask(connection: &mut Connection, what: &str, body: &Value) -> Result<Value, String> {
    let path = format!("/api/v1.kv.{what}");
    match connection.post(&path, body.to_string().as_bytes()) {
        Ok(answer) if answer.status == 200 => {
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
        }
        other => Err(format!("{what} {body} was answered {other:?}")),
    }
}
