//! Which format a scraper gets, by RFC 9110's rules for `Accept`.

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// What a scrape is answered in.
#[cfg(feature = "admin")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    Text(Format),
    Protobuf,
}

/// What names a format in `Accept`.
struct MediaType {
    kind: &'static str,
    subtype: &'static str,
    /// Parameters that must have this value where they are given.
    parameters: &'static [(&'static str, &'static str)],
}

const TEXT: MediaType = MediaType { kind: "text", subtype: "plain", parameters: &[("version", "0.0.4")] };
const OPEN_METRICS: MediaType =
    MediaType { kind: "application", subtype: "openmetrics-text", parameters: &[("version", "1.0.0")] };
#[cfg(feature = "admin")]
const PROTOBUF: MediaType = MediaType {
    kind: "application",
    subtype: "vnd.google.protobuf",
    parameters: &[("proto", "io.prometheus.client.MetricFamily"), ("encoding", "delimited")],
};

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
        let (open, text) = (OPEN_METRICS.preference(accept), TEXT.preference(accept));
        // A wildcard that likes both alike gets the older one, which everybody reads.
        let open_metrics = open.quality > text.quality || (open.is_named() && open.quality >= text.quality);
        if open_metrics && open.quality > 0.0 { Self::OpenMetrics } else { Self::Text }
    }

    /// The `Content-Type` of the format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

// === impl Wire ===

#[cfg(feature = "admin")]
impl Wire {
    /// As [`Format::negotiate`]; protobuf goes only to who asks for it by name, and then before its equals.
    pub(crate) fn negotiate(accept: &str) -> Self {
        let protobuf = PROTOBUF.preference(accept);
        let text = OPEN_METRICS.preference(accept).quality.max(TEXT.preference(accept).quality);
        if protobuf.is_named() && protobuf.quality > 0.0 && protobuf.quality >= text {
            Self::Protobuf
        } else {
            Self::Text(Format::negotiate(accept))
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text(format) => format.content_type(),
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// How much a header likes a media type, and by how specific a range.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Preference {
    specificity: u8,
    quality: f32,
}

// === impl Preference ===

impl Preference {
    /// Whether the type was named, rather than met by a wildcard.
    fn is_named(self) -> bool {
        self.specificity >= 2
    }
}

// === impl MediaType ===

impl MediaType {
    /// The most specific range that matches decides; among equals, the one that likes the type better.
    fn preference(&self, accept: &str) -> Preference {
        let matching = accept.split(',').filter_map(|range| self.match_range(range));
        let best = matching.max_by(|left, right| left.partial_cmp(right).expect("a quality is never NaN"));
        best.unwrap_or(Preference { specificity: 0, quality: 0.0 })
    }

    fn match_range(&self, range: &str) -> Option<Preference> {
        let mut parts = range.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut specificity = match (kind, subtype) {
            ("*", "*") => 0,
            (kind, "*") if kind.eq_ignore_ascii_case(self.kind) => 1,
            (kind, subtype) if kind.eq_ignore_ascii_case(self.kind) && subtype.eq_ignore_ascii_case(self.subtype) => 2,
            _ => return None,
        };
        let mut quality = 1.0;
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
            if name == "q" {
                quality = value.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
            } else if let Some((_, wanted)) = self.parameters.iter().find(|(parameter, _)| *parameter == name) {
                if value != *wanted {
                    return None;
                }
                specificity += 1;
            }
        }
        Some(Preference { specificity, quality })
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
    #[cfg(feature = "admin")]
    use super::Wire;

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

    #[cfg(feature = "admin")]
    #[test]
    fn protobuf_goes_only_to_who_names_it() {
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let cases = [
            (native, Wire::Protobuf),
            ("*/*", Wire::Text(Format::Text)),
            ("application/*", Wire::Text(Format::OpenMetrics)),
            ("application/vnd.google.protobuf;encoding=text", Wire::Text(Format::Text)),
            ("application/vnd.google.protobuf;q=0.5, text/plain", Wire::Text(Format::Text)),
        ];
        for (accept, expected) in cases {
            assert_eq!(Wire::negotiate(accept), expected, "{accept}");
        }
    }
}
