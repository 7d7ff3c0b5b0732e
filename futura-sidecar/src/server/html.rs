//! Pieces of HTML that more than one page has.

use std::{
    fmt::{self, Display, Write},
    time::Duration,
};

use super::view::{CheckState, RunView, Timestamp};
use crate::config::duration;

/// Text from elsewhere, as HTML.
pub(super) struct Escaped<T>(pub(super) T);

/// Writes through and escapes.
struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

/// A time for people and machines.
pub(super) struct Moment(pub(super) Timestamp);

/// A time by its distance, with the time itself for who points at it.
pub(super) struct Ago(pub(super) Timestamp, pub(super) Timestamp);

/// A size for people.
pub(super) struct Bytes(pub(super) u64);

/// A share that is only 100 % when nothing is missing.
pub(super) struct Percent(pub(super) f64);

/// A state in its colour, with a sign of its own for who does not see colours.
pub(super) struct State(pub(super) CheckState, pub(super) Option<&'static str>);

/// The latencies as a line, and failed runs as dashed uprights through it.
pub(super) struct Graph<'a>(pub(super) &'a [RunView]);

/// The graph's size in its own units.
const GRAPH: (f64, f64) = (240.0, 40.0);

// === impl Escaped ===

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(formatter), "{}", self.0)
    }
}

// === impl Escaper ===

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '"' => self.0.write_str("&quot;"),
            '\'' => self.0.write_str("&#39;"),
            other => self.0.write_char(other),
        })
    }
}

// === impl Moment ===

impl Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0.render();
        write!(formatter, "<time datetime=\"{time}\">{time}</time>")
    }
}

// === impl Ago ===

impl Display for Ago {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, ago) = (self.0.render(), self.0.until(self.1));
        if ago.as_secs() == 0 {
            return write!(formatter, "<time datetime=\"{time}\" title=\"{time}\">just now</time>");
        }
        let ago = duration::render(Duration::from_secs(ago.as_secs()));
        write!(formatter, "<time datetime=\"{time}\" title=\"{time}\">{ago} ago</time>")
    }
}

// === impl Bytes ===

impl Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB"];
        let (mut size, mut unit) = (self.0 as f64, "bytes");
        for larger in units {
            if size < 1024.0 {
                break;
            }
            (size, unit) = (size / 1024.0, larger);
        }
        let places = usize::from(unit != "bytes" && size < 10.0);
        write!(formatter, "{size:.places$} {unit}")
    }
}

// === impl Percent ===

impl Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floored = (self.0 * 10_000.0).floor() / 100.0;
        if floored.fract() == 0.0 { write!(formatter, "{floored} %") } else { write!(formatter, "{floored:.2} %") }
    }
}

// === impl State ===

impl Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(state, suspended) = self;
        let sign = match state {
            CheckState::Down => '✕',
            CheckState::Failing => '!',
            CheckState::Suspended => '–',
            CheckState::Pending => '…',
            CheckState::Up => '✓',
        };
        let (class, text) = (state.as_str(), suspended.unwrap_or(state.as_str()));
        write!(formatter, "<span class=\"state {class}\">{sign} {text}</span>")
    }
}

// === impl Graph ===

impl Display for Graph<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0;
        let longest = runs.iter().map(|run| run.took).max().unwrap_or_default();
        if runs.len() < 2 || longest.is_zero() {
            return Ok(());
        }
        let (width, height) = GRAPH;
        let failed = runs.iter().filter(|run| run.reason.is_some()).count();
        let count = runs.len();
        let label = format!("Latency of the last {count} runs, at most {}; {failed} failed", duration::render(longest));
        write!(
            formatter,
            "<svg role=\"img\" viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" aria-label=\"{label}\"><title>{label}</title>"
        )?;
        let x = |position: usize| position as f64 * width / (count - 1) as f64;
        for (position, _) in runs.iter().enumerate().filter(|(_, run)| run.reason.is_some()) {
            write!(formatter, "<path class=\"failed\" d=\"M{:.1} 0V{height}\"/>", x(position))?;
        }
        formatter.write_str("<polyline class=\"latency\" points=\"")?;
        for (position, run) in runs.iter().enumerate() {
            let share = run.took.as_secs_f64() / longest.as_secs_f64();
            write!(formatter, "{:.1},{:.1} ", x(position), (height - 2.0) - share * (height - 4.0))?;
        }
        formatter.write_str("\"/></svg>\n")
    }
}
