//! Stack traces in two steps: whoever reports an error takes down addresses alone, and whoever sends the event finds out what
//! they are, which takes ten times as long.
//!
//! In between, the addresses are the text of one frame: a frame for each is twenty kilobytes of mostly nothing, which one
//! thread would write and another read.

use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use backtrace::Symbol;
use sentry::{
    ClientOptions, Integration,
    integrations::backtrace::{current_thread, process_event_stacktrace},
    protocol::{Context, Event, Exception, Frame, Mechanism, Stacktrace, Thread},
};

/// How many calls a trace goes back, at most; Sentry keeps 250.
const DEPTH: usize = 200;

/// The digits of an address, base 16.
const ADDRESS: usize = 16;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// How many addresses are known at once. Errors come from few places, whose callers are mostly the same.
const KNOWN: usize = 4_000;

/// How the SDK names what comes of a record.
const RECORD: &str = "tracing";

/// Frames of what leads from the record of an error to its event: none of them is the application.
const NOT_IN_APP: [&str; 6] =
    ["futura_metrics::", "log::", "opentelemetry::", "tracing::", "tracing_opentelemetry::", "tracing_subscriber::"];

/// Adds a stack trace of addresses to each event that has none.
pub(super) struct AttachStack;

/// Finds out which calls addresses stand for, and keeps what it has found.
pub(super) struct Symbols {
    /// The calls at an address, those that were inlined into others first.
    known: Mutex<HashMap<u64, Arc<[Frame]>>>,
    options: ClientOptions,
}

/// The addresses that the calls on this thread return to, the innermost first, in the one frame that [`Symbols::name`] reads.
#[inline(never)]
pub(super) fn capture() -> Option<Stacktrace> {
    let mut addresses = String::with_capacity(DEPTH / 2 * ADDRESS);
    backtrace::trace(|frame| {
        let address = frame.ip() as u64;
        addresses.extend((0..ADDRESS).rev().map(|digit| char::from(DIGITS[(address >> (4 * digit)) as usize % 16])));
        addresses.len() < DEPTH * ADDRESS
    });
    let frame = Frame { symbol: Some(addresses), ..Frame::default() };
    Stacktrace::from_frames_reversed(vec![frame])
}

/// What [`capture`] has taken down, the outermost first; none where a frame is any other.
fn captured(frame: &Frame) -> Option<Vec<u64>> {
    let addresses = frame.symbol.as_deref().filter(|_| frame.function.is_none())?.as_bytes().rchunks(ADDRESS);
    let address = |digits| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok();
    addresses.map(address).collect()
}

// === impl AttachStack ===

impl Integration for AttachStack {
    fn name(&self) -> &'static str {
        "attach-stacktrace"
    }

    fn process_event(&self, mut event: Event<'static>, _: &ClientOptions) -> Option<Event<'static>> {
        let has_stack = event.stacktrace.is_some()
            || event.exception.iter().any(|exception| exception.stacktrace.is_some())
            || event.threads.iter().any(|thread| thread.stacktrace.is_some());
        if !has_stack {
            let thread = Thread { stacktrace: capture(), ..current_thread(false) };
            match is_record_of_error(&event) {
                true => add_record(&mut event, thread),
                false => event.threads.values.push(thread),
            }
        }
        Some(event)
    }
}

/// Whether a record with a message had an error as a field.
fn is_record_of_error(event: &Event<'_>) -> bool {
    let mechanism = event.exception.last().and_then(|exception| exception.mechanism.as_ref());
    event.message.is_some() && mechanism.is_some_and(|mechanism| mechanism.ty == RECORD)
}

/// Makes the record itself the outermost exception, as the SDK does where it takes down stack traces: Sentry groups events by
/// the stack of that one, and shows its text.
fn add_record(event: &mut Event<'_>, thread: Thread) {
    if let Some(error) = event.exception.last_mut() {
        error.mechanism = None;
    }
    let module = match event.contexts.get("Rust Tracing Location") {
        Some(Context::Other(location)) => location.get("module_path").and_then(|path| path.as_str()).map(str::to_owned),
        _ => None,
    };
    event.exception.values.push(Exception {
        ty: "tracing::error!".to_owned(),
        value: event.message.take(),
        module,
        stacktrace: thread.stacktrace,
        thread_id: thread.id,
        mechanism: Some(Mechanism { ty: RECORD.to_owned(), synthetic: Some(true), ..Mechanism::default() }),
        ..Exception::default()
    });
}

// === impl Symbols ===

impl Symbols {
    pub(super) fn new() -> Self {
        Self { known: Mutex::default(), options: ClientOptions::new().in_app_exclude(NOT_IN_APP) }
    }

    /// Names the calls in an event's stack traces, and tells which of them are the application's.
    pub(super) fn name(&self, event: &mut Event<'static>) {
        let exceptions = event.exception.values.iter_mut().map(|exception| &mut exception.stacktrace);
        let threads = event.threads.values.iter_mut().map(|thread| &mut thread.stacktrace);
        for stack in exceptions.chain(threads).chain([&mut event.stacktrace]).flatten() {
            self.name_frames(stack);
        }
    }

    fn name_frames(&self, stack: &mut Stacktrace) {
        let mut named = Vec::with_capacity(stack.frames.len());
        for frame in stack.frames.drain(..) {
            match captured(&frame) {
                Some(addresses) => {
                    addresses.iter().for_each(|address| named.extend(self.calls_at(*address).iter().cloned()));
                }
                None => named.push(frame),
            }
        }
        stack.frames = named;
        process_event_stacktrace(stack, &self.options);
    }

