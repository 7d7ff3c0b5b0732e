//! Segments: files of envelopes one after the other, and how they are read again after whatever ended the process.
//!
//! A record is a head of 24 bytes and an envelope. All is covered by a checksum but one byte, which is written over in its
//! place when the envelope needs to be kept no longer. What a crash tore off, or a disk damaged, has no valid checksum and
//! is passed over.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crc32fast::Hasher;

/// How long a record's head is, in bytes.
pub(super) const HEAD: u64 = 24;

/// What each record begins with.
const MAGIC: [u8; 4] = *b"FENV";

/// Where in a record stands whether it is still needed.
const MARK: u64 = 4;

const LIVE: u8 = 1;
const DONE: u8 = 0;

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHead {
    /// How long the envelope is, in bytes.
    pub(super) length: u32,
    /// When it was taken, in milliseconds since the Unix epoch.
    pub(super) taken_ms: u64,
    /// The checksum of [`RecordHead::length`], [`RecordHead::taken_ms`] and the envelope.
    checksum: u32,
}

/// A record that was found in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) taken_ms: u64,
    pub(super) live: bool,
    /// The beginning of the envelope.
    pub(super) start: Vec<u8>,
}

/// What a segment holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) records: Vec<Found>,
    /// How many bytes belong to no record.
    pub(super) damaged: u64,
}

// === impl RecordHead ===

impl RecordHead {
    /// The head for an envelope.
    pub(super) fn of(envelope: &[u8], taken_ms: u64) -> Self {
        let length = u32::try_from(envelope.len()).expect("envelopes are bounded far below");
        let mut head = Self { length, taken_ms, checksum: 0 };
        let mut checksum = Hasher::new();
        checksum.update(&head.covered());
        checksum.update(envelope);
        head.checksum = checksum.finalize();
        head
    }

    /// The head as it is written.
    pub(super) fn bytes(self) -> [u8; HEAD as usize] {
        let mut bytes = [0; HEAD as usize];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[MARK as usize] = LIVE;
        bytes[8..12].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[12..].copy_from_slice(&self.covered());
        bytes
    }

    /// Reads a head, and whether its envelope is still needed.
    fn parse(bytes: &[u8; HEAD as usize]) -> Option<(Self, bool)> {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let head = Self {
            checksum: number(8),
            length: number(12),
            taken_ms: u64::from(number(16)) | u64::from(number(20)) << 32,
        };
        (bytes[..4] == MAGIC).then_some((head, bytes[MARK as usize] == LIVE))
    }

    fn covered(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..].copy_from_slice(&self.taken_ms.to_le_bytes());
        bytes
    }

    fn covers(self, envelope: &[u8]) -> bool {
        Self::of(envelope, self.taken_ms) == self
    }
}

/// Makes a file for its owner alone: envelopes hold personal data.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Finds all whole records of a segment, keeping of each the first `start` bytes of its envelope.
pub(super) fn scan(path: &Path, start: usize) -> io::Result<Scan> {
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    let (mut scan, mut offset, mut envelope) = (Scan::default(), 0, Vec::new());
    while offset < end {
        let Some((head, live)) = record_at(&file, offset, end, &mut envelope)? else {
            let next = next_magic(&file, offset + 1, end)?;
            scan.damaged += next - offset;
            offset = next;
            continue;
        };
        scan.records.push(Found {
            offset: u32::try_from(offset).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?,
            length: head.length,
            taken_ms: head.taken_ms,
            live,
            start: envelope[..envelope.len().min(start)].to_vec(),
        });
        offset += HEAD + u64::from(head.length);
    }
    Ok(scan)
}

/// The record at a place, if there is a whole one, with its envelope.
fn record_at(file: &File, offset: u64, end: u64, envelope: &mut Vec<u8>) -> io::Result<Option<(RecordHead, bool)>> {
    let mut bytes = [0; HEAD as usize];
    if end - offset < HEAD {
        return Ok(None);
    }
    file.read_exact_at(&mut bytes, offset)?;
    let fits = |head: RecordHead| u64::from(head.length) <= end - offset - HEAD;
    let Some((head, live)) = RecordHead::parse(&bytes).filter(|(head, _)| fits(*head)) else { return Ok(None) };
    envelope.resize(head.length as usize, 0);
    file.read_exact_at(envelope, offset + HEAD)?;
    Ok(head.covers(envelope).then_some((head, live)))
}

