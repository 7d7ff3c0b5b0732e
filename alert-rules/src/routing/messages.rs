//! What messages say. The texts are templates in a file of their own, which the configuration names.

/// The file of the templates.
pub(super) const FILE: &str = "futura.tmpl";
/// What stands in it.
pub(super) const TEMPLATES: &str = include_str!("futura.tmpl");

pub(super) const TITLE: &str = r#"{{ template "futura.title" . }}"#;
pub(super) const COLOR: &str = r#"{{ template "futura.color" . }}"#;
/// The text as Slack marks it up.
pub(super) const SLACK_TEXT: &str = r#"{{ template "futura.slack.text" . }}"#;
/// The text and the links, unmarked.
pub(super) const PLAIN_TEXT: &str = r#"{{ template "futura.text" . }}{{ template "futura.links" . }}"#;
pub(super) const EMAIL_HTML: &str = r#"{{ template "futura.email.html" . }}"#;

pub(super) const RUNBOOK_URL: &str = "{{ .CommonAnnotations.runbook_url }}";
pub(super) const DASHBOARD_URL: &str = "{{ .CommonAnnotations.dashboard_url }}";
pub(super) const SILENCE_URL: &str = r#"{{ template "futura.silence.url" . }}"#;
pub(super) const ALERTMANAGER_URL: &str = "{{ .ExternalURL }}";

pub(super) const SEVERITY: &str = "{{ .CommonLabels.severity }}";
pub(super) const ALERT: &str = "{{ .CommonLabels.alertname }}";
pub(super) const SERVICE: &str = "{{ .CommonLabels.service }}";
pub(super) const TEAM: &str = "{{ .CommonLabels.team }}";

/// How many alerts one message to the sidecar may hold: what it takes at once has a limit in bytes.
pub(super) const SIDECAR_MAX_ALERTS: u32 = 100;

/// The links below a message: their names and addresses.
pub(super) const LINKS: [(&str, &str); 3] =
    [("Runbook", RUNBOOK_URL), ("Dashboard", DASHBOARD_URL), ("Silence", SILENCE_URL)];
