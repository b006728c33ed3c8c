//! The server behind nginx and HAProxy, as their usual configurations have it: every status arrives, bodies
//! of any size, over all their protocols, and nothing is lost while a server is restarted. Skipped by name
//! where a proxy is not installed.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use larder_tests::{Client, Larder, Options, Protocol, TOKEN};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

/// How often it is looked whether a proxy listens, and how many times.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const LOOKS_MAX: u32 = 2000;
const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";
const HTTP11: Protocol = Protocol::Http1(http::Version::HTTP_11);
const HTTP10: Protocol = Protocol::Http1(http::Version::HTTP_10);
/// A server that is told to stop serves on for so long, while it says that it is not ready.
const SHUTDOWN_DELAY: &str = "1500";

/// A proxy that runs, until it is dropped.
struct Proxy {
    child: Child,
    dir: TempDir,
    /// Where it listens, and what is spoken there, with a name.
    fronts: Vec<(&'static str, SocketAddr, Protocol)>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx's workers end with its master only when that is asked to.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, Signal::TERM);
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("error.log"));
            eprintln!("the proxy's log: {}", log.unwrap_or_default());
        }
    }
}

/// Whether a program is there; says that the test is skipped when it is not.
fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("-v").output().is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed");
        assert!(
            std::env::var_os("LARDER_TESTS_NEED_PROXIES").is_none(),
            "{program} should be here"
        );
    }
    found
}

/// Addresses that nobody listens at.
fn free<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

