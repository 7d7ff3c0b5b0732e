//! What Sentry takes the parts of an event for: which may hold personal data, and what kind of part each is.
//!
//! Relay decides by this where a selector applies, so rules that are written for it mean the same here.

/// Whether rules reach a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pii {
    /// All do.
    Yes,
    /// Those whose selector names it.
    Maybe,
    No,
}

/// What `$name` in a selector stands for, besides JSON's own types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Exception,
    Stacktrace,
    Frame,
    Request,
    User,
    LogEntry,
    Message,
    Thread,
    Breadcrumb,
    Span,
    Sdk,
    Log,
    /// A path to a file, which no selector can ask for. Its last part tells frames apart and is left.
    Path,
}

/// Where in an event something is, as far as it decides what is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    Event,
    /// A log of the item `log`.
    Log,
    /// Anything that an application adds.
    Free,
    /// What rules reach by name alone, all the way down.
    Named,
    /// What Sentry itself makes sense of.
    Fixed,
    /// The wrapper `{"values": […]}` around a list.
    Values(List),
    List(List),
    Exception,
    Mechanism,
    Stacktrace,
    Frames,
    Frame,
    Thread,
    Breadcrumb,
    Request,
    LogEntry,
    User,
    Geo,
    Contexts,
    Context(Context),
    Spans,
    Span,
    SentryTags,
    Sdk,
    Csp,
    Tags,
}

/// What a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Exceptions,
    Threads,
    Breadcrumbs,
}

/// The contexts that Sentry knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    Device,
    Os,
    App,
    Gpu,
    Culture,
    Trace,
    Response,
    Otel,
    /// One that names no person.
    Plain,
}

/// One step further down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) area: Area,
    pub(super) pii: Pii,
    pub(super) role: Option<Role>,
    /// Whether a list of pairs here is a mapping.
    pub(super) pairs: bool,
}

// === impl Place ===

impl Place {
    const FREE: Self = Self::new(Area::Free, Pii::Yes);
    const NAMED: Self = Self::new(Area::Named, Pii::Maybe);
    const FIXED: Self = Self::new(Area::Fixed, Pii::No);

    const fn new(area: Area, pii: Pii) -> Self {
        Self { area, pii, role: None, pairs: false }
    }

    const fn role(self, role: Role) -> Self {
        Self { role: Some(role), ..self }
    }

    const fn pairs(self) -> Self {
        Self { pairs: true, ..self }
    }

    const fn within(area: Area) -> Self {
        Self::new(area, Pii::No)
    }
}

// === impl Area ===

impl Area {
    /// What the value of a key is, or an element of a list, whose key is empty.
    pub(super) fn child(self, key: &str) -> Place {
        match self {
            Self::Event => event(key),
            Self::Log | Self::Free => Place::FREE,
            Self::Named => Place::NAMED,
            Self::Fixed => Place::FIXED,
            Self::Values(list) if key == "values" => Place::within(Self::List(list)),
            Self::Values(_) => Place::FIXED,
            Self::List(List::Exceptions) => Place::within(Self::Exception).role(Role::Exception),
            Self::List(List::Threads) => Place::within(Self::Thread).role(Role::Thread),
            Self::List(List::Breadcrumbs) => Place::within(Self::Breadcrumb).role(Role::Breadcrumb),
            Self::Frames => Place::within(Self::Frame).role(Role::Frame),
            Self::Spans => Place::within(Self::Span).role(Role::Span),
            Self::Tags => Place::new(Self::Named, Pii::Maybe),
            Self::Geo => Place::FREE,
            Self::Contexts => Place::FREE,
            Self::Context(context) => context.child(key),
            _ => self.field(key),
        }
    }

