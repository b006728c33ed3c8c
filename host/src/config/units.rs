//! Numbers as people read them: sizes in binary units, times, and counts with their thousands apart.

/// A number of bytes, in the largest unit of which it is a whole number.
pub fn bytes(count: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = |(shift, _): &&(u32, &str)| count > 0 && count.trailing_zeros() >= *shift;
    match UNITS.iter().find(fits) {
        Some((shift, unit)) => format!("{} {unit}", thousands(count >> shift)),
        None if count == 1 => "1 byte".to_owned(),
        None => format!("{} bytes", thousands(count)),
    }
}

/// A number of milliseconds, in the largest unit of which it is a whole number.
#[cfg(test)]
pub fn milliseconds(count: u64) -> String {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    match count {
        0 => "0".to_owned(),
        _ if count.is_multiple_of(DAY) => format!("{} days", thousands(count / DAY)),
        _ if count.is_multiple_of(1000) => format!("{} s", thousands(count / 1000)),
        _ => format!("{} ms", thousands(count)),
    }
}

/// A number with its thousands apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut apart = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_their_largest_whole_unit() {
        for (count, written) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1000, "1,000 bytes"),
            (1 << 10, "1 KiB"),
            (3 << 19, "1,536 KiB"),
            (8 << 20, "8 MiB"),
            (1 << 46, "64 TiB"),
        ] {
            assert_eq!(bytes(count), written);
        }
        for (count, written) in [(0, "0"), (1, "1 ms"), (1500, "1,500 ms"), (75_000, "75 s")] {
            assert_eq!(milliseconds(count), written);
        }
        assert_eq!(milliseconds(366 * 24 * 60 * 60 * 1000), "366 days");
        for (number, written) in [(7, "7"), (999, "999"), (1000, "1,000"), (1 << 20, "1,048,576")] {
            assert_eq!(thousands(number), written);
        }
    }
}
