//! A dialogue in lines, as SMTP, IMAP, FTP and many others speak: wait for a line, send one, go over to TLS in between.

use std::io;

use futura_metrics::specs::checks::{Phase, Reason};
use regex::bytes::Regex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::{Failure, Stream, Tls, Trace};

/// How long a line may be, in bytes.
const LINE_LIMIT: u64 = 64 * 1024;

/// One turn: first what is waited for, then what is sent, then TLS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    /// Lines are read until one matches.
    pub(crate) expect: Option<Regex>,
    /// What is sent, with a line's end after it; `${1}` is the first group of the match. Nothing is sent if it is empty.
    pub(crate) send: String,
    /// Whether TLS begins after that.
    pub(crate) starttls: bool,
}

/// Goes through all turns. A line that never comes fails with [`Reason::Body`].
pub(crate) async fn converse(
    stream: Box<dyn Stream>,
    turns: &[Turn],
    (tls, host): (Option<&Tls>, &str),
    trace: &mut Trace,
) -> Result<(), Failure> {
    let mut stream = BufReader::new(stream);
    for (turn, number) in turns.iter().zip(1..) {
        trace.begin(Phase::Transfer);
        let send = match &turn.expect {
            None => turn.send.clone().into_bytes(),
            Some(pattern) => answer(&mut stream, pattern, turn, number).await?,
        };
        if !send.is_empty() {
            let line = [&send[..], b"\n"].concat();
            stream.write_all(&line).await.map_err(|error| Failure::exchange(&error))?;
            stream.flush().await.map_err(|error| Failure::exchange(&error))?;
        }
        if turn.starttls {
            let Some(tls) = tls else { return Err(Failure::new(Reason::Tls, "TLS is not spoken here")) };
            if !stream.buffer().is_empty() {
                // Whoever stands between could have put it there, to be taken for the target's word (CVE-2011-0411).
                return Err(Failure::new(
                    Reason::Protocol,
                    "the target went on in plain text after it was to speak TLS",
                ));
            }
            let upgraded = tls.handshake(trace, stream.into_inner(), host).await?;
            stream = BufReader::new(Box::new(upgraded));
        }
    }
    trace.end();
    Ok(())
}

/// Waits for the line of a turn, and makes what is answered of it.
async fn answer(
    stream: &mut BufReader<Box<dyn Stream>>,
    pattern: &Regex,
    turn: &Turn,
    number: usize,
) -> Result<Vec<u8>, Failure> {
    loop {
        let Some(line) = read_line(stream).await.map_err(|error| Failure::exchange(&error))? else {
            return Err(Failure::new(Reason::Body, format!("no line matched `{pattern}` in turn {number}")));
        };
        if let Some(captures) = pattern.captures(&line) {
            let mut send = Vec::new();
            captures.expand(turn.send.as_bytes(), &mut send);
            return Ok(send);
        }
    }
}

/// The next line without its end; none where the target has ended.
async fn read_line(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    stream.take(LINE_LIMIT).read_until(b'\n', &mut line).await?;
    if line.len() as u64 == LINE_LIMIT && !line.ends_with(b"\n") {
        return Err(io::Error::other(format!("a line of more than {LINE_LIMIT} bytes")));
    }
    let ended = line.is_empty();
    line.pop_if(|last| *last == b'\n');
    line.pop_if(|last| *last == b'\r');
    Ok((!ended).then_some(line))
}
