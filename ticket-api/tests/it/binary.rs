//! The program as an operator meets it: its exit codes and what it says.

use std::{
    net::TcpListener,
    process::{Command, Output},
};

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
    insta::assert_snapshot!(refusal(&[("DATABASE_URL", "mongodb://me:hush@db/t")]), @"64 ticket-api: DATABASE_URL: unknown kind of database `mongodb`; use sqlite::memory:, sqlite://path/to/file.db or postgres://user:password@host/database");
    insta::assert_snapshot!(refusal(&[("LOG_FORMAT", "xml")]), @"64 ticket-api: LOG_FORMAT=`xml`: expected `pretty` or `json`");
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
        "SENTRY_DSN",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ] {
        assert!(text.contains(variable), "{variable} is missing");
    }
    assert!(!text.contains("hush"));
}
