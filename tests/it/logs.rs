//! The log and whoever reads it, or does not: what becomes of requests and shutdowns when standard error
//! or standard output is closed, full or not read; what is told of lines that were lost; what a filter
//! lets through.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write, pipe};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use larder_tests::{Client, Larder, Metrics, Options, TOKEN, guest_file, program};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const DROPPED: &str = "larder_log_lines_dropped_total";
/// Calls that each print as much as a call may: together more than a pipe and the queue hold.
const LOUD_CALLS: usize = 32;
/// What a pipe holds.
const PIPE_BYTES: usize = 64 << 10;
/// How often it is looked whether something has come.
const LOOK: Duration = Duration::from_millis(2);

/// A configuration with the test guest, for everybody, at `/test`.
fn open_guest() -> String {
    let component = guest_file("larder_test_guest");
    format!("[[mount]]\nprefix = '/test'\ncomponent = {component:?}\nauth = 'none'\n")
}

/// A server with that guest whose standard error goes to `file`.
fn logging_to(dir: &Path, file: &str) -> Larder {
    let script = format!("exec \"$0\" \"$@\" 2>{file}");
    let wrapper = vec!["sh".to_owned(), "-c".to_owned(), script];
    Larder::start_in(dir, Options { wrapper, ..Options::config(open_guest()) })
}

/// A named pipe in `dir`, and its end to read from.
fn named_pipe(dir: &Path) -> File {
    let path = dir.join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path).unwrap()
}

/// All that comes through a pipe, until nobody can write to it any more.
async fn read_all(mut pipe: File) -> String {
    let mut read = Vec::new();
    loop {
        match pipe.read_to_end(&mut read) {
            Ok(_) => return String::from_utf8(read).unwrap(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(LOOK).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Has the guest print more than anything holds that nobody reads.
async fn print_much(client: &Client) {
    for _ in 0..LOUD_CALLS {
        assert_eq!(&client.get("/test/log-bomb").await.body[..], b"logged");
    }
}

async fn fail(client: &Client, times: usize) {
    for _ in 0..times {
        assert_eq!(client.get("/test/panic").await.status, 500);
    }
}

async fn make_token(client: &Client, name: &str) {
    let token = json!({"name": name, "role": "read"});
    assert_eq!(client.post("/larder/v1/tokens", &token).await.status, 201);
}

/// All workers answer, and what is written is on disk.
async fn assert_serves(client: &Client) {
    for _ in 0..40 {
        assert_eq!(client.get("/livez").await.status, 200);
    }
    let set = client.post("/api/v1.kv.set", &json!({"key": "k", "value": "v"})).await;
    assert_eq!(set.status, 200);
}

async fn dropped(client: &Client, reason: &str) -> f64 {
    Metrics::of(client).await.sum(DROPPED, &[("reason", reason)])
}

fn terminate(larder: &mut Larder) -> Option<i32> {
    tokio::task::block_in_place(|| larder.terminate()).code()
}

/// The events of a log in JSON with these words in their message.
fn events(log: &str, words: &str) -> Vec<Value> {
    let event = |line: &str| serde_json::from_str::<Value>(line).expect(line);
    let said = |event: &Value| event["message"].as_str().unwrap_or_default().contains(words);
    log.lines().map(event).filter(said).collect()
}

fn sum(events: &[Value], field: &str) -> u64 {
    events.iter().map(|event| event[field].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_neither_requests_nor_the_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let _unread = named_pipe(dir.path());
    let mut larder = logging_to(dir.path(), "pipe");
    let client = Client::new(larder.address());
    print_much(&client).await;
    fail(&client, 335).await;
    for _ in 0..300 {
        make_token(&client, "a").await;
    }
    assert_serves(&client).await;
    assert!(dropped(&client, "queue-full").await > 0.0);
    assert_eq!(terminate(&mut larder), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_read_again_tells_how_many_lines_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let unread = named_pipe(dir.path());
    let mut larder = logging_to(dir.path(), "pipe");
    let client = Client::new(larder.address());
    print_much(&client).await;
    // What the server itself has to say finds room, however much guests print.
    make_token(&client, "late").await;
    let dropped = dropped(&client, "queue-full").await;
    let log = tokio::spawn(read_all(unread));
    assert_eq!(terminate(&mut larder), Some(0));
    let log = log.await.unwrap();
    assert!(dropped > 0.0);
    assert_eq!(sum(&events(&log, "the log lacks lines"), "lines") as f64, dropped);
    assert_eq!(events(&log, "a token was made")[0]["name"], "late");
    assert_eq!(events(&log, "shutting down").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let reader = named_pipe(dir.path());
    let gone = logging_to(dir.path(), "pipe");
    drop(reader);
    let other = tempfile::tempdir().unwrap();
    let full = logging_to(other.path(), "/dev/full");
    for mut larder in [gone, full] {
        let client = Client::new(larder.address());
        make_token(&client, "a").await;
        assert_eq!(client.get("/test/log?said").await.status, 200);
        fail(&client, 1).await;
        assert_serves(&client).await;
        while dropped(&client, "unwritable").await == 0.0 {
            tokio::time::sleep(LOOK).await;
        }
        assert_eq!(terminate(&mut larder), Some(0));
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_again_and_again_have_few_lines_and_the_rest_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut larder = Larder::start_in(dir.path(), Options::config(open_guest()));
    let client = Client::new(larder.address());
    fail(&client, 400).await;
    assert_eq!(terminate(&mut larder), Some(0));
    let log = larder.log();
    let lines = events(&log, "a call failed").len() as u64;
    let counted = sum(&events(&log, "more calls failed"), "calls");
    assert!((10..400).contains(&lines), "{lines}");
    assert_eq!(lines + counted, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_one_line_of_a_text_log() {
    let dir = tempfile::tempdir().unwrap();
    let flags = Options::flags(&["--log-format", "text"]).flags;
    let mut larder =
        Larder::start_in(dir.path(), Options { flags, ..Options::config(open_guest()) });
    let client = Client::new(larder.address());
    fail(&client, 1).await;
    assert_eq!(terminate(&mut larder), Some(0));
    let log = larder.log();
    let trap = log.lines().find(|line| line.contains("a call failed")).unwrap();
    assert!(trap.contains("wasm backtrace:\\n"), "{trap}");
    for line in log.lines() {
        assert!(line.starts_with("20") && !line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn a_filter_that_would_turn_the_log_off_by_a_slip_is_refused() {
    for (filter, why) in [
        ("warning", "log = \"warning\": \"warning\" is no level"),
        ("inf", "\"inf\" is no level"),
        ("", "log = \"\": it is empty"),
        ("info,larder::gateway", "\"larder::gateway\" is no level"),
    ] {
        let said = Larder::refused(Options::flags(&["--log", filter]));
        assert!(said.contains(why), "{said}");
        assert!(said.contains("error, warn, info, debug, trace or off"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_for_a_part_of_the_program_lets_all_errors_through() {
    let dir = tempfile::tempdir().unwrap();
    let flags = Options::flags(&["--log", "elsewhere=debug"]).flags;
    let mut larder =
        Larder::start_in(dir.path(), Options { flags, ..Options::config(open_guest()) });
    fail(&Client::new(larder.address()), 1).await;
    assert_eq!(terminate(&mut larder), Some(0));
    assert_eq!(events(&larder.log(), "a call failed").len(), 1);
    assert_eq!(events(&larder.log(), "shutting down").len(), 0);
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
