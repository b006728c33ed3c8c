//! `larder clock`: what it prints. What the data's time is and how it is set back is `data`'s.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use humantime::format_duration;

use super::common::{instant, tell_take_over};
use super::data::{self, Times};
use crate::clock::Clock;

/// Tells how the times stand, and sets the data's back if asked to.
pub fn run(dir: &Path, set_back: bool) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    let clock = Clock::system();
    if !set_back {
        writeln!(out, "{}", told(&data::times(dir, &clock)?))?;
        return Ok(());
    }
    tell_take_over(dir)?;
    let done = data::set_back(dir, &clock)?;
    let times = told(&done.before);
    let outcome = if done.before.seen > done.before.clock {
        format!(
            "it is set back: {} entries had expired and were removed; {} are to expire, those that were \
             written meanwhile later than was meant",
            done.removed, done.expiring
        )
    } else {
        "there is nothing to set back".to_owned()
    };
    let written = writeln!(out, "{times}\n{outcome}").and_then(|()| out.flush());
    Ok(written.map_err(|error| format!("{outcome}; and this could not be told: {error}"))?)
}

fn told(times: &Times) -> String {
    let Times { seen, clock } = times;
    let stand = match seen.0.checked_sub(clock.0) {
        Some(ahead @ 1..) => {
            // Whole seconds are enough, and what is less is said to be less.
            let ahead = Duration::from_secs(ahead / 1000);
            format!("ahead by {}", format_duration(ahead))
        }
        _ => "not ahead".to_owned(),
    };
    format!(
        "the data's time is {}, this machine's clock {}: {stand}",
        instant(seen.0),
        instant(clock.0)
    )
}
