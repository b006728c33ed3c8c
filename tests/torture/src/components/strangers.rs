//! Components that strangers may bring: real ones changed at random, cut short or filled up, others
//! for other worlds, compiled code in disguise, and bombs. Knows what is due to each; loads none.

use std::fs;

use fastrand::Rng;
use larder_tests::guest_file;

use super::bombs::{self, Scale};
use crate::guests::text;

/// Guests that the build makes.
const BUILT: [&str; 3] = ["larder_test_guest", "larder_example_visits", "larder_api"];
/// Components in text, and why each is refused.
const MISFITS: [(&str, &str); 12] = [
    ("(component)", "does not export larder:guest/incoming-handler"),
    ("(module)", "core module"),
    ("(module (func (export \"handle\")))", "core module"),
    (r#"(component (import "foo:bar/baz@1.0.0" (instance)))"#, "imports foo:bar/baz@1.0.0"),
    (r#"(component (import "larder:guest/kv@0.2.0" (instance)))"#, "offers larder:guest@0.1.2"),
    (r#"(component (import "larder:guest/kv@0.1.3" (instance)))"#, "offers larder:guest@0.1.2"),
    (r#"(component (import "larder:guest/kv@1.0.0" (instance)))"#, "offers larder:guest@0.1.2"),
    (r#"(component (import "larder:guest/files@0.1.0" (instance)))"#, "does not offer"),
    (r#"(component (import "wasi:http/types@0.2.0" (instance)))"#, "does not offer"),
    (r#"(component (import "wasi:cli/environment@0.3.0" (instance)))"#, "does not offer"),
    (
        r#"(component (instance $i) (export "larder:guest/incoming-handler@0.3.0" (instance $i)))"#,
        "larder:guest@0.1.2",
    ),
    (
        r#"(component (instance $i) (export "larder:guest/incoming-handler@0.1.0" (instance $i)))"#,
        "does not fit",
    ),
];
const HEADER_BYTES: usize = 8;

/// What must become of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is a guest like any other.
    Served,
    /// It is refused, in these words.
    Refused(&'static str),
    /// Whether it is valid still is not known; if not it is refused for some reason.
    Either,
}

/// A stranger's component.
#[derive(Clone, Debug)]
pub struct Component {
    /// Names it; the first word is its kind.
    pub name: String,
    /// What is in its file.
    pub bytes: Vec<u8>,
    /// What must become of it.
    pub due: Due,
}

impl Component {
    fn new(name: impl Into<String>, bytes: Vec<u8>, due: Due) -> Self {
        Self { name: name.into(), bytes, due }
    }
}

/// Draws so many, of all kinds.
///
/// # Errors
/// When those that they are made of are not there.
pub fn draw(rng: &mut Rng, count: usize, scale: Scale) -> Result<Vec<Component>, String> {
    let mut real = Vec::new();
    for name in BUILT {
        real.push(fs::read(guest_file(name)).map_err(|error| format!("{name}: {error}"))?);
    }
    // Small ones stay valid more often, and what is changed in them lies deeper.
    for text in &text::ALL[..12] {
        real.push(text.component()?);
    }
    (0..count).map(|number| one(rng, number, &real, scale)).collect()
}

fn one(rng: &mut Rng, number: usize, real: &[Vec<u8>], scale: Scale) -> Result<Component, String> {
    let good = &real[rng.usize(..real.len())];
    Ok(match number % 20 {
        0 => Component::new(format!("valid {number}"), labelled(rng, good.clone()), Due::Served),
        1 | 2 => {
            let (text, reason) = MISFITS[rng.usize(..MISFITS.len())];
            let bytes = wat::parse_str(text).map_err(|error| error.to_string())?;
            Component::new(format!("misfit {text}"), bytes, Due::Refused(reason))
        }
        3 => Component::new(
            format!("artefact {number}"),
            artefact(rng, good),
            Due::Refused("it is not a WebAssembly component"),
        ),
        4 | 5 => {
            let mut bytes = good.clone();
            bytes.truncate(rng.usize(HEADER_BYTES + 1..good.len()));
            Component::new(format!("truncated {number}"), bytes, Due::Either)
        }
        6 => {
            let (name, bytes) = bombs::draw(rng, scale);
            Component::new(format!("bomb {number} {name}"), bytes, Due::Either)
        }
        _ => Component::new(format!("mutant {number}"), mutant(rng, good, real), Due::Either),
    })
}

/// The same with another custom section or two at its end: changed, and as valid as before.
fn labelled(rng: &mut Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.usize(1..3) {
        let data: Vec<u8> = (0..rng.usize(..1000)).map(|_| rng.u8(..)).collect();
        let section = wasm_encoder::CustomSection { name: "stranger".into(), data: data.into() };
        wasm_encoder::Section::append_to(&section, &mut bytes);
    }
    bytes
}

/// Code as a compiler leaves it behind: an ELF file; or something else that is no component.
fn artefact(rng: &mut Rng, good: &[u8]) -> Vec<u8> {
    let magic: [&[u8]; 6] = [
        b"\x7fELF\x02\x01\x01\xc8",
        b"\0asm\x0d\0\x01\x01",
        b"\0asm\x0e\0\x01\0",
        b"#!/bin/sh",
        b"\0as",
        b"",
    ];
    [magic[rng.usize(..magic.len())], &good[HEADER_BYTES..rng.usize(HEADER_BYTES..good.len())]]
        .concat()
}

/// A real component in which something is changed, behind its header.
fn mutant(rng: &mut Rng, good: &[u8], real: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let at = |rng: &mut Rng, bytes: &[u8]| rng.usize(HEADER_BYTES..bytes.len());
    match rng.u8(..7) {
        0 => (0..rng.usize(1..20)).for_each(|_| {
            let at = at(rng, &bytes);
            bytes[at] ^= 1 << rng.u8(..8);
        }),
        1 => {
            let at = at(rng, &bytes);
            bytes[at] = rng.u8(..);
        }
        // A number that says more than there is.
        2 => {
            let at = at(rng, &bytes);
            let number = [0xff, 0xff, 0xff, 0xff, 0x0f];
            bytes.splice(at..at, number[rng.usize(..5)..].iter().copied());
        }
        3 => {
            let (from, to) = (at(rng, &bytes), at(rng, &bytes));
            let end = from + (bytes.len() - from).min(rng.usize(1..200));
            let part = bytes[from..end].to_vec();
            bytes.splice(to..to, part);
        }
        4 => {
            let from = at(rng, &bytes);
            let end = from + (bytes.len() - from).min(rng.usize(1..200));
            bytes.drain(from..end);
        }
        // The head of one and the tail of another.
        5 => {
            let other = &real[rng.usize(..real.len())];
            let (from, to) = (at(rng, &bytes), at(rng, other));
            bytes.truncate(from);
            bytes.extend_from_slice(&other[to..]);
        }
        _ => rng.fill(&mut bytes[HEADER_BYTES..]),
    }
    bytes
}
