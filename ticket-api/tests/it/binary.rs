//! The program as an operator meets it: its exit codes and what it says.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::harness::Service;

fn run(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticket-api"));
    command
        .env_clear()
        .args(arguments)
        .env("HOST", "127.0.0.1")
        .env("METRICS_PORT", "0")
        .envs(variables.iter().copied());
    command.output().unwrap()
}

/// The exit code and the one line that it comes with.
fn refusal(variables: &[(&str, &str)]) -> String {
    let output = run(variables, &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("ticket-api: ")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    format!("{} {}", output.status.code().unwrap(), lines[0])
}

#[test]
fn bad_values_exit_with_64_and_one_line() {
    insta::assert_snapshot!(refusal(&[("PORT", "http")]), @"64 ticket-api: PORT=`http`: expected a port from 0 to 65535");
    insta::assert_snapshot!(refusal(&[("DRILL_ROUTES", "maybe")]), @"64 ticket-api: DRILL_ROUTES=`maybe`: expected true or false");
    insta::assert_snapshot!(refusal(&[("SHUTDOWN_TIMEOUT", "30s")]), @"64 ticket-api: SHUTDOWN_TIMEOUT=`30s`: expected a number of seconds from 0 to 3600");
    insta::assert_snapshot!(refusal(&[("REDPANDA_BROKERS", "kafka-0:9092,::1:9092")]), @"64 ticket-api: REDPANDA_BROKERS=`kafka-0:9092,::1:9092`: expected brokers such as kafka-0:9092 or [::1]:9092, separated by commas; `::1:9092` is none");
    insta::assert_snapshot!(refusal(&[("DATABASE_URL", "mongodb://me:hush@db/t")]), @"64 ticket-api: DATABASE_URL: unknown kind of database `mongodb`; use sqlite::memory:, sqlite://path/to/file.db or postgres://user:password@host/database");
    insta::assert_snapshot!(refusal(&[("LOG_FORMAT", "xml")]), @"64 ticket-api: LOG_FORMAT=`xml`: expected `pretty` or `json`");
}

#[test]
fn variables_that_contradict_each_other_or_would_protect_nothing_exit_with_64_and_one_line() {
    insta::assert_snapshot!(refusal(&[("JWT_SECRET", "hush")]), @"64 ticket-api: JWT_SECRET: 4 bytes can be guessed; HS256 needs at least 32 random bytes, such as `openssl rand -hex 32` prints");
    for guessed in [" ".repeat(32), "\t \n".repeat(20), "a".repeat(64)] {
        let line = refusal(&[("JWT_SECRET", &guessed)]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(line, @"64 ticket-api: JWT_SECRET: one character again and again can be guessed; HS256 needs at least 32 random bytes, such as `openssl rand -hex 32` prints");
        }
    }
    insta::assert_snapshot!(refusal(&[("JWT_SECRET", "")]), @"64 ticket-api: JWT_SECRET: it is set and empty, so that anybody could use the API; unset it to run open");
    insta::assert_snapshot!(refusal(&[("QUEUE_MAX_SIZE", "300000")]), @"64 ticket-api: QUEUE_MAX_SIZE: 300000 is more than the 200000 people that all queues in memory have room for; set REDIS_URL");
    insta::assert_snapshot!(refusal(&[("PORT", "9090"), ("METRICS_PORT", "9090")]), @"64 ticket-api: PORT and METRICS_PORT are both 9090: give each a port of its own");
    insta::assert_snapshot!(refusal(&[("QUEUE_MAX_SIZE", "0")]), @"64 ticket-api: QUEUE_MAX_SIZE=`0`: expected a number from 1 to 1000000");
    insta::assert_snapshot!(refusal(&[("REDIS_URL", "http://:hush@cache")]), @"64 ticket-api: REDIS_URL: unknown scheme `http`; use redis://host:6379, redis://user:password@host:6379/0, or rediss:// for TLS");
    insta::assert_snapshot!(refusal(&[("REDIS_URL", "rediss://:hush@cache/#insecure")]), @"64 ticket-api: REDIS_URL: it must not have a `#`; use redis://host:6379, redis://user:password@host:6379/0, or rediss:// for TLS");
    insta::assert_snapshot!(refusal(&[("REDIS_URL", "redis://:hush@cache/first")]), @"64 ticket-api: REDIS_URL: invalid database number; use redis://host:6379, redis://user:password@host:6379/0, or rediss:// for TLS");
    insta::assert_snapshot!(refusal(&[("REDIS_URL", "redis:hush")]), @"64 ticket-api: REDIS_URL: missing hostname; use redis://host:6379, redis://user:password@host:6379/0, or rediss:// for TLS");
    insta::assert_snapshot!(refusal(&[("REDIS_URL", "cache:6379:hush")]), @"64 ticket-api: REDIS_URL: unknown scheme `cache`; use redis://host:6379, redis://user:password@host:6379/0, or rediss:// for TLS");
}

#[test]
fn the_start_tells_what_is_open() {
    // The database is missing, so that the program ends after it has said so.
    let mut variables = vec![("PORT", "0"), ("DATABASE_URL", "sqlite:///nowhere/at/all.db"), ("LOG_FORMAT", "json")];
    let warnings = |variables: &[(&str, &str)]| {
        let output = run(variables, &[]);
        let text = [output.stdout, output.stderr].concat();
        let records = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let warnings = records.filter(|record| record["level"] == "WARN").map(|record| record.to_string());
        warnings.collect::<Vec<_>>().join("\n")
    };
    assert!(warnings(&variables).contains("requests are not authenticated"));
    variables.push(("JWT_SECRET", "a-secret-of-32-bytes-and-a-little"));
    let told = warnings(&variables);
    assert!(!told.contains("authenticated") && !told.contains("little"), "{told}");
}

#[tokio::test]
async fn a_log_of_sales_opens_no_order() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticket-api"));
    let variables = [("HOST", "127.0.0.1"), ("PORT", "0"), ("METRICS_PORT", "0"), ("LOG_FORMAT", "json")];
    command.env_clear().envs(variables).env("RUST_LOG", "ticket_api=debug,info");
    let mut program = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(program.stderr.take().unwrap()).lines();
    let serving = log.by_ref().map(Result::unwrap).find(|line| line.contains("\"serving\"")).expect("it serves");
    let record: Value = serde_json::from_str(&serving).unwrap();
    let address = |port: &str| record[port].as_str().unwrap().parse().unwrap();
    let service = Service::at(address("api"), address("metrics"));
    let reservation_id = service.reservation(&service.event(5).await, 2).await;
    let path = service.order(&reservation_id, "tok_visa").await.header("location").to_owned();
    let order_id = path.rsplit('/').next().unwrap();
    let mut sale = Vec::new();
    for line in log.map(Result::unwrap) {
        sale.push(line);
        if sale.last().unwrap().contains("tickets are ready") {
            break;
        }
    }
    program.kill().unwrap();
    program.wait().unwrap();
    assert!(sale.iter().all(|line| !line.contains(order_id)), "{sale:#?}");
    assert!(sale.last().unwrap().contains(&order_id[..8]), "{sale:#?}");
}

