//! `generate-dashboards`: writes or checks everything that is generated from the declared metrics.

use std::process::ExitCode;

use clap::Parser;
use futura_dashboards::generate::{self, GenerateArgs, command};

const HELP: &str = "\
What it writes:
  alert-rules/prometheus/*.yaml         alert rules, for rule_files in prometheus.yml
  alert-rules/prometheus/tests/*.yaml   their tests, for promtool test rules
  alert-rules/runbooks/*.md             a page for each alert, to publish at --runbooks-url
  alert-rules/alertmanager/             Alertmanager's configuration, which names the files of secrets, and its templates
  alert-rules/kubernetes/config-maps/   rules and configuration as ConfigMaps
  alert-rules/kubernetes/operator/      the same for the prometheus-operator: PrometheusRule, AlertmanagerConfig
  alert-rules/site.yaml                 every setting with its value, to copy from for --config
  dashboards/*.json                     dashboards, to import into Grafana or to be provisioned
  dashboards/provisioning/*.yaml        for Grafana's provisioning: the data source, and where the dashboards are
  dashboards/kubernetes/*.yaml          a ConfigMap for each dashboard, for the sidecar of Grafana's chart
  dashboards/v2/*.json                  instead of those three with --format v2: dashboards for Grafana's API and Git Sync

Examples:
  generate-dashboards
      write alert-rules/generated, dashboards/generated and futura-metrics/METRICS.md of this repository
  generate-dashboards --check
      fail if those are not up to date
  generate-dashboards --out ./monitoring --namespace staging
      write what an installation of yours needs
  generate-dashboards --out ./monitoring --config site.yaml
      the same with your thresholds, durations and addresses
  generate-dashboards --out ./monitoring --format v2
      the same with dashboards for Grafana's API, POST /apis/dashboard.grafana.app/v2/namespaces/default/dashboards, or for
      a repository that Git Sync reads
  generate-dashboards --out ./monitoring --namespace staging --check
      fail if that is not up to date, as in CI: with the options that it was written with

Exit codes:
  0 done, 1 failed or not up to date, 64 for a wrong command line or file of settings";

/// Generates alert rules, their tests, runbooks and dashboards from the declared metrics
///
/// Everything is rendered and checked before anything is written. Files that are no longer generated are removed;
/// files that carry no mark of this program are never touched.
#[derive(Debug, Parser)]
#[command(version, after_help = HELP)]
struct Cli {
    #[command(flatten)]
    generate: GenerateArgs,
}

fn main() -> ExitCode {
    command::run(|Cli { generate }| generate::run(&generate))
}
