//! One DNS query to one server (RFC 1035), over UDP, TCP or TLS (RFC 7858).
//!
//! Nothing that a server sends is believed beyond its bytes: names end, pointers only lead back, counts are tried and not
//! reserved for, and over UDP an answer to another question is passed over.

use std::{
    fmt::{self, Write as _},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use futura_metrics::specs::checks::{Phase, Reason};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UdpSocket,
};

use super::{Dialer, Failure, Tls, Trace};

/// What a query is sent over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    name: Vec<u8>,
    kind: u16,
    class: u16,
    recursion: bool,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The response code: 0 for NOERROR.
    pub(crate) code: u8,
    pub(crate) truncated: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    pub(crate) additional: Vec<Record>,
}

/// A resource record in the presentation format of zone files, its fields parted by tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: u16,
    /// Whose it is, as `data` would name it.
    pub(crate) name: String,
    /// TTL, class and type.
    head: String,
    /// What it says.
    pub(crate) data: String,
    /// The serial of a SOA record.
    pub(crate) serial: Option<u32>,
}

/// The longest message.
const MESSAGE_LIMIT: usize = u16::MAX as usize;

/// The longest name, in bytes on the wire (RFC 1035, section 2.3.4).
const NAME_LIMIT: usize = 255;

const RESPONSE: u16 = 1 << 15;
const TRUNCATED: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;

/// Types that mean more than themselves: CNAME, AXFR and ANY.
const ALIAS: u16 = 5;
const TRANSFER: u16 = 252;
const ANY: u16 = 255;

/// The types that are known by name.
const KINDS: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DS", 43),
    ("DNSKEY", 48),
    ("TLSA", 52),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("SPF", 99),
    ("AXFR", 252),
    ("ANY", 255),
    ("CAA", 257),
];

const CLASSES: &[(&str, u16)] = &[("IN", 1), ("CS", 2), ("CH", 3), ("HS", 4), ("NONE", 254), ("ANY", 255)];

/// The response codes, by their numbers.
pub(crate) const CODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE",
];

/// The number of a type such as `MX` or `TYPE65280`.
pub(crate) fn kind(name: &str) -> Option<u16> {
    number(KINDS, name, "TYPE")
}

/// The number of a class such as `IN`.
pub(crate) fn class(name: &str) -> Option<u16> {
    number(CLASSES, name, "CLASS")
}

fn number(known: &[(&str, u16)], name: &str, prefix: &str) -> Option<u16> {
    let by_name = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, number)| *number);
    by_name.or_else(|| name.strip_prefix(prefix)?.parse().ok())
}

fn name_of(known: &[(&str, u16)], number: u16, prefix: &str) -> String {
    let name = known.iter().find(|(_, known)| *known == number).map(|(name, _)| (*name).to_owned());
    name.unwrap_or_else(|| format!("{prefix}{number}"))
}

/// Asks the server at `host`; a truncated answer is what it is.
pub(crate) async fn query(
    dialer: &Dialer,
    trace: &mut Trace,
    (host, port): (&str, u16),
    (transport, tls): (Transport, Option<&Tls>),
    question: &Question,
) -> Result<Answer, Failure> {
    let id = fastrand::u16(..);
    let message = question.encode(id);
    let broken = |error: io::Error| Failure::exchange(&error);
    let bytes = match (transport, tls) {
        (Transport::Udp, _) => {
            let address = dialer.resolve(trace, host).await?[0];
            trace.address = Some(address);
            trace.begin(Phase::Connect);
            let socket = open(address, port, dialer.source).await.map_err(|error| Failure::connect(&error))?;
            trace.begin(Phase::FirstByte);
            ask_udp(&socket, &message, id, question).await.map_err(|error| Failure::connect(&error))?
        }
        (Transport::Tcp, None) => {
            let mut stream = dialer.connect(trace, host, port).await?;
            trace.begin(Phase::FirstByte);
            ask_stream(&mut stream, &message).await.map_err(broken)?
        }
        (Transport::Tcp, Some(tls)) => {
            let stream = dialer.connect(trace, host, port).await?;
            let mut stream = tls.handshake(trace, stream, host).await?;
            trace.begin(Phase::FirstByte);
            ask_stream(&mut stream, &message).await.map_err(broken)?
        }
    };
    trace.end();
    match Reader::new(&bytes).answer(id, question) {
        Some(answer) => Ok(answer),
        None => Err(Failure::new(Reason::Protocol, format!("{} bytes that are no answer to the query", bytes.len()))),
    }
}

