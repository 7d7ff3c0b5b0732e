//! The status page: one HTML document with its style, without scripts and without anything from elsewhere.

use std::{
    fmt::{self, Display, Write},
    time::Duration,
};

use super::view::{CheckState, CheckView, FailureView, RunView, Timestamp, View};
use crate::{config::duration, errors::ErrorsSummary};

const STYLE: &str = include_str!("style.css");

/// How often the page loads itself anew, in seconds.
const REFRESH_SECS: u32 = 15;

/// The graph's size in its own units.
const GRAPH: (f64, f64) = (240.0, 40.0);

/// Text from elsewhere, as HTML.
struct Escaped<T>(T);

/// Writes through and escapes.
struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

/// A time for people and machines.
struct Moment(Timestamp);

/// A time by its distance, with the time itself for who points at it.
struct Ago(Timestamp, Timestamp);

/// A share that is only 100 % when nothing is missing.
struct Percent(f64);

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

// === impl Percent ===

impl Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floored = (self.0 * 10_000.0).floor() / 100.0;
        if floored.fract() == 0.0 { write!(formatter, "{floored} %") } else { write!(formatter, "{floored:.2} %") }
    }
}

/// Renders the page; `nonce` is what the policy lets the style in by.
pub(super) fn render(view: &View, nonce: &str, refresh: bool) -> String {
    let mut html = String::with_capacity(8 * 1024);
    write(&mut html, view, nonce, refresh).expect("a string takes all that is written");
    html
}

fn write(html: &mut String, view: &View, nonce: &str, refresh: bool) -> fmt::Result {
    let (down, pending) = (view.count(CheckState::Down), view.count(CheckState::Pending));
    let (class, verdict) = verdict(view.checks.len(), down, pending);
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{verdict} · Futura sidecar</title>\n"
    )?;
    html.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" href=\"data:,\">\n");
    if refresh {
        writeln!(html, "<meta http-equiv=\"refresh\" content=\"{REFRESH_SECS}\">")?;
    }
    write!(html, "<style nonce=\"{nonce}\">\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>Futura sidecar</h1>\n")?;
    let now = view.generated_at;
    let switch = match refresh {
        true => format!("Renews itself every {REFRESH_SECS} s. <a href=\"?refresh=off\">Turn off</a>"),
        false => "Does not renew itself. <a href=\"/\">Turn on</a>".to_owned(),
    };
    writeln!(html, "<p class=\"soft\">As of {}. {switch}</p>\n</header>\n<main>", Moment(now))?;
    write!(
        html,
        "<p class=\"verdict {class}\">{verdict}</p>\n<section aria-labelledby=\"checks\">\n<h2 id=\"checks\">Checks</h2>\n"
    )?;
    if view.checks.is_empty() {
        html.push_str("<p>No checks are configured: list them under <code>checks</code>.</p>\n");
    }
    html.push_str("<ul class=\"grid\">\n");
    // Failing checks first; otherwise the order of the configuration.
    let mut checks: Vec<_> = view.checks.iter().collect();
    checks.sort_by_key(|check| check.state);
    checks.into_iter().try_for_each(|check| write_check(html, check, now))?;
    html.push_str("</ul>\n</section>\n");
    view.errors.as_ref().map_or(Ok(()), |errors| write_errors(html, errors))?;
    html.push_str("</main>\n<footer>\n<nav aria-label=\"Machine-readable\"><a href=\"/api/v1/checks\">JSON</a> · <a href=\"/metrics\">metrics</a></nav>\n");
    write!(html, "<p>version {}</p>\n</footer>\n</body>\n</html>\n", view.version)
}

fn verdict(checks: usize, down: usize, pending: usize) -> (&'static str, String) {
    match (checks, down, pending) {
        (_, down, _) if down > 0 => ("down", format!("✕ {down} of {checks} checks down")),
        (0, ..) => ("pending", "… nothing is checked".to_owned()),
        (_, _, pending) if pending > 0 => ("pending", format!("… {pending} of {checks} checks have not run yet")),
        _ => ("up", format!("✓ all {checks} checks up")),
    }
}

