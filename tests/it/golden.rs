//! What the first version wrote is read for ever: the files of `tests/golden/` are opened, checked,
//! served, restored, imported and called, and what must come of them is said literally.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use larder_tests::{BEARER, Client, Larder, Options, program, text};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tls;

const GET: &str = "/api/v1.kv.get";
const SET: &str = "/api/v1.kv.set";
const NAMESPACE: &str = "/api/v1.kv.namespace.get";
/// What is in the store, as every command tells it.
const HELD: &str = "212 entries in 6 namespaces, 72004 bytes of values, version 1099511628037";
/// The newest version of the store, and what a restore and an import add to it.
const NEWEST: u64 = 1_099_511_628_037;
const JUMP: u64 = 1 << 40;
/// The version of `key-000`; those of the others follow it.
const FIRST_OF_MANY: u64 = 1_099_511_627_821;
/// Expiries, in milliseconds.
const EXPIRY: u64 = 10_030_808_493_908;
const EXPIRY_OF_ORDER: u64 = 10_795_808_493_911;
/// The secrets of the store's tokens.
const SHOP: &str = "larder_be730eb605f0c845_WPZa8RzyigSSFHLeiSFOfR84WNoppNGu1tqbsezZyKI";
const REPORT: &str = "larder_192582f20b3c06ad_liiRt0MUJ0veEcaELzF90j9G2o7WdQUCTm3N6nDSOd0";
const BOSS: &str = "larder_99ea3b312c2a026f_slK8L9V3RfHzHzwifFRiTH7pIsIYXq7TnpUdg1xd8uw";
const REVOKED: &str = "larder_098c6c5007343133_I8XTKBJHR1A4oTJodHl-2gdBB8B_U_z2kudJmWUV5yY";
const ENDED: &str = "larder_f26bec569fc71a19_EhHuEzLKRoApXd2kqZJX_CyzriWup0SFowPFa-mgEFw";

/// A file of those that are never made again.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// A directory whose `data` is a copy of the store, as every server's is.
pub fn store() -> TempDir {
    copied("store-1/data.mdb")
}

fn copied(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    private(&dir.path().join("data"));
    fs::copy(golden(name), dir.path().join("data/data.mdb")).unwrap();
    dir
}

fn private(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
}

/// What a command that succeeds prints.
fn run(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program());
    command.current_dir(dir).args(arguments).env_remove("LARDER_DATA").env_remove("LARDER_CONFIG");
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert!(status.success(), "{arguments:?}: {said}");
    said
}

/// An entry as the API tells it.
fn entry(value: &[u8], version: u64, expiry: Option<u64>) -> Value {
    json!({"value": value, "version": version, "expiry": expiry})
}

async fn get(client: &Client, namespace: &str, key: &str) -> Value {
    let mut body = json!({"key": key});
    // The API knows this one by leaving it out.
    if namespace != "default" {
        body["namespace"] = namespace.into();
    }
    client.post(GET, &body).await.json()
}

/// Every entry that the API can name, where versions are `moved` on by so much.
async fn assert_entries(client: &Client, moved: u64) {
    let long = vec![b'l'; 70_000];
    let kept = [
        ("default", "text", &b"hello"[..], 1_099_511_628_024, None),
        ("default", "empty", b"", 1_099_511_628_025, None),
        ("default", "bytes", &[0, 255, 10, 13], 1_099_511_628_026, None),
        ("default", "long", &long, 1_099_511_628_027, None),
        ("default", "expiring", b"until 2286", 1_099_511_628_028, Some(EXPIRY)),
        ("default", "overwritten", b"new", 1_099_511_628_033, None),
        ("default", "newest", b"n", NEWEST, None),
        ("orders", "text", b"of orders", 1_099_511_628_031, None),
        ("orders", "eu/1", b"e", 1_099_511_628_032, Some(EXPIRY_OF_ORDER)),
    ];
    for (namespace, key, value, version, expiry) in kept {
        let found = get(client, namespace, key).await;
        assert_eq!(found, entry(value, version + moved, expiry), "{namespace}, {key}");
    }
    let longest = "k".repeat(256);
    let found = get(client, "imported", &longest).await;
    assert_eq!(found, entry(b"the longest key", 1_099_511_627_820 + moved, None));
    for number in (0..200).filter(|number| *number != 7) {
        let value = format!("value {number}");
        let found = get(client, "many", &format!("key-{number:03}")).await;
        assert_eq!(found, entry(value.as_bytes(), FIRST_OF_MANY + number + moved, None));
    }
    for (namespace, key) in [("default", "deleted"), ("default", "expired"), ("many", "key-007")] {
        let found = get(client, namespace, key).await;
        let absent = json!({"value": null, "version": 0, "expiry": null});
        assert_eq!(found, absent, "{namespace}, {key}");
    }
}