async fn open(address: IpAddr, port: u16, source: Option<IpAddr>) -> io::Result<UdpSocket> {
    let any = if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(source.unwrap_or(any), 0)).await?;
    // A connected socket takes datagrams from its server alone.
    socket.connect(SocketAddr::new(address, port)).await?;
    Ok(socket)
}

async fn ask_udp(socket: &UdpSocket, message: &[u8], id: u16, question: &Question) -> io::Result<Vec<u8>> {
    socket.send(message).await?;
    let mut buffer = vec![0; MESSAGE_LIMIT];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Whoever guesses the port knows neither the number nor the question: what has others is not from the server.
        if Reader::new(&buffer[..length]).head(id, question).is_some() {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_stream(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat()).await?;
    stream.flush().await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

// === impl Question ===

impl Question {
    /// Asks for the records of `kind` and `class` that `name` has; none where it is no name.
    pub(crate) fn new(name: &str, kind: u16, class: u16, recursion: bool) -> Option<Self> {
        let mut wire = Vec::with_capacity(name.len() + 2);
        for label in name.strip_suffix('.').unwrap_or(name).split('.').filter(|_| !matches!(name, "" | ".")) {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
            wire.push(length);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        (wire.len() <= NAME_LIMIT).then_some(Self { name: wire, kind, class, recursion })
    }

    /// The name that is asked for, as records write it.
    fn name(&self) -> String {
        display(&self.name)
    }

    fn encode(&self, id: u16) -> Vec<u8> {
        let flags = if self.recursion { RECURSION_DESIRED } else { 0 };
        let mut message: Vec<u8> = [id, flags, 1, 0, 0, 0].iter().flat_map(|number| number.to_be_bytes()).collect();
        message.extend_from_slice(&self.name);
        message.extend_from_slice(&self.kind.to_be_bytes());
        message.extend_from_slice(&self.class.to_be_bytes());
        message
    }
}

// === impl Answer ===

impl Answer {
    /// The records of the type and the name that were asked for, or of the name that an alias leads to.
    pub(crate) fn of<'a>(&'a self, question: &Question) -> impl Iterator<Item = &'a Record> {
        let (mut names, kind) = (vec![question.name()], question.kind);
        let known = |names: &[String], name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        // Aliases stand in any order, and each leads to one more name.
        for _ in &self.answers {
            let alias = |record: &&Record| record.kind == ALIAS && known(&names, &record.name);
            let leads_on = |record: &&Record| !known(&names, &record.data);
            match self.answers.iter().filter(alias).find(leads_on) {
                Some(alias) => names.push(alias.data.clone()),
                None => break,
            }
        }
        let right = move |record: &&Record| matches!(kind, ANY | TRANSFER) || record.kind == kind;
        self.answers.iter().filter(right).filter(move |record| kind == TRANSFER || known(&names, &record.name))
    }

    /// The name of the response code.
    pub(crate) fn code_name(&self) -> String {
        CODES.get(usize::from(self.code)).map_or_else(|| format!("RCODE{}", self.code), |name| (*name).to_owned())
    }
}

// === impl Record ===

impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\t{}\t{}", self.name, self.head, self.data)
    }
}