fn write_check(html: &mut String, check: &CheckView, now: Timestamp) -> fmt::Result {
    let (class, state) = match check.state {
        CheckState::Up => ("up", "✓ up"),
        CheckState::Down => ("down", "✕ down"),
        CheckState::Failing => ("failing", "! failing"),
        CheckState::Suspended => ("suspended", check.suspended.unwrap_or("suspended")),
        CheckState::Pending => ("pending", "… pending"),
    };
    write!(
        html,
        "<li><article class=\"card\">\n<div class=\"title\"><h3>{}</h3><span class=\"state {class}\">{state}</span></div>\n",
        Escaped(&check.name)
    )?;
    let (interval, timeout) = (duration::render(check.interval), duration::render(check.timeout));
    let (kind, target) = (check.kind, Escaped(&check.target));
    write!(html, "<p class=\"soft target\">{kind} {target}, every {interval}, within {timeout}</p>\n<dl>\n")?;
    match check.last_run {
        Some(run) => {
            let since = check.since.unwrap_or(run.ended_at);
            writeln!(
                html,
                "<dt>Last run</dt><dd>{}, took {}</dd>",
                Ago(run.ended_at, now),
                duration::render(run.took)
            )?;
            writeln!(
                html,
                "<dt>{}</dt><dd>{}</dd>",
                if run.reason.is_some() { "Failing since" } else { "Up since" },
                Ago(since, now)
            )?;
        }
        None => writeln!(html, "<dt>Last run</dt><dd>not yet; the first is within {interval}</dd>")?,
    }
    if let Some(uptime) = check.uptime_ratio {
        writeln!(
            html,
            "<dt>Uptime</dt><dd>{} of the last {} {}</dd>",
            Percent(uptime),
            check.results,
            if check.results == 1 { "run" } else { "runs" }
        )?;
    }
    if let Some(FailureView { ended_at, reason, message }) = &check.last_failure {
        writeln!(
            html,
            "<dt>Last failure</dt><dd>{}: <strong>{reason}</strong>, {}</dd>",
            Ago(*ended_at, now),
            Escaped(message)
        )?;
    }
    html.push_str("</dl>\n");
    write_graph(html, &check.recent)?;
    html.push_str("</article></li>\n");
    Ok(())
}

/// Draws the latencies as a line, and failed runs as dashed uprights through it.
fn write_graph(html: &mut String, runs: &[RunView]) -> fmt::Result {
    let longest = runs.iter().map(|run| run.took).max().unwrap_or_default();
    if runs.len() < 2 || longest.is_zero() {
        return Ok(());
    }
    let (width, height) = GRAPH;
    let failed = runs.iter().filter(|run| run.reason.is_some()).count();
    let count = runs.len();
    let label = format!("Latency of the last {count} runs, at most {}; {failed} failed", duration::render(longest));
    write!(
        html,
        "<svg role=\"img\" viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" aria-label=\"{label}\"><title>{label}</title>"
    )?;
    let x = |position: usize| position as f64 * width / (count - 1) as f64;
    for (position, _) in runs.iter().enumerate().filter(|(_, run)| run.reason.is_some()) {
        write!(html, "<path class=\"failed\" d=\"M{:.1} 0V{height}\"/>", x(position))?;
    }
    html.push_str("<polyline class=\"latency\" points=\"");
    for (position, run) in runs.iter().enumerate() {
        let share = run.took.as_secs_f64() / longest.as_secs_f64();
        write!(html, "{:.1},{:.1} ", x(position), (height - 2.0) - share * (height - 4.0))?;
    }
    html.push_str("\"/></svg>\n");
    Ok(())
}

fn write_errors(html: &mut String, errors: &ErrorsSummary) -> fmt::Result {
    html.push_str(
        "<section aria-labelledby=\"errors\">\n<h2 id=\"errors\">Error forwarding</h2>\n<div class=\"card\">\n<dl>\n",
    );
    match &errors.upstream {
        Some(upstream) => writeln!(html, "<dt>Upstream</dt><dd>{}</dd>", Escaped(upstream))?,
        None => writeln!(html, "<dt>Upstream</dt><dd>none is configured: envelopes are kept</dd>")?,
    }
    writeln!(html, "<dt>Waiting</dt><dd>{} envelopes, {} bytes</dd>", errors.spooled, errors.spooled_bytes)?;
    writeln!(html, "<dt>Received</dt><dd>{} since the start</dd>", errors.received)?;
    writeln!(html, "<dt>Forwarded</dt><dd>{} since the start</dd>", errors.forwarded)?;
    writeln!(html, "<dt>Refused</dt><dd>{} since the start</dd>", errors.refused)?;
    if let Some(failure) = &errors.failure {
        writeln!(html, "<dt>Last problem</dt><dd>{}</dd>", Escaped(failure))?;
    }
    html.push_str("</dl>\n</div>\n</section>\n");
    Ok(())
}
