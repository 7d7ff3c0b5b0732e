//! Traces and metrics of the API to a real collector, over both protocols, and the events of the same requests with the same
//! trace ids.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::Value;

use super::{check, drive::PANIC_TRACE_ID, requests::Keeper};
use crate::{
    cargo::{self, Profile},
    client::{Client, send},
    install, ports,
    process::{self, Process},
    terminal,
    wait::eventually,
};

/// How long a span or an event may be on its way.
const LIMIT: Duration = Duration::from_secs(30);

/// What is the collector's, and what is behind it.
struct Collector {
    _process: Process,
    grpc: u16,
    http: u16,
    behind: Keeper,
}

pub(super) async fn run(logs: &Path) -> Result<()> {
    let agent = install::rotel().await?;
    let mut version = process::command(&agent);
    version.arg("--version");
    if !process::output(version, std::process::Stdio::null(), LIMIT).await?.status.success() {
        terminal::line(
            "  traces and metrics: left out, as the collector rotel does not run here: it needs libpython3.11",
        );
        return Ok(());
    }
    let programs = cargo::build(&["ticket-api"], Profile::Dev).await?;
    let api = programs.path("ticket-api")?;
    let collector = Collector::start(&agent, logs).await?;
    let over = [("grpc", collector.grpc), ("http/protobuf", collector.http)];
    for (protocol, port) in over {
        let name =
            format!("traces and metrics arrive at a collector over {protocol}, and events with the same trace ids");
        check(&name, arrive(api, &collector.behind, (protocol, port), logs)).await?;
    }
    Ok(())
}

/// A request that panics is a span at the collector and an event, both of the trace that its client has begun; the collector
/// gets what is counted of it too.
async fn arrive(api: &Path, behind: &Keeper, (protocol, port): (&str, u16), logs: &Path) -> Result<()> {
    behind.take();
    let (client, sentry, state) = (Client::new()?, Keeper::listen().await?, tempfile::tempdir()?);
    let [http, metrics] = ports::free()?;
    let mut command = process::command(api);
    command
        .current_dir(state.path())
        .env("HOST", "127.0.0.1")
        .env("PORT", http.to_string())
        .env("METRICS_PORT", metrics.to_string())
        .env("DATABASE_URL", format!("sqlite:{}", state.path().join("tickets.sqlite3").display()))
        .env("DRILL_ROUTES", "true")
        .env("SENTRY_DSN", format!("http://key@127.0.0.1:{}/1", sentry.port()))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env("OTEL_METRICS_EXPORTER", "otlp")
        .env("OTEL_RESOURCE_ATTRIBUTES", "team=tickets")
        .env("K8S_POD_NAME", "tickets-7");
    let log = logs.join(format!("traces-{}.log", protocol.replace('/', "-")));
    let mut api = Process::spawn("ticket-api", command, &log)?;
    api.ready(&client, &format!("http://127.0.0.1:{metrics}/readyz")).await?;
    let request = client.request(Method::POST, &format!("http://127.0.0.1:{http}/drill/panic"));
    let answer = send(request.header("traceparent", format!("00-{PANIC_TRACE_ID}-00f067aa0ba902b7-01"))).await?;
    ensure!(answer.status == 500, "the drill is answered {}", answer.status);
    // The end of the program sends what is queued.
    let status = api.terminate().await?;
    ensure!(status.success(), "the API ended with {status}");
    // The id as protobuf has it.
    let id: Vec<u8> = (0..16)
        .map(|place| u8::from_str_radix(&PANIC_TRACE_ID[2 * place..2 * place + 2], 16))
        .collect::<Result<_, _>>()?;
    let mut requests = Vec::new();
    let arrived = async || {
        requests.extend(behind.take());
        // A request of spans, and one of metrics.
        let span: [&[u8]; 2] = [&id, b"POST /drill/panic"];
        let metrics: [&[u8]; 3] = [b"http_requests_total", b"http_request_duration_seconds", b"/drill/panic"];
        for parts in [&span[..], &metrics] {
            let parts = [parts, &[b"team", b"tickets-7", b"k8s.pod.name", b"ticket-api"]].concat();
            let has = |request: &[u8], part: &[u8]| request.windows(part.len()).any(|bytes| bytes == part);
            let found = requests.iter().any(|request| parts.iter().all(|part| has(request, part)));
            ensure!(found, "the collector has nothing with {:?}", String::from_utf8_lossy(parts[1]));
        }
        Ok(())
    };
    eventually(LIMIT, arrived).await?;
    let mut envelopes = Vec::new();
    let reported = async || {
        envelopes.extend(sentry.take());
        let events: Vec<_> = envelopes.iter().filter_map(|envelope| event(envelope)).collect();
        let traces: Vec<_> = events.iter().map(|event| event["contexts"]["trace"]["trace_id"].as_str()).collect();
        ensure!(traces == [Some(PANIC_TRACE_ID)], "the events carry the traces {traces:?}");
        Ok(())
    };
    eventually(LIMIT, reported).await
}

/// The event in an envelope.
fn event(envelope: &[u8]) -> Option<Value> {
    let lines = envelope.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    lines.into_iter().find(|line| line.get("exception").is_some())
}

// === impl Collector ===

impl Collector {
    /// Starts it with a server behind it that keeps what it hands on, as protobuf.
    async fn start(agent: &Path, logs: &Path) -> Result<Self> {
        let (behind, [grpc, http]) = (Keeper::listen().await?, ports::free()?);
        let mut command = process::command(agent);
        command
            .arg("start")
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http", "--otlp-exporter-compression", "none"])
            .args(["--otlp-exporter-endpoint", &format!("http://127.0.0.1:{}", behind.port())])
            .args(["--batch-timeout", "100ms", "--debug-log", "none"])
            .args(["--pid-file", &logs.join("rotel.pid").display().to_string()])
            .args(["--log-file", &logs.join("rotel-agent.log").display().to_string()]);
        let process = Process::spawn("rotel", command, &logs.join("rotel.log"))?;
        let listens = async || {
            for port in [grpc, http] {
                tokio::net::TcpStream::connect(("127.0.0.1", port)).await.context("the collector does not listen")?;
            }
            Ok(())
        };
        eventually(LIMIT, listens).await?;
        Ok(Self { _process: process, grpc, http, behind })
    }
}
