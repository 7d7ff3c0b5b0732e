//! The pages: HTML documents with their style and one script, which brings them up to date; nothing comes from elsewhere, and
//! without the script they renew themselves.

use std::fmt::{self, Write};

use super::{
    html::{Ago, Escaped, Graph, Moment, Percent, State},
    view::{CheckDetail, CheckState, CheckView, ErrorsView, FailureView, PhaseView, Timestamp, View},
};
use crate::config::duration;

mod upstreams;

const STYLE: &str = include_str!("style.css");

const SCRIPT: &str = include_str!("live.js");

/// How often a page without scripts loads itself anew, in seconds.
const REFRESH_SECS: u32 = 15;

/// A certificate that expires within so many days is warned of.
const EXPIRY_DAYS: u64 = 14;

/// The whole page of all checks; `nonce` is what the policy lets style and script in by.
pub(super) fn render(view: &View, nonce: &str) -> String {
    let (_, verdict) = verdict(view);
    document(&verdict, nonce, "/events", &fragment(view))
}

/// What changes of the page of all checks.
pub(super) fn fragment(view: &View) -> String {
    written(|html| write_checks(html, view))
}

/// The whole page of one check.
pub(super) fn render_check(check: &CheckDetail, nonce: &str) -> String {
    let title = format!("{}: {}", check.check.name, check.check.state.as_str());
    let events = format!("/events?check={}", check.check.name);
    document(&title, nonce, &events, &check_fragment(check))
}

/// What changes of the page of one check.
pub(super) fn check_fragment(check: &CheckDetail) -> String {
    written(|html| write_detail(html, check))
}

/// The whole page of error forwarding.
pub(super) fn render_errors(errors: &ErrorsView, nonce: &str) -> String {
    document("error forwarding", nonce, "/events?errors=true", &errors_fragment(errors))
}

/// What changes of the page of error forwarding.
pub(super) fn errors_fragment(errors: &ErrorsView) -> String {
    written(|html| upstreams::write_page(html, errors))
}

/// The card of one check.
pub(super) fn card(check: &CheckView, now: Timestamp) -> String {
    written(|html| write_card(html, check, now))
}

fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut html = String::with_capacity(8 * 1024);
    write(&mut html).expect("a string takes all that is written");
    html
}

fn document(title: &str, nonce: &str, events: &str, content: &str) -> String {
    let (title, version) = (Escaped(title), env!("CARGO_PKG_VERSION"));
    format!(
        "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<title>{title} · Futura sidecar</title>
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<link rel=\"icon\" href=\"data:,\">
<noscript><meta http-equiv=\"refresh\" content=\"{REFRESH_SECS}\"></noscript>
<style nonce=\"{nonce}\">
{STYLE}</style>
</head>
<body>
<a class=\"skip\" href=\"#content\">Skip to the content</a>
<header>
<h1><a href=\"/\">Futura sidecar</a></h1>
<p id=\"live\" class=\"soft\" role=\"status\"></p>
</header>
<main id=\"content\" data-events=\"{events}\">
{content}</main>
<footer>
<nav aria-label=\"Machine-readable\">JSON of <a href=\"/api/v1/checks\">checks</a> and <a href=\"/api/v1/errors\">errors</a> · <a href=\"/metrics\">metrics</a></nav>
<p>version {version}</p>
</footer>
<script nonce=\"{nonce}\">
{SCRIPT}</script>
</body>
</html>
"
    )
}

fn verdict(view: &View) -> (CheckState, String) {
    let (checks, count) = (view.checks.len(), |state| view.count(state));
    let (down, failing) = (count(CheckState::Down), count(CheckState::Failing));
    let (suspended, pending) = (count(CheckState::Suspended), count(CheckState::Pending));
    match () {
        () if down > 0 => (CheckState::Down, format!("✕ {down} of {checks} checks down")),
        () if checks == 0 => (CheckState::Pending, "… nothing is checked".to_owned()),
        () if failing > 0 => (CheckState::Failing, format!("! {failing} of {checks} checks failing")),
        () if pending > 0 => (CheckState::Pending, format!("… {pending} of {checks} checks have not run yet")),
        () if suspended > 0 => (CheckState::Suspended, format!("– {suspended} of {checks} checks suspended")),
        () => (CheckState::Up, format!("✓ all {checks} checks up")),
    }
}

