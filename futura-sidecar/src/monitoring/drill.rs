//! Sends an alert through Alertmanager as Prometheus would, sees the notification arrive, resolves it and sees that arrive.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use futura_alert_rules::{Alert, Site};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use url::Url;

use super::{
    api::{Api, ApiConfig, ApiError},
    receiver::{Message, MessageStatus},
};

/// Stands before the summary, so that whoever is woken knows.
const MARK: &str = "DRILL:";

/// How long an alert lasts beyond all waiting if nothing resolves it, as after a kill.
const SLACK: Duration = Duration::from_secs(60);

/// How often Alertmanager is asked for the alert that it just took, and how long apart.
const LOOKS: usize = 10;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How a drill is done.
#[derive(Clone, Debug)]
pub struct DrillConfig {
    /// The installation, whose links the annotations have.
    pub site: Site,
    /// How long each notification may take.
    pub wait: Duration,
    /// The labels that Prometheus adds to every alert it sends, `external_labels`.
    pub labels: BTreeMap<String, String>,
    /// Where Prometheus is, as messages link to it.
    pub prometheus: Url,
}

/// Who tells that a notification came.
#[derive(Debug)]
pub enum Witness {
    /// A receiver of ours.
    Receiver(mpsc::Receiver<Message>),
    /// A person, who is asked.
    Operator(mpsc::Receiver<Word>),
}

/// What a person says of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It came.
    Came,
    /// It did not.
    Missing,
}

/// An Alertmanager that is reached, and who watches what it sends.
pub struct Drill {
    api: Api,
    config: DrillConfig,
    witness: Witness,
    /// Whether an alert of ours may fire there.
    fires: bool,
}

/// An alert as it is sent for a drill.
#[derive(Clone, Debug)]
pub struct DrilledAlert {
    name: &'static str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    generator: String,
    starts: OffsetDateTime,
}

/// What came of a drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drilled {
    /// The alert's name.
    pub alert: &'static str,
    /// Where Alertmanager routes it to.
    pub receivers: Vec<String>,
    /// What kept it from being notified, a silence or another alert.
    pub suppressed: Option<String>,
    /// How long the notification took.
    pub fired: Option<Duration>,
    /// How long that of its end took.
    pub resolved: Option<Duration>,
    /// The links that the message does not have, where a receiver of ours saw it.
    pub missing_links: Vec<&'static str>,
}

/// Why a drill could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// Alertmanager cannot be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// To drill it would end the real one.
    #[error("alert `{0}` fires with these very labels already: a drill would resolve it, so wait for its end")]
    Fires(&'static str),
    /// There is nothing to send.
    #[error("alert `{0}` has no example under which it fires")]
    NoExample(&'static str),
    /// Nobody tells any longer what comes.
    #[error("standard input ended, and with it the operator's word: point a receiver at --receiver-listen instead")]
    NoWitness,
}

/// What Alertmanager is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<&'static str, String>,
    #[serde(rename = "generatorURL")]
    generator: &'a str,
    starts_at: String,
    ends_at: String,
}

/// What Alertmanager says of an alert.
#[derive(Deserialize)]
struct Known {
    labels: BTreeMap<String, String>,
    status: KnownStatus,
    receivers: Vec<KnownReceiver>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KnownStatus {
    silenced_by: Vec<String>,
    inhibited_by: Vec<String>,
}

#[derive(Deserialize)]
struct KnownReceiver {
    name: String,
}

// === impl Drill ===

impl Drill {
    /// Makes sure that there is an Alertmanager.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn begin(api: ApiConfig, config: DrillConfig, witness: Witness) -> Result<Self, DrillError> {
        let api = Api::new(api)?;
        api.get::<serde_json::Map<_, _>>("api/v2/status", &[]).await?;
        Ok(Self { api, config, witness, fires: false })
    }

