//! Values over time, one a minute.

/// Values over time, one a minute.
#[derive(Clone, Debug)]
pub struct Samples {
    segments: Vec<Segment>,
}

/// A value, and more that each differ from the one before by `step`.
#[derive(Clone, Copy, Debug)]
struct Segment {
    start: Start,
    step: f64,
    more: u64,
}

/// Where a segment begins.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// At this value.
    At(f64),
    /// A step from the last value of the segment before it.
    Continued,
}

/// A segment whose first value is known.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: f64,
    step: f64,
    more: u64,
}

// === impl Samples ===

impl Samples {
    /// The value `value`, from minute 0 to `minute`.
    pub fn steady(value: f64, minute: u64) -> Self {
        Self { segments: vec![Segment { start: Start::At(value), step: 0.0, more: minute }] }
    }

    /// Grows from zero by `per_minute`, from minute 0 to `minute`.
    pub fn growing(per_minute: f64, minute: u64) -> Self {
        Self { segments: vec![Segment { start: Start::At(0.0), step: per_minute, more: minute }] }
    }

    /// Then has the value `value` for some more minutes.
    pub fn then_steady(mut self, value: f64, minutes: u64) -> Self {
        self.segments.push(Segment { start: Start::At(value), step: 0.0, more: minutes - 1 });
        self
    }

    /// Then grows by `per_minute` for some more minutes; by zero, it stays.
    pub fn then_growing(mut self, per_minute: f64, minutes: u64) -> Self {
        self.segments.push(Segment { start: Start::Continued, step: per_minute, more: minutes - 1 });
        self
    }

    /// As many samples, all zero.
    pub(super) fn flattened(&self) -> Self {
        self.map(|_| 0.0)
    }

    /// Every value multiplied by `to` and divided by `from`.
    pub(super) fn scaled(&self, from: f64, to: f64) -> Self {
        self.map(|value| value * to / from)
    }

    /// A counter's samples as they are when its process starts anew before the sample of this minute.
    pub(super) fn restarted_at(&self, minute: u64) -> Self {
        let (mut segments, mut place, mut last) = (Vec::new(), 0, 0.0);
        for (segment, run) in self.segments.iter().zip(self.runs()) {
            let before = minute.saturating_sub(place).min(run.count());
            if before > 0 {
                last = run.at(before - 1);
                segments.push(Segment { more: before - 1, ..*segment });
            }
            if before < run.count() {
                // What was counted up to the restart is lost from what is stated; what continues, continues from there.
                let start = match segment.start {
                    Start::Continued if place > minute => Start::Continued,
                    _ => Start::At(run.at(before) - last),
                };
                segments.push(Segment { start, more: run.count() - before - 1, ..*segment });
            }
            place += run.count();
        }
        Self { segments }
    }

    /// How many samples there are.
    pub(super) fn count(&self) -> u64 {
        self.runs().iter().map(Run::count).sum()
    }

    /// Whether every value is zero.
    pub(super) fn is_zero(&self) -> bool {
        self.runs().iter().all(|run| run.first == 0.0 && run.step == 0.0)
    }

    /// Whether a value is below the one before it.
    pub(super) fn restarts(&self) -> bool {
        self.runs().windows(2).any(|runs| runs[1].first < runs[0].last())
    }

    /// As promtool writes them.
    pub(super) fn notation(&self) -> String {
        let parts = self.runs().into_iter().map(|Run { first, step, more }| format!("{first}+{step}x{more}"));
        parts.collect::<Vec<_>>().join(" ")
    }

    fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::with_capacity(self.segments.len());
        for Segment { start, step, more } in &self.segments {
            let first = match start {
                Start::At(value) => *value,
                Start::Continued => runs.last().map_or(0.0, Run::last) + step,
            };
            runs.push(Run { first, step: *step, more: *more });
        }
        runs
    }

    /// The same with every value that is stated changed.
    fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        let segments = self.segments.iter().map(|segment| {
            let start = match segment.start {
                Start::At(value) => Start::At(change(value)),
                Start::Continued => Start::Continued,
            };
            Segment { start, step: change(segment.step), ..*segment }
        });
        Self { segments: segments.collect() }
    }
}

// === impl Run ===

impl Run {
    fn count(&self) -> u64 {
        self.more + 1
    }

    fn last(&self) -> f64 {
        self.at(self.more)
    }

    /// Adds step by step as promtool does, to the same rounding: a counter that goes on a hair lower would seem to restart.
    fn at(&self, place: u64) -> f64 {
        (0..place).fold(self.first, |value, _| value + self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn a_restart_takes_away_what_was_counted_before_it() {
        let samples = Samples::growing(10.0, 5).then_growing(1.0, 4);
        assert_eq!(samples.notation(), "0+10x5 51+1x3");
        assert_eq!(samples.restarted_at(3).notation(), "0+10x2 10+10x2 31+1x3");
        assert_eq!(samples.restarted_at(6).notation(), "0+10x5 1+1x3");
        assert_eq!(samples.restarted_at(8).notation(), "0+10x5 51+1x1 1+1x1");
        assert_eq!(samples.restarted_at(2).notation(), "0+10x1 10+10x3 41+1x3");
        assert_eq!(samples.restarted_at(99).notation(), samples.notation());
        assert!(samples.restarted_at(3).restarts() && !samples.restarts());
    }

    #[test]
    fn rounding_makes_no_counter_restart() {
        let samples = Samples::growing(1.0, 60).then_growing(0.0, 60).scaled(50.0, 35.0);
        assert_eq!(samples.notation(), "0+0.7x60 42.00000000000002+0x59");
        assert!(!samples.restarts());
    }

    #[test]
    fn samples_follow_a_threshold() {
        let samples = Samples::steady(9.0, 5).then_growing(3.0, 2);
        assert_eq!(samples.scaled(10.0, 20.0).notation(), "18+0x5 24+6x1");
        assert!(samples.flattened().is_zero() && !samples.is_zero());
        assert_eq!((samples.count(), samples.flattened().count()), (8, 8));
    }
}
