//! Pages of other origins: what browsers are told before and after their requests, by whom, and where nothing is.

use std::process::Command;

use larder_tests::{
    BEARER, Client, Larder, Metrics, Options, Protocol, Reply, program, test_guest_with,
};

const APP: &str = "https://app.example";
const OTHER: &str = "https://other.example";
const SERVER: &str = "workers = 1\ncors_origins = ['https://app.example', 'http://localhost:5173']";
const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";
const KEY: &str = "{\"key\":\"k\"}";
const JSON: (&str, &str) = ("content-type", "application/json");

/// The same server in either version of HTTP.
fn clients(larder: &Larder) -> [Client; 2] {
    let http1 = Protocol::Http1(http::Version::HTTP_11);
    [http1, Protocol::Http2].map(|protocol| Client::speaking(larder.address(), protocol))
}

/// What a browser asks before a page of this origin posts to a path.
async fn ask(client: &Client, path: &str, origin: &str) -> Reply {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    client.send("OPTIONS", path, &headers, "").await
}

/// The items of a header that is a list.
fn items(reply: &Reply, name: &str) -> Vec<String> {
    let lines = reply.headers.get_all(name).iter();
    let items = lines.flat_map(|line| line.to_str().unwrap().split(','));
    items.map(|item| item.trim().to_ascii_lowercase()).collect()
}

fn has(reply: &Reply, name: &str, wanted: &[&str]) {
    let items = items(reply, name);
    for wanted in wanted {
        assert!(items.iter().any(|item| item == wanted), "{wanted} in {name}: {reply:?}");
    }
}

/// Headers that say what a page of another origin may.
fn said_of_origins(reply: &Reply) -> Vec<&str> {
    let names = reply.headers.keys().map(http::HeaderName::as_str);
    names.filter(|name| name.starts_with("access-control-")).collect()
}

/// The page that asked may read this answer.
fn is_open(reply: &Reply, origin: &str) {
    assert_eq!(reply.header("access-control-allow-origin"), Some(origin), "{reply:?}");
    let exposed = ["etag", "diom-mutation-version", "larder-expiry", "retry-after"];
    has(reply, "access-control-expose-headers", &exposed);
    has(reply, "vary", &["origin"]);
    assert_eq!(reply.header("access-control-allow-credentials"), None);
}

/// It may not, and a cache must not take this answer for another page's.
fn is_closed(reply: &Reply) {
    assert!(said_of_origins(reply).is_empty(), "{reply:?}");
    has(reply, "vary", &["origin"]);
}

/// Nothing here knows of origins.
fn is_silent(reply: &Reply) {
    assert!(said_of_origins(reply).is_empty(), "{reply:?}");
    assert_eq!(reply.header("vary"), None, "{reply:?}");
}

#[tokio::test]
async fn a_browser_s_question_is_answered_before_token_body_and_call() {
    let larder = test_guest_with(SERVER, "cors_origins = ['https://app.example']");
    for client in clients(&larder) {
        for path in [SET, "/api/v1.nowhere", "/test/echo", "/larder/v1/tokens", "/nowhere"] {
            let reply = ask(&client, path, APP).await;
            assert_eq!((reply.status, reply.body.len()), (204, 0), "{path}");
            is_open(&reply, APP);
            let methods = ["get", "head", "post", "put", "delete", "options"];
            has(&reply, "access-control-allow-methods", &methods);
            let headers = ["authorization", "content-type", "accept", "if-match", "if-none-match"];
            has(&reply, "access-control-allow-headers", &headers);
            has(&reply, "access-control-allow-headers", &["range", "ttl-ms", "last-event-id"]);
            let seconds = reply.header("access-control-max-age").unwrap();
            assert!(seconds.parse::<u32>().unwrap() > 0);
            let asked = ["access-control-request-method", "access-control-request-headers"];
            has(&reply, "vary", &asked);
        }
    }
    let metrics = Metrics::of(&Client::new(larder.address())).await;
    assert_eq!(metrics.sum("larder_guest_calls_total", &[]), 0.0);
    let answered = [("method", "OPTIONS"), ("status", "204")];
    assert_eq!(metrics.sum("larder_http_requests_total", &answered), 10.0);
}

