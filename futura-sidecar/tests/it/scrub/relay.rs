//! Sentry's own engine, in a process of Python that lives as long as the test.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

const PROGRAM: &str = include_str!("relay.py");

pub(super) struct Relay {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// An event as Relay reads it, and what it makes of it.
pub(super) struct Answer {
    pub(super) canonical: Value,
    pub(super) scrubbed: Value,
}

// === impl Relay ===

impl Relay {
    /// The Python that `TEST_SENTRY_RELAY` names; none, with a word about it, where the variable is not set.
    #[expect(clippy::print_stderr, reason = "a test that was skipped should say so")]
    pub(super) fn start() -> Option<Self> {
        let Some(program) = env::var_os("TEST_SENTRY_RELAY") else {
            eprintln!("SKIPPED: set TEST_SENTRY_RELAY to a Python with sentry_relay, as `cargo xtask test` does");
            return None;
        };
        let mut command = Command::new(program);
        command.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a Python");
        let (requests, answers) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Some(Self { child, requests, answers: BufReader::new(answers) })
    }

    /// What Relay makes of an event by a `piiConfig`.
    pub(super) fn scrub(&mut self, event: &Value, pii: &Value) -> Result<Answer, String> {
        self.ask(&json!({ "event": event, "pii": pii }))
    }

    /// What Relay makes of an event by its default settings.
    pub(super) fn scrub_by_default(&mut self, event: &Value) -> Result<Answer, String> {
        self.ask(&json!({ "event": event, "defaults": true }))
    }

    fn ask(&mut self, query: &Value) -> Result<Answer, String> {
        writeln!(self.requests, "{query}").expect("it listens");
        self.requests.flush().expect("it listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(Answer { canonical: answer["canonical"].take(), scrubbed: answer["scrubbed"].take() }),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It would end with its standard input as well, but nobody would wait for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
