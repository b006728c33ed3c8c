//! The guest's side of `wit/`, generated. Knows nothing else.
#![allow(missing_docs, clippy::all, reason = "generated code; documented in wit/")]

wit_bindgen::generate!({ path: "../wit", world: "continuing-handler", generate_all, pub_export_macro: true });
