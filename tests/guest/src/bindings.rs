//! What `wit/` says, as Rust.
#![allow(missing_docs, clippy::all, reason = "generated code; documented in wit/")]

wit_bindgen::generate!({
    path: "../../wit",
    // Both worlds of guests that end calls with writes: of 0.1.1, and of 0.1.2.
    inline: "
        package larder:test-guest;
        world both {
            include larder:guest/deferring-handler@0.1.2;
            include larder:guest/continuing-handler@0.1.2;
        }
    ",
    world: "larder:test-guest/both",
    generate_all,
});
