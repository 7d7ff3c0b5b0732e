//! The protocol of PostgreSQL, version 3.0, as far as a check needs it: logging in and one simple query.
//!
//! <https://www.postgresql.org/docs/current/protocol.html>

use futura_metrics::specs::checks::{Phase, Reason};
use md5::{Digest, Md5};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

use crate::{
    checks::credentials::{Credentials, Scram},
    network::{Failure, Stream, Trace},
};

/// How long a message of the server's may be, in bytes.
const MESSAGE_LIMIT: usize = 1024 * 1024;

const VERSION: i32 = 3 << 16;

/// What the server wants to have of who logs in.
mod auth {
    pub(super) const OK: u32 = 0;
    pub(super) const PLAIN: u32 = 3;
    pub(super) const MD5: u32 = 5;
    pub(super) const SASL: u32 = 10;
    pub(super) const SASL_CONTINUE: u32 = 11;
    pub(super) const SASL_FINAL: u32 = 12;
}

/// A connection to a server.
pub(super) struct Session {
    stream: BufReader<Box<dyn Stream>>,
}

// === impl Session ===

impl Session {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Says who asks, and waits until queries are taken.
    pub(super) async fn log_in(&mut self, who: &Credentials, database: &str, tls: bool) -> Result<(), Failure> {
        let mut startup = VERSION.to_be_bytes().to_vec();
        for text in ["user", &who.user, "database", database, "application_name", "futura-sidecar"] {
            startup.extend_from_slice(text.as_bytes());
            startup.push(0);
        }
        startup.push(0);
        self.send(None, &startup).await?;
        loop {
            let (kind, body) = self.receive().await?;
            let (number, rest) =
                body.split_first_chunk().map_or((0, &body[..]), |(n, rest)| (u32::from_be_bytes(*n), rest));
            match (kind, number) {
                (b'Z', _) => return Ok(()),
                (b'R', auth::OK) => {}
                (b'R', auth::PLAIN) if tls => self.send(Some(b'p'), &terminated(&who.password)).await?,
                (b'R', auth::PLAIN) => {
                    let message = "the server wants the password as it is, which without TLS anybody could read";
                    return Err(Failure::new(Reason::Auth, message));
                }
                (b'R', auth::MD5) => self.send(Some(b'p'), &terminated(&md5_answer(who, rest))).await?,
                (b'R', auth::SASL) => self.prove(who, rest).await?,
                (b'R', other) => {
                    let message = format!("the server wants a way to log in (number {other}) that is not spoken here");
                    return Err(Failure::new(Reason::Auth, message));
                }
                _ => {}
            }
        }
    }

    /// Goes through SCRAM.
    async fn prove(&mut self, who: &Credentials, mechanisms: &[u8]) -> Result<(), Failure> {
        let wrong = |what: &str| Failure::new(Reason::Auth, format!("SCRAM-SHA-256 with the server failed: {what}"));
        if !mechanisms.split(|byte| *byte == 0).any(|name| name == b"SCRAM-SHA-256") {
            return Err(wrong("it does not speak it"));
        }
        // The server takes the user from the startup and ignores the one here.
        let scram = Scram::new("", &who.password);
        let first = scram.first();
        let length = i32::try_from(first.len()).expect("a short text").to_be_bytes();
        self.send(Some(b'p'), &[b"SCRAM-SHA-256\0", &length[..], first.as_bytes()].concat()).await?;
        let challenge = self.sasl(auth::SASL_CONTINUE).await?;
        let proof = scram.answer(challenge).await.map_err(wrong)?;
        self.send(Some(b'p'), proof.message.as_bytes()).await?;
        let last = self.sasl(auth::SASL_FINAL).await?;
        if proof.is_answered_by(&last) { Ok(()) } else { Err(wrong("it does not know the password")) }
    }

    /// The next message of the exchange.
    async fn sasl(&mut self, expected: u32) -> Result<String, Failure> {
        let (kind, body) = self.receive().await?;
        match body.split_first_chunk() {
            Some((number, rest)) if kind == b'R' && u32::from_be_bytes(*number) == expected => {
                Ok(String::from_utf8_lossy(rest).into_owned())
            }
            _ => Err(garbage()),
        }
    }