/// Where the next record may begin, or the end.
fn next_magic(file: &File, mut from: u64, end: u64) -> io::Result<u64> {
    let mut chunk = vec![0; 64 * 1024];
    while from + MAGIC.len() as u64 <= end {
        let length = chunk.len().min((end - from) as usize);
        file.read_exact_at(&mut chunk[..length], from)?;
        if let Some(found) = chunk[..length].windows(MAGIC.len()).position(|window| window == MAGIC) {
            return Ok(from + found as u64);
        }
        // The magic may lie across two chunks.
        from += (length - (MAGIC.len() - 1)) as u64;
    }
    Ok(end)
}

/// Reads an envelope and when it was taken.
pub(super) fn read(path: &Path, offset: u32) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(path)?;
    let (end, mut envelope) = (file.metadata()?.len(), Vec::new());
    let found = if u64::from(offset) < end { record_at(&file, offset.into(), end, &mut envelope)? } else { None };
    let (head, _) = found.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the record is damaged"))?;
    Ok((envelope, head.taken_ms))
}

/// Marks a record as needed no longer. One byte is written whole or not at all.
pub(super) fn mark_done(path: &Path, offset: u32) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all_at(&[DONE], u64::from(offset) + MARK)
}

/// The path of a segment: ten digits hold every number, so that names sort as numbers do.
pub(super) fn path(folder: &Path, number: u32, extension: &str) -> PathBuf {
    folder.join(format!("{number:010}.{extension}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use tempfile::tempdir;

    use super::{Found, HEAD, RecordHead, Scan, mark_done, read, scan};

    fn segment(envelopes: &[Vec<u8>]) -> Vec<u8> {
        let record = |(number, envelope): (usize, &Vec<u8>)| {
            [&RecordHead::of(envelope, number as u64).bytes()[..], envelope].concat()
        };
        envelopes.iter().enumerate().flat_map(record).collect()
    }

    fn lengths(scan: &Scan) -> Vec<u32> {
        scan.records.iter().map(|found| found.length).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_segment_cut_at_any_byte_gives_the_records_that_are_whole(
            envelopes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5),
        ) {
            let folder = tempdir().expect("a folder");
            let (path, bytes) = (folder.path().join("segment"), segment(&envelopes));
            for cut in 0..=bytes.len() {
                fs::write(&path, &bytes[..cut]).expect("a file");
                let mut ends = envelopes.iter().scan(0, |end, envelope| {
                    *end += HEAD as usize + envelope.len();
                    Some((*end, envelope.len() as u32))
                });
                let whole: Vec<_> = ends.by_ref().take_while(|(end, _)| *end <= cut).map(|(_, length)| length).collect();
                prop_assert_eq!(lengths(&scan(&path, 10).expect("a file")), whole);
            }
        }

        #[test]
        fn a_damaged_byte_costs_one_record_at_most(
            envelopes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5),
            place: prop::sample::Index,
        ) {
            let folder = tempdir().expect("a folder");
            let (path, mut bytes) = (folder.path().join("segment"), segment(&envelopes));
            let place = place.index(bytes.len());
            bytes[place] ^= 0x10;
            fs::write(&path, &bytes).expect("a file");
            prop_assert!(scan(&path, 10).expect("a file").records.len() + 1 >= envelopes.len());
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_until_it_is_done() {
        let folder = tempdir().expect("a folder");
        let path = folder.path().join("segment");
        fs::write(&path, segment(&[b"first".to_vec(), b"second".to_vec()])).expect("a file");
        let second = HEAD as u32 + 5;
        assert_eq!(read(&path, second).expect("a record"), (b"second".to_vec(), 1));
        mark_done(&path, 0).expect("a file");
        let found = |offset, length, taken_ms, live, start: &[u8]| Found {
            offset,
            length,
            taken_ms,
            live,
            start: start.to_vec(),
        };
        let records = vec![found(0, 5, 0, false, b"fir"), found(second, 6, 1, true, b"sec")];
        assert_eq!(scan(&path, 3).expect("a file"), Scan { records, damaged: 0 });
        assert_eq!(read(&path, second + 1).expect_err("no record").to_string(), "the record is damaged");
    }
}
