//! What part of the server a mount may take: its calls at once, its share of a thread's time, and the
//! priority of the threads that it runs on.

use std::collections::BTreeMap;
use std::fs;

use larder_tests::{BEARER, Client, Larder, Metrics, Options, guest_file, test_guest, text};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_a_mount_s_own_are_503_at_once_and_others_have_theirs() {
    let component = guest_file("larder_test_guest");
    let config = format!(
        "calls_max = 2\ncall_wait_ms_max = 10000\n[[mount]]\nprefix = '/test'\ncomponent = {component:?}\ncall_ms_max = 3000\ncalls_max = 1\nhealth = ['/test/calls']\n"
    );
    let larder = Larder::start_with(Options::config(config));
    let client = Client::new(larder.address());
    let first = tokio::spawn(async move { client.send("GET", "/test/sleep", &[BEARER], "").await });
    larder.until_logged("sleeping", 1).await;
    for _ in 0..10 {
        let refused = client.send("GET", "/test/echo", &[BEARER], "").await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
        assert_eq!(refused.header("retry-after"), Some("1"));
        let reply = client.post("/api/v1.kv.get", &json!({"key": "k"})).await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(text(&client, "/test/calls").await, "1");
    let metrics = Metrics::of(&client).await;
    let refused = |reason| metrics.sum("larder_http_refused_total", &[("reason", reason)]);
    assert_eq!(
        (refused("mount-calls"), refused("call-wait"), refused("call-queue")),
        (10.0, 0.0, 0.0)
    );
    assert!(!first.is_finished());
    assert_eq!(first.await.unwrap().status, 504);
    assert!(text(&client, "/test/echo").await.contains("method"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_hangs_on_its_health_path_is_in_nobody_else_s_way() {
    const HEALTH_CALLS: usize = 16;
    let component = guest_file("larder_test_guest");
    let mount = |name: &str| {
        format!(
            "[[mount]]\nname = '{name}'\nprefix = '/{name}'\ncomponent = {component:?}\nauth = 'none'\nhealth = ['/{name}/sleep', '/{name}/calls']\n"
        )
    };
    let larder = Larder::start_with(Options::config(mount("hangs") + &mount("other")));
    let client = Client::new(larder.address());
    let hanging: Vec<_> = (0..HEALTH_CALLS)
        .map(|_| tokio::spawn(async move { client.get("/hangs/sleep").await.status }))
        .collect();
    larder.until_logged("sleeping", HEALTH_CALLS).await;
    for path in ["/api/v1.health.ping", "/api/v1.health.ready", "/other/calls"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let refused = client.get("/hangs/calls").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(hanging.iter().all(|call| !call.is_finished()));
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}

/// The processor time that endless loops on one worker thread get within their deadline of two
/// seconds, in milliseconds.
async fn loops_use_ms(lines: &str) -> u64 {
    let larder = test_guest(&format!("call_ms_max = 2000\n{lines}"));
    let client = Client::new(larder.address());
    // Whatever is done once is done.
    text(&client, "/test/echo").await;
    let used_ms = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", larder.id())).unwrap();
        let mut fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11);
        let mut ticks = || fields.next().unwrap().parse::<u64>().unwrap();
        10 * (ticks() + ticks())
    };
    let before = used_ms();
    let loops: Vec<_> = (0..4)
        .map(|_| tokio::spawn(async move { client.send("GET", "/test/loop", &[BEARER], "").await }))
        .collect();
    for task in loops {
        assert_eq!(task.await.unwrap().status, 504);
    }
    used_ms() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_gets_no_more_of_a_thread_than_its_share() {
    // An account counts all time that passes while a call runs, so that a busy machine gives less.
    let capped = loops_use_ms("cpu_percent_max = 10").await;
    assert!(capped <= 450, "{capped} ms of 2000");
    let free = loops_use_ms("cpu_percent_max = 100").await;
    assert!(free > 2 * capped.max(100), "{free} ms of 2000, {capped} with a share of 10 %");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_their_share_are_all_answered() {
    let larder = test_guest("cpu_percent_max = 20\ninstance_calls_max = 100");
    let client = Client::new(larder.address());
    let calls: Vec<_> = (0..8)
        .map(|_| tokio::spawn(async move { text(&client, "/test/work?5000000").await }))
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), "2500000");
    }
}

/// The threads of a server that may run guests: name, nice and policy of each, and the nanoseconds
/// that they ran, added up.
fn threads(larder: &Larder) -> BTreeMap<(String, i32, u32), u64> {
    let mut all = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", larder.id())).unwrap() {
        let read = |name| fs::read_to_string(task.as_ref().unwrap().path().join(name)).ok();
        // Threads of other kinds come and go.
        let (Some(name), Some(stat), Some(ran)) = (read("comm"), read("stat"), read("schedstat"))
        else {
            continue;
        };
        let name = name.trim().to_owned();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ran: u64 = ran.split(' ').next().unwrap().parse().unwrap();
        if name.starts_with("larder-worker") || name == "larder-guests" {
            let of_that_kind = (name, fields[16].parse().unwrap(), fields[38].parse().unwrap());
            *all.entry(of_that_kind).or_default() += ran;
        }
    }
    all
}

/// The policies of Linux.
const NORMAL: u32 = 0;
const IDLE: u32 = 5;

#[tokio::test]
async fn guests_run_on_threads_of_the_priority_that_their_mount_asks_for() {
    let component = guest_file("larder_test_guest");
    let mount = |prefix: &str, lines: &str| {
        format!(
            "[[mount]]\nprefix = '/{prefix}'\ncomponent = {component:?}\ncall_ms_max = 300\n{lines}\n"
        )
    };
    let mounts = [
        mount("usual", "priority = 'usual'"),
        mount("low", "priority = 'low'"),
        mount("unsaid", ""),
        mount("idle", "priority = 'idle'"),
    ];
    let larder = Larder::start_with(Options::config(format!("workers = 1\n{}", mounts.concat())));
    let client = Client::new(larder.address());
    for (mount, name, nice, policy) in [
        ("usual", "larder-worker-0", 0, NORMAL),
        ("low", "larder-guests", 5, NORMAL),
        ("unsaid", "larder-guests", 5, NORMAL),
        ("idle", "larder-guests", 0, IDLE),
    ] {
        let before = threads(&larder);
        let reply = client.send("GET", &format!("/{mount}/loop"), &[BEARER], "").await;
        assert_eq!(reply.status, 504, "{reply:?}");
        let after = threads(&larder);
        let ran = |thread: &(String, i32, u32)| after[thread] - before.get(thread).unwrap_or(&0);
        let most = after.keys().max_by_key(|thread| ran(thread)).unwrap();
        assert_eq!(*most, (name.to_owned(), nice, policy), "{mount}: {before:?}, {after:?}");
    }
}

#[tokio::test]
async fn without_guests_of_strangers_there_are_no_threads_for_them() {
    let larder = Larder::start();
    assert_eq!(Client::new(larder.address()).get("/livez").await.status, 200);
    let names: Vec<String> = threads(&larder).into_keys().map(|(name, ..)| name).collect();
    assert!(!names.is_empty() && !names.contains(&"larder-guests".to_owned()), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_caller_goes_away_gives_its_place_back() {
    for priority in ["usual", "low", "idle"] {
        let larder = test_guest(&format!("calls_max = 1\npriority = '{priority}'"));
        let client = Client::new(larder.address());
        let mut first = TcpStream::connect(larder.address()).await.unwrap();
        let (name, token) = BEARER;
        let sleep = format!("GET /test/sleep HTTP/1.1\r\nhost: x\r\n{name}: {token}\r\n\r\n");
        first.write_all(sleep.as_bytes()).await.unwrap();
        larder.until_logged("sleeping", 1).await;
        // It resets the connection: one that only sends no more still waits for its answer.
        first.set_zero_linger().unwrap();
        drop(first);
        // Well before its deadline of ten seconds.
        let began = tokio::time::Instant::now();
        while client.send("GET", "/test/echo", &[BEARER], "").await.status == 503 {
            assert!(began.elapsed().as_secs() < 8, "{priority}: its place is still taken");
        }
        // All that it held, and no more.
        let calls: Vec<_> = (0..4)
            .map(|_| {
                tokio::spawn(
                    async move { client.send("GET", "/test/nap?2000", &[BEARER], "").await },
                )
            })
            .collect();
        let mut refused = 0;
        for call in calls {
            refused += u32::from(call.await.unwrap().status == 503);
        }
        assert_eq!(refused, 3, "{priority}");
    }
}
