use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use sentry::{Envelope, Transport, protocol::Event, types::Uuid};
use tempfile::{TempDir, tempdir};

use super::{Finish, Handover, HandoverConfig, QUEUE};
use crate::{Metrics, exposition::Format, telemetry::Scrubber};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sidecar: takes envelopes, and keeps the ids of their events.
#[derive(Clone, Default)]
struct Sidecar {
    ids: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<&'static str>>>,
    takes: Duration,
}

impl Sidecar {
    fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, sidecar) = (listener.local_addr().expect("an address"), self.clone());
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| sidecar.serve(&stream, &stream)));
        address
    }

    /// Answers 200, but first what it was told; an empty answer is a connection that is closed.
    fn serve(&self, from: impl Read, mut to: impl Write) {
        let mut reader = BufReader::new(from);
        loop {
            let (mut line, mut length) = (String::new(), 0);
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line).unwrap_or_default() == 0 {
                    return;
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().expect("a number");
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            thread::sleep(self.takes);
            let mut answers = self.answers.lock().expect("no panic");
            let answer = if answers.is_empty() { "200 OK" } else { answers.remove(0) };
            drop(answers);
            assert!(!body.windows(7).any(|bytes| bytes == b"hunter2"), "a secret is sent");
            if answer.starts_with("200") {
                let header: serde_json::Value =
                    serde_json::from_slice(body.split(|byte| *byte == b'\n').next().expect("a line")).expect("JSON");
                self.ids.lock().expect("no panic").push(header["event_id"].as_str().expect("an id").to_owned());
            }
            if answer.is_empty() {
                return;
            }
            to.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 2\r\n\r\n{{}}").as_bytes()).expect("a client");
        }
    }

    fn taken(&self) -> Vec<String> {
        self.ids.lock().expect("no panic").clone()
    }
}

fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

fn start(address: SocketAddr, spool: Option<&TempDir>) -> (Handover, Metrics) {
    let dsn = format!("http://key@{address}/1").parse().expect("a DSN");
    let metrics = Metrics::new();
    let spool = spool.map(|folder| folder.path().to_owned());
    (
        Handover::start(HandoverConfig { dsn, socket: None, spool, finish: finish() }, &metrics).expect("free names"),
        metrics,
    )
}

fn finish() -> Arc<Finish> {
    Arc::new(Finish::new(Scrubber::default()))
}

fn envelope(number: u128) -> Envelope {
    Event { event_id: Uuid::from_u128(number), message: Some("late, password=hunter2".to_owned()), ..Event::default() }
        .into()
}

