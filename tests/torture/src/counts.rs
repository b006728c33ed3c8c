//! What a namespace is said to hold is what it holds, after any history and any crash: several clients do
//! everything that changes keys and namespaces, the process is killed in between, and all is counted anew.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use larder::storage::DEFAULT_NAMESPACE;
use larder::storage::lmdb::layout::NamespaceRow;
use larder::tools::data;
use larder_tests::{Larder, Options};
use serde_json::{Value, json};

use crate::client::Connection;
use crate::disk::scratch;
use crate::rounds::{Tally, Trial};
use crate::rows;

const CLIENTS: usize = 6;
/// Few, so that clients meet.
const NAMESPACES: [&str; 4] = [DEFAULT_NAMESPACE, "a", "b", "c"];
const KEYS: usize = 60;
/// Kills in a round.
const CYCLES: usize = 8;
/// Longest time from the first request to the kill.
const WRITING_MS_MAX: u64 = 150;
const VALUE_BYTES_MAX: usize = 3000;

/// The trial.
pub struct Counts;

impl Trial for Counts {
    fn name(&self) -> &'static str {
        "counts"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("kills", 1000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let mut rng = Rng::with_seed(seed);
        let dir = scratch();
        let mut larder = Larder::start_in(dir.path(), Options::default());
        for _ in 0..CYCLES {
            let writing = Duration::from_micros(rng.u64(..WRITING_MS_MAX * 1000));
            write(&mut larder, writing, &mut rng, tally)?;
            tally.add("kills", 1);
            judge(&larder.data(), tally)?;
            larder.start_again();
        }
        Ok(())
    }
}

/// Has clients write until the server is killed, and counts once before, beside it.
fn write(
    larder: &mut Larder,
    writing: Duration,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let address = larder.address();
    let ends = &AtomicBool::new(false);
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| rng.u64(..)).collect();
    let (beside, clients) = thread::scope(|scope| {
        let clients: Vec<_> = seeds
            .into_iter()
            .map(|seed| scope.spawn(move || client(address, Rng::with_seed(seed), ends)))
            .collect();
        thread::sleep(writing);
        let beside = judge(&larder.data(), tally);
        ends.store(true, Ordering::Release);
        larder.kill();
        let ended = clients.into_iter().map(|client| client.join().expect("a client ends"));
        (beside, ended.collect::<Vec<_>>())
    });
    beside.map_err(|fault| format!("beside the server: {fault}"))?;
    for client in clients {
        tally.merge(&client?);
    }
    Ok(())
}

/// Sends requests until there is no server any more.
fn client(address: SocketAddr, mut rng: Rng, ends: &AtomicBool) -> Result<Tally, String> {
    let mut connection = Connection::new(address);
    let mut tally = Tally::default();
    loop {
        let (path, body) = request(&mut rng);
        match connection.post(&format!("/api/{path}"), body.to_string().as_bytes()) {
            Ok(answer) if answer.status < 500 || answer.status == 507 => {
                tally.add(&format!("{path} {}", answer.status), 1);
            }
            Ok(answer) => {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                return Err(format!("{path} was answered {}: {said}", answer.status));
            }
            Err(_) if ends.load(Ordering::Acquire) => return Ok(tally),
            Err(lost) => return Err(format!("{path}: {lost:?}")),
        }
    }
}

