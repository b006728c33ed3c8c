//! The target `json`: bodies in JSON, held against a parser of our own, written from RFC 8259 with
//! nothing shared, and against serde_json's grammar.

mod oracle;

use larder_wire::Encoding;
use serde::de::IgnoredAny;

use crate::fields::{self, Decoder, Verdict};
use crate::target::Target;

/// The target.
pub const TARGET: Target =
    Target { name: "json", input_bytes_max: 512, judge: |body| judge(body, &fields::decode) };

/// Holds a decoder against the oracles.
///
/// # Errors
/// Where they differ.
pub fn judge(body: &[u8], decoder: &Decoder) -> Result<(), String> {
    let wanted = oracle::verdict(body);
    let text = std::str::from_utf8(body);
    // It takes any number and any escape, so it knows the grammar and nothing else.
    let well_formed = text.is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    if well_formed == matches!(wanted, Verdict::Malformed) {
        return Err(format!("the oracles differ: well-formed {well_formed}, {wanted:?}"));
    }
    fields::judge(body, Encoding::Json, &wanted, decoder)
}
