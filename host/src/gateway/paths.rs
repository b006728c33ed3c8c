//! Paths: which of them the host answers itself, and which lie below which. Knows neither mounts nor guests.

/// Paths that are the host's own: no guest is mounted on them, or answers them.
pub const HOST_PATHS: [&str; 4] = ["/livez", "/readyz", "/metrics", "/larder"];

/// Whether `path` is `prefix` or lies below it.
#[must_use]
pub fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a guest could be asked for `path`: it is none of the host's own, and a path at all, as in `OPTIONS *`
/// and `CONNECT host:port` there is none.
pub fn is_guests(path: &str) -> bool {
    path.starts_with('/') && !HOST_PATHS.iter().any(|own| is_under(path, own))
}
