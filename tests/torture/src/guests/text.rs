//! Guests that Rust cannot express: core modules in WebAssembly text that break the canonical ABI,
//! forge handles and trap, wrapped into components of the world `handler`. Knows their text and what
//! becomes of their calls; mounts nothing.

use std::fs;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use super::kind::Expected::{self, Internal, Says, Timeout};

/// A module that answers 200, and the one place where it is hostile.
pub struct Text {
    /// Names it.
    pub name: &'static str,
    place: Place,
    text: &'static str,
    /// What its callers must be told.
    pub expected: Expected,
}

/// Where a module is hostile.
enum Place {
    /// In the body of `handle`, whose answer may lie at `$answer`.
    Handle,
    /// In the body of `cabi_realloc`, which host and adapter call for memory.
    Realloc,
    /// Beside them.
    Module,
}

const fn handle(name: &'static str, text: &'static str, expected: Expected) -> Text {
    Text { name, place: Place::Handle, text, expected }
}

const fn realloc(name: &'static str, text: &'static str, expected: Expected) -> Text {
    Text { name, place: Place::Realloc, text, expected }
}

const fn module(name: &'static str, text: &'static str, expected: Expected) -> Text {
    Text { name, place: Place::Module, text, expected }
}

/// All of them.
pub const ALL: [Text; 50] = [
    handle("plain", "(call $answer)", Says("")),
    // Time.
    handle("loop", "(loop $l (br $l)) (unreachable)", Timeout),
    module("start-loop", "(func $s (loop $l (br $l))) (start $s)", Timeout),
    module("start-trap", "(func $s (unreachable)) (start $s)", Internal),
    realloc("realloc-loop", "(loop $l (br $l)) (unreachable)", Timeout),
    handle(
        "fill-loop",
        "(drop (memory.grow (i32.const 900))) (loop $l (memory.fill (i32.const 65536) (i32.const 1) (i32.const 50000000)) (br $l)) (unreachable)",
        Timeout,
    ),
    handle(
        "hoard-and-loop",
        "(drop (memory.grow (i32.const 1000))) (memory.fill (i32.const 65536) (i32.const 1) (i32.const 60000000)) (loop $l (br $l)) (unreachable)",
        Timeout,
    ),
    // Memory that `cabi_realloc` gives.
    realloc("realloc-trap", "(unreachable)", Internal),
    realloc("realloc-beyond", "(i32.const 0xfffffff0)", Internal),
    realloc("realloc-at-the-end", "(i32.const 0x1ffff)", Internal),
    realloc("realloc-unaligned", "(i32.const 4097)", Internal),
    realloc(
        "realloc-recursion",
        "(call $realloc (local.get 0) (local.get 1) (local.get 2) (local.get 3))",
        Internal,
    ),
    // Traps.
    handle("unreachable", "(unreachable)", Internal),
    // A name with a line of its own, and with what clears a terminal, in both of its forms.
    module(
        "names",
        r#"(func $"a\nforged\1b[2J\c2\9b2J" (unreachable)) (start $"a\nforged\1b[2J\c2\9b2J")"#,
        Internal,
    ),
    handle("divide-by-zero", "(i32.div_u (i32.const 1) (i32.const 0))", Internal),
    handle("divide-overflow", "(i32.div_s (i32.const 0x80000000) (i32.const -1))", Internal),
    handle("truncate", "(i32.trunc_f32_s (f32.const nan))", Internal),
    handle("load-beyond", "(i32.load (i32.const 0xfffffffc))", Internal),
    handle("load-over-the-end", "(i32.load (i32.const 0x1fffd))", Internal),
    handle(
        "store-beyond",
        "(i64.store offset=0xffffffff (i32.const -1) (i64.const 1)) (call $answer)",
        Internal,
    ),
    handle(
        "copy-beyond",
        "(memory.copy (i32.const 0) (i32.const 1) (i32.const -1)) (call $answer)",
        Internal,
    ),
    handle("call-null", "(call_indirect (result i32) (i32.const 1))", Internal),
    handle("call-beyond", "(call_indirect (result i32) (i32.const 99999))", Internal),
    handle(
        "call-of-another-type",
        "(call_indirect (param i32) (result i32) (i32.const 7) (i32.const 0))",
        Internal,
    ),
    // Bombs.
    handle("recursion", "(call $handle (local.get 0))", Internal),
    handle(
        "memory",
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (memory.fill (i32.const 4096) (i32.const 1) (i32.const 60000000)) (unreachable)",
        Internal,
    ),
    handle(
        "table",
        "(loop $l (br_if $l (i32.ne (table.grow $t (ref.func $answer) (i32.const 100)) (i32.const -1)))) (unreachable)",
        Internal,
    ),
    // Answers.
    handle("answer-beyond", "(i32.const 0xfffffff0)", Internal),
    handle("answer-unaligned", "(i32.add (call $answer) (i32.const 1))", Internal),
    handle("headers-4-gib", "(call $headers (i32.const 0) (i32.const -1))", Internal),
    handle("headers-beyond", "(call $headers (i32.const 0x1fff0) (i32.const 5))", Internal),
    handle("headers-unaligned", "(call $headers (i32.const 4097) (i32.const 1))", Internal),
    handle(
        "header-not-utf-8",
        "(i32.store (i32.const 2048) (i32.const 64)) (i32.store (i32.const 2052) (i32.const 2)) (call $headers (i32.const 2048) (i32.const 1))",
        Internal,
    ),
    handle(
        "header-4-gib",
        "(i32.store (i32.const 2052) (i32.const -1)) (call $headers (i32.const 2048) (i32.const 1))",
        Internal,
    ),
    handle("body-overflow", "(call $body (i32.const 2048) (i32.const 0x15555556))", Internal),
    handle(
        "body-4-gib",
        "(call $part (i32.const 0) (i32.const 0) (i32.const -1)) (call $body (i32.const 2048) (i32.const 1))",
        Internal,
    ),
    handle(
        "body-of-no-case",
        "(call $part (i32.const 7) (i32.const 0) (i32.const 0)) (call $body (i32.const 2048) (i32.const 1))",
        Internal,
    ),
    // The same 60 KiB, said to be five thousand parts.
    handle(
        "body-repeated",
        "(local $n i32) (loop $l (i32.store offset=65544 (i32.mul (local.get $n) (i32.const 12)) (i32.const 61440)) (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5000)))) (call $body (i32.const 65536) (i32.const 5000))",
        Internal,
    ),
    // Handles.
    handle(
        "blob-forged",
        "(call $part (i32.const 1) (i32.const 999) (i32.const 0)) (call $body (i32.const 2048) (i32.const 1))",
        Internal,
    ),
    handle("blob-length-forged", "(drop (call $length (i32.const 5))) (call $answer)", Internal),
    handle(
        "blob-sent-twice",
        "(call $part (i32.const 1) (call $blob (i32.const 0) (i32.const 8)) (i32.const 0)) (memory.copy (i32.const 2060) (i32.const 2048) (i32.const 12)) (call $body (i32.const 2048) (i32.const 2))",
        Internal,
    ),
    handle(
        "blob-used-after-drop",
        "(local $b i32) (local.set $b (call $blob (i32.const 0) (i32.const 8))) (call $drop (local.get $b)) (drop (call $length (local.get $b))) (call $answer)",
        Internal,
    ),
    handle(
        "blob-dropped-twice",
        "(local $b i32) (local.set $b (call $blob (i32.const 0) (i32.const 8))) (call $drop (local.get $b)) (call $drop (local.get $b)) (call $answer)",
        Internal,
    ),
    // Arguments.
    handle(
        "blob-of-4-gib",
        "(drop (call $blob (i32.const 0) (i32.const -1))) (call $answer)",
        Internal,
    ),
    handle(
        "blob-over-the-end",
        "(drop (call $blob (i32.const 0x1fff0) (i32.const 17))) (call $answer)",
        Internal,
    ),
    handle(
        "key-4-gib",
        "(call $get (i32.const 16) (i32.const 3) (i32.const 32) (i32.const -1) (i32.const 3072)) (call $answer)",
        Internal,
    ),
    handle(
        "key-overflow",
        "(call $get (i32.const 16) (i32.const 3) (i32.const -2) (i32.const 4) (i32.const 3072)) (call $answer)",
        Internal,
    ),
    handle(
        "key-not-utf-8",
        "(call $get (i32.const 16) (i32.const 3) (i32.const 64) (i32.const 2) (i32.const 3072)) (call $answer)",
        Internal,
    ),
    handle(
        "result-beyond",
        "(call $get (i32.const 16) (i32.const 3) (i32.const 32) (i32.const 3) (i32.const 0xfffffff8)) (call $answer)",
        Internal,
    ),
    handle(
        "set-of-no-case",
        "(call $set (i32.const 16) (i32.const 3) (i32.const 32) (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 9) (i32.const 0) (i64.const 0) (i32.const 0) (i64.const 0) (i32.const 3072)) (call $answer)",
        Internal,
    ),
];

