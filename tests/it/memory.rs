//! What guests may take of the memory, over all their calls: what counts, what becomes of calls for which
//! there is no room, and that it is there again when they have gone.

use larder_tests::{BEARER, Client, Larder, Metrics, Options, guest_file, text};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const GUESTS_BYTES_MAX: usize = 40_000_000;
const IN_USE: &str = "larder_guests_bytes";

/// A server on which guests have little memory, with the test guest at `/test`.
fn small() -> Larder {
    let component = guest_file("larder_test_guest");
    Larder::start_with(Options::config(format!(
        "workers = 1\nbody_bytes_max = 1000000\nguests_bytes_max = {GUESTS_BYTES_MAX}\n[[mount]]\nprefix = '/test'\ncomponent = {component:?}\nnamespaces = {{ own = 'write' }}\n"
    )))
}

async fn in_use(client: &Client) -> f64 {
    Metrics::of(client).await.sum(IN_USE, &[])
}

/// A call that holds something, once it does.
async fn holding(larder: &Larder, what: &str) -> TcpStream {
    let before = larder.log().matches("holding").count();
    let mut call = TcpStream::connect(larder.address()).await.unwrap();
    let (name, token) = BEARER;
    let head = format!("GET /test/hold?{what} HTTP/1.1\r\nhost: x\r\n{name}: {token}\r\n\r\n");
    call.write_all(head.as_bytes()).await.unwrap();
    larder.until_logged("holding", before + 1).await;
    call
}

/// Has its caller go away, and waits until what it held was given back.
async fn let_go(client: &Client, call: TcpStream, before: f64) {
    // A reset: who only sends no more still waits for an answer.
    call.set_zero_linger().unwrap();
    drop(call);
    Metrics::until(client, |metrics| metrics.sum(IN_USE, &[]) <= before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_together_want_more_memory_than_there_is_are_503_until_there_is_room() {
    let larder = small();
    let client = Client::new(larder.address());
    let small_ones = async || {
        assert_eq!(client.post("/api/v1.kv.get", &json!({"key": "k"})).await.status, 200);
        assert!(text(&client, "/test/echo").await.contains("method"));
    };
    small_ones().await;
    let before = in_use(&client).await;
    let call = holding(&larder, "bytes=20000000").await;
    // One that fits the guest but not the host besides, and one that does not fit the guest.
    for bytes in [12_000_000, 25_000_000] {
        let path = format!("/test/large?{bytes}");
        let refused = client.send("GET", &path, &[BEARER], "").await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    small_ones().await;
    let metrics = Metrics::of(&client).await;
    assert_eq!(metrics.sum("larder_guests_bytes_max", &[]), GUESTS_BYTES_MAX as f64);
    let held = metrics.sum(IN_USE, &[]) - before;
    assert!((20e6..24e6).contains(&held), "{held}");
    assert_eq!(metrics.sum("larder_http_refused_total", &[("reason", "guest-room")]), 2.0);
    let ended = [("outcome", "guests_bytes_max")];
    assert_eq!(metrics.sum("larder_guest_calls_total", &ended), 2.0);
    let_go(&client, call, before).await;
    let reply = client.send("GET", "/test/large?12000000", &[BEARER], "").await;
    assert_eq!((reply.status, reply.body.len()), (200, 12_000_000));
    assert_eq!(in_use(&client).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_holds_for_a_call_counts_as_its_guest_s_memory() {
    const BYTES: usize = 900_000;
    /// In which a guest's memory grows.
    const PAGE_BYTES: f64 = 65_536.0;
    let larder = small();
    let client = Client::new(larder.address());
    let set = json!({"namespace": "own", "key": "large", "value": "v".repeat(BYTES)});
    assert_eq!(client.post("/api/v1.kv.set", &set).await.status, 200);
    let before = in_use(&client).await;
    let taken = async |what| {
        let call = holding(&larder, what).await;
        let taken = in_use(&client).await - before;
        let_go(&client, call, before).await;
        taken
    };
    let by_reference = taken("value=large").await - taken("value=there-is-none").await;
    assert_eq!(by_reference, BYTES as f64);
    let in_the_guest = taken("bytes=900000").await;
    assert_eq!(taken("blob=900000").await - in_the_guest, BYTES as f64);
    assert_eq!(taken("deferred=900000").await - in_the_guest, BYTES as f64);
    // The value, and on its way into the guest's own memory a copy of it.
    let copied = taken("read=large").await - in_the_guest - BYTES as f64;
    assert!((BYTES as f64 - PAGE_BYTES..BYTES as f64 + PAGE_BYTES).contains(&copied), "{copied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_written_before_there_was_no_room_is_not_told_to_try_again() {
    let larder = small();
    let client = Client::new(larder.address());
    let before = in_use(&client).await;
    let call = holding(&larder, "bytes=20000000").await;
    let refused = client.send("GET", "/test/write-and-take?25000000", &[BEARER], "").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, None), "{refused:?}");
    let written = json!({"namespace": "own", "key": "written"});
    assert!(client.post("/api/v1.kv.get", &written).await.json()["value"].is_array());
    let metrics = Metrics::of(&client).await;
    assert_eq!(metrics.sum("larder_http_refused_total", &[("reason", "late-guest-room")]), 1.0);
    let_go(&client, call, before + 1e6).await;
    assert_eq!(text(&client, "/test/write-and-take?25000000").await, "Ok(()) 25000000");
}
