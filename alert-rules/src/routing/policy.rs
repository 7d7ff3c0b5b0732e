//! Which alerts reach whom: the notification policy as data.
//!
//! It is made for a set of alerts: a team without alerts gets no route, so that whoever brings rules of their own gets a
//! configuration without what is not theirs.

use std::time::Duration;

use super::{
    ALERT_NAME, Channel, Inhibition, Interval, Matcher, Policy, Receiver, Route,
    config::{DISCORD, HEARTBEAT_URL, PAGERDUTY_KEY, RoutingConfig},
};
use crate::alert::{Alert, Severity, Team};

/// The alert that always fires: while it arrives, the way from Prometheus to Alertmanager is whole.
const WATCHDOG: &str = "Watchdog";

const DEFAULT: &str = "default";
const CRITICAL: &str = "critical";
const PAGER: &str = "pager";
const WARNINGS: &str = "warnings";
const SIDECAR: &str = "sidecar";
const HEARTBEAT: &str = "heartbeat";

const WORKING_HOURS: &str = "working-hours";

/// After which time a critical alert is told again.
const CRITICAL_REPEAT: Duration = hours(4);
/// After which time a warning is told again.
const WARNING_REPEAT: Duration = hours(12);
/// After which time the sidecar is told again, which knows repetitions by their ids and keeps none.
const SIDECAR_REPEAT: Duration = hours(24);
/// How often the heartbeat is sent on.
const HEARTBEAT_REPEAT: Duration = Duration::from_secs(5 * 60);

/// Who is told besides by the alert's team, and how often again; without a time, as often as by severity.
const TEAMS: &[(Team, &str, Option<Duration>)] = &[
    (Team::Business, "business", Some(hours(24))),
    (Team::Payments, "payments", Some(hours(2))),
    (Team::Database, "database-team", None),
    (Team::Api, "api-team", None),
];

/// Services that are many things: what fails in one pod, on one node or in one check says nothing of the next.
const SHARED_SERVICES: &[&str] = &["kubernetes", "node", "checks"];

/// Faults and the alerts that follow from them, where both are about the same of these labels.
const CONSEQUENCES: &[(&[&str], &[&str], &[&str])] = &[
    (
        &["PodDown", "PodCrashLooping", "CriticalMemoryUsage"],
        &["HighCPUUsage", "HighMemoryUsage", "PodRestartingOften"],
        &["cluster", "namespace", "pod"],
    ),
    (&["MongoDBDown"], &["MongoDBConnectionIssues", "HighMongoDBConnections"], &["cluster"]),
];

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// The policy for these alerts.
///
/// ```
/// use futura_alert_rules::{Site, routing, rules};
/// let site = Site::default();
/// let alerts: Vec<_> = rules::alerts(&site).collect();
/// let policy = routing::policy(&alerts.iter().collect::<Vec<_>>(), &site.routing);
/// let redis_down = alerts.iter().find(|alert| alert.name == "RedisDown").unwrap();
/// assert!(policy.reached(redis_down).contains("database-team"));
/// ```
pub fn policy(alerts: &[&Alert], config: &RoutingConfig) -> Policy {
    let routes = routes(alerts, config);
    let mut receivers = receivers(config);
    receivers.retain(|receiver| receiver.name == DEFAULT || routes.iter().any(|route| route.receiver == receiver.name));
    let mut intervals = vec![Interval { name: WORKING_HOURS, hours: config.working_hours.clone() }];
    intervals.retain(|interval| routes.iter().any(|route| route.during == Some(interval.name)));
    Policy {
        group_by: &[ALERT_NAME, "cluster", "service"],
        default: DEFAULT,
        routes,
        receivers,
        inhibitions: inhibitions(alerts),
        intervals,
    }
}

fn receivers(config: &RoutingConfig) -> Vec<Receiver> {
    let slack = |channel, secret| Channel::Slack { channel, secret };
    let email = |to: fn(&super::config::EmailConfig) -> &String| {
        config.email.as_ref().map(|email| Channel::Email { to: to(email).clone() })
    };
    let mut critical = vec![slack("#alerts-critical", "slack-critical")];
    critical.extend(email(|email| &email.on_call));
    critical.extend(config.discord.then_some(Channel::Discord { secret: DISCORD }));
    let mut database = vec![slack("#database-alerts", "slack-database")];
    database.extend(email(|email| &email.database_team));
    let sidecar = config.sidecar_url.iter().map(|url| Channel::Sidecar { url: url.clone() });
    let heartbeat = config.heartbeat.then_some(Channel::Heartbeat { secret: HEARTBEAT_URL });
    let receiver = |name, channels| Receiver { name, channels };
    vec![
        receiver(DEFAULT, vec![slack("#alerts-warnings", "slack-warnings")]),
        receiver(HEARTBEAT, heartbeat.into_iter().collect()),
        receiver(CRITICAL, critical),
        receiver(PAGER, vec![Channel::PagerDuty { secret: PAGERDUTY_KEY }]),
        receiver(WARNINGS, vec![slack("#alerts-warnings", "slack-warnings")]),
        receiver("business", vec![slack("#business-alerts", "slack-business")]),
        receiver("payments", vec![slack("#payments-alerts", "slack-payments")]),
        receiver("database-team", database),
        receiver("api-team", vec![slack("#api-alerts", "slack-api")]),
        receiver(SIDECAR, sidecar.collect()),
    ]
}

