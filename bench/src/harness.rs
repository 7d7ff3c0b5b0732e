//! Runs the cases of a group in turns, round by round, so that what disturbs the machine disturbs them all alike.
//!
//! On one thread, time is CPU time: other programs on the machine do not count, though what they do to caches does. On two
//! threads it is the clock's time, as a thread that sleeps until the other lets go of a lock uses no CPU; rounds in which
//! the kernel gave a processor to anything else are thrown away.

use std::{
    fs, hint,
    sync::atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// How many threads do the same case at once in the second part of a run.
const THREADS: usize = 2;
/// How much shorter a round on two threads is: the less time it takes, the more often nothing interrupts it.
const CONTENDED_SHARE: u64 = 5;
/// How often a round on two threads is tried until nothing interrupts it.
const CONTENDED_TRIES: usize = 10;
/// How much of a round one thread may run before the other.
const MAX_SKEW: f64 = 0.1;

/// An operation that is measured.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The case of another library that does the same.
    pub(crate) peer: Option<&'static str>,
    repeat: Box<dyn Fn(u64) + Send + Sync>,
    settle: Box<dyn Fn() + Send + Sync>,
}

/// How much a run does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    /// Operations of one case in one round.
    pub(crate) iterations: u64,
    /// Whether the cases are also run on two threads at once.
    pub(crate) contended: bool,
}

/// What a run found out about one case.
#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) name: &'static str,
    pub(crate) peer: Option<&'static str>,
    /// On one thread.
    pub(crate) alone: Rounds,
    /// On two threads at once, by the rounds in which both ran without interruption; there may be none.
    pub(crate) contended: Rounds,
}

/// What was measured in each round, such as the nanoseconds that an operation took.
#[derive(Debug, Default)]
pub(crate) struct Rounds(Vec<f64>);

/// A case done so many times on one thread.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: Instant,
    cpu: Duration,
    elapsed: Duration,
    /// Whether the kernel took the thread off its processor.
    interrupted: bool,
}

// === impl Case ===

impl Case {
    /// A case whose operation is told its number, to choose an input by.
    pub(crate) fn new(name: &'static str, operation: impl Fn(u64) + Send + Sync + 'static) -> Self {
        let repeat = Box::new(move |iterations| (0..iterations).for_each(&operation));
        Self { name, peer: None, repeat, settle: Box::new(|| ()) }
    }

    /// Names the case to compare with.
    pub(crate) fn beside(mut self, peer: &'static str) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Has `settle` done after each round, outside the time: what a program does now and then.
    pub(crate) fn settled_by(mut self, settle: impl Fn() + Send + Sync + 'static) -> Self {
        self.settle = Box::new(settle);
        self
    }

    /// Does the operation so many times.
    pub(crate) fn repeat(&self, iterations: u64) {
        (self.repeat)(iterations);
    }

    /// The mean of two threads that do the case at once, unless one of them was interrupted.
    fn time_contended(&self, iterations: u64) -> Option<f64> {
        let (arrived, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let on_thread = || {
            // A thread that sleeps until the other comes would start late.
            arrived.fetch_add(1, AcqRel);
            while arrived.load(Acquire) < THREADS {
                hint::spin_loop();
            }
            let run = Run::time(self, iterations);
            // Whoever is faster keeps the other company.
            finished.fetch_add(1, AcqRel);
            while finished.load(Acquire) < THREADS {
                self.repeat(iterations.div_ceil(100));
            }
            run
        };
        let runs: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(on_thread)).collect();
            threads.into_iter().map(|thread| thread.join().expect("an operation does not panic")).collect()
        });
        let elapsed: Duration = runs.iter().map(|run| run.elapsed).sum();
        together(&runs).then(|| nanoseconds(elapsed, iterations * runs.len() as u64))
    }
}

// === impl Run ===

impl Run {
    fn time(case: &Case, iterations: u64) -> Self {
        let before = interruptions();
        let (start, start_cpu) = (Instant::now(), thread_cpu_time());
        case.repeat(iterations);
        let (cpu, elapsed) = (thread_cpu_time() - start_cpu, start.elapsed());
        Self { start, cpu, elapsed, interrupted: interruptions() != before }
    }
}

// === impl Measurement ===

impl Measurement {
    fn of(case: &Case) -> Self {
        Self { name: case.name, peer: case.peer, alone: Rounds::default(), contended: Rounds::default() }
    }
}

// === impl Rounds ===

impl Rounds {
    /// The middle round; NaN where there was none.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        f64::midpoint(middle(sorted.len().saturating_sub(1) / 2), middle(sorted.len() / 2))
    }

    /// The shortest round; NaN where there was none.
    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// What each round took longer than the same round of `base`.
    pub(crate) fn over(&self, base: &Self) -> Self {
        Self(self.0.iter().zip(&base.0).map(|(own, base)| own - base).collect())
    }
}

