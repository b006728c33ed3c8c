//! One call: a plain request in, a plain response out; on which stack, in which instance, and in which
//! parts.

pub mod error;
pub mod executor;
pub mod exports;
pub mod lanes;
pub mod phase;
pub mod pool;
pub mod request;
pub mod response;
