//! The host's side of `wit/`, generated. Knows nothing else.
#![allow(missing_docs, clippy::all, reason = "generated code; documented in wit/")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "deferring-handler",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: {
        "larder:guest/kv.set": async | trappable,
        "larder:guest/kv.set-blob": async | trappable,
        "larder:guest/kv.delete": async | trappable,
        "larder:guest/namespaces.configure": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: { "larder:guest/blobs.blob": super::blobs::Blob },
});
