//! Numbers of threads: no two threads that live have the same one, and one that ends leaves its to the next.

use std::{cell::Cell, collections::BTreeSet, num::NonZero};

use parking_lot::Mutex;

/// What tells a thread from every other that lives.
pub(super) type ThreadNumber = NonZero<u32>;

/// Numbers that are free again, of which the lowest goes first, and the highest that was ever given out.
static NUMBERS: Mutex<(BTreeSet<ThreadNumber>, u32)> = Mutex::new((BTreeSet::new(), 0));

thread_local! {
    // Read at every increment: without a destructor, it is one load.
    static NUMBER: Cell<Option<ThreadNumber>> = const { Cell::new(None) };
    static LEASE: Lease = Lease::take();
}

/// Gives the thread's number back when the thread ends.
///
/// The lock orders what the thread stored before what the next with its number loads.
struct Lease(ThreadNumber);

/// The number of this thread; none while it ends, when its number may be another's already.
pub(super) fn current() -> Option<ThreadNumber> {
    NUMBER.get().or_else(take)
}

#[cold]
fn take() -> Option<ThreadNumber> {
    LEASE.try_with(|lease| NUMBER.set(Some(lease.0))).ok()?;
    NUMBER.get()
}

// === impl Lease ===

impl Lease {
    fn take() -> Self {
        let (free, highest) = &mut *NUMBERS.lock();
        Self(free.pop_first().unwrap_or_else(|| {
            *highest += 1;
            ThreadNumber::new(*highest).expect("there are never as many threads as numbers")
        }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        NUMBER.set(None);
        NUMBERS.lock().0.insert(self.0);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{collections::HashSet, sync::Barrier, thread};

    use super::current;

    #[test]
    fn threads_that_live_have_numbers_of_their_own_and_ended_ones_leave_theirs() {
        const THREADS: usize = 8;
        let (barrier, mut ever) = (Barrier::new(THREADS), HashSet::new());
        for _ in 0..50 {
            let numbers: HashSet<_> = thread::scope(|scope| {
                let number = || {
                    let number = current().unwrap();
                    barrier.wait();
                    assert_eq!(current(), Some(number));
                    number
                };
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(number)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(numbers.len(), THREADS);
            ever.extend(numbers);
        }
        // A scope does not wait for the destructors of its threads, so a number may come back a round later.
        assert!(ever.len() < 10 * THREADS, "{}", ever.len());
    }
}
