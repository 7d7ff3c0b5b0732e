//! Lines into records: what container runtimes put around a line is taken off, and the lines of a stack trace are joined to the
//! line that they belong to.

use serde::Deserialize;

/// How long a line, and how long a record, may be, in bytes; what is longer is cut.
const LINE_LIMIT: usize = 64 * 1024;
const RECORD_LIMIT: usize = 128 * 1024;

/// A record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Where in the file it begins.
    pub(super) offset: u64,
    pub(super) text: String,
}

/// Makes records of what is read, in whatever pieces that comes.
pub(super) struct Joiner {
    /// Where in the file the next byte is from.
    offset: u64,
    /// A line that has not ended, and where it begins.
    line: Vec<u8>,
    line_offset: u64,
    /// A line that a container runtime has split, and where it begins.
    partial: Option<Record>,
    /// A record that more lines may belong to.
    open: Option<Record>,
    stack: Stack,
}

/// Which lines belong to the record before them though they are not indented.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stack {
    None,
    /// In the frames of a Python traceback, whose last line is its error.
    Python,
    /// After the line that says where a Rust program panicked: its message.
    Rust,
    /// In the goroutines of a Go program, which take all to the end.
    Go,
}

/// A line of Docker's json-file driver.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DockerLine {
    log: String,
    #[expect(dead_code, reason = "tells such a line from an application's JSON")]
    stream: String,
    #[expect(dead_code, reason = "tells such a line from an application's JSON")]
    time: String,
    #[serde(default, rename = "attrs")]
    _attrs: serde_json::Value,
}

// === impl Joiner ===

impl Joiner {
    /// One that begins at an offset of a file.
    pub(super) fn new(offset: u64) -> Self {
        Self { offset, line: Vec::new(), line_offset: offset, partial: None, open: None, stack: Stack::None }
    }

    /// Where the first line begins that belongs to no record that was given out.
    pub(super) fn begins_at(&self) -> u64 {
        let first = self.open.as_ref().or(self.partial.as_ref()).map(|record| record.offset);
        first.unwrap_or(self.line_offset)
    }

    /// Takes the next bytes; whole records go to `found`.
    pub(super) fn feed(&mut self, bytes: &[u8], found: &mut Vec<Record>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_LIMIT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            self.offset += piece.len() as u64;
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let text = String::from_utf8_lossy(&line);
                self.take_line(self.line_offset, text.trim_end_matches(['\n', '\r']), found);
                self.line_offset = self.offset;
            }
        }
    }

    /// What is there is all that belongs together; a line that has not ended stays.
    pub(super) fn finish(&mut self, found: &mut Vec<Record>) {
        found.extend(self.open.take());
        self.stack = Stack::None;
    }

    fn take_line(&mut self, offset: u64, line: &str, found: &mut Vec<Record>) {
        let (text, whole) = unwrapped(line);
        let mut record = self.partial.take().unwrap_or(Record { offset, text: String::new() });
        push(&mut record.text, &text, LINE_LIMIT);
        if !whole {
            self.partial = Some(record);
            return;
        }
        match &mut self.open {
            Some(open) if self.stack.continues(&open.text, &record.text) => {
                self.stack = self.stack.after(&record.text);
                push(&mut open.text, "\n", RECORD_LIMIT);
                push(&mut open.text, &record.text, RECORD_LIMIT);
            }
            _ => {
                found.extend(self.open.take());
                self.stack = Stack::None.after(&record.text);
                match record.text.starts_with('{') {
                    // A line of JSON is whole.
                    true => found.push(record),
                    false => self.open = Some(record),
                }
            }
        }
    }
}

fn push(text: &mut String, more: &str, limit: usize) {
    let room = limit.saturating_sub(text.len());
    text.push_str(&more[..more.floor_char_boundary(room)]);
}

/// A line without what a container runtime puts around it, and whether it is whole.
fn unwrapped(line: &str) -> (String, bool) {
    // 2026-11-27T19:33:48.123456789Z stderr F text
    let mut parts = line.splitn(4, ' ');
    if let (Some(time), Some("stdout" | "stderr"), Some(tag)) = (parts.next(), parts.next(), parts.next())
        && time.len() > 19
        && time.as_bytes()[10] == b'T'
        && matches!(tag.split(':').next(), Some("F" | "P"))
    {
        return (parts.next().unwrap_or_default().to_owned(), tag.starts_with('F'));
    }
    if line.starts_with("{\"log\":")
        && let Ok(DockerLine { log, .. }) = serde_json::from_str(line)
    {
        let whole = log.ends_with('\n');
        return (log.trim_end_matches(['\n', '\r']).to_owned(), whole);
    }
    (line.to_owned(), true)
}

// === impl Stack ===

impl Stack {
    /// Whether a line belongs to the record before it.
    fn continues(self, record: &str, line: &str) -> bool {
        const JOINED: [&str; 11] = [
            "Caused by: ",
            "Suppressed: ",
            "stack backtrace:",
            "note: ",
            "goroutine ",
            "[signal ",
            "exit status ",
            "During handling of the above exception",
            "The above exception was the direct cause",
            "Stack trace:",
            "} ",
        ];
        if line.starts_with([' ', '\t']) || JOINED.iter().any(|start| line.starts_with(start)) {
            return true;
        }
        match self {
            Self::Go => !super::event::begins_record(line),
            Self::Rust => true,
            Self::Python => !line.is_empty(),
            // A blank line is within a trace, or between records.
            Self::None if line.is_empty() => record.contains("Traceback (most recent") || record.starts_with("panic: "),
            Self::None => line.starts_with("Traceback (most recent call last)") && super::event::is_error(record),
        }
    }

    /// What the next lines may be.
    fn after(self, line: &str) -> Self {
        match () {
            () if line.starts_with("Traceback (most recent call last)") => Self::Python,
            () if line.contains("' panicked at ") && line.ends_with(':') => Self::Rust,
            () if line.starts_with("goroutine ") || line.starts_with("panic: ") => Self::Go,
            () if self == Self::Python && line.starts_with([' ', '\t']) => Self::Python,
            () if self == Self::Go => Self::Go,
            () => Self::None,
        }
    }
}
