//! The two requests that a connection of HTTP/1.1 repeats, by its work: one that reads and one that
//! writes. Owns the bodies of pages, batches and sums, in MessagePack, and the plain face's request.

use larder_wire::Encoding;

use super::keys::{self, KEY_BYTES};
use super::stream::{BATCH_KEYS, PAGE_KEYS, Stream, Work};
use super::template::{self, SetForm, TOKEN, Template};

/// What begins the keys of sums, as long as what begins other keys: a filled value is no number.
const SUM_PREFIX: &[u8] = b"sum-";

/// What a connection repeats.
pub struct Requests {
    /// What reads.
    pub read: Template,
    /// What writes.
    pub write: Template,
}

impl Requests {
    /// Those of a stream's work, or a get and a set.
    pub fn of(stream: &Stream, form: SetForm) -> Self {
        let own = |route, body| template::post(route, Encoding::MessagePack, body);
        let read = match stream.work {
            Work::List => own("/api/v1.kv.list", page()),
            Work::Plain => plain(),
            _ => template::http1(stream.encoding, None),
        };
        let write = match stream.work {
            Work::Batch => own("/api/v1.kv.batch", batch(form.value_bytes)),
            Work::Add => own("/api/v1.kv.add", add()),
            _ => template::http1(stream.encoding, Some(form)),
        };
        Self { read, write }
    }
}

/// The body of a page with values behind a key.
fn page() -> Template {
    let mut bytes = b"\x83\xa5limit".to_vec();
    bytes.push(PAGE_KEYS as u8);
    bytes.extend_from_slice(b"\xa6values\xc3\xa5after");
    let key_at = push_key(&mut bytes, &keys::name(0));
    Template::new(bytes, vec![key_at])
}

/// The body of a batch of sets.
fn batch(value_bytes: usize) -> Template {
    let mut bytes = b"\x81\xaaoperations\xdc".to_vec();
    bytes.extend_from_slice(&(BATCH_KEYS as u16).to_be_bytes());
    let mut keys_at = Vec::with_capacity(BATCH_KEYS);
    for _ in 0..BATCH_KEYS {
        bytes.extend_from_slice(b"\x83\xa2op\xa3set\xa3key");
        keys_at.push(push_key(&mut bytes, &keys::name(0)));
        template::push_value(&mut bytes, Encoding::MessagePack, value_bytes);
    }
    Template::new(bytes, keys_at)
}

/// The body of an add of 1.
fn add() -> Template {
    let mut key = keys::name(0);
    key[..SUM_PREFIX.len()].copy_from_slice(SUM_PREFIX);
    let mut bytes = b"\x81\xa3key".to_vec();
    let key_at = push_key(&mut bytes, &key);
    Template::new(bytes, vec![key_at])
}

/// Writes a key as text in MessagePack; where it stands.
fn push_key(bytes: &mut Vec<u8>, key: &[u8; KEY_BYTES]) -> usize {
    bytes.push(0xa0 | KEY_BYTES as u8);
    let key_at = bytes.len();
    bytes.extend_from_slice(key);
    key_at
}

/// A whole `GET` of the plain face.
fn plain() -> Template {
    let mut bytes = b"GET /kv/default/".to_vec();
    let key_at = bytes.len();
    bytes.extend_from_slice(&keys::name(0));
    let rest = format!(" HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    bytes.extend_from_slice(rest.as_bytes());
    Template::new(bytes, vec![key_at])
}

#[cfg(test)]
mod tests {
    use larder_api::endpoint::{add, batch, list};

    use super::*;

    const FORM: SetForm = SetForm { value_bytes: 100, expects: false };

    fn requests(work: Work) -> Requests {
        Requests::of(&Stream::new(work, 1), FORM)
    }

    /// The body of a request to a route.
    fn body<'a>(request: &'a Template, route: &str) -> &'a [u8] {
        let bytes = request.bytes();
        let at = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
        assert!(head.starts_with(&format!("POST /api/{route} HTTP/1.1\r\n")), "{head}");
        assert!(head.ends_with(&format!("content-length: {}\r\n\r\n", bytes.len() - at)));
        &bytes[at..]
    }

    #[test]
    fn a_page_is_of_a_hundred_keys_with_their_values() {
        let mut request = requests(Work::List).read;
        request.set_key(77);
        let body = body(&request, "v1.kv.list");
        let (namespace, options) = list::decode(body, Encoding::MessagePack).expect("a list");
        assert!(namespace.is_none() && options.values && !options.reverse);
        assert_eq!(options.after.as_deref(), Some("key-00000077"));
        assert_eq!((&*options.prefix, options.limit), ("", PAGE_KEYS));
    }

    #[test]
    fn a_batch_sets_every_key_that_is_written_into_it() {
        let mut request = requests(Work::Batch).write;
        let numbers: Vec<u32> = (0..BATCH_KEYS as u32).map(|number| 3 * number).collect();
        request.set_keys(&numbers);
        let body = body(&request, "v1.kv.batch");
        let batch = batch::decode(body, Encoding::MessagePack).expect("a batch");
        assert!(batch.namespace.is_none() && batch.checks.is_empty());
        assert_eq!(batch.operations.len(), BATCH_KEYS);
        for (operation, number) in batch.operations.iter().zip(numbers) {
            let batch::Operation::Set(set) = operation else { panic!("not a set") };
            assert_eq!(set.key.0.as_bytes(), keys::name(number));
            assert_eq!(&*set.value.0, vec![b'v'; 100]);
            assert_eq!(set.options.version, None);
        }
    }

    #[test]
    fn an_add_is_of_1_to_a_key_that_no_set_writes() {
        let mut request = requests(Work::Add).write;
        request.set_key(5);
        let body = body(&request, "v1.kv.add");
        let (namespace, add) = add::decode(body, Encoding::MessagePack).expect("an add");
        assert_eq!((namespace.is_none(), &*add.key.0, add.delta), (true, "sum-00000005", 1));
        assert_eq!((add.options.initial, add.options.version), (0, None));
    }

    #[test]
    fn the_plain_face_is_asked_for_the_key_in_the_path() {
        let mut request = requests(Work::Plain).read;
        request.set_key(12);
        let text = String::from_utf8_lossy(request.bytes()).into_owned();
        assert!(text.starts_with("GET /kv/default/key-00000012 HTTP/1.1\r\n"), "{text}");
        assert!(text.ends_with(&format!("\r\nauthorization: Bearer {TOKEN}\r\n\r\n")), "{text}");
    }

    #[test]
    fn other_work_has_a_get_and_a_set() {
        let Requests { read, write } = requests(Work::Half);
        assert!(read.bytes().starts_with(b"POST /api/v1.kv.get "));
        assert!(write.bytes().starts_with(b"POST /api/v1.kv.set "));
    }
}
