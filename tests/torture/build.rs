//! Builds the shim that trials load between a server and the system, with the C compiler.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-env-changed=CC");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("shim.so");
    let compiler = env::var("CC").unwrap_or("cc".to_owned());
    let status = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-pthread", "-o"])
        .arg(&out)
        .args(["known", "names", "record", "writes"].map(|file| format!("shim/{file}.c")))
        .arg("-ldl")
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{compiler} could not build what is in shim/"
    );
    println!("cargo::rustc-env=SHIM={}", out.display());
}
