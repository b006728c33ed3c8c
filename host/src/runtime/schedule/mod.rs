//! Whose processor time calls take: threads beside the workers, and quotas. Knows no instance.

pub mod quota;
pub mod threads;
