use insta::assert_snapshot;
use proptest::{collection::vec, prelude::any, prop_assert, prop_assert_eq, proptest, sample::select};

use crate::{
    Config,
    errors::{framing::Envelope, json::Json},
};

use super::{
    ScrubError, Scrubber,
    defaults::is_card_number,
    patterns::{BUILTINS, Finds},
};

/// What the defaults make of a text in a place.
fn scrub(event: &str) -> String {
    let (bytes, _) = Scrubber::default().event(event.as_bytes()).expect("JSON");
    String::from_utf8(bytes).expect("text")
}

/// What the defaults make of a text that anybody may have written.
fn text(text: &str) -> String {
    let value = Json::String(text.to_owned());
    let event = Json::Object(vec![("exception".to_owned(), Json::Object(vec![("value".to_owned(), value)]))]);
    let scrubbed = Json::parse(scrub(&event.render()).as_bytes()).expect("JSON");
    let value = scrubbed.get("exception").and_then(|exception| exception.get("value"));
    value.and_then(Json::as_str).unwrap_or("null").to_owned()
}

#[test]
fn every_pattern_compiles() {
    for builtin in &BUILTINS {
        match &builtin.finds {
            Finds::Anything => {}
            Finds::Text { pattern, group, .. } => {
                let regex = pattern.regex();
                assert!(*group == usize::MAX || *group < regex.captures_len(), "{}", builtin.name);
            }
            Finds::Pair { key, value } => {
                assert!(!key.regex().is_match("") && !value.regex().is_match(""), "{}", builtin.name);
            }
        }
    }
}

