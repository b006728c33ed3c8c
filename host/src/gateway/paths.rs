//! Paths: which of them the host answers itself, and which lie below which. Knows neither mounts nor guests.

/// Paths that are the host's own: no guest is mounted on them, or answers them.
pub const HOST_PATHS: [&str; 4] = ["/livez", "/readyz", "/metrics", "/larder"];

/// Whether `path` is `prefix` or lies below it.
#[must_use]
pub fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
