//! What an expression's value measures, followed through the functions that are applied to it.

use futura_metrics::spec::Unit;

/// What a value measures; annotations and panels write it accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A number of things.
    Count,
    /// A number of things per second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// CPU cores kept busy: seconds of CPU time per second.
    Cores,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// A share, 1 being all.
    Ratio,
    /// A number that stands for a state.
    State,
}

// === impl Quantity ===

impl Quantity {
    /// The growth per second of this quantity.
    pub(crate) fn rate(self) -> Self {
        match self {
            Self::Seconds => Self::Cores,
            Self::Bytes => Self::BytesPerSecond,
            _ => Self::PerSecond,
        }
    }

    /// The sum of several: states that are 0 or 1 add up to a number of things.
    pub(crate) fn sum(self) -> Self {
        if self == Self::State { Self::Count } else { self }
    }
}

impl From<Unit> for Quantity {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Count => Self::Count,
            Unit::Seconds | Unit::Timestamp => Self::Seconds,
            Unit::Bytes => Self::Bytes,
            Unit::Ratio => Self::Ratio,
            Unit::State => Self::State,
        }
    }
}
