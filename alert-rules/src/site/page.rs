//! The settings in force as a file, to copy from: so every alert's threshold and duration stands in one place.

use std::fmt::Write as _;

use super::Site;
use crate::{
    Alert, MARK,
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

# Scrape job of the sidecars.
sidecar_job: {:?}

# The longest interval between two scrapes of a target. A rule whose window holds fewer than four is refused.
scrape_interval: {}

# From where each alert counts. That of a quantile must be a bound of its histogram's buckets.
thresholds:
",
        site.namespace,
        site.runbooks_url,
        site.grafana_url,
        site.sidecar_job,
        duration_text(site.scrape_interval),
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
