//! Settings: what overrules what, what is refused before the port opens, and what help says.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use larder_tests::{BEARER, Client, Larder, Options, TOKEN, guest_file, program};
use serde_json::json;

fn variable(name: &str, value: &str) -> Options {
    let variables = vec![(name.to_owned(), value.to_owned())];
    Options { variables, ..Options::default() }
}

#[test]
fn what_cannot_be_is_refused_with_its_key() {
    refused_with_its_key(&[
        ("nonsense = 1", "nonsense"),
        ("calls_max = 'many'", "calls_max"),
        ("calls_max = 0", "calls_max = 0: must be from 1"),
        ("idle_ms_max = 0", "idle_ms_max = 0"),
        ("listen = 'here'", "such as 127.0.0.1:8624"),
        ("listen = ':8624'", "127.0.0.1:8624 for this machine alone"),
        ("listen = '8624'", "127.0.0.1:8624 for this machine alone"),
        ("data = ''", "data: the path is empty"),
        ("data = '~you/x'", "./~you/x"),
        ("tls_certificate = 'c.pem'", "set tls_key too"),
        ("tls_key = 'k.pem'", "set tls_certificate too"),
        ("tls_certificate = 'c.pem'\ntls_key = 'k.pem'", "tls_certificate c.pem: "),
        ("tls_certificate = 'test.toml'\ntls_key = 'test.toml'", "there is no certificate in it"),
        ("body_bytes_max = 99999999999", "body_bytes_max"),
        ("storage_bytes_max = 1", "storage_bytes_max"),
        ("bodies_bytes_max = 8000000", "one body, body_bytes_max = 8388608"),
        ("guests_bytes_max = 71303167", "guests_bytes_max = 71303167: less than 71303168"),
        (
            "guests_bytes_max = 80000000\n[[mount]]\nprefix = '/x'\ncomponent = 'c'\nmemory_bytes_max = 80000001",
            "one call below \"/x\", mount.memory_bytes_max = 80000001",
        ),
        ("answers_bytes_max = 33554432", "answers_bytes_max = 33554432: less than 33558528"),
        (
            "body_bytes_max = 2000000\nstorage_bytes_max = 1048576",
            "storage_bytes_max = 1048576: less",
        ),
        (
            "answers_bytes_max = 50000000\n[[mount]]\nprefix = '/x'\ncomponent = 'c'\nanswer_bytes_max = 50000001",
            "an answer below \"/x\", mount.answer_bytes_max = 50000001",
        ),
        ("shutdown_delay_ms = 99999999999", "shutdown_delay_ms"),
        ("log = 'larder=nonsense'", "log = "),
        ("log_format = 'xml'", "log_format"),
        ("admin_token = 'a b'", "admin_token"),
        ("metrics = 'sometimes'", "metrics"),
        ("cors_origins = 'https://a'", "cors_origins"),
        ("cors_origins = ['https://a/']", "no slash at its end; write https://a"),
        ("cors_origins = ['*', 'https://a']", "leave the others out"),
    ]);
}

#[test]
fn a_mount_that_cannot_be_is_refused_with_its_key() {
    refused_with_its_key(&[
        ("[[mount]]\nprefix = '/x'", "component"),
        ("[[mount]]\nprefix = 'x'\ncomponent = 'c'", "mount.prefix = \"x\""),
        ("[[mount]]\nprefix = '/x/'\ncomponent = 'c'", "mount.prefix = \"/x/\""),
        ("[[mount]]\nprefix = '/metrics'\ncomponent = 'c'", "/metrics is the server's own"),
        ("[[mount]]\nprefix = '/larder/x'\ncomponent = 'c'", "/larder is the server's own"),
        ("[[mount]]\nprefix = '/x'\ncomponent = 'builtin:api'", "answers below /api and /kv only"),
        ("[[mount]]\nprefix = '/x'\ncomponent = 'c'\nworld = 'wasi:http/proxy'", "mount.world"),
        ("[[mount]]\nprefix = '/x'\ncomponent = 'c'\nauth = 'maybe'", "auth"),
        ("[[mount]]\nprefix = '/x'\ncomponent = 'c'\nspeed = 1", "speed"),
        ("[[mount]]\nprefix = '/x'\ncomponent = 'c'\nnamespaces = { a = 'own' }", "own"),
        (
            "[[mount]]\nprefix = '/x'\ncomponent = 'c'\nnamespaces = { '' = 'read' }",
            "mount.namespaces",
        ),
        (
            "[[mount]]\nprefix = '/x'\ncomponent = 'c'\noperations = ['/y']",
            "mount.operations: \"/y\": not below the mount's prefix \"/x\"",
        ),
        (
            "[[mount]]\nprefix = '/x'\ncomponent = 'c'\nhealth = ['/y']",
            "mount.health: \"/y\": not below the mount's prefix \"/x\"",
        ),
        (
            "[[mount]]\nprefix = '/'\ncomponent = 'c'\nhealth = ['/livez']",
            "mount.health: \"/livez\": /livez is the server's own",
        ),
        (
            "[[mount]]\nprefix = '/'\ncomponent = 'c'\noperations = ['/api/x']",
            "requests for it go to the mount at \"/api\"",
        ),
        (
            "[[mount]]\nprefix = '/x'\ncomponent = 'c'\ninstance_calls_max = 0",
            "mount.instance_calls_max",
        ),
        ("[[mount]]\nprefix = '/x'\ncomponent = 'c'\ncalls_max = 0", "mount.calls_max = 0"),
        (
            "[[mount]]\nprefix = '/x'\ncomponent = 'c'\ncors_origins = ['a.example']",
            "its scheme is missing; write https://a.example",
        ),
        ("[[mount]]\nprefix = '/x'\ncomponent = 'c'\ncpu_percent_max = 0", "from 1 to 100"),
        (
            "[[mount]]\nprefix = '/x'\ncomponent = 'c'\ncpu_percent_max = 101",
            "mount.cpu_percent_max = 101",
        ),
        ("[[mount]]\nprefix = '/x'\ncomponent = 'c'\npriority = 'high'", "`usual`, `low`, `idle`"),
        (
            "[[mount]]\nprefix = '/x'\ncomponent = 'a'\n[[mount]]\nprefix = '/x'\ncomponent = 'b'",
            "\"b\" cannot be mounted where \"a\" is already",
        ),
    ]);
}

