//! Servers that may take less than the machine has: of memory, of address space.

use std::path::PathBuf;

use larder_tests::{Client, Larder, Metrics, Options, TOKEN};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";
const GROUP_BYTES: u64 = 256 << 20;

/// Commands of a shell that the server's process runs first.
fn after(commands: &str) -> Vec<String> {
    let exec = format!("{commands} && exec \"$@\"");
    ["sh", "-c", &exec, "sh"].map(str::to_owned).into()
}

/// A control group with a limit of memory, where whoever runs this may make some.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let name = format!("larder-test-{}", std::process::id());
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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_a_small_control_group_bears_many_who_take_no_answer() {
    const CLIENTS: usize = 40;
    let Some(group) = Group::new() else {
        eprintln!("not tried: no control group can be made here");
        return;
    };
    let wrapper = after(&format!("echo $$ > {}/cgroup.procs", group.0.display()));
    let mut larder = Larder::start_with(Options { wrapper, ..Options::default() });
    let client = Client::new(larder.address());
    let set = json!({"key": "k", "value": "v".repeat(7_000_000)});
    assert_eq!(client.post(SET, &set).await.status, 200);
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

