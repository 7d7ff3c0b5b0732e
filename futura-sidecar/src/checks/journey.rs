//! `kind: journey`: requests one after the other, each with what the ones before captured, as a customer's way through a
//! service; and a clean-up that runs however far it came.

use std::{collections::BTreeMap, time::Duration};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use futura_metrics::specs::checks::Reason;
use regex::bytes::Regex;
use serde_yaml::Value;
use tokio::time::{Instant, timeout};
use url::Url;
use uuid::Uuid;

use self::template::Template;
use super::{
    http::{self, Answer, Client, Expectations, HttpTransport, JsonPath, Request},
    pattern::pattern,
};
use crate::{
    config::{Section, form},
    network::{Failure, Jar, Network, Step, TlsError, Trace},
};

mod template;

/// How many steps a journey may have: each is two series.
const STEPS_LIMIT: usize = 50;

/// How long a captured value may be, in bytes.
const VALUE_LIMIT: usize = 16 * 1024;

/// What is different in every run.
const RUN_ID: &str = "run_id";

/// A check of kind `journey`.
#[derive(Clone, Debug)]
pub struct JourneyConfig {
    /// What the URLs of the steps are relative to. Default nothing: they are whole.
    pub base_url: Option<Url>,
    /// Values by name, for `{{name}}` in URLs, headers and bodies. `{{run_id}}` is there already, a UUID of each run. Default none.
    pub variables: Variables,
    /// The requests, in order. At least one.
    pub steps: Vec<StepConfig>,
    /// Requests that follow however the steps ended, each if all that it mentions is known. They have a quarter of the
    /// check's timeout for themselves. Default none.
    pub cleanup: Vec<StepConfig>,
    /// How answers are fetched.
    pub transport: HttpTransport,
}

/// One request of a journey.
#[derive(Clone, Debug)]
pub struct StepConfig {
    /// Its name, which is the label `step` of its series. Required, and the only one of the journey.
    pub name: String,
    method: Method,
    url: Template,
    headers: Vec<(HeaderName, Template)>,
    body: Option<Template>,
    expect: Expectations,
    captures: Vec<Capture>,
}

/// Values by name; they may be secrets, and so do not print.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

/// What is kept of an answer, and under which name.
#[derive(Clone, Debug)]
struct Capture {
    name: String,
    from: Source,
}

/// Where in an answer a value stands.
#[derive(Clone, Debug)]
enum Source {
    Cookie(String),
    Header(HeaderName),
    Json(JsonPath),
    /// The first group of a match in the body, or all of it.
    Matches(Regex),
}

/// A check that can be run.
pub(super) struct JourneyCheck {
    config: JourneyConfig,
    host: String,
    client: Client,
}

/// One run, as far as it came.
struct Run<'check> {
    check: &'check JourneyCheck,
    known: BTreeMap<String, String>,
    jar: Jar,
}

// === impl JourneyConfig ===

impl JourneyConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let base_url = section.or("base_url", |value| http::parse_url(&form::secret(value)?).map(Some), None);
        let variables = section.or("variables", variables, Variables::default());
        // What a step may mention grows with those before it.
        let mut names: Vec<String> = variables.iter().flat_map(|known| known.0.keys().cloned()).collect();
        names.push(RUN_ID.to_owned());
        let mut taken = Vec::new();
        let steps = section.each("steps", STEPS_LIMIT, |step| StepConfig::read(step, &mut names, &mut taken));
        let cleanup = section.each("cleanup", STEPS_LIMIT, |step| StepConfig::read(step, &mut names, &mut taken));
        let transport = HttpTransport::read(section);
        if steps.as_ref().is_some_and(Vec::is_empty) {
            section.report("steps", "a journey has at least one: write `- { name: home, url: / }` below `steps:`");
            return None;
        }
        Some(Self {
            base_url: base_url?,
            variables: variables?,
            steps: steps?,
            cleanup: cleanup?,
            transport: transport?,
        })
    }
}

fn variables(value: &Value) -> Result<Variables, String> {
    let Value::Mapping(mapping) = value else { return Err("no variables: write `{ name: value }`".to_owned()) };
    let read = mapping.iter().map(|(name, value)| {
        let name = template::name(&form::text(name)?)?.to_owned();
        let value = form::secret(value).map_err(|message| format!("`{name}`: {message}"))?;
        Ok((name, value))
    });
    read.collect::<Result<_, String>>().map(Variables)
}

