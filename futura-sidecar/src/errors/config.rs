//! What the section `errors` of the configuration says.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use http::{HeaderName, HeaderValue, Method, header};
use sentry_types::{Dsn, Scheme};
use serde_yaml::Value;
use tower_http::cors::{AllowOrigin, CorsLayer};
use url::Url;

use super::{
    logs::LogConfig,
    metrics::DEFAULT_UPSTREAM,
    scrub::{self, Scrubber},
    storms::StormConfig,
};
use crate::{
    config::{Section, form},
    listener::Address,
};

/// Where envelopes are taken unless the configuration says otherwise.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9470);

/// How many upstreams there may be beside the first: each has a spool of its own.
const UPSTREAMS_LIMIT: usize = 16;

/// How long an upstream's name may be.
const NAME_LIMIT: usize = 32;

/// Sentry envelopes to accept and forward.
#[derive(Clone, Debug)]
pub struct ErrorsConfig {
    /// Where the application's DSN points: a loopback address or `unix:/path`. Default `127.0.0.1:9470`.
    pub listen: Address,
    /// Allows `listen` to be an address that others reach: whoever can connect can send. Default `false`.
    pub listen_publicly: bool,
    /// Origins whose pages may send from browsers, or `*` for all. Default none.
    pub allowed_origins: AllowedOrigins,
    /// The DSN of the Sentry server. Default none, as an empty one: envelopes are kept until there is one.
    pub upstream: Option<Upstream>,
    /// The DSN of a server that takes the upstream's place while it is down. Default none.
    pub failover: Option<Upstream>,
    /// Further upstreams, each with a spool of its own below the first one's. Default none.
    pub upstreams: Vec<UpstreamConfig>,
    /// The folder that envelopes are kept in. Default `./spool`.
    pub spool: PathBuf,
    /// How many envelopes are kept; further ones are answered 503, or 429 where the upstream limits them. A quarter is for errors alone, of the bytes too.
    /// Default 10000.
    pub spool_max_envelopes: usize,
    /// How many bytes of envelopes are kept, uncompressed. Default 268435456, which is 256 MiB.
    pub spool_max_bytes: u64,
    /// How large one envelope may be in bytes, uncompressed. Default 20971520, which is 20 MiB.
    pub envelope_max_bytes: u64,
    /// How many events of one kind go on in full, while the others are counted. Default none: all go on.
    pub storm: Option<StormConfig>,
    /// Logs whose error lines become events. Default none.
    pub logs: Vec<LogConfig>,
    /// Whether a check that goes down becomes an event, and another one when it is up again. Default `false`.
    pub checks: bool,
    /// What is removed from events before they are kept. Default what [`Scrubber::default`] removes.
    pub scrub: Scrubber,
}

/// A further upstream: one for some projects of the applications, or one that gets copies.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Tells it from the others in metrics and on the status page; letters, digits, `-` and `_`.
    pub name: String,
    /// The DSN of the Sentry server.
    pub dsn: Upstream,
    /// The DSN of a server that takes its place while it is down. Default none.
    pub failover: Option<Upstream>,
    /// The projects, as the applications' DSNs name them, whose envelopes go there. Default none, which with `copy` means all.
    pub projects: HashSet<String>,
    /// Whether it gets copies of what goes elsewhere, instead of taking it over. Default `false`.
    pub copy: bool,
}

/// Whose pages may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<HeaderValue>);

/// Where envelopes go: a DSN, which does not print its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream(pub(super) Dsn);

// === impl ErrorsConfig ===

