//! Servers that may take less than the machine has: of memory, of address space, of a file's length; and
//! ones without `/proc`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use larder_tests::{Client, Larder, Metrics, Options, TOKEN, guest_file, in_group};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const GROUP_BYTES: u64 = 256 << 20;

/// Commands of a shell that the server's process runs first.
fn after(commands: &str) -> Vec<String> {
    let exec = format!("{commands} && exec \"$@\"");
    ["sh", "-c", &exec, "sh"].map(str::to_owned).into()
}

/// A control group with a limit of memory, where whoever runs this may make some.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Option<Self> {
        let name = format!("larder-test-{name}-{}", std::process::id());
        let kinds = [("memory", "memory.limit_in_bytes"), ("", "memory.max")];
        kinds.into_iter().find_map(|(tree, limit)| {
            let group = Self(["/sys/fs/cgroup", tree, &name].iter().collect());
            std::fs::create_dir(&group.0).ok()?;
            std::fs::write(group.0.join(limit), GROUP_BYTES.to_string()).ok()?;
            Some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is there for as long as its processes are.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// A server in a control group, with a value of 7 MB; None, and said so, where there can be no such group.
async fn in_small_group(name: &str) -> Option<(Group, Larder)> {
    let Some(group) = Group::new(name) else {
        eprintln!("not tried: no control group can be made here");
        return None;
    };
    let wrapper = in_group(&group.0);
    let larder = Larder::start_with(Options { wrapper, ..Options::default() });
    let set = json!({"key": "k", "value": "v".repeat(7_000_000)});
    assert_eq!(Client::new(larder.address()).post(SET, &set).await.status, 200);
    Some((group, larder))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_a_small_control_group_bears_many_who_take_no_answer() {
    const CLIENTS: usize = 40;
    let Some((group, mut larder)) = in_small_group("readers").await else { return };
    let client = Client::new(larder.address());
    let get = format!(
        "POST {GET} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\naccept: application/msgpack\r\n\
         content-type: application/json\r\ncontent-length: 11\r\n\r\n{{\"key\":\"k\"}}"
    );
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(larder.address()).await.unwrap();
        stream.write_all(get.as_bytes()).await.unwrap();
        stream.readable().await.unwrap();
        streams.push(stream);
    }
    // Most of them were refused: together they take more than the group may.
    let metrics = Metrics::of(&client).await;
    let refused = metrics.sum("larder_http_refused_total", &[("reason", "answer-room")]);
    assert!(refused > 30.0 && refused < 40.0, "{refused}");
    assert!(larder.log().contains(&format!("\"memory_bytes\":{GROUP_BYTES}")), "{}", larder.log());
    drop(streams);
    assert!(tokio::task::block_in_place(|| larder.terminate()).success());
    drop(larder);
    drop(group);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_a_small_control_group_bears_many_who_want_large_values_in_json() {
    const CLIENTS: usize = 16;
    let Some((group, mut larder)) = in_small_group("json").await else { return };
    let client = Client::new(larder.address());
    for _ in 0..3 {
        let gets: Vec<_> = (0..CLIENTS)
            .map(|_| tokio::spawn(async move { client.post(GET, &json!({"key": "k"})).await }))
            .collect();
        let mut answered = 0;
        for get in gets {
            let reply = get.await.expect("an answer");
            match reply.status {
                200 => answered += 1,
                status => assert_eq!((status, reply.code().as_str()), (503, "unavailable")),
            }
        }
        // One call always finds room, and together they never take more than there is.
        assert!(answered >= 1);
    }
    assert_eq!(client.post(GET, &json!({"key": "other"})).await.status, 200);
    assert!(tokio::task::block_in_place(|| larder.terminate()).success());
    drop(larder);
    drop(group);
}

#[test]
fn address_space_that_cannot_be_reserved_is_told_with_the_settings_that_decide() {
    // In units of 1 KiB: 800 GB, less than either needs by default.
    let limited = |config: &str| {
        let wrapper = after("ulimit -v 800000000");
        Larder::refused(Options { wrapper, ..Options::config(config) })
    };
    let said = limited("");
    assert!(said.contains("cannot map") && said.contains("storage_bytes_max"), "{said}");
    let said = limited("storage_bytes_max = 1000000000");
    assert!(said.contains("guests' memory") && said.contains("calls_max"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_grow_is_a_full_store_until_it_may() {
    let limit = "--fsize=30000000:unlimited".to_owned();
    let wrapper = vec!["prlimit".to_owned(), limit];
    let mut larder = Larder::start_with(Options { wrapper, ..Options::default() });
    let client = Client::new(larder.address());
    let value = "v".repeat(3_000_000);
    let mut number = 0;
    let set = async |number: u32| {
        client.post(SET, &json!({"key": number.to_string(), "value": value})).await.status
    };
    let refused = loop {
        match set(number).await {
            200 => number += 1,
            status => break status,
        }
        assert!(number < 100, "the file has no limit");
    };
    assert_eq!((refused, client.get("/readyz").await.status), (507, 503));
    assert_eq!(client.post(GET, &json!({"key": "0"})).await.status, 200);
    assert_eq!(client.post("/api/v1.kv.delete", &json!({"key": "0"})).await.status, 200);
    let unlimited = Rlimit { current: None, maximum: None };
    let pid = Pid::from_raw(larder.id().cast_signed());
    prlimit(pid, Resource::Fsize, unlimited).unwrap();
    let ready = async {
        while client.get("/readyz").await.status != 200 {
            sleep(LOOK_INTERVAL).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("ready again");
    assert_eq!(set(number).await, 200);
    assert!(tokio::task::block_in_place(|| larder.terminate()).success());
}

#[tokio::test]
async fn a_server_without_proc_serves_and_compiles_guests() {
    let hide = "mount -t tmpfs none /proc";
    let may = Command::new("unshare").args(["-rm", "sh", "-c", hide]).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("not tried: /proc cannot be hidden here");
        return;
    }
    let mut wrapper = vec!["unshare".to_owned(), "-rm".to_owned()];
    wrapper.extend(after(hide));
    let component = guest_file("larder_test_guest");
    let config = format!("[[mount]]\nprefix = '/test'\ncomponent = {component:?}\nauth = 'none'\n");
    let larder = Larder::start_with(Options { wrapper, ..Options::config(config) });
    let client = Client::new(larder.address());
    assert_eq!(client.post(SET, &json!({"key": "k", "value": "v"})).await.status, 200);
    assert_eq!(client.get("/readyz").await.status, 200);
}
