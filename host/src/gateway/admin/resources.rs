//! Which paths the host answers itself.

/// Where tokens are listed and made; each is below it.
pub const TOKENS: &str = "/larder/v1/tokens";
/// Paths of the host's own that are counted apart.
pub const PATHS: [&str; 4] = ["/livez", "/readyz", "/metrics", TOKENS];
