//! Which format a scraper gets, by RFC 9110's rules for `Accept`.

/// A format that metrics leave in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

// === impl Format ===

impl Format {
    /// The format that an `Accept` header likes best; text where it names none of ours, as Prometheus expects.
    ///
    /// ```
    /// use futura_metrics::exposition::Format;
    /// assert_eq!(Format::negotiate("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"), Format::OpenMetrics);
    /// assert_eq!(Format::negotiate("application/openmetrics-text;q=0.2, text/plain;q=0.8"), Format::Text);
    /// assert_eq!(Format::negotiate("*/*"), Format::Text);
    /// ```
    pub fn negotiate(accept: &str) -> Self {
        let quality = |format: Self| {
            // The most specific range that matches decides; among equals, the one that likes the format better.
            let matching = accept.split(',').filter_map(|range| format.match_range(range));
            matching
                .max_by(|left, right| left.partial_cmp(right).expect("a quality is never NaN"))
                .map_or(0.0, |(_, quality)| quality)
        };
        let (open, text) = (quality(Self::OpenMetrics), quality(Self::Text));
        let named = accept.to_ascii_lowercase().contains("openmetrics");
        if open > text || (named && open > 0.0 && open >= text) { Self::OpenMetrics } else { Self::Text }
    }

    /// The `Content-Type` of the format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    const fn media_type(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain", "0.0.4"),
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        }
    }

    /// How specifically one media range names this format, and with which quality.
    fn match_range(self, range: &str) -> Option<(u8, f32)> {
        let mut parts = range.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let (own_kind, own_subtype, own_version) = self.media_type();
        let mut specificity = match (kind, subtype) {
            ("*", "*") => 0,
            (kind, "*") if kind.eq_ignore_ascii_case(own_kind) => 1,
            (kind, subtype) if kind.eq_ignore_ascii_case(own_kind) && subtype.eq_ignore_ascii_case(own_subtype) => 2,
            _ => return None,
        };
        let mut quality = 1.0;
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => {
                    quality = value.trim().parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
                }
                "version" if value.trim().trim_matches('"') == own_version => specificity = 3,
                "version" => return None,
                _ => {}
            }
        }
        Some((specificity, quality))
    }
}

/// Each element of a header such as `Accept-Encoding` with its quality, which is 1 where none is given and 0 where it is bad.
#[cfg(feature = "admin")]
pub(crate) fn qualities(header: &str) -> impl Iterator<Item = (&str, f32)> {
    header.split(',').map(|element| {
        let (token, parameters) = element.split_once(';').unwrap_or((element, ""));
        let quality =
            parameters.split(';').filter_map(|parameter| parameter.split_once('=')).find_map(|(name, value)| {
                name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
            });
        (token.trim(), quality.unwrap_or(1.0))
    })
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn the_header_of_each_prometheus_version_gets_openmetrics() {
        let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [two, three] {
            assert_eq!(Format::negotiate(accept), Format::OpenMetrics);
        }
    }

    #[test]
    fn quality_and_specificity_decide() {
        let cases = [
            ("", Format::Text),
            ("application/json", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            ("application/openmetrics-text;q=0, */*", Format::Text),
            ("application/openmetrics-text, text/plain", Format::OpenMetrics),
            ("application/openmetrics-text;q=0.5, text/plain;q=0.6", Format::Text),
            ("application/*, text/plain;q=0.9", Format::OpenMetrics),
            ("application/openmetrics-text;q=2", Format::Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text),
        ];
        for (accept, expected) in cases {
            assert_eq!(Format::negotiate(accept), expected, "{accept}");
        }
    }
}
