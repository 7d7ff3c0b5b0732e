//! The clock that requests are timed by: the processor's own where the kernel goes by it too, else the kernel's.

use std::{fs, time::Instant};

/// Where Linux says what it keeps time by.
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Gives readings, of which only the difference means something.
pub(super) enum Clock {
    /// A reading takes a third of the time that the kernel's does. It is scaled by a factor found when the clock is made.
    Processor(quanta::Clock),
    Kernel(Instant),
}

// === impl Clock ===

impl Clock {
    /// Takes a millisecond as a rule, in which the processor's clock is compared with the kernel's.
    pub(super) fn new() -> Self {
        // The kernel watches the counter and gives it up where it is not steady, or not the same on all processors.
        match fs::read_to_string(CLOCK_SOURCE) {
            Ok(source) if source.trim() == "tsc" => Self::Processor(quanta::Clock::new()),
            _ => Self::Kernel(Instant::now()),
        }
    }

    #[inline]
    pub(super) fn read(&self) -> u64 {
        match self {
            Self::Processor(clock) => clock.raw(),
            Self::Kernel(start) => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// The time since a reading; none where processors differ by so little that it seems to run backwards.
    #[inline]
    pub(super) fn nanoseconds_since(&self, reading: u64) -> u64 {
        match self {
            Self::Processor(clock) => clock.delta_as_nanos(reading, clock.raw()),
            Self::Kernel(_) => self.read().saturating_sub(reading),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Clock;

    #[test]
    fn both_clocks_measure_what_the_kernel_measures() {
        for clock in [Clock::new(), Clock::Kernel(Instant::now())] {
            let before = Instant::now();
            let reading = clock.read();
            let inner = Instant::now();
            while inner.elapsed() < Duration::from_millis(20) {}
            let least = inner.elapsed();
            let measured = Duration::from_nanos(clock.nanoseconds_since(reading));
            let most = before.elapsed();
            // Within a hundredth: the factor is found in a short time.
            assert!(
                least.mul_f64(0.99) <= measured && measured <= most.mul_f64(1.01),
                "{least:?} {measured:?} {most:?}"
            );
        }
    }
}
