//! The limit of open files, compared with the connections that the server is to hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that the server needs besides its connections: the store, logs, sockets of its own, and
/// a guest that is being compiled; and those of each worker's loop.
const OWN: u64 = 64;
const OWN_OF_WORKER: u64 = 8;

/// Raises the soft limit as far as so many connections need, and says how many fit in: fewer, with a
/// warning, where the hard limit is too low.
#[must_use]
pub fn fit(connections: usize, workers: usize) -> usize {
    let own = OWN + OWN_OF_WORKER * workers as u64;
    let needed = own + connections as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return connections;
    }
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    let has = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(_) => current.unwrap_or(raised),
    };
    if has >= needed {
        return connections;
    }
    let fits = usize::try_from(has.saturating_sub(own)).unwrap_or(usize::MAX).max(1);
    tracing::warn!(
        connections_max = connections,
        connections = fits,
        open_files = has,
        open_files_needed = needed,
        "fewer connections than connections_max: the hard limit of open files is too low; raise it \
         (ulimit -Hn, LimitNOFILE) or lower connections_max"
    );
    fits
}