const PACKAGE_NOW: &str = "package larder:guest@0.1.2;";
const PACKAGE_AT_FIRST: &str = "package larder:guest@0.1.0;";

impl Text {
    /// The component.
    ///
    /// # Errors
    /// What is wrong with its text.
    pub fn component(&self) -> Result<Vec<u8>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error:#}", self.name);
        let module = wat::parse_str(self.module()).map_err(|error| failed(&error))?;
        wrap(module).map_err(|error| failed(&error))
    }

    fn module(&self) -> String {
        let or = |place: bool, default| if place { self.text } else { default };
        let handle = or(matches!(self.place, Place::Handle), "(call $answer)");
        let realloc = or(
            matches!(self.place, Place::Realloc),
            "(local $at i32)
             (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
             (global.set $heap (i32.add (local.get $at) (local.get 3)))
             (local.get $at)",
        );
        let beside = or(matches!(self.place, Place::Module), "");
        format!(
            r#"(module
            (import "larder:guest/kv@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))
            (import "larder:guest/kv@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i64 i32)))
            (import "larder:guest/blobs@0.1.0" "[constructor]blob" (func $blob (param i32 i32) (result i32)))
            (import "larder:guest/blobs@0.1.0" "[method]blob.length" (func $length (param i32) (result i64)))
            (import "larder:guest/blobs@0.1.0" "[resource-drop]blob" (func $drop (param i32)))
            (memory (export "memory") 2)
            (table $t 10 funcref)
            (elem (i32.const 0) func $answer)
            (global $heap (mut i32) (i32.const 8192))
            (data (i32.const 16) "own") (data (i32.const 32) "key") (data (i32.const 64) "\ff\fe")
            (func $answer (result i32) (i32.store16 (i32.const 1024) (i32.const 200)) (i32.const 1024))
            (func $headers (param i32 i32) (result i32)
                (i32.store (i32.const 1028) (local.get 0)) (i32.store (i32.const 1032) (local.get 1)) (call $answer))
            (func $body (param i32 i32) (result i32)
                (i32.store (i32.const 1036) (local.get 0)) (i32.store (i32.const 1040) (local.get 1)) (call $answer))
            (func $part (param i32 i32 i32)
                (i32.store (i32.const 2048) (local.get 0)) (i32.store (i32.const 2052) (local.get 1))
                (i32.store (i32.const 2056) (local.get 2)))
            (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
            (func $handle (export "larder:guest/incoming-handler@0.1.0#handle") (param i32) (result i32) {handle})
            {beside})"#
        )
    }
}

/// Makes a component of the world `handler` of a core module, as it was in the package's first
/// version: guests of that time must go on loading.
fn wrap(mut module: Vec<u8>) -> Result<Vec<u8>, String> {
    let told = |error: &dyn std::fmt::Debug| format!("{error:?}");
    let mut resolve = Resolve::default();
    let mut sources = SourceMap::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    for file in fs::read_dir(wit).map_err(|error| told(&error))? {
        let path = file.map_err(|error| told(&error))?.path();
        let text = fs::read_to_string(&path).map_err(|error| told(&error))?;
        sources.push(&path, text.replace(PACKAGE_NOW, PACKAGE_AT_FIRST));
    }
    let group = sources.parse().map_err(|(_, error)| told(&error))?;
    let package = resolve.push_group(group).map_err(|error| told(&error))?;
    let world = resolve.select_world(&[package], Some("handler")).map_err(|error| told(&error))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| told(&error))?;
    let mut encoder = ComponentEncoder::default();
    let encoder = encoder.validate(true).module(&module).map_err(|error| told(&error))?;
    encoder.encode().map_err(|error| told(&error))
}