/// Every namespace that the API can name, with both of its instants.
async fn assert_namespaces(client: &Client) {
    for (name, created, updated) in [
        ("imported", 1_764_000_000_001_u64, 1_764_000_000_002_u64),
        ("many", 1_764_000_000_003, 1_764_000_000_004),
        ("orders", 1_795_808_493_896, 1_795_808_493_896),
        ("a/b=c.d+e", 1_795_808_493_900, 1_795_808_493_900),
        ("empty", 1_795_808_493_901, 1_795_808_493_901),
    ] {
        let found = client.post(NAMESPACE, &json!({"name": name})).await.json();
        assert_eq!(found, json!({"name": name, "created": created, "updated": updated}));
    }
}

/// The version of a new entry.
async fn new_version(client: &Client) -> u64 {
    let made = client.post(SET, &json!({"key": "a-new-one", "value": ""})).await.json();
    made["version"].as_u64().unwrap()
}

#[tokio::test]
async fn the_store_is_sound_and_served_with_all_that_it_held() {
    let dir = store();
    assert_eq!(run(dir.path(), &["check"]), format!("data: {HELD}\nnothing is wrong\n"));
    let larder = Larder::start_in(dir.path(), Options::default());
    let client = Client::new(larder.address());
    assert_entries(&client, 0).await;
    assert_namespaces(&client).await;
    assert!(new_version(&client).await > NEWEST);
}

#[tokio::test]
async fn the_store_is_taken_over_into_the_present_format_at_the_first_start_and_no_other() {
    let dir = store();
    let mut larder = Larder::start_in(dir.path(), Options::default());
    let log = larder.log();
    for told in [
        "the data are of storage format 1, and are taken over into format 2 in their place",
        "the way back is larder export with this version, and larder import with that one",
        "the data were taken over: they are of storage format 2 now",
    ] {
        assert_eq!(log.matches(told).count(), 1, "{told}: {log}");
    }
    assert_entries(&Client::new(larder.address()), 0).await;
    // The one that has expired goes, and is counted out.
    let held = "211 entries in 6 namespaces, 72000 bytes of values, version 1099511628037";
    let swept = || run(dir.path(), &["check"]).starts_with(&format!("data: {held}\n"));
    while !swept() {
        tokio::task::yield_now().await;
    }
    assert_eq!(larder.terminate().code(), Some(0));
    assert_eq!(run(dir.path(), &["check"]), format!("data: {held}\nnothing is wrong\n"));
    run(dir.path(), &["export", "text"]);
    let (found, golden) = (lines(&dir.path().join("text")), lines(&golden("export-1.jsonl")));
    let kept = golden.into_iter().filter(|line| !line.contains("\"key\":\"expired\""));
    let kept: Vec<String> = kept.collect();
    assert_eq!(found[1..found.len() - 1], kept[1..kept.len() - 1]);
    larder.start_again();
    let log = &larder.log()[log.len()..];
    assert!(log.contains("the store was opened") && !log.contains("format"), "{log}");
    assert_entries(&Client::new(larder.address()), 0).await;
    assert_namespaces(&Client::new(larder.address())).await;
}

#[test]
fn commands_that_write_take_the_store_over_and_say_so() {
    for arguments in [&["clock", "--set-back"][..], &["token", "create", "n", "--role", "read"]] {
        let dir = store();
        let said = run(dir.path(), arguments);
        let told = "data: the data are of storage format 1, and are taken over into format 2";
        assert!(said.contains(told), "{arguments:?}: {said}");
        assert!(!run(dir.path(), arguments).contains("format"), "{arguments:?}");
        assert!(run(dir.path(), &["check"]).ends_with("nothing is wrong\n"), "{arguments:?}");
    }
}