fn watches(alerts: &[&Alert]) -> bool {
    alerts.iter().any(|alert| alert.name == WATCHDOG)
}

fn routes(alerts: &[&Alert], config: &RoutingConfig) -> Vec<Route> {
    let mut routes = Vec::new();
    if watches(alerts) {
        let heartbeat = Route::new(HEARTBEAT, vec![Matcher::alert(&[WATCHDOG])], HEARTBEAT_REPEAT);
        routes.push(Route { goes_on: false, ..heartbeat });
    }
    let alerts = || alerts.iter().filter(|alert| alert.name != WATCHDOG);
    let severities = [Severity::Critical, Severity::Warning];
    let severities = severities.into_iter().filter(|severity| alerts().any(|alert| alert.severity == *severity));
    let severities: Vec<_> = severities.collect();
    for &severity in &severities {
        let matchers = vec![Matcher::severity(&[severity])];
        let (receivers, repeat): (&[&str], _) = match severity {
            Severity::Critical => (&[CRITICAL, PAGER], CRITICAL_REPEAT),
            _ => (&[WARNINGS], WARNING_REPEAT),
        };
        routes.extend(receivers.iter().map(|receiver| Route::timed(receiver, severity, matchers.clone(), repeat)));
    }
    for &(team, receiver, team_repeat) in TEAMS {
        for &severity in &severities {
            if alerts().any(|alert| (alert.team, alert.severity) == (team, severity)) {
                let own = if severity == Severity::Critical { CRITICAL_REPEAT } else { WARNING_REPEAT };
                let matchers = vec![Matcher::team(team), Matcher::severity(&[severity])];
                routes.push(Route::timed(receiver, severity, matchers, team_repeat.unwrap_or(own)));
            }
        }
    }
    // Others' alerts, of other severities, are left to the default receiver.
    if config.sidecar_url.is_some() && !severities.is_empty() {
        routes.push(Route::new(SIDECAR, vec![Matcher::severity(&severities)], SIDECAR_REPEAT));
    }
    routes
}

fn inhibitions(alerts: &[&Alert]) -> Vec<Inhibition> {
    let mut inhibitions = Vec::new();
    let by_severity = |severity| vec![Matcher::severity(&[severity]), Matcher::other_service(SHARED_SERVICES)];
    let (cause, mut consequence) = (by_severity(Severity::Critical), by_severity(Severity::Warning));
    if watches(alerts) {
        // A heartbeat that is muted raises a false alarm elsewhere.
        consequence.push(Matcher::other_alert(&[WATCHDOG]));
    }
    let occurs =
        |matchers: &[Matcher]| alerts.iter().any(|alert| matchers.iter().all(|matcher| matcher.can_match(alert)));
    if occurs(&cause) && occurs(&consequence) {
        inhibitions.push(Inhibition { cause, consequence, equal: &["cluster", "service"] });
    }
    let declared = |names: &[&'static str]| {
        let names = names.iter().copied().filter(|name| alerts.iter().any(|alert| alert.name == *name));
        names.collect::<Vec<_>>()
    };
    for &(causes, consequences, equal) in CONSEQUENCES {
        let (causes, consequences) = (declared(causes), declared(consequences));
        if !causes.is_empty() && !consequences.is_empty() {
            let (cause, consequence) = (vec![Matcher::alert(&causes)], vec![Matcher::alert(&consequences)]);
            inhibitions.push(Inhibition { cause, consequence, equal });
        }
    }
    inhibitions
}

// === impl Route ===

impl Route {
    fn new(receiver: &'static str, matchers: Vec<Matcher>, repeat: Duration) -> Self {
        Self { receiver, matchers, repeat, during: None, goes_on: true }
    }

