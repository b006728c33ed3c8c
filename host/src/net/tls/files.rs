//! What a file that cannot be used for TLS holds, in words for whoever made it. Reads PEM and the heads of
//! keys; never tells what is secret in one.

use tokio_rustls::rustls::pki_types::pem::Error;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What some editors put before a text in UTF-8.
const MARK: &[u8] = b"\xEF\xBB\xBF";
const KEYS: &str =
    "RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, and Ed25519 can, as PEM and not encrypted";
/// How a sequence begins, which all files in DER are.
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
/// The parameters of an elliptic key that stands by itself.
const PARAMETERS: u8 = 0xA0;

/// Object identifiers of algorithms and curves, and what they are called.
const ALGORITHMS: [(&[u8], &str); 11] = [
    (b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01", RSA),
    (b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A", "an RSA-PSS key"),
    (b"\x2A\x86\x48\xCE\x38\x04\x01", "a DSA key"),
    (b"\x2A\x86\x48\xCE\x3D\x03\x01\x07", "an elliptic key on P-256"),
    (b"\x2B\x81\x04\x00\x22", "an elliptic key on P-384"),
    (b"\x2B\x81\x04\x00\x23", "an elliptic key on P-521"),
    (b"\x2B\x81\x04\x00\x0A", "an elliptic key on secp256k1"),
    (b"\x2B\x65\x70", "an Ed25519 key"),
    (b"\x2B\x65\x71", "an Ed448 key"),
    (b"\x2B\x65\x6E", "an X25519 key"),
    (b"\x2B\x65\x6F", "an X448 key"),
];
const RSA: &str = "an RSA key";

/// What a setting takes from its file.
pub trait Kind {
    /// In words, with what else belongs there.
    const WANTED: &'static str;
}

impl Kind for CertificateDer<'_> {
    const WANTED: &'static str =
        "there is no certificate in it; it takes PEM, the server's own first";
}

impl Kind for PrivateKeyDer<'_> {
    const WANTED: &'static str = "there is no private key in it; it takes PEM";
}

/// The text without the mark that some editors put before it.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// What is wrong with a file that holds nothing of a kind.
pub fn none_of<T: Kind>(text: &[u8]) -> String {
    if is_encrypted(text) {
        return encrypted();
    }
    let wanted = T::WANTED;
    match text.first() {
        None => format!("{wanted}: it is empty"),
        Some(&SEQUENCE) => format!("{wanted}: it seems to be DER; openssl makes PEM of it"),
        Some(b'\xFE' | b'\xFF' | 0) => format!("{wanted}: it seems to be UTF-16"),
        Some(_) => wanted.to_owned(),
    }
}

/// What is wrong with a file that cannot be read as PEM.
pub fn malformed(text: &[u8], error: &Error) -> String {
    if is_encrypted(text) {
        return encrypted();
    }
    match error {
        Error::MissingSectionEnd { end_marker } => format!(
            "it is cut short: the line -----END {}----- is missing",
            String::from_utf8_lossy(end_marker).trim()
        ),
        Error::IllegalSectionStart { .. } => {
            "it is no PEM: a line that begins with ----- is malformed".to_owned()
        }
        Error::Base64Decode(_) => {
            "it is damaged: what stands between its lines of ----- is no base64".to_owned()
        }
        other => other.to_string(),
    }
}

fn is_encrypted(text: &[u8]) -> bool {
    [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|words| text.windows(words.len()).any(|window| window == *words))
}

fn encrypted() -> String {
    "the key is encrypted, and nobody is asked for its password; decrypt it with `openssl pkey` and keep \
     the file to the server's user"
        .to_owned()
}

