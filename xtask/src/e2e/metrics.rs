//! What Prometheus must say after the traffic: the same numbers that the clients counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{World, drive, panels, prometheus::Prometheus};
use crate::{
    client::Client,
    process,
    traffic::{Ledger, UNMATCHED},
    wait::eventually,
};

/// How long Prometheus may take to scrape what has happened.
const SCRAPE_LIMIT: Duration = Duration::from_secs(30);
/// How long until each group was evaluated; some are evaluated once a minute.
const EVALUATION_LIMIT: Duration = Duration::from_secs(150);
/// How long promtool may take.
const TOOL_LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn targets_up(world: &World) -> Result<()> {
    eventually(SCRAPE_LIMIT, async || {
        let (up, expected) = (world.prometheus.targets_up().await?, world.samples.targets.len() + 2);
        ensure!(up == expected, "{up} targets, not {expected}");
        Ok(())
    })
    .await
}

/// Every series of requests equals the clients' account, in both directions.
///
/// Two routes are left out: the sidecar's check asks for one, and clients hang up on the other.
pub(super) async fn requests_counted(world: &World, ledger: &Ledger) -> Result<()> {
    let query =
        format!(r#"http_requests_total{{service="ticket-api",path!="/health",path!="{}"}} > 0"#, drive::HANG_UP_ROUTE);
    let sent: BTreeMap<_, _> =
        ledger.requests.iter().filter(|((_, path, _), _)| path != drive::HANG_UP_ROUTE).collect();
    eventually(SCRAPE_LIMIT, async || {
        let samples = world.prometheus.query(&query).await?;
        let mut counted = BTreeMap::new();
        for sample in &samples {
            let status: u16 = sample.label("status").parse().context("a status that is no number")?;
            let key = (sample.label("method").to_owned(), sample.label("path").to_owned(), status);
            counted.insert(key, sample.value as u64);
        }
        ensure!(
            counted.iter().eq(sent.iter().map(|(key, count)| (*key, *count))),
            "sent {sent:?}, counted {counted:?}"
        );
        Ok(())
    })
    .await
}

pub(super) async fn business_counted(world: &World, ledger: &Ledger) -> Result<()> {
    let expected = [
        ("orders_created_total", ledger.orders),
        ("payment_total", ledger.orders),
        ("payment_success_total", ledger.paid),
        ("tickets_active_total", ledger.tickets),
        ("order_processing_duration_seconds_count", ledger.orders),
    ];
    for (metric, expected) in expected {
        equals(&world.prometheus, metric, expected).await?;
    }
    Ok(())
}

/// Each client that hung up was counted once, as gone or as answered in time, and nothing else was counted.
pub(super) async fn hang_ups_counted(world: &World, ledger: &Ledger) -> Result<()> {
    let query = format!(r#"http_requests_total{{method="POST",path="{}"}} > 0"#, drive::HANG_UP_ROUTE);
    let answered: u64 =
        ledger.requests.iter().filter(|((_, path, _), _)| path == drive::HANG_UP_ROUTE).map(|(_, count)| count).sum();
    eventually(SCRAPE_LIMIT, async || {
        let samples = world.prometheus.query(&query).await?;
        let by_status: BTreeMap<_, _> =
            samples.iter().map(|sample| (sample.label("status"), sample.value as u64)).collect();
        ensure!(by_status.keys().all(|status| ["201", "499"].contains(status)), "{by_status:?}");
        ensure!(by_status.contains_key("499"), "no client that hung up was noticed: {by_status:?}");
        let (counted, sent) = (by_status.values().sum::<u64>(), answered + drive::HANG_UPS);
        ensure!(counted == sent, "{sent} requests sent, {counted} counted: {by_status:?}");
        Ok(())
    })
    .await
}

/// The scan of unknown paths made one series, which counts all of them, and nothing is left in flight.
pub(super) async fn unknown_paths_folded(world: &World) -> Result<()> {
    let folded = format!(r#"http_requests_total{{path="{UNMATCHED}",status="404"}}"#);
    equals(&world.prometheus, &folded, drive::STRAYS).await?;
    equals(&world.prometheus, r#"count(count by (path) (http_requests_total{status="404"} > 0))"#, 1).await?;
    // A program that measures its own `/metrics` is always in the middle of being scraped when it is scraped.
    equals(&world.prometheus, r#"sum(http_requests_in_flight{path!="/metrics"})"#, 0).await
}

pub(super) async fn checks_succeed(world: &World) -> Result<()> {
    for check in ["api-health", "api-port"] {
        equals(&world.prometheus, &format!(r#"check_success{{check="{check}"}}"#), 1).await?;
        equals(&world.prometheus, &format!(r#"check_runs_total{{check="{check}"}} > bool 0"#), 1).await?;
    }
    Ok(())
}

/// The checks notice that the API is gone, and say why they fail.
pub(super) async fn checks_fail(prometheus: &Prometheus) -> Result<()> {
    for check in ["api-health", "api-port"] {
        equals(prometheus, &format!(r#"check_success{{check="{check}"}}"#), 0).await?;
        let reason = format!(r#"check_failures_total{{check="{check}",reason="connect"}} > bool 0"#);
        equals(prometheus, &reason, 1).await?;
    }
    equals(prometheus, r#"up{job="ticket-api"}"#, 0).await
}

pub(super) async fn rules_evaluated(world: &World) -> Result<()> {
    let (groups, rules) = eventually(EVALUATION_LIMIT, async || world.prometheus.rules_evaluated().await).await?;
    ensure!(groups > 0 && rules > 0, "no rule is loaded");
    crate::terminal::line(format_args!("  {rules} rules in {groups} groups"));
    Ok(())
}

/// Every query of every panel gives at least one series, but for those of panels that say what it means if there is none.
pub(super) async fn panels_have_data(world: &World) -> Result<()> {
    let mut empty = BTreeSet::new();
    let queries = panels::queries()?;
    for query in &queries {
        let panel = format!("{}, panel {:?}: {}", query.dashboard, query.panel, query.query);
        let answer = eventually(SCRAPE_LIMIT, async || {
            let samples = world.prometheus.query(&query.query).await?;
            let has_data = samples.iter().any(|sample| !sample.value.is_nan());
            ensure!(has_data || query.may_be_empty, "no data: {samples:?}");
            Ok(())
        });
        if let Err(error) = answer.await {
            empty.insert(format!("{panel} ({error:#})"));
        }
    }
    ensure!(
        empty.is_empty(),
        "{} of {} queries fail:\n{}",
        empty.len(),
        queries.len(),
        Vec::from_iter(empty).join("\n")
    );
    crate::terminal::line(format_args!("  {} queries", queries.len()));
    Ok(())
}

/// promtool accepts both pages, warnings included.
pub(super) async fn pages_accepted(world: &World) -> Result<()> {
    let client = &world.stack.client;
    for url in [world.stack.api_metrics_url(), world.stack.sidecar_url()] {
        page_accepted(client, &format!("{url}/metrics")).await?;
    }
    Ok(())
}

async fn page_accepted(client: &Client, url: &str) -> Result<()> {
    let mut page = tempfile::NamedTempFile::new()?;
    page.write_all(client.get(url).await?.as_bytes())?;
    // promtool reads the page from its standard input, which a shell gives it.
    let mut command = process::command("sh");
    command.args(["-c", "promtool check metrics < \"$0\""]).arg(page.path());
    let output = process::output(command, Stdio::piped(), TOOL_LIMIT).await?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "promtool says of {url}:\n{}", String::from_utf8_lossy(&said).trim());
    Ok(())
}

/// Waits until a query gives this one number.
pub(super) async fn equals(prometheus: &Prometheus, query: &str, expected: u64) -> Result<()> {
    eventually(SCRAPE_LIMIT, async || {
        let value = prometheus.value(query).await?;
        ensure!(value == expected as f64, "{query} is {value}, not {expected}");
        Ok(())
    })
    .await
}