    /// A page goes out at any hour, everything else while people work.
    fn timed(receiver: &'static str, severity: Severity, matchers: Vec<Matcher>, repeat: Duration) -> Self {
        let during = (severity != Severity::Critical).then_some(WORKING_HOURS);
        Self { during, ..Self::new(receiver, matchers, repeat) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futura_metrics::specs::external::REDIS_UP;
    use insta::assert_snapshot;

    use super::policy;
    use crate::{
        alert::{Alert, Definition, Severity, Team},
        promql::{all, duration_text, gauge},
        routing::{Channel, Matcher, Policy, RoutingConfig, lint},
        rules::alerts,
        runbook::Runbook,
        site::Site,
        template::template,
    };

    fn text(matchers: &[Matcher]) -> String {
        matchers.iter().map(Matcher::to_string).collect::<Vec<_>>().join(",")
    }

    fn policy_text(policy: &Policy) -> String {
        let routes = policy.routes.iter().map(|route| {
            let (matchers, receiver, repeat) = (text(&route.matchers), route.receiver, duration_text(route.repeat));
            let during = route.during.map(|during| format!(", in {during}")).unwrap_or_default();
            let end = if route.goes_on { "" } else { ", the end" };
            format!("{matchers} -> {receiver}, again after {repeat}{during}{end}\n")
        });
        let inhibitions = policy.inhibitions.iter().map(|inhibition| {
            let (cause, consequence) = (text(&inhibition.cause), text(&inhibition.consequence));
            format!("{cause} mutes {consequence}, of the same {}\n", inhibition.equal.join(", "))
        });
        routes.chain(inhibitions).collect()
    }

    fn ours() -> Vec<Alert> {
        alerts(&Site::default()).collect()
    }

    #[test]
    fn routes_and_inhibitions_are_what_people_depend_on() {
        let alerts = ours();
        let policy = policy(&alerts.iter().collect::<Vec<_>>(), &RoutingConfig::default());
        assert_snapshot!(policy_text(&policy), @r#"
        alertname="Watchdog" -> heartbeat, again after 5m, the end
        severity="critical" -> critical, again after 4h
        severity="critical" -> pager, again after 4h
        severity="warning" -> warnings, again after 12h, in working-hours
        team="business",severity="warning" -> business, again after 1d, in working-hours
        team="payments",severity="critical" -> payments, again after 2h
        team="payments",severity="warning" -> payments, again after 2h, in working-hours
        team="database",severity="critical" -> database-team, again after 4h
        team="database",severity="warning" -> database-team, again after 12h, in working-hours
        team="api",severity="critical" -> api-team, again after 4h
        team="api",severity="warning" -> api-team, again after 12h, in working-hours
        severity=~"critical|warning" -> sidecar, again after 1d
        severity="critical",service!~"kubernetes|node|checks" mutes severity="warning",service!~"kubernetes|node|checks",alertname!="Watchdog", of the same cluster, service
        alertname=~"PodDown|PodCrashLooping|CriticalMemoryUsage" mutes alertname=~"HighCPUUsage|HighMemoryUsage|PodRestartingOften", of the same cluster, namespace, pod
        alertname="MongoDBDown" mutes alertname=~"MongoDBConnectionIssues|HighMongoDBConnections", of the same cluster
        "#);
    }

    #[test]
    fn a_team_without_alerts_gets_no_route_and_no_receiver() {
        let alerts = ours();
        let payments: Vec<_> = alerts.iter().filter(|alert| alert.name == "WebhookDeliveryFailures").collect();
        let config = RoutingConfig { sidecar_url: None, ..RoutingConfig::default() };
        let policy = policy(&payments, &config);
        assert_snapshot!(policy_text(&policy), @r#"
        severity="warning" -> warnings, again after 12h, in working-hours
        team="payments",severity="warning" -> payments, again after 2h, in working-hours
        "#);
        let receivers: Vec<_> = policy.receivers.iter().map(|receiver| receiver.name).collect();
        assert_eq!(receivers, ["default", "warnings", "payments"]);
    }

    fn watchdog() -> Alert {
        let definition = Definition {
            name: "Watchdog",
            severity: Severity::Warning,
            team: Team::Platform,
            service: Some("redis"),
            condition: gauge(REDIS_UP).value().max(all()).absent(),
            lasts: Duration::ZERO,
            panel: None,
            summary: template(("It fires",)),
            description: template(("It fires",)),
            examples: Vec::new(),
            runbook: Runbook { symptom: "", meaning: "", investigation: Vec::new(), resolution: &[], related: &[] },
        };
        definition.into()
    }

    #[test]
    fn the_alert_that_always_fires_goes_its_own_way_and_nothing_mutes_it() {
        let (ours, watchdog) = (ours(), watchdog());
        let alerts: Vec<_> = ours.iter().filter(|alert| alert.name != watchdog.name).chain([&watchdog]).collect();
        let policy = policy(&alerts, &RoutingConfig::default());
        assert_eq!(policy.reached(&watchdog), ["heartbeat"].into());
        let mutes = |matchers: &[Matcher]| matchers.iter().all(|matcher| matcher.can_match(&watchdog));
        assert!(!policy.inhibitions.iter().any(|inhibition| mutes(&inhibition.consequence)));
        assert_eq!(lint::check(&policy, &alerts), []);
    }

    #[test]
    fn channels_that_are_not_wanted_are_left_out() {
        let alerts = ours();
        let config = RoutingConfig { email: None, discord: false, ..RoutingConfig::default() };
        let policy = policy(&alerts.iter().collect::<Vec<_>>(), &config);
        let mut channels = policy.receivers.iter().flat_map(|receiver| &receiver.channels);
        assert!(!channels.any(|channel| matches!(channel, Channel::Email { .. } | Channel::Discord { .. })));
    }
}
