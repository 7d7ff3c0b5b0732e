//! What differs from one installation to the next: where things run, under which addresses people reach them, and from
//! where alerts count.

use std::{collections::BTreeMap, time::Duration};

pub use self::config::SiteError;
pub(crate) use self::page::page;
use crate::{
    panel::{Panel, overview},
    profile::Profile,
    routing::RoutingConfig,
};

mod config;
mod page;

/// One installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// The Kubernetes namespace that is watched.
    pub namespace: String,
    /// Where the runbooks are published, without a slash at the end.
    pub runbooks_url: String,
    /// Where Grafana is, without a slash at the end.
    pub grafana_url: String,
    /// Which versions of Prometheus and Alertmanager run there.
    pub profile: Profile,
    /// How people are told of alerts.
    pub routing: RoutingConfig,
    /// The scrape job of the sidecars.
    pub sidecar_job: String,
    /// The longest interval between two scrapes of a target; a window must hold four.
    pub scrape_interval: Duration,
    /// Thresholds that are not as the alerts state them, by alert.
    pub thresholds: BTreeMap<String, f64>,
    /// How long a fault must last where that is not as the alerts state it, by alert.
    pub durations: BTreeMap<String, Duration>,
}

// === impl Site ===

impl Site {
    /// The namespace unless told otherwise.
    pub const NAMESPACE: &str = "futuratickets";
    /// Where the runbooks are unless told otherwise.
    pub const RUNBOOKS_URL: &str = "https://runbooks.futuratickets.com";
    /// Where Grafana is unless told otherwise.
    pub const GRAFANA_URL: &str = "https://grafana.futuratickets.com";
    /// The sidecars' scrape job unless told otherwise.
    pub const SIDECAR_JOB: &str = "futura-sidecar";
    /// How often targets are scraped unless told otherwise: what Prometheus does by itself.
    pub const SCRAPE_INTERVAL: Duration = Duration::from_secs(60);

    /// Reads a file of settings; what it leaves out stays as it is by default.
    ///
    /// ```
    /// use futura_alert_rules::Site;
    /// let site = Site::from_yaml("namespace: staging\nthresholds: { HighErrorRate: 25 }\n").unwrap();
    /// assert_eq!(site.thresholds["HighErrorRate"], 25.0);
    /// let error = Site::from_yaml("thresholds: { HighErorRate: 25 }").unwrap_err();
    /// assert!(error.to_string().ends_with("did you mean `HighErrorRate`?"));
    /// ```
    pub fn from_yaml(text: &str) -> Result<Self, SiteError> {
        let site = Self::from_yaml_of_others(text)?;
        site.check()?;
        Ok(site)
    }

    /// The same for a program that declares alerts of its own; those that the file names are looked for when its files are made.
    pub fn from_yaml_of_others(text: &str) -> Result<Self, SiteError> {
        config::read(text)
    }

    /// The address of an alert's runbook.
    pub fn runbook_url(&self, alert: &str) -> String {
        format!("{}/{alert}", self.runbooks_url)
    }

    /// The address of a panel opened on its dashboard, or else of the overview.
    pub fn dashboard_url(&self, panel: Option<Panel>) -> String {
        match panel {
            Some(panel) => format!("{}/d/{}?viewPanel={}", self.grafana_url, panel.dashboard, panel.id),
            None => format!("{}/d/{}", self.grafana_url, overview::UID),
        }
    }

    /// The name of a namespace, or what is wrong with it.
    pub fn parse_namespace(text: &str) -> Result<String, String> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = [text.bytes().next(), text.bytes().last()];
        let valid = text.len() <= 63
            && text.bytes().all(|byte| inner(byte) || byte == b'-')
            && ends.iter().all(|end| end.is_some_and(inner));
        if valid { Ok(text.to_owned()) } else { Err("a namespace is lower case letters, digits and `-`".to_owned()) }
    }

    /// An address without a slash at its end, or what is wrong with it.
    pub fn parse_url(text: &str) -> Result<String, String> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_web = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
        // What is added to it goes into the path.
        let is_plain =
            text.chars().all(|character| character.is_ascii_graphic() && !r##"<>"{}|\^`?#"##.contains(character));
        if is_web && is_plain {
            Ok(text.trim_end_matches('/').to_owned())
        } else {
            Err("an address is https:// or http://, a host and a path, without spaces, quotes, braces, `?` and `#`"
                .to_owned())
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self {
            namespace: Self::NAMESPACE.to_owned(),
            runbooks_url: Self::RUNBOOKS_URL.to_owned(),
            grafana_url: Self::GRAFANA_URL.to_owned(),
            profile: Profile::default(),
            routing: RoutingConfig::default(),
            sidecar_job: Self::SIDECAR_JOB.to_owned(),
            scrape_interval: Self::SCRAPE_INTERVAL,
            thresholds: BTreeMap::new(),
            durations: BTreeMap::new(),
        }
    }
}
