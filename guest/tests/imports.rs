//! What the built component imports. It needs `make guest`, as the host's build does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use wit_component::DecodedWasm;
use wit_parser::WorldItem;

/// All functions that the component imports, with their interfaces.
fn imported_functions() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let wasm = root.join("target/wasm32-wasip2/guest/larder_api.wasm");
    let wasm = std::fs::read(wasm).expect("run `make guest` first");
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&wasm).unwrap() else {
        panic!("it is not a component");
    };
    let mut functions = Vec::new();
    for (name, import) in &resolve.worlds[world].imports {
        let interface = resolve.name_world_key(name);
        match import {
            WorldItem::Interface { id, .. } => {
                let names = resolve.interfaces[*id].functions.keys();
                functions.extend(names.map(|function| format!("{interface}.{function}")));
            }
            other => panic!("it imports {interface} by itself: {other:?}"),
        }
    }
    functions
}

#[test]
fn no_import_of_the_api_waits_for_the_disk_or_is_of_another_version() {
    let functions = imported_functions();
    for function in &functions {
        let interface =
            function.strip_prefix("larder:guest/").and_then(|name| name.split('@').next());
        let may = matches!(interface, Some("blobs" | "deferral" | "requests" | "storage"));
        assert!(may && function.contains("@0.1.2"), "{function}");
        assert_ne!(function, "larder:guest/storage@0.1.2.commit");
    }
    assert!(functions.contains(&"larder:guest/deferral@0.1.2.defer".to_owned()), "{functions:?}");
}