fn refused_with_its_key(cases: &[(&str, &str)]) {
    for (config, said) in cases {
        let answer = Larder::refused(Options::config(*config));
        assert!(answer.contains(said), "{said:?} in {answer:?} of {config:?}");
    }
}

#[tokio::test]
async fn sizes_that_nobody_set_follow_those_that_somebody_did() {
    for config in ["body_bytes_max = 67108864", "storage_bytes_max = 1048576"] {
        assert!(Larder::start_with(Options::config(config)).lives(), "{config}");
    }
    // A body that takes all the room that there is for bodies.
    let larder = Larder::start_with(Options::config(
        "body_bytes_max = 100001\nbodies_bytes_max = 100001\ncall_wait_ms_max = 60000",
    ));
    let body = json!({"key": "k", "value": "x".repeat(99_900)}).to_string();
    let body = body.clone() + &" ".repeat(100_001 - body.len());
    let headers = [BEARER, ("content-type", "application/json")];
    let set = Client::new(larder.address()).send("POST", "/api/v1.kv.set", &headers, body).await;
    assert_eq!(set.status, 200, "{set:?}");
}

#[tokio::test]
async fn settings_without_an_effect_are_told_in_the_log() {
    let component = guest_file("larder_test_guest");
    let larder = Larder::start_with(Options::config(format!(
        "calls_max = 10\ndrain_ms_max = 100\n[[mount]]\nprefix = '/test'\ncomponent = {component:?}\ncalls_max = 11\n"
    )));
    for said in ["mount.calls_max = 11 has no effect", "cut short"] {
        larder.until_logged(said, 1).await;
    }
}

