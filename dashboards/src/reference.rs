//! The metric catalogue as a page for people: what each metric is, and which alerts and panels read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use futura_alert_rules::{
    GeneratedFile, MARK, Site,
    promql::{InvalidExpression, selectors},
    rules,
    slo::Record,
};
use futura_metrics::{
    spec::{Descriptor, Kind, Source, Unit, bound_text},
    specs::{AREAS, Area, catalogue},
};

use crate::catalogue::{CatalogueError, PanelQuery, queries};

/// What the suffixes of a histogram's series are.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

const INTRODUCTION: &str = "\
Every metric that Futura exports or reads, by area. Names, labels and bounds are an interface: alerts and dashboards
outside this repository depend on them. Series whose label values are all listed here exist at zero from the start.
Who asks for what a rule records of a metric is listed as reading the metric.
";

/// Who reads a metric.
#[derive(Debug, Default)]
struct Readers {
    alerts: BTreeSet<&'static str>,
    /// Panels by the uid of their dashboard.
    panels: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

/// The page's file, as it belongs into the crate `futura-metrics`.
///
/// # Errors
/// When an alert or a panel asks what is not PromQL.
pub fn file(site: &Site) -> Result<GeneratedFile, CatalogueError> {
    Ok(GeneratedFile { path: "METRICS.md".to_owned(), contents: metrics(site)? })
}

/// The page, in Markdown.
///
/// ```
/// let page = futura_dashboards::reference::metrics(&futura_alert_rules::Site::default())?;
/// assert!(page.contains("### `http_requests_total`"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When an alert or a panel asks what is not PromQL.
pub fn metrics(site: &Site) -> Result<String, CatalogueError> {
    let readers = readers(site)?;
    let mut page = format!("<!-- {MARK} -->\n# Metrics\n\n{INTRODUCTION}\n");
    for Area { title, metrics } in AREAS {
        let links: Vec<_> = metrics.iter().map(|metric| format!("[`{0}`](#{0})", metric.name)).collect();
        let _ = writeln!(page, "- **{title}**: {}", links.join(", "));
    }
    for Area { title, metrics } in AREAS {
        let _ = write!(page, "\n## {title}\n");
        for metric in *metrics {
            entry(&mut page, metric, readers.get(metric.name).unwrap_or(&Readers::default()));
        }
    }
    Ok(page)
}

/// Who reads each metric that is read.
fn readers(site: &Site) -> Result<BTreeMap<&'static str, Readers>, CatalogueError> {
    let mut readers = BTreeMap::<_, Readers>::new();
    let records: Vec<_> = rules::slos().into_iter().flat_map(|slo| slo.records).collect();
    for alert in rules::alerts(site) {
        let invalid = |source| CatalogueError::Alert { alert: alert.name, source };
        for metric in read(&alert.expression, &records).map_err(invalid)? {
            readers.entry(metric).or_default().alerts.insert(alert.name);
        }
    }
    for PanelQuery { dashboard, panel, expression, .. } in queries(site) {
        let invalid = |source| CatalogueError::Expression { dashboard, panel, source };
        for metric in read(&expression, &records).map_err(invalid)? {
            readers.entry(metric).or_default().panels.entry(dashboard).or_default().insert(panel);
        }
    }
    Ok(readers)
}

/// The declared metrics that an expression reads, by way of what is recorded too.
fn read(expression: &str, records: &[Record]) -> Result<BTreeSet<&'static str>, InvalidExpression> {
    let names = scraped(expression, records)?;
    let is_part = |metric: &Descriptor, name: &str| {
        let suffix = name.strip_prefix(metric.name).filter(|_| metric.kind == Kind::Histogram);
        suffix.is_some_and(|suffix| PARTS.contains(&suffix))
    };
    let read = catalogue().filter(|metric| names.iter().any(|name| name == metric.name || is_part(metric, name)));
    Ok(read.map(|metric| metric.name).collect())
}

/// The names of the scraped series that an expression reads: of recorded ones, those that their rules read.
fn scraped(expression: &str, records: &[Record]) -> Result<BTreeSet<String>, InvalidExpression> {
    let mut names = BTreeSet::new();
    for selected in selectors(expression)? {
        let writes = |record: &&Record| {
            let (label, value) = record.label;
            selected.metric.as_deref() == Some(record.name) && selected.admits(label, value)
        };
        for record in records.iter().filter(writes) {
            names.extend(scraped(&record.expression, records)?);
        }
        names.extend(selected.metric);
    }
    Ok(names)
}

