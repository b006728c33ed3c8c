//! Clients that behave, beside those that do not: they write and read back, and are never answered
//! anything else than what is right.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::client::Connection;
use crate::exchange::now;

/// Clients, each on a thread and a connection of its own.
const CLIENTS: usize = 4;
/// So that they are few among many.
const PAUSE: Duration = Duration::from_millis(5);

/// What good clients saw.
#[derive(Debug, Default)]
pub struct Served {
    /// Right answers.
    pub answers: u64,
    /// The slowest of them.
    pub slowest: Duration,
    /// The first thing that was wrong.
    pub wrong: Option<String>,
}

/// Has good clients write and read while `meanwhile` runs.
pub fn beside<T>(address: SocketAddr, token: &str, meanwhile: impl FnOnce() -> T) -> (T, Served) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let over = &over;
                scope.spawn(move || {
                    let mut served = Served::default();
                    let mut connection = Connection::new(address);
                    connection.set_token(token);
                    while !over.load(Ordering::Acquire) && served.wrong.is_none() {
                        served.wrong = turn(&mut connection, number, &mut served).err();
                        thread::sleep(PAUSE);
                    }
                    served
                })
            })
            .collect();
        let done = meanwhile();
        over.store(true, Ordering::Release);
        let mut all = Served::default();
        for client in clients {
            let served = client.join().unwrap_or_else(|_| Served {
                wrong: Some("a client panicked".to_owned()),
                ..Served::default()
            });
            all.answers += served.answers;
            all.slowest = all.slowest.max(served.slowest);
            all.wrong = all.wrong.or(served.wrong);
        }
        (done, all)
    })
}

/// Writes a key and reads it back.
fn turn(connection: &mut Connection, client: usize, served: &mut Served) -> Result<(), String> {
    let value = format!("good-{client}-{}", served.answers);
    let set = format!(r#"{{"key":"good-{client}","value":"{value}"}}"#);
    let get = format!(r#"{{"key":"good-{client}"}}"#);
    for (path, body) in [("/api/v1.kv.set", set), ("/api/v1.kv.get", get)] {
        let begun = now();
        let answer = connection.post(path, body.as_bytes());
        let answer = answer.map_err(|lost| format!("a good client was not answered: {lost:?}"))?;
        served.slowest = served.slowest.max(begun.elapsed());
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        // JSON gives values as arrays of bytes.
        let wanted = value.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(",");
        if answer.status != 200 || path.ends_with("get") && !said.contains(&wanted) {
            let status = answer.status;
            return Err(format!("a good client read {value:?} and was answered {status}: {said}"));
        }
        served.answers += 1;
    }
    Ok(())
}
