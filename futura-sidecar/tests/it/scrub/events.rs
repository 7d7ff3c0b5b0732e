//! Events with everything in them that tells a rule from another, and rules for them.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any},
    sample::{select, subsequence},
};
use serde_json::{Map, Value, json};

/// What texts are made of. A rule finds most of it; the rest is what it must not find.
pub(super) const SNIPPETS: &[&str] = &[
    "jane@example.org",
    "a+b.c_d%e@ex-a.co.uk",
    "a@b",
    "icon@2x",
    "10.0.0.1",
    "255.255.255.256",
    "v1.2.3.4",
    "4111111111111111",
    "4111-1111-1111-1111",
    "5555 5555 5555 4444",
    "378282246310005",
    "1234567890123456",
    "DE89370400440532013000",
    "GB82WEST12345698765432",
    "XX82WEST12345698765432",
    "078-05-1120",
    "1078-05-1120",
    "4a:00:04:10:9b:50",
    "4A-00-04-10-9B-50",
    "356938035643809",
    "49-015420-323751-8",
    "ceee0822-ed8f-4622-b2a3-789e73e75cd1",
    "ceee0822ed8f4622b2a3789e73e75cd1",
    "/home/jane/app",
    "C:\\Users\\bob\\x",
    "/Users/al",
    "-----BEGIN EC PRIVATE KEY-----\nMIHbAgEB\nabc\n-----END EC PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----",
    "https://u:p@h/p?x=1",
    "http://user@h",
    "postgres://a:b@c/d",
    "https://h/p@q",
    "Bearer abc.def",
    "bearer 12",
    "Bearer",
    "session=1; a=b",
    "PHPSESSID=a",
    "csrftoken=2",
    "password",
    "token=abc",
    "the token",
    "otp",
    "api_key",
    "secretary",
    "é",
    "日本",
    "\n",
    " ",
    "plain words",
    "1700000000.5",
    "0x7fff",
];

const KEYS: &[&str] = &[
    "k",
    "password",
    "x_password",
    "author",
    "Authorization",
    "X-Api-Key",
    "Cookie",
    "session",
    "token",
    "stripeToken",
    "my key",
    "a.b",
    "it's",
    "data",
    "value",
    "message",
    "Ünï",
];

const RULES: &[&str] = &[
    "@email",
    "@email:mask",
    "@email:hash",
    "@email:remove",
    "@ip",
    "@ip:hash",
    "@creditcard:mask",
    "@creditcard:filter",
    "@iban",
    "@usssn",
    "@usssn:hash",
    "@mac",
    "@mac:replace",
    "@imei",
    "@uuid",
    "@uuid:remove",
    "@userpath",
    "@userpath:hash",
    "@pemkey",
    "@pemkey:hash",
    "@urlauth",
    "@urlauth:hash",
    "@bearer",
    "@password",
    "@password:filter",
    "@password:mask",
    "@anything",
    "@anything:remove",
    "@anything:mask",
    "@cookies:filter",
    "words",
    "groups",
    "nothing",
    "pair",
    "pair-mask",
    "many",
    "hidden",
    "alias",
    "nested",
];

const SELECTORS: &[&str] = &[
    "$string",
    "$number",
    "$array",
    "$object",
    "**",
    "$string || $number || $array || $object",
    "extra.*",
    "extra.**",
    "extra.k",
    "extra.**.k",
    "k",
    "*.k",
    "**.k",
    "data.*",
    "extra.'my key'",
    "extra.'it''s'",
    "extra.'a.b'",
    "EXTRA.K",
    "$http.headers",
    "$http.headers.*",
    "$http.headers.authorization",
    "request.headers.cookie",
    "$http.cookies.*",
    "$http.query_string.**",
    "$http.url",
    "$http.data",
    "$http.data.*",
    "$http.**",
    "exception.values.*.value",
    "exception.values.0.value",
    "$exception.value",
    "$error.value",
    "$frame.vars.*",
    "$frame.vars.**",
    "$frame.**",
    "$stacktrace.**",
    "$frame.function",
    "$message",
    "$logentry.formatted",
    "$logentry.**",
    "logentry.params.*",
    "tags.*",
    "tags.k",
    "tags",
    "$user.email",
    "$user.**",
    "user.id",
    "$breadcrumb.message",
    "$breadcrumb.data.*",
    "breadcrumbs.values.*.data",
    "contexts.**",
    "contexts.device.name",
    "contexts.my.*",
    "$string && !extra.**",
    "$string && !($http.** || $user.**)",
    "$object && !extra",
    "!extra.** && $string",
    "extra.l.*",
    "extra.l.0",
    "extra.p.*",
    "extra.p.k",
    "server_name",
    "culprit",
    "unknown",
    "*.*",
    "*.*.*",
    "$string && k",
];