    /// The alert as it is to be sent: as in its first example, its summary marked.
    ///
    /// # Errors
    /// When no example has it fire.
    pub fn alert(&self, alert: &Alert) -> Result<DrilledAlert, DrillError> {
        let instance = alert.example(&self.config.site).ok_or(DrillError::NoExample(alert.name))?;
        let mut labels = self.config.labels.clone();
        labels.extend(instance.labels.into_iter().map(|(name, value)| (name.to_owned(), value)));
        labels.insert("alertname".to_owned(), alert.name.to_owned());
        let mut annotations = instance.annotations;
        annotations.entry("summary").and_modify(|summary| *summary = format!("{MARK} {summary}"));
        let mut generator = self.config.prometheus.clone();
        if let Ok(mut segments) = generator.path_segments_mut() {
            segments.pop_if_empty().push("graph");
        }
        generator.query_pairs_mut().extend_pairs([("g0.expr", alert.expression.as_str()), ("g0.tab", "1")]);
        let (name, generator) = (alert.name, generator.to_string());
        Ok(DrilledAlert { name, labels, annotations, generator, starts: OffsetDateTime::now_utc() })
    }

    /// Has it fire and end; `tell` is told what happens and what a person is to answer.
    ///
    /// Whoever drops this before its end has to [`give_up`](Self::give_up) the alert.
    ///
    /// # Errors
    /// When Alertmanager cannot be asked, when the alert fires for real, or when nobody answers.
    pub async fn run(&mut self, alert: &DrilledAlert, tell: impl Fn(&str)) -> Result<Drilled, DrillError> {
        let name = alert.name;
        if self.find(alert).await?.is_some() {
            return Err(DrillError::Fires(name));
        }
        let mut drilled = Drilled::new(name);
        let sent = Instant::now();
        self.fires = true;
        self.post(alert, OffsetDateTime::now_utc() + 2 * self.config.wait + SLACK).await?;
        // Whatever goes wrong from here on, the alert is not left to fire.
        let notified = self.follow(alert, sent, &mut drilled, &tell).await;
        let ended = Instant::now();
        self.give_up(alert).await?;
        if notified? {
            tell(&format!("{name}: resolved, waiting for the message that says so"));
            let arrived = self.arrives(alert, MessageStatus::Resolved, ended, &tell).await?;
            drilled.resolved = arrived.map(|(after, _)| after);
        }
        Ok(drilled)
    }

    /// Resolves the alert if it was sent: one that was not may be another's.
    ///
    /// # Errors
    /// When Alertmanager cannot be asked; the alert then ends by itself, once all waiting would have.
    pub async fn give_up(&mut self, alert: &DrilledAlert) -> Result<(), DrillError> {
        if self.fires {
            self.post(alert, OffsetDateTime::now_utc()).await?;
            self.fires = false;
        }
        Ok(())
    }

    /// Waits for the notification that the alert fires; whether it came.
    async fn follow(
        &mut self,
        alert: &DrilledAlert,
        sent: Instant,
        drilled: &mut Drilled,
        tell: &impl Fn(&str),
    ) -> Result<bool, DrillError> {
        let name = alert.name;
        for _ in 0..LOOKS {
            if let Some(known) = self.find(alert).await? {
                drilled.suppressed = known.status.reason();
                drilled.receivers = known.receivers.into_iter().map(|receiver| receiver.name).collect();
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        if drilled.suppressed.is_some() {
            return Ok(false);
        }
        tell(&format!("{name}: sent, goes to {}", drilled.receivers.join(", ")));
        let Some((after, message)) = self.arrives(alert, MessageStatus::Firing, sent, tell).await? else {
            return Ok(false);
        };
        drilled.fired = Some(after);
        if let Some(message) = message {
            let missing = |name: &&str| !alert.annotations.get(name).is_some_and(|url| message.contains(url));
            drilled.missing_links = ["runbook_url", "dashboard_url"].into_iter().filter(missing).collect();
        }
        Ok(true)
    }

    /// Waits for a notification; how long it took since `since`, and the message where it was seen.
    async fn arrives(
        &mut self,
        alert: &DrilledAlert,
        status: MessageStatus,
        since: Instant,
        tell: &impl Fn(&str),
    ) -> Result<Option<(Duration, Option<Message>)>, DrillError> {
        let wait = self.config.wait;
        let witnessed = async {
            match &mut self.witness {
                Witness::Receiver(messages) => {
                    while let Some(message) = messages.recv().await {
                        if message.says_of(alert.name, MARK) == Some(status) {
                            return Some(Some(Some(message)));
                        }
                    }
                    None
                }
                Witness::Operator(words) => {
                    let what = match status {
                        MessageStatus::Firing => "fires",
                        MessageStatus::Resolved => "is resolved",
                    };
                    tell(&format!("{}: has the message arrived that it {what}? [y/n]", alert.name));
                    words.recv().await.map(|word| (word == Word::Came).then_some(None))
                }
            }
        };
        match timeout(wait, witnessed).await {
            Err(_) => Ok(None),
            Ok(None) => Err(DrillError::NoWitness),
            Ok(Some(arrived)) => Ok(arrived.map(|message| {
                let came = message.as_ref().map_or_else(Instant::now, |message| message.came);
                (came.saturating_duration_since(since), message)
            })),
        }
    }

    /// The alert with these very labels, if Alertmanager has it.
    async fn find(&self, alert: &DrilledAlert) -> Result<Option<Known>, DrillError> {
        let filter = format!("alertname=\"{}\"", alert.name);
        let known: Vec<Known> = self.api.get("api/v2/alerts", &[("filter", &filter)]).await?;
        Ok(known.into_iter().find(|known| known.labels == alert.labels))
    }

    async fn post(&self, alert: &DrilledAlert, ends: OffsetDateTime) -> Result<(), DrillError> {
        let text = |time: OffsetDateTime| time.format(&Rfc3339).expect("the clock is past the year 0 and before 10000");
        let DrilledAlert { labels, annotations, generator, starts, .. } = alert;
        let posted = Posted { labels, annotations, generator, starts_at: text(*starts), ends_at: text(ends) };
        let body = serde_json::to_vec(&[posted]).expect("maps of texts are JSON");
        Ok(self.api.send("api/v2/alerts", body).await?)
    }
}

impl fmt::Debug for Drill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drill").field("config", &self.config).field("witness", &self.witness).finish_non_exhaustive()
    }
}

