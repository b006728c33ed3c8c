//! What becomes of the server and of commands when standard error or standard output is closed, full or
//! not read.

use std::fs::{self, File};
use std::io::{Write, pipe};
use std::process::{Command, Stdio};
use std::time::Duration;

use larder_tests::{Client, Larder, TOKEN, program};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// What a pipe holds.
const PIPE_BYTES: usize = 64 << 10;
/// How often it is looked whether something has come.
const LOOK: Duration = Duration::from_millis(2);

/// All workers answer, and what is written is on disk.
async fn assert_serves(client: &Client) {
    for _ in 0..40 {
        assert_eq!(client.get("/livez").await.status, 200);
    }
    let set = client.post("/api/v1.kv.set", &json!({"key": "k", "value": "v"})).await;
    assert_eq!(set.status, 200);
}

/// The events of a log in JSON with these words in their message.
fn events(log: &str, words: &str) -> Vec<Value> {
    let event = |line: &str| serde_json::from_str::<Value>(line).expect(line);
    let said = |event: &Value| event["message"].as_str().unwrap_or_default().contains(words);
    log.lines().map(event).filter(said).collect()
}

#[test]
fn a_server_that_cannot_start_ends_although_nobody_reads_why() {
    let (unread, mut full) = pipe().unwrap();
    full.write_all(&[b'\n'; PIPE_BYTES]).unwrap();
    let mut command = Command::new(program());
    command.args(["serve", "--calls-max", "0"]).stdin(Stdio::null()).stderr(full);
    assert_eq!(command.status().unwrap().code(), Some(1));
    drop(unread);
}

#[tokio::test]
async fn a_server_whose_standard_output_cannot_be_written_serves_and_says_where() {
    let (unread, mut full) = pipe().unwrap();
    full.write_all(&[b'\n'; PIPE_BYTES]).unwrap();
    let (reader, unheard) = pipe().unwrap();
    drop(reader);
    let device = File::options().write(true).open("/dev/full").unwrap();
    for out in [Stdio::from(device), Stdio::from(unheard), Stdio::from(full)] {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut child = Command::new(program())
            .args(["serve", "--data", "data", "--listen", "127.0.0.1:0"])
            .env_clear()
            .env("LARDER_ADMIN_TOKEN", TOKEN)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let address = loop {
            assert!(child.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&log).unwrap());
            let log = fs::read_to_string(&log).unwrap();
            // The last line may not be whole yet.
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let told = events(whole, "standard output could not be told");
            if let Some(event) = told.first() {
                break event["address"].as_str().unwrap().parse().unwrap();
            }
            tokio::time::sleep(LOOK).await;
        };
        assert_serves(&Client::new(address)).await;
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    drop(unread);
}

#[tokio::test]
async fn commands_do_their_work_when_nobody_hears_what_they_say_of_it() {
    let larder = Larder::start();
    assert_serves(&Client::new(larder.address())).await;
    for command in ["export", "token list", "token create a --role read"] {
        let script = format!("exec {:?} {command} --data data 2>/dev/full", program());
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &script]).current_dir(larder.dir()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert_eq!(output.stdout.is_empty(), command == "token list", "{command}");
    }
}
