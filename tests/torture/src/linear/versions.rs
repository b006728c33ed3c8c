//! Versions of the whole server: unique, and rising. Knows when each was told; knows no operations.

/// A version that a change drew, with when the change began and ended.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// When the change began, on a clock that counts events.
    pub begun: u64,
    /// When it ended; None when it may still have its effect.
    pub ended: Option<u64>,
    /// The version.
    pub version: u64,
}

/// Checks that versions are unique and rise: what ended before another began has the lower one. `told` are
/// newest versions that answers named, with when their requests began.
///
/// # Errors
/// The version that is wrong.
pub fn check(drawn: &[Drawn], told: &[(u64, u64)]) -> Result<(), String> {
    let mut by_end: Vec<(u64, u64)> =
        drawn.iter().map(|drawn| (drawn.ended.unwrap_or(u64::MAX), drawn.version)).collect();
    by_end.sort_unstable();
    // The newest version that had been told before an event.
    let mut newest = 0;
    for entry in &mut by_end {
        newest = entry.1.max(newest);
        entry.1 = newest;
    }
    let told_before = |begun: u64| match by_end.partition_point(|(ended, _)| *ended < begun) {
        0 => 0,
        count => by_end[count - 1].1,
    };
    for Drawn { begun, version, .. } in drawn {
        if *version <= told_before(*begun) {
            return Err(format!("version {version} was given out after {}", told_before(*begun)));
        }
    }
    for (begun, newest) in told {
        if *newest < told_before(*begun) {
            let before = told_before(*begun);
            return Err(format!("an answer tells {newest} as the newest version, after {before}"));
        }
    }
    let mut versions: Vec<u64> = drawn.iter().map(|drawn| drawn.version).collect();
    versions.sort_unstable();
    match versions.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("version {} was given out twice", pair[0])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(begun: u64, ended: u64, version: u64) -> Drawn {
        Drawn { begun, ended: Some(ended), version }
    }

    #[test]
    fn versions_rise_with_time_and_are_told_once() {
        check(&[drawn(0, 9, 2), drawn(1, 3, 1), drawn(10, 11, 3)], &[(12, 3)]).expect("in order");
        assert!(check(&[drawn(0, 1, 2), drawn(2, 3, 1)], &[]).is_err());
        assert!(check(&[drawn(0, 9, 2), drawn(1, 3, 2)], &[]).is_err());
        assert!(check(&[drawn(0, 1, 2)], &[(2, 1)]).is_err());
    }
}
