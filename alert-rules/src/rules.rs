//! Every alert, by area. An alert is one function that returns it and its entry in the area's list.

use crate::{alert::Alert, rule_set::RuleSet, site::Site, slo::Slo};

mod business;
mod checks;
mod databases;
mod forwarding;
mod internals;
mod kubernetes;
mod latency;
mod monitoring;
mod payments;
mod resources;
mod services;
mod slos;

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

/// Every area with its alerts, as the site has them.
pub fn areas(site: &Site) -> Vec<Area> {
    let mut areas = stated(site);
    areas.iter_mut().flat_map(|area| &mut area.alerts).for_each(|alert| alert.adapt_to(site));
    areas
}

/// Every area with its alerts, as they are stated here: with the site's names, and without what it sets otherwise.
pub(crate) fn stated(site: &Site) -> Vec<Area> {
    vec![
        Area { name: "business", alerts: business::alerts() },
        Area { name: "checks", alerts: checks::alerts() },
        Area { name: "databases", alerts: databases::alerts() },
        Area { name: "forwarding", alerts: forwarding::alerts() },
        Area { name: "internals", alerts: internals::alerts() },
        Area { name: "kubernetes", alerts: kubernetes::alerts(site) },
        Area { name: "latency", alerts: latency::alerts() },
        Area { name: "monitoring", alerts: monitoring::alerts(site) },
        Area { name: "payments", alerts: payments::alerts() },
        Area { name: "resources", alerts: resources::alerts(site) },
        Area { name: "services", alerts: services::alerts() },
    ]
}

/// Every objective.
pub fn slos() -> Vec<Slo> {
    slos::slos()
}

/// Every alert, by area, and after them those of the objectives.
pub fn alerts(site: &Site) -> impl Iterator<Item = Alert> {
    let RuleSet { areas, slos, .. } = RuleSet::platform(site.clone());
    areas.into_iter().flat_map(|area| area.alerts).chain(slos.into_iter().flat_map(|slo| slo.alerts))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::alerts;
    use crate::{lint, promql::duration_text, site::Site};

    #[test]
    fn nothing_is_wrong_with_the_alerts() {
        let site = Site::default();
        let alerts: Vec<_> = alerts(&site).collect();
        let findings = lint::check(&alerts.iter().collect::<Vec<_>>(), &site);
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
        assert_snapshot!(lines.join("\n"), @"
        CardinalityFolded: Above 0 Count, for 0s, warning, api
        CertificateExpiring: Below 1209600 Seconds, for 1h, warning, platform
        CheckFailing: Equal 0 State, for 1m, critical, platform
        CircuitBreakerOpen: Equal 2 State, for 1m, critical, api
        CriticalMemoryUsage: Above 0.9 Ratio, for 5m, critical, platform
        DatabaseConnectionPoolSaturated: Above 0.9 Ratio, for 5m, critical, database
        DatabaseConnectionsHigh: Above 0.8 Ratio, for 10m, warning, database
        DeploymentRolloutStuck: Above 0 State, for 15m, critical, platform
        DiskSpaceLow: Below 0.15 Ratio, for 10m, warning, platform
        ErrorForwardingBehind: Above 0 Count, for 10m, warning, platform
        ErrorSpoolFilling: Above 0.5 Ratio, for 10m, warning, platform
        ErrorsDropped: Above 0 Count, for 0s, warning, platform
        EventBusPublishErrors: Above 0.1 PerSecond, for 5m, critical, api
        HighCPUUsage: Above 0.8 Ratio, for 10m, warning, platform
        HighErrorRate: Above 10 PerSecond, for 5m, critical, api
        HighErrorRatio: Above 0.05 Ratio, for 5m, critical, api
        HighLatency: Above 1 Seconds, for 10m, warning, api
        HighMemoryUsage: Above 0.85 Ratio, for 10m, warning, platform
        HighMongoDBConnections: Above 800 Count, for 10m, warning, database
        HighResponseTime: Above 2 Seconds, for 5m, warning, api
        HighSentryErrorCount: Above 50 Count, for 0s, warning, api
        HttpAvailabilityBurn1d: Above 3 Count, for 0s, warning, api
        HttpAvailabilityBurn1h: Above 14.4 Count, for 0s, critical, api
        HttpAvailabilityBurn3d: Above 1 Count, for 0s, warning, api
        HttpAvailabilityBurn6h: Above 6 Count, for 0s, critical, api
        HttpLatencyBurn1d: Above 3 Count, for 0s, warning, api
        HttpLatencyBurn1h: Above 14.4 Count, for 0s, critical, api
        HttpLatencyBurn3d: Above 1 Count, for 0s, warning, api
        HttpLatencyBurn6h: Above 6 Count, for 0s, critical, api
        LowAvailability: Below 0.99 Ratio, for 5m, critical, api
        LowPaymentSuccessRate: Below 0.9 Ratio, for 10m, critical, payments
        MongoDBConnectionIssues: Below 10 Count, for 5m, critical, database
        MongoDBDown: Equal 0 State, for 2m, critical, database
        NoOrdersReceived: Equal 0 Count, for 0s, warning, business
        PodCrashLooping: Above 0 State, for 5m, critical, platform
        PodDown: Above 0 State, for 5m, critical, platform
        PodRestartingOften: Above 3 Count, for 15m, warning, platform
        RedisDown: Equal 0 State, for 2m, critical, database
        SidecarDown: Equal 0 State, for 5m, critical, platform
        SlowApiResponses: Above 0.5 Seconds, for 15m, warning, api
        SlowOrderProcessing: Above 10 Seconds, for 10m, warning, api
        TicketGenerationFailures: Above 1 PerSecond, for 5m, critical, api
        TicketIssuanceBurn1d: Above 3 Count, for 0s, warning, payments
        TicketIssuanceBurn1h: Above 14.4 Count, for 0s, critical, payments
        TicketIssuanceBurn3d: Above 1 Count, for 0s, warning, payments
        TicketIssuanceBurn6h: Above 6 Count, for 0s, critical, payments
        Watchdog: Always 1 State, for 0s, warning, platform
        WebhookDeliveryFailures: Above 0.5 PerSecond, for 5m, warning, payments
        ");
    }
}