fn id(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

/// The ids of what is in the folder, whole and by itself.
fn in_folder(spool: &TempDir) -> Vec<String> {
    let Ok(files) = fs::read_dir(spool.path().join("incoming")) else { return Vec::new() };
    let id = |text: String| {
        let header: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        header["event_id"].as_str().expect("an id").to_owned()
    };
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.into_iter().map(|file| id(fs::read_to_string(file).expect("text"))).collect()
}

#[track_caller]
fn lost(metrics: &Metrics, reason: &str, count: u64) {
    let text = metrics.render(Format::Text);
    let line = format!("sentry_envelopes_lost_total{{reason=\"{reason}\"}} {count}\n");
    assert!(text.contains(&line), "{line} in {text}");
}

#[test]
fn a_burst_loses_nothing_however_slow_the_sidecar_is() {
    let (sidecar, spool) =
        (Sidecar { takes: Duration::from_millis(2), ..Sidecar::default() }, tempdir().expect("a folder"));
    let (handover, metrics) = start(sidecar.listen(), Some(&spool));
    for number in 0..5_000 {
        handover.send_envelope(envelope(number));
    }
    assert!(handover.flush(PATIENCE));
    let (taken, written) = (sidecar.taken(), in_folder(&spool));
    assert!(taken.len() >= QUEUE && !written.is_empty(), "{} and {}", taken.len(), written.len());
    let all: BTreeSet<_> = taken.iter().chain(&written).cloned().collect();
    assert_eq!((all.len(), taken.len() + written.len()), (5_000, 5_000), "each once");
    for reason in ["queue_full", "folder_full", "refused", "unsent"] {
        lost(&metrics, reason, 0);
    }
}

#[test]
fn what_no_sidecar_takes_goes_to_its_folder() {
    let spool = tempdir().expect("a folder");
    let (handover, metrics) = start(closed_port(), Some(&spool));
    for number in 0..20 {
        handover.send_envelope(envelope(number));
    }
    assert!(handover.flush(PATIENCE));
    assert_eq!(in_folder(&spool), (0..20).map(id).collect::<Vec<_>>());
    lost(&metrics, "unsent", 0);
}

#[test]
fn a_sidecar_that_is_back_takes_what_comes_then() {
    let (sidecar, spool) = (Sidecar::default(), tempdir().expect("a folder"));
    *sidecar.answers.lock().expect("no panic") = vec!["503 Service Unavailable"];
    let (handover, _metrics) = start(sidecar.listen(), Some(&spool));
    handover.send_envelope(envelope(0));
    assert!(handover.flush(PATIENCE));
    assert_eq!(in_folder(&spool), [id(0)]);
    let start = Instant::now();
    for number in 1.. {
        handover.send_envelope(envelope(number));
        assert!(handover.flush(PATIENCE) && start.elapsed() < PATIENCE);
        if sidecar.taken() == [id(number)] {
            break;
        }
    }
}

#[test]
fn without_a_folder_it_waits_for_the_sidecar() {
    let sidecar = Sidecar::default();
    *sidecar.answers.lock().expect("no panic") = vec!["429 Too Many Requests", "500 Internal Server Error", ""];
    let (handover, metrics) = start(sidecar.listen(), None);
    for number in 0..10 {
        handover.send_envelope(envelope(number));
    }
    assert!(handover.flush(PATIENCE));
    assert_eq!(sidecar.taken(), (0..10).map(id).collect::<Vec<_>>());
    lost(&metrics, "unsent", 0);
}

#[test]
fn what_is_refused_or_cannot_wait_any_longer_is_counted() {
    let sidecar = Sidecar::default();
    *sidecar.answers.lock().expect("no panic") = vec!["400 Bad Request"];
    let (handover, metrics) = start(sidecar.listen(), None);
    (0..2).for_each(|number| handover.send_envelope(envelope(number)));
    assert!(handover.flush(PATIENCE));
    assert_eq!(sidecar.taken(), [id(1)]);
    lost(&metrics, "refused", 1);

    let (handover, metrics) = start(closed_port(), None);
    for number in 0..QUEUE as u128 + 3 {
        handover.send_envelope(envelope(number));
    }
    lost(&metrics, "queue_full", 2);
    assert!(!handover.flush(Duration::from_millis(1)));
    handover.shutdown(Duration::from_millis(1));
    assert!(handover.flush(PATIENCE), "nothing waits for ever");
    lost(&metrics, "unsent", QUEUE as u64 + 1);
}

#[test]
fn what_no_time_is_left_for_goes_to_the_folder() {
    let (sidecar, spool) =
        (Sidecar { takes: Duration::from_millis(50), ..Sidecar::default() }, tempdir().expect("a folder"));
    let (handover, metrics) = start(sidecar.listen(), Some(&spool));
    (0..100).for_each(|number| handover.send_envelope(envelope(number)));
    assert!(handover.shutdown(Duration::from_millis(100)));
    // One is on its way.
    assert!(handover.flush(PATIENCE));
    let all: BTreeSet<_> = sidecar.taken().into_iter().chain(in_folder(&spool)).collect();
    assert_eq!(all.len(), 100);
    lost(&metrics, "unsent", 0);
}

#[test]
fn a_unix_socket_takes_the_place_of_the_host() {
    let (sidecar, folder) = (Sidecar::default(), tempdir().expect("a folder"));
    let socket = folder.path().join("errors.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let served = sidecar.clone();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| served.serve(&stream, &stream)));
    let dsn = "https://key@sentry.example.org/1".parse().expect("a DSN");
    let handover =
        Handover::start(HandoverConfig { dsn, socket: Some(socket), spool: None, finish: finish() }, &Metrics::new());
    let handover = handover.expect("free names");
    handover.send_envelope(envelope(7));
    assert!(handover.flush(PATIENCE));
    assert_eq!(sidecar.taken(), [id(7)]);
}

#[test]
fn a_sidecar_is_on_this_host_and_speaks_no_tls() {
    for (dsn, expected) in [
        ("http://k@127.0.0.1:9470/1", true),
        ("http://k@[::1]:9470/1", true),
        ("http://k@localhost:9470/1", true),
        ("https://k@127.0.0.1:9470/1", false),
        ("http://k@10.0.0.5:9470/1", false),
        ("http://k@sentry.example.org/1", false),
    ] {
        assert_eq!(HandoverConfig::is_sidecar(&dsn.parse().expect("a DSN")), expected, "{dsn}");
    }
}
