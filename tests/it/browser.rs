//! A page in a browser that uses the plain face from another origin. Skipped by name where Chromium is not
//! installed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use larder_tests::{Client, Larder, Options, TOKEN};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A browser may take long to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the page does at `URL`, which it is given with a token; it tells its own server what came of it.
const SCRIPT: &str = r"
const headers = { authorization: 'Bearer ' + TOKEN };
const told = [];
async function tell(method, path, more = {}, body) {
  const request = { method, headers: { ...headers, ...more }, body };
  const answer = await fetch(URL + path, request);
  const names = ['etag', 'larder-expiry', 'larder-after', 'content-range', 'diom-mutation-version'];
  const found = names.filter((name) => answer.headers.has(name));
  const text = await answer.text();
  told.push([method, answer.status, found, text.length > 100 ? text.length : text]);
  return answer;
}
async function use() {
  const made = await tell('PUT', 'page/caf%C3%A9?ttl_ms=60000', {}, 'value');
  const tag = made.headers.get('etag');
  await tell('GET', 'page/caf%C3%A9');
  await tell('GET', 'page/caf%C3%A9');
  await tell('HEAD', 'page/caf%C3%A9');
  await tell('GET', 'page/caf%C3%A9', { range: 'bytes=1-2' });
  await tell('PUT', 'page/caf%C3%A9', { 'if-match': tag }, new Uint8Array(200000));
  await tell('PUT', 'page/caf%C3%A9', { 'if-match': tag }, 'stale');
  await tell('GET', 'page/caf%C3%A9');
  await tell('PUT', 'page/b', { 'if-none-match': '*', 'ttl-ms': '60000' }, 'b');
  await tell('GET', '?prefix=page/&limit=1', { accept: 'application/x-ndjson' });
  await tell('DELETE', 'page/caf%C3%A9');
  await tell('GET', 'page/caf%C3%A9');
  await tell('GET', 'page/b', { authorization: 'Bearer wrong' });
}
use().catch((error) => told.push(String(error))).finally(
  () => fetch('/told', { method: 'POST', body: JSON.stringify(told) }));
";

/// Whether a browser is there; says that the test is skipped when it is not.
fn is_there() -> bool {
    let found = Command::new("chromium").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: chromium is not installed");
        let needed = std::env::var_os("LARDER_TESTS_NEED_BROWSER");
        assert!(needed.is_none(), "chromium should be here");
    }
    found
}

/// A browser that runs, until it is dropped.
struct Browser(Child);

impl Browser {
    /// Opens a page; `dir` has its profile.
    fn open(page: SocketAddr, dir: &Path) -> Self {
        let browser = Command::new("chromium")
            // It runs as whoever runs the tests, who may be root or in a container.
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-extensions"])
            .arg(format!("--user-data-dir={}", dir.join("profile").display()))
            .arg(format!("http://{page}/"))
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(browser)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A request of the browser to the page's own server: its first line, and its body.
async fn receive(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if bytes.len() >= end + 4 + length {
            let first = head.lines().next().unwrap_or_default().to_owned();
            return Some((first, bytes[end + 4..].to_vec()));
        }
    }
}

/// Serves the page until it has told what came of it.
async fn serve(listener: &TcpListener, page: &str) -> Value {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        // The browser may open connections that it does not use.
        let received = tokio::time::timeout(Duration::from_secs(5), receive(&mut stream)).await;
        let Ok(Some((first, body))) = received else {
            continue;
        };
        let body = if first.starts_with("post /told") {
            return serde_json::from_slice(&body).unwrap();
        } else if first.starts_with("get / ") {
            page
        } else {
            ""
        };
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: ";
        let answer = format!("{head}{}\r\n\r\n{body}", body.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

/// What a page tells that uses a server which lets pages of `origins` in; `OWN` stands for the page's own.
async fn told(origins: &str) -> (Larder, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let page = listener.local_addr().unwrap();
    let origins = origins.replace("OWN", &format!("http://{page}"));
    let larder = Larder::start_with(Options::config(format!("cors_origins = [{origins}]")));
    let url = format!("{}/kv/default/", larder.url());
    let script = format!("const URL = {}, TOKEN = {};{SCRIPT}", json!(url), json!(TOKEN));
    let html = format!("<!doctype html><title>page</title><script>{script}</script>");
    let dir = tempfile::tempdir().unwrap();
    let _browser = Browser::open(page, dir.path());
    let told = tokio::time::timeout(PATIENCE, serve(&listener, &html)).await;
    (larder, told.expect("the page tells nothing"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_origin_that_is_let_in_reads_and_writes() {
    if !is_there() {
        return;
    }
    let (_larder, told) = told("'OWN'").await;
    let shown: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            let text = step[3].as_str().filter(|text| text.starts_with("{\"type\""));
            let error =
                text.map(|text| serde_json::from_str::<Value>(text).unwrap()["code"].clone());
            let body = error.unwrap_or_else(|| step[3].clone());
            (step[0].as_str().unwrap_or_default(), step[1].as_u64().unwrap_or(0), body)
        })
        .collect();
    let key = r#"{"key":"page/b","version""#;
    assert_eq!(shown.len(), 13, "{told:#}");
    for (step, (method, status, body)) in shown.iter().zip([
        ("PUT", 201, json!("")),
        ("GET", 200, json!("value")),
        // Its own cache has asked whether that still holds.
        ("GET", 200, json!("value")),
        ("HEAD", 200, json!("")),
        ("GET", 206, json!("al")),
        ("PUT", 204, json!("")),
        ("PUT", 412, json!("conflict")),
        ("GET", 200, json!(200_000)),
        ("PUT", 201, json!("")),
        ("GET", 200, json!(key)),
        ("DELETE", 204, json!("")),
        ("GET", 404, json!("not-found")),
        ("GET", 401, json!("invalid-token")),
    ]) {
        let is_body = step.2 == body
            || body == key && step.2.as_str().is_some_and(|line| line.starts_with(key));
        assert!(step.0 == method && step.1 == status && is_body, "{step:?}: {told:#}");
    }
    let seen = |step: usize, name: &str| told[step][2].as_array().unwrap().contains(&json!(name));
    assert!(seen(0, "etag") && seen(0, "diom-mutation-version"), "{told:#}");
    assert!(seen(1, "etag") && seen(1, "larder-expiry"), "{told:#}");
    assert!(seen(4, "content-range") && seen(9, "larder-after"), "{told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_changes_and_learns_nothing() {
    if !is_there() {
        return;
    }
    for origins in ["", "'http://127.0.0.1:1'"] {
        let (larder, told) = told(origins).await;
        assert_eq!(told.as_array().map(Vec::len), Some(1), "{told:#}");
        assert!(told[0].as_str().is_some_and(|error| error.contains("fetch")), "{told:#}");
        let client = Client::new(larder.address());
        let list = client.post("/api/v1.kv.list", &json!({})).await.json();
        assert_eq!(list["entries"], json!([]));
    }
}