fn write_checks(html: &mut String, view: &View) -> fmt::Result {
    let ((state, verdict), now) = (verdict(view), view.generated_at);
    writeln!(html, "<p class=\"verdict {}\" data-title=\"{verdict}\">{verdict}</p>", state.as_str())?;
    writeln!(html, "<section aria-labelledby=\"checks\">\n<h2 id=\"checks\">Checks</h2>")?;
    writeln!(html, "<p class=\"soft\">As of {}.</p>", Moment(now))?;
    if view.checks.is_empty() {
        html.push_str("<p>No checks are configured: list them under <code>checks</code>.</p>\n");
    }
    html.push_str("<ul class=\"grid\">\n");
    // The gravest first; otherwise the order of the configuration.
    let mut checks: Vec<_> = view.checks.iter().collect();
    checks.sort_by_key(|check| check.state);
    for check in checks {
        write!(html, "<li id=\"check-{}\">", check.name)?;
        write_card(html, check, now)?;
        html.push_str("</li>\n");
    }
    html.push_str("</ul>\n</section>\n");
    view.errors.as_ref().map_or(Ok(()), |errors| upstreams::write(html, errors))
}

fn write_card(html: &mut String, check: &CheckView, now: Timestamp) -> fmt::Result {
    let (name, state) = (&check.name, State(check.state, check.suspended));
    writeln!(
        html,
        "<article class=\"card\">\n<div class=\"title\"><h3><a href=\"/checks/{name}\">{name}</a></h3>{state}</div>"
    )?;
    write_target(html, check)?;
    html.push_str("<dl>\n");
    write_run(html, check, now)?;
    write_uptime(html, check)?;
    write_certificate(html, check, now)?;
    write_failure(html, check, now)?;
    html.push_str("</dl>\n");
    write_steps(html, check)?;
    writeln!(html, "{}</article>", Graph(&check.recent))
}

fn write_target(html: &mut String, check: &CheckView) -> fmt::Result {
    let (interval, timeout) = (duration::render(check.interval), duration::render(check.timeout));
    let (kind, target) = (check.kind, Escaped(&check.target));
    writeln!(html, "<p class=\"soft target\">{kind} {target}, every {interval}, within {timeout}</p>")
}

fn write_run(html: &mut String, check: &CheckView, now: Timestamp) -> fmt::Result {
    let Some(run) = check.last_run else {
        let within = match check.suspended {
            Some(_) => String::new(),
            None => format!("; the first is within {}", duration::render(check.interval)),
        };
        return writeln!(html, "<dt>Last run</dt><dd>not yet{within}</dd>");
    };
    let (ago, took) = (Ago(run.ended_at, now), duration::render(run.took));
    writeln!(html, "<dt>Last run</dt><dd>{ago}, took {took}</dd>")?;
    let what = if run.reason.is_some() { "Failing since" } else { "Up since" };
    writeln!(html, "<dt>{what}</dt><dd>{}</dd>", Ago(check.since.unwrap_or(run.ended_at), now))
}

fn write_uptime(html: &mut String, check: &CheckView) -> fmt::Result {
    if check.uptime_ratio.is_empty() {
        return Ok(());
    }
    let spans = [("24h", "24 h"), ("7d", "7 d"), ("30d", "30 d")];
    let told = spans.iter().filter_map(|(key, name)| {
        Some(format!("<span class=\"whole\">{} in {name}</span>", Percent(*check.uptime_ratio.get(key)?)))
    });
    writeln!(html, "<dt>Uptime</dt><dd>{}</dd>", told.collect::<Vec<_>>().join(", "))
}

fn write_certificate(html: &mut String, check: &CheckView, now: Timestamp) -> fmt::Result {
    let Some(expiry) = check.certificate_expires_at else { return Ok(()) };
    let (days, date) = (now.until(expiry).as_secs() / (24 * 60 * 60), expiry.render());
    let told = match days {
        0 if now.until(expiry).is_zero() => "<strong>has expired</strong>".to_owned(),
        days if days < EXPIRY_DAYS => format!("<strong>{days} days left</strong>"),
        days => format!("{days} days left"),
    };
    writeln!(html, "<dt>Certificate</dt><dd>{told} (<time datetime=\"{date}\">{}</time>)</dd>", expiry.date())
}

fn write_failure(html: &mut String, check: &CheckView, now: Timestamp) -> fmt::Result {
    let Some(FailureView { ended_at, reason, message, phases }) = &check.last_failure else { return Ok(()) };
    write!(html, "<dt>Last failure</dt><dd>{}: <strong>{reason}</strong>, {}", Ago(*ended_at, now), Escaped(message))?;
    if !phases.is_empty() {
        write!(html, "<br><span class=\"soft\">{}</span>", timings(phases))?;
    }
    html.push_str("</dd>\n");
    Ok(())
}

fn timings(phases: &[PhaseView]) -> String {
    let each = phases
        .iter()
        .map(|PhaseView { phase, took }| format!("{} {}", phase.replace('_', " "), duration::render(*took)));
    each.collect::<Vec<_>>().join(" · ")
}

