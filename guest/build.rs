//! Sets the layout of the guest's memory: a small stack below the data, and heap enough for most calls, so that
//! an instance is cheap to make and to clean up. Builds nothing.

use std::env;

/// Size of the stack; a call that needs more traps.
const STACK_BYTES: u32 = 64 << 10;
/// Size of the memory at first: stack, data and heap. It grows when a call needs more.
const MEMORY_BYTES: u32 = 256 << 10;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK_BYTES}");
        println!("cargo::rustc-link-arg-cdylib=--initial-memory={MEMORY_BYTES}");
    }
}
