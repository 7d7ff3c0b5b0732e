//! What is sent as no envelope: events of the old endpoint, browsers' security reports, and minidumps of native crashes. Each
//! becomes an envelope, as a Sentry server would make it.

use std::error::Error;

use axum::{
    body::Body,
    extract::{FromRequest, Multipart, Request, multipart::MultipartError},
};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::ReceiveError;
use crate::{causes, errors::envelope::EnvelopeError};

/// The field of a form that holds the minidump.
const MINIDUMP_FIELD: &str = "upload_file_minidump";

/// The field of a form that holds the event that the minidump belongs to.
const EVENT_FIELD: &str = "sentry";

/// How many parts a form may have.
const PARTS: usize = 100;

/// What a minidump begins with, in either byte order.
const MAGICS: [&[u8]; 2] = [b"MDMP", b"PMDM"];

/// What the address of a security report says of who sent it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ReportQuery {
    sentry_release: Option<String>,
    sentry_environment: Option<String>,
}

/// The parts of an upload, in the order in which they are sent on.
#[derive(Default)]
struct Upload {
    event: Option<Bytes>,
    minidump: Option<Vec<u8>>,
    others: Vec<u8>,
    fields: Map<String, Value>,
    parts: usize,
}

/// The envelope of an event.
pub(super) fn of_event(event: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let id = event_id(event)?;
    let mut envelope = header(id);
    add_item(&mut envelope, json!({ "type": "event" }), event);
    Ok(envelope)
}

/// The envelope of a security report, such as one of a violated Content-Security-Policy.
pub(super) fn of_report(report: &[u8], query: &ReportQuery) -> Result<Vec<u8>, EnvelopeError> {
    let value: Value = serde_json::from_slice(report).map_err(|_| EnvelopeError::Report)?;
    if !value.is_object() && !value.is_array() {
        return Err(EnvelopeError::Report);
    }
    let mut item = json!({ "type": "raw_security", "content_type": "application/json" });
    let known = [("sentry_release", &query.sentry_release), ("sentry_environment", &query.sentry_environment)];
    for (name, value) in known.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        item[name] = json!(value);
    }
    let mut envelope = header(Uuid::new_v4());
    add_item(&mut envelope, item, report);
    Ok(envelope)
}

/// The envelope of a minidump that is a body of its own.
pub(super) fn of_minidump(minidump: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let mut envelope = header(Uuid::new_v4());
    add_minidump(&mut envelope, "Minidump", minidump)?;
    Ok(envelope)
}

/// The envelope of a minidump in a form, with the form's event and other files.
pub(super) async fn of_form(request: Request, limit: u64) -> Result<Vec<u8>, ReceiveError> {
    // Names and headers count too: a form may consist of nothing else.
    let request = request.map(|body| Body::new(Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX))));
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| ReceiveError::Form(error.body_text()))?;
    let wrong = |error: MultipartError| match causes(&error).any(<dyn Error>::is::<LengthLimitError>) {
        true => ReceiveError::TooLarge(limit),
        false => ReceiveError::Form(error.body_text()),
    };
    let mut upload = Upload::default();
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        upload.parts += 1;
        if upload.parts > PARTS {
            return Err(ReceiveError::Form(format!("it has more than {PARTS} parts")));
        }
        let (name, file) = (field.name().unwrap_or_default().to_owned(), field.file_name().map(str::to_owned));
        upload.take(&name, file.as_deref(), field.bytes().await.map_err(wrong)?)?;
    }
    Ok(upload.envelope()?)
}

/// Whether a body is a minidump and no form.
pub(super) fn is_minidump(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    ["application/octet-stream", "application/x-dmp"].contains(&kind)
}

// === impl Upload ===

impl Upload {
    fn take(&mut self, name: &str, file: Option<&str>, content: Bytes) -> Result<(), EnvelopeError> {
        match (name, file) {
            (MINIDUMP_FIELD, file) => {
                let mut item = Vec::new();
                add_minidump(&mut item, file.unwrap_or("Minidump"), &content)?;
                self.minidump = Some(item);
            }
            (EVENT_FIELD, None) => self.event = Some(content),
            (_, Some(file)) => {
                add_item(&mut self.others, json!({ "type": "attachment", "filename": file }), &content);
            }
            (name, None) => {
                self.fields.insert(name.to_owned(), String::from_utf8_lossy(&content).into());
            }
        }
        Ok(())
    }

    /// The event first, since by it the envelope is known.
    fn envelope(self) -> Result<Vec<u8>, EnvelopeError> {
        let minidump = self.minidump.ok_or(EnvelopeError::Minidump)?;
        let event = match (self.event, self.fields) {
            (Some(event), _) => Some(event),
            (None, fields) if fields.is_empty() => None,
            // What a crash reporter tells besides, such as the product's version.
            (None, fields) => Some(json!({ "extra": fields }).to_string().into()),
        };
        let id = event.as_deref().map_or_else(|| Ok(Uuid::new_v4()), event_id)?;
        let mut envelope = header(id);
        if let Some(event) = event {
            add_item(&mut envelope, json!({ "type": "event" }), &event);
        }
        envelope.extend(minidump);
        envelope.extend(self.others);
        Ok(envelope)
    }
}

