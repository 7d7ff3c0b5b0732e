//! Asks a live Prometheus everything that rules and panels ask, and tells what finds no data, fails or is slow.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use futura_alert_rules::{
    Site,
    promql::{self, Selected, filled, without_fallback},
    rules,
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::api::{Api, ApiConfig, ApiError};

/// How many selectors of one query are looked into when it finds nothing.
const SUSPECTS: usize = 8;

/// The most points that a panel asks for, as in a browser's window.
const POINTS: u32 = 720;

/// The shortest step of a panel.
const SHORTEST_STEP: Duration = Duration::from_secs(15);

/// What to ask and how.
#[derive(Clone, Debug)]
pub struct VerifyConfig {
    /// From which time on an answer is slow.
    pub slow: Duration,
    /// How many queries are asked at once.
    pub parallel: usize,
    /// How far back panels look.
    pub range: Duration,
}

/// One query and who asks it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// What kind of thing asks, `rule` or `panel`.
    pub kind: &'static str,
    /// The alert's name, or the panel's title.
    pub name: &'static str,
    /// The uid of the panel's dashboard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dashboard: Option<&'static str>,
    /// The query, ready to be asked.
    pub query: String,
    /// Whether the panel says what it means that there is no data.
    #[serde(skip)]
    pub may_be_empty: bool,
}

/// What came of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", content = "detail", rename_all = "snake_case")]
pub enum Answer {
    /// So many series.
    Data(u64),
    /// None, and why.
    NoData(String),
    /// Prometheus would not, or could not be asked: its own words.
    Error(String),
    /// None in time.
    Late,
}

/// A query, what came of it, and how long that took.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// The query.
    #[serde(flatten)]
    pub question: Question,
    /// What came of it.
    #[serde(flatten)]
    pub answer: Answer,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
    /// Whether that is too long.
    pub slow: bool,
}

/// How many queries went how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All queries.
    pub queries: usize,
    /// Those without data that should have some.
    pub no_data: usize,
    /// Those that failed.
    pub errors: usize,
    /// Those that were slow, be it with or without an answer.
    pub slow: usize,
}

/// What Prometheus answers.
#[derive(Deserialize)]
struct Reply {
    data: ReplyData,
}

/// The result of a query, of which the values alone are read.
#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum ReplyData {
    Vector(Vec<Sample>),
    Matrix(Vec<Samples>),
    Scalar(Value),
    String(Value),
}

#[derive(Deserialize)]
struct Sample {
    value: Value,
}

#[derive(Deserialize)]
struct Samples {
    values: Vec<Value>,
}