/// Measures all cases in turns.
pub(crate) fn measure(cases: &[Case], plan: Plan) -> Vec<Measurement> {
    let mut measurements: Vec<_> = cases.iter().map(Measurement::of).collect();
    for case in cases {
        case.repeat(plan.iterations.div_ceil(10));
    }
    for _ in 0..plan.rounds {
        for (case, measurement) in cases.iter().zip(&mut measurements) {
            measurement.alone.0.push(nanoseconds(Run::time(case, plan.iterations).cpu, plan.iterations));
            (case.settle)();
        }
    }
    // Two threads on one processor never meet.
    let contended = plan.contended && thread::available_parallelism().is_ok_and(|cores| cores.get() >= THREADS);
    for _ in 0..if contended { plan.rounds.div_ceil(2) } else { 0 } {
        for (case, measurement) in cases.iter().zip(&mut measurements) {
            let iterations = plan.iterations.div_ceil(CONTENDED_SHARE);
            let time = (0..CONTENDED_TRIES).find_map(|_| case.time_contended(iterations));
            measurement.contended.0.extend(time);
            (case.settle)();
        }
    }
    measurements
}

/// The measurement of the case with this name, which its group has.
pub(crate) fn named<'a>(measurements: &'a [Measurement], name: &str) -> &'a Measurement {
    measurements.iter().find(|measurement| measurement.name == name).expect("a group names its own cases")
}

/// Whether all ran at the same time and without interruption: only then have they met.
fn together(runs: &[Run]) -> bool {
    let starts = || runs.iter().map(|run| run.start);
    let skew = starts().max().zip(starts().min()).map_or(Duration::ZERO, |(last, first)| last - first);
    let shortest = runs.iter().map(|run| run.elapsed).min().unwrap_or_default();
    runs.iter().all(|run| !run.interrupted) && skew <= shortest.mul_f64(MAX_SKEW)
}

/// How often the kernel has taken this thread off its processor against its will; none where it does not tell.
fn interruptions() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:")?.trim().parse().ok())
}

fn nanoseconds(time: Duration, operations: u64) -> f64 {
    time.as_nanos() as f64 / operations as f64
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Since the thread began, so neither part is negative.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::{
            Arc, Mutex,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        thread,
        time::{Duration, Instant},
    };

    use super::{Case, Plan, Rounds, Run, measure, named, together};

    #[test]
    fn every_case_is_done_as_often_as_planned() {
        let (done, settled) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (count, count_settled) = (Arc::clone(&done), Arc::clone(&settled));
        let case = Case::new("count", move |number| {
            count.fetch_add(number, Relaxed);
        });
        let case = case.settled_by(move || {
            count_settled.fetch_add(1, Relaxed);
        });
        let measurements = measure(&[case], Plan { rounds: 3, iterations: 100, contended: false });
        // Ten to warm up and three rounds of a hundred, each operation adding its number.
        assert_eq!(done.load(Relaxed), 45 + 3 * 4950);
        assert_eq!(settled.load(Relaxed), 3);
        assert_eq!(named(&measurements, "count").alone.0.len(), 3);
        assert!(named(&measurements, "count").contended.median().is_nan());
    }

    #[test]
    fn two_threads_do_a_case_at_once() {
        let threads = Arc::new(Mutex::new(HashSet::new()));
        let seen = Arc::clone(&threads);
        let case = Case::new("meet", move |_| {
            seen.lock().unwrap().insert(thread::current().id());
        });
        // Whether the time counts depends on what else the machine does.
        let _ = case.time_contended(10);
        assert_eq!(threads.lock().unwrap().len(), 2);
    }

    #[test]
    fn threads_that_did_not_meet_do_not_count() {
        let millisecond = Duration::from_millis(1);
        let time = 10 * millisecond;
        let run = Run { start: Instant::now(), cpu: time, elapsed: time, interrupted: false };
        let late = Run { start: run.start + 5 * millisecond, ..run };
        let interrupted = Run { interrupted: true, ..run };
        assert!(together(&[run, run]));
        assert!(!together(&[run, late]));
        assert!(!together(&[interrupted, run]));
    }

    #[test]
    fn the_median_is_the_middle_round_and_differences_are_taken_round_by_round() {
        let base = Rounds(vec![10.0, 20.0, 40.0]);
        let rounds = Rounds(vec![13.0, 21.0, 42.0]);
        assert_eq!(rounds.median(), 21.0);
        assert_eq!(rounds.min(), 13.0);
        assert_eq!(rounds.over(&base).median(), 2.0);
        assert_eq!(Rounds(vec![1.0, 4.0, 2.0, 3.0]).median(), 2.5);
    }
}