impl ErrorsConfig {
    /// Reads the keys; none where something is wrong, which is a finding then.
    pub(crate) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let listen = section.or("listen", |value| form::text(value)?.try_into(), SocketAddr::from(LISTEN).into());
        let listen_publicly = section.or("listen_publicly", form::flag, false);
        let allowed_origins = section.or("allowed_origins", origins, AllowedOrigins::default());
        let first = section.or("upstream", upstream, None);
        let failover = section.or("failover", upstream, None);
        let upstreams = section.each("upstreams", UPSTREAMS_LIMIT, UpstreamConfig::read);
        // The default folder must be usable as well.
        let spool = section.value("spool").map_or_else(|| form::usable("./spool".into()), form::folder);
        let spool = section.keep("spool", spool);
        let spool_max_envelopes = section.or("spool_max_envelopes", envelopes, 10_000);
        let spool_max_bytes = section.or("spool_max_bytes", form::number, 256 * 1024 * 1024);
        let envelope_max_bytes = section.or("envelope_max_bytes", form::number, 20 * 1024 * 1024);
        let storm = section.nested("storm", StormConfig::read, None);
        let logs = LogConfig::read_all(section);
        let checks = section.or("checks", form::flag, false);
        let scrub = scrub::read(section);
        let errors = Self {
            listen: listen?,
            listen_publicly: listen_publicly?,
            allowed_origins: allowed_origins?,
            upstream: first?,
            failover: failover?,
            upstreams: upstreams?,
            spool: spool?,
            spool_max_envelopes: spool_max_envelopes?,
            spool_max_bytes: spool_max_bytes?,
            envelope_max_bytes: envelope_max_bytes?,
            storm: storm?,
            logs: logs?,
            checks: checks?,
            scrub: scrub?,
        };
        errors.check(section);
        Some(errors)
    }

    fn check_upstreams(&self, section: &mut Section<'_, '_>) {
        let (mut names, mut taken) = (HashSet::new(), HashSet::new());
        for further in &self.upstreams {
            if !names.insert(&further.name) {
                section.report("upstreams", format!("two are called `{}`: give each a name of its own", further.name));
            }
            let twice = further.projects.iter().find(|project| !further.copy && !taken.insert(*project));
            if let Some(project) = twice {
                section.report(
                    "upstreams",
                    format!("two take project `{project}`: with `copy: true` one of them gets copies"),
                );
            }
        }
    }

    /// Finds what one key says against another.
    fn check(&self, section: &mut Section<'_, '_>) {
        if let Address::Tcp(address) = &self.listen
            && !address.ip().is_loopback()
            && !self.listen_publicly
        {
            section.report(
                "listen",
                format!("`{address}` is not a loopback address: set `listen_publicly: true` if others may send"),
            );
        }
        if let Address::Tcp(address) = &self.listen {
            let itself =
                || format!("it points at `{address}`, where the sidecar itself listens: give the Sentry server's DSN");
            for (key, upstream) in [("upstream", &self.upstream), ("failover", &self.failover)] {
                if upstream.as_ref().is_some_and(|upstream| upstream.is_at(*address)) {
                    section.report(key, itself());
                }
            }
            let further = self.upstreams.iter().flat_map(|further| [Some(&further.dsn), further.failover.as_ref()]);
            if further.flatten().any(|upstream| upstream.is_at(*address)) {
                section.report("upstreams", format!("one of them: {}", itself()));
            }
        }
        if self.failover.is_some() && self.upstream.is_none() {
            section.report("failover", "there is no `upstream` whose place it could take: give its DSN as `upstream`");
        }
        self.check_upstreams(section);
        if self.envelope_max_bytes == 0 || self.envelope_max_bytes > self.spool_max_bytes {
            let most = self.spool_max_bytes;
            section.report("envelope_max_bytes", format!("between 1 and `spool_max_bytes`, which is {most}"));
        }
    }
}

impl fmt::Display for ErrorsConfig {
    /// Says in few words where errors go.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.upstream {
            Some(upstream) => write!(formatter, "forwards errors to {}", upstream.origin())?,
            None => write!(formatter, "keeps errors in {}", self.spool.display())?,
        }
        self.failover.iter().try_for_each(|failover| write!(formatter, " or {}", failover.origin()))?;
        self.upstreams.iter().try_for_each(|UpstreamConfig { name, dsn, copy, .. }| {
            write!(formatter, ", {} to {name} at {}", if *copy { "copies" } else { "others" }, dsn.origin())
        })
    }
}

// === impl UpstreamConfig ===

impl UpstreamConfig {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let name = section.required("name", upstream_name, "own-bugsink");
        if let Some(name) = &name {
            section.about(&format!("upstream `{name}`"));
        }
        let dsn = section.required("dsn", required_upstream, "${SECOND_SENTRY_DSN}");
        let failover = section.or("failover", upstream, None);
        let projects = section.or("projects", projects, HashSet::new());
        let copy = section.or("copy", form::flag, false);
        let config = Self { name: name?, dsn: dsn?, failover: failover?, projects: projects?, copy: copy? };
        if config.projects.is_empty() && !config.copy {
            section.report(
                "projects",
                "nothing would go there: name the projects that it takes, such as `projects: [2]`, or write `copy: true`",
            );
        }
        Some(config)
    }
}

