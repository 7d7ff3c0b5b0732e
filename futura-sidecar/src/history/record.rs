//! The records of a history's file, each in a frame of its length and its CRC-32: a write that was torn off by a crash is known
//! by the first frame that is not whole, and all before it is read.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use futura_metrics::specs::checks::Reason;

use super::{FailedRun, Hour, Sample, State};
use crate::network::Failure;

/// What the file begins with: what it is and the version of its records.
pub(super) const MAGIC: &[u8; 8] = b"FUTHIST1";

/// How long a record may be, in bytes: a name and a message are short.
const RECORD_LIMIT: usize = 64 * 1024;

/// How many results of a check are written anew one by one; the others stay in their hours.
const KEPT: usize = 100;

/// One record of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// From here on the number stands for the name.
    Name {
        number: u32,
        name: &'a str,
    },
    /// A result, which counts in its hour.
    Result {
        number: u32,
        sample: Sample,
    },
    /// A result whose hour has counted it.
    Kept {
        number: u32,
        sample: Sample,
    },
    Hour {
        number: u32,
        hour: Hour,
    },
    Failure {
        number: u32,
        ended_ms: u64,
        reason: Reason,
        message: &'a str,
    },
    /// Since when the runs fail or succeed as the last one did: longer perhaps than results are kept.
    Since {
        number: u32,
        since_ms: u64,
    },
}

/// What is next in a file.
enum Frame {
    Whole,
    End,
    Torn,
}

// === impl Record ===

impl<'a> Record<'a> {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32);
        let mut begin = |kind: u8, number: u32| {
            bytes.push(kind);
            bytes.extend_from_slice(&number.to_le_bytes());
        };
        match self {
            Self::Name { number, name } => {
                begin(0, *number);
                bytes.extend_from_slice(name.as_bytes());
            }
            Self::Result { number, sample } | Self::Kept { number, sample } => {
                begin(if matches!(self, Self::Result { .. }) { 1 } else { 2 }, *number);
                bytes.extend_from_slice(&sample.ended_ms.to_le_bytes());
                bytes.extend_from_slice(&sample.took_us.to_le_bytes());
                bytes.extend_from_slice(sample.failure.map_or("", Reason::as_str).as_bytes());
            }
            Self::Hour { number, hour } => {
                begin(3, *number);
                bytes.extend_from_slice(&hour.hour.to_le_bytes());
                bytes.extend_from_slice(&hour.runs.to_le_bytes());
                bytes.extend_from_slice(&hour.failures.to_le_bytes());
            }
            Self::Failure { number, ended_ms, reason, message } => {
                begin(4, *number);
                bytes.extend_from_slice(&ended_ms.to_le_bytes());
                // Reasons are written by name, so that another version with other reasons reads them right.
                bytes.push(reason.as_str().len() as u8);
                bytes.extend_from_slice(reason.as_str().as_bytes());
                bytes.extend_from_slice(message.as_bytes());
            }
            Self::Since { number, since_ms } => {
                begin(5, *number);
                bytes.extend_from_slice(&since_ms.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads a record; none of a kind or with a reason that this version does not know.
    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (number, rest) = take_u32(rest)?;
        match kind {
            0 => Some(Self::Name { number, name: str::from_utf8(rest).ok()? }),
            1 | 2 => {
                let (ended_ms, rest) = take_u64(rest)?;
                let (took_us, rest) = take_u32(rest)?;
                let failure = if rest.is_empty() { None } else { Some(reason(rest)?) };
                let sample = Sample { ended_ms, took_us, failure };
                Some(if *kind == 1 { Self::Result { number, sample } } else { Self::Kept { number, sample } })
            }
            3 => {
                let (hour, rest) = take_u64(rest)?;
                let (runs, rest) = take_u32(rest)?;
                let (failures, _) = take_u32(rest)?;
                Some(Self::Hour { number, hour: Hour { hour, runs, failures: failures.min(runs) } })
            }
            4 => {
                let (ended_ms, rest) = take_u64(rest)?;
                let (length, rest) = rest.split_first()?;
                let (name, message) = rest.split_at_checked(usize::from(*length))?;
                Some(Self::Failure { number, ended_ms, reason: reason(name)?, message: str::from_utf8(message).ok()? })
            }
            5 => take_u64(rest).map(|(since_ms, _)| Self::Since { number, since_ms }),
            _ => None,
        }
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(head, rest)| (u32::from_le_bytes(*head), rest))
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    bytes.split_first_chunk().map(|(head, rest)| (u64::from_le_bytes(*head), rest))
}

fn reason(name: &[u8]) -> Option<Reason> {
    Reason::ALL.iter().find(|reason| reason.as_str().as_bytes() == name).copied()
}

/// Adds all that is to be kept of a check.
pub(super) fn frame_state(buffer: &mut Vec<u8>, number: u32, state: &State) {
    for hour in &state.hours {
        frame(buffer, &Record::Hour { number, hour: *hour });
    }
    for sample in state.samples.iter().skip(state.samples.len().saturating_sub(KEPT)) {
        frame(buffer, &Record::Kept { number, sample: *sample });
    }
    frame(buffer, &Record::Since { number, since_ms: state.since_ms });
    if let Some(FailedRun { ended_ms, failure: Failure { reason, message }, .. }) = &state.last_failure {
        frame(buffer, &Record::Failure { number, ended_ms: *ended_ms, reason: *reason, message });
    }
}

/// All that is in a file, up to what was torn off.
pub(super) fn read(path: &Path) -> io::Result<HashMap<String, State>> {
    let mut states = HashMap::new();
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(states),
        Err(error) => return Err(error),
    };
    let mut magic = [0; MAGIC.len()];
    match file.read_exact(&mut magic) {
        Ok(()) if &magic == MAGIC => {}
        // It was never written to the end of its beginning.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(states),
        Ok(()) => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "`history.log` is no history of this version"));
        }
        Err(error) => return Err(error),
    }
    let mut names = HashMap::new();
    let mut payload = Vec::new();
    loop {
        match next(&mut file, &mut payload)? {
            Frame::Whole => {}
            Frame::End => return Ok(states),
            Frame::Torn => {
                tracing::warn!(file = %path.display(), "the end of the history was torn off and is left out");
                return Ok(states);
            }
        }
        if let Some(record) = Record::decode(&payload) {
            apply(&record, &mut names, &mut states);
        }
    }
}

