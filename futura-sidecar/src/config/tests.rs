use std::{fmt::Write as _, fs, time::Duration};

use super::{Config, FILE_LIMIT, KindConfig, Problem};
use crate::listener::Address;

const EXAMPLE: &str = include_str!("../../sidecar.example.yaml");

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    Config::parse(text, |name| (name == "SECRET").then(|| "hunter2".to_owned()))
}

/// Every problem as `line key: part of the message`, in order.
#[track_caller]
fn check(text: &str, expect: &[&str]) {
    let problems = parse(text).expect_err(text);
    let lines: Vec<_> =
        problems.iter().map(|problem| format!("{} {problem}", problem.line.unwrap_or_default())).collect();
    assert_eq!(lines.len(), expect.len(), "{lines:#?}");
    for (line, expect) in lines.iter().zip(expect) {
        let (start, part) = expect.split_once(" … ").unwrap_or((expect, ""));
        assert!(line.starts_with(start) && line.contains(part), "{line}\nis not\n{expect}");
    }
}

#[test]
fn the_example_is_valid_and_says_what_is_the_default() {
    let config = parse(EXAMPLE).expect("the example");
    assert_eq!(config.checks.len(), 3);
    let default = parse("errors: {}").expect("an empty section");
    assert_eq!(config.listen, default.listen);
    assert_eq!(format!("{:?}", config.errors), format!("{:?}", default.errors));
}

#[test]
fn an_empty_file_is_the_default_configuration() {
    for text in ["", "# nothing\n", "{}", "checks:\nerrors:\nmodules:\n"] {
        let config = parse(text).expect(text);
        assert_eq!(config.listen.to_string(), "0.0.0.0:9469");
        assert!(config.checks.is_empty() && config.errors.is_none() && config.history.is_none());
    }
}

#[test]
fn checks_have_defaults() {
    let config = parse("checks: [{ name: a, kind: http, url: \"http://h/x\" }]").expect("valid");
    let check = &config.checks[0];
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(10), Duration::from_secs(2)));
    let KindConfig::Http(http) = &check.kind else { panic!("{check:?}") };
    assert_eq!((http.method.as_str(), &http.status, http.redirects), ("GET", &vec![200..=299], 0));
}

