//! The settings in force as a file, to copy from: so every alert's threshold and duration stands in one place.

use std::fmt::Write as _;

use super::Site;
use crate::{
    Alert, MARK, Profile, RoutingConfig,
    promql::{Comparison, Quantity, duration_text},
};

/// All settings with their values here, each with what it means.
pub(crate) fn page(site: &Site, alerts: &[&Alert]) -> String {
    let mut page = format!(
        "# {MARK}
# Every setting, as it is here. Copy those that should be otherwise into a file of your own and pass it to
# generate-dashboards with --config FILE; what that leaves out stays as it is by default.

# Kubernetes namespace whose pods and containers are watched.
namespace: {}

# Where the runbooks are published: each alert links to URL/ALERT.
runbooks_url: {}

# Where Grafana is: each alert links to the panel of its dashboard there.
grafana_url: {}

# Which versions the files are for: {}.
profile: {}

# Scrape job of the sidecars.
sidecar_job: {:?}

# The longest interval between two scrapes of a target. A rule whose window holds fewer than four is refused.
scrape_interval: {}

# How people are told of alerts. No secret stands here nor in what is generated: Alertmanager finds a file for each in the folder
# `secrets`: slack-critical, slack-warnings, slack-business, slack-payments, slack-database and slack-api (addresses of Slack's
# webhooks), pagerduty-key, smtp-password, discord and heartbeat-url. In discord stands a webhook's address with /slack behind it;
# without that for the profile prometheus-3.
# - Warnings wait for the working hours; critical alerts do not. An AlertmanagerConfig knows no other time zone than UTC, and is
#   not written for others.
# - pagerduty_url is https://events.eu.pagerduty.com/v2/enqueue for an account in the EU.
# - email is null for none; on_call gets critical alerts, database_team those about data stores. The server must speak TLS.
# - discord says whether critical alerts go there too.
# - sidecar_url is where events for Sentry are made of alerts; null for none.
# - heartbeat says whether the alert that always fires goes to heartbeat-url, with the profile prometheus-3.
routing:
{}
# From where each alert counts. That of a quantile must be a bound of its histogram's buckets.
thresholds:
",
        site.namespace,
        site.runbooks_url,
        site.grafana_url,
        Profile::ALL.map(Profile::as_str).join(" or "),
        site.profile,
        site.sidecar_job,
        duration_text(site.scrape_interval),
        indented(&site.routing),
    );
    for alert in alerts.iter().filter(|alert| alert.threshold.is_limit()) {
        let threshold = alert.threshold;
        let side = if threshold.comparison == Comparison::Below { "below" } else { "above" };
        let unit = unit(threshold.quantity);
        writeln!(page, "  {}: {} # {side}, {unit}", alert.name, threshold.value).expect("a string takes any text");
    }
    page.push_str("\n# How long that must last before the alert fires.\ndurations:\n");
    for alert in alerts {
        writeln!(page, "  {}: {}", alert.name, duration_text(alert.lasts)).expect("a string takes any text");
    }
    page
}

fn indented(routing: &RoutingConfig) -> String {
    let text = serde_yaml::to_string(routing).expect("texts and switches are YAML");
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn unit(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Count => "a number",
        Quantity::PerSecond => "per second",
        Quantity::Seconds => "seconds",
        Quantity::Cores => "CPU cores",
        Quantity::Bytes => "bytes",
        Quantity::BytesPerSecond => "bytes per second",
        Quantity::Ratio => "a share, 1 being all",
        Quantity::State => "a state",
    }
}
