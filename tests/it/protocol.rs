//! What HTTP demands whatever is asked: of answers by their status, and of requests by their heads.

use std::time::Duration;

use larder_tests::{BEARER, Client, Larder, Metrics, Protocol, Reply, test_guest};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// The same server in either version of HTTP.
fn clients(larder: &Larder) -> [Client; 2] {
    let http1 = Protocol::Http1(http::Version::HTTP_11);
    [http1, Protocol::Http2].map(|protocol| Client::speaking(larder.address(), protocol))
}

#[tokio::test]
async fn a_401_says_how_to_authenticate_whoever_answers_it() {
    const GET: &str = "/api/v1.kv.get";
    let larder = test_guest("");
    let wrong = [("authorization", "Bearer wrong")];
    let basic = [("authorization", "Basic dXNlcjpwYXNz")];
    let asked = "Bearer realm=\"larder\"";
    let rejected = "Bearer realm=\"larder\", error=\"invalid_token\"";
    let challenge = |reply: &Reply| {
        assert_eq!(reply.status, 401, "{reply:?}");
        reply.header("www-authenticate").map(str::to_owned)
    };
    for client in clients(&larder) {
        // The API, a mount for which the host answers, and the host's own.
        for path in [GET, "/test/echo", "/larder/v1/tokens"] {
            for (headers, wanted) in [(&[][..], asked), (&basic, asked), (&wrong, rejected)] {
                let reply = client.send("POST", path, headers, "{}").await;
                assert_eq!(challenge(&reply).as_deref(), Some(wanted), "{path} {headers:?}");
            }
        }
        let served = client.post(GET, &json!({"key": "k"})).await;
        assert_eq!((served.status, served.header("www-authenticate")), (200, None));
    }
}

#[tokio::test]
async fn statuses_without_content_have_none_whatever_the_guest_says() {
    let larder = test_guest("");
    for client in clients(&larder) {
        for method in ["GET", "HEAD"] {
            for status in [204, 205, 304] {
                let path = format!("/test/status?{status}");
                let reply = client.send(method, &path, &[BEARER], "").await;
                assert_eq!((reply.status, reply.body.len()), (status, 0), "{method} {client:?}");
                // What there is not has no length; that there is nothing may be said of 205 alone.
                let length = reply.header("content-length");
                let fits = length.is_none() || status == 205 && length == Some("0");
                assert!(fits, "{method} {status} {length:?} {client:?}");
                assert_eq!(reply.header("content-type"), Some("text/plain"), "{status}");
            }
            // All others keep theirs.
            let reply = client.send(method, "/test/status?404", &[BEARER], "").await;
            assert_eq!((reply.status, reply.header("content-length")), (404, Some("4")));
            assert_eq!(reply.body.len(), if method == "GET" { 4 } else { 0 });
        }
    }
}

/// What comes back for these bytes until the server closes.
async fn exchange(larder: &Larder, bytes: &str) -> String {
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn heads_that_the_rfcs_forbid_are_refused_on_every_path() {
    let larder = test_guest("auth = 'none'");
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    for path in ["/livez", "/larder/v1/tokens", "/nowhere", "/test/echo", "/api/v1.health.ping"] {
        for (version, headers, body, status) in [
            ("1.1", "", "", 400),
            ("1.1", "host: a\r\nhost: a\r\n", "", 400),
            ("1.0", "host: a\r\nhost: b\r\n", "", 400),
            ("1.1", "host: a b\r\n", "", 400),
            ("1.1", "host: a\r\ntransfer-encoding: gzip, chunked\r\n", chunks, 501),
            ("1.1", "host: a\r\ntransfer-encoding: chunked, chunked\r\n", chunks, 400),
        ] {
            // What follows is read in its place: the refused one was framed.
            let next = "GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
            let keep = if version == "1.0" { "connection: keep-alive\r\n" } else { "" };
            let refused = format!("GET {path} HTTP/{version}\r\n{headers}{keep}\r\n{body}{next}");
            let answer = exchange(&larder, &refused).await;
            assert!(answer.starts_with(&format!("HTTP/{version} {status}")), "{refused}: {answer}");
            let code = if status == 501 { "not-implemented" } else { "invalid-head" };
            assert!(answer.contains(code) && answer.ends_with("ok\n"), "{refused}: {answer}");
        }
    }
    let metrics = Metrics::of(&Client::new(larder.address())).await;
    let refused = [("reason", "invalid-head")];
    assert_eq!(metrics.sum("larder_http_refused_total", &refused), 30.0);
    let counted = |status| metrics.sum("larder_http_requests_total", &[("status", status)]);
    assert_eq!((counted("400"), counted("5xx")), (25.0, 5.0));
}

#[tokio::test]
async fn heads_that_the_rfcs_allow_are_taken() {
    let larder = test_guest("auth = 'none'");
    for request in [
        "GET /livez HTTP/1.0\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: [::1]:80\r\nconnection: close\r\n\r\n",
        "GET http://a/livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "POST /test/echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let answer = exchange(&larder, request).await;
        assert!(answer.split(' ').nth(1) == Some("200"), "{request}: {answer}");
    }
    // Without `host`, as all clients of HTTP/2 speak.
    let http2 = Client::speaking(larder.address(), Protocol::Http2);
    assert_eq!(http2.get("/livez").await.status, 200);
    assert_eq!(http2.send("GET", "/livez", &[("host", "a")], "").await.status, 200);
    let two = [("host", "a"), ("host", "a")];
    assert_eq!(http2.send("GET", "/livez", &two, "").await.status, 400);
}

#[tokio::test]
async fn two_credentials_are_refused_whichever_of_them_is_good() {
    let larder = test_guest("auth = 'none'");
    let (good, wrong) = (BEARER, ("authorization", "Bearer wrong"));
    for client in clients(&larder) {
        for path in ["/api/v1.kv.get", "/test/echo", "/larder/v1/tokens", "/livez"] {
            for headers in [[good, wrong], [wrong, good], [good, good]] {
                let reply = client.send("POST", path, &headers, "{}").await;
                let told = (reply.status, reply.code());
                assert_eq!(told, (400, "invalid-head".to_owned()), "{path} {headers:?}");
            }
        }
    }
}