    /// What a field of one of Sentry's own types is.
    fn field(self, key: &str) -> Place {
        match (self, key) {
            (Self::Exception, "stacktrace" | "raw_stacktrace") | (Self::Thread, "stacktrace") => {
                Place::within(Self::Stacktrace).role(Role::Stacktrace)
            }
            (Self::Exception, "mechanism") => Place::within(Self::Mechanism),
            (Self::Stacktrace, "frames") => Place::within(Self::Frames),
            (Self::Frame, "filename" | "abs_path") => Place::NAMED.role(Role::Path),
            (Self::Frame, "module") | (Self::Span, "description") | (Self::Request, "url") => Place::NAMED,
            (Self::Exception, "value")
            | (Self::Mechanism, "description" | "data")
            | (Self::Frame, "vars")
            | (Self::Breadcrumb, "message" | "data")
            | (Self::LogEntry, "params")
            | (Self::Span, "data")
            | (Self::SentryTags, "user.ip")
            | (Self::Sdk, "client_ip")
            | (Self::Csp, "blocked_uri" | "document_uri" | "effective_directive" | "referrer") => Place::FREE,
            (Self::LogEntry, "formatted") => Place::FREE.role(Role::Message),
            (Self::Request, "headers" | "cookies" | "query_string") => Place::FREE.pairs(),
            (Self::LogEntry, "message")
            | (Self::User, "segment")
            | (Self::Request, "method" | "protocol" | "api_target" | "inferred_content_type" | "body_size") => {
                Place::FIXED
            }
            (Self::User, "geo") => Place::within(Self::Geo),
            (Self::Request | Self::User | Self::LogEntry, _) => Place::FREE,
            (Self::Span, "tags") => Place::new(Self::Tags, Pii::Maybe),
            (Self::Span, "sentry_tags") => Place::within(Self::SentryTags),
            _ => Place::FIXED,
        }
    }

    /// What a context is, by its type, or its name where it has none.
    pub(super) fn context(kind: &str) -> Place {
        let context = match kind {
            "device" => Context::Device,
            "os" => Context::Os,
            "app" => Context::App,
            "gpu" => Context::Gpu,
            "culture" => Context::Culture,
            "trace" => Context::Trace,
            "response" => Context::Response,
            "otel" => Context::Otel,
            "browser" | "runtime" | "feedback" => Context::Plain,
            _ => return Place::FREE,
        };
        Place::within(Self::Context(context))
    }
}

// === impl Context ===

impl Context {
    fn child(self, key: &str) -> Place {
        match (self, key) {
            (_, "type") => Place::FIXED,
            (Self::Device, "name" | "serial") => Place::NAMED,
            (Self::Device, "arch" | "family" | "model") => Place::FIXED,
            (Self::Os, "build" | "kernel_version" | "raw_description")
            | (Self::App, "device_app_hash")
            | (Self::Gpu, "name")
            | (Self::Culture, "calendar" | "timezone")
            | (Self::Otel, "attributes" | "resource") => Place::NAMED,
            (Self::Device, _) => Place::NAMED,
            (Self::Trace, "data") | (Self::Response, "data") => Place::FREE,
            (Self::Response, "headers" | "cookies") => Place::FREE.pairs(),
            _ => Place::FIXED,
        }
    }
}

fn event(key: &str) -> Place {
    match key {
        "message" => Place::FREE.role(Role::Message),
        "logentry" | "sentry.interfaces.Message" => Place::within(Area::LogEntry).role(Role::LogEntry),
        "exception" | "sentry.interfaces.Exception" => Place::within(Area::Values(List::Exceptions)),
        "threads" => Place::within(Area::Values(List::Threads)),
        "breadcrumbs" | "sentry.interfaces.Breadcrumbs" => Place::within(Area::Values(List::Breadcrumbs)),
        "stacktrace" | "sentry.interfaces.Stacktrace" => Place::within(Area::Stacktrace).role(Role::Stacktrace),
        "request" | "sentry.interfaces.Http" => Place::within(Area::Request).role(Role::Request),
        "user" | "sentry.interfaces.User" => Place::within(Area::User).role(Role::User),
        "contexts" => Place::within(Area::Contexts),
        "spans" => Place::within(Area::Spans),
        "sdk" => Place::within(Area::Sdk).role(Role::Sdk),
        "csp" => Place::within(Area::Csp),
        "tags" => Place::new(Area::Tags, Pii::Maybe).pairs(),
        "culprit" => Place::NAMED,
        "event_id" | "level" | "version" | "type" | "fingerprint" | "transaction" | "transaction_info"
        | "time_spent" | "logger" | "modules" | "platform" | "timestamp" | "start_timestamp" | "received"
        | "release" | "dist" | "environment" | "site" | "debug_meta" | "errors" | "key_id" | "project"
        | "measurements" | "breakdowns" | "_metrics" | "template" | "hpkp" | "expectct" | "expectstaple" | "nel" => {
            Place::FIXED
        }
        _ => Place::FREE,
    }
}
