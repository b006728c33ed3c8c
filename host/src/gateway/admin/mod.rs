//! What the host answers itself, for whoever administers it.

pub mod health;
pub mod tokens;
