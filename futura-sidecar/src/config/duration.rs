//! Durations as operators write them: a number and its unit.

use std::time::Duration;

const UNITS: &[(&str, f64)] = &[("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// Past this a duration is a mistake, and sums with the clock stay far from overflow.
const LONGEST_SECS: f64 = 366.0 * 86_400.0;

/// Reads `500ms`, `10s`, `1.5m`, `1h` or `7d`.
///
/// # Errors
/// With what is wrong, for an operator.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, seconds)| seconds);
    match (number.parse::<f64>(), seconds) {
        (Ok(number), Some(seconds)) if number * seconds <= LONGEST_SECS => {
            Ok(Duration::from_secs_f64(number * seconds))
        }
        (Ok(_), Some(_)) => Err(format!("`{text}` is longer than a year")),
        (Ok(_), None) if unit.is_empty() => {
            Err(format!("`{text}` has no unit: write `{text}s`, or another of ms, s, m, h and d"))
        }
        _ => Err(format!("`{text}` is not a duration such as `10s`, `500ms`, `5m` or `1h`")),
    }
}

/// Writes a duration in its largest fitting unit, for people.
pub(crate) fn render(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (unit, size) = match seconds {
        below if below < 0.001 => return format!("{} µs", duration.as_micros()),
        below if below < 1.0 => ("ms", 0.001),
        below if below < 120.0 => ("s", 1.0),
        below if below < 7200.0 => ("min", 60.0),
        below if below < 172_800.0 => ("h", 3600.0),
        _ => ("d", 86_400.0),
    };
    let number = seconds / size;
    let digits = if number < 10.0 && number.fract() > 0.05 { 1 } else { 0 };
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::{Duration, parse, render};

    #[test]
    fn durations_need_a_number_and_a_unit() {
        for (text, millis) in
            [("10s", 10_000), ("500ms", 500), (" 1.5m ", 90_000), ("1h", 3_600_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "s", "-1s", "1e9s", "10 parsecs", "1.2.3s", "NaNs", "9999999d", "infs", "1µs"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_read_well() {
        let cases = [
            (Duration::from_micros(250), "250 µs"),
            (Duration::from_micros(1500), "1.5 ms"),
            (Duration::from_millis(999), "999 ms"),
            (Duration::from_secs(59), "59 s"),
            (Duration::from_secs(600), "10 min"),
            (Duration::from_secs(86_400), "24 h"),
            (Duration::from_secs(864_000), "10 d"),
        ];
        for (duration, text) in cases {
            assert_eq!(render(duration), text);
        }
    }
}
