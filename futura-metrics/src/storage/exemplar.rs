//! Exemplars: the span of a bucket's first observation since the last scrape, kept without a lock or an allocation.
//!
//! A slot is a sequence lock: a writer that finds another at work leaves its exemplar out, a reader that sees a write in
//! between does without. Nobody waits.

use rustix::time::{ClockId, clock_gettime};

use super::sync::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};

/// Some milliseconds coarse, and ten times as cheap as the exact one.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::RealtimeCoarse;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Realtime;

/// Two of the trace's id, and one each of the span's, the value and the time.
const WORDS: usize = 5;

/// The span that an observation was made in, as an exemplar names it: bytes in the order in which a `traceparent` writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanRef {
    /// The id of the trace.
    pub trace_id: [u8; 16],
    /// The id of the span.
    pub span_id: [u8; 8],
}

/// An observation and its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    pub(crate) span: SpanRef,
    /// The observed value, in steps.
    pub(crate) steps: u64,
    /// When, in milliseconds since the Unix epoch: Prometheus drops an exemplar of a native histogram without a time.
    pub(crate) time_ms: u64,
}

/// Room for one exemplar.
#[derive(Debug)]
pub(super) struct Slot {
    /// Zero while empty, odd while being written.
    version: AtomicU64,
    /// Whether it was written since it was read.
    unread: AtomicBool,
    words: [AtomicU64; WORDS],
}

// === impl SpanRef ===

impl SpanRef {
    /// The current OpenTelemetry span, if it is sampled: the trace of one that is not can never be looked up.
    #[cfg(feature = "telemetry")]
    pub fn current() -> Option<Self> {
        use opentelemetry::{Context, trace::TraceContextExt};
        Context::map_current(|context| {
            let span = context.span();
            let span = span.span_context();
            span.is_sampled().then(|| Self { trace_id: span.trace_id().to_bytes(), span_id: span.span_id().to_bytes() })
        })
    }

    /// Both ids as they are written: in lower-case hexadecimal digits.
    pub(crate) fn hex_ids(self) -> (String, String) {
        let (trace_id, span_id) = (u128::from_be_bytes(self.trace_id), u64::from_be_bytes(self.span_id));
        (format!("{trace_id:032x}"), format!("{span_id:016x}"))
    }
}

// === impl Exemplar ===

impl Exemplar {
    /// An observation that was made now.
    pub(super) fn now(span: SpanRef, steps: u64) -> Self {
        let now = clock_gettime(CLOCK);
        Self { span, steps, time_ms: (now.tv_sec * 1_000 + now.tv_nsec / 1_000_000) as u64 }
    }

    fn words(self) -> [u64; WORDS] {
        let (trace_id, span_id) = (u128::from_be_bytes(self.span.trace_id), u64::from_be_bytes(self.span.span_id));
        [(trace_id >> 64) as u64, trace_id as u64, span_id, self.steps, self.time_ms]
    }

    fn from_words([high, low, span_id, steps, time_ms]: [u64; WORDS]) -> Self {
        let trace_id = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        Self { span: SpanRef { trace_id, span_id: span_id.to_be_bytes() }, steps, time_ms }
    }
}

// === impl Slot ===

impl Slot {
    pub(super) fn new() -> Self {
        Self { version: AtomicU64::new(0), unread: AtomicBool::new(false), words: [0; WORDS].map(AtomicU64::new) }
    }

    /// Whether there is none that is still to be read: then the next is worth its time.
    pub(super) fn wants(&self) -> bool {
        !self.unread.load(Relaxed)
    }

    /// Keeps `exemplar` instead of the one before, unless another writer is at it.
    pub(super) fn write(&self, exemplar: Exemplar) {
        let version = self.version.load(Relaxed);
        if version % 2 == 1 || self.version.compare_exchange(version, version + 1, AcqRel, Relaxed).is_err() {
            return;
        }
        // Whoever reads a word written below has to see the odd version as well.
        fence(Release);
        for (word, value) in self.words.iter().zip(exemplar.words()) {
            word.store(value, Relaxed);
        }
        self.version.store(version + 2, Release);
        self.unread.store(true, Relaxed);
    }

    /// The exemplar, if there is one and nobody is writing.
    pub(super) fn read(&self) -> Option<Exemplar> {
        let version = self.version.load(Acquire);
        if version == 0 || version % 2 == 1 {
            return None;
        }
        let words = std::array::from_fn(|index| self.words[index].load(Relaxed));
        fence(Acquire);
        let whole = self.version.load(Relaxed) == version;
        if whole {
            self.unread.store(false, Relaxed);
        }
        whole.then(|| Exemplar::from_words(words))
    }
}

#[cfg(all(test, loom))]
mod tests {
    use loom::{sync::Arc, thread};

    use super::{Exemplar, Slot, SpanRef};

    fn exemplar(number: u64) -> Exemplar {
        let trace_id = (u128::from(number) << 64 | u128::from(number)).to_be_bytes();
        let span = SpanRef { trace_id, span_id: number.to_be_bytes() };
        Exemplar { span, steps: number, time_ms: number }
    }

    /// Under every interleaving and every order that the memory model allows.
    #[test]
    fn a_reader_sees_a_whole_exemplar_or_none() {
        loom::model(|| {
            let slot = Arc::new(Slot::new());
            let writers = [1, 2].map(|number| {
                let slot = Arc::clone(&slot);
                thread::spawn(move || slot.write(exemplar(number)))
            });
            if let Some(seen) = slot.read() {
                assert!([exemplar(1), exemplar(2)].contains(&seen), "{seen:?}");
            }
            for writer in writers {
                writer.join().unwrap();
            }
            assert!(slot.read().is_some(), "one of the writers was alone");
        });
    }
}
