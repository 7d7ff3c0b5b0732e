//! What to do about an alert, as a Markdown page.
//!
//! The texts may say `{namespace}`; the page names the site's. Queries are expressions, so they exist and parse.

use std::fmt::{self, Write as _};

use crate::{
    alert::Alert,
    output::MARK,
    promql::{Vector, duration_text},
    site::Site,
    template::value_text,
};

/// What to do about an alert.
#[derive(Clone, Debug, Default)]
pub struct Runbook {
    /// What one sees.
    pub symptom: &'static str,
    /// What it means for those who use the system and for the system.
    pub meaning: &'static str,
    /// How to find the cause, most likely first.
    pub investigation: Vec<Step>,
    /// How to end it, least invasive first.
    pub resolution: &'static [&'static str],
    /// Alerts that tend to fire with it or explain it.
    pub related: &'static [&'static str],
}

/// One step of an investigation.
#[derive(Clone, Debug)]
pub struct Step {
    purpose: &'static str,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Run(&'static str),
    Ask(String),
    Open(&'static str),
}

/// A step that runs a command.
pub fn run(purpose: &'static str, command: &'static str) -> Step {
    Step { purpose, how: How::Run(command) }
}

/// A step that asks Prometheus.
#[expect(clippy::needless_pass_by_value, reason = "a query is written in place and used once")]
pub fn ask<L>(purpose: &'static str, query: Vector<L>) -> Step {
    Step { purpose, how: How::Ask(query.to_string()) }
}

/// A step that opens a page.
pub fn open(purpose: &'static str, url: &'static str) -> Step {
    Step { purpose, how: How::Open(url) }
}

// === impl Runbook ===

impl Runbook {
    /// The expressions that the investigation asks.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.investigation.iter().filter_map(|step| match &step.how {
            How::Ask(query) => Some(query.as_str()),
            How::Run(_) | How::Open(_) => None,
        })
    }
}

/// The page for an alert.
pub(crate) fn page(alert: &Alert, site: &Site) -> String {
    let runbook = &alert.runbook;
    let mut page = format!("<!-- {MARK} -->\n# {}\n\n", alert.name);
    let fires = if alert.lasts.is_zero() { String::new() } else { format!(" for {}", duration_text(alert.lasts)) };
    let (severity, team) = (alert.severity.as_str(), alert.team.as_str());
    write_all(&mut page, format_args!("- Severity: {severity}\n- Team: {team}\n- Fires when this holds{fires}:\n\n"));
    write_all(&mut page, format_args!("  ```promql\n  {}\n  ```\n\n", alert.expression));
    if alert.threshold.value != alert.stated_threshold {
        let quantity = alert.threshold.quantity;
        let [here, stated] = [alert.threshold.value, alert.stated_threshold].map(|value| value_text(quantity, value));
        write_all(&mut page, format_args!("- The threshold is set to {here} here; the text speaks of {stated}.\n\n"));
    }
    write_all(&mut page, format_args!("## Symptom\n\n{}\n\n", runbook.symptom));
    write_all(&mut page, format_args!("## What it means\n\n{}\n\n## Investigation\n\n", runbook.meaning));
    for (index, step) in runbook.investigation.iter().enumerate() {
        let (number, purpose) = (index + 1, step.purpose);
        match &step.how {
            How::Run(command) => {
                let command = command.replace('\n', "\n   ");
                write_all(&mut page, format_args!("{number}. {purpose}:\n\n   ```bash\n   {command}\n   ```\n\n"));
            }
            How::Ask(query) => {
                write_all(&mut page, format_args!("{number}. {purpose}:\n\n   ```promql\n   {query}\n   ```\n\n"));
            }
            How::Open(url) => write_all(&mut page, format_args!("{number}. {purpose}: <{url}>\n\n")),
        }
    }
    page.push_str("## Resolution\n\n");
    for (index, way) in runbook.resolution.iter().enumerate() {
        write_all(&mut page, format_args!("{}. {way}\n", index + 1));
    }
    let (title, url) = (alert.panel.map_or("Overview", |panel| panel.title), site.dashboard_url(alert.panel));
    write_all(&mut page, format_args!("\n## Related\n\n- Dashboard: [{title}]({url})\n"));
    for related in runbook.related {
        write_all(&mut page, format_args!("- Alert: [{related}]({related}.md)\n"));
    }
    page.replace("{namespace}", &site.namespace)
}

/// The page that lists all others, most urgent first.
pub(crate) fn index(alerts: &[&Alert]) -> String {
    let mut alerts = alerts.to_vec();
    alerts.sort_unstable_by_key(|alert| (alert.severity, alert.name));
    let mut page = format!("<!-- {MARK} -->\n# Runbooks\n\n| Alert | Severity | Team | Symptom |\n|---|---|---|---|\n");
    for alert in alerts {
        let (name, severity, team) = (alert.name, alert.severity.as_str(), alert.team.as_str());
        let symptom = alert.runbook.symptom;
        write_all(&mut page, format_args!("| [{name}]({name}.md) | {severity} | {team} | {symptom} |\n"));
    }
    page
}

fn write_all(page: &mut String, text: fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing to a string does not fail");
}