/// A time and a value, which is written as text.
#[derive(Deserialize)]
struct Value(#[expect(dead_code, reason = "the time comes first")] f64, String);

/// Every query of every panel, and what every rule compares, each once for whoever asks it.
pub fn questions(site: &Site) -> Vec<Question> {
    let mut questions = Vec::new();
    for alert in rules::alerts(site) {
        for vector in &alert.compared {
            let query = without_fallback(vector).unwrap_or_else(|_| vector.clone());
            let (name, query) = (alert.name, filled(&query));
            questions.push(Question { kind: "rule", name, dashboard: None, query, may_be_empty: false });
        }
    }
    for panel in futura_dashboards::queries(site) {
        let query = without_fallback(&panel.expression).unwrap_or(panel.expression);
        let (name, dashboard, may_be_empty) = (panel.panel, Some(panel.dashboard), panel.may_be_empty);
        questions.push(Question { kind: "panel", name, dashboard, query: filled(&query), may_be_empty });
    }
    let mut seen = Vec::new();
    questions.retain(|question| {
        let new = !seen.contains(question);
        if new {
            seen.push(question.clone());
        }
        new
    });
    questions
}

/// Asks all of it; `progress` is told of each as it comes.
///
/// # Errors
/// When Prometheus cannot be asked at all.
pub async fn verify(
    api: ApiConfig,
    config: &VerifyConfig,
    questions: Vec<Question>,
    mut progress: impl FnMut(&Verified),
) -> Result<Vec<Verified>, ApiError> {
    let api = Api::new(api)?;
    api.ask::<Reply>("api/v1/query", &[("query", "vector(1)")]).await?;
    let asked = stream::iter(questions.into_iter().enumerate()).map(|(index, question)| {
        let api = &api;
        async move { (index, answered(api, config, question).await) }
    });
    let mut asked = asked.buffer_unordered(config.parallel.max(1));
    let mut verified = Vec::new();
    while let Some((index, answer)) = asked.next().await {
        progress(&answer);
        verified.push((index, answer));
    }
    verified.sort_unstable_by_key(|(index, _)| *index);
    Ok(verified.into_iter().map(|(_, answer)| answer).collect())
}

async fn answered(api: &Api, config: &VerifyConfig, question: Question) -> Verified {
    let start = Instant::now();
    let counted = count(api, config, &question).await;
    let took = start.elapsed();
    let answer = match counted {
        Ok(0) => Answer::NoData(reason(api, &question.query).await.unwrap_or_else(|error| error.to_string())),
        Ok(series) => Answer::Data(series),
        Err(ApiError::Late { .. }) => Answer::Late,
        Err(ApiError::Refused { message, .. }) => Answer::Error(message),
        Err(error) => Answer::Error(error.to_string()),
    };
    let slow = took >= config.slow || answer == Answer::Late;
    Verified { question, answer, took, slow }
}

/// How many series a query has: rules ask for now, panels for their range.
///
/// Prometheus counts them, so that an answer is small however many there are.
async fn count(api: &Api, config: &VerifyConfig, question: &Question) -> Result<u64, ApiError> {
    let query = format!("count({})", question.query);
    if question.kind == "rule" {
        return instant(api, &query).await;
    }
    let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let step = (config.range / POINTS).max(SHORTEST_STEP);
    let [start, end, step] = [end.saturating_sub(config.range), end, step].map(|time| time.as_secs().to_string());
    let parameters = [("query", query.as_str()), ("start", &start), ("end", &end), ("step", &step)];
    api.ask::<Reply>("api/v1/query_range", &parameters).await.map(|reply| reply.data.largest())
}

async fn instant(api: &Api, query: &str) -> Result<u64, ApiError> {
    api.ask::<Reply>("api/v1/query", &[("query", query)]).await.map(|reply| reply.data.largest())
}

/// Why a query finds nothing: which of the series that it reads are missing.
async fn reason(api: &Api, query: &str) -> Result<String, ApiError> {
    let mut missing = Vec::new();
    for Selected { metric, text } in promql::selectors(query).unwrap_or_default().into_iter().take(SUSPECTS) {
        if instant(api, &format!("count({text})")).await? > 0 {
            continue;
        }
        let others = match &metric {
            Some(metric) if *metric != text => instant(api, &format!("count({metric})")).await?,
            _ => 0,
        };
        missing.push(match metric {
            Some(metric) if others > 0 => format!("none of the {others} series of `{metric}` is `{text}`"),
            Some(metric) => format!("no series of `{metric}`"),
            None => format!("no series `{text}`"),
        });
    }
    missing.dedup();
    if missing.is_empty() {
        let reason = "the series that it reads exist: their labels do not match, or its windows have too few samples";
        return Ok(reason.to_owned());
    }
    Ok(missing.join(", "))
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

// === impl Verified ===

impl Verified {
    /// Whether there is something to see to.
    pub fn is_finding(&self) -> bool {
        self.slow
            || match self.answer {
                Answer::Data(_) => false,
                Answer::NoData(_) => !self.question.may_be_empty,
                Answer::Error(_) | Answer::Late => true,
            }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { question: Question { kind, name, dashboard, query, .. }, answer, took, .. } = self;
        let seconds = took.as_secs_f64();
        let (word, detail) = match answer {
            Answer::Data(series) => ("slow", format!("{seconds:.1} s for {series} series")),
            Answer::NoData(reason) => ("no data", reason.clone()),
            Answer::Error(message) => ("error", message.clone()),
            Answer::Late => ("slow", format!("no answer within {seconds:.1} s")),
        };
        let place = dashboard.map(|dashboard| format!(" of {dashboard}")).unwrap_or_default();
        write!(f, "{word:<7}  {kind} {name}{place}: {detail}\n         {query}")
    }
}

// === impl Summary ===

impl Summary {
    /// Counts them.
    pub fn of(verified: &[Verified]) -> Self {
        let count = |wanted: fn(&Verified) -> bool| verified.iter().filter(|verified| wanted(verified)).count();
        Self {
            queries: verified.len(),
            no_data: count(|verified| matches!(verified.answer, Answer::NoData(_)) && verified.is_finding()),
            errors: count(|verified| matches!(verified.answer, Answer::Error(_))),
            slow: count(|verified| verified.slow),
        }
    }

    /// Whether every query has data in time.
    pub fn is_well(self) -> bool {
        (self.no_data, self.errors, self.slow) == (0, 0, 0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queries, no_data, errors, slow } = self;
        write!(f, "{queries} queries: {no_data} without data, {errors} failed, {slow} slow")
    }
}

// === impl ReplyData ===

impl ReplyData {
    /// The largest value that a count had.
    fn largest(&self) -> u64 {
        let values: Vec<_> = match self {
            Self::Vector(samples) => samples.iter().map(|sample| &sample.value).collect(),
            Self::Matrix(series) => series.iter().flat_map(|samples| &samples.values).collect(),
            Self::Scalar(value) | Self::String(value) => vec![value],
        };
        values.into_iter().filter_map(|Value(_, text)| text.parse::<f64>().ok()).fold(0.0, f64::max) as u64
    }
}