/// Reads the next frame's payload.
fn next(file: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<Frame> {
    let mut head = Vec::new();
    file.by_ref().take(8).read_to_end(&mut head)?;
    let Ok(head) = <[u8; 8]>::try_from(head.as_slice()) else {
        return Ok(if head.is_empty() { Frame::End } else { Frame::Torn });
    };
    let (length, crc) = head.split_at(4);
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
    let length = number(length) as usize;
    payload.clear();
    file.by_ref().take(length.min(RECORD_LIMIT) as u64).read_to_end(payload)?;
    let whole = payload.len() == length && crc32fast::hash(payload) == number(crc);
    Ok(if whole { Frame::Whole } else { Frame::Torn })
}

fn apply(record: &Record<'_>, names: &mut HashMap<u32, String>, states: &mut HashMap<String, State>) {
    let (Record::Name { number, .. }
    | Record::Result { number, .. }
    | Record::Kept { number, .. }
    | Record::Hour { number, .. }
    | Record::Failure { number, .. }
    | Record::Since { number, .. }) = record;
    if let Record::Name { name, .. } = record {
        names.insert(*number, (*name).to_owned());
    }
    let Some(name) = names.get(number) else { return };
    let state = states.entry(name.clone()).or_default();
    match record {
        Record::Name { .. } => {}
        // What was written anew with the others may have waited to be appended too.
        Record::Result { sample, .. } if state.samples.iter().rev().take(8).any(|known| known == sample) => {}
        Record::Result { sample, .. } => state.take(*sample, None),
        Record::Kept { sample, .. } => state.push(*sample),
        Record::Hour { hour, .. } => state.hours.push_back(*hour),
        Record::Since { since_ms, .. } => state.since_ms = *since_ms,
        Record::Failure { ended_ms, reason, message, .. } => {
            let failure = Failure::new(*reason, message);
            state.last_failure = Some(FailedRun { ended_ms: *ended_ms, failure, phases: Vec::new() });
        }
    }
}

/// Adds a record in its frame.
pub(super) fn frame(buffer: &mut Vec<u8>, record: &Record<'_>) {
    let payload = record.encode();
    buffer.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    buffer.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    buffer.extend_from_slice(&payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Hour, Reason, Record, Sample};

    fn sample() -> impl Strategy<Value = Sample> {
        let failure = proptest::option::of(proptest::sample::select(Reason::ALL.to_vec()));
        (any::<u64>(), any::<u32>(), failure).prop_map(|(ended_ms, took_us, failure)| Sample {
            ended_ms,
            took_us,
            failure,
        })
    }

    proptest! {
        #[test]
        fn records_are_read_as_they_were_written(
            number: u32,
            sample in sample(),
            text in ".*",
            (hour, runs, failures) in (any::<u64>(), any::<u32>(), any::<u32>()),
        ) {
            for record in [
                Record::Name { number, name: &text },
                Record::Result { number, sample },
                Record::Kept { number, sample },
                Record::Hour { number, hour: Hour { hour, runs, failures: failures.min(runs) } },
                Record::Failure { number, ended_ms: sample.ended_ms, reason: Reason::Latency, message: &text },
                Record::Since { number, since_ms: sample.ended_ms },
            ] {
                let bytes = record.encode();
                prop_assert_eq!(Record::decode(&bytes), Some(record));
            }
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Record::decode(&bytes);
        }
    }
}
