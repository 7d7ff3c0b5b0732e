//! What the pages tell of error forwarding.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use super::super::{
    html::{Ago, Bytes, Escaped, Moment},
    view::{ErrorView, ErrorsView},
};
use crate::{
    config::duration,
    errors::{ErrorsSummary, UpstreamSummary},
};

/// The part of the first page: a card for each upstream.
pub(super) fn write(html: &mut String, errors: &ErrorsSummary) -> fmt::Result {
    html.push_str(
        "<section aria-labelledby=\"errors\">\n<h2 id=\"errors\"><a href=\"/errors\">Error forwarding</a></h2>\n",
    );
    write_cards(html, errors)?;
    html.push_str("</section>\n");
    Ok(())
}

/// The page of error forwarding.
pub(super) fn write_page(html: &mut String, errors: &ErrorsView) -> fmt::Result {
    html.push_str("<section aria-labelledby=\"upstreams\">\n<h2 id=\"upstreams\">Error forwarding</h2>\n");
    writeln!(html, "<p class=\"soft\">As of {}. Counts are since the start.</p>", Moment(errors.generated_at))?;
    write_cards(html, &errors.summary)?;
    html.push_str("</section>\n");
    write_intake(html, &errors.summary)?;
    write_last(html, errors)
}

fn write_cards(html: &mut String, errors: &ErrorsSummary) -> fmt::Result {
    html.push_str("<ul class=\"grid\">\n");
    for upstream in &errors.upstreams {
        html.push_str("<li>");
        write_card(html, upstream)?;
        html.push_str("</li>\n");
    }
    html.push_str("</ul>\n");
    Ok(())
}

fn write_card(html: &mut String, upstream: &UpstreamSummary) -> fmt::Result {
    let (class, state) = match () {
        () if upstream.upstream.is_none() => ("pending", "… kept"),
        // A limit is told as the last problem too.
        () if !upstream.limits.is_empty() => ("failing", "! limited"),
        () if upstream.failure.is_some() => ("down", "✕ waiting"),
        () => ("up", "✓ forwarding"),
    };
    let name = Escaped(&upstream.name);
    writeln!(
        html,
        "<article class=\"card\">\n<div class=\"title\"><h3>{name}</h3><span class=\"state {class}\">{state}</span></div>\n<dl>"
    )?;
    match &upstream.upstream {
        Some(origin) => writeln!(html, "<dt>Upstream</dt><dd>{}</dd>", Escaped(origin))?,
        None => writeln!(html, "<dt>Upstream</dt><dd>none is configured: envelopes are kept</dd>")?,
    }
    if let Some(failover) = &upstream.failover {
        writeln!(html, "<dt>Failover</dt><dd>{}</dd>", Escaped(failover))?;
    }
    let (bytes, most) = (Bytes(upstream.spooled_bytes), Bytes(upstream.spool_limit_bytes));
    writeln!(
        html,
        "<dt>Waiting</dt><dd>{} of {} envelopes, {bytes} of {most}</dd>",
        upstream.spooled, upstream.spool_limit
    )?;
    writeln!(html, "<dt>Received</dt><dd>{}</dd>", upstream.received)?;
    writeln!(html, "<dt>Forwarded</dt><dd>{}</dd>", upstream.forwarded)?;
    let dead = upstream.dead;
    writeln!(html, "<dt>Refused</dt><dd>{}, with {dead} dead letters kept</dd>", upstream.refused)?;
    for limit in &upstream.limits {
        let left = duration::render(Duration::from_secs(limit.seconds_left));
        writeln!(html, "<dt>Limited</dt><dd>{}, for {left}</dd>", limit.category)?;
    }
    if let Some(failure) = &upstream.failure {
        writeln!(html, "<dt>Last problem</dt><dd>{}</dd>", Escaped(failure))?;
    }
    html.push_str("</dl>\n</article>\n");
    Ok(())
}

/// What was taken in, whichever upstream it is for.
fn write_intake(html: &mut String, errors: &ErrorsSummary) -> fmt::Result {
    html.push_str(
        "<section aria-labelledby=\"intake\">\n<h2 id=\"intake\">Taken in</h2>\n<div class=\"card\">\n<dl>\n",
    );
    let rejected: Vec<_> = errors
        .rejected
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let rejected = if rejected.is_empty() { "none".to_owned() } else { rejected.join(", ") };
    writeln!(html, "<dt>Turned away</dt><dd>{rejected}</dd>")?;
    writeln!(html, "<dt>Removed</dt><dd>{} secrets and personal data</dd>", errors.scrubbed)?;
    writeln!(html, "<dt>Counted</dt><dd>{} events of storms</dd>", errors.suppressed)?;
    html.push_str("</dl>\n</div>\n</section>\n");
    Ok(())
}

fn write_last(html: &mut String, errors: &ErrorsView) -> fmt::Result {
    html.push_str("<section aria-labelledby=\"last\">\n<h2 id=\"last\">Last errors</h2>\n");
    if errors.last_errors.is_empty() {
        html.push_str("<p>None was accepted since the start.</p>\n</section>\n");
        return Ok(());
    }
    html.push_str(
        "<p class=\"soft\">Accepted since the start, without what was removed from them; of a burst only some.</p>\n",
    );
    html.push_str("<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-labelledby=\"last\">\n<table>\n<thead><tr><th scope=\"col\">Accepted</th><th scope=\"col\">Level</th><th scope=\"col\">Event</th><th scope=\"col\">Project</th></tr></thead>\n<tbody>\n");
    for ErrorView { accepted_at, level, title, event_id, project } in &errors.last_errors {
        let id = Escaped(event_id.as_deref().unwrap_or_default());
        writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{} <span class=\"soft id\">{id}</span></td><td>{}</td></tr>",
            Ago(*accepted_at, errors.generated_at),
            Escaped(level),
            Escaped(title),
            Escaped(project.as_deref().unwrap_or("–")),
        )?;
    }
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
    Ok(())
}