// === impl StepConfig ===

impl StepConfig {
    fn read(section: &mut Section<'_, '_>, names: &mut Vec<String>, taken: &mut Vec<String>) -> Option<Self> {
        let name = section.required("name", super::name, "log-in");
        if let Some(name) = &name {
            if taken.contains(name) {
                section.report("name", "the name is taken: names tell the series apart, so give each step its own");
            }
            taken.push(name.clone());
        }
        let known: &[String] = names;
        let method = section.or("method", http::method, Method::GET);
        let url = section.required("url", |value| Template::read(&form::secret(value)?, known), "/api/orders");
        let headers = section.or("headers", |value| headers(value, known), Vec::new());
        let body = section.or("body", |value| Template::read(&form::secret(value)?, known).map(Some), None);
        let expect = Expectations::read(section);
        let captures = section.entries("capture", STEPS_LIMIT, Source::read);
        let captures = captures.and_then(|captures| {
            let read = captures.into_iter().map(|(name, from)| {
                template::name(&name)?;
                Ok(Capture { name, from })
            });
            section.keep("capture", read.collect::<Result<Vec<_>, String>>())
        });
        names.extend(captures.iter().flatten().map(|capture| capture.name.clone()));
        Some(Self {
            name: name?,
            method: method?,
            url: url?,
            headers: headers?,
            body: body?,
            expect: expect?,
            captures: captures?,
        })
    }
}

fn headers(value: &Value, known: &[String]) -> Result<Vec<(HeaderName, Template)>, String> {
    let texts = http::header_texts(value)?.into_iter();
    let read = texts.map(|(name, text)| {
        let template = Template::read(&text, known).map_err(|message| format!("header `{name}`: {message}"))?;
        Ok((name, template))
    });
    read.collect()
}

// === impl Source ===

impl Source {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let cookie = section.or("cookie", |value| form::text(value).map(|name| Some(Self::Cookie(name))), None);
        let header = section.or("header", |value| header_name(value).map(Some), None);
        let json =
            section.or("json", |value| JsonPath::try_from(form::text(value)?).map(|path| Some(Self::Json(path))), None);
        let matches = section.or("matches", |value| pattern(value).map(|pattern| Some(Self::Matches(pattern))), None);
        let mut all = [cookie?, header?, json?, matches?].into_iter().flatten();
        match (all.next(), all.next()) {
            (Some(one), None) => Some(one),
            _ => {
                let places = "`json: $.token`, `header: location`, `cookie: session` or `matches: \"id=([0-9]+)\"`";
                section.report("json", format!("a value is captured from one place: write {places}"));
                None
            }
        }
    }

    fn find(&self, answer: &Answer, jar: &Jar) -> Result<Option<String>, Failure> {
        Ok(match self {
            Self::Cookie(name) => jar.get(name).map(str::to_owned),
            Self::Header(name) => {
                answer.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            }
            Self::Json(path) => path.find(&http::document(&answer.body)?).map(http::text),
            Self::Matches(pattern) => pattern.captures(&answer.body).and_then(|captures| {
                let found = captures.get(1).or_else(|| captures.get(0))?;
                Some(String::from_utf8_lossy(found.as_bytes()).into_owned())
            }),
        })
    }
}

fn header_name(value: &Value) -> Result<Source, String> {
    let name = form::text(value)?;
    HeaderName::try_from(&name).map(Source::Header).map_err(|_| format!("`{name}` is not a header's name"))
}

// === impl Variables ===

impl std::fmt::Debug for Variables {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

// === impl JourneyCheck ===

impl JourneyCheck {
    pub(super) fn new(config: JourneyConfig, network: &Network) -> Result<Self, TlsError> {
        let client = Client::new(config.transport.clone(), true, network)?;
        let first = || Url::parse(&config.steps.first()?.url.fill(&config.variables.0)).ok();
        let host = config.base_url.clone().or_else(first).and_then(|url| url.host_str().map(str::to_owned));
        Ok(Self { host: host.unwrap_or_default(), config, client })
    }

