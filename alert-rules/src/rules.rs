//! Every alert, by area. An alert is one function that returns it and its entry in the area's list.

use crate::{alert::Alert, site::Site};

mod business;
mod databases;
mod kubernetes;
mod payments;
mod resources;
mod services;

/// The service that sells tickets: what business metrics are about, which carry no label for it.
const TICKET_API: &str = "ticket-api";

/// Alerts that belong together: one file of rules, one group.
#[derive(Debug)]
pub struct Area {
    /// The area's name, which is also the file's.
    pub name: &'static str,
    /// Its alerts.
    pub alerts: Vec<Alert>,
}

/// Every area with its alerts.
pub fn areas(site: &Site) -> Vec<Area> {
    vec![
        Area { name: "business", alerts: business::alerts() },
        Area { name: "databases", alerts: databases::alerts() },
        Area { name: "kubernetes", alerts: kubernetes::alerts(site) },
        Area { name: "payments", alerts: payments::alerts() },
        Area { name: "resources", alerts: resources::alerts(site) },
        Area { name: "services", alerts: services::alerts() },
    ]
}

/// Every alert, by area.
pub fn alerts(site: &Site) -> impl Iterator<Item = Alert> {
    areas(site).into_iter().flat_map(|area| area.alerts)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::alerts;
    use crate::{lint, promql::duration_text, site::Site};

    #[test]
    fn nothing_is_wrong_with_the_alerts() {
        let alerts: Vec<_> = alerts(&Site::default()).collect();
        let findings = lint::check(&alerts.iter().collect::<Vec<_>>());
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Thresholds, durations and severities are what people depend on: a change shows here as one line.
    #[test]
    fn every_alert_keeps_its_threshold_duration_and_severity() {
        let mut lines: Vec<_> = alerts(&Site::default())
            .map(|alert| {
                let (threshold, lasts) = (alert.threshold, duration_text(alert.lasts));
                let (severity, team) = (alert.severity.as_str(), alert.team.as_str());
                let (side, value, quantity) = (threshold.comparison, threshold.value, threshold.quantity);
                format!("{}: {side:?} {value} {quantity:?}, for {lasts}, {severity}, {team}", alert.name)
            })
            .collect();
        lines.sort();
        assert_snapshot!(lines.join("\n"), @r"
        DeploymentRolloutStuck: Above 0 State, for 15m, critical, platform
        DiskSpaceLow: Below 0.15 Ratio, for 10m, warning, platform
        HighCPUUsage: Above 0.8 Ratio, for 10m, warning, platform
        HighErrorRate: Above 10 PerSecond, for 5m, critical, api
        HighMemoryUsage: Above 0.85 Ratio, for 10m, warning, platform
        HighResponseTime: Above 2 Seconds, for 5m, warning, api
        HighSentryErrorCount: Above 50 Count, for 0s, warning, api
        LowPaymentSuccessRate: Below 0.9 Ratio, for 10m, critical, payments
        MongoDBConnectionIssues: Below 10 Count, for 5m, critical, database
        NoOrdersReceived: Equal 0 Count, for 0s, warning, business
        PodDown: Above 0 State, for 5m, critical, platform
        RedisDown: Equal 0 State, for 2m, critical, database
        SlowOrderProcessing: Above 10 Seconds, for 10m, warning, api
        TicketGenerationFailures: Above 1 PerSecond, for 5m, critical, api
        WebhookDeliveryFailures: Above 0.5 PerSecond, for 5m, warning, payments
        ");
    }
}
