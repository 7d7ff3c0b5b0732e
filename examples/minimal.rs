//! The smallest measured service: one route, one layer, and `/metrics`.
//!
//! ```sh
//! cargo run -p futura-examples --bin minimal
//! curl http://127.0.0.1:3000/events/42
//! curl http://127.0.0.1:3000/metrics
//! ```

use std::env;

use anyhow::Result;
use axum::{Router, extract::Path, routing::get, serve};
use futura_metrics::{Metrics, admin, http::HttpLayer};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    let metrics = Metrics::new();
    let app = Router::new()
        .route("/events/{id}", get(event))
        // Measures the routes above it, by their templates; what comes below is not measured.
        .layer(HttpLayer::new(&metrics)?)
        .merge(admin::metrics_route(&metrics));
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(serve(listener, app).await?)
}

async fn event(Path(id): Path<u64>) -> String {
    format!("event {id}\n")
}