    /// The host of the base, or else that of the first step as far as it is known beforehand.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The base, or else how many steps there are: a step's URL may hold a secret.
    pub(super) fn target(&self) -> String {
        let steps = match self.config.steps.len() {
            1 => "1 step".to_owned(),
            number => format!("{number} steps"),
        };
        match &self.config.base_url {
            Some(url) => format!("{}, {steps}", url.origin().ascii_serialization()),
            None => steps,
        }
    }

    /// The names of all steps, the clean-up's too.
    pub(super) fn steps(&self) -> impl Iterator<Item = &str> {
        self.config.steps.iter().chain(&self.config.cleanup).map(|step| step.name.as_str())
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        let mut known = self.config.variables.0.clone();
        known.insert(RUN_ID.to_owned(), Uuid::now_v7().to_string());
        let mut run = Run { check: self, known, jar: Jar::default() };
        if self.config.cleanup.is_empty() {
            return run.steps(trace).await;
        }
        // The clean-up has its time even if the steps have used up theirs.
        let left = trace.left().unwrap_or(Duration::MAX);
        let stepping = timeout(left - left / 4, run.steps(trace)).await;
        let ended = stepping.unwrap_or_else(|_| {
            let during = trace.running().map_or("", |phase| phase.as_str());
            let message = format!("the time for the steps ran out in the phase `{during}`");
            Err(trace.fail_step(Failure::new(Reason::Timeout, message)))
        });
        let cleaned = run.clean_up(trace).await;
        ended.and(cleaned)
    }
}

// === impl Run ===

impl Run<'_> {
    async fn steps(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        for step in &self.check.config.steps {
            self.step(step, trace).await?;
        }
        Ok(())
    }

    /// Goes on after a failure: the next may be about something else. The first failure is told.
    async fn clean_up(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        let mut ended = Ok(());
        for step in &self.check.config.cleanup {
            // There is nothing to clean up that was never made.
            if step.templates().all(|template| template.is_known(&self.known)) {
                let done = self.step(step, trace).await;
                ended = ended.and(done);
            }
        }
        ended
    }

    async fn step(&mut self, step: &StepConfig, trace: &mut Trace) -> Result<(), Failure> {
        let start = Instant::now();
        trace.steps.push(Step { name: step.name.clone(), took: Duration::ZERO, failure: None });
        let result = self.exchange(step, trace).await;
        trace.end();
        if let Some(last) = trace.steps.last_mut() {
            last.took = start.elapsed();
        }
        result.map_err(|failure| trace.fail_step(failure))
    }

    async fn exchange(&mut self, step: &StepConfig, trace: &mut Trace) -> Result<(), Failure> {
        let request = self.request(step)?;
        let answer = self.check.client.fetch(request, &mut self.jar, trace).await?;
        step.expect.judge(&answer)?;
        for Capture { name, from } in &step.captures {
            match from.find(&answer, &self.jar)? {
                Some(value) if value.len() <= VALUE_LIMIT => drop(self.known.insert(name.clone(), value)),
                Some(_) => return Err(Failure::new(Reason::Body, format!("what `{name}` captures is too long"))),
                None => return Err(Failure::new(Reason::Body, format!("the answer has nothing for `{name}`"))),
            }
        }
        Ok(())
    }

    /// What a step asks for, with all values in their places. No message shows one.
    fn request(&self, step: &StepConfig) -> Result<Request, Failure> {
        let wrong = |what: String| Failure::new(Reason::Protocol, what);
        let text = step.url.fill(&self.known);
        let url = match &self.check.config.base_url {
            Some(base) => base.join(&text).map_err(|error| wrong(format!("the step has no URL: {error}")))?,
            None => http::parse_url(&text).map_err(wrong)?,
        };
        let mut headers = HeaderMap::new();
        for (name, template) in &step.headers {
            let mut value = HeaderValue::try_from(template.fill(&self.known))
                .map_err(|_| wrong(format!("the header `{name}` has characters that none may have")))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let body = step.body.as_ref().map(|body| Bytes::from(body.fill(&self.known)));
        Ok(Request { url, method: step.method.clone(), headers, body: body.unwrap_or_default() })
    }
}

impl StepConfig {
    fn templates(&self) -> impl Iterator<Item = &Template> {
        self.headers.iter().map(|(_, template)| template).chain([&self.url]).chain(&self.body)
    }
}