/// The id that an event has, or a new one.
fn event_id(event: &[u8]) -> Result<Uuid, EnvelopeError> {
    let fields: Map<String, Value> = serde_json::from_slice(event).map_err(|_| EnvelopeError::Event)?;
    let given = fields.get("event_id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
    Ok(given.unwrap_or_else(Uuid::new_v4))
}

fn header(id: Uuid) -> Vec<u8> {
    format!("{}\n", json!({ "event_id": id.simple() })).into_bytes()
}

fn add_minidump(envelope: &mut Vec<u8>, file: &str, minidump: &[u8]) -> Result<(), EnvelopeError> {
    if !MAGICS.iter().any(|magic| minidump.starts_with(magic)) {
        return Err(EnvelopeError::Minidump);
    }
    let item = json!({ "type": "attachment", "attachment_type": "event.minidump", "filename": file });
    add_item(envelope, item, minidump);
    Ok(())
}

fn add_item(envelope: &mut Vec<u8>, mut header: Value, payload: &[u8]) {
    header["length"] = json!(payload.len());
    envelope.extend_from_slice(format!("{header}\n").as_bytes());
    envelope.extend_from_slice(payload);
    envelope.push(b'\n');
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;

    use super::{EnvelopeError, ReportQuery, of_event, of_form, of_minidump, of_report};
    use crate::errors::envelope::Head;

    fn lines(envelope: Vec<u8>) -> Vec<String> {
        String::from_utf8(envelope).expect("text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_event_keeps_its_id() {
        let event = br#"{"event_id":"9EC79C33-EC99-42AB-8353-589FCB2E04DC","message":"a"}"#;
        let envelope = of_event(event).expect("an event");
        assert_eq!(Head::parse(&envelope).expect("an envelope").category, "error");
        let lines = lines(envelope);
        assert_eq!(lines[0], r#"{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}"#);
        assert_eq!((lines[2].as_bytes(), lines.len()), (&event[..], 3));
        assert!(
            of_event(b"{}").is_ok_and(|envelope| Head::parse(&envelope).is_ok_and(|head| head.event_id().is_some()))
        );
        assert_eq!(of_event(b"[]").map(drop), Err(EnvelopeError::Event));
    }

    #[test]
    fn a_report_tells_its_release() {
        let query = ReportQuery { sentry_release: Some("1.2".to_owned()), sentry_environment: None };
        let report = br#"{"csp-report":{"blocked-uri":"inline"}}"#;
        let envelope = of_report(report, &query).expect("a report");
        assert_eq!(Head::parse(&envelope).expect("an envelope").category, "security");
        let lines = lines(envelope);
        assert!(lines[1].contains(r#""sentry_release":"1.2""#) && !lines[1].contains("environment"), "{}", lines[1]);
        for no_report in [&b""[..], b"7", b"text"] {
            assert_eq!(of_report(no_report, &query).map(drop), Err(EnvelopeError::Report));
        }
    }

    #[test]
    fn a_minidump_is_an_error() {
        let envelope = of_minidump(b"MDMP and more").expect("a minidump");
        assert_eq!(Head::parse(&envelope).expect("an envelope").category, "error");
        assert_eq!(of_minidump(b"something else").map(drop), Err(EnvelopeError::Minidump));
    }

    fn form(parts: &[(&str, &str)]) -> Request<Body> {
        let part = |(disposition, content): &(&str, &str)| {
            format!("--B\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
        };
        let body = parts.iter().map(part).collect::<String>() + "--B--\r\n";
        let request = Request::post("/").header("content-type", "multipart/form-data; boundary=B");
        request.body(body.into()).expect("a request")
    }

    #[tokio::test]
    async fn a_form_gives_event_minidump_and_files() {
        let minidump = ("name=\"upload_file_minidump\"; filename=\"a.dmp\"", "MDMP\r\n\n");
        let log = ("name=\"log\"; filename=\"app.log\"", "line");
        let event = ("name=\"sentry\"", r#"{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","release":"1"}"#);
        let envelope = of_form(form(&[log, minidump, event]), 1000).await.expect("a form");
        let text = String::from_utf8(envelope).expect("text");
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in {text}"));
        assert!(text.starts_with("{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\"}\n"), "{text}");
        assert!(at("\"release\":\"1\"") < at("event.minidump") && at("event.minidump") < at("app.log"), "{text}");
        at("MDMP\r\n\n\n");
        let plain = of_form(form(&[("name=\"version\"", "7"), minidump]), 1000).await.expect("a form");
        assert!(String::from_utf8(plain).expect("text").contains(r#"{"extra":{"version":"7"}}"#));
        assert!(of_form(form(&[log]), 1000).await.is_err_and(|error| error.to_string().contains("minidump")));
        assert!(
            of_form(form(&[minidump]), 60).await.is_err_and(|error| error.to_string().contains("more than 60 bytes"))
        );
    }
}