#[test]
fn secrets_in_texts_go() {
    let texts = [
        "token=abc for jane@example.org password=hunter2",
        "connect to postgres://app:s3cret@db:5432/x failed",
        "GET https://h/p?code=4/0AX01234&state=xyz012345&page=2",
        "https://h/cb#id=1&sig=abc%3D",
        "cannot open /home/jane/app/config.yaml",
        "C:\\Users\\bob\\x and /Users/al/y",
        "Authorization: Basic YWxhZGRpbjpvcGVu",
        "headers: {'authorization': 'Bearer abc.def', 'x': 'y'}",
        "Cookie: sid=abc; theme=dark",
        "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P for it",
        "key AKIAIOSFODNN7EXAMPLE used",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345 xoxb-123456789012-abcdefghij sk_live_0123456789abcdef",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY----- after",
        "{\"password\":\"hunter2\",\"user\":\"jane\"}",
        "{\\\"api_key\\\": \\\"0123\\\"}",
        "secret_key: 'a1b2'",
        "client_secret=xyz&grant=1",
        "password = \"two words\"",
        "card 4111 1111 1111 1111 or 4111-1111-1111-1111",
    ];
    assert_snapshot!(texts.map(text).join("\n"), @r#"
    token=[secret] for [email] password=[secret]
    connect to postgres://[auth]@db:5432/x failed
    GET https://h/p?code=[secret]&state=[secret]&page=2
    https://h/cb#id=1&sig=[secret]
    cannot open /home/[user]/app/config.yaml
    C:\Users\[user]\x and /Users/[user]/y
    Authorization: [secret]
    headers: {'authorization': '[secret]', 'x': 'y'}
    Cookie: [Filtered]
    got [token] for it
    key [token] used
    [token] [token] [token]
    -----BEGIN RSA PRIVATE KEY-----[pemkey]-----END RSA PRIVATE KEY----- after
    {"password":"[secret]","user":"jane"}
    {\"api_key\": \"[secret]\"}
    secret_key: '[secret]'
    client_secret=[secret]&grant=1
    password = "[secret]"
    card [creditcard] or [creditcard]
    "#);
}

#[test]
fn what_is_no_secret_stays() {
    for kept in [
        "ceee0822-ed8f-4622-b2a3-789e73e75cd1",
        "trace 4c79f60c11214eb38604f4ae0781bfb2 of span fa90fdead5f74052",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "version 1.2.3.4 at 2026-11-27T06:25:41.123Z",
        "1700000000123456789",
        "unexpected token: `}` at line 3",
        "Unexpected token < in JSON at position 0",
        "password is too short",
        "the token has expired",
        "core::result::unwrap_failed at src/main.rs:12:5",
        "https://h/p?page=2&sort=name#top",
        "GET /api/home/dashboard and /users/42",
        "at fn@http://h/app.js:1:2",
        "index out of range: the len is 3 but the index is 3",
        "secret: none",
        "password=None token: null",
        "Failed to parse token: expected string, got int",
        "auth: failed",
        "task failed: auth::token::verify",
        "https://h/p?state=open&key=name",
        "npm ERR react@18.2.0 in @scope/pkg@1.0.0-beta.1",
    ] {
        assert_eq!(text(kept), kept);
    }
}

#[test]
fn keys_decide_and_identifiers_stay() {
    let event = r#"{"event_id":"52df9022835246eeb317dbd739ccd059","release":"api@1.2.beta","modules":{"oauthlib":"3.2"},"contexts":{"trace":{"trace_id":"4c79f60c11214eb38604f4ae0781bfb2"}},"exception":{"values":[{"type":"AuthError","stacktrace":{"frames":[{"function":"get_token","filename":"auth.py","vars":{"password":"x","n":1}}]}}]},"request":{"url":"https://u:p@h/?token=a","headers":{"Authorization":"Basic x","Cookie":"a=b","Set-Cookie":"c=d","Accept":"*/*"},"cookies":{"theme":"dark"}},"user":{"email":"jane@example.org","id":"7"},"extra":{"card":4111111111111111,"count":1.50,"big":12345678901234567890123}}"#;
    assert_snapshot!(scrub(event), @r##"
    {"event_id":"52df9022835246eeb317dbd739ccd059","release":"api@1.2.beta","modules":{"oauthlib":"3.2"},"contexts":{"trace":{"trace_id":"4c79f60c11214eb38604f4ae0781bfb2"}},"exception":{"values":[{"type":"AuthError","stacktrace":{"frames":[{"function":"get_token","filename":"auth.py","vars":{"password":"[Filtered]","n":1}}]}}]},"request":{"url":"https://[auth]@h/?token=[secret]","headers":{"Authorization":"[Filtered]","Cookie":"[Filtered]","Set-Cookie":"[Filtered]","Accept":"*/*"},"cookies":{"theme":"[Filtered]"}},"user":{"email":"[email]","id":"7"},"extra":{"card":null,"count":1.50,"big":12345678901234567890123},"_meta":{"exception":{"values":{"0":{"stacktrace":{"frames":{"0":{"vars":{"password":{"":{"rem":[["@password:filter","s",0,10]],"len":1}}}}}}}}},"extra":{"card":{"":{"rem":[["@creditcard:filter","x"]]}}},"request":{"cookies":{"theme":{"":{"rem":[["@anything:filter","s",0,10]],"len":4}}},"headers":{"Authorization":{"":{"rem":[["@password:filter","s",0,10]],"len":7}},"Cookie":{"":{"rem":[["@secretkey:filter","s",0,10]],"len":3}},"Set-Cookie":{"":{"rem":[["@secretkey:filter","s",0,10]],"len":3}}},"url":{"":{"rem":[["@urlpassword:replace","s",8,14],["@secretpair:replace","s",24,32]],"len":22}}},"user":{"email":{"":{"rem":[["@email:replace","s",0,7]],"len":16}}}}}
    "##);
}

#[test]
fn the_order_and_the_rest_are_kept() {
    let event = r#"{"z":1.0,"a":{"y":1e3,"x":[null,true,"\u00e9\ud83d\ude00"]},"message":"jane@example.org","b":0.10}"#;
    assert_snapshot!(scrub(event), @r##"
    {"z":1.0,"a":{"y":1e3,"x":[null,true,"é😀"]},"message":"[email]","b":0.10,"_meta":{"message":{"":{"rem":[["@email:replace","s",0,7]],"len":16}}}}
    "##);
    assert_eq!(scrub(r#"{ "z" : 1.0 }"#), r#"{ "z" : 1.0 }"#, "what no rule touches is not written anew");
}

#[test]
fn cards_are_told_by_their_check_digit() {
    assert!(is_card_number("4111111111111111") && is_card_number("378282246310005"));
    assert!(
        !is_card_number("4111111111111112")
            && !is_card_number("1700000000123456")
            && !is_card_number("4e11111111111111")
    );
}

fn envelope(bytes: &str) -> Result<String, ScrubError> {
    let scrubbed = Scrubber::default().envelope(bytes.into())?;
    let removed: String = scrubbed.removed.iter().map(|item| format!("\n[{}: {}]", item.kind, item.error)).collect();
    Ok(String::from_utf8(scrubbed.bytes).expect("text") + &removed)
}

#[test]
fn envelopes_are_scrubbed_item_by_item() {
    let event = "{\"message\":\"jane@example.org\"}";
    let bytes = format!(
        "{{}}\n{{\"type\":\"attachment\",\"length\":17}}\njane@example.org\n\n{{\"type\":\"event\",\"length\":{},\"x\":1}}\n{event}\n{{\"type\":\"new\"}}\n{event}\n{{\"type\":\"event\"}}\n{event}",
        event.len()
    );
    assert_snapshot!(envelope(&bytes).expect("framed"), @r##"
    {}
    {"type":"attachment","length":17}
    jane@example.org
    
    {"type":"event","length":92,"x":1}
    {"message":"[email]","_meta":{"message":{"":{"rem":[["@email:replace","s",0,7]],"len":16}}}}
    {"type":"new"}
    {"message":"jane@example.org"}
    {"type":"event"}
    {"message":"[email]","_meta":{"message":{"":{"rem":[["@email:replace","s",0,7]],"len":16}}}}
    "##);
    let log = r#"{"items":[{"body":"for jane@example.org","attributes":{"api_key":{"value":"x","type":"string"},"n":{"value":1,"type":"integer"}}}]}"#;
    assert_snapshot!(envelope(&format!("{{}}\n{{\"type\":\"log\"}}\n{log}\n")).expect("framed"), @r##"
    {}
    {"type":"log"}
    {"items":[{"body":"for [email]","attributes":{"api_key":null,"n":{"value":1,"type":"integer"}},"_meta":{"attributes":{"api_key":{"":{"rem":[["@password:filter","x"]]}}},"body":{"":{"rem":[["@email:replace","s",4,11]],"len":20}}}}]}
    "##);
    let report = r#"{"event_id":"a","email":"jane@example.org","comments":"password=x"}"#;
    assert_snapshot!(envelope(&format!("{{}}\n{{\"type\":\"user_report\"}}\n{report}\n")).expect("framed"), @r##"
    {}
    {"type":"user_report"}
    {"event_id":"a","email":"[email]","comments":"[Filtered]","_meta":{"comments":{"":{"rem":[["@password:filter","s",0,10]],"len":10}},"email":{"":{"rem":[["@email:replace","s",0,7]],"len":16}}}}
    "##);
}

#[test]
fn spans_and_replays_are_scrubbed_as_what_is_in_events() {
    let span = r#"{"op":"db","description":"for jane@example.org","data":{"api_key":"k","to":"jane@example.org"}}"#;
    let spans = r#"{"items":[{"name":"GET /","attributes":{"mail":{"value":"jane@example.org","type":"string"}}}]}"#;
    let replay = r#"{"replay_id":"a","urls":["https://x/?mail=jane@example.org"],"user":{"email":"jane@example.org"}}"#;
    for (kind, payload) in [("span", span), ("span", spans), ("trace_metric", spans), ("replay_event", replay)] {
        let scrubbed = envelope(&format!("{{}}\n{{\"type\":\"{kind}\"}}\n{payload}\n")).expect("framed");
        let event = scrub(&payload.replace("\"description\"", "\"message\""));
        assert!(payload.contains("jane") && !event.contains("jane"), "{event}");
        assert!(scrubbed.contains("_meta") && !scrubbed.contains("jane") && !scrubbed.contains("\"k\""), "{scrubbed}");
    }
}

#[test]
fn what_cannot_be_scrubbed_does_not_pass() {
    for (payload, error) in
        [("{\"a\":", "it is no JSON from byte 5 on"), (&"[".repeat(200), "it is nested more than 128 deep")]
    {
        let bytes = format!("{{}}\n{{\"type\":\"event\"}}\n{payload}\n{{\"type\":\"session\"}}\n{{}}\n");
        let expected = format!("{{}}\n{{\"type\":\"session\"}}\n{{}}\n\n[event: the payload cannot be read: {error}]");
        assert_eq!(envelope(&bytes), Ok(expected));
    }
    for bytes in [
        "{}\n{\"type\":\"event\",\"length\":99}\n{}",
        "{}\n{\"type\":\"event\"",
        "{}\n{\"type\":\"\\u0065vent\",\"length\":9}\n{}",
    ] {
        assert_eq!(envelope(bytes), Err(ScrubError::Framing), "{bytes}");
    }
    assert_eq!(
        envelope("{}\n{\"type\":\"session\",\"length\":99}\n{}"),
        Ok("{}\n{\"type\":\"session\",\"length\":99}\n{}".to_owned())
    );
    let long = format!("{{\"message\":\"{}\"}}", "x".repeat(300 * 1024));
    assert_snapshot!(scrub(&long), @r##"
    {"message":null,"_meta":{"message":{"":{"rem":[["!limit","x"]]}}}}
    "##);
    let large = format!("{{\"message\":\"{}\"}}", "x".repeat(9 * 1024 * 1024));
    assert_eq!(Scrubber::default().event(large.as_bytes()), Err(ScrubError::TooLarge));
}

#[test]
fn remarks_protect_nothing_that_no_rule_left() {
    let event = r#"{"message":"jane@example.org","_meta":{"message":{"":{"rem":[["@x","s",0,16]],"val":"token=abc"}},"other":{"":{"err":[["e",{"value":"bob@example.org"}]]}}}}"#;
    assert_snapshot!(scrub(event), @r##"
    {"message":"[email]","_meta":{"message":{"":{"rem":[["@email:replace","s",0,7]],"val":"[Filtered]","len":16}},"other":{"":{"err":[["e",{"value":"[email]"}]]}}}}
    "##);
    assert_snapshot!(scrub(r#"{"_meta":"token=abc","_meta":{"a":"token=abc"}}"#), @r##"
    {"_meta":{}}
    "##);
}

/// What rules of the configuration alone make of an event.
fn by_rules(scrub: &str, event: &str) -> String {
    let text = format!("errors: {{ scrub: {{ defaults: false, {scrub} }} }}");
    let config = Config::parse(&text, |_| None).unwrap_or_else(|problems| panic!("{problems:?}"));
    let (bytes, _) = config.errors.expect("a section").scrub.event(event.as_bytes()).expect("an event");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn rules_and_remarks_are_relays() {
    let check = |rule: &str, text: &str| {
        let scrub = format!("rules: {{ r: {rule} }}, applications: {{ extra.k: [r] }}");
        by_rules(&scrub, &format!("{{\"extra\":{{\"k\":\"{text}\"}}}}"))
    };
    let cases = [
        ("{ type: alias, rule: '@email:mask' }", "é a@b.com é"),
        ("{ type: alias, rule: '@email:hash', hideInner: true }", "a@b.com"),
        ("{ type: multiple, rules: ['@ip', '@mac'] }", "10.0.0.1 4a:00:04:10:9b:50"),
        ("{ type: pattern, pattern: '(a)|(b)', replaceGroups: [1, 2], redaction: { method: mask } }", "xaybz"),
        ("{ type: pattern, pattern: 'b', redaction: { method: replace } }", "abc"),
        ("{ type: anything }", "abc"),
        ("{ type: redact_pair, keyPattern: k, redaction: { method: replace, text: no } }", "abc"),
        ("{ type: password }", "my password"),
        ("{ type: pemkey, redaction: { method: mask } }", "-----BEGIN PRIVATE KEY-----ab-----END PRIVATE KEY-----"),
    ];
    assert_snapshot!(cases.map(|(rule, text)| check(rule, text)).join("\n"), @r#"
    {"extra":{"k":"é ******* é"},"_meta":{"extra":{"k":{"":{"rem":[["@email:mask","m",3,10]],"len":11}}}}}
    {"extra":{"k":"61B3201A382D592BE35539FDC89B1D3DD75CE6E1"},"_meta":{"extra":{"k":{"":{"rem":[["r","p",0,40]],"len":7}}}}}
    {"extra":{"k":"[ip] *****************"},"_meta":{"extra":{"k":{"":{"rem":[["@ip","s",0,4],["@mac","m",5,22]],"len":26}}}}}
    {"extra":{"k":"x*y*z"},"_meta":{"extra":{"k":{"":{"rem":[["r","m",1,2],["r","m",3,4]],"len":5}}}}}
    {"extra":{"k":"a[Filtered]c"},"_meta":{"extra":{"k":{"":{"rem":[["r","s",1,11]],"len":3}}}}}
    {"extra":{"k":null},"_meta":{"extra":{"k":{"":{"rem":[["r","x"]]}}}}}
    {"extra":{"k":"no"},"_meta":{"extra":{"k":{"":{"rem":[["r","s",0,2]],"len":3}}}}}
    {"extra":{"k":""},"_meta":{"extra":{"k":{"":{"rem":[["r","x",0,0]],"len":11}}}}}
    {"extra":{"k":"-----BEGIN PRIVATE KEY-----**-----END PRIVATE KEY-----"},"_meta":{"extra":{"k":{"":{"rem":[["r","m",27,29]],"len":54}}}}}
    "#);
}

#[test]
fn selectors_select() {
    let event = r#"{"extra":{"k":"1","o":{"k":"2","d":{"k":"3"}},"my key":"4","l":["5"]},"tags":{"k":"6"},"user":{"email":"7"},"request":{"headers":[["X-A","8"]],"url":"9"},"level":"error"}"#;
    let check = |selector: &str| {
        let scrubbed = by_rules(&format!("applications: {{ \"{selector}\": ['@anything:replace'] }}"), event);
        let left: String = ('1'..='9').filter(|digit| !scrubbed.contains(&format!("\"{digit}\""))).collect();
        format!("{selector}: {left}")
    };
    let selectors = [
        "k",
        "extra.k",
        "extra.**.k",
        "**.k",
        "extra.*",
        "extra.'my key'",
        "EXTRA.L.0",
        "$string",
        "$user.email",
        "$http.**",
        "$http.headers.x-a",
        "request.url",
        "!extra.** && $string",
        "(tags.k || user.*) && !user.email",
        "level",
    ];
    assert_snapshot!(selectors.map(check).join("\n"), @r#"
    k: 1236
    extra.k: 1
    extra.**.k: 23
    **.k: 123
    extra.*: 12345
    extra.'my key': 4
    EXTRA.L.0: 5
    $string: 234578
    $user.email: 7
    $http.**: 8
    $http.headers.x-a: 8
    request.url: 9
    !extra.** && $string: 78
    (tags.k || user.*) && !user.email: 6
    level:
    "#);
}

/// A secret of each kind.
const SECRETS: &[&str] = &[
    "jane@example.org",
    "Bearer s3cr3t.t0ken",
    "password=hunter2",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N",
    "sk_live_0123456789abcdef",
    "https://user:hunter2@h/p",
    "/home/jane/x",
];

/// Where in a secret the part is that must not be left.
fn bare(secret: &str) -> &str {
    ["s3cr3t", "hunter2", "jane"].into_iter().find(|part| secret.contains(part)).unwrap_or(secret)
}

/// An event with every place that texts are in, as `@`.
const PLACES: &str = r#"{"message":"@","logentry":{"message":"@","params":["@",{"a":"@"}]},"exception":[{"value":"@","mechanism":{"data":{"x":"@"},"description":"@"},"stacktrace":{"frames":[{"abs_path":"@","context_line":"@","pre_context":["@"],"vars":{"v":["@"]}}]}}],"threads":{"values":[{"name":"@"}]},"breadcrumbs":[{"message":"@","data":{"url":"@"},"category":"@"}],"request":{"url":"@","query_string":"@","data":"@","headers":[["X","@"],["broken"]],"cookies":"@","env":{"E":"@"}},"user":{"id":"@","username":"@","geo":{"city":"@"}},"tags":{"t":"@"},"contexts":{"device":{"name":"@","model":"@"},"own":{"o":{"p":["@"]}}},"extra":{"@":1,"e":"@","n":{"o":[{"p":"@"}]}},"spans":[{"description":"@","data":{"d":"@"},"tags":{"x":"@"}}],"transaction":"@","culprit":"@","server_name":"@","fingerprint":["@"],"unknown":"@"}"#;

proptest! {
    #[test]
    fn no_planted_secret_is_left(secret in select(SECRETS), before in "[a-z .:]{0,9}", after in "[a-z .]{0,9}") {
        let planted = Json::String(format!("{before} {secret} {after}")).render();
        let event = PLACES.replace("\"@\"", &planted);
        let scrubbed = scrub(&event);
        prop_assert!(!scrubbed.contains(bare(secret)), "{}", scrubbed);
        prop_assert_eq!(scrub(&scrubbed), scrubbed, "scrubbing again changes nothing");
    }

    #[test]
    fn any_bytes_survive_framing(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Envelope::parse(&bytes).write(), bytes);
    }

    #[test]
    fn any_envelope_survives_framing(pieces in vec(select(&[
        "{}\n", "{\"type\":\"event\"}\n", "{\"type\":\"a\",\"length\":3}\n", "a\nb", "\n", "{\"length\":0}\n", "{\"a\":1}", "\r\n", "\u{0}",
    ][..]), 0..12)) {
        let bytes = pieces.concat().into_bytes();
        prop_assert_eq!(Envelope::parse(&bytes).write(), bytes);
    }

    #[test]
    fn any_text_is_scrubbed_without_a_panic(text in "\\PC*", start in 0..40_u8, end in 0..40_u8) {
        let text = Json::String(text).render();
        let event = format!("{{\"message\":{text},\"_meta\":{{\"message\":{{\"\":{{\"rem\":[[\"@x\",\"s\",{start},{end}]]}}}}}}}}");
        scrub(&event);
    }

    #[test]
    fn json_is_read_as_serde_reads_it(text in "[\\[\\]{}:,\"0-9eE.+\\-tfnu\\\\a ]{0,12}") {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        let ours = Json::parse(text.as_bytes());
        // Half a surrogate pair and a number without end are JSON all the same.
        prop_assert!(ours.is_ok() || theirs.is_err(), "{}", text);
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&ours.render()).expect("JSON"), theirs);
        }
    }
}
