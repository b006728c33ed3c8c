//! One call: in which instance it runs, on which stack, and what comes back.

pub mod direct;
pub mod fiber;
pub mod pool;
pub mod response;
