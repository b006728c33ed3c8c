//! Paths of mounts: which prefixes may be, and which paths reach the mount that names them. Knows no guest.

use super::checks::{ConfigError, fail};
use super::file_mount::FileMount;
use crate::gateway::{HOST_PATHS, is_under};

/// Paths of a mount that are counted apart, and how long each may be: metrics stay small.
const OPERATIONS_MAX: usize = 64;
const OPERATION_BYTES_MAX: usize = 64;
/// Where the built-in API is mounted, whatever else is.
pub const API: &str = "/api";
/// Where its plain face is mounted.
pub const PLAIN_FACE: &str = "/kv";

/// Checks all paths that mounts name besides their prefixes: a request for each must reach that mount. With
/// `plain_kv` the plain face is mounted too.
pub fn check(mounts: &[FileMount], plain_kv: bool) -> Result<(), ConfigError> {
    let plain_face = plain_kv.then_some(PLAIN_FACE);
    let prefixes: Vec<&str> =
        mounts.iter().map(|mount| mount.prefix.as_str()).chain([API]).chain(plain_face).collect();
    for mount in mounts {
        let operations = mount.operations.len();
        if operations > OPERATIONS_MAX {
            return fail(format!(
                "mount.operations: {operations} paths, at most {OPERATIONS_MAX} are counted apart; leave some out"
            ));
        }
        for path in &mount.operations {
            if path.len() > OPERATION_BYTES_MAX {
                return fail(format!(
                    "mount.operations: {path:?}: longer than {OPERATION_BYTES_MAX} bytes"
                ));
            }
            check_reached("mount.operations", path, &mount.prefix, &prefixes)?;
        }
        for path in &mount.health {
            check_reached("mount.health", path, &mount.prefix, &prefixes)?;
        }
    }
    Ok(())
}

/// Whether a request for this path reaches the mount at this prefix, one of all `prefixes`.
fn check_reached(
    key: &str,
    path: &str,
    prefix: &str,
    prefixes: &[&str],
) -> Result<(), ConfigError> {
    let wrong = |why: &str| fail(format!("{key}: {path:?}: {why}"));
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("a path as requests have it holds visible ASCII characters only");
    }
    if !path.starts_with('/') || !holds(prefix, path) {
        return wrong(&format!("not below the mount's prefix {prefix:?}"));
    }
    if let Some(own) = HOST_PATHS.iter().find(|own| is_under(path, own)) {
        return wrong(&format!("{own} is the server's own"));
    }
    let others = prefixes.iter().filter(|other| holds(other, path));
    let other = others.max_by_key(|other| other.len());
    match other {
        Some(other) if other.len() > prefix.len() => {
            wrong(&format!("requests for it go to the mount at {other:?}"))
        }
        _ => Ok(()),
    }
}

/// Whether a mount at this prefix is asked for this path, unless another is at a longer one.
fn holds(prefix: &str, path: &str) -> bool {
    prefix == "/" || is_under(path, prefix)
}

/// Checks that a prefix is one.
pub fn check_prefix(prefix: &str) -> Result<(), ConfigError> {
    let wrong = |why: &str| fail(format!("mount.prefix = {prefix:?}: {why}"));
    if !prefix.starts_with('/') {
        return wrong("a prefix begins with a slash");
    }
    if prefix != "/" && (prefix.ends_with('/') || prefix.contains("//")) {
        return wrong("a prefix has no empty parts and no slash at its end");
    }
    if !prefix.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\"<>\\^`{|}".contains(&byte)) {
        return wrong("a prefix is a plain path, without query or encoded characters");
    }
    if let Some(path) = HOST_PATHS.iter().find(|path| is_under(prefix, path)) {
        return wrong(&format!("{path} is the server's own"));
    }
    Ok(())
}
