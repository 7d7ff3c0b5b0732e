//! Assertions on metrics, for the tests of whoever counts.

use std::{collections::BTreeMap, fmt::Write};

use crate::{Metrics, exposition::Format};

/// The value of one sample, by the name and labels that Prometheus would see.
///
/// The name is that of a sample: a histogram `wait_seconds` has `wait_seconds_count`, `wait_seconds_sum` and
/// `wait_seconds_bucket`. The order of labels does not matter.
///
/// # Panics
/// When there is no such sample; the message lists those of the same name.
///
/// ```
/// use futura_metrics::{Metrics, specs::resilience::{Breaker, CIRCUIT_BREAKER_FAILURES_TOTAL}, testing::sample};
///
/// let metrics = Metrics::new();
/// metrics.counters(CIRCUIT_BREAKER_FAILURES_TOTAL)?.with((Breaker::Payment,)).inc();
/// assert_eq!(sample(&metrics, "circuit_breaker_failures_total", [("breaker", "payment")]), 1.0);
/// # Ok::<(), futura_metrics::RegisterError>(())
/// ```
#[track_caller]
pub fn sample<const N: usize>(metrics: &Metrics, name: &str, labels: [(&str, &str); N]) -> f64 {
    let text = metrics.render(Format::Text);
    let samples: Vec<Sample<'_>> =
        text.lines().filter_map(Sample::parse).filter(|sample| sample.name == name).collect();
    let asked = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    match samples.iter().find(|sample| sample.labels == asked) {
        Some(sample) => sample.value,
        None => panic!("no sample {name}{asked:?}; there {}", list(&samples)),
    }
}

/// One line of an exposition.
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: BTreeMap<&'a str, String>,
    pub(crate) value: f64,
}

// === impl Sample ===

impl<'a> Sample<'a> {
    /// Reads a line of text, without its exemplar; a comment is none.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' ']).filter(|_| !line.starts_with('#'))?;
        let (name, rest) = line.split_at(end);
        // The `prometheus_client` crate writes the braces of an empty label set as well.
        let mut rest = rest.strip_prefix("{}").unwrap_or(rest);
        let mut labels = BTreeMap::new();
        while let Some(pair) = rest.strip_prefix(['{', ',']) {
            let (label, quoted) = pair.split_once("=\"")?;
            let (value, after) = unescape(quoted)?;
            labels.insert(label, value);
            rest = after;
        }
        let value = rest.strip_prefix('}').unwrap_or(rest).split_whitespace().next()?;
        Some(Self { name, labels, value: value.parse().ok()? })
    }
}

/// A label value without its escapes, and what follows its closing quote.
fn unescape(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[position + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

fn list(samples: &[Sample<'_>]) -> String {
    if samples.is_empty() {
        return "is none of that name".to_owned();
    }
    samples.iter().fold("are".to_owned(), |mut list, sample| {
        let _ = write!(list, "\n  {}{:?} {}", sample.name, sample.labels, sample.value);
        list
    })
}

#[cfg(test)]
mod tests {
    use super::{Sample, sample};
    use crate::{
        Metrics,
        specs::http::{HTTP_REQUEST_DURATION_SECONDS, Method},
    };

    #[test]
    fn reads_what_the_library_writes() {
        let metrics = Metrics::new();
        let duration = metrics.histograms(HTTP_REQUEST_DURATION_SECONDS).unwrap();
        duration.with((Method::Get, "/a \"quoted\"\n\\path")).observe(0.3);
        let labels = [("path", "/a \"quoted\"\n\\path"), ("method", "GET")];
        assert_eq!(sample(&metrics, "http_request_duration_seconds_sum", labels), 0.3);
        let [path, method] = labels;
        assert_eq!(sample(&metrics, "http_request_duration_seconds_bucket", [("le", "0.5"), path, method]), 1.0);
    }

    #[test]
    #[should_panic(expected = "no sample nothing{}; there is none of that name")]
    fn a_sample_that_is_missing_is_told() {
        sample(&Metrics::new(), "nothing", []);
    }

    #[test]
    fn comments_and_garbage_are_no_samples() {
        for line in ["", "# HELP a b", "a", "a{", "a{b=\"c", "a{b=\"c\"} x"] {
            assert!(Sample::parse(line).is_none(), "{line}");
        }
    }
}
