//! What the pages tell of error forwarding.

use std::fmt::{self, Write};

use super::super::html::Escaped;
use crate::errors::{ErrorsSummary, UpstreamSummary};

/// The part of the first page: a card for each upstream.
pub(super) fn write(html: &mut String, errors: &ErrorsSummary) -> fmt::Result {
    html.push_str(
        "<section aria-labelledby=\"errors\">\n<h2 id=\"errors\">Error forwarding</h2>\n<ul class=\"grid\">\n",
    );
    for upstream in &errors.upstreams {
        html.push_str("<li>");
        write_card(html, upstream)?;
        html.push_str("</li>\n");
    }
    html.push_str("</ul>\n</section>\n");
    Ok(())
}

fn write_card(html: &mut String, upstream: &UpstreamSummary) -> fmt::Result {
    writeln!(html, "<article class=\"card\">\n<h3>{}</h3>\n<dl>", Escaped(&upstream.name))?;
    match &upstream.upstream {
        Some(origin) => writeln!(html, "<dt>Upstream</dt><dd>{}</dd>", Escaped(origin))?,
        None => writeln!(html, "<dt>Upstream</dt><dd>none is configured: envelopes are kept</dd>")?,
    }
    writeln!(html, "<dt>Waiting</dt><dd>{} envelopes, {} bytes</dd>", upstream.spooled, upstream.spooled_bytes)?;
    writeln!(html, "<dt>Received</dt><dd>{} since the start</dd>", upstream.received)?;
    writeln!(html, "<dt>Forwarded</dt><dd>{} since the start</dd>", upstream.forwarded)?;
    writeln!(html, "<dt>Refused</dt><dd>{} since the start</dd>", upstream.refused)?;
    if let Some(failure) = &upstream.failure {
        writeln!(html, "<dt>Last problem</dt><dd>{}</dd>", Escaped(failure))?;
    }
    html.push_str("</dl>\n</article>\n");
    Ok(())
}
