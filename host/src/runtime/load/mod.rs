//! From a component's bytes to a guest that can be instantiated: judged, compiled apart, kept compiled,
//! linked. Knows no request.

pub mod cache;
pub mod compiler;
pub mod component;
