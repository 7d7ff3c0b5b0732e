//! Requests that a service answered, as the HTTP layer counts them.

use crate::{
    label,
    spec::{CounterSpec, GaugeSpec, HistogramSpec, Label, Unit},
};

label! {
    /// The request method; anything that RFC 9110 and RFC 5789 do not name is `OTHER`.
    pub enum Method: "method" {
        Get => "GET",
        Head => "HEAD",
        Post => "POST",
        Put => "PUT",
        Patch => "PATCH",
        Delete => "DELETE",
        Options => "OPTIONS",
        Trace => "TRACE",
        Connect => "CONNECT",
        Other => "OTHER",
    }
}

label! {
    /// The route template that matched, never the path of the request; [`UNMATCHED`] where none did.
    pub enum Path: "path";
}

/// The status code of the answer: `499` when the client went away, `500` when the handler panicked.
#[derive(Clone, Copy, Debug)]
pub enum Status {}

/// The `path` of every request that no route matched.
pub const UNMATCHED: &str = "_unmatched";

/// Bounds of the request duration in seconds: the documented 0.1, 0.5, 1, 2 and 5, finer ones below, and 10.
pub const DURATION_BOUNDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];

crate::declare! {
    /// HTTP requests answered, counted once at the end of the response body.
    pub HTTP_REQUESTS_TOTAL: CounterSpec<(Method, Path, Status)> = CounterSpec::new("http_requests_total", Unit::Count);

    /// Time from the request head to the end of the response body.
    pub HTTP_REQUEST_DURATION_SECONDS: HistogramSpec<(Method, Path)> =
        HistogramSpec::new("http_request_duration_seconds", Unit::Seconds, DURATION_BOUNDS).native();

    /// HTTP requests whose answer has not ended yet.
    pub HTTP_REQUESTS_IN_FLIGHT: GaugeSpec<(Method, Path)> = GaugeSpec::new("http_requests_in_flight", Unit::Count);
}

// === impl Status ===

impl Label for Status {
    const NAME: &'static str = "status";
    const VALUES: &'static [&'static str] = &[];
    const NUMBERED: bool = true;
    type Value<'a> = u16;

    fn text<'a>(status: Self::Value<'a>) -> &'a str {
        static DIGITS: [u8; 1500] = digits();
        let Some(code) = Self::number(status).checked_sub(100) else { return "_other" };
        let offset = usize::from(code) * 3;
        std::str::from_utf8(&DIGITS[offset..offset + 3]).expect("three ASCII digits")
    }

    fn number(status: Self::Value<'_>) -> u16 {
        // Codes outside 100 to 599 are not HTTP's; they fold, so that no peer can make up series.
        if (100..600).contains(&status) { status } else { 0 }
    }
}

const fn digits() -> [u8; 1500] {
    let mut digits = [0; 1500];
    let mut code = 100;
    while code < 600 {
        let at = (code - 100) * 3;
        digits[at] = b'0' + (code / 100) as u8;
        digits[at + 1] = b'0' + (code / 10 % 10) as u8;
        digits[at + 2] = b'0' + (code % 10) as u8;
        code += 1;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::Status;
    use crate::spec::Label;

    #[test]
    fn status_text_is_the_code_or_folds() {
        for (status, text) in
            [(99, "_other"), (100, "100"), (404, "404"), (599, "599"), (600, "_other"), (u16::MAX, "_other")]
        {
            assert_eq!(Status::text(status), text);
        }
    }
}
