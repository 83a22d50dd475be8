//! Numbers as a person reads them: sizes, rates, durations, counts. Shared by the plain and the terminal frontend.

use std::time::Duration;

/// Units of 1,024; a `u64` ends within EiB.
const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A size in bytes: `0 B`, `1023 B`, `1.4 MiB`. Cut, not rounded, so that less than all never looks like all.
pub fn size(bytes: u64) -> String {
    let mut scaled = u128::from(bytes) * 10;
    let mut unit = "B";
    for next in UNITS {
        if scaled < 10_240 {
            break;
        }
        scaled /= 1_024;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{}.{} {unit}", scaled / 10, scaled % 10) }
}

/// Bytes a second; nothing when no time has passed.
pub fn rate(bytes: u64, time: Duration) -> Option<u64> {
    let a_second = (u128::from(bytes) * 1_000_000).checked_div(time.as_micros())?;
    Some(u64::try_from(a_second).unwrap_or(u64::MAX))
}

/// A time span: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`, `3 d 04 h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=9 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A number and what it counts: `1 file`, `3 files`.
pub fn count(number: impl TryInto<u64>, one: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// How much of `total` is there, 0 to 100, cut; all of nothing is 100.
pub fn percent(bytes: u64, total: u64) -> u8 {
    let percent = (u128::from(bytes) * 100).checked_div(u128::from(total)).unwrap_or(100);
    u8::try_from(percent.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_cut_at_one_digit() {
        let cases = [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1_048_576, "1.0 MiB"),
            (1_500_000, "1.4 MiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn rates_need_time() {
        assert_eq!(rate(3 << 20, Duration::from_secs(2)), Some(3 << 19));
        assert_eq!(rate(1, Duration::ZERO), None);
        assert_eq!(rate(u64::MAX, Duration::from_micros(1)), Some(u64::MAX));
    }

    #[test]
    fn durations_have_two_parts_at_most() {
        let cases =
            [(0.44, "0.4 s"), (12.9, "12 s"), (185.0, "3 min 05 s"), (7_800.0, "2 h 10 min"), (273_600.0, "3 d 04 h")];
        for (time, text) in cases {
            assert_eq!(duration(Duration::from_secs_f64(time)), text);
        }
    }

    #[test]
    fn only_one_is_singular() {
        assert_eq!([count(0u32, "file"), count(1u32, "file"), count(2u32, "file")], ["0 files", "1 file", "2 files"]);
    }

    #[test]
    fn only_all_is_a_hundred_percent() {
        assert_eq!(percent(999, 1_000), 99);
        assert_eq!(percent(1_000, 1_000), 100);
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(u64::MAX, 1), 100);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }
}
