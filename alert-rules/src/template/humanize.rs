//! Values written for people, exactly as the functions of Prometheus's template language write them.

use crate::promql::Quantity;

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];
const BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];

/// The template expression that writes the value.
pub(super) fn expression(quantity: Quantity) -> String {
    let (function, suffix) = match quantity {
        Quantity::Count | Quantity::State => ("humanize", ""),
        // `humanize` would make "600m" of 0.6 per second.
        Quantity::PerSecond | Quantity::Cores => (r#"printf "%.2f""#, ""),
        Quantity::Seconds => ("humanizeDuration", ""),
        Quantity::Ratio => ("humanizePercentage", ""),
        Quantity::Bytes => ("humanize1024", "B"),
        Quantity::BytesPerSecond => ("humanize1024", "B/s"),
    };
    format!("{{{{ $value | {function} }}}}{suffix}")
}

/// What Prometheus writes for `value` where [`expression`] stands.
pub(crate) fn text(quantity: Quantity, value: f64) -> String {
    match quantity {
        Quantity::Count | Quantity::State => humanize(value),
        Quantity::PerSecond | Quantity::Cores => format!("{value:.2}"),
        Quantity::Seconds => humanize_duration(value),
        Quantity::Ratio => format!("{}%", four_digits(value * 100.0)),
        Quantity::Bytes => format!("{}B", humanize_1024(value)),
        Quantity::BytesPerSecond => format!("{}B/s", humanize_1024(value)),
    }
}

fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four_digits(value);
    }
    if value.abs() >= 1.0 { scaled(value, 1000.0, &LARGE) } else { shrunk(value) }
}

fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() { four_digits(value) } else { scaled(value, 1024.0, &BINARY) }
}

fn humanize_duration(value: f64) -> String {
    if value == 0.0 || (value.is_finite() && value.abs() < 1.0) {
        return format!("{}s", if value == 0.0 { "0".to_owned() } else { shrunk(value) });
    }
    if !value.is_finite() {
        return four_digits(value);
    }
    let (sign, whole) = (if value < 0.0 { "-" } else { "" }, value.abs() as u64);
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four_digits(value.abs())),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

fn scaled(mut value: f64, step: f64, prefixes: &[&'static str]) -> String {
    let mut prefix = "";
    for larger in prefixes {
        if value.abs() < step {
            break;
        }
        prefix = larger;
        value /= step;
    }
    format!("{}{prefix}", four_digits(value))
}

fn shrunk(mut value: f64) -> String {
    let mut prefix = "";
    for smaller in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = smaller;
        value *= 1000.0;
    }
    format!("{}{prefix}", four_digits(value))
}

/// C's `%.4g`: four significant digits, without trailing zeros, with an exponent where that is shorter.
fn four_digits(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:.3e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("`e` notation has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    if (-4..4).contains(&exponent) {
        let decimals = usize::try_from(3 - exponent).expect("the exponent is at most 3");
        without_trailing_zeros(&format!("{value:.decimals$}")).to_owned()
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.abs())
    }
}

fn without_trailing_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use super::{Quantity, four_digits, text};

    #[test]
    fn four_significant_digits_as_c_prints_them() {
        let values = [0.0, 1.0, 11.0, 0.12345, 999.99, 12_345.0, 0.000_123_45, 0.000_012_345, -2.5, 1e21, f64::NAN];
        let texts = ["0", "1", "11", "0.1235", "1000", "1.234e+04", "0.0001234", "1.234e-05", "-2.5", "1e+21", "NaN"];
        assert_eq!(values.map(four_digits), texts);
    }

    #[test]
    fn numbers_get_a_prefix() {
        let values = [0.0, 0.5, 1.0, 999.5, 1000.0, 1_234_567.0, -0.000_25, f64::INFINITY];
        let texts = ["0", "500m", "1", "999.5", "1k", "1.235M", "-250u", "+Inf"];
        assert_eq!(values.map(|value| text(Quantity::Count, value)), texts);
    }

    #[test]
    fn durations_are_spelled_out() {
        let values = [0.0, 0.25, 1.0, 4.85, 59.9, 60.0, 3_725.0, 90_061.0, -75.0];
        let texts = ["0s", "250ms", "1s", "4.85s", "59.9s", "1m 0s", "1h 2m 5s", "1d 1h 1m 1s", "-1m 15s"];
        assert_eq!(values.map(|value| text(Quantity::Seconds, value)), texts);
    }

    #[test]
    fn shares_are_percentages_and_bytes_are_binary() {
        assert_eq!(
            [0.05, 0.9, 1.0, 0.123_456].map(|value| text(Quantity::Ratio, value)),
            ["5%", "90%", "100%", "12.35%"]
        );
        let bytes = [0.0, 1.0, 512.0, 1536.0, 4_294_967_296.0].map(|value| text(Quantity::Bytes, value));
        assert_eq!(bytes, ["0B", "1B", "512B", "1.5kiB", "4GiB"]);
    }
}