fn upstream_name(value: &Value) -> Result<String, String> {
    let name = form::text(value)?;
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    match (1..=NAME_LIMIT).contains(&name.len()) && name.chars().all(fits) {
        _ if name == DEFAULT_UPSTREAM => {
            Err(format!("`{name}` is what `errors.upstream` is called: give another name"))
        }
        true => Ok(name),
        false => Err(format!("`{name}` is no name: up to {NAME_LIMIT} letters, digits, `-` and `_`")),
    }
}

fn required_upstream(value: &Value) -> Result<Upstream, String> {
    upstream(value)?.ok_or_else(|| "it is empty: give a DSN, or leave the whole entry out".to_owned())
}

fn projects(value: &Value) -> Result<HashSet<String>, String> {
    let no_list = || format!("{} is no list of projects: write one such as `[2, 7]`", form::shown(value));
    let project = |value: &Value| match value {
        Value::Number(number) => Ok(number.to_string()),
        other => form::text(other),
    };
    value.as_sequence().ok_or_else(no_list)?.iter().map(project).collect()
}

fn envelopes(value: &Value) -> Result<usize, String> {
    let number = form::number(value)?;
    usize::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("`{number}` is too few: at least 1"))
}

fn origins(value: &Value) -> Result<AllowedOrigins, String> {
    let no_list =
        || format!("{} is no list: write one such as `[\"https://tickets.example.org\"]`", form::shown(value));
    value.as_sequence().ok_or_else(no_list)?.iter().map(origin).collect::<Result<_, _>>().map(AllowedOrigins)
}

fn origin(value: &Value) -> Result<HeaderValue, String> {
    let text = form::text(value)?;
    let origin = text.parse().is_ok_and(|url: Url| url.origin().ascii_serialization() == text);
    let origin = Some(&text).filter(|text| origin || *text == "*").and_then(|text| HeaderValue::try_from(text).ok());
    origin.ok_or_else(|| {
        format!("`{text}` is no origin: write scheme, host and port alone, such as `https://tickets.example.org`")
    })
}

/// The DSN is not repeated in messages: it holds a key.
fn upstream(value: &Value) -> Result<Option<Upstream>, String> {
    let text = form::secret(value)?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let read = text.parse().map(|dsn| Some(Upstream(dsn)));
    read.map_err(|_| {
        "not a DSN: write `https://KEY@HOST/PROJECT`, such as `https://0123456789abcdef@sentry.example.org/42`"
            .to_owned()
    })
}

// === impl Upstream ===

impl Upstream {
    pub(crate) fn speaks_tls(&self) -> bool {
        self.0.scheme() == Scheme::Https
    }

    /// Whether it is this address itself, as far as that can be told without asking for names.
    fn is_at(&self, address: SocketAddr) -> bool {
        let host = self.0.host().trim_matches(['[', ']']);
        let ip = host.parse::<IpAddr>();
        let is_ours = |ip: IpAddr| ip == address.ip() || (ip.is_loopback() && address.ip().is_unspecified());
        (host == "localhost" || ip.is_ok_and(is_ours)) && self.0.port() == address.port()
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", self.0.scheme(), self.0.host(), self.0.port())
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Upstream").field(&self.origin()).finish()
    }
}

// === impl AllowedOrigins ===

impl AllowedOrigins {
    pub(super) fn has(&self, origin: &HeaderValue) -> bool {
        self.0.iter().any(|allowed| allowed == "*" || allowed == origin)
    }

    /// What SDKs in browsers need to send, and to see of limits.
    pub(super) fn cors(&self) -> CorsLayer {
        let limits = ["retry-after", "x-sentry-error", "x-sentry-rate-limits"].map(HeaderName::from_static);
        let allowed = self.clone();
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| allowed.has(origin)))
            .allow_methods([Method::POST])
            .allow_headers([header::CONTENT_TYPE, header::CONTENT_ENCODING, HeaderName::from_static("x-sentry-auth")])
            .expose_headers(limits)
            .max_age(Duration::from_secs(3600))
    }
}
