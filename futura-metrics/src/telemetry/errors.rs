//! Errors to Sentry: `error!` records and panics, each once, joined to the trace that they happened in.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    sync::{Arc, Once},
    thread,
};

use opentelemetry::trace::TraceContextExt;
use sentry::{
    Client, ClientOptions, Hub, Integration, Level,
    integrations::{
        contexts::ContextIntegration, debug_images::DebugImagesIntegration, panic::message_from_panic_info,
    },
    protocol::{Event, Exception, Mechanism, TraceContext},
};
use sentry_tracing::{BreadcrumbLayer, ErrorLayer};
use tracing::{Subscriber, field, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::{
    Scrubber, TelemetryConfig, TelemetryError, scrub,
    stack::{self, AttachStack, Symbols},
    transport::{Handover, HandoverConfig},
};
use crate::{Metrics, specs::business::SENTRY_ERRORS_TOTAL};

/// The SDK queues 30 envelopes and drops what comes while they are sent; a burst of errors is longer than that.
const QUEUE: usize = 1_000;

/// How much of a backtrace a record holds, in bytes: container runtimes split lines at 16 KiB, and its JSON is longer.
const BACKTRACE_LIMIT: usize = 6 * 1024;

/// The target of the record that a panic writes; the panic itself is reported, so the record is not.
const PANIC_TARGET: &str = "futura_metrics::panic";

/// What is done to an event before it leaves the process: all that need not be done where the error is.
pub(super) struct Finish {
    symbols: Symbols,
    contexts: ContextIntegration,
    images: DebugImagesIntegration,
    scrubber: Scrubber,
    options: ClientOptions,
}

// === impl Finish ===

impl Finish {
    pub(super) fn new(scrubber: Scrubber) -> Self {
        Self {
            symbols: Symbols::new(),
            contexts: ContextIntegration::default(),
            images: DebugImagesIntegration::default(),
            scrubber,
            options: ClientOptions::default(),
        }
    }

    /// The event with the names of its calls, with what is known of the program and its host, and without secrets.
    pub(super) fn event(&self, mut event: Event<'static>) -> Option<Event<'static>> {
        self.symbols.name(&mut event);
        let event = self.contexts.process_event(event, &self.options)?;
        let mut event = self.images.process_event(event, &self.options)?;
        self.scrubber.event(&mut event);
        Some(event)
    }
}

pub(super) fn connect(config: &TelemetryConfig, metrics: &Metrics) -> Result<Option<Arc<Client>>, TelemetryError> {
    let reported = metrics.counter(SENTRY_ERRORS_TOTAL)?;
    let Some(dsn) = &config.sentry_dsn else { return Ok(None) };
    let hands_over = config.sentry_socket.is_some() || HandoverConfig::is_sidecar(dsn);
    let finish = Arc::new(Finish::new(config.scrubber.clone()));
    // Whoever hands events over finishes them, on its own thread.
    let at_once = (!hands_over).then(|| Arc::clone(&finish));
    // The name of the host is found out once; the rest of it is said by whoever finishes an event.
    let host = ContextIntegration::new().add_os(false).add_rust(false).add_device(false);
    let mut options = ClientOptions::new()
        .release(config.release.clone())
        .environment(config.environment.clone())
        .sample_rate(config.sample_rate)
        .transport_channel_capacity(QUEUE)
        // Of the default integrations all but the panic hook, which would block a worker until its event is sent.
        .default_integrations(false)
        .add_integration(AttachStack)
        .add_integration(host)
        .before_send(move |event| {
            reported.inc();
            let event = join_trace(event);
            match &at_once {
                Some(finish) => finish.event(event),
                None => Some(event),
            }
        });
    options.dsn = Some(dsn.clone());
    if hands_over {
        let (socket, spool) = (config.sentry_socket.clone(), config.sentry_spool.clone());
        let (dsn, finish) = (dsn.clone(), Arc::clone(&finish));
        let handover = Handover::start(HandoverConfig { dsn, socket, spool, finish }, metrics)?;
        options = options.transport(Arc::new(handover));
    }
    let client = Arc::new(Client::from(sentry::apply_defaults(options)));
    Hub::main().bind_client(Some(Arc::clone(&client)));
    read_symbols(finish);
    Ok(Some(client))
}

/// Finishes one event ahead of need: the first stack trace in a process reads the program's debug information, which takes
/// most of a second.
fn read_symbols(finish: Arc<Finish>) {
    // Without a thread the first event takes longer, and nothing else is lost.
    let _ = thread::Builder::new().name("read-symbols".to_owned()).spawn(move || {
        finish.event(Event { stacktrace: stack::capture(), ..Event::default() });
        scrub::prepare();
    });
}

pub(super) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    // A collector that is down is not the service's error; its SDK logs it at every attempt.
    let quiet = [(PANIC_TARGET, LevelFilter::OFF), ("opentelemetry", LevelFilter::OFF)];
    let errors = Targets::new().with_default(LevelFilter::ERROR).with_targets(quiet);
    ErrorLayer::new().with_filter(errors).and_then(BreadcrumbLayer::new().with_filter(LevelFilter::INFO))
}

/// Logs each panic as a record, and reports it to Sentry where that is on.
pub(super) fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| panic::set_hook(Box::new(report_panic)));
}