    /// The calls that an address stands for, those that were inlined into another after it.
    fn calls_at(&self, address: u64) -> Arc<[Frame]> {
        if let Some(calls) = self.known().get(&address) {
            return Arc::clone(calls);
        }
        let mut calls = Vec::new();
        // Address by address: each takes a lock that whoever takes down a stack trace waits for.
        backtrace::resolve(address as usize as *mut c_void, |symbol| calls.push(call(symbol, address)));
        if calls.is_empty() {
            let unknown = Some("<unknown>".to_owned());
            calls.push(Frame { function: unknown, instruction_addr: Some(address.into()), ..Frame::default() });
        }
        calls.reverse();
        let (calls, mut known) = (Arc::<[Frame]>::from(calls), self.known());
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(address, Arc::clone(&calls));
        calls
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Arc<[Frame]>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn call(symbol: &Symbol, address: u64) -> Frame {
    let path = symbol.filename().map(|path| path.to_string_lossy().into_owned());
    Frame {
        // Without the hash at the end, which changes with each build.
        function: Some(symbol.name().map_or_else(|| "<unknown>".to_owned(), |name| format!("{name:#}"))),
        instruction_addr: Some(address.into()),
        filename: path.as_ref().and_then(|path| path.rsplit('/').next()).map(str::to_owned),
        abs_path: path,
        lineno: symbol.lineno().map(u64::from),
        ..Frame::default()
    }
}

#[cfg(test)]
mod tests {
    use sentry::{
        ClientOptions, Integration,
        integrations::backtrace::{AttachStacktraceIntegration, ProcessStacktraceIntegration},
        protocol::{Event, Exception, Frame, Mechanism, Stacktrace},
    };

    use super::{AttachStack, KNOWN, NOT_IN_APP, Symbols, capture, captured};

    fn stack(event: &Event<'_>) -> Stacktrace {
        event.threads.values[0].stacktrace.clone().expect("a stack trace")
    }

    /// What the SDK and we take down on the same line.
    fn both() -> [Event<'static>; 2] {
        let options = ClientOptions::new().attach_stacktrace(true).in_app_exclude(NOT_IN_APP);
        let take: [fn(Event<'static>, &ClientOptions) -> Option<Event<'static>>; 2] = [
            |event, options| AttachStacktraceIntegration.process_event(event, options),
            |event, options| AttachStack.process_event(event, options),
        ];
        let mut events = take.map(|take| take(Event::default(), &options).expect("an event"));
        Symbols::new().name(&mut events[1]);
        events[0] = ProcessStacktraceIntegration.process_event(events[0].clone(), &options).expect("an event");
        events
    }

    #[test]
    fn a_stack_trace_is_that_of_the_sdk() {
        let [theirs, ours] = both().map(|event| {
            let frames = stack(&event).frames;
            // Below are the frames that take the trace down, and the line that calls them.
            let end =
                frames.iter().position(|frame| frame.function.as_deref().is_some_and(|name| name.ends_with("::both")));
            frames[..end.expect("the caller")].to_vec()
        });
        assert_eq!(theirs, ours);
        let caller =
            ours.iter().rfind(|frame| frame.function.as_deref().is_some_and(|name| name.contains("that_of_the_sdk")));
        let caller = caller.expect("this test");
        assert_eq!(caller.filename.as_deref(), Some("stack.rs"));
        assert!(caller.lineno.is_some() && caller.in_app == Some(false), "{caller:?}");
    }

    #[test]
    fn until_it_is_named_a_trace_is_addresses() {
        let mut event = Event { stacktrace: capture(), ..Event::default() };
        let stack = event.stacktrace.clone().expect("a stack trace");
        let [frame] = &stack.frames[..] else { panic!("{stack:?}") };
        let addresses = captured(frame).expect("addresses");
        let symbols = Symbols::new();
        symbols.name(&mut event);
        let named = event.stacktrace.clone().expect("a stack trace").frames;
        assert!(named.iter().all(|frame| frame.function.is_some()));
        let mut called: Vec<_> = named.iter().filter_map(|frame| Some(frame.instruction_addr?.0)).collect();
        called.dedup();
        assert_eq!(called, addresses);
        // What has names keeps them.
        let before = event.clone();
        symbols.name(&mut event);
        assert_eq!(event, before);
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let symbols = Symbols::new();
        for address in 1..=2 * KNOWN as u64 {
            let calls = symbols.calls_at(address);
            assert_eq!(calls[0].function.as_deref(), Some("<unknown>"), "there is no code that low");
        }
        assert!(symbols.known().len() <= KNOWN);
    }

    #[test]
    fn the_record_of_an_error_is_the_outermost_exception() {
        let error = Exception {
            ty: "Late".to_owned(),
            mechanism: Some(Mechanism { ty: "tracing".to_owned(), ..Mechanism::default() }),
            ..Exception::default()
        };
        let record = Event { message: Some("no seat".to_owned()), exception: vec![error].into(), ..Event::default() };
        let event = AttachStack.process_event(record, &ClientOptions::new()).expect("an event");
        let [inner, outer] = &event.exception.values[..] else { panic!("{:?}", event.exception) };
        assert_eq!((inner.ty.as_str(), inner.mechanism.as_ref()), ("Late", None));
        assert_eq!((outer.ty.as_str(), outer.value.as_deref()), ("tracing::error!", Some("no seat")));
        assert!(outer.stacktrace.is_some() && event.message.is_none() && event.threads.is_empty());
    }

    #[test]
    fn a_stack_trace_that_is_there_is_left_alone() {
        let there = Stacktrace { frames: vec![Frame::default()], ..Stacktrace::default() };
        let event = Event { stacktrace: Some(there), ..Event::default() };
        let same = AttachStack.process_event(event.clone(), &ClientOptions::new());
        assert_eq!(same, Some(event));
    }
}
