//! One list of checks for several replicas: each runs its share.

use std::{fmt, str::FromStr};

use crate::scheduler::spread;

/// The share of one replica of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

// === impl Shard ===

impl Shard {
    /// Whether a check is of this share. Every check is of exactly one.
    pub(super) fn has(self, name: &str) -> bool {
        // The upper half, as the offset of the first run goes by the whole.
        (spread(name) >> 32) % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Reads `0/3`, counted from zero, or `sidecar-0/3`: a pod of a StatefulSet has its number at the end of its name.
    fn from_str(text: &str) -> Result<Self, String> {
        let read = text.split_once('/').and_then(|(index, count)| {
            let index = index.rsplit('-').next()?.parse().ok()?;
            Some(Self { index, count: count.parse().ok()? })
        });
        read.filter(|shard| shard.index < shard.count).ok_or_else(|| {
            format!(
                "`{text}` is no share: write `0/3`, `1/3` and `2/3`, or `${{HOSTNAME}}/3` in a StatefulSet of three"
            )
        })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn every_check_is_of_one_share_and_the_shares_are_even() {
        let shards: Vec<Shard> = ["0/3", "sidecar-1/3", "a-b-2/3"].map(|text| text.parse().expect("a share")).into();
        let mut counts = [0; 3];
        for number in 0..3000 {
            let name = format!("check-{number}");
            let holding: Vec<_> = (0..3).filter(|index| shards[*index].has(&name)).collect();
            assert_eq!(holding.len(), 1, "{name}");
            counts[holding[0]] += 1;
        }
        assert!(counts.iter().all(|count| (900..=1100).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_is_no_share_is_told() {
        for text in ["", "3", "3/3", "a/3", "0/0", "-1", "1/", "0/3/3", "x-/3"] {
            assert!(text.parse::<Shard>().expect_err(text).contains("no share"), "{text}");
        }
    }
}