fn write_steps(html: &mut String, check: &CheckView) -> fmt::Result {
    if check.steps.is_empty() {
        return Ok(());
    }
    writeln!(html, "<ol class=\"steps\" aria-label=\"Steps of {}\">", check.name)?;
    for step in &check.steps {
        let (name, took) = (Escaped(&step.name), duration::render(step.took));
        match step.reason {
            None => {
                writeln!(html, "<li>✓ {name} <span class=\"soft\">{took}</span></li>")?;
            }
            Some(reason) => {
                writeln!(html, "<li>✕ {name} <span class=\"soft\">{took}</span> <strong>{reason}</strong></li>")?;
            }
        }
    }
    html.push_str("</ol>\n");
    Ok(())
}

fn write_detail(html: &mut String, detail: &CheckDetail) -> fmt::Result {
    let (check, now) = (&detail.check, detail.generated_at);
    let (name, state) = (&check.name, State(check.state, check.suspended));
    writeln!(html, "<p><a href=\"/\">All checks</a></p>")?;
    writeln!(
        html,
        "<div class=\"title\"><h2 data-title=\"{name}: {}\">{name}</h2>{state}</div>",
        check.state.as_str()
    )?;
    write_target(html, check)?;
    writeln!(html, "<p class=\"soft\">As of {}.</p>\n<div class=\"card\">\n<dl>", Moment(now))?;
    write_run(html, check, now)?;
    // Those of a failure are told with it.
    let succeeded = check.last_run.is_some_and(|run| run.reason.is_none());
    if succeeded && !check.phases.is_empty() {
        writeln!(html, "<dt>Phases</dt><dd>{}</dd>", timings(&check.phases))?;
    }
    write_uptime(html, check)?;
    write_certificate(html, check, now)?;
    write_failure(html, check, now)?;
    html.push_str("</dl>\n");
    write_steps(html, check)?;
    writeln!(html, "{}</div>", Graph(&check.recent))?;
    write_buttons(html, check)?;
    write_days(html, detail)?;
    write_results(html, detail)?;
    writeln!(
        html,
        "<p class=\"soft\">For other pages and programs: <a href=\"/api/v1/checks/{name}\">JSON</a>, \
         <a href=\"/checks/{name}/badge.svg\">badge of the state</a>, \
         <a href=\"/checks/{name}/badge.svg?uptime=30d\">badge of the uptime</a></p>"
    )
}

fn write_buttons(html: &mut String, check: &CheckView) -> fmt::Result {
    let action = |what: &str, text: &str| {
        format!("<form method=\"post\" action=\"/api/v1/checks/{}/{what}\"><button>{text}</button></form>", check.name)
    };
    let buttons = match check.suspended {
        // Its pod is ending, and it with it.
        Some("draining") => return Ok(()),
        Some("paused") => action("resume", "Resume"),
        _ => action("pause?for=1h", "Pause for an hour") + &action("pause", "Pause"),
    };
    writeln!(html, "<div class=\"buttons\">{buttons}</div>")
}

fn write_days(html: &mut String, detail: &CheckDetail) -> fmt::Result {
    let count = detail.days.len();
    let (runs, failures) =
        detail.days.iter().fold((0, 0), |(runs, failures), day| (runs + day.runs, failures + day.failures));
    let label = format!("{failures} of {runs} runs failed in {count} days; each bar is a day, the last is today");
    writeln!(html, "<section aria-labelledby=\"days\">\n<h2 id=\"days\">Thirty days</h2>")?;
    write!(
        html,
        "<svg class=\"days\" role=\"img\" viewBox=\"0 0 {} 40\" preserveAspectRatio=\"none\" aria-label=\"{label}\">",
        count * 8
    )?;
    for (place, day) in detail.days.iter().enumerate() {
        let class = match (day.runs, day.failures) {
            (0, _) => "none",
            (_, 0) => "good",
            (runs, failures) if failures * 100 <= runs => "some",
            _ => "bad",
        };
        let title = format!("{}: {} of {} runs failed", day.begins_at.date(), day.failures, day.runs);
        write!(
            html,
            "<rect class=\"{class}\" x=\"{}\" width=\"6\" height=\"40\"><title>{title}</title></rect>",
            place * 8
        )?;
    }
    writeln!(html, "</svg>\n<p class=\"soft\">{label}.</p>\n</section>")
}

fn write_results(html: &mut String, detail: &CheckDetail) -> fmt::Result {
    writeln!(html, "<section aria-labelledby=\"results\">\n<h2 id=\"results\">Last runs</h2>")?;
    html.push_str(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Table of the last runs\">\n<table>\n",
    );
    html.push_str("<thead><tr><th scope=\"col\">Ended</th><th scope=\"col\">Took</th><th scope=\"col\">Result</th></tr></thead>\n<tbody>\n");
    for run in &detail.results {
        let (ended, took) = (Moment(run.ended_at), duration::render(run.took));
        let result = run.reason.map_or("✓ success".to_owned(), |reason| format!("✕ {reason}"));
        writeln!(html, "<tr><td>{ended}</td><td>{took}</td><td>{result}</td></tr>")?;
    }
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
    Ok(())
}