#[tokio::test]
async fn an_origin_that_is_not_listed_is_told_so_and_allowed_nothing() {
    let larder = test_guest_with(SERVER, "cors_origins = ['https://app.example']");
    for client in clients(&larder) {
        for path in [SET, "/test/echo", "/larder/v1/tokens"] {
            for origin in [OTHER, "null", "https://APP.example", "https://app.example:8443"] {
                let reply = ask(&client, path, origin).await;
                assert_eq!((reply.status, reply.code()), (403, "forbidden".to_owned()), "{path}");
                let told = String::from_utf8_lossy(&reply.body).into_owned();
                assert!(told.contains("`cors_origins`") && !told.contains("https:"), "{told}");
                is_closed(&reply);
            }
        }
        // The request itself is answered as ever: who sends a token may read, if it is no page.
        let reply = client.send("POST", GET, &[BEARER, JSON, ("origin", OTHER)], KEY).await;
        assert_eq!(reply.status, 200);
        is_closed(&reply);
    }
    let metrics = Metrics::of(&Client::new(larder.address())).await;
    assert_eq!(metrics.sum("larder_http_refused_total", &[("reason", "origin")]), 24.0);
}

#[tokio::test]
async fn every_answer_says_who_may_read_it_whoever_made_it() {
    let lines = "cors_origins = ['https://app.example']\ncalls_max = 1\ncall_ms_max = 500";
    let larder = test_guest_with(&format!("{SERVER}\nbody_bytes_max = 1000"), lines);
    let long = "x".repeat(1001);
    let origin = ("origin", APP);
    for client in clients(&larder) {
        for (method, path, headers, body, status) in [
            ("POST", GET, &[BEARER, JSON, origin][..], KEY, 200),
            ("POST", GET, &[JSON, origin], KEY, 401),
            ("POST", "/api/v1.nowhere", &[BEARER, origin], "", 404),
            ("GET", GET, &[BEARER, origin], "", 405),
            ("POST", SET, &[BEARER, JSON, origin], &long, 413),
            ("POST", SET, &[BEARER, JSON, origin], "{}", 422),
            ("HEAD", "/api/v1.health.ping", &[origin], "", 200),
            // The guest, the host in its place, and its answer's time.
            ("GET", "/test/echo", &[BEARER, origin], "", 200),
            ("GET", "/test/nothing", &[BEARER, origin], "", 404),
            ("GET", "/test/echo", &[origin], "", 401),
            ("GET", "/test/panic", &[BEARER, origin], "", 500),
            ("GET", "/test/loop", &[BEARER, origin], "", 504),
            // A head that is refused before all else.
            ("GET", "/test/echo", &[BEARER, BEARER, origin], "", 400),
            // The host's own.
            ("GET", "/livez", &[origin], "", 200),
            ("HEAD", "/livez", &[origin], "", 200),
            ("GET", "/larder/v1/tokens", &[origin], "", 401),
            ("GET", "/larder/v1/tokens", &[BEARER, origin], "", 200),
            ("GET", "/larder/nowhere", &[origin], "", 404),
            ("OPTIONS", "/livez", &[origin], "", 405),
        ] {
            let reply = client.send(method, path, headers, body.to_owned()).await;
            assert_eq!(reply.status, status, "{method} {path} {reply:?}");
            is_open(&reply, APP);
            assert!(method != "HEAD" || reply.body.is_empty());
            // Without an origin nobody is allowed anything, and caches know why.
            let without: Vec<_> =
                headers.iter().copied().filter(|header| *header != origin).collect();
            let reply = client.send(method, path, &without, body.to_owned()).await;
            assert_eq!(reply.status, status, "{method} {path} {reply:?}");
            is_closed(&reply);
        }
    }
}

#[tokio::test]
async fn a_call_for_which_there_is_no_permit_is_refused_to_pages_too_and_their_question_is_not() {
    let lines = "cors_origins = ['*']\ncalls_max = 1\ncall_ms_max = 600000";
    let larder = test_guest_with("workers = 1", lines);
    let client = Client::new(larder.address());
    let headers = [BEARER, ("origin", OTHER)];
    let sleeping = client.send("GET", "/test/sleep", &headers, "");
    let asking = async {
        larder.until_logged("sleeping", 1).await;
        let refused = client.send("GET", "/test/echo", &headers, "").await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        is_open(&refused, "*");
        let answered = ask(&client, "/test/echo", OTHER).await;
        assert_eq!(answered.status, 204);
        is_open(&answered, "*");
    };
    tokio::select! {
        reply = sleeping => panic!("it woke up: {reply:?}"),
        () = asking => {}
    }
}