// === impl Drilled ===

impl Drilled {
    fn new(alert: &'static str) -> Self {
        let (receivers, missing_links) = (Vec::new(), Vec::new());
        Self { alert, receivers, suppressed: None, fired: None, resolved: None, missing_links }
    }

    /// Whether both notifications arrived.
    pub fn is_well(&self) -> bool {
        self.fired.is_some() && self.resolved.is_some()
    }
}

impl fmt::Display for Drilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alert, receivers, suppressed, fired, resolved, missing_links } = self;
        // The first message that is seen ends the waiting, and it does not say whose it is.
        let by = if receivers.len() > 1 { "one of " } else { "" };
        let receivers = receivers.join(", ");
        write!(f, "{alert}: ")?;
        match (suppressed, fired, resolved) {
            (Some(reason), ..) => write!(f, "NOT NOTIFIED, as it is {reason}")?,
            (_, None, _) => write!(f, "NOT NOTIFIED in time, though routed to {receivers}")?,
            (_, Some(fired), None) => write!(
                f,
                "notified after {:.1} s by {by}{receivers}, but NOT of its end in time: see to `send_resolved` and `group_interval`",
                fired.as_secs_f64()
            )?,
            (_, Some(fired), Some(resolved)) => {
                let (fired, resolved) = (fired.as_secs_f64(), resolved.as_secs_f64());
                write!(f, "notified after {fired:.1} s, of its end after {resolved:.1} s, by {by}{receivers}")?;
            }
        }
        if missing_links.is_empty() {
            return Ok(());
        }
        write!(f, "; the message lacks {}", missing_links.join(" and "))
    }
}

// === impl KnownStatus ===

impl KnownStatus {
    /// What keeps the alert from being notified.
    fn reason(&self) -> Option<String> {
        match (self.silenced_by.first(), self.inhibited_by.first()) {
            (Some(silence), _) => Some(format!("silenced by {silence}")),
            (None, Some(alert)) => Some(format!("inhibited by the alert with the fingerprint {alert}")),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Drilled;

    #[test]
    fn whose_message_was_seen_is_said_where_there_is_one_receiver() {
        let told = |receivers: &[&str]| {
            let receivers = receivers.iter().map(|name| (*name).to_owned()).collect();
            let [fired, resolved] = [1, 5].map(|seconds| Some(Duration::from_secs(seconds)));
            Drilled { receivers, fired, resolved, ..Drilled::new("RedisDown") }.to_string()
        };
        assert_eq!(told(&["pager"]), "RedisDown: notified after 1.0 s, of its end after 5.0 s, by pager");
        assert_eq!(
            told(&["pager", "chat"]),
            "RedisDown: notified after 1.0 s, of its end after 5.0 s, by one of pager, chat"
        );
    }
}
