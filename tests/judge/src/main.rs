//! Reads histories that `larder-torture --history DIR` wrote and has the checker of todc-utils judge each: Wing
//! and Gong's algorithm with Lowe's memory, after Horn and Kroening, which its authors try on Jepsen's histories
//! of etcd. Ends with 1 when one of them is not linearizable, with 2 when one cannot be read.
//!
//! An operation whose outcome is not known ends behind all others here: then it is as good as never done. That
//! one cut short by a kill cannot come later than the kill is not judged here, nor are the versions of
//! several keys against each other.

mod edn;
mod model;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};

use edn::Edn;
use model::{Done, Key};

fn main() -> ExitCode {
    let folder = PathBuf::from(env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    let files = match files(&folder) {
        Ok(files) if !files.is_empty() => files,
        Ok(_) => return failed(format!("{} holds no .edn", folder.display())),
        Err(error) => return failed(format!("{}: {error}", folder.display())),
    };
    let (mut wrong, mut operations) = (0, 0);
    for file in &files {
        let history =
            match fs::read_to_string(file).map_err(|e| e.to_string()).and_then(|t| read(&t)) {
                Ok(history) => history,
                Err(error) => return failed(format!("{}: {error}", file.display())),
            };
        operations += history.len() / 2;
        if !WGLChecker::<Key>::is_linearizable(History::from_actions(history)) {
            println!("{}: not linearizable", file.display());
            wrong += 1;
        }
    }
    println!("{} histories of {operations} operations, {wrong} not linearizable", files.len());
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failed(what: String) -> ExitCode {
    eprintln!("larder-judge: {what}");
    ExitCode::from(2)
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "edn") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

type Actions = Vec<(usize, Action<Done>)>;

/// A history, from its lines.
fn read(text: &str) -> Result<Actions, String> {
    let (mut actions, mut unknown) = (Actions::new(), Actions::new());
    let mut running: HashMap<usize, Done> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let at = |what: &str| format!("line {number}: {what}");
        let map = Edn::read(line).map_err(|error| at(&error))?;
        let process = map.get("process").number().and_then(|process| process.try_into().ok());
        let process: usize = process.ok_or_else(|| at("no process"))?;
        let function = map.get("f").text().unwrap_or_default().to_owned();
        let (value, now) = (map.get("value").clone(), map.get("now").number().unwrap_or(0));
        match map.get("type").text() {
            Some("invoke") => {
                let done = Done { function, asked: value, answered: None, now };
                actions.push((process, Action::Call(done.clone())));
                running.insert(process, done);
            }
            Some(kind @ ("ok" | "info")) => {
                let begun = running.remove(&process).ok_or_else(|| at("it was never invoked"))?;
                let answered = (kind == "ok").then_some(value);
                let to = if kind == "ok" { &mut actions } else { &mut unknown };
                to.push((process, Action::Response(Done { answered, ..begun })));
            }
            _ => return Err(at("no type")),
        }
    }
    if running.is_empty() {
        actions.append(&mut unknown);
        Ok(actions)
    } else {
        Err("operations that have no end".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(lines: &str) -> bool {
        WGLChecker::<Key>::is_linearizable(History::from_actions(read(lines).unwrap()))
    }

    const SET: &str = "{:process 0, :type :invoke, :f :set, :value {:value \"a\" :ttl 5}, :now 1}
        {:process 0, :type :ok, :f :set, :value {:version 3}, :now 1}\n";

    fn get(now: i64, found: &str) -> String {
        format!(
            "{SET}{{:process 1, :type :invoke, :f :get, :value nil, :now {now}}}
            {{:process 1, :type :ok, :f :get, :value {found}, :now {now}}}"
        )
    }

    #[test]
    fn reads_find_what_was_written_until_it_expires() {
        assert!(judged(&get(5, "{:value \"a\" :version 3 :expiry 6}")));
        assert!(judged(&get(6, "nil")));
        assert!(!judged(&get(5, "nil")));
        assert!(!judged(&get(6, "{:value \"a\" :version 3 :expiry 6}")));
        assert!(!judged(&get(5, "{:value \"a\" :version 4 :expiry 6}")));
    }

    #[test]
    fn what_is_not_known_may_have_been_done_or_not() {
        let unknown = SET.replace(":ok", ":info");
        assert!(judged(&unknown));
        assert!(judged(&get(5, "nil").replacen(":ok", ":info", 1)));
        let found = get(5, "{:value \"a\" :version 9 :expiry 6}");
        assert!(judged(&found.replacen(":ok", ":info", 1)));
        assert!(!judged(&found));
    }
}