fn entry(page: &mut String, metric: &Descriptor, readers: &Readers) {
    let _ = write!(page, "\n### `{}`\n\n{}\n\n", metric.name, metric.help);
    let _ = writeln!(page, "- Type: {}, {}", kind(metric), unit(metric.unit));
    for (name, values) in metric.label_names.iter().zip(metric.label_values) {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        let values = if values.is_empty() { "any value".to_owned() } else { values.join(", ") };
        let _ = writeln!(page, "- Label `{name}`: {values}");
    }
    if !metric.bounds.is_empty() {
        let bounds: Vec<_> = metric.bounds.iter().map(|bound| bound_text(*bound)).collect();
        let _ = writeln!(page, "- Bounds: {}", bounds.join(", "));
    }
    if let Source::Exporter { name, version } = metric.source {
        let _ = writeln!(page, "- Exported by: {name} {version}, of whose labels those are listed that are read");
    }
    if !readers.alerts.is_empty() {
        let link = |alert: &&str| format!("[{alert}](../alert-rules/generated/runbooks/{alert}.md)");
        let _ = writeln!(page, "- Alerts: {}", readers.alerts.iter().map(link).collect::<Vec<_>>().join(", "));
    }
    for (dashboard, panels) in &readers.panels {
        let panels: Vec<_> = panels.iter().map(|panel| format!("\"{panel}\"")).collect();
        let (uid, panels) = (dashboard, panels.join(", "));
        let _ = writeln!(page, "- Panels of [{uid}](../dashboards/generated/{uid}.json): {panels}");
    }
}

fn kind(metric: &Descriptor) -> &'static str {
    match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge if metric.untyped => "gauge, exposed as untyped for its name",
        Kind::Gauge => "gauge",
        Kind::Histogram if metric.native => "histogram, classic and native",
        Kind::Histogram => "histogram",
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "a number of things",
        Unit::Seconds => "seconds",
        Unit::Timestamp => "seconds since 1970",
        Unit::Bytes => "bytes",
        Unit::Ratio => "a share from 0 to 1",
        Unit::State => "a state",
    }
}

#[cfg(test)]
mod tests {
    use futura_alert_rules::Site;
    use futura_metrics::specs::catalogue;
    use insta::assert_snapshot;

    use super::metrics;

    fn page() -> String {
        metrics(&Site::default()).unwrap()
    }

    #[test]
    fn every_metric_has_one_entry_and_one_link() {
        let page = page();
        for metric in catalogue() {
            assert_eq!(page.matches(&format!("\n### `{}`\n", metric.name)).count(), 1, "{}", metric.name);
            assert_eq!(page.matches(&format!("[`{0}`](#{0})", metric.name)).count(), 1, "{}", metric.name);
        }
    }

    #[test]
    fn an_entry_tells_all_of_its_metric() {
        let page = page();
        let entry = |name: &str| {
            let rest = page.split(&format!("\n### `{name}`\n\n")).nth(1).unwrap();
            rest.split("\n#").next().unwrap().trim_end().to_owned()
        };
        assert_snapshot!(entry("http_request_duration_seconds"), @r#"
        Time from the request head to the end of the response body.

        - Type: histogram, classic and native, seconds
        - Label `method`: `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`, `OPTIONS`, `TRACE`, `CONNECT`, `OTHER`
        - Label `path`: any value
        - Bounds: 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0
        - Alerts: [HighLatency](../alert-rules/generated/runbooks/HighLatency.md), [HighResponseTime](../alert-rules/generated/runbooks/HighResponseTime.md), [HttpLatencyBurn1d](../alert-rules/generated/runbooks/HttpLatencyBurn1d.md), [HttpLatencyBurn1h](../alert-rules/generated/runbooks/HttpLatencyBurn1h.md), [HttpLatencyBurn3d](../alert-rules/generated/runbooks/HttpLatencyBurn3d.md), [HttpLatencyBurn6h](../alert-rules/generated/runbooks/HttpLatencyBurn6h.md), [SlowApiResponses](../alert-rules/generated/runbooks/SlowApiResponses.md)
        - Panels of [futuratickets-overview](../dashboards/generated/futuratickets-overview.json): "HTTP Response Time (p95)"
        - Panels of [http-routes](../dashboards/generated/http-routes.json): "Response Time by Route (p95)", "Response Times"
        - Panels of [slos](../dashboards/generated/slos.json): "Bad requests (last 5 minutes and last day)", "Burn rate over 1 day and 2 hours", "Burn rate over 1 hour and 5 minutes", "Burn rate over 3 days and 6 hours", "Burn rate over 6 hours and 30 minutes", "Error budget left", "Error budget over time", "Objective", "Requests that are bad", "Requests that count"
        "#);
        assert_snapshot!(entry("tickets_active_total"), @r#"
        Tickets that are issued and valid now.

        - Type: gauge, exposed as untyped for its name, a number of things
        - Panels of [futuratickets-overview](../dashboards/generated/futuratickets-overview.json): "Active Tickets"
        "#);
        assert_snapshot!(entry("mongodb_ss_connections"), @r#"
        MongoDB's connections, by what it says of them.

        - Type: gauge, a number of things
        - Label `conn_type`: `current`, `available`, `active`
        - Exported by: mongodb_exporter 0.53.0, of whose labels those are listed that are read
        - Alerts: [HighMongoDBConnections](../alert-rules/generated/runbooks/HighMongoDBConnections.md), [MongoDBConnectionIssues](../alert-rules/generated/runbooks/MongoDBConnectionIssues.md)
        - Panels of [futuratickets-overview](../dashboards/generated/futuratickets-overview.json): "Database Connections (MongoDB)"
        "#);
    }
}
