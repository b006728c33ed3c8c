//! Components that nobody should load: malformed, huge, made to keep a compiler busy, for another
//! world, or compiled code in disguise. Each is refused with its reason, soon, and harms nobody.

use std::fs;
use std::path::Path;
use std::process::Command;

use larder_tests::{Client, Larder, Options, guest_file, program};
use serde_json::json;

/// What `larder serve` says to this component.
fn refused(component: &Path) -> String {
    let config = format!("[[mount]]\nprefix = '/bad'\ncomponent = {component:?}\n");
    Larder::refused(Options::config(config))
}

fn refused_bytes(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.wasm");
    fs::write(&path, bytes).unwrap();
    refused(&path)
}

/// LEB128, as WebAssembly writes its numbers.
fn number(mut value: usize, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn section(id: u8, content: &[u8], to: &mut Vec<u8>) {
    to.push(id);
    number(content.len(), to);
    to.extend_from_slice(content);
}

/// A component around a core module of `functions` functions that consist of `steps` additions and
/// loads each, which end in nothing.
fn bomb(functions: usize, steps: usize) -> Vec<u8> {
    // No locals; then load what the last sum points to and add a constant, again and again.
    let mut body = vec![0, 0x20, 0];
    for step in 0..steps {
        body.extend_from_slice(&[0x28, 2, 0, 0x41, (step % 64) as u8, 0x6a]);
    }
    body.extend_from_slice(&[0x1a, 0x0b]);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(1, &[1, 0x60, 1, 0x7f, 0], &mut module);
    let mut declared = Vec::new();
    number(functions, &mut declared);
    declared.resize(declared.len() + functions, 0);
    section(3, &declared, &mut module);
    section(5, &[1, 0, 1], &mut module);
    let mut code = Vec::new();
    number(functions, &mut code);
    for _ in 0..functions {
        number(body.len(), &mut code);
        code.extend_from_slice(&body);
    }
    section(10, &code, &mut module);
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    section(1, &module, &mut component);
    component
}

#[test]
fn a_component_that_compiles_for_too_long_or_takes_too_much_memory_is_given_up() {
    // Small functions keep it busy, large ones fill its memory.
    for bomb in [bomb(300_000, 30), bomb(8, 1_000_000)] {
        let said = refused_bytes(&bomb);
        let told = ["takes longer than 10 s", "takes more than 1024 MiB of memory"];
        assert!(told.iter().any(|reason| said.contains(reason)), "{said}");
    }
}

#[test]
fn the_same_in_small_is_compiled_and_refused_for_what_it_lacks() {
    let said = refused_bytes(&bomb(10, 10));
    assert!(said.contains("does not export larder:guest/incoming-handler"), "{said}");
}

#[test]
fn a_file_without_end_or_too_large_is_refused_unread() {
    assert!(refused(Path::new("/dev/zero")).contains("larger than 67108864 bytes"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.wasm");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(refused(&path).contains("larger than 67108864 bytes"));
}

#[test]
fn malformed_components_are_refused_with_the_reason() {
    let good = fs::read(guest_file("larder_test_guest")).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    for round in 0..60 {
        let mut bad = good.clone();
        match round % 3 {
            0 => bad.truncate(rng.usize(9..good.len())),
            1 => (0..20).for_each(|_| bad[rng.usize(8..good.len())] ^= 1 << rng.u8(..8)),
            _ => rng.fill(&mut bad[8..]),
        }
        // As the server has it compiled, without a server around it.
        let (status, said) = compile(&bad);
        assert!(
            status.success() || (status.code() == Some(1) && !said.is_empty()),
            "{status}: {said}"
        );
    }
    assert!(refused_bytes(&good[..good.len() / 2]).contains("it cannot be compiled: "));
}

/// Has the program compile this, as the server does.
fn compile(wasm: &[u8]) -> (std::process::ExitStatus, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), wasm).unwrap();
    let mut command = Command::new(program());
    let output = command.arg("compile").stdin(file.reopen().unwrap()).output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn compiled_code_does_not_pass_for_a_component() {
    let config = |component: &Path| {
        Options::config(format!("[[mount]]\nprefix = '/test'\ncomponent = {component:?}\n"))
    };
    let mut larder = Larder::start_with(config(&guest_file("larder_test_guest")));
    for kept in fs::read_dir(larder.data().join("cache")).unwrap() {
        let kept = fs::read(kept.unwrap().path()).unwrap();
        // With the checksum in front, and as the engine has it.
        for code in [&kept[..], &kept[32..]] {
            let said = refused_bytes(code);
            assert!(said.contains("not a WebAssembly component"), "{said}");
        }
    }
    // All the while others are served.
    assert!(larder.lives());
    let reply = Client::new(larder.address()).post("/api/v1.kv.get", &json!({"key": "k"})).await;
    assert_eq!(reply.status, 200);
}
