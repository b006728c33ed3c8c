//! The target `msgpack`: bodies in MessagePack, held against a reader of our own, written from the
//! specification with nothing shared, and against rmpv.

mod oracle;

use larder_wire::Encoding;

use self::oracle::Fault;
use crate::Target;
use crate::fields::{self, Decoder, Verdict};

/// Nesting down to which rmpv goes along.
const DEPTH_MAX: usize = 500;

/// The target.
pub const TARGET: Target =
    Target { name: "msgpack", input_bytes_max: 512, judge: |body| judge(body, &fields::decode) };

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