#[test]
fn every_problem_is_told_with_its_line_and_key() {
    check(
        "listen: 127.0.0.1:9469
checks:
  - name: a
    kind: http
    url: \"ftp://x/\"
  - name: a b
    kind: tcp
    target: h:1
    timeout: 20s
    intervall: 5s
  - { name: c, kind: tcp, target: \"${NOPE}:1\", timeout: 5s, interval: 1s }
  - { name: d, kind: smtp }
  - name: c
    kind: http
    url: http://x
    body_matches: (a
  - nothing
errors:
  upstream: foo
extra: 1
",
        &[
            "5 checks[0].url: check `a`: … `ftp:`",
            "6 checks[1].name: … a name is",
            "9 checks[1].timeout: … 20s is longer than the interval of 10s",
            "10 checks[1].intervall: … unknown field `intervall`, expected `target`, or of every check `name`",
            "11 checks[2].target: … `NOPE` is not set",
            "11 checks[2].timeout: … longer",
            "12 checks[3].kind: … unknown variant `smtp`, expected `http` or `tcp`",
            "13 checks[4].name: … the name is taken",
            "16 checks[4].body_matches: … unclosed group",
            "17 checks[5]: … expected a check",
            "19 errors.upstream: … not a DSN",
            "20 extra: … unknown field `extra`",
        ],
    );
}

#[test]
fn keys_of_a_check_are_checked() {
    let http = |keys: &str| format!("checks: [{{ name: a, kind: http, url: \"http://h\", {keys} }}]");
    check(&http("status: 999"), &["1 checks[0].status: … expected a status"]);
    check(&http("status: [2xx, 6xx]"), &["1 checks[0].status: … expected a status"]);
    check(&http("status: []"), &["1 checks[0].status: … expected a status"]);
    check(&http("method: get"), &["1 checks[0].method: … none of GET"]);
    check(&http("headers: { \"a b\": c }"), &["1 checks[0].headers: … `a b` is not a header's name"]);
    check(&http("headers: { a: \"b\\nc\" }"), &["1 checks[0].headers: … no header may have"]);
    check(&http("headers: { a: b, A: c }"), &["1 checks[0].headers: … stands twice"]);
    check(&http("redirects: 11"), &["1 checks[0].redirects: … at most 10"]);
    check(&http("timeout: 5"), &["1 checks[0].timeout: … expected a string"]);
    check(&http("timeout: \"5\""), &["1 checks[0].timeout: … has no unit"]);
    check(&http("timeout: 0s"), &["1 checks[0].timeout: … more than nothing"]);
    check(&http("interval: 1ms, timeout: 1ms"), &["1 checks[0].interval: … at least"]);
    check(&http("body_matches: \"(a{1000}){1000}\""), &["1 checks[0].body_matches: … not a pattern"]);
    check("checks: [{ name: a, kind: http, url: \"http://u:p@h\" }]", &["1 checks[0].url: … credentials in a URL"]);
    check("checks: [{ name: a, kind: tcp }]", &["1 checks[0]: … missing field `target`"]);
    check("checks: [{ kind: tcp, target: \"h:1\" }]", &["1 checks[0]: … missing field `name`"]);
    check("checks: { a: b }", &["1 checks: … expected a list"]);
    check("modules: { http_2xx: {} }", &["1 modules: … not supported yet"]);
}

#[test]
fn errors_listen_on_loopback_unless_told_otherwise() {
    check("errors: { listen: \"0.0.0.0:1\" }", &["1 errors.listen: … `listen_publicly: true`"]);
    let config = parse("errors: { listen: \"0.0.0.0:1\", listen_publicly: true }").expect("valid");
    assert!(matches!(config.errors.expect("errors").listen, Address::Tcp(address) if address.port() == 1));
    let config = parse("errors: { listen: unix:/run/a.sock, upstream: \"${NONE:-}\" }").expect("valid");
    assert!(config.errors.expect("errors").upstream.is_none());
    for host in ["127.0.0.1", "localhost"] {
        check(
            &format!("errors: {{ upstream: \"http://k@{host}:9470/1\" }}"),
            &["1 errors.upstream: … the sidecar itself"],
        );
    }
    check("errors: { envelope_max_bytes: 10, spool_max_bytes: 9 }", &["1 errors.envelope_max_bytes: … between 1 and"]);
}

#[test]
fn secrets_do_not_print() {
    let text = "
checks: [{ name: a, kind: http, url: \"http://h\", headers: { authorization: \"${SECRET}\" } }]
errors: { upstream: \"https://${SECRET}@sentry.example.org/1\" }";
    let config = parse(text).expect("valid");
    let KindConfig::Http(http) = &config.checks[0].kind else { panic!() };
    assert_eq!(http.headers["authorization"], "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    check("errors: { upstream: \"${SECRET}\" }", &["1 errors.upstream: not a DSN"]);
    let problems = parse("errors: { upstream: \"${SECRET}\" }").expect_err("no DSN");
    assert!(!problems[0].to_string().contains("hunter2"));
}

#[test]
fn yaml_that_surprises_is_refused() {
    check("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2", &["2 duplicate key `listen`"]);
    check("checks:\n- name: a\n  kind: tcp\n  target: h:1\n  name: b", &["5 checks[0]: duplicate key `name`"]);
    check(
        "checks: [{ name: a, kind: http, url: \"http://h\", headers: {\n a: b,\n a: c } }]",
        &["3 checks[0].headers: duplicate key `a`"],
    );
    check("1: 2", &["1 invalid type: integer `1`, expected a key of plain text"]);
    check("listen: !tag 127.0.0.1:1", &["1 listen: invalid type: enum"]);
    check("a: b\n---\nc: d", &["0 deserializing from YAML containing more than one document"]);
    check("checks: [", &["2 did not find expected node content"]);
    check("listen: *nowhere", &["1 unknown anchor"]);
    check("<<: { listen: 127.0.0.1:1 }", &["1 <<: … unknown field `<<`"]);
    check("- listen", &["1 invalid type: sequence"]);
    check("text", &["1 invalid type: string"]);
    check(&format!("a: {}", "[".repeat(1000)), &["1 recursion limit exceeded"]);
    check("a: &a [*a]", &["1 recursion limit exceeded"]);
}

#[test]
fn aliases_work_and_cannot_blow_up() {
    let config =
        parse("checks:\n- &a { name: a, kind: tcp, target: &t \"h:1\" }\n- { name: b, kind: tcp, target: *t }")
            .expect("valid");
    assert_eq!(config.checks.len(), 2);

    let mut laughs = "a0: &a0 lol\n".to_owned();
    for level in 1..12 {
        let row = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(laughs, "a{level}: &a{level} [{row}]").expect("a string");
    }
    check(&laughs, &["0 the document is … too large with its aliases written out"]);

    // Few aliases, each of a long text, stay under the parser's own limit.
    let quadratic = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), ["*a"; 10_000].join(", "));
    check(&quadratic, &["1 b[40]: … too large with its aliases written out"]);
}

#[test]
fn a_thousand_checks_are_too_many_and_fifty_problems_enough() {
    let checks: String =
        (0..1001).map(|number| format!("- {{ name: c{number}, kind: tcp, target: \"h:1\" }}\n")).collect();
    check(&format!("checks:\n{checks}"), &["1 checks: … at most 1000"]);
    let checks: String = (0..1000).map(|number| format!("- {{ name: c{number}, kind: tcp }}\n")).collect();
    assert_eq!(parse(&format!("checks:\n{checks}")).expect_err("missing keys").len(), 50);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let load = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        crate::chain(&Config::load(&path).expect_err(name))
    };
    assert!(load("binary.yaml", b"a: b\n\xff").ends_with("line 2 is not UTF-8"));
    assert!(load("large.yaml", &vec![b' '; FILE_LIMIT as usize + 1]).contains("larger than 1048576 bytes"));
    assert!(load("wrong.yaml", b"\nextra: 1").contains("wrong.yaml:2: extra: unknown field"));
    let missing = Config::load(folder.path().join("missing.yaml")).expect_err("missing");
    assert!(crate::chain(&missing).contains("missing.yaml`: No such file"), "{missing}");
}