    /// The first row of what a query finds, each of its columns as text. All of it is read.
    pub(super) async fn query(&mut self, query: &str, trace: &mut Trace) -> Result<Vec<String>, Failure> {
        self.send(Some(b'Q'), &terminated(query)).await?;
        let mut first = None;
        loop {
            let (kind, body) = self.receive().await?;
            trace.begin(Phase::Transfer);
            match kind {
                b'Z' => return Ok(first.unwrap_or_default()),
                b'D' if first.is_none() => first = Some(columns(&body).ok_or_else(garbage)?),
                _ => {}
            }
        }
    }

    /// Says good-bye, so that the server's log has no word of it.
    pub(super) async fn end(mut self) {
        // It was the last of what was to be said.
        let _ = self.send(Some(b'X'), &[]).await;
    }

    async fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), Failure> {
        let length = i32::try_from(body.len() + 4).map_err(|_| garbage())?.to_be_bytes();
        let message = [kind.as_slice(), &length, body].concat();
        let sent = async {
            self.stream.write_all(&message).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| Failure::exchange(&error))
    }

    /// The next message; an error of the server's is a failure.
    async fn receive(&mut self) -> Result<(u8, Vec<u8>), Failure> {
        let head = async { Ok::<_, std::io::Error>((self.stream.read_u8().await?, self.stream.read_u32().await?)) };
        let (kind, length) = head.await.map_err(|error| Failure::exchange(&error))?;
        let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
        let length = length.filter(|length| *length <= MESSAGE_LIMIT).ok_or_else(garbage)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.map_err(|error| Failure::exchange(&error))?;
        if kind == b'E' { Err(refused(&body)) } else { Ok((kind, body)) }
    }
}

fn garbage() -> Failure {
    Failure::new(Reason::Protocol, "this is not PostgreSQL")
}

fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

/// The older way to hash a password.
fn md5_answer(who: &Credentials, salt: &[u8]) -> String {
    let hash = |parts: [&[u8]; 2]| hex(&Md5::new().chain_update(parts[0]).chain_update(parts[1]).finalize());
    let inner = hash([who.password.as_bytes(), who.user.as_bytes()]);
    format!("md5{}", hash([inner.as_bytes(), salt]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The columns of a row; NULL is empty.
fn columns(row: &[u8]) -> Option<Vec<String>> {
    let (count, mut rest) = row.split_first_chunk()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk()?;
        // A negative length is NULL, which has no bytes.
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or_default();
        let (value, after) = after.split_at_checked(length)?;
        columns.push(String::from_utf8_lossy(value).into_owned());
        rest = after;
    }
    Some(columns)
}

/// The failure that an error of the server's is, by its SQLSTATE.
fn refused(body: &[u8]) -> Failure {
    let field = |letter: u8| {
        let found = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&letter));
        found.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).unwrap_or_default()
    };
    let (code, message) = (field(b'C'), field(b'M'));
    let reason = match &*code {
        "57014" => Reason::Timeout,
        code if code.starts_with("28") => Reason::Auth,
        _ => Reason::Status,
    };
    Failure::new(reason, format!("the server says {code}: {message}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Credentials, columns, md5_answer, refused};

    #[test]
    fn a_row_is_read_column_by_column() {
        assert_eq!(columns(b"\0\x02\0\0\0\x011\xff\xff\xff\xff"), Some(vec!["1".to_owned(), String::new()]));
        assert_eq!(columns(b"\0\x01\0\0\0\x051"), None);
    }

    #[test]
    fn a_password_is_hashed_as_before_scram() {
        let who = Credentials { user: "postgres".to_owned(), password: "secret".to_owned() };
        assert_eq!(md5_answer(&who, &[1, 2, 3, 4]), "md5bb41a296aab6baccb36ff243a562abff");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = columns(&bytes);
            let _ = refused(&bytes);
        }
    }
}
