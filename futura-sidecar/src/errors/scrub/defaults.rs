//! What is removed unless the configuration says otherwise.
//!
//! The first layer is what Relay removes by default. The others are ours: they reach what Relay leaves to its other steps or
//! to nobody, and so have to be more careful about what they take for a secret.

use std::iter;

use super::{
    engine::{Layer, Reach},
    path::Step,
    rules::Rules,
    schema::Role,
};

/// Rules by selector.
type Applications = &'static [(&'static str, &'static [&'static str])];

/// As Relay has it, but that all cookies go and not those of a list alone.
const RELAY: Applications = &[
    (
        "($string || $number || $array || $object) && !(debug_meta.** || $frame.filename || $frame.abs_path \
         || $logentry.formatted || $error.value || $http.headers.user-agent)",
        &["@common:filter"],
    ),
    (
        "$logentry.formatted || $log.body || $span.data.* || attributes.*.value",
        &["@email:replace", "@creditcard:replace", "@iban:replace", "@usssn:replace", "@bearer:replace"],
    ),
    (
        "*.cookies.* || *.'http.request.header.cookie' || *.'http.request.header.cookie'.* \
         || *.'http.response.header.set-cookie' || *.'http.response.header.set-cookie'.*",
        &["@anything:filter"],
    ),
];

/// By the key, and what looks like personal data in a text.
const OPEN: Applications = &[
    ("$string || $number", &["@secretkey:filter"]),
    ("*.cookies.* || ($http.cookies && $string)", &["@anything:filter"]),
    ("$string", &["@email:replace", "@homepath:replace", "@cookieheader:replace"]),
    // Relay reads what was logged so, and leaves the texts of exceptions.
    ("$error.value", &["@creditcard:replace", "@iban:replace", "@usssn:replace"]),
];

/// What is a secret wherever it stands.
const ALL: Applications = &[(
    "$string",
    &[
        "@apitoken:replace",
        "@authorization:replace",
        "@bearer:replace",
        "@privatekey:replace",
        "@secretpair:replace",
        "@urlpassword:replace",
        "@urltoken:replace",
    ],
)];

pub(super) fn layers() -> Vec<Layer> {
    let layer = |(reach, applications): (Reach, Applications)| {
        let rules = Rules::default();
        let applications = applications.iter().map(|(selector, names)| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let selector = selector.parse().expect("the tests compile it");
            (selector, rules.resolve(&names).expect("the tests resolve it"))
        });
        Layer { applications: applications.collect(), reach }
    };
    [(Reach::Relay, RELAY), (Reach::Open, OPEN), (Reach::All, ALL)].map(layer).into()
}

/// Whether something tells events, traces, programs or their parts apart, by which Sentry finds, groups and joins them. An
/// address in a release, such as `api@1.2.beta`, is none, and a package that is called `oauthlib` is no secret.
pub(super) fn is_identifier(step: &Step<'_>) -> bool {
    let mut ways = iter::successors(Some(step), |step| step.parent);
    let roles = |role: Role| step.parent.is_some_and(|parent| parent.role == Some(role));
    let Some(top) = ways.by_ref().last() else { return false };
    match top.key {
        "event_id" | "level" | "version" | "type" | "transaction_info" | "logger" | "modules" | "platform"
        | "timestamp" | "start_timestamp" | "received" | "release" | "dist" | "environment" | "measurements"
        | "debug_meta" => {
            return !matches!(step.key, "code_file" | "debug_file");
        }
        "sdk" => return step.key != "client_ip",
        _ => {}
    }
    if roles(Role::Frame) {
        return matches!(step.key, "function" | "raw_function" | "symbol" | "module" | "package" | "platform" | "lang");
    }
    if roles(Role::Exception) {
        return matches!(step.key, "type" | "module");
    }
    let trace =
        matches!(step.key, "trace_id" | "span_id" | "parent_span_id" | "segment_id" | "op" | "status" | "origin");
    trace && (roles(Role::Span) || (top.key == "contexts" && step.parent.is_some_and(|parent| parent.key == "trace")))
}

/// Whether a number is one of a card, as far as its digits tell.
pub(super) fn is_card_number(number: &str) -> bool {
    let known = number.len() == 16
        && (number.starts_with(['4', '5']) || number.starts_with("6011") || number.starts_with("65"))
        || number.len() == 15 && (number.starts_with("34") || number.starts_with("37"));
    let digit = |(place, byte): (usize, u8)| {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
    };
    known
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && number.bytes().rev().enumerate().map(digit).sum::<u32>() % 10 == 0
}
