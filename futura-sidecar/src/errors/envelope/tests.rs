use proptest::{collection::vec, prelude::any, proptest};
use sentry_types::Dsn;
use serde_json::{Value, from_slice, json};
use time::UtcDateTime;

use super::{EnvelopeError, HEAD_LIMIT, Head};

fn upstream() -> Dsn {
    "https://public:secret@sentry.example.org/prefix/42".parse().expect("a DSN")
}

fn rewritten(envelope: &str) -> Value {
    let head = Head::parse(envelope.as_bytes()).expect(envelope);
    let line = head.rewritten(&upstream(), UtcDateTime::UNIX_EPOCH);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    from_slice(&line).expect("JSON")
}

#[test]
fn the_header_goes_under_the_upstreams_name_and_keeps_the_rest() {
    let envelope = r#"{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","dsn":"http://app@127.0.0.1:9470/1","sent_at":"2020-01-01T00:00:00Z","trace":{"trace_id":"x","public_key":"app","sample_rate":"0.5"},"sdk":{"name":"a.b"},"future":[1,2.5,null]}
{"type":"event"}
{}"#;
    let expected = json!({
        "event_id": "9ec79c33ec9942ab8353589fcb2e04dc",
        "dsn": "https://public@sentry.example.org/prefix/42",
        "sent_at": "1970-01-01T00:00:00Z",
        "trace": { "trace_id": "x", "public_key": "public", "sample_rate": "0.5" },
        "sdk": { "name": "a.b" },
        "future": [1, 2.5, null],
    });
    assert_eq!(rewritten(envelope), expected);
}

#[test]
fn what_the_header_does_not_have_is_not_invented() {
    assert_eq!(rewritten("{}\n{\"type\":\"session\"}\n{}"), json!({ "sent_at": "1970-01-01T00:00:00Z" }));
    assert_eq!(rewritten("{\"trace\":\"odd\"}"), json!({ "sent_at": "1970-01-01T00:00:00Z", "trace": "odd" }));
    assert_eq!(rewritten("{}\r\n{\"type\":\"event\"}\r\n{}\r\n"), json!({ "sent_at": "1970-01-01T00:00:00Z" }));
}

#[test]
fn ids_are_given_back_as_sdks_write_them() {
    let id = |text: &str| Head::parse(text.as_bytes()).expect(text).event_id().map(|id| id.simple().to_string());
    assert_eq!(
        id(r#"{"event_id":"9ec79c33-ec99-42ab-8353-589fcb2e04dc"}"#).as_deref(),
        Some("9ec79c33ec9942ab8353589fcb2e04dc")
    );
    assert_eq!(id("{}"), None);
    assert_eq!(id(r#"{"event_id":"<script>"}"#), None);
    assert_eq!(id(r#"{"event_id":7}"#), None);
}

#[test]
fn the_first_item_gives_the_category() {
    let category = |items: &str| Head::parse(format!("{{}}\n{items}").as_bytes()).expect(items).category;
    assert_eq!(category("{\"type\":\"event\"}\n{}\n{\"type\":\"attachment\"}\n"), "error");
    assert_eq!(category("{\"type\":\"attachment\",\"attachment_type\":\"event.minidump\"}\n"), "error");
    assert_eq!(category("{\"type\":\"transaction\",\"length\":2}\n{}"), "transaction");
    for items in ["", "\n", "{\"type\":\"new\"}\n", "{\"type\":1}", "garbage", "[]"] {
        assert_eq!(category(items), "default", "{items}");
    }
}

#[test]
fn what_is_no_envelope_is_told_apart() {
    for bytes in [&b""[..], b"\n", b"x", b"[]\n", b"null", b"{\n}", b"\xff\xff", b"{} {}\n"] {
        assert_eq!(Head::parse(bytes), Err(EnvelopeError::Header), "{bytes:?}");
    }
    assert_eq!(Head::parse(&vec![b' '; HEAD_LIMIT]), Err(EnvelopeError::HeaderTooLong));
    let deep = "[".repeat(10_000);
    assert_eq!(Head::parse(format!("{{\"a\":{deep}\n").as_bytes()), Err(EnvelopeError::Header));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(head) = Head::parse(&bytes) {
            head.rewritten(&upstream(), UtcDateTime::UNIX_EPOCH);
        }
    }
}