#[test]
fn what_cannot_be_reached_exits_with_1_and_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let line = refusal(&[("PORT", &port)]).replace(&port, "PORT");
    insta::assert_snapshot!(line, @"1 ticket-api: cannot listen on PORT 127.0.0.1:PORT: Address already in use (os error 98)");

    // Nothing listens on port 1, and nothing that starts meanwhile is given it.
    let line = refusal(&[("PORT", "0"), ("DATABASE_URL", "postgres://me:hush@127.0.0.1:1/tickets")]);
    insta::assert_snapshot!(line, @"1 ticket-api: cannot connect to the database postgres://127.0.0.1:1/tickets: error communicating with database: Connection refused (os error 111)");
    let line = refusal(&[("PORT", "0"), ("DATABASE_URL", "sqlite:///nowhere/at/all.db")]);
    insta::assert_snapshot!(line, @"1 ticket-api: cannot connect to the database sqlite:///nowhere/at/all.db: error returned from database: (code: 14) unable to open database file");
}

#[test]
fn help_goes_to_standard_output_and_lists_the_variables() {
    // Empty counts as not set.
    let output = run(&[("PORT", ""), ("DATABASE_URL", "postgres://me:hush@db/t")], &["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for variable in [
        "PORT",
        "METRICS_PORT",
        "DATABASE_URL",
        "DATABASE_SSL_MODE",
        "STRIPE_WEBHOOK_SECRET",
        "JWT_SECRET",
        "REDIS_URL",
        "QUEUE_MAX_SIZE",
        "REDPANDA_BROKERS",
        "SENTRY_DSN",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "130 after a second signal",
    ] {
        assert!(text.contains(variable), "{variable} is missing");
    }
    assert!(!text.contains("hush"));
}
