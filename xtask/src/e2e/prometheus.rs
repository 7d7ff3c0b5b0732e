//! What the checks ask Prometheus.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::client::Client;

/// A running Prometheus.
#[derive(Debug)]
pub(crate) struct Prometheus {
    client: Client,
    url: String,
}

/// One series of an answer, with its value now.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

// === impl Prometheus ===

impl Prometheus {
    pub(crate) fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// The series of an instant query.
    pub(crate) async fn query(&self, query: &str) -> Result<Vec<Sample>> {
        let answer = self.ask("query", &[("query", query)]).await.with_context(|| format!("the query {query}"))?;
        match answer["resultType"].as_str() {
            Some("vector") => list(&answer["result"])?.iter().map(Sample::from_json).collect(),
            Some("scalar") => Ok(vec![Sample { labels: BTreeMap::new(), value: number(&answer["result"][1])? }]),
            kind => bail!("the query {query} gives {kind:?}, not series"),
        }
    }

    /// The value of a query whose answer is one series.
    pub(crate) async fn value(&self, query: &str) -> Result<f64> {
        match &self.query(query).await?[..] {
            [sample] => Ok(sample.value),
            samples => bail!("{query} gives {} series, not one", samples.len()),
        }
    }

    /// Fails unless every target is up; returns how many there are.
    pub(crate) async fn targets_up(&self) -> Result<usize> {
        let answer = self.ask("targets", &[("state", "active")]).await?;
        let targets = list(&answer["activeTargets"])?;
        for target in targets {
            ensure!(
                target["health"] == "up",
                "{} is {}: {}",
                target["scrapeUrl"],
                target["health"],
                target["lastError"]
            );
        }
        Ok(targets.len())
    }

    /// Fails unless every rule has been evaluated without an error; returns how many groups and rules there are.
    pub(crate) async fn rules_evaluated(&self) -> Result<(usize, usize)> {
        let answer = self.ask("rules", &[]).await?;
        let groups = list(&answer["groups"])?;
        let mut count = 0;
        for group in groups {
            for rule in list(&group["rules"])? {
                let (name, health, error) = (&rule["name"], &rule["health"], &rule["lastError"]);
                ensure!(health == "ok", "group {}, rule {name}: health {health}, error {error}", group["name"]);
                count += 1;
            }
        }
        Ok((groups.len(), count))
    }

    async fn ask(&self, what: &str, query: &[(&str, &str)]) -> Result<Value> {
        let mut answer = self.client.json(&format!("{}/api/v1/{what}", self.url), query).await?;
        Ok(answer["data"].take())
    }
}

// === impl Sample ===

impl Sample {
    fn from_json(series: &Value) -> Result<Self> {
        let labels = series["metric"].as_object().context("a series without labels")?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a label that is no text");
        let labels = labels.iter().map(|(name, value)| Ok((name.clone(), text(value)?))).collect::<Result<_>>()?;
        Ok(Self { labels, value: number(&series["value"][1])? })
    }

    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("not a list: {value}"))
}

fn number(value: &Value) -> Result<f64> {
    let text = value.as_str().with_context(|| format!("not a sample's value: {value}"))?;
    text.parse().with_context(|| format!("not a number: {text}"))
}
