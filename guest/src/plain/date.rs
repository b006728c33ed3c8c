//! Dates as HTTP's headers have them. Reads no clock.

use alloc::format;
use alloc::string::String;

const SECONDS_A_DAY: u64 = 24 * 60 * 60;
/// Days from the first of March of the year 0 to the epoch.
const DAYS_BEFORE_EPOCH: u64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const DAYS_A_CYCLE: u64 = 146_097;
/// From the epoch on.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The date of an instant in milliseconds since the epoch, such as `Sun, 06 Nov 1994 08:49:37 GMT`. What is
/// more than whole seconds is cut off.
pub fn of_instant(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, second) = (seconds / SECONDS_A_DAY, seconds % SECONDS_A_DAY);
    let (year, month, day) = civil(days);
    let weekday = WEEKDAYS[(days % 7) as usize];
    let month = MONTHS[(month - 1) as usize];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Year, month from 1 and day from 1 of a day since the epoch. Years are counted from March, so that the
/// leap day is a year's last one.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_EPOCH;
    let (cycle, day) = (days / DAYS_A_CYCLE, days % DAYS_A_CYCLE);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * cycle + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_the_dates_that_http_gives_them() {
        for (ms, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800_000, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_709_251_199_000, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_107_542_400_000, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (4_107_456_000_000, "Sun, 28 Feb 2100 00:00:00 GMT"),
            (253_402_207_200_999, "Thu, 30 Dec 9999 22:00:00 GMT"),
        ] {
            assert_eq!(of_instant(ms), date, "{ms}");
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut last = civil(0);
        for day in 1..2_932_897 {
            let (year, month, of_month) = civil(day);
            let is_next = (year, month, of_month) == (last.0, last.1, last.2 + 1)
                || (of_month == 1 && last.2 >= 28 && (year, month) == (last.0, last.1 + 1))
                || ((month, of_month) == (1, 1)
                    && (last.1, last.2) == (12, 31)
                    && year == last.0 + 1);
            assert!(is_next, "{last:?} {year} {month} {of_month}");
            last = (year, month, of_month);
        }
        assert_eq!(last, (9999, 12, 31));
    }
}
