//! Whether a server's resident memory comes back to what it was. Looks from outside, and waits for
//! it: allocators and kernels give back when they have time.

use std::thread;
use std::time::Duration;

use larder_bench::system::Process;

/// Memory may end so much above where it was, in percent.
const ABOVE_PERCENT_MAX: u64 = 5;
/// How often it is looked at, and how often it must be found the same to be at rest.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const SAME_LOOKS: u32 = 10;
/// Looks before patience ends.
pub const LOOKS_MAX: u32 = 300;

/// The resident memory when it has come to rest, in KiB.
///
/// # Errors
/// When the process is not there.
pub fn at_rest(process: Process) -> Result<u64, String> {
    let (mut last, mut same) = (resident(process)?, 0);
    for _ in 0..LOOKS_MAX {
        thread::sleep(LOOK_INTERVAL);
        let kib = resident(process)?;
        same = if kib.abs_diff(last) * 100 <= last { same + 1 } else { 0 };
        last = kib;
        if same == SAME_LOOKS {
            break;
        }
    }
    Ok(last)
}

/// Waits until the resident memory is at most a little more than `was`; what it is then. Both in KiB.
/// Looks so often before patience ends.
///
/// # Errors
/// What it still is when patience ends.
pub fn comes_back(process: Process, was: u64, looks_max: u32) -> Result<u64, String> {
    let most = was + was * ABOVE_PERCENT_MAX / 100;
    let mut kib = resident(process)?;
    for _ in 0..looks_max {
        if kib <= most {
            return Ok(kib);
        }
        thread::sleep(LOOK_INTERVAL);
        kib = resident(process)?;
    }
    Err(format!("{kib} KiB are resident, at most {most} were due after {was} in the warm-up"))
}

fn resident(process: Process) -> Result<u64, String> {
    process.rss_kib().map_err(|error| format!("the server's memory: {error}"))
}
