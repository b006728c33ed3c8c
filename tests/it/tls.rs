//! TLS: both protocols through it, certificates that are read anew, and that nothing travels in the
//! clear unless that was asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use larder_tests::{Larder, Options, TOKEN};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const PATIENCE: Duration = Duration::from_secs(20);
const VALUE_BYTES: usize = 3_000_000;

/// A certificate of its own, and a place for its files.
struct Identity {
    dir: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

impl Identity {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificate = renew(dir.path());
        Self { dir, certificate }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn options(&self, flags: &[&str]) -> Options {
        let (certificate, key) = (self.file("cert.pem"), self.file("key.pem"));
        let config = format!("tls_certificate = {certificate:?}\ntls_key = {key:?}\n");
        Options { config: Some(config), ..Options::flags(flags) }
    }
}

/// Writes another certificate and key into `dir`.
fn renew(dir: &Path) -> CertificateDer<'static> {
    renew_as(&dir.join("cert.pem"), &dir.join("key.pem"))
}

/// Writes another certificate and key under these names.
pub fn renew_as(certificate: &Path, key: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(certificate, made.cert.pem()).unwrap();
    fs::write(key, made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

/// Connects and trusts this certificate alone.
pub async fn connect(
    larder: &Larder,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(larder.address()).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn request(path: &str, body: String) -> http::Request<Full<Bytes>> {
    http::Request::post(format!("https://larder{path}"))
        .header("host", "larder")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .header("accept", "application/msgpack")
        .body(Full::new(body.into()))
        .unwrap()
}

/// The requests of a set and a get of a large value.
fn large() -> [http::Request<Full<Bytes>>; 2] {
    let value = "v".repeat(VALUE_BYTES);
    [
        request("/api/v1.kv.set", format!("{{\"key\":\"k\",\"value\":\"{value}\"}}")),
        request("/api/v1.kv.get", "{\"key\":\"k\"}".to_owned()),
    ]
}

#[tokio::test]
async fn large_values_pass_through_tls_in_both_protocols() {
    let identity = Identity::new();
    let larder = Larder::start_with(identity.options(&[]));
    let mut stream = connect(&larder, &identity.certificate, b"http/1.1").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (request, bytes_min) in large().into_iter().zip([1, VALUE_BYTES]) {
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() >= bytes_min, "{} bytes", body.len());
    }
    stream = connect(&larder, &identity.certificate, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    for (request, bytes_min) in large().into_iter().zip([1, VALUE_BYTES]) {
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() >= bytes_min, "{} bytes", body.len());
    }
}

/// One ping on a kept connection.
async fn ping(stream: &mut TlsStream<TcpStream>) -> String {
    let request = b"GET /api/v1.health.ping HTTP/1.1\r\nhost: larder\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// The page of metrics.
async fn metrics(larder: &Larder, identity: &Identity) -> String {
    let mut stream = connect(larder, &identity.certificate, b"http/1.1").await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: larder\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut page = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut page)).await.unwrap().unwrap();
    page
}

#[tokio::test]
async fn a_connection_that_rested_serves_on_inside_tls() {
    let identity = Identity::new();
    let larder = Larder::start_with(identity.options(&["--log", "debug"]));
    let mut stream = connect(&larder, &identity.certificate, b"http/1.1").await.unwrap();
    for times in 1..=3 {
        assert!(ping(&mut stream).await.starts_with("HTTP/1.1 200"));
        larder.until_logged("a connection rests", times).await;
    }
}

#[tokio::test]
async fn certificates_are_read_anew_on_sighup_and_bad_ones_are_left() {
    let identity = Identity::new();
    let mut larder = Larder::start_with(identity.options(&[]));
    let mut old = connect(&larder, &identity.certificate, b"http/1.1").await.unwrap();
    assert!(ping(&mut old).await.starts_with("HTTP/1.1 200"));
    let renewed = renew(identity.dir.path());
    larder.signal(Signal::HUP);
    larder.until_logged("the certificate was read anew", 1).await;
    let mut new = connect(&larder, &renewed, b"http/1.1").await.unwrap();
    assert!(ping(&mut new).await.starts_with("HTTP/1.1 200"));
    assert!(connect(&larder, &identity.certificate, b"http/1.1").await.is_err());
    // Whoever is connected notices nothing.
    assert!(ping(&mut old).await.starts_with("HTTP/1.1 200"));
    // A key that is another's: what was there stays.
    let other = rcgen::KeyPair::generate().unwrap();
    fs::write(identity.file("key.pem"), other.serialize_pem()).unwrap();
    larder.signal(Signal::HUP);
    larder.until_logged("the one of before stays", 1).await;
    let mut new = connect(&larder, &renewed, b"http/1.1").await.unwrap();
    assert!(ping(&mut new).await.starts_with("HTTP/1.1 200"));
    assert!(larder.terminate().success());
}

#[tokio::test]
async fn what_is_no_tls_or_never_shakes_hands_is_closed() {
    let identity = Identity::new();
    let mut larder = Larder::start_with(identity.options(&["--header-ms-max", "500"]));
    for bytes in [&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"", b"\x16\x03\x01\x00\x05nonse"] {
        let mut stream = TcpStream::connect(larder.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let closed = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{bytes:?} hangs");
        assert!(!answer.starts_with(b"HTTP"), "{bytes:?} was answered in the clear");
    }
    let stranger = Identity::new();
    let mistrusted = connect(&larder, &stranger.certificate, b"http/1.1").await;
    assert!(mistrusted.is_err(), "a stranger's certificate was trusted");
    assert!(larder.lives());
    // Who never says anything is no handshake that failed.
    for counted in ["{reason=\"tls-handshake\"} 3\n", "{reason=\"slow-head\"} 1\n"] {
        let seen = async {
            while !metrics(&larder, &identity).await.contains(counted) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{counted}"));
    }
    let mut stream = connect(&larder, &identity.certificate, b"http/1.1").await.unwrap();
    assert!(ping(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[test]
fn a_key_of_another_certificate_is_refused_at_the_start() {
    let identity = Identity::new();
    let other = rcgen::KeyPair::generate().unwrap();
    fs::write(identity.file("key.pem"), other.serialize_pem()).unwrap();
    let said = Larder::refused(identity.options(&[]));
    assert!(said.contains("tls_key") && said.contains("key.pem"), "{said}");
}

/// Keys that nobody has a use for.
const ON_P521: &str = "\
-----BEGIN PRIVATE KEY-----
MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIBcP51KG4V4Aepn1LI
QTSrGwLWWnGofdyjuEzVyw9reO3ySmcGFaNwGvsjZx0vqdAixrjD8sORA9g41b56
gIuzT66hgYkDgYYABAGJkjvHx0Tw2NRJJ1IVxVld1fpQ54kcCY8IEnX0qf5T94Tu
r4PsELG+g4b1RphY/znuMKT1SurnNNNEim+MT4vd+QAOUMF35pZFdy7fRMiHw9Hl
siVXSvd5M7mNZfI1VUBiXhtW0lGWZ45apmTV2bjN/yQiyEpbyqBgDUnfmuYfS8Pv
eg==
-----END PRIVATE KEY-----
";
const RSA_1024: &str = "\
-----BEGIN PRIVATE KEY-----
MIICeAIBADANBgkqhkiG9w0BAQEFAASCAmIwggJeAgEAAoGBAMYyiaN2SAEAzcP2
J1eV5uzyQA/UeHCx8EG6TxgSihXBtGxCVNB0aIq2oeyWBWyd52aRzSii52DWFKF3
xexGobnqsqe4g4LuLPIeHtCopgolu7Cn8F5YBTKHnKhu4a42UrzLA7uQw72fvbhR
0SXVlqO3PwLrE3RPX3H5JRNCDp4LAgMBAAECgYEAg4XR9JlvWssPwPS+Us70+VQg
0uBqNE7AYr2h8xWKcLmkYxr5cYNuRG7BsWA0pUl734LtpAPGi2pFMolq3Epa0vrZ
a+1Q4z6I2Ag28ZP/7KlkB5FAKyHVZU4xHABEZXGjGMngiZU4z1ZGG4bbjaXMdq8l
s6SseApHenIhcLwmZBECQQD4cbtMyxIiSCluuw4d7cSxVjf3zEGVpcbgfwmq1hc1
e9IlFLTm1cuLlxUJSLLg/1v97cHrY6KtdrC4fngI6nj3AkEAzDmbp6avE/1rzZfP
DQM2k+6DYctj3foVy8kdHYo4U3hCtwUgdZ7aPoBD9wL6Q6gTv8pJHqwVKzHlKXWC
MlRyjQJAbZRsUmC3LNu7OpXSkizPNpCauvcibkjiQR6HOwyWzAZDGAvcBnyB/J20
r5WbIFZBUuzNPW+CzxOsupM9imEw3QJBALa2y8ZA4N7Xmn2EVqBjwY60lCMInz7Y
ImwCcOQe56n2LGomUhYpm0TT6Pq0VUf2tkSfLLAecYoFx+tB0MxKtXkCQQCiepGx
vss+G0JEZJA0CJ8qzsMovoBXGeAtn4OT4UVl2NIZhyhtujbJ+c5zWPuZfj2W65It
EUk9XYRFjYWmZrFa
-----END PRIVATE KEY-----
";
const ENCRYPTED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhTBlIqGsT0PAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEM9tE7vdzWXWLzAvtNcUIzUEQNxE
uL6sMFdY6wYfWaKoE8oCkEXG0JVqVPbTo4HC+JHuEs2KJTQA6FrrFXPX8CRqlct4
aiOLA3ylZrWHMdGdgLg=
-----END ENCRYPTED PRIVATE KEY-----
";
const ENCRYPTED_IN_THE_OLD_WAY: &str = "\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,E7D38B1D37A8843A29B1553FD43D4D43

oMVGh3cpqY5NeXtdZfIP2FaCw5Hyb9xW/ln1DgIsz6P/UsKyOJUV11Vrf/bTTyfx
9to+TReeQQ46zzBlg+CO46b/Kz9eUdTsW8W7Oakcqaq++zqJX1AWfSGgFry/9JLx
jEKUybtJ6hzsp4bgq71P31rU6rfRIU5PmFudMcO7OsY=
-----END EC PRIVATE KEY-----
";

#[test]
fn a_key_that_cannot_be_used_is_told_by_what_it_is() {
    let identity = Identity::new();
    let sound = fs::read_to_string(identity.file("key.pem")).unwrap();
    let certificate = fs::read_to_string(identity.file("cert.pem")).unwrap();
    let cut = &sound[..sound.len() - 30];
    let damaged = sound.replace("\nM", "\n!");
    for (key, said) in [
        (ON_P521, "an elliptic key on P-521 cannot be used; RSA of 2048 to 4096 bits"),
        (RSA_1024, "an RSA key of 1024 bits cannot be used; RSA of 2048 to 4096 bits"),
        (ENCRYPTED, "the key is encrypted"),
        (ENCRYPTED_IN_THE_OLD_WAY, "the key is encrypted"),
        (cut, "it is cut short: the line -----END PRIVATE KEY----- is missing"),
        (&damaged, "it is damaged"),
        (&certificate, "there is no private key in it"),
        ("", "there is no private key in it; it takes PEM: it is empty"),
        ("0\u{82}", "it seems to be DER"),
    ] {
        fs::write(identity.file("key.pem"), key).unwrap();
        let told = Larder::refused(identity.options(&[]));
        assert!(told.contains("tls_key ") && told.contains(said), "{said:?} in {told:?}");
    }
}

#[tokio::test]
async fn the_mark_that_editors_put_before_a_text_does_not_matter() {
    let identity = Identity::new();
    for name in ["cert.pem", "key.pem"] {
        let text = fs::read_to_string(identity.file(name)).unwrap();
        fs::write(identity.file(name), format!("\u{feff}{text}")).unwrap();
    }
    let larder = Larder::start_with(identity.options(&[]));
    let mut stream = connect(&larder, &identity.certificate, b"http/1.1").await.unwrap();
    assert!(ping(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[test]
fn plain_http_off_loopback_is_served_only_when_asked_for_by_name() {
    let open = || Some("0.0.0.0:0".to_owned());
    let said = Larder::refused(Options { listen: open(), ..Options::default() });
    for word in ["listen = 0.0.0.0:0", "tls_certificate", "plain_http = true"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    let identity = Identity::new();
    for asked in [Options::config("plain_http = true"), identity.options(&[])] {
        let mut larder = Larder::start_with(Options { listen: open(), ..asked });
        assert!(larder.lives());
    }
}