#[test]
fn commands_that_only_read_leave_the_store_as_it_is() {
    let dir = store();
    let before = fs::read(golden("store-1/data.mdb")).unwrap();
    for arguments in [&["check"][..], &["export", "text"], &["backup", "made"], &["clock"]] {
        assert!(!run(dir.path(), arguments).contains("format"), "{arguments:?}");
    }
    run(dir.path(), &["token", "list"]);
    assert!(fs::read(dir.path().join("data/data.mdb")).unwrap() == before);
    // Nor does a restore change the format: a program of that time could serve what it makes.
    run(dir.path(), &["restore", "made", "--data", "restored"]);
    let restored = fs::read(dir.path().join("restored/data.mdb")).unwrap();
    let format = |number: u8| [&b"format\0\0\0"[..], &[number]].concat();
    let has = |format: &[u8]| restored.windows(format.len()).any(|found| found == format);
    assert!(has(&format(1)) && !has(&format(2)));
}

#[test]
fn the_store_is_exported_to_the_last_byte_as_it_was() {
    // Keys that are no text, and the entry that has expired, are seen here alone.
    let dir = store();
    run(dir.path(), &["export", "text"]);
    let text = fs::read_to_string(dir.path().join("text")).unwrap();
    assert_eq!(text, fs::read_to_string(golden("export-1.jsonl")).unwrap());
    let bytes: Vec<&str> = text.lines().filter(|line| line.contains("key_base64")).collect();
    assert!(bytes[0].starts_with(r#"{"key_base64":"AP+AIGJ5dGVz","value_base64":"AAECAwQF"#));
    assert!(text.contains(
        r#"{"key":"expired","value":"over","version":1099511628036,"expiry":1795808495442}"#
    ));
    assert!(text.contains(
        "{\"key\":\"schl\u{fc}ssel\",\"value\":\"gr\u{fc}\u{df} dich\\n\\u0000\",\"version\":1099511627819,\"expiry\":4102444800000}"
    ));
    let first = r#"{"larder_export":1,"version":1099511628037,"instant":1795808495452}"#;
    assert_eq!(text.lines().next(), Some(first));
}

#[tokio::test]
async fn the_store_of_format_2_is_served_with_its_quotas_and_emptied_to_the_end() {
    let dir = copied("store-2/data.mdb");
    let held = "data: 9 entries in 5 namespaces, 60 bytes of values, version 1819\n";
    let left = "776 entries of deleted namespaces, 6984 bytes, are still to be removed\n";
    let sound = "nothing is wrong\n";
    assert_eq!(run(dir.path(), &["check"]), [held, left, sound].concat());
    run(dir.path(), &["export", "text"]);
    let text = fs::read_to_string(dir.path().join("text")).unwrap();
    assert_eq!(text, fs::read_to_string(golden("export-2.jsonl")).unwrap());
    run(dir.path(), &["import", "text", "--data", "imported"]);
    run(dir.path(), &["export", "again", "--data", "imported"]);
    let namespaces = |name: &str| -> Vec<String> {
        let lines = lines(&dir.path().join(name)).into_iter();
        lines.filter(|line| line.starts_with("{\"namespace\"")).collect()
    };
    assert_eq!(namespaces("again"), namespaces("text"));
    let larder = Larder::start_in(dir.path(), Options::default());
    let client = Client::new(larder.address());
    assert!(!larder.log().contains("format"), "{}", larder.log());
    for (namespace, key, value, version, expiry) in [
        ("default", "text", &b"hello"[..], 7, None),
        ("default", "expiring", b"until 2286", 4, Some(10_000_000_003_686)),
        ("default", "number", b"9007199254740985", 5, None),
        ("limited", "two", b"22", 14, Some(10_000_000_003_818)),
        ("again", "new", b"of the second", 1819, None),
    ] {
        let found = get(&client, namespace, key).await;
        assert_eq!(found, entry(value, version, expiry), "{namespace}, {key}");
    }
    assert_eq!(get(&client, "again", "old-1799").await["version"], 0);
    for (name, keys, bytes, keys_max, bytes_max) in [
        ("limited", 2, 9, json!(3), json!(1000)),
        ("full", 1, 10, Value::Null, json!(10)),
        ("again", 1, 16, Value::Null, Value::Null),
        ("empty", 0, 0, Value::Null, Value::Null),
    ] {
        let found = client.post("/api/v1.kv.namespace.usage", &json!({"name": name})).await.json();
        let usage =
            json!({"keys": keys, "bytes": bytes, "keys_max": keys_max, "bytes_max": bytes_max});
        assert_eq!(found, usage, "{name}");
    }
    let beyond = json!({"namespace": "full", "key": "f", "value": "longer than nine"});
    assert_eq!(client.post(SET, &beyond).await.status, 507);
    while run(dir.path(), &["check"]) != [held, sound].concat() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_tokens_of_the_store_allow_what_they_did() {
    let dir = store();
    let listed = "\
be730eb605f0c845 shop: write, namespaces orders, keys that begin with eu/, made 2026-11-27T19:41:33Z, ends 2286-01-01T00:00:00Z
192582f20b3c06ad report: read, namespaces default orders, keys that begin with eu/ text, made 2026-11-27T19:41:33Z
99ea3b312c2a026f boss: admin, made 2026-11-27T19:41:33Z
f26bec569fc71a19 ended: read, made 2026-11-27T19:41:33Z, ends 2026-11-27T19:41:34Z
";
    assert_eq!(run(dir.path(), &["token", "list"]), listed);
    let larder = Larder::start_in(dir.path(), Options::default());
    let client = Client::new(larder.address());
    let order = json!({"namespace": "orders", "key": "eu/1"});
    let write = json!({"namespace": "orders", "key": "eu/2", "value": ""});
    let text = json!({"key": "text"});
    let outside = json!({"namespace": "many", "key": "key-000"});
    for (token, path, body, status) in [
        (SHOP, SET, &write, 200),
        (SHOP, GET, &order, 200),
        (SHOP, GET, &text, 403),
        (REPORT, GET, &order, 200),
        (REPORT, GET, &text, 200),
        (REPORT, SET, &write, 403),
        (REPORT, GET, &outside, 403),
        (BOSS, GET, &outside, 200),
        (REVOKED, GET, &text, 401),
        (ENDED, GET, &text, 401),
    ] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let reply = client.send("POST", path, &headers, body.to_string()).await;
        assert_eq!(reply.status, status, "{token:.24} {path} {body}: {reply:?}");
    }
    let bearer = format!("Bearer {BOSS}");
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(client.send("GET", "/larder/v1/tokens", &headers, "").await.status, 200);
}

#[tokio::test]
async fn the_backup_is_restored_with_all_that_it_held() {
    let dir = tempfile::tempdir().unwrap();
    let backup = golden("backup-1.larder");
    let said = run(dir.path(), &["restore", backup.to_str().unwrap()]);
    // The version counter is on its way already.
    assert_eq!(said, format!("data: {}\n", HELD.replace("1099511628037", "2199023255813")));
    let checked = run(dir.path(), &["check"]);
    assert!(checked.ends_with("version 2199023255813\nnothing is wrong\n"), "{checked}");
    run(dir.path(), &["export", "text"]);
    let (restored, golden) = (lines(&dir.path().join("text")), lines(&golden("export-1.jsonl")));
    assert_eq!(restored[1..restored.len() - 1], golden[1..golden.len() - 1]);
    let larder = Larder::start_in(dir.path(), Options::default());
    let client = Client::new(larder.address());
    assert_entries(&client, 0).await;
    assert_namespaces(&client).await;
    assert!(new_version(&client).await > NEWEST + JUMP);
    let bearer = format!("Bearer {BOSS}");
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(client.send("GET", "/larder/v1/tokens", &headers, "").await.status, 200);
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_export_is_imported_with_values_and_expiries_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let export = golden("export-1.jsonl");
    let said = run(dir.path(), &["import", export.to_str().unwrap()]);
    let held = "211 entries in 6 namespaces, 72000 bytes of values, version 2199023256024";
    assert_eq!(said, format!("data: {held}; 1 had expired and were left out\n"));
    let checked = run(dir.path(), &["check"]);
    assert_eq!(checked, format!("data: {held}\nnothing is wrong\n"));
    run(dir.path(), &["export", "text"]);
    // Versions are new, in the order of the lines, above all that were given out; the rest is the same.
    let mut next = NEWEST + JUMP;
    let mut expected: Vec<Value> = Vec::new();
    for line in &lines(&export)[1..] {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["key"] == "expired" || line.get("sha256").is_some() {
            continue;
        }
        if let Some(version) = line.get_mut("version") {
            next += 1;
            *version = next.into();
        }
        expected.push(line);
    }
    let found = lines(&dir.path().join("text"));
    let found = found[1..found.len() - 1].iter().map(|line| serde_json::from_str(line).unwrap());
    let found: Vec<Value> = found.collect();
    assert_eq!(found, expected);
    let larder = Larder::start_in(dir.path(), Options::default());
    let client = Client::new(larder.address());
    assert_namespaces(&client).await;
    assert_eq!(get(&client, "default", "expiring").await["expiry"], json!(EXPIRY));
    assert!(new_version(&client).await > next);
}

/// A server with both guests, each at a path that is named by its version.
fn guests() -> Larder {
    let mount = |version: &str| {
        let component = golden(&format!("guests/everything-{version}.wasm"));
        format!(
            "[[mount]]\nprefix = '/{version}'\ncomponent = {component:?}\nnamespaces = {{ own = 'write' }}\n"
        )
    };
    Larder::start_with(Options::config(mount("0.1.0") + &mount("0.1.1")))
}

#[tokio::test]
async fn guests_of_each_version_are_called_and_reach_all_that_they_import() {
    let larder = guests();
    let client = Client::new(larder.address());
    let body = vec![b'b'; 100_000];
    for version in ["0.1.0", "0.1.1"] {
        let path = |action: &str| format!("/{version}/{action}");
        let headers = [BEARER, ("x-test", "one"), ("accept", "a/b")];
        let reply = client.send("PUT", &path("echo?x=1"), &headers, "body").await;
        let echo = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(
            echo.starts_with(&format!(
                "method=Method::Put path=/{version}/echo query=Some(\"x=1\") prefix=/{version}\n\
                 content-type=None accept=Some(\"a/b\") caller=Caller::Principal(\"admin\")\n\
                 body=4 bytes\nx-test=Some(\"one\") authorization=None\n"
            )),
            "{echo}"
        );
        for (action, answer) in [
            ("write?own", "Ok(())"),
            ("read?own", "Ok(())"),
            ("delete?own", "Ok(())"),
            ("configure?own", "Ok(())"),
            ("namespace?own", "Ok(())"),
            ("read?default", "Err(Error::Denied)"),
        ] {
            assert_eq!(text(&client, &path(action)).await, answer, "{version}: {action}");
        }
        // By reference, out of the request and into the answer.
        let stored = client.send("POST", &path("store-body"), &[BEARER], body.clone()).await;
        assert_eq!(&stored.body[..], b"Ok(())", "{version}");
        let stored = client.send("GET", &path("stored"), &[BEARER], "").await;
        assert_eq!(stored.body, [b"<", &body[..], b">"].concat(), "{version}");
        assert!(text(&client, &path("outside")).await.contains("arguments=0"), "{version}");
    }
}

#[tokio::test]
async fn a_guest_of_0_1_1_defers_its_writes() {
    let larder = guests();
    let client = Client::new(larder.address());
    for (query, answer) in [
        ("set:own", "set: set Ok(()), x-test=Some(\"kept\")"),
        ("delete:own", "delete: deleted Ok(true), x-test=Some(\"kept\")"),
        ("body:own", "body: set Ok(()), x-test=Some(\"kept\")"),
        ("set:default", "at once: Error::Denied"),
    ] {
        let headers = [BEARER, ("x-test", "kept")];
        let path = format!("/0.1.1/defer?{query}");
        let reply = client.send("POST", &path, &headers, vec![7; 100_000]).await;
        assert_eq!(String::from_utf8_lossy(&reply.body), answer, "{query}");
    }
}

#[tokio::test]
async fn the_configuration_with_every_setting_is_served() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("guests")).unwrap();
    for guest in ["guests/everything-0.1.0.wasm", "guests/everything-0.1.1.wasm"] {
        fs::copy(golden(guest), dir.path().join(guest)).unwrap();
    }
    fs::create_dir(dir.path().join("tls")).unwrap();
    let made =
        tls::renew_as(&dir.path().join("tls/certificate.pem"), &dir.path().join("tls/key.pem"));
    let config = fs::read_to_string(golden("larder.toml")).unwrap();
    let larder = Larder::start_in(dir.path(), Options::config(config));
    for (path, answer) in [
        ("/livez", ""),
        ("/api/echo", "prefix=/api\n"),
        ("/first/write?own", "Ok(())"),
        ("/first/write?default", "Err(Error::Denied)"),
        ("/second/write?own", "Ok(())"),
        ("/anything/echo", "prefix=/\n"),
        // What the settings came to be.
        ("/metrics", "larder_calls_max 64\n"),
        ("/metrics", "larder_connections_max 1000\n"),
        ("/metrics", "larder_storage_limit_bytes 1073741824\n"),
    ] {
        let mut stream = tls::connect(&larder, &made, b"http/1.1").await.unwrap();
        let (name, bearer) = BEARER;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: larder\r\n{name}: {bearer}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200") && reply.contains(answer), "{path}: {reply}");
    }
    // The log is JSON, as the file has it.
    assert!(larder.log().lines().all(|line| line.starts_with('{')), "{}", larder.log());
}
