//! The binary: exit codes, one line for each error, graceful and ungraceful ends.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use insta::assert_snapshot;
use tempfile::{TempDir, tempdir};

use crate::sentry::{Sentry, wait_until};

fn sidecar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_futura-sidecar"));
    // The tests' own environment must not switch anything on.
    command.env_clear().env("LOG_FORMAT", "json");
    command
}

fn output(arguments: &[&str]) -> Output {
    sidecar().args(arguments).output().expect("the binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A sidecar of its own process, with its addresses.
struct Process {
    child: Child,
    listen: SocketAddr,
    errors: SocketAddr,
    /// What it logged since it came up.
    log: Arc<Mutex<String>>,
}

impl Process {
    fn start(folder: &Path, upstream: &str) -> Self {
        Self::start_with(folder, upstream, &[])
    }

    fn start_with(folder: &Path, upstream: &str, variables: &[(&str, &str)]) -> Self {
        let config = format!(
            "listen: 127.0.0.1:0\nerrors: {{ listen: \"127.0.0.1:0\", upstream: \"{upstream}\", spool: \"{}\" }}",
            folder.join("spool").display()
        );
        let file = folder.join("sidecar.yaml");
        fs::write(&file, config).expect("a file");
        let mut child = sidecar()
            .args(["run", "--drain-delay-secs", "0", "--config"])
            .arg(&file)
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let up = lines
            .by_ref()
            .map(|line| line.expect("text"))
            .find(|line| line.contains("the sidecar is up"))
            .expect("it comes up");
        let up: serde_json::Value = serde_json::from_str(&up).expect("a log record");
        // The pipe must not fill.
        let log = Arc::<Mutex<String>>::default();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.lock().expect("no panic").push_str(&line));
        });
        let address = |key: &str| {
            up[key].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {key} in {up}"))
        };
        Self { listen: address("listen"), errors: address("errors"), child, log }
    }

    fn send(&self, number: usize) -> String {
        let body =
            format!("{{\"event_id\":\"{number:032x}\"}}\n{{\"type\":\"event\"}}\n{{\"message\":\"{number}\"}}\n");
        request(
            self.errors,
            &format!(
                "POST /api/1/envelope/ HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        )
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    stream.write_all(request.as_bytes()).expect("a socket");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn file(text: &str) -> (TempDir, String) {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("sidecar.yaml");
    fs::write(&path, text).expect("a file");
    (folder, path.display().to_string())
}

#[test]
fn help_teaches_and_is_no_error() {
    let help = output(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = text(&help.stdout);
    assert!(
        text.contains("futura-sidecar run --config") && text.contains("config check") && text.contains("64"),
        "{text}"
    );
    let run = output(&["run", "--help"]);
    assert!(self::text(&run.stdout).contains("SENTRY_DSN"));
}

#[test]
fn a_wrong_command_line_exits_64() {
    for arguments in
        [&[][..], &["nonsense"], &["run"], &["run", "--config", "a", "--grace-secs", "x"], &["config", "check"]]
    {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_wrong_configuration_exits_64_with_a_line_for_each_problem() {
    let (_folder, path) = file(
        "listen: here\nchecks:\n- { name: a, kind: tcp, target: \"${UNSET_TARGET}\" }\n- { name: b, kind: smtp }\n",
    );
    for arguments in [vec!["config", "check", &path], vec!["run", "--config", &path]] {
        let output = output(&arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let lines: Vec<_> = text(&output.stderr).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines[0].starts_with(&format!("{path}:1:1: listen: ")), "{lines:#?}");
        assert!(
            lines[1].starts_with(&format!("{path}:3:25: checks[0].target: "))
                && lines[1].contains("`UNSET_TARGET` is not set"),
            "{lines:#?}"
        );
        assert!(lines[2].starts_with(&format!("{path}:4:14: checks[1].kind: ")), "{lines:#?}");
    }
    let missing = output(&["config", "check", "/no/such/file.yaml"]);
    assert_eq!(missing.status.code(), Some(64));
    assert!(
        text(&missing.stderr).starts_with("cannot read `/no/such/file.yaml`: No such file"),
        "{}",
        text(&missing.stderr)
    );
}

#[test]
fn a_right_configuration_is_said_to_be_and_what_it_does() {
    let check = |text: &str| {
        let (_folder, path) = file(text);
        let output = output(&["config", "check", &path]);
        assert_eq!(output.status.code(), Some(0), "{}", self::text(&output.stderr));
        format!("{}{}", self::text(&output.stdout), self::text(&output.stderr)).replace(&path, "FILE")
    };
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/sidecar.example.yaml")).expect("a file");
    assert_snapshot!(check(&example), @"
    FILE: ok, runs 12 checks, keeps errors in ./spool, others to shop at https://sentry.example.org:443, copies to own-bugsink at https://bugsink.example.org:443, listens on 0.0.0.0:9469
    FILE: warning: `errors.upstream` is not set or empty: envelopes are kept in the spool and not forwarded
    ");
    assert_snapshot!(check("# nothing"), @"
    FILE: ok, runs 0 checks, takes no errors, listens on 0.0.0.0:9469
    FILE: warning: nothing would be done: it has neither `checks` nor `modules` nor `errors`
    ");
    let upstream = "listen: 127.0.0.1:1\nerrors: { upstream: \"https://key@sentry.example.org/1\" }";
    assert_snapshot!(check(upstream), @"FILE: ok, runs 0 checks, forwards errors to https://sentry.example.org:443, listens on 127.0.0.1:1");
}

#[test]
fn it_explains_what_is_removed_and_never_shows_it() {
    let folder = tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let event = r#"{"message":"token=hunter2","user":{"email":"jane@example.org"},"extra":{"order":"TK-123456"}}"#;
    fs::write(path("event.json"), event).expect("a file");
    fs::write(path("envelope"), format!("{{}}\n{{\"type\":\"event\"}}\n{event}\n{{\"type\":\"event\"}}\nnothing\n"))
        .expect("a file");
    fs::write(
        path("sidecar.yaml"),
        "errors: { scrub: { allow: [user.email], applications: { extra.order: [\"@anything:mask\"] } } }",
    )
    .expect("a file");
    fs::write(path("wrong.yaml"), "errors: { scrub: { allow: 1 } }").expect("a file");
    let explain = |arguments: &[&str], code: i32| {
        let mut command = sidecar();
        let output = command
            .current_dir(folder.path())
            .args(["errors", "explain"])
            .args(arguments)
            .output()
            .expect("the binary");
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(!all.contains("hunter2"), "{all}");
        all
    };
    assert_snapshot!(explain(&["event.json", "--output", "out.json"], 0), @r#"
    logentry.formatted  replaced  @secretpair:replace
    user.email          replaced  @email:replace
    2 hits
    "#);
    assert!(fs::read_to_string(path("out.json")).expect("a file").starts_with(r#"{"message":"token=[secret]""#));
    assert_snapshot!(explain(&["event.json", "--config", "sidecar.yaml", "--output", "-"], 0), @r#"
    {"message":"token=[secret]","user":{"email":"jane@example.org"},"extra":{"order":"*********"},"_meta":{"extra":{"order":{"":{"rem":[["@anything:mask","m",0,9]],"len":9}}},"message":{"":{"rem":[["@secretpair:replace","s",6,14]],"len":13}}}}logentry.formatted  replaced  @secretpair:replace
    extra.order         masked    @anything:mask
    2 hits
    "#);
    assert_snapshot!(explain(&["envelope"], 1), @r#"
    logentry.formatted  replaced  @secretpair:replace
    user.email          replaced  @email:replace
    the item `event` is removed as a whole: the payload cannot be read: it is no JSON from byte 0 on
    2 hits
    envelope: an item of type `event` could not be scrubbed
    "#);
    assert_snapshot!(explain(&["missing"], 1), @"cannot read `missing`: No such file or directory (os error 2)");
    assert_snapshot!(explain(&["event.json", "--config", "wrong.yaml"], 64), @"wrong.yaml:1:20: errors.scrub.allow: `1` is no list of selectors: write one such as `[user.email]`");
    assert!(explain(&["--help"], 0).contains("errors explain event.json --output -"));
    explain(&[], 64);
}

#[test]
fn it_generates_what_generate_dashboards_does_and_can_check_it() {
    let folder = tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    let generated = output(&["generate", "--out", &out]);
    assert_eq!(generated.status.code(), Some(0), "{}", text(&generated.stderr));
    assert!(folder.path().join("dashboards").is_dir() && folder.path().join("alert-rules").is_dir());
    assert_eq!(output(&["generate", "--out", &out, "--check"]).status.code(), Some(0));
    fs::remove_dir_all(folder.path().join("dashboards")).expect("a folder");
    assert_eq!(output(&["generate", "--out", &out, "--check"]).status.code(), Some(1));
}

#[test]
fn it_prints_the_catalogue_of_metrics_as_it_is_committed() {
    let printed = output(&["docs", "metrics"]);
    assert_eq!(printed.status.code(), Some(0));
    let committed =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../futura-metrics/METRICS.md")).expect("a file");
    assert!(text(&printed.stdout) == committed, "`generate-dashboards` brings METRICS.md up to date");
}

#[test]
fn a_wrong_environment_exits_64() {
    let (_folder, path) = file("listen: 127.0.0.1:0");
    for (variable, value) in
        [("LOG_FORMAT", "xml"), ("SENTRY_DSN", "nope"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost")]
    {
        let output = sidecar().args(["run", "--config", &path]).env(variable, value).output().expect("the binary");
        assert_eq!(output.status.code(), Some(64), "{variable}");
        let text = text(&output.stderr);
        assert!(
            text.lines().count() == 1 && text.starts_with(&format!("{variable}=`")) && text.contains("expected"),
            "{text}"
        );
    }
}

#[test]
fn a_port_in_use_exits_1_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let (_folder, path) = file(&format!("listen: {address}"));
    let output = output(&["run", "--config", &path]);
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output.stderr);
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains(&format!("cannot listen on `{address}` (key `listen`): Address already in use")), "{text}");
}

#[test]
fn a_term_signal_ends_it_gracefully() {
    let folder = tempdir().expect("a folder");
    let mut process = Process::start(folder.path(), "");
    let ready = request(process.listen, "GET /readyz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    process.signal("TERM");
    assert_eq!(process.child.wait().expect("it ends").code(), Some(0));
}

#[tokio::test]
async fn a_hangup_signal_has_the_configuration_read_anew_and_ends_nothing() {
    let folder = tempdir().expect("a folder");
    let mut process = Process::start(folder.path(), "");
    process.signal("HUP");
    let log = Arc::clone(&process.log);
    wait_until("a reload", || log.lock().expect("no panic").contains("the configuration was read anew")).await;
    let ready = request(process.listen, "GET /readyz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    process.signal("TERM");
    assert_eq!(process.child.wait().expect("it ends").code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempdir().expect("a folder");
    let mut process = Process::start(folder.path(), "");
    for number in 0..10 {
        assert!(process.send(number).starts_with("HTTP/1.1 200"));
    }
    process.signal("KILL");
    assert_eq!(process.child.wait().expect("it ends").signal(), Some(9));
    // The rest of an envelope that was being written.
    fs::write(folder.path().join("spool/00000000000000000010.tmp"), "{}\n{\"type\":\"ev").expect("a file");
    let sentry = Sentry::default();
    let upstream = sentry.listen("127.0.0.1:0".parse().expect("an address")).await;
    let process = Process::start(folder.path(), &format!("http://public@{upstream}/1"));
    assert!(process.send(10).starts_with("HTTP/1.1 200"));
    sentry.wait_for(11).await;
    let mut expected: Vec<_> =
        (0..11).map(|number| format!("{{\"type\":\"event\"}}\n{{\"message\":\"{number}\"}}\n")).collect();
    let mut taken = sentry.taken();
    taken.sort();
    expected.sort();
    assert_eq!(taken, expected);
    wait_until("an empty spool", || segments(folder.path()) == 0).await;
}

fn segments(folder: &Path) -> usize {
    let names = fs::read_dir(folder.join("spool")).expect("a folder");
    names
        .filter(|name| name.as_ref().is_ok_and(|name| name.path().extension().is_some_and(|end| end == "segment")))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_lose_nothing_that_was_acknowledged() {
    let (folder, sentry) = (tempdir().expect("a folder"), Sentry::default());
    let upstream = sentry.listen("127.0.0.1:0".parse().expect("an address")).await;
    let upstream = format!("http://public@{upstream}/1");
    let (mut sent, mut acknowledged) = (0, Vec::new());
    for kill in 0..5 {
        let mut process = Process::start(folder.path(), &upstream);
        // It is killed while it takes some and forwards others, a little later each time.
        let until = acknowledged.len() + 20 + 7 * kill;
        while acknowledged.len() < until {
            if process.send(sent).starts_with("HTTP/1.1 200") {
                acknowledged.push(sent);
            }
            sent += 1;
        }
        process.signal("KILL");
        process.child.wait().expect("it ends");
    }
    let _process = Process::start(folder.path(), &upstream);
    wait_until("an empty spool", || segments(folder.path()) == 0).await;
    let taken = sentry.taken();
    let count = |number: &usize| taken.iter().filter(|items| items.contains(&format!("\"{number}\""))).count();
    for number in &acknowledged {
        assert!(count(number) > 0, "{number} is lost");
    }
    // An answer may be on its way when the process dies; what is sent again then has the id that it had.
    let again = acknowledged.iter().filter(|number| count(number) > 1).count();
    assert!(again <= 5 * 16, "{again} came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_gets_no_errors() {
    let (sentry, proxy) = (Sentry::new([]), Sentry::new([]));
    let address = sentry.listen("127.0.0.1:0".parse().expect("an address")).await;
    let url = format!("http://{}", proxy.listen("127.0.0.1:0".parse().expect("an address")).await);
    let folder = tempdir().expect("a folder");
    let variables = [("http_proxy", &*url), ("HTTP_PROXY", &url), ("ALL_PROXY", &url)];
    let process = Process::start_with(folder.path(), &format!("http://public@{address}/42"), &variables);
    assert!(process.send(1).contains(" 200 "));
    sentry.wait_for(1).await;
    assert!(proxy.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_is_looked_into_and_dead_letters_are_sent_once_more() {
    let folder = tempdir().expect("a folder");
    let spool = folder.path().join("spool");
    let errors = |arguments: &[&str]| {
        let output = output(&[&["errors"], arguments, &["--spool", &spool.display().to_string()]].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let sentry = Sentry::new([(400, vec![])]);
    let upstream = sentry.listen("127.0.0.1:0".parse().expect("an address")).await;
    let process = Process::start(folder.path(), &format!("http://public@{upstream}/1"));
    assert!(process.send(7).starts_with("HTTP/1.1 200"));
    let listed = || errors(&["list"]).1;
    wait_until("a dead letter", || listed().ends_with("waiting to be sent: 0, dead letters: 1\n")).await;
    assert!(listed().contains("refused        error ") && listed().contains("-refused\n"), "{}", listed());

    let out = folder.path().join("out");
    let (code, path, _) = errors(&["export", "--out", &out.display().to_string()]);
    assert_eq!(code, Some(0));
    let exported = fs::read_to_string(path.trim()).expect("a file");
    assert!(exported.contains("{\"message\":\"7\"}"), "{exported}");

    let (code, _, told) = errors(&["replay", "no-such-name"]);
    assert_eq!((code, told.as_str()), (Some(1), "no envelope of the spool is called no-such-name\n"));
    assert!(errors(&["replay"]).1.ends_with("that has this spool: 1\n"));
    sentry.wait_for(1).await;
    wait_until("an empty spool", || listed() == "waiting to be sent: 0, dead letters: 0\n").await;
    assert_eq!(output(&["errors", "list"]).status.code(), Some(64));
    drop(process);

    // Without a sidecar too.
    let process = Process::start(folder.path(), "");
    assert!(process.send(8).starts_with("HTTP/1.1 200"));
    drop(process);
    let (_, json, _) = errors(&["list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&json).expect("one line of JSON");
    assert_eq!((&listed["category"], &listed["reason"]), (&"error".into(), &serde_json::Value::Null));
    let id = listed["event_id"].as_str().expect("an id").to_owned();
    assert!(errors(&["list", &id]).1.contains(" waits "));
    assert!((errors(&["purge"]).1 == "dead letters deleted: 0\n"));
}
