//! What a scrubber would do to an event or an envelope, for people.

use std::fmt;

use super::{Hit, RemovedItem, ScrubError, Scrubber};
use crate::errors::json::Json;

/// What a scrubber did. It shows as a line for each hit, which says where and by which rule, never what.
#[derive(Debug)]
pub struct Explanation {
    /// The event or envelope, scrubbed.
    pub scrubbed: Vec<u8>,
    /// What was removed, in order.
    pub hits: Vec<Hit>,
    /// The items that were removed as they could not be scrubbed.
    pub removed: Vec<RemovedItem>,
}

// === impl Explanation ===

impl Explanation {
    /// Scrubs an envelope, or an event that stands alone.
    ///
    /// # Errors
    /// When the bytes are neither.
    pub fn of(scrubber: &Scrubber, bytes: Vec<u8>) -> Result<Self, ScrubError> {
        if Json::parse(&bytes).is_ok()
            || Json::parse(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()).is_err()
        {
            let (scrubbed, hits) = scrubber.event(&bytes)?;
            return Ok(Self { scrubbed, hits, removed: Vec::new() });
        }
        let scrubbed = scrubber.envelope(bytes)?;
        Ok(Self { scrubbed: scrubbed.bytes, hits: scrubbed.hits, removed: scrubbed.removed })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.hits.iter().map(|hit| hit.path.chars().count()).max().unwrap_or_default();
        for hit in &self.hits {
            writeln!(formatter, "{:width$}  {:<8}  {}", hit.path, hit.done(), hit.rule)?;
        }
        for RemovedItem { kind, error } in &self.removed {
            writeln!(formatter, "the item `{kind}` is removed as a whole: {error}")?;
        }
        match self.hits.len() {
            0 => formatter.write_str("no rule finds anything"),
            1 => formatter.write_str("1 hit"),
            number => write!(formatter, "{number} hits"),
        }
    }
}
