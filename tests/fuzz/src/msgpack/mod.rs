//! The target `msgpack`: bodies in MessagePack, held against a reader of our own, written from the
//! specification with nothing shared, and against rmpv; and partial bodies, without their large binary, held
//! against the whole.

mod oracle;

use std::borrow::Cow;

use larder_api::codec::Node;
use larder_api::partial_body::{self, PartialBody};
use larder_wire::Encoding;

use self::oracle::Fault;
use crate::fields::{self, Decoder, Verdict};
use crate::target::Target;

/// Nesting down to which rmpv goes along.
const DEPTH_MAX: usize = 500;

/// The target.
pub const TARGET: Target = Target {
    name: "msgpack",
    input_bytes_max: 512,
    judge: |body| {
        judge(body, &fields::decode)?;
        judge_partial(body, &read_partially)
    },
};

/// How many first bytes are searched for a large binary: so few that small bodies have one beyond them.
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

/// A reader of partial bodies under test: it searches so many first bytes for a large binary.
pub type PartialReader = dyn Fn(&[u8], u64) -> Option<PartialBody>;

/// Reads a body partially, as the guest does.
#[must_use]
pub fn read_partially(body: &[u8], head: u64) -> Option<PartialBody> {
    let read = |offset: u64, length: u64| body[offset as usize..][..length as usize].to_vec();
    partial_body::read_partially(body.len() as u64, head, read)
}

/// Holds what is decoded from a partial body against what is decoded from the whole.
///
/// # Errors
/// Where they differ.
pub fn judge_partial(body: &[u8], reader: &PartialReader) -> Result<(), String> {
    for head in HEADS {
        let Some(PartialBody { bytes, elided }) = reader(body, head) else {
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
                return Err(format!("partial {:?}, whole {:?}", short.err(), whole.err()));
            }
        };
        for (short, whole) in short.iter().zip(&whole) {
            let range = match &short.node {
                Some(Node::Bin(Cow::Borrowed(value))) => {
                    partial_body::range_of(&bytes, Some(elided), value)
                }
                _ => None,
            };
            let elided_bytes = range
                .and_then(|(offset, length)| body.get(offset as usize..)?.get(..length as usize));
            let same = match (elided_bytes, &whole.node) {
                (Some(bytes), Some(Node::Bin(value))) => bytes == &value[..],
                (Some(_), _) => false,
                (None, node) => short.node == *node,
            };
            if !same {
                return Err(format!(
                    "partial {:?} with {elided:?}, whole {:?}",
                    short.node, whole.node
                ));
            }
        }
    }
    Ok(())
}
