//! Larder's host.

pub mod clock;
pub mod storage;
