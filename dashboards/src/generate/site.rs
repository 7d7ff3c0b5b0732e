//! The options of every command that has to know an installation.

use std::{fs, path::PathBuf};

use futura_alert_rules::{Profile, Site, routing::RoutingConfigError, site::SiteError};

use super::GenerateError;

/// Which installation: a file of settings, and options that come before it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SiteArgs {
    /// Take the settings from FILE: thresholds and durations of alerts, who is told of the platform's and when, and what the options
    /// below say, which come before the file. `site.yaml` beside the platform's rules shows all that there are
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Kubernetes namespace whose pods and containers are watched [default: `futuratickets`]. The service's own metrics are queried
    /// without it, as only some scrape configurations give them that label: keep one Prometheus for each environment
    #[arg(long, value_name = "NAME", value_parser = Site::parse_namespace)]
    pub namespace: Option<String>,
    /// Where the runbooks are published: each alert links to `URL/ALERT` [default: `https://runbooks.futuratickets.com`]
    #[arg(long, value_name = "URL", value_parser = Site::parse_url)]
    pub runbooks_url: Option<String>,
    /// Where Grafana is: each alert links to the panel of its dashboard there [default: `https://grafana.futuratickets.com`]
    #[arg(long, value_name = "URL", value_parser = Site::parse_url)]
    pub grafana_url: Option<String>,
    /// Which versions the files are for: prometheus-2.42 (with Alertmanager 0.25) or prometheus-3 (with Alertmanager 0.27), and later
    /// ones. Rules and dashboards are the same; Alertmanager learned to read more secrets from files [default: prometheus-2.42]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<Profile>,
}

// === impl SiteArgs ===

impl SiteArgs {
    /// The installation that they describe, or what is wrong with the file.
    pub fn site(&self) -> Result<Site, GenerateError> {
        self.read(Site::from_yaml)
    }

    /// The same for a program that declares alerts of its own.
    pub(super) fn site_of_others(&self) -> Result<Site, GenerateError> {
        self.read(Site::from_yaml_of_others)
    }

    fn read(&self, parse: fn(&str) -> Result<Site, SiteError>) -> Result<Site, GenerateError> {
        let mut site = match &self.config {
            Some(path) => {
                let read = |source| GenerateError::Read { path: path.clone(), source };
                let text = fs::read_to_string(path).map_err(read)?;
                parse(&text).map_err(|source| GenerateError::Config { path: path.clone(), source })?
            }
            None => Site::default(),
        };
        let options = [
            (&self.namespace, &mut site.namespace),
            (&self.runbooks_url, &mut site.runbooks_url),
            (&self.grafana_url, &mut site.grafana_url),
        ];
        for (option, setting) in options {
            if let Some(value) = option {
                setting.clone_from(value);
            }
        }
        site.profile = self.profile.unwrap_or(site.profile);
        if let Some(path) = &self.config {
            // Only now the profile is known, by which some of it can be done or not.
            let refused =
                |source: RoutingConfigError| GenerateError::Config { path: path.clone(), source: source.into() };
            site.routing.check(site.profile).map_err(refused)?;
        }
        Ok(site)
    }

    /// The options in force, defaults included, as on a command line.
    pub(super) fn options(&self, site: &Site) -> String {
        let config = self.config.as_ref().map(|path| format!("--config {} ", path.display())).unwrap_or_default();
        let Site { namespace, runbooks_url, grafana_url, profile, .. } = site;
        format!(
            "{config}--namespace {namespace} --runbooks-url {runbooks_url} --grafana-url {grafana_url} --profile {profile}"
        )
    }
}