impl Proxy {
    fn start(
        program: &str,
        arguments: &[&str],
        config: &str,
        dir: TempDir,
        fronts: Vec<(&'static str, SocketAddr, Protocol)>,
    ) -> Self {
        fs::write(dir.path().join("config"), config).unwrap();
        let log = fs::File::create(dir.path().join("error.log")).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .arg(dir.path().join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let proxy = Self { child, dir, fronts };
        let mut looks = 0;
        for (name, address, _) in &proxy.fronts {
            while std::net::TcpStream::connect(address).is_err() {
                looks += 1;
                assert!(looks < LOOKS_MAX, "{program} does not listen for {name}");
                std::thread::sleep(LOOK_INTERVAL);
            }
        }
        proxy
    }

    /// nginx before a server: as it is by default, with connections that are kept and bodies that are
    /// handed on as they come, and with HTTP/2 before it.
    fn nginx(server: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [plain, kept, http2] = free();
        let at = dir.path().display();
        let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
            .concat();
        let config = format!(
            "{user} daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;
             events {{ worker_connections 1024; }}
             http {{
               access_log off; client_max_body_size 0; {temporary}
               upstream larder {{ server {server}; keepalive 8; }}
               server {{ listen {plain}; location / {{ proxy_pass http://{server}; }} }}
               server {{ listen {kept}; location / {{
                 proxy_pass http://larder; proxy_http_version 1.1; proxy_set_header connection '';
                 proxy_request_buffering off; }} }}
               server {{ listen {http2} http2; location / {{ proxy_pass http://{server}; }} }}
             }}"
        );
        let fronts = vec![
            ("nginx", plain, HTTP11),
            ("nginx, HTTP/1.0", plain, HTTP10),
            ("nginx, kept and unbuffered", kept, HTTP11),
            ("nginx, HTTP/2", http2, Protocol::Http2),
        ];
        Self::start("nginx", &["-c"], &config, dir, fronts)
    }

    /// HAProxy before servers that it asks whether they are ready, over either protocol.
    fn haproxy(servers: &[SocketAddr]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = free();
        let servers = |protocol: &str| {
            let server = |(number, address): (usize, &SocketAddr)| {
                format!("  server s{number} {address} check inter 200 fall 1 rise 1 {protocol}\n")
            };
            servers.iter().enumerate().map(server).collect::<String>()
        };
        let config = format!(
            "global\n  maxconn 500\n\
             defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  timeout check 10s\n  \
             option httpchk GET /readyz\n  option redispatch\n\
             listen one\n  bind {one}\n{}listen two\n  bind {two}\n{}",
            servers(""),
            servers("proto h2 check-proto h2"),
        );
        let fronts = vec![
            ("HAProxy", one, HTTP11),
            ("HAProxy, HTTP/1.0", one, HTTP10),
            ("HAProxy, HTTP/2 to the server", two, HTTP11),
            ("HAProxy, HTTP/2 on both sides", two, Protocol::Http2),
        ];
        Self::start("haproxy", &["-f"], &config, dir, fronts)
    }
}

/// Each status arrives, with small bodies and with those that the server refuses before it has read them.
async fn assert_statuses(proxy: &Proxy) {
    let right = format!("Bearer {TOKEN}");
    for (name, address, protocol) in &proxy.fronts {
        let client = Client::speaking(*address, *protocol);
        let send = async |method: &str, path: &str, token: &str, body: Vec<u8>| {
            let headers = [("authorization", token), ("content-type", "application/json")];
            client.send(method, path, &headers, body).await.status
        };
        let set =
            |bytes: usize| json!({"key": "k", "value": "v".repeat(bytes)}).to_string().into_bytes();
        for (method, path, token, body, status) in [
            ("GET", "/livez", "", Vec::new(), 200),
            ("POST", SET, right.as_str(), set(10), 200),
            ("POST", SET, right.as_str(), set(4_000_000), 200),
            ("POST", GET, right.as_str(), set(0), 200),
            ("POST", SET, right.as_str(), b"{".to_vec(), 400),
            ("POST", SET, right.as_str(), b"{}".to_vec(), 422),
            ("DELETE", SET, right.as_str(), Vec::new(), 405),
            ("GET", "/nowhere", "", Vec::new(), 404),
        ] {
            assert_eq!(send(method, path, token, body).await, status, "{name}: {method} {path}");
        }
        for mib in [1, 9, 64] {
            for _ in 0..3 {
                let body = || set((mib << 20) - 100);
                assert_eq!(send("POST", SET, "Bearer wrong", body()).await, 401, "{name}, {mib}");
                assert_eq!(send("POST", "/nowhere", "", body()).await, 404, "{name}, {mib}");
                let status = if mib > 8 { 413 } else { 200 };
                assert_eq!(send("POST", SET, &right, body()).await, status, "{name}, {mib}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_arrives_through_nginx() {
    if is_there("nginx") {
        let larder = Larder::start();
        assert_statuses(&Proxy::nginx(larder.address())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_arrives_through_haproxy() {
    if is_there("haproxy") {
        let larder = Larder::start();
        assert_statuses(&Proxy::haproxy(&[larder.address()])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_while_one_of_two_servers_is_restarted_behind_haproxy() {
    if !is_there("haproxy") {
        return;
    }
    let [first, second] = free();
    let start = |at: SocketAddr, dir: &Path| {
        let flags = ["--shutdown-delay-ms", SHUTDOWN_DELAY];
        let listen = Some(at.to_string());
        Larder::start_in(dir, Options { listen, ..Options::flags(&flags) })
    };
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut restarted = start(first, dirs[0].path());
    let other = start(second, dirs[1].path());
    let proxy = Proxy::haproxy(&[restarted.address(), other.address()]);
    let (stopped, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (_, address, protocol) = proxy.fronts[2 * (number % 2)];
            let (stopped, answers) = (Arc::clone(&stopped), Arc::clone(&answers));
            tokio::spawn(async move {
                let client = Client::speaking(address, protocol);
                while !stopped.load(Ordering::Acquire) {
                    let set = client.post(SET, &json!({"key": "k", "value": "v"})).await;
                    assert_eq!(set.status, 200, "{set:?}");
                    answers.fetch_add(1, Ordering::AcqRel);
                }
            })
        })
        .collect();
    let more = async |count: usize| {
        let goal = answers.load(Ordering::Acquire) + count;
        while answers.load(Ordering::Acquire) < goal && !clients.iter().any(|c| c.is_finished()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    more(200).await;
    restarted.signal(Signal::HUP);
    more(200).await;
    assert!(tokio::task::block_in_place(|| restarted.terminate()).success());
    more(200).await;
    tokio::task::block_in_place(|| restarted.start_again());
    more(500).await;
    stopped.store(true, Ordering::Release);
    for client in clients {
        client.await.unwrap();
    }
}
