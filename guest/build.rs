//! Shapes the guest's memory: a small stack below the data, and room for what most calls allocate,
//! so that a new instance has little to make and little to clean up. Builds nothing.

use std::env;

/// Bytes of stack; beyond it a call traps.
const STACK_BYTES: u32 = 64 << 10;
/// Memory from the start: stack, data and heap. More is asked for when a call needs it.
const MEMORY_BYTES: u32 = 256 << 10;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK_BYTES}");
        println!("cargo::rustc-link-arg-cdylib=--initial-memory={MEMORY_BYTES}");
    }
}
