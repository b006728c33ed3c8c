//! What HTTP demands whatever is asked: of answers by their status, and of requests by their heads.

use larder_tests::{BEARER, Client, Larder, Protocol, Reply, test_guest};
use serde_json::json;

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
