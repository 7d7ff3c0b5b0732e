use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, time::Duration};

use futura_metrics::specs::checks::CheckKind;
use insta::assert_snapshot;

use super::{Config, FILE_LIMIT, Problem, SCHEMA};
use crate::{ErrorsConfig, Scrubber, checks::KindConfig, listener::Address};

const EXAMPLE: &str = include_str!("../../sidecar.example.yaml");

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    Config::parse(text, |name| (name == "SECRET").then(|| "hunter2".to_owned()))
}

/// The problems, one a line, as `place: key: message`.
#[track_caller]
fn problems(text: &str) -> String {
    let problems = parse(text).expect_err(text);
    let line = |problem: &Problem| match problem.place {
        Some(place) => format!("{place}: {problem}"),
        None => problem.to_string(),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The one problem that `keys` make in a check of kind http.
#[track_caller]
fn of_http(keys: &str) -> String {
    let text = problems(&format!("checks: [{{ name: a, kind: http, url: \"http://h\", {keys} }}]"));
    assert_eq!(text.lines().count(), 1, "{text}");
    text.split_once("check `a`: ").expect("it names the check").1.to_owned()
}

#[test]
fn the_example_is_valid_and_says_what_is_the_default() {
    let config = parse(EXAMPLE).expect("the example");
    assert_eq!(config.checks.len(), 12);
    let default = parse("errors: {}").expect("an empty section");
    assert_eq!(config.listen, default.listen);
    // Rules and further upstreams of one's own are shown as well.
    let of_ones_own = |errors| ErrorsConfig {
        scrub: Scrubber::default(),
        upstreams: Vec::new(),
        storm: None,
        logs: Vec::new(),
        ..errors
    };
    let errors = |config: Config| config.errors.map(of_ones_own);
    assert_eq!(format!("{:?}", errors(config)), format!("{:?}", errors(default)));
}

#[test]
fn the_example_shows_every_key() {
    fn collect(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
        match schema {
            serde_json::Value::Object(object) => {
                if let Some(properties) = object.get("properties").and_then(serde_json::Value::as_object) {
                    keys.extend(properties.keys().cloned());
                }
                object.values().for_each(|value| collect(value, keys));
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, keys)),
            _ => {}
        }
    }
    let mut schema: serde_json::Value = serde_json::from_str(SCHEMA).expect("JSON");
    // Of the modules only what is ours: the rest is blackbox_exporter's to explain.
    let definitions = schema["$defs"].as_object_mut().expect("definitions");
    let module = definitions.remove("module").expect("the module");
    definitions.retain(|name, _| !name.starts_with("module"));
    let mut keys = BTreeSet::new();
    collect(&schema, &mut keys);
    collect(&module["properties"]["guard"], &mut keys);
    let told = |key: &str| {
        EXAMPLE.split(|character: char| !character.is_alphanumeric() && character != '_').any(|word| word == key)
    };
    let missing: Vec<_> = keys.iter().filter(|key| !told(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
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
    assert_eq!((check.schedule.interval, check.schedule.timeout), (Duration::from_secs(10), Duration::from_secs(2)));
    let KindConfig::Http(http) = &check.kind else { panic!("{check:?}") };
    assert_eq!((http.method.as_str(), &http.expect.status, http.transport.redirects), ("GET", &vec![200..=299], 0));
}

#[test]
fn every_problem_is_told_with_its_place_and_what_is_allowed() {
    assert_snapshot!(
        problems(
            "listen: nope
chekcs: []
checks:
  - name: a
    kind: http
    url: \"ftp://x/\"
    interval: 10
    retry: 3
  - name: a b
    kind: tcp
    target: h:1
    timeout: 20s
    intervall: 5s
  - { name: c, kind: tcp, target: \"${NOPE}:1\", timeout: 5s, interval: 1s }
  - { name: d, kind: smtp }
  - name: c
    kind: http
    url: api/health
    body_matches: (a
  - nothing
  - { interval: 1s }
errors:
  upstream: nope
  spool: /dev/null/spool
  listen_publicly: maybe
  spool_max_envelopes: many
extra: 1
"
        ),
        @r#"
        1:1: listen: `nope` is no IP address with a port: write one such as `127.0.0.1:9469`, or `0.0.0.0:9469` for every network
        2:1: chekcs: unknown key, allowed are `listen`, `checks`, `concurrency`, `maintenance`, `modules`, `errors`, `history`, `include`, `shard`
        6:5: checks[0].url: check `a`: `ftp:` is neither `http:` nor `https:`: write a URL such as `http://127.0.0.1:3000/health`
        7:5: checks[0].interval: check `a`: `10` has no unit: write `10s`, or another of ms, s, m, h and d
        8:5: checks[0].retry: check `a`: unknown key, allowed are `name`, `kind`, `interval`, `interval_failing`, `timeout`, `offset`, `jitter`, `retries`, `failure_threshold`, `maintenance`, `url`, `method`, `headers`, `body`, `status`, `headers_match`, `headers_absent`, `body_contains`, `body_matches`, `json`, `json_matches`, `latency_limit`, `authorization`, `redirects`, `body_limit_bytes`, `http2`, `tls`
        9:5: checks[1].name: `a b` is no name: write 1 to 100 letters, digits, `-`, `_` and `.`, such as `api-health`
        12:5: checks[1].timeout: a timeout of 20s is longer than the interval of 10s, so runs would overlap
        13:5: checks[1].intervall: unknown key, allowed are `name`, `kind`, `interval`, `interval_failing`, `timeout`, `offset`, `jitter`, `retries`, `failure_threshold`, `maintenance`, `target`, `tls`, `dialogue`
        14:27: checks[2].target: the environment variable `NOPE` is not set: set it, or write `${NOPE:-default}`
        14:48: checks[2].timeout: check `c`: a timeout of 5s is longer than the interval of 1s, so runs would overlap
        15:16: checks[3].kind: check `d`: `smtp` is no kind of check, allowed are `dns`, `grpc`, `http`, `icmp`, `journey`, `mongodb`, `postgres`, `redis`, `tcp`, `tls`
        16:5: checks[4].name: check `c`: the name is taken: names tell the series apart, so give each check its own
        18:5: checks[4].url: check `c`: not a URL, it begins with neither `http://` nor `https://`: write one such as `http://127.0.0.1:3000/health`
        19:5: checks[4].body_matches: check `c`: not a regular expression: unclosed group
        20:5: checks[5]: `nothing` is no check: write one such as `{ name: api, kind: http, url: "http://127.0.0.1:3000/health" }`
        21:5: checks[6].name: it is missing: write one such as `name: api-health`
        21:5: checks[6].kind: it is missing: write one such as `kind: http`
        21:5: checks[6].timeout: a timeout of 2s is longer than the interval of 1s, so runs would overlap
        23:3: errors.upstream: not a DSN: write `https://KEY@HOST/PROJECT`, such as `https://0123456789abcdef@sentry.example.org/42`
        24:3: errors.spool: the folder `/dev/null/spool` cannot be used: Not a directory (os error 20), so nothing can be made in `/dev/null`
        25:3: errors.listen_publicly: `maybe` is neither `true` nor `false`
        26:3: errors.spool_max_envelopes: `many` is no whole number such as `10000`
        27:1: extra: unknown key, allowed are `listen`, `checks`, `concurrency`, `maintenance`, `modules`, `errors`, `history`, `include`, `shard`
        "#
    );
}

#[test]
fn keys_of_a_check_are_checked() {
    let keys = [
        "status: 999",
        "status: [2xx, 6xx]",
        "status: []",
        "method: get",
        "headers: { \"a b\": c }",
        "headers: { a: \"b\\nc\" }",
        "headers: { a: b, A: c }",
        "headers: { a: 1 }",
        "headers: a",
        "redirects: 11",
        "redirects: -1",
        "timeout: 5",
        "timeout: \"5\"",
        "timeout: soon",
        "timeout: [1s]",
        "timeout: 0s",
        "interval: 1ms, timeout: 1ms",
        "body_contains: 42",
        "body_matches: \"(a{1000}){1000}\"",
    ];
    assert_snapshot!(keys.map(of_http).join("\n"), @r#"
    no status: write one such as `200`, a class such as `2xx`, or a list of them
    no status: write one such as `200`, a class such as `2xx`, or a list of them
    no status: write one such as `200`, a class such as `2xx`, or a list of them
    `get` is no method, allowed are GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE
    `a b` is not a header's name
    the value of `a` has characters that no header may have
    header `A` stands twice
    header `a`: no text: write it in quotes
    no headers: write `{ accept: text/html }`
    `11` is no number from 0 to 10
    `-1` is no number from 0 to 10
    `5` has no unit: write `5s`, or another of ms, s, m, h and d
    `5` has no unit: write `5s`, or another of ms, s, m, h and d
    `soon` is not a duration such as `10s`, `500ms`, `5m` or `1h`
    a list is no duration such as `10s`
    no run ends within no time: write one such as `2s`
    1ms is too often: at least 100ms
    `42` is no text: write it in quotes, as `"42"`
    not a regular expression: Compiled regex exceeds size limit of 1048576 bytes
    "#);
    let files = [
        "checks: [{ name: a, kind: http, url: \"http://u:p@h\" }]",
        "checks: [{ name: a, kind: tcp }]",
        "checks: [{ name: a, kind: tcp, target: h }]",
        "checks: [{ kind: tcp, target: \"h:1\" }]",
        "checks: [{ name: 5, kind: tcp, target: \"h:1\" }]",
        "checks: { a: b }",
        "modules: { http_2xx: {} }",
    ];
    assert_snapshot!(files.map(problems).join("\n"), @r#"
    1:33: checks[0].url: check `a`: credentials in a URL end up in logs: write them as `authorization`
    1:10: checks[0].target: check `a`: it is missing: write one such as `target: 127.0.0.1:6379`
    1:32: checks[0].target: check `a`: `h` is no host and port: write one such as `127.0.0.1:6379`
    1:10: checks[0].name: it is missing: write one such as `name: api-health`
    1:12: checks[0].name: `5` is no text: write it in quotes, as `"5"`
    1:1: checks: a mapping is no list of checks: write one a line, such as `- { name: api, kind: http, url: "http://127.0.0.1:3000/health" }`
    1:12: modules.http_2xx.prober: it is missing: write one such as `prober: http`
    "#);
}

#[test]
fn a_wrong_value_brings_no_problem_of_what_follows_from_it() {
    assert_snapshot!(problems("checks: [{ name: a, kind: tcp, target: \"h:1\", interval: soon, timeout: 1m }]"), @"1:47: checks[0].interval: check `a`: `soon` is not a duration such as `10s`, `500ms`, `5m` or `1h`");
}

#[test]
fn numbers_and_flags_may_come_from_variables() {
    let variable = |name: &str| Some(if name == "COUNT" { "7" } else { "true" }.to_owned());
    let text = "errors: { spool_max_envelopes: \"${COUNT}\", listen: \"0.0.0.0:1\", listen_publicly: \"${PUBLIC}\" }";
    assert_eq!(Config::parse(text, variable).expect("valid").errors.expect("errors").spool_max_envelopes, 7);
}

#[test]
fn errors_listen_on_loopback_unless_told_otherwise() {
    let config = parse("errors: { listen: \"0.0.0.0:1\", listen_publicly: true }").expect("valid");
    assert!(matches!(config.errors.expect("errors").listen, Address::Tcp(address) if address.port() == 1));
    let config = parse("errors: { listen: unix:/run/a.sock, upstream: \"${NONE:-}\" }").expect("valid");
    assert!(config.errors.expect("errors").upstream.is_none());
    let files = [
        "errors: { listen: \"0.0.0.0:1\" }",
        "errors: { upstream: \"http://k@127.0.0.1:9470/1\" }",
        "errors: { upstream: \"http://k@localhost:9470/1\" }",
        "errors: { envelope_max_bytes: 10, spool_max_bytes: 9 }",
        "errors: { spool_max_envelopes: 0 }",
        "{ listen: \"0.0.0.0:9470\", errors: {} }",
        "errors: true",
    ];
    assert_snapshot!(files.map(problems).join("\n"), @"
    1:11: errors.listen: `0.0.0.0:1` is not a loopback address: set `listen_publicly: true` if others may send
    1:11: errors.upstream: it points at `127.0.0.1:9470`, where the sidecar itself listens: give the Sentry server's DSN
    1:11: errors.upstream: it points at `127.0.0.1:9470`, where the sidecar itself listens: give the Sentry server's DSN
    1:11: errors.envelope_max_bytes: between 1 and `spool_max_bytes`, which is 9
    1:11: errors.spool_max_envelopes: `0` is too few: at least 1
    1:27: errors.listen: the status page listens on `0.0.0.0:9470` already: give another port
    1:1: errors: `true` is no section: write keys below it, such as `spool: ./spool`
    ");
}

#[test]
fn rules_that_cannot_work_are_refused_where_they_stand() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pii.json");
    fs::write(&file, "{\"rules\": {\"a\": {\"type\": \"pattern\", \"pattern\": \"(\"}}}").expect("a file");
    let scrub = [
        "rules: { a: { type: pattern, pattern: \"(\" } }".to_owned(),
        "rules: { a: { type: pattern, pattern: \"a{1000}{1000}\" } }".to_owned(),
        "rules: { a: { type: pattern, pattern: a, replaceGroups: [1] } }".to_owned(),
        "rules: { a: { type: smile } }".to_owned(),
        "rules: { a: { type: email, redaction: { method: burn } } }".to_owned(),
        "rules: { a: { type: email, pattern: x } }".to_owned(),
        "rules: { a: { type: redact_pair } }".to_owned(),
        "applications: { \"$string\": [nobody] }".to_owned(),
        "applications: { \"extra..k\": [\"@email\"] }".to_owned(),
        "applications: { \"$string\": \"@email\" }".to_owned(),
        "allow: [\"$nope\"]".to_owned(),
        format!("file: {file:?}"),
        "file: /no/such.json".to_owned(),
    ];
    let found = scrub.map(|scrub| problems(&format!("errors: {{ scrub: {{ {scrub} }} }}")));
    assert_snapshot!(found.join("\n").replace(&folder.path().display().to_string(), "FOLDER"), @r#"
    1:49: errors.scrub.rules.a.pattern: not a regular expression: unclosed group
    1:49: errors.scrub.rules.a.pattern: not a regular expression: Compiled regex exceeds size limit of 1048576 bytes
    1:61: errors.scrub.rules.a.replaceGroups: there is no group 1: the pattern has 0
    1:34: errors.scrub.rules.a.type: there is no type `smile`, allowed are `pattern`, `redact_pair`, `multiple`, `alias`, `anything`, `email`, `ip`, `creditcard`, `iban`, `us_ssn`, `mac`, `imei`, `uuid`, `userpath`, `pemkey`, `url_auth`, `bearer`, `cookies`, `password`
    1:60: errors.scrub.rules.a.redaction.method: there is no method `burn`, allowed are `remove`, `replace`, `mask`, `hash`, `default`
    1:47: errors.scrub.rules.a.pattern: unknown key, allowed are `type`, `redaction`
    1:29: errors.scrub.rules.a.keyPattern: it is missing: write one such as `keyPattern: '(?i)my_secret'`
    1:36: errors.scrub.applications.$string: there is no rule `nobody`: rules are those below `rules` and built-in ones such as `@email:mask`
    1:36: errors.scrub.applications.extra..k: `extra..k` is no selector: a key is missing, such as in `extra.key`
    1:36: errors.scrub.applications.$string: `@email` is no list of rules: write one such as `["@email:mask"]`
    1:20: errors.scrub.allow: `$nope` is no selector: there is no type `$nope`
    1:20: errors.scrub.file: `FOLDER/pii.json`: rules.a.pattern: not a regular expression: unclosed group
    1:20: errors.scrub.file: cannot read `/no/such.json`: No such file or directory (os error 2)
    "#);
    let text = "errors: { scrub: { defaults: false, allow: [user.email], rules: { a: { type: alias, rule: \"@email:mask\" } }, applications: { \"extra.'my key' || $http.**\": [a, \"@ip\"] } } }";
    parse(text).expect("valid");
}

#[test]
fn folders_must_be_usable_and_are_not_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let new = folder.path().join("a/b");
    let text = |path: &Path| format!("{{ errors: {{ spool: {path:?} }}, history: {path:?} }}");
    parse(&text(&new)).expect("it can be made");
    parse(&text(folder.path())).expect("it is there");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "only the file is there");
    for bad in [file.clone(), file.join("below"), "/proc/spool".into()] {
        let problems = problems(&text(&bad));
        assert_eq!(problems.matches("cannot be used").count(), 2, "{problems}");
        assert!(problems.contains(&bad.display().to_string()), "{problems}");
    }
}

#[test]
fn what_is_seldom_meant_is_warned_of() {
    let warnings = |text: &str| parse(text).expect("valid").warnings().join("\n");
    assert_snapshot!(warnings(""), @"nothing would be done: it has neither `checks` nor `modules` nor `errors`");
    assert_snapshot!(warnings("{ errors: {}, history: ./history }"), @"`errors.upstream` is not set or empty: envelopes are kept in the spool and not forwarded");
    assert_eq!(warnings("checks: [{ name: a, kind: tcp, target: \"h:1\" }]"), "");
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
    for (text, found) in [
        ("errors: { upstream: \"${SECRET}\" }", "not a DSN"),
        ("checks: [{ name: a, kind: http, url: \"${SECRET}\" }]", "not a URL"),
        ("checks: [{ name: a, kind: http, url: \"http://h\", headers: \"${SECRET}\" }]", "no headers"),
    ] {
        let problems = problems(text);
        assert!(problems.contains(found) && !problems.contains("hunter2"), "{problems}");
    }
    for text in [
        "errors: { upstream: 998877 }",
        "checks: [{ name: a, kind: http, url: 998877 }]",
        "checks: [{ name: a, kind: http, url: \"http://h\", headers: { x-api-key: 998877 } }]",
        "checks: [{ name: a, kind: http, url: \"http://h\", headers: 998877 }]",
    ] {
        assert!(!problems(text).contains("998877"), "{}", problems(text));
    }
}

#[test]
fn of_too_many_problems_the_first_are_told_in_the_order_of_the_file() {
    let mut text = (0..60).map(|number| format!("unknown{number}: 1\n")).collect::<String>();
    text.push_str("listen: nope\nerrors: { spool_max_envelopes: 0 }\n");
    let problems = problems(&text);
    let lines: Vec<_> = problems.lines().collect();
    assert!(lines[0].starts_with("1:1: unknown0: ") && lines[49].starts_with("50:1: unknown49: "), "{problems}");
    assert_eq!(lines[50..], ["and 12 more problems"]);
}

#[test]
fn yaml_that_surprises_is_refused() {
    let files = [
        "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2",
        "checks:\n- name: a\n  kind: tcp\n  target: h:1\n  name: b",
        "checks: [{ name: a, kind: http, url: \"http://h\", headers: {\n a: b,\n a: c } }]",
        "1: 2",
        "listen: !tag 127.0.0.1:1",
        "a: b\n---\nc: d",
        "checks: [",
        "listen: *nowhere",
        "<<: { listen: 127.0.0.1:1 }",
        "- listen",
        "text",
        &format!("a: {}", "[".repeat(1000)),
        "a: &a [*a]",
    ];
    assert_snapshot!(files.map(problems).join("\n"), @"
    2:1: duplicate key `listen`
    5:3: checks[0]: duplicate key `name`
    3:2: checks[0].headers: duplicate key `a`
    1:1: invalid type: integer `1`, expected a key of plain text
    1:9: listen: tags such as `!name` mean nothing here: leave it out
    more than one document: write one, without `---`
    2:1: did not find expected node content
    1:9: unknown anchor
    1:1: <<: unknown key, allowed are `listen`, `checks`, `concurrency`, `maintenance`, `modules`, `errors`, `history`, `include`, `shard`
    1:1: a list is no configuration: write keys such as `checks:`
    1:1: `text` is no configuration: write keys such as `checks:`
    1:131: it is nested too deeply
    1:4: it is nested too deeply
    ");
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
    assert_eq!(problems(&laughs), "the document is too large with its aliases written out");

    // Few aliases, each of a long text, stay under the parser's own limit.
    let quadratic = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), ["*a"; 10_000].join(", "));
    assert!(problems(&quadratic).ends_with("b[40]: the document is too large with its aliases written out"));
}

#[test]
fn ten_thousand_checks_are_enough_and_fifty_problems_too() {
    let checks: String =
        (0..10_001).map(|number| format!("- {{ name: c{number}, kind: tcp, target: \"h:1\" }}\n")).collect();
    assert_snapshot!(problems(&format!("checks:\n{checks}")), @"1:1: checks: 10001 checks are too many: one sidecar runs at most 10000");
    let checks: String = (0..1000).map(|number| format!("- {{ name: c{number}, kind: tcp }}\n")).collect();
    let problems = problems(&format!("checks:\n{checks}"));
    assert_eq!(problems.lines().count(), 51);
    assert!(problems.ends_with("\nand 950 more problems"), "{problems}");
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
    assert!(load("large.yaml", &vec![b' '; FILE_LIMIT as usize + 1]).contains("larger than 4194304 bytes"));
    assert!(load("wrong.yaml", b"\nextra: 1").contains("wrong.yaml:2:1: extra: unknown key"));
    let missing = Config::load(folder.path().join("missing.yaml")).expect_err("missing");
    assert!(crate::chain(&missing).contains("missing.yaml`: No such file"), "{missing}");
}

#[test]
fn a_configuration_includes_files_and_tells_of_them_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    let check = |name: &str| format!("checks: [{{ name: {name}, kind: tcp, target: \"h:1\" }}]");
    let load = |include: &str| {
        write("main.yaml", &format!("{{ include: {include}, {} }}", check("main")));
        let loaded = Config::load(folder.path().join("main.yaml"));
        let names =
            loaded.map(|config| config.checks.into_iter().map(|check| check.name).collect::<Vec<_>>().join(" "));
        names.unwrap_or_else(|error| crate::chain(&error).replace(&folder.path().display().to_string(), "FOLDER"))
    };
    write("checks.d/b.yaml", &check("b"));
    write("checks.d/a.yaml", &check("a"));
    write("checks.d/.hidden.yaml", "not: read");
    write("empty.yaml", "# nothing");
    assert_eq!(load("[\"checks.d/*.yaml\", empty.yaml, \"checks.d/b*\", \"none/*.yaml\"]"), "main a b");
    assert_eq!(load("checks.d/b.yaml"), "main b");
    write("checks.d/c.yaml", "checks:\n- { name: a, kind: tcp, target: h }\nlisten: 127.0.0.1:1");
    assert_snapshot!(load("\"checks.d/*\""), @"
    FOLDER/checks.d/c.yaml:2:5: checks[0].name: check `a`: the name is taken: names tell the series apart, so give each check its own
    FOLDER/checks.d/c.yaml:2:25: checks[0].target: check `a`: `h` is no host and port: write one such as `127.0.0.1:6379`
    FOLDER/checks.d/c.yaml:3:1: listen: unknown key, allowed are `checks`
    ");
    assert_snapshot!(load("gone.yaml"), @"cannot read `FOLDER/main.yaml`: include `gone.yaml`: there is no such file");
    assert_snapshot!(load("\"[\""), @"cannot read `FOLDER/main.yaml`: include `[`: invalid range pattern");
}

#[test]
fn a_replica_runs_its_share() {
    let checks: Vec<_> = (0..100).map(|number| format!("{{ name: c{number}, kind: tcp, target: \"h:1\" }}")).collect();
    let run =
        |shard: &str| parse(&format!("{{ shard: {shard}, checks: [{}] }}", checks.join(", "))).expect("valid").checks;
    let (first, second) = (run("0/2"), run("sidecar-1/2"));
    assert_eq!(first.len() + second.len(), 100);
    assert!(!first.is_empty() && first.iter().all(|check| second.iter().all(|other| other.name != check.name)));
}

/// The keys that are allowed where the last of `path` is a key that is not.
fn allowed(text: &str) -> BTreeSet<String> {
    let problems = parse(text).expect_err(text);
    let unknown = problems.iter().find(|problem| problem.message.contains("unknown key")).expect("an unknown key");
    let (_, allowed) = unknown.message.split_once("allowed are ").expect("a list");
    allowed.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

#[test]
fn the_schema_has_exactly_the_keys_that_are_read() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).expect("JSON");
    let keys = |pointer: &str| -> BTreeSet<String> {
        let properties = schema.pointer(&format!("{pointer}/properties")).and_then(serde_json::Value::as_object);
        properties.unwrap_or_else(|| panic!("no {pointer}")).keys().cloned().collect()
    };
    for kind in CheckKind::ALL {
        let text = format!("checks: [{{ name: a, kind: {}, zzz: 1 }}]", kind.as_str());
        assert_eq!(keys(&format!("/$defs/check_{}", kind.as_str())), allowed(&text), "{}", kind.as_str());
    }
    for (pointer, text) in [
        ("", "zzz: 1"),
        ("/properties/errors", "errors: { zzz: 1 }"),
        ("/properties/errors/properties/upstreams/items", "errors: { upstreams: [{ zzz: 1 }] }"),
        ("/properties/errors/properties/logs/items", "errors: { logs: [{ zzz: 1 }] }"),
        ("/properties/errors/properties/storm", "errors: { storm: { zzz: 1 } }"),
        ("/properties/errors/properties/scrub", "errors: { scrub: { zzz: 1 } }"),
        ("/$defs/maintenance/items", "maintenance: [{ zzz: 1 }]"),
        ("/$defs/tls", "checks: [{ name: a, kind: tcp, tls: { zzz: 1 } }]"),
        ("/$defs/turn", "checks: [{ name: a, kind: tcp, dialogue: [{ zzz: 1 }] }]"),
        ("/$defs/authorization", "checks: [{ name: a, kind: http, authorization: { zzz: 1 } }]"),
        ("/$defs/step", "checks: [{ name: a, kind: journey, steps: [{ zzz: 1 }] }]"),
        ("/$defs/capture", "checks: [{ name: a, kind: journey, steps: [{ capture: { x: { zzz: 1 } } }] }]"),
        ("/$defs/module", "modules: { a: { zzz: 1 } }"),
        ("/$defs/module/properties/guard", "modules: { a: { guard: { zzz: 1 } } }"),
        ("/$defs/module/properties/http", "modules: { a: { http: { zzz: 1 } } }"),
        ("/$defs/module/properties/http/properties/basic_auth", "modules: { a: { http: { basic_auth: { zzz: 1 } } } }"),
        (
            "/$defs/module/properties/http/properties/authorization",
            "modules: { a: { http: { authorization: { zzz: 1 } } } }",
        ),
        ("/$defs/module/properties/http/properties/oauth2", "modules: { a: { http: { oauth2: { zzz: 1 } } } }"),
        ("/$defs/module_header", "modules: { a: { http: { fail_if_header_matches: [{ zzz: 1 }] } } }"),
        ("/$defs/module/properties/tcp", "modules: { a: { tcp: { zzz: 1 } } }"),
        (
            "/$defs/module/properties/tcp/properties/query_response/items",
            "modules: { a: { tcp: { query_response: [{ zzz: 1 }] } } }",
        ),
        ("/$defs/module/properties/dns", "modules: { a: { dns: { zzz: 1 } } }"),
        ("/$defs/module_records", "modules: { a: { dns: { validate_answer_rrs: { zzz: 1 } } } }"),
        ("/$defs/module/properties/icmp", "modules: { a: { icmp: { zzz: 1 } } }"),
        ("/$defs/module/properties/grpc", "modules: { a: { grpc: { zzz: 1 } } }"),
        ("/$defs/module_tls", "modules: { a: { grpc: { tls_config: { zzz: 1 } } } }"),
    ] {
        assert_eq!(keys(pointer), allowed(text), "{pointer}");
    }
}