#[tokio::test]
async fn variables_of_a_service_that_is_named_alike_are_passed_over() {
    let variables = [
        ("LARDER_SERVICE_HOST", "10.0.0.7"),
        ("LARDER_SERVICE_PORT", "8624"),
        ("LARDER_SERVICE_PORT_HTTP", "8624"),
        ("LARDER_PORT", "tcp://10.0.0.7:8624"),
        ("LARDER_PORT_8624_TCP", "tcp://10.0.0.7:8624"),
        ("LARDER_PORT_8624_TCP_ADDR", "10.0.0.7"),
        ("LARDER_SOMETHING_ELSE", "x"),
        ("LARDER_BODY_BYTE_MAX", "1"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut larder = Larder::start_with(Options { variables, ..Options::default() });
    larder.until_logged("passed over; LARDER_BODY_BYTES_MAX is one", 1).await;
    assert!(larder.terminate().success());
    let log = larder.log();
    assert_eq!(log.matches("passed over").count(), 1, "{log}");
    for name in ["SERVICE", "LARDER_PORT", "SOMETHING"] {
        assert!(!log.contains(name), "{name} in {log}");
    }
}

#[test]
fn a_variable_that_cannot_be_is_told_by_its_name_and_an_empty_one_is_none() {
    let said = Larder::refused(variable("LARDER_WORKERS", "many"));
    assert!(said.contains("LARDER_WORKERS = \"many\"") && !said.contains("--workers"), "{said}");
    let names = ["WORKERS", "METRICS", "LOG", "LOG_FORMAT", "CONFIG", "API", "BODY_MS_MAX"];
    let variables = names.map(|name| (format!("LARDER_{name}"), String::new())).into();
    let mut larder = Larder::start_with(Options { variables, ..Options::default() });
    assert!(larder.lives());
}

#[test]
fn a_tilde_is_the_home_of_whoever_runs_the_program() {
    let home = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("larder.toml"), "data = '~/store'").unwrap();
    let output = Command::new(program())
        .arg("check")
        .current_dir(elsewhere.path())
        .env("HOME", home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let store = home.path().join("store");
    assert!(said.contains(store.to_str().unwrap()), "{said}");
    let variables = vec![("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    let flags = vec!["--api=~/none.wasm".to_owned()];
    let said = Larder::refused(Options { variables, flags, ..Options::default() });
    assert!(said.contains(home.path().join("none.wasm").to_str().unwrap()), "{said}");
}

#[tokio::test]
async fn flags_overrule_variables_and_variables_the_file() {
    let body = json!({"key": "k", "value": "x".repeat(3000)});
    let status = |options| async {
        let larder = Larder::start_with(options);
        Client::new(larder.address()).post("/api/v1.kv.set", &body).await.status
    };
    let small = ("LARDER_BODY_BYTES_MAX".to_owned(), "2000".to_owned());
    let large = ("LARDER_BODY_BYTES_MAX".to_owned(), "4000".to_owned());
    let file = |bytes: u32| format!("body_bytes_max = {bytes}");
    assert_eq!(status(Options::config(file(2000))).await, 413);
    let options = Options { variables: vec![large], ..Options::config(file(2000)) };
    assert_eq!(status(options).await, 200);
    let flags = vec!["--body-bytes-max".to_owned(), "4000".to_owned()];
    let options = Options { variables: vec![small], flags, ..Options::config(file(2000)) };
    assert_eq!(status(options).await, 200);
}

/// A first byte in a huge page takes 2 MiB, and guests and connections have many first bytes.
#[test]
#[cfg(target_os = "linux")]
fn a_server_takes_small_pages_only() {
    let larder = Larder::start();
    let told = |file: &str, name: &str| {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", larder.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_owned()
    };
    // It may not, wherever the system would.
    assert_eq!(told("status", "THP_enabled:"), "0");
    // Nor did it before it said so.
    assert_eq!(told("smaps_rollup", "AnonHugePages:"), "0 kB");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let larder = Larder::start();
    let data = larder.data();
    let second = Command::new(program())
        .args(["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("in use by another larder"), "{said}");
}

#[tokio::test]
async fn a_token_is_made_once_and_readable_by_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let mut child = Command::new(program())
            .args(["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let address = lines.next().unwrap().unwrap();
        let where_token = lines.next().unwrap().unwrap();
        assert!(where_token.contains("admin-token"), "{where_token}");
        let file = data.join("admin-token");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let token = std::fs::read_to_string(file).unwrap().trim().to_owned();
        let address = address.strip_prefix("listening on http://").unwrap().parse().unwrap();
        let authorization = format!("Bearer {token}");
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let reply =
            Client::new(address).send("POST", "/api/v1.kv.get", &headers, "{\"key\":\"k\"}").await;
        assert_eq!(reply.status, 200);
        child.kill().unwrap();
        let log = child.wait_with_output().unwrap().stderr;
        assert!(!String::from_utf8_lossy(&log).contains(&token), "the token is in the log");
        tokens.push(token);
    }
    assert_eq!(tokens[0], tokens[1]);
    assert_eq!(tokens[0].len(), 64);
}

#[tokio::test]
async fn the_log_is_json_when_nobody_watches_and_holds_neither_token_nor_value() {
    let mut larder = Larder::start_with(Options::flags(&["--log", "trace"]));
    let client = Client::new(larder.address());
    client.post("/api/v1.kv.set", &json!({"key": "k", "value": "secret-value-1234"})).await;
    client.post("/api/v1.kv.get", &json!({"key": "k"})).await;
    assert!(larder.terminate().success());
    let log = larder.log();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert!(!log.contains(TOKEN) && !log.contains("secret-value-1234"), "{log}");
}

#[test]
fn help_tells_what_there_is() {
    let help = |args: &[&str]| {
        let output = Command::new(program()).args(args).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(help(&["--help"]).contains("serve"));
    let serve = help(&["serve", "--help"]);
    for said in ["--listen", "127.0.0.1:8624", "LARDER_DATA", "admin-token", "[[mount]]", "/readyz"]
    {
        assert!(serve.contains(said), "{said} in {serve}");
    }
}