fn report_panic(info: &PanicHookInfo<'_>) {
    let hub = Hub::current();
    if hub.client().is_some() {
        hub.capture_event(panic_event(info));
    }
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    // As the standard hook does, a backtrace only where RUST_BACKTRACE asks for one.
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = captured.then(|| field::display(shortened(backtrace.to_string())));
    tracing::error!(target: PANIC_TARGET, location, backtrace, "panicked: {}", message_from_panic_info(info));
}

/// A panic as the SDK reports it, but for the names in its stack trace, which are found out later.
fn panic_event(info: &PanicHookInfo<'_>) -> Event<'static> {
    let exception = Exception {
        ty: "panic".to_owned(),
        value: Some(message_from_panic_info(info).to_owned()),
        stacktrace: stack::capture(),
        mechanism: Some(Mechanism { ty: "panic".to_owned(), handled: Some(false), ..Mechanism::default() }),
        ..Exception::default()
    };
    Event { exception: vec![exception].into(), level: Level::Fatal, ..Event::default() }
}

/// The first lines of a backtrace, which are those that lead to the panic; Sentry has it whole.
fn shortened(mut backtrace: String) -> String {
    if backtrace.len() > BACKTRACE_LIMIT {
        let end = backtrace[..backtrace.floor_char_boundary(BACKTRACE_LIMIT)].rfind('\n').unwrap_or_default();
        backtrace.truncate(end);
        backtrace.push_str("\n  …");
    }
    backtrace
}

/// Makes the current OpenTelemetry span the event's trace context, so that Sentry and the traces tell of one request.
///
/// `sentry-opentelemetry` does this for an older release of OpenTelemetry only. `tracing::Span::current` is of no use here:
/// within a layer the dispatcher is not re-entrant.
fn join_trace(mut event: Event<'static>) -> Event<'static> {
    let context = opentelemetry::Context::current();
    let span = context.span().span_context().clone();
    if span.is_valid() {
        let trace = TraceContext {
            trace_id: span.trace_id().to_bytes().into(),
            span_id: span.span_id().to_bytes().into(),
            ..TraceContext::default()
        };
        event.contexts.insert("trace".to_owned(), trace.into());
    }
    event
}

#[cfg(test)]
mod tests {
    use super::{BACKTRACE_LIMIT, shortened};

    #[test]
    fn a_long_backtrace_is_cut_after_a_line() {
        assert_eq!(shortened("0: main".to_owned()), "0: main");
        let long = "  0: über::main\n".repeat(BACKTRACE_LIMIT);
        let short = shortened(long);
        assert!(short.len() <= BACKTRACE_LIMIT + "\n  …".len());
        assert!(short.ends_with("  0: über::main\n  …"), "{short}");
    }
}
