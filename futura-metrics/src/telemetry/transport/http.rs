//! As much of an HTTP/1.1 client as a sidecar on this host needs: one connection, one request at a time, no runtime.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use sentry::types::Dsn;

/// How long the sidecar may take for each step: it answers when an event is on its disk.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer's head, and its body, may be.
const LIMIT: usize = 64 * 1024;

/// Where the sidecar listens.
pub(super) enum Place {
    Tcp(String, u16),
    Unix(PathBuf),
}

/// A connection that is opened when it is needed, and kept.
pub(super) struct Connection {
    place: Place,
    /// The request's head but for the length.
    head: String,
    stream: Option<BufReader<Box<dyn Stream>>>,
}

/// What the sidecar said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

// === impl Place ===

impl Place {
    pub(super) fn of(dsn: &Dsn) -> Self {
        Self::Tcp(dsn.host().trim_matches(['[', ']']).to_owned(), dsn.port())
    }

    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(host, port) => {
                let mut error = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, TIMEOUT) {
                        Ok(stream) => {
                            stream.set_read_timeout(Some(TIMEOUT))?;
                            stream.set_write_timeout(Some(TIMEOUT))?;
                            stream.set_nodelay(true)?;
                            return Ok(Box::new(stream));
                        }
                        Err(failed) => error = failed,
                    }
                }
                Err(error)
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                Ok(Box::new(stream))
            }
        }
    }
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(place: Place, dsn: &Dsn) -> Self {
        let agent = concat!("futura-metrics/", env!("CARGO_PKG_VERSION"));
        let (path, auth) = (dsn.envelope_api_url().path().to_owned(), dsn.to_auth(Some(agent)));
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: {agent}\r\nx-sentry-auth: {auth}\r\ncontent-type: application/x-sentry-envelope\r\n",
            dsn.host()
        );
        Self { place, head, stream: None }
    }

    /// Sends an envelope. One that a connection is closed under is sent once more: the sidecar knows an event by its id.
    pub(super) fn post(&mut self, envelope: &[u8]) -> io::Result<Answer> {
        if let Some(mut stream) = self.stream.take()
            && let Ok(answer) = self.exchange(&mut stream, envelope)
        {
            return Ok(self.keep(stream, answer));
        }
        let mut stream = BufReader::new(self.place.connect()?);
        let answer = self.exchange(&mut stream, envelope)?;
        Ok(self.keep(stream, answer))
    }

    fn keep(&mut self, stream: BufReader<Box<dyn Stream>>, (answer, stays): (Answer, bool)) -> Answer {
        self.stream = stays.then_some(stream);
        answer
    }

    /// The answer, and whether the connection can be used again.
    fn exchange(&self, stream: &mut BufReader<Box<dyn Stream>>, envelope: &[u8]) -> io::Result<(Answer, bool)> {
        let head = format!("{}content-length: {}\r\n\r\n", self.head, envelope.len());
        let target = stream.get_mut();
        target.write_all(head.as_bytes())?;
        target.write_all(envelope)?;
        target.flush()?;
        let mut read = Vec::new();
        loop {
            let line = read.len();
            stream.by_ref().take((LIMIT - read.len()) as u64).read_until(b'\n', &mut read)?;
            if read.len() == line || read.len() == LIMIT {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if matches!(&read[line..], b"\r\n" | b"\n") {
                break;
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        answer.parse(&read).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let header = |name: &str| {
            let header = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            header.and_then(|header| str::from_utf8(header.value).ok()).map(str::trim)
        };
        let retry_after = header("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
        let length = header("content-length").and_then(|value| value.parse::<usize>().ok());
        let stays = header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        let answer = Answer { status: answer.code.unwrap_or_default(), retry_after };
        // What does not say how long it is cannot be read past.
        let Some(length) = length.filter(|length| *length <= LIMIT) else { return Ok((answer, false)) };
        io::copy(&mut stream.take(length as u64), &mut io::sink())?;
        Ok((answer, stays))
    }
}