/// Anything that changes keys or namespaces.
fn request(rng: &mut Rng) -> (&'static str, Value) {
    let namespace = NAMESPACES[rng.usize(..NAMESPACES.len())];
    let (path, mut body) = match rng.u8(..40) {
        0..=2 => {
            let quota = |rng: &mut Rng, most: u64| match rng.u8(..3) {
                0 => json!(rng.u64(..most)),
                _ => Value::Null,
            };
            let (keys_max, bytes_max) = (quota(rng, 2 * KEYS as u64), quota(rng, 100_000));
            let limits = json!({"name": named(namespace, rng), "keys_max": keys_max, "bytes_max": bytes_max});
            return ("v1.kv.namespace.configure", limits);
        }
        3 => return ("v1.kv.namespace.delete", json!({"name": named(namespace, rng)})),
        4..=12 => {
            let operations: Vec<Value> = (0..rng.usize(1..9)).map(|_| operation(rng)).collect();
            ("v1.kv.batch", json!({"checks": checks(rng), "operations": operations}))
        }
        _ => {
            let mut body = operation(rng);
            let op = body.as_object_mut().and_then(|fields| fields.remove("op"));
            let path = match op.as_ref().and_then(Value::as_str) {
                Some("set") => "v1.kv.set",
                Some("delete") => "v1.kv.delete",
                Some("touch") => "v1.kv.touch",
                _ => "v1.kv.add",
            };
            (path, body)
        }
    };
    if namespace != DEFAULT_NAMESPACE {
        body["namespace"] = namespace.into();
    }
    (path, body)
}

/// A namespace that may be made and deleted, as `default` may not.
fn named<'a>(namespace: &'a str, rng: &mut Rng) -> &'a str {
    if namespace == DEFAULT_NAMESPACE {
        NAMESPACES[rng.usize(1..NAMESPACES.len())]
    } else {
        namespace
    }
}

/// In some batches a check that may not hold.
fn checks(rng: &mut Rng) -> Vec<Value> {
    let some = usize::from(rng.u8(..4) == 0);
    (0..some).map(|_| json!({"key": key(rng), "version": 0})).collect()
}

/// An operation as batches take it.
fn operation(rng: &mut Rng) -> Value {
    let key = key(rng);
    match rng.u8(..10) {
        0..=4 => {
            json!({"op": "set", "key": key, "value": "v".repeat(length(rng)), "ttl_ms": ttl(rng)})
        }
        5 | 6 => json!({"op": "delete", "key": key}),
        7 => json!({"op": "touch", "key": key, "ttl_ms": ttl(rng)}),
        _ => {
            json!({"op": "add", "key": format!("n{key}"), "delta": rng.i64(-1000..1000), "ttl_ms": ttl(rng)})
        }
    }
}

fn key(rng: &mut Rng) -> String {
    let number = rng.usize(..KEYS);
    format!("{number}{}", "k".repeat(number))
}

fn length(rng: &mut Rng) -> usize {
    if rng.bool() { rng.usize(..100) } else { rng.usize(..VALUE_BYTES_MAX) }
}

/// Some entries expire while they are written.
fn ttl(rng: &mut Rng) -> Option<u64> {
    (rng.u8(..4) == 0).then(|| rng.u64(1..100))
}

/// Counts everything anew.
///
/// # Errors
/// What differs from what the rows of the namespaces tell, or else is wrong.
pub fn judge(data: &Path, tally: &mut Tally) -> Result<(), String> {
    let findings = data::check(data).map_err(|error| error.to_string())?;
    if let Some(fault) = findings.faults.told().first() {
        return Err(fault.clone());
    }
    tally.add("counts", 1);
    tally.add("counts with entries", u64::from(findings.entries > 0));
    tally.add("counts with what was deleted", u64::from(findings.emptying.keys > 0));
    Ok(())
}

/// Has the row of `default` tell a key more, or a byte more, than there are: for the control.
///
/// # Errors
/// LMDB's.
pub fn drift(data: &Path, keys: u64, bytes: u64) -> Result<(), heed::Error> {
    let name = DEFAULT_NAMESPACE.as_bytes();
    rows::change(data, "namespaces", |tree, txn| {
        let stored = tree.get(txn, name)?.unwrap_or_default();
        let row = NamespaceRow::decode(name, stored);
        let mut row = row.map_err(|_| heed::Error::Mdb(heed::MdbError::Corrupted))?;
        row.counts.keys += keys;
        row.counts.bytes += bytes;
        tree.put(txn, name, &row.encode(name))
    })
}
