//! The smallest measured service: `cargo run -p futura-examples --bin minimal`, then
//! `curl http://127.0.0.1:3000/events/42` and `curl http://127.0.0.1:3000/metrics`. `PORT` sets another port.
#![expect(clippy::print_stderr, reason = "a program tells what it cannot use")]

use std::{env, process::ExitCode};

use anyhow::{Context, Result};
use axum::{Router, extract::Path, routing::get, serve};
use futura_metrics::{Metrics, admin, http::HttpLayer, shutdown};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Ok(port) = env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>()) else {
        eprintln!("PORT is no port: set it to a number such as 3000");
        return Ok(ExitCode::from(64));
    };
    let metrics = Metrics::new();
    let app = Router::new()
        .route("/events/{id}", get(event))
        .merge(admin::metrics_route(&metrics))
        // Last, as it measures what stands above it: each route by its template, and what no route matches as one.
        .layer(HttpLayer::new(&metrics)?);
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = listener.with_context(|| format!("cannot listen on port {port}: set PORT to another"))?;
    serve(listener, app).with_graceful_shutdown(shutdown::signal()).await?;
    Ok(ExitCode::SUCCESS)
}

async fn event(Path(id): Path<u64>) -> String {
    format!("event {id}\n")
}
