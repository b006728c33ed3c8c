//! What the host answers itself, for whoever administers it.

pub mod access;
pub mod health;
pub mod resources;
pub mod tokens;
