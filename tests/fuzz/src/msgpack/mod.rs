//! The target `msgpack`: bodies in MessagePack, held against a reader of our own, written from the
//! specification with nothing shared, and against rmpv; and what is left of bodies without their large
//! binary, held against the whole.

mod oracle;

use std::borrow::Cow;

use larder_api::abridged::{self, Abridged};
use larder_api::codec::Node;
use larder_wire::Encoding;

use self::oracle::Fault;
use crate::Target;
use crate::fields::{self, Decoder, Verdict};

/// Nesting down to which rmpv goes along.
const DEPTH_MAX: usize = 500;

/// The target.
pub const TARGET: Target = Target {
    name: "msgpack",
    input_bytes_max: 512,
    judge: |body| {
        judge(body, &fields::decode)?;
        judge_abridged(body, &abridge)
    },
};

/// Beginnings that are looked through for a large binary, in bytes: so short that small bodies have some.
const HEADS: [u64; 2] = [8, 32];

/// Holds a decoder against the oracles.
///
/// # Errors
/// Where they differ.
pub fn judge(body: &[u8], decoder: &Decoder) -> Result<(), String> {
    let mut reader = oracle::Reader::new(body);
    let wanted = reader.document();
    if reader.depth_max() < DEPTH_MAX {
        let mut rest = body;
        let whole = rmpv::decode::read_value_ref(&mut rest).is_ok() && rest.is_empty();
        let agreed = match &wanted {
            // rmpv takes strings of any bytes, and the byte that begins nothing for nil.
            Err(Fault::NotUtf8 | Fault::Reserved) => true,
            Err(Fault::CutShort | Fault::Followed) => !whole,
            Ok(_) => whole,
        };
        if !agreed {
            return Err(format!("the oracles differ: whole {whole}, {wanted:?}"));
        }
    }
    let wanted = wanted.unwrap_or(Verdict::Malformed);
    fields::judge(body, Encoding::MessagePack, &wanted, decoder)
}

/// What abridges a body, of which it looks through so many bytes.
pub type Abridger = dyn Fn(&[u8], u64) -> Option<Abridged>;

/// Abridges as the guest does.
#[must_use]
pub fn abridge(body: &[u8], head: u64) -> Option<Abridged> {
    let read = |offset: u64, length: u64| body[offset as usize..][..length as usize].to_vec();
    abridged::abridge(body.len() as u64, head, read)
}

/// Holds what an abridged body is taken for against what the whole is taken for.
///
/// # Errors
/// Where they differ.
pub fn judge_abridged(body: &[u8], abridger: &Abridger) -> Result<(), String> {
    for head in HEADS {
        let Some(Abridged { bytes, gap }) = abridger(body, head) else {
            continue;
        };
        let [short, whole] =
            [&bytes[..], body].map(|body| fields::decode(body, Encoding::MessagePack));
        let (short, whole) = match (short, whole) {
            (Ok(short), Ok(whole)) => (short, whole),
            (Err(short), Err(whole))
                if (short.status, &short.location) == (whole.status, &whole.location) =>
            {
                continue;
            }
            (short, whole) => {
                return Err(format!("abridged {:?}, whole {:?}", short.err(), whole.err()));
            }
        };
        for (short, whole) in short.iter().zip(&whole) {
            let place = match &short.node {
                Some(Node::Bin(Cow::Borrowed(value))) => abridged::place(&bytes, Some(gap), value),
                _ => None,
            };
            let left_out = place
                .and_then(|(offset, length)| body.get(offset as usize..)?.get(..length as usize));
            let same = match (left_out, &whole.node) {
                (Some(left_out), Some(Node::Bin(value))) => left_out == &value[..],
                (Some(_), _) => false,
                (None, node) => short.node == *node,
            };
            if !same {
                return Err(format!(
                    "abridged {:?} with {gap:?}, whole {:?}",
                    short.node, whole.node
                ));
            }
        }
    }
    Ok(())
}
