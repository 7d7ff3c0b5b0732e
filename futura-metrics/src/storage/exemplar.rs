//! Exemplars: the span in which a bucket's last observation was made, kept without a lock or an allocation.
//!
//! A slot is a sequence lock: a writer that finds another at work leaves its exemplar out, a reader that sees a write in
//! between does without. Nobody waits.

#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

use Ordering::{AcqRel, Acquire, Relaxed, Release};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};

/// The span that an observation was made in, as an exemplar names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanRef {
    /// The id of the trace.
    pub trace_id: u128,
    /// The id of the span.
    pub span_id: u64,
}

/// An observation and its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    pub(crate) span: SpanRef,
    /// The observed value, in steps.
    pub(crate) steps: u64,
}

/// Room for one exemplar.
#[derive(Debug)]
pub(super) struct Slot {
    /// Zero while empty, odd while being written.
    version: AtomicU64,
    words: [AtomicU64; 4],
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
            span.is_sampled().then(|| Self {
                trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
                span_id: u64::from_be_bytes(span.span_id().to_bytes()),
            })
        })
    }
}

// === impl Exemplar ===

impl Exemplar {
    fn words(self) -> [u64; 4] {
        let SpanRef { trace_id, span_id } = self.span;
        [(trace_id >> 64) as u64, trace_id as u64, span_id, self.steps]
    }

    fn from_words([high, low, span_id, steps]: [u64; 4]) -> Self {
        Self { span: SpanRef { trace_id: u128::from(high) << 64 | u128::from(low), span_id }, steps }
    }
}

// === impl Slot ===

impl Slot {
    pub(super) fn new() -> Self {
        Self { version: AtomicU64::new(0), words: [0; 4].map(AtomicU64::new) }
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
    }

    /// The exemplar, if there is one and nobody is writing.
    pub(super) fn read(&self) -> Option<Exemplar> {
        let version = self.version.load(Acquire);
        if version == 0 || version % 2 == 1 {
            return None;
        }
        let words = [0, 1, 2, 3].map(|index: usize| self.words[index].load(Relaxed));
        fence(Acquire);
        (self.version.load(Relaxed) == version).then(|| Exemplar::from_words(words))
    }
}

#[cfg(all(test, loom))]
mod tests {
    use loom::{sync::Arc, thread};

    use super::{Exemplar, Slot, SpanRef};

    fn exemplar(number: u64) -> Exemplar {
        let span = SpanRef { trace_id: u128::from(number) << 64 | u128::from(number), span_id: number };
        Exemplar { span, steps: number }
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
