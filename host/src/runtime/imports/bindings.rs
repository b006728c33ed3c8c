//! The host's side of `wit/`, generated: what guests of every version import, and what may be called in
//! them on a fiber. Knows nothing else.
#![allow(missing_docs, clippy::all, reason = "generated code; documented in wit/")]

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package larder:host;
        /// All that guests may import, and may have.
        world guests {
            include larder:guest/deferring-handler@0.1.2;
            import larder:guest/storage@0.1.2;
            import larder:guest/deferral@0.1.2;
            export larder:guest/continuation@0.1.2;
        }
    ",
    world: "larder:host/guests",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: {
        "larder:guest/kv.set": async | trappable,
        "larder:guest/kv.set-blob": async | trappable,
        "larder:guest/kv.delete": async | trappable,
        "larder:guest/namespaces.configure": async | trappable,
        "larder:guest/storage.commit": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "larder:guest/blobs.blob": crate::runtime::blob::Blob,
        "larder:guest/storage.changes": crate::runtime::changes::Changes,
        "larder:guest/storage.outcome": crate::runtime::changes::Outcomes,
        "larder:guest/storage.error": crate::runtime::error::Error,
    },
});
