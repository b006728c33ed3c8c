//! Slow and rude clients beside good ones: the good ones are served as before, each rude connection is
//! closed by its limit, and the server's memory stays within bounds and comes back.

pub mod floods;
pub mod frames;
pub mod good;
mod ratio;
mod server;
mod siege;
pub mod slow;

pub use self::ratio::Clients;
pub use self::server::{GRACE, Limits, Server};
pub use self::siege::{Closings, Memory, Rabble, Siege, besiege};
