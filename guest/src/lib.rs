//! The built-in guest: Larder's key-value API as a component of the world `continuing-handler`.
//!
//! Owns everything about the API that is HTTP: routes, content negotiation, decoding, validation,
//! encoding, error bodies. Knows storage only through the imports of `wit/`; keeps nothing between
//! calls, so that one instance may serve many requests.
//!
//! It is built without the standard library, which would add two dozen imports of WASI that each new instance
//! has to be linked to.

#![no_std]

extern crate alloc;
#[cfg(not(target_arch = "wasm32"))]
extern crate std;

mod answer;
pub mod bindings;
pub mod call;
pub mod codec;
pub mod encoder;
pub mod endpoint;
pub mod error;
mod items;
mod json;
mod memo;
pub mod options;
pub mod partial_body;
pub mod plain;
pub mod router;

use crate::bindings::exports::larder::guest::{continuation, incoming_handler};
use crate::bindings::larder::guest::requests::{Request, Response};
use crate::bindings::larder::guest::storage::{self, Outcome};

struct Api;

impl incoming_handler::Guest for Api {
    fn handle(request: Request) -> Response {
        router::handle(&request)
    }
}

impl continuation::Guest for Api {
    fn resume(memo: alloc::vec::Vec<u8>, outcome: Result<Outcome, storage::Error>) -> Response {
        router::resume(&memo, outcome)
    }
}

#[cfg(target_arch = "wasm32")]
mod heap;

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "exported symbols")]
mod export {
    use super::Api;
    crate::bindings::export!(Api with_types_in crate::bindings);
}

/// A panic is a trap: the host drops the instance and answers 500.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
