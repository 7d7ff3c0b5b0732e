//! What brings the dashboards to Grafana: its provisioning files, and a `ConfigMap` for each dashboard.

use std::fmt;

use futura_alert_rules::{
    GeneratedFile, Site,
    kubernetes::{ConfigMap, KubernetesError},
};
use serde::Serialize;

/// The folder in Grafana, and what its parts are named after.
const FOLDER: &str = "FuturaTickets";
const FOLDER_UID: &str = "futuratickets";

/// What Grafana is told besides the dashboards.
#[derive(Clone, Debug, clap::Args)]
pub struct ProvisioningArgs {
    /// Where Grafana finds Prometheus, for the data source that is provisioned
    #[arg(long, value_name = "URL", default_value = "http://prometheus:9090", value_parser = Site::parse_url)]
    pub prometheus_url: String,
    /// Folder on Grafana's machine that the dashboards' files lie in
    #[arg(long, value_name = "DIR", default_value = "/var/lib/grafana/dashboards")]
    pub dashboards_path: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Datasources<'a> {
    api_version: u8,
    datasources: [Datasource<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Datasource<'a> {
    name: &'a str,
    uid: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    access: &'a str,
    url: &'a str,
    is_default: bool,
    editable: bool,
    json_data: DatasourceOptions<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DatasourceOptions<'a> {
    http_method: &'a str,
    prometheus_type: &'a str,
    time_interval: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Providers<'a> {
    api_version: u8,
    providers: [Provider<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Provider<'a> {
    name: &'a str,
    org_id: u8,
    folder: &'a str,
    folder_uid: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    disable_deletion: bool,
    update_interval_seconds: u32,
    allow_ui_updates: bool,
    options: ProviderOptions<'a>,
}

#[derive(Serialize)]
struct ProviderOptions<'a> {
    path: &'a str,
}

/// The files besides those of the dashboards.
pub fn files(
    dashboards: &[GeneratedFile],
    site: &Site,
    args: &ProvisioningArgs,
) -> Result<Vec<GeneratedFile>, KubernetesError> {
    let mut files = vec![
        GeneratedFile::yaml("provisioning/datasource.yaml", &datasources(site, args))?,
        GeneratedFile::yaml("provisioning/dashboards.yaml", &providers(args))?,
    ];
    for GeneratedFile { path, contents } in dashboards {
        let name = path.strip_suffix(".json").unwrap_or(path);
        files.push(GeneratedFile::yaml(format!("kubernetes/{name}.yaml"), &config_map(name, path, contents)?)?);
    }
    Ok(files)
}

fn datasources<'a>(site: &Site, args: &'a ProvisioningArgs) -> Datasources<'a> {
    Datasources {
        api_version: 1,
        datasources: [Datasource {
            name: "Prometheus",
            uid: "prometheus",
            kind: "prometheus",
            access: "proxy",
            url: &args.prometheus_url,
            is_default: true,
            editable: false,
            json_data: DatasourceOptions {
                // Long queries do not fit into an address.
                http_method: "POST",
                prometheus_type: "Prometheus",
                // Grafana takes rates over four times as long at least; with another than Prometheus has, lines have gaps.
                time_interval: format!("{}s", site.scrape_interval.as_secs()),
            },
        }],
    }
}

fn providers(args: &ProvisioningArgs) -> Providers<'_> {
    Providers {
        api_version: 1,
        providers: [Provider {
            name: FOLDER_UID,
            org_id: 1,
            folder: FOLDER,
            folder_uid: FOLDER_UID,
            kind: "file",
            disable_deletion: false,
            update_interval_seconds: 30,
            allow_ui_updates: false,
            options: ProviderOptions { path: &args.dashboards_path },
        }],
    }
}

/// What the sidecar of Grafana's chart finds by the label, and puts into the folder that the annotation names.
///
/// One for each dashboard, as an object may have a mebibyte and `kubectl apply` keeps a copy of it in an annotation.
fn config_map<'a>(name: &str, path: &'a str, contents: &'a str) -> Result<ConfigMap<'a>, KubernetesError> {
    let map = ConfigMap::new(&format!("dashboard-{name}"), path, contents)?.labeled("grafana_dashboard", "1");
    // The sidecar's own name for it, and the one that the charts give it.
    Ok(map.annotated("grafana_folder", FOLDER).annotated("k8s-sidecar-target-directory", FOLDER))
}

// === impl ProvisioningArgs ===

impl fmt::Display for ProvisioningArgs {
    /// The options as on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prometheus_url, dashboards_path } = self;
        write!(f, "--prometheus-url {prometheus_url} ")?;
        write!(f, "--dashboards-path {dashboards_path}")
    }
}
