//! Writes histories down as Jepsen does, for other checkers: a file for each key, in EDN, a map on each line.
//! Knows operations and their outcomes; judges nothing.
//!
//! What was asked is the value of `:invoke`, what was answered that of `:ok`. A write whose condition did not
//! hold is `:ok` with a `:conflict`, since that answer has to be explained too. Whether an operation that ends
//! with `:info` was done is not known; if it was, then before the `:info`, when that has `:over true`: the server
//! was killed then. `:now` is the server's clock, which stands still while anything runs.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use super::checker::Event;
use crate::op::{Behavior, Op, Outcome};

/// Writes one key's history.
///
/// # Errors
/// When it cannot be written.
pub fn write(dir: &Path, key: &str, events: &[Event]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join(format!("{}.edn", key.replace('/', "-"))), lines(key, events))
}

/// Begins and ends in their order. Each operation has a process of its own while it runs; that of one whose
/// outcome is not known is never used again.
fn lines(key: &str, events: &[Event]) -> String {
    let mut moments: Vec<(u64, usize, bool)> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        moments.push((event.begun, at, true));
        moments.push((event.ended.unwrap_or(u64::MAX), at, false));
    }
    moments.sort_unstable();
    let (mut free, mut processes) = (Vec::new(), 0..);
    let mut process_of = vec![0; events.len()];
    let mut text = String::new();
    for (time, at, begins) in moments {
        let event = &events[at];
        let unknown = matches!(event.outcome, Outcome::Unknown(_));
        if begins {
            process_of[at] = free.pop().or_else(|| processes.next()).unwrap_or(0);
        } else if !unknown {
            free.push(process_of[at]);
        }
        let (kind, value) = match (begins, unknown) {
            (true, _) => (":invoke", asked(&event.op)),
            (false, true) => (":info", format!("{{:over {}}}", event.ended.is_some())),
            (false, false) => (":ok", answered(&event.outcome)),
        };
        let function = match event.op {
            Op::Get => ":get",
            Op::Set { .. } => ":set",
            Op::Delete { .. } => ":delete",
        };
        // An operation that never ended has no time; it comes last.
        let time = i64::try_from(time).unwrap_or(-1);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{{:process {}, :type {kind}, :f {function}, :key {key:?}, :value {value}, :time {time}, :now {}}}",
            process_of[at], event.now
        );
    }
    text
}

fn asked(op: &Op) -> String {
    let optional = |name: &str, number: Option<u64>| {
        number.map(|number| format!(" {name} {number}")).unwrap_or_default()
    };
    match op {
        Op::Get => "nil".to_owned(),
        Op::Set { value, ttl_ms, behavior, expected } => {
            let behavior = match behavior {
                Behavior::Upsert => ":upsert",
                Behavior::Insert => ":insert",
                Behavior::Update => ":update",
            };
            let (ttl, expected) = (optional(":ttl", *ttl_ms), optional(":expected", *expected));
            format!("{{:value {value:?} :behavior {behavior}{ttl}{expected}}}")
        }
        Op::Delete { expected: None } => "nil".to_owned(),
        Op::Delete { expected } => format!("{{{}}}", optional(":expected", *expected).trim_start()),
    }
}

fn answered(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Got(Some(entry)) => {
            let expiry =
                entry.expiry.map(|expiry| format!(" :expiry {expiry}")).unwrap_or_default();
            format!("{{:value {:?} :version {}{expiry}}}", entry.value, entry.version)
        }
        Outcome::Written(version) => format!("{{:version {version}}}"),
        Outcome::Deleted(existed) => format!("{{:existed {existed}}}"),
        Outcome::Conflict(newest) => format!("{{:conflict {newest}}}"),
        _ => "nil".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Entry;

    #[test]
    fn a_history_is_written_in_the_order_of_begins_and_ends() {
        let event = |op, outcome, begun, ended| Event { op, outcome, begun, ended, now: 7 };
        let set = Op::Set {
            value: "a".to_owned(),
            ttl_ms: Some(5),
            behavior: Behavior::Insert,
            expected: Some(0),
        };
        let entry = Entry { value: "a".to_owned(), version: 3, expiry: Some(12) };
        let lines = lines(
            "k",
            &[
                event(set, Outcome::Written(3), 1, Some(4)),
                event(Op::Get, Outcome::Got(None), 2, Some(3)),
                event(Op::Delete { expected: Some(3) }, Outcome::Unknown(String::new()), 5, None),
                event(Op::Get, Outcome::Got(Some(entry)), 6, Some(7)),
            ],
        );
        let expected = r#"
{:process 0, :type :invoke, :f :set, :key "k", :value {:value "a" :behavior :insert :ttl 5 :expected 0}, :time 1, :now 7}
{:process 1, :type :invoke, :f :get, :key "k", :value nil, :time 2, :now 7}
{:process 1, :type :ok, :f :get, :key "k", :value nil, :time 3, :now 7}
{:process 0, :type :ok, :f :set, :key "k", :value {:version 3}, :time 4, :now 7}
{:process 0, :type :invoke, :f :delete, :key "k", :value {:expected 3}, :time 5, :now 7}
{:process 1, :type :invoke, :f :get, :key "k", :value nil, :time 6, :now 7}
{:process 1, :type :ok, :f :get, :key "k", :value {:value "a" :version 3 :expiry 12}, :time 7, :now 7}
{:process 0, :type :info, :f :delete, :key "k", :value {:over false}, :time -1, :now 7}
"#;
        assert_eq!(lines, expected.trim_start());
    }
}