/// A `piiConfig`.
pub(super) fn configs() -> impl Strategy<Value = Value> {
    let rules = json!({
        "words": { "type": "pattern", "pattern": "(?i)plain (words)", "redaction": { "method": "replace", "text": "<é>" } },
        "groups": {
            "type": "pattern", "pattern": "(a)(b)|(q)", "replaceGroups": [2, 3], "redaction": { "method": "mask" },
        },
        "nothing": { "type": "pattern", "pattern": "x*", "redaction": { "method": "replace", "text": "q" } },
        "pair": { "type": "redact_pair", "keyPattern": "(?i)token" },
        "pair-mask": { "type": "redact_pair", "keyPattern": "^(k|a.*)$", "redaction": { "method": "mask" } },
        "many": { "type": "multiple", "rules": ["@mac", "@email:mask", "words"] },
        "hidden": { "type": "multiple", "rules": ["@ip", "many", "@anything"], "hideInner": true },
        "alias": { "type": "alias", "rule": "@email:hash", "hideInner": true },
        "nested": { "type": "multiple", "rules": ["alias", "nested", "@userpath:mask"] },
    });
    let names = subsequence(RULES, 1..4);
    let application = (select(SELECTORS), names);
    vec(application, 1..4).prop_map(move |applications| {
        let applications: Map<_, _> =
            applications.into_iter().map(|(selector, rules)| (selector.to_owned(), json!(rules))).collect();
        json!({ "rules": rules, "applications": applications })
    })
}

fn texts() -> impl Strategy<Value = String> {
    vec(select(SNIPPETS), 0..4).prop_map(|snippets| snippets.join(" "))
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = proptest::prop_oneof![
        4 => texts().prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        1 => Just(json!(1.5)),
        1 => Just(json!(true)),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        proptest::prop_oneof![vec(inner.clone(), 0..3).prop_map(Value::from), objects(inner)]
    })
}

fn objects(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    vec((select(KEYS), values), 0..4)
        .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into())
}

fn pairs() -> impl Strategy<Value = Value> {
    vec((select(KEYS), texts()), 0..3).prop_map(|pairs| json!(pairs))
}

/// An event.
pub(super) fn events() -> impl Strategy<Value = Value> {
    let texts = vec(texts(), 12);
    let objects = vec(objects(values()), 6);
    (texts, objects, vec(pairs(), 5), values()).prop_map(|(texts, objects, pairs, value)| {
        let text = |index: usize| json!(texts[index]);
        let frame = json!({ "function": text(0), "filename": "app.py", "module": text(1), "vars": objects[0], "lineno": 3 });
        json!({
            "event_id": "52df9022835246eeb317dbd739ccd059", "level": "error", "platform": "python", "release": "api@1.2.3",
            "logentry": { "formatted": text(2), "message": text(3), "params": [text(4), objects[1]] },
            "exception": { "values": [{ "type": "Error", "value": text(5), "stacktrace": { "frames": [frame] } }] },
            "request": {
                "url": text(6), "method": "GET", "data": value, "headers": pairs[0], "cookies": pairs[1],
                "query_string": pairs[2], "env": objects[2],
            },
            "user": { "id": text(7), "email": text(8), "data": objects[3] },
            "tags": pairs[3],
            "breadcrumbs": { "values": [{ "message": text(9), "category": "c", "data": objects[4] }] },
            "contexts": { "device": { "type": "device", "name": text(10), "model": text(10) }, "my": objects[1] },
            "extra": { "k": text(11), "o": objects[5], "l": [text(11), text(0)], "p": pairs[4], "my key": text(1), "it's": text(2) },
            "server_name": text(3), "culprit": text(4), "unknown": objects[0],
        })
    })
}