/// Reads a message; none wherever it ends too early or says what cannot be.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    /// Reads past the question, which has to be the one that was asked; its flags, and how many records follow in each section.
    fn head(&mut self, id: u16, question: &Question) -> Option<(u16, [u16; 3])> {
        let (answered, flags) = (self.u16()?, self.u16()?);
        let counts = [self.u16()?, self.u16()?, self.u16()?, self.u16()?];
        if answered != id || flags & RESPONSE == 0 || counts[0] > 1 {
            return None;
        }
        if counts[0] == 1 {
            let same = self.name()?.eq_ignore_ascii_case(&question.name);
            if !same || (self.u16()?, self.u16()?) != (question.kind, question.class) {
                return None;
            }
        }
        Some((flags, [counts[1], counts[2], counts[3]]))
    }

    fn answer(mut self, id: u16, question: &Question) -> Option<Answer> {
        let (flags, counts) = self.head(id, question)?;
        let mut answer = Answer { code: (flags & 0xf) as u8, truncated: flags & TRUNCATED != 0, ..Answer::default() };
        // A truncated message may end anywhere: what is whole counts.
        for (place, count) in counts.iter().enumerate() {
            for _ in 0..*count {
                let record = match self.record() {
                    Some(record) => record,
                    None => return answer.truncated.then_some(answer),
                };
                [&mut answer.answers, &mut answer.authority, &mut answer.additional][place].push(record);
            }
        }
        Some(answer)
    }

    fn record(&mut self) -> Option<Record> {
        let name = self.name()?;
        let (kind, class, ttl, length) = (self.u16()?, self.u16()?, self.u32()?, usize::from(self.u16()?));
        let end = self.at.checked_add(length).filter(|end| *end <= self.message.len())?;
        let serial = if kind == 6 { self.clone_at(self.at).serial() } else { None };
        let data = self.clone_at(self.at).data(kind, end)?;
        self.at = end;
        let (class, name_of_kind) = (name_of(CLASSES, class, "CLASS"), name_of(KINDS, kind, "TYPE"));
        let head = format!("{ttl}\t{class}\t{name_of_kind}");
        Some(Record { kind, name: display(&name), head, data, serial })
    }

    /// What a record says, up to `end`.
    fn data(mut self, kind: u16, end: usize) -> Option<String> {
        let text = match kind {
            1 => Ipv4Addr::from(self.u32()?).to_string(),
            28 => Ipv6Addr::from(<[u8; 16]>::try_from(self.bytes(16)?).ok()?).to_string(),
            2 | 5 | 12 => display(&self.name()?),
            6 => {
                let (server, mailbox) = (display(&self.name()?), display(&self.name()?));
                let numbers = [self.u32()?, self.u32()?, self.u32()?, self.u32()?, self.u32()?];
                format!("{server} {mailbox} {}", numbers.map(|number| number.to_string()).join(" "))
            }
            15 => format!("{} {}", self.u16()?, display(&self.name()?)),
            16 | 99 => {
                let mut texts = Vec::new();
                while self.at < end {
                    texts.push(self.character_string()?);
                }
                texts.join(" ")
            }
            33 => format!("{} {} {} {}", self.u16()?, self.u16()?, self.u16()?, display(&self.name()?)),
            257 => {
                let (flags, length) = (self.bytes(1)?[0], usize::from(self.bytes(1)?[0]));
                let tag = String::from_utf8_lossy(self.bytes(length)?).into_owned();
                format!("{flags} {tag} {}", quoted(self.bytes(end.checked_sub(self.at)?)?))
            }
            // As RFC 3597 writes what it does not know.
            _ => {
                let bytes = self.bytes(end - self.at)?;
                let mut text = format!("\\# {}", bytes.len());
                if !bytes.is_empty() {
                    text.push(' ');
                }
                bytes.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a string takes all that is written"));
                text
            }
        };
        (self.at <= end).then_some(text)
    }

    fn serial(mut self) -> Option<u32> {
        self.name()?;
        self.name()?;
        self.u32()
    }

    /// A name, uncompressed.
    fn name(&mut self) -> Option<Vec<u8>> {
        let (mut name, mut at, mut after) = (Vec::new(), self.at, None);
        loop {
            let length = usize::from(*self.message.get(at)?);
            match length {
                0 => {
                    name.push(0);
                    self.at = after.unwrap_or(at + 1);
                    return Some(name);
                }
                1..64 => {
                    name.extend_from_slice(self.message.get(at..=at + length)?);
                    at += 1 + length;
                }
                // A pointer leads back, so no name is endless.
                0xc0.. => {
                    let target = (length & 0x3f) << 8 | usize::from(*self.message.get(at + 1)?);
                    after = after.or(Some(at + 2));
                    at = Some(target).filter(|target| *target < at)?;
                }
                _ => return None,
            }
            if name.len() >= NAME_LIMIT {
                return None;
            }
        }
    }

    fn character_string(&mut self) -> Option<String> {
        let length = usize::from(self.bytes(1)?[0]);
        Some(quoted(self.bytes(length)?))
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.bytes(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let bytes = self.message.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn clone_at(&self, at: usize) -> Self {
        Self { message: self.message, at }
    }
}

/// A name as zone files write it, with the dot of the root.
fn display(name: &[u8]) -> String {
    let (mut text, mut rest) = (String::new(), name);
    while let Some((length, tail)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let (label, after) = tail.split_at(usize::from(*length).min(tail.len()));
        label.iter().for_each(|byte| escape(&mut text, *byte, b". '@;()\"\\"));
        text.push('.');
        rest = after;
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = "\"".to_owned();
    bytes.iter().for_each(|byte| escape(&mut text, *byte, b"\"\\"));
    text.push('"');
    text
}

fn escape(text: &mut String, byte: u8, special: &[u8]) {
    match byte {
        byte if special.contains(&byte) => text.extend(['\\', char::from(byte)]),
        b' '..=b'~' => text.push(char::from(byte)),
        byte => write!(text, "\\{byte:03}").expect("a string takes all that is written"),
    }
}

#[cfg(test)]
mod tests;
