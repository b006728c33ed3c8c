//! The target `requests`: bodies of the endpoints whose fields have bounds or whose arrays have elements. The
//! first byte chooses the endpoint and what the rest is: a body, or choices of which one is made. The same
//! body is refused or taken alike in both encodings, and taken when the contract allows it.

mod endpoint;
mod generate;
mod rules;
mod tree;

use larder_api::error::Error;
use larder_wire::Encoding;
use rmpv::Value;

pub use self::endpoint::{Decoder, ENDPOINTS, Endpoint, decode};
use crate::choices::Choices;
use crate::target::Target;

/// The bit of the first byte with which the rest is a body. ASCII's small letters have it.
const IS_BODY: u8 = 0x20;
/// Longest sentence that a refusal may hold, in bytes.
const DETAIL_BYTES_MAX: usize = 200;

/// The target.
pub const TARGET: Target =
    Target { name: "requests", input_bytes_max: 512, judge: |input| judge(input, &decode) };

/// Tries an input.
///
/// # Errors
/// What was promised and did not hold.
pub fn judge(input: &[u8], decoder: &Decoder) -> Result<(), String> {
    let Some((first, rest)) = input.split_first() else {
        return Ok(());
    };
    let endpoint = ENDPOINTS[usize::from(*first) % ENDPOINTS.len()];
    if first & IS_BODY == 0 {
        let tree = generate::body(&mut Choices::new(rest), endpoint);
        return judge_tree(endpoint, &tree, decoder);
    }
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        if let Err(error) = decoder(endpoint, rest, encoding) {
            refused(&error)?;
        }
    }
    // Fields that are there twice are once in the tree; the generated bodies have such ones.
    tree::of_json(rest).map_or(Ok(()), |tree| judge_tree(endpoint, &tree, decoder))
}

/// Holds what is decoded from a tree in each encoding against the other, and against the rules.
fn judge_tree(endpoint: Endpoint, tree: &Value, decoder: &Decoder) -> Result<(), String> {
    let (json, msgpack) = (tree::to_json(tree), tree::to_msgpack(tree));
    let found = [
        decoder(endpoint, json.as_bytes(), Encoding::Json),
        decoder(endpoint, &msgpack, Encoding::MessagePack),
    ];
    let is_valid = rules::is_valid(endpoint, tree);
    match found {
        [Ok(in_json), Ok(in_msgpack)] if in_json != in_msgpack => {
            Err(format!("{endpoint:?}: JSON {in_json}, MessagePack {in_msgpack}"))
        }
        [Ok(_), Ok(_)] if is_valid => Ok(()),
        [Ok(told), Ok(_)] => Err(format!("{endpoint:?} took what it must refuse: {told}")),
        [Err(in_json), Err(in_msgpack)] => {
            let told = |error: &Error| (error.status, error.code, error.location.clone());
            let (in_json_told, in_msgpack_told) = (told(&in_json), told(&in_msgpack));
            if in_json_told != in_msgpack_told {
                let both = format!("JSON {in_json_told:?}, MessagePack {in_msgpack_told:?}");
                return Err(format!("{endpoint:?}: {both}"));
            }
            if is_valid || in_json.is_malformed() {
                return Err(format!("{endpoint:?} refused what is in order: {in_json:?}"));
            }
            refused(&in_json)
        }
        [in_json, in_msgpack] => {
            Err(format!("{endpoint:?}: JSON {in_json:?}, MessagePack {in_msgpack:?}"))
        }
    }
}

/// A refusal is one of a malformed document, or of a well-formed one at a place.
fn refused(error: &Error) -> Result<(), String> {
    let is_told = match (error.status, error.code) {
        (400, "invalid-encoding") => error.location.is_none(),
        (422, "invalid-data") => error.location.is_some(),
        _ => false,
    };
    if !is_told || error.detail.is_empty() || error.detail.len() > DETAIL_BYTES_MAX {
        return Err(format!("refused with {error:?}"));
    }
    Ok(())
}