/// What is wrong with a private key that is well-formed PEM and cannot be used.
pub fn unusable_key(key: &PrivateKeyDer<'_>) -> String {
    let what = match key {
        PrivateKeyDer::Pkcs1(der) => rsa(der.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(der) => sec1(der.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(der) => pkcs8(der.secret_pkcs8_der()),
        _ => None,
    };
    match what {
        Some(what) => format!("{what} cannot be used; {KEYS}"),
        None => format!("it is no private key that is known here; {KEYS}"),
    }
}

/// One element of DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..0x80 => (usize::from(length), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
            let length = digits.iter().try_fold(0usize, |length, digit| {
                length.checked_mul(256)?.checked_add((*digit).into())
            });
            (length?, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The content of an element that must have this tag, and what follows it.
fn tagged(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

fn rsa(der: &[u8]) -> Option<String> {
    let (key, _) = tagged(SEQUENCE, der)?;
    let (_version, rest) = tagged(INTEGER, key)?;
    let (modulus, _) = tagged(INTEGER, rest)?;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let bits = (modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize;
    Some(format!("{RSA} of {bits} bits"))
}

fn sec1(der: &[u8]) -> Option<String> {
    let (key, _) = tagged(SEQUENCE, der)?;
    let (_version, rest) = tagged(INTEGER, key)?;
    let (_secret, rest) = tagged(OCTETS, rest)?;
    let (parameters, _) = tagged(PARAMETERS, rest)?;
    Some(called(tagged(OBJECT, parameters)?.0)?.to_owned())
}

fn pkcs8(der: &[u8]) -> Option<String> {
    let (info, _) = tagged(SEQUENCE, der)?;
    let (_version, rest) = tagged(INTEGER, info)?;
    let (algorithm, rest) = tagged(SEQUENCE, rest)?;
    let (object, parameters) = tagged(OBJECT, algorithm)?;
    // Of an elliptic key the curve tells more than the algorithm.
    let curve = tagged(OBJECT, parameters).and_then(|(curve, _)| called(curve));
    match curve.or_else(|| called(object))? {
        RSA => rsa(tagged(OCTETS, rest)?.0),
        what => Some(what.to_owned()),
    }
}

fn called(object: &[u8]) -> Option<&'static str> {
    ALGORITHMS.iter().find(|(known, _)| *known == object).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence of DER, or another element.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }

    fn rsa_of(bytes: usize) -> Vec<u8> {
        let modulus = [vec![0, 0x80], vec![1; bytes - 1]].concat();
        der(SEQUENCE, &[der(INTEGER, &[0]), der(INTEGER, &modulus)].concat())
    }

    #[test]
    fn a_key_is_told_by_its_kind_and_size_in_all_three_forms() {
        assert_eq!(rsa(&rsa_of(1024)).as_deref(), Some("an RSA key of 8192 bits"));
        let algorithm = der(SEQUENCE, &der(OBJECT, ALGORITHMS[0].0));
        let parts = [der(INTEGER, &[0]), algorithm, der(OCTETS, &rsa_of(128))].concat();
        assert_eq!(pkcs8(&der(SEQUENCE, &parts)).as_deref(), Some("an RSA key of 1024 bits"));
        let curve = der(OBJECT, b"\x2B\x81\x04\x00\x23");
        let elliptic = der(OBJECT, b"\x2A\x86\x48\xCE\x3D\x02\x01");
        let algorithm = der(SEQUENCE, &[elliptic, curve.clone()].concat());
        let parts = [der(INTEGER, &[0]), algorithm, der(OCTETS, b"x")].concat();
        assert_eq!(pkcs8(&der(SEQUENCE, &parts)).as_deref(), Some("an elliptic key on P-521"));
        let parts = [der(INTEGER, &[1]), der(OCTETS, b"x"), der(PARAMETERS, &curve)].concat();
        assert_eq!(sec1(&der(SEQUENCE, &parts)).as_deref(), Some("an elliptic key on P-521"));
    }

    #[test]
    fn bytes_of_any_kind_are_no_key_and_no_harm() {
        let whole = rsa_of(256);
        for length in 0..whole.len().min(40) {
            let _ = (rsa(&whole[..length]), sec1(&whole[..length]), pkcs8(&whole[..length]));
        }
        for bytes in
            [&b""[..], b"\x30", b"\x30\x88\xFF", b"\x30\x89\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"]
        {
            assert_eq!((rsa(bytes), sec1(bytes), pkcs8(bytes)), (None, None, None));
        }
        assert_eq!(rsa(&der(SEQUENCE, &[der(INTEGER, &[0]), der(INTEGER, &[0])].concat())), None);
    }
}
