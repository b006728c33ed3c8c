//! Embeds the built-in guest: finds the component that the build made before, and tells the
//! compiler where it is. Builds nothing itself.

use std::env;
use std::path::PathBuf;
use std::process::exit;

fn main() {
    println!("cargo::rerun-if-env-changed=LARDER_API_WASM");
    let wasm = env::var_os("LARDER_API_WASM").map_or_else(default_path, PathBuf::from);
    println!("cargo::rerun-if-changed={}", wasm.display());
    if !wasm.is_file() {
        println!(
            "cargo::error=the built-in guest is not at {}; run `make guest` first (`make build` does)",
            wasm.display()
        );
        exit(1);
    }
    println!("cargo::rustc-env=LARDER_API_WASM={}", wasm.display());
}

/// Where `make guest` leaves the component.
fn default_path() -> PathBuf {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    root.join("../target/wasm32-wasip2/guest/larder_api.wasm")
}