#[tokio::test]
async fn a_guest_from_a_file_speaks_for_itself_unless_its_mount_has_origins() {
    let own = "/test/headers?vary=accept&access-control-allow-origin=https://own.example&\
               access-control-allow-credentials=true&access-control-expose-headers=x-own";
    let headers = [BEARER, ("origin", APP)];
    let larder = test_guest_with(SERVER, "");
    for client in clients(&larder) {
        is_silent(&client.send("GET", "/test/echo", &headers, "").await);
        is_silent(&client.send("GET", "/test/echo", &[("origin", APP)], "").await);
        let reply = client.send("GET", own, &headers, "").await;
        assert_eq!(reply.header("vary"), Some("accept"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://own.example"));
        assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(reply.header("access-control-expose-headers"), Some("x-own"));
        // It answers the question, with a token only.
        let reply = ask(&client, "/test/echo", APP).await;
        assert_eq!(reply.status, 401);
        is_silent(&reply);
        // Others are not silent.
        assert_eq!(ask(&client, GET, APP).await.status, 204);
    }
    let larder = test_guest_with("workers = 1", "cors_origins = ['https://app.example']");
    for client in clients(&larder) {
        let reply = client.send("GET", own, &headers, "").await;
        is_open(&reply, APP);
        has(&reply, "vary", &["accept"]);
        has(&reply, "access-control-expose-headers", &["x-own"]);
        let reply = client.send("GET", own, &[BEARER, ("origin", OTHER)], "").await;
        assert_eq!(reply.header("access-control-allow-origin"), None);
        assert_eq!(reply.header("access-control-allow-credentials"), None);
        assert_eq!(reply.header("vary"), Some("accept, origin"));
        // Only that mount has any.
        is_silent(&client.send("POST", GET, &[JSON, ("origin", APP)], KEY).await);
        is_silent(&client.send("GET", "/livez", &[("origin", APP)], "").await);
    }
}

#[tokio::test]
async fn a_mount_s_own_origins_replace_the_server_s() {
    let api = |origins: &str| {
        let mount = format!("[[mount]]\nprefix = '/api'\ncomponent = 'builtin:api'\n{origins}");
        Larder::start_with(Options::config(format!("{SERVER}\n{mount}")))
    };
    let statuses = async |larder: &Larder, path| {
        let client = Client::new(larder.address());
        let mut statuses = Vec::new();
        for origin in [APP, OTHER] {
            statuses.push(ask(&client, path, origin).await.status);
        }
        statuses
    };
    let same = api("");
    assert_eq!(statuses(&same, SET).await, [204, 403]);
    let other = api("cors_origins = ['https://other.example']");
    assert_eq!(statuses(&other, SET).await, [403, 204]);
    assert_eq!(statuses(&other, "/livez").await, [204, 403]);
    // None at all: the API hears the question, and has no such method.
    let none = api("cors_origins = []");
    assert_eq!(statuses(&none, SET).await, [401, 401]);
    assert_eq!(statuses(&none, "/livez").await, [204, 403]);
}

#[tokio::test]
async fn without_origins_nothing_is_said_of_them() {
    let larder = Larder::start();
    for client in clients(&larder) {
        let headers = [BEARER, JSON, ("origin", APP)];
        is_silent(&client.send("POST", GET, &headers, KEY).await);
        is_silent(&client.send("GET", "/livez", &headers, "").await);
        for (path, status) in [(GET, 401), ("/livez", 405), ("/nowhere", 404)] {
            let reply = ask(&client, path, APP).await;
            assert_eq!(reply.status, status, "{path}");
            is_silent(&reply);
        }
    }
}

#[tokio::test]
async fn origins_are_a_list_in_flags_and_variables_too() {
    let list = "http://localhost:5173, https://app.example";
    let variables = vec![("LARDER_CORS_ORIGINS".to_owned(), list.to_owned())];
    let flag = Options::flags(&["--cors-origins", list]);
    let none = Options { flags: vec!["--cors-origins=".to_owned()], ..Options::config(SERVER) };
    let every = Options::flags(&["--cors-origins=*"]);
    for (options, wanted) in [
        (Options { variables, ..Options::default() }, [204, 204, 403]),
        (flag, [204, 204, 403]),
        (every, [204, 204, 204]),
        (none, [405, 405, 405]),
    ] {
        let larder = Larder::start_with(options);
        let client = Client::new(larder.address());
        for (origin, status) in [APP, "http://localhost:5173", "null"].into_iter().zip(wanted) {
            assert_eq!(ask(&client, "/livez", origin).await.status, status, "{origin}");
        }
    }
    let flag = ["serve", "--cors-origins", "https://a,https://b:443"];
    let refused = Command::new(program()).args(flag).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("write https://b"), "{said}");
    let variables = vec![("LARDER_CORS_ORIGINS".to_owned(), "b.example".to_owned())];
    let said = Larder::refused(Options { variables, ..Options::default() });
    assert!(said.contains("LARDER_CORS_ORIGINS") && said.contains("https://b.example"), "{said}");
}
