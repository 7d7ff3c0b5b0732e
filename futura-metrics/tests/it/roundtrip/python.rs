//! The parsers of Python's `prometheus_client`, in a process that lives as long as the test.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use super::record::{Exemplar, Exposed, Family, Labels, Sample, shown};

const PROGRAM: &str = include_str!("parser.py");

pub(super) struct Python {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

// === impl Python ===

impl Python {
    /// The Python that `TEST_PROMETHEUS_CLIENT` names; none where the variable is not set.
    pub(super) fn start() -> Option<Self> {
        let program = env::var_os("TEST_PROMETHEUS_CLIENT")?;
        let mut command = Command::new(program);
        command.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (requests, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self { child, requests, answers: BufReader::new(answers) })
    }

    /// What an exposition holds, or why it is none.
    pub(super) fn parse(&mut self, format: &str, text: &str) -> Result<Exposed, String> {
        writeln!(self.requests, "{format} {}", text.len()).unwrap();
        self.requests.write_all(text.as_bytes()).unwrap();
        self.requests.flush().unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        match answer.get("Ok") {
            Some(families) => Ok(families.as_array().unwrap().iter().map(read_family).collect()),
            None => Err(text_of(&answer["Err"])),
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It would end with its standard input as well, but nobody would wait for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_family(family: &Value) -> Family {
    let [name, kind, help, unit] = [0, 1, 2, 3].map(|index| text_of(&family[index]));
    let samples = family[4].as_array().unwrap().iter().map(read_sample).collect();
    Family { name, kind, help, unit, samples }
}

fn read_sample(sample: &Value) -> Sample {
    let exemplar = sample[3].as_array().map(|exemplar| Exemplar {
        labels: read_labels(&exemplar[0]),
        value: read_number(&exemplar[1]),
        timed: exemplar[2].as_bool().unwrap(),
    });
    Sample { name: text_of(&sample[0]), labels: read_labels(&sample[1]), value: read_number(&sample[2]), exemplar }
}

fn read_labels(labels: &Value) -> Labels {
    labels.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text_of(value))).collect()
}

fn read_number(number: &Value) -> String {
    shown(text_of(number).parse().unwrap())
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
