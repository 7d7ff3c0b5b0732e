//! The scrubber beside Sentry's own engine: by the same rules the same is removed and told, and by default no less.
//!
//! `TEST_SENTRY_RELAY` names a Python that has the package `sentry_relay`, which `cargo xtask test` installs.

use std::cell::RefCell;

use futura_sidecar::{Config, Scrubber};
use proptest::{
    prelude::{ProptestConfig, TestCaseError},
    prop_assert, prop_assert_eq,
    test_runner::TestRunner,
};
use serde_json::{Value, json};

use self::{
    events::{SNIPPETS, configs, events},
    relay::Relay,
};

mod events;
mod relay;

/// A scrubber by the rules of a `piiConfig` alone.
fn scrubber(pii: &Value) -> Scrubber {
    let scrub = json!({ "defaults": false, "rules": pii["rules"], "applications": pii["applications"] });
    let text = json!({ "errors": { "spool": std::env::temp_dir(), "scrub": scrub } }).to_string();
    let config = Config::parse(&text, |_| None).unwrap_or_else(|problems| panic!("{problems:?} in {text}"));
    config.errors.expect("a section").scrub
}

fn scrubbed(scrubber: &Scrubber, event: &Value) -> Value {
    let (bytes, _) = scrubber.event(event.to_string().as_bytes()).expect("an event");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn the_same_rules_remove_and_tell_what_relay_does() {
    let Some(relay) = Relay::start().map(RefCell::new) else { return };
    let check = |(event, pii): (Value, Value)| {
        let answer = relay.borrow_mut().scrub(&event, &pii).map_err(TestCaseError::fail)?;
        let ours = scrubbed(&scrubber(&pii), &answer.canonical);
        prop_assert_eq!(ours, answer.scrubbed, "{} by {}", answer.canonical, pii["applications"]);
        Ok(())
    };
    if let Err(error) = TestRunner::new(ProptestConfig::with_cases(1000)).run(&(events(), configs()), check) {
        panic!("{error}");
    }
}

#[test]
fn what_relay_removes_by_default_is_removed() {
    let Some(relay) = Relay::start().map(RefCell::new) else { return };
    let check = |event: Value| {
        let answer = relay.borrow_mut().scrub_by_default(&event).map_err(TestCaseError::fail)?;
        let ours = scrubbed(&Scrubber::default(), &answer.canonical);
        let mut removed = Vec::new();
        compare(&answer.canonical, &answer.scrubbed, &ours, &mut removed);
        prop_assert!(removed.is_empty(), "{:?} of {} is left in {}", removed, answer.canonical, ours);
        Ok(())
    };
    if let Err(error) = TestRunner::new(ProptestConfig::with_cases(1000)).run(&events(), check) {
        panic!("{error}");
    }
}

/// Finds what Relay has removed and we have not.
fn compare(event: &Value, relay: &Value, ours: &Value, left: &mut Vec<String>) {
    match (event, relay) {
        (Value::Object(fields), Value::Object(_)) => {
            for (key, value) in fields {
                compare(value, &relay[key], &ours[key], left);
            }
        }
        (Value::Array(values), Value::Array(_)) => {
            for (index, value) in values.iter().enumerate() {
                compare(value, &relay[index], &ours[index], left);
            }
        }
        (Value::String(text), Value::String(scrubbed)) if text != scrubbed => {
            let ours = ours.as_str().unwrap_or_default();
            // What a rule leaves of a text may have a single character of it by chance.
            let gone = SNIPPETS.iter().filter(|snippet| snippet.len() > 3 && text.contains(**snippet));
            let gone = gone.filter(|snippet| !scrubbed.contains(**snippet));
            left.extend(gone.filter(|snippet| ours.contains(**snippet)).map(|snippet| (*snippet).to_owned()));
        }
        (Value::Null, _) => {}
        (event, Value::Null) if event == ours => left.push(event.to_string()),
        _ => {}
    }
}
