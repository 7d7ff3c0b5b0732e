use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Version};
use proptest::{collection::vec, prelude::any, prop_assert_eq, proptest};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime,
};

use super::send;

/// A target that answers in these pieces, whatever is asked, and keeps that.
#[derive(Default)]
struct Target {
    pieces: VecDeque<Vec<u8>>,
    asked: Arc<Mutex<Vec<u8>>>,
    /// Takes no more than this, and then fails.
    takes: Option<usize>,
}

impl AsyncRead for Target {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.pieces.front_mut() {
            let count = piece.len().min(buffer.remaining());
            buffer.put_slice(&piece.drain(..count).collect::<Vec<_>>());
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Target {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut asked = self.asked.lock().expect("no panic");
        let room = self.takes.map_or(bytes.len(), |takes| takes - asked.len()).min(bytes.len());
        if room == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        asked.extend_from_slice(&bytes[..room]);
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// An answer as it was understood.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    version: Version,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

fn ask(method: &Method, target: Target) -> Result<Answer, String> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = method.clone();
    exchange(request, target)
}

fn exchange(request: Request<Bytes>, target: Target) -> Result<Answer, String> {
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let response = send(Box::new(target), request).await.map_err(|error| error.to_string())?;
        let (head, mut rest) = response.into_parts();
        let (mut body, mut trailers) = (Vec::new(), None);
        while let Some(frame) = rest.frame().await.map_err(|error| error.to_string())? {
            match frame.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        Ok(Answer { status: head.status.as_u16(), version: head.version, headers: head.headers, body, trailers })
    })
}

fn whole(answer: &[u8]) -> Target {
    Target { pieces: VecDeque::from([answer.to_vec()]), ..Target::default() }
}

fn get(answer: &str) -> Result<Answer, String> {
    ask(&Method::GET, whole(answer.as_bytes()))
}

fn body(answer: &str) -> String {
    String::from_utf8(get(answer).unwrap_or_else(|error| panic!("{answer}: {error}")).body).expect("text")
}

#[test]
fn a_body_ends_where_its_head_says() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello, more", "hello"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore", ""),
        ("HTTP/1.0 200 OK\r\n\r\nto the end", "to the end"),
        ("HTTP/1.1 200 OK\nserver: old\n\nto the end", "to the end"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nto the end", "to the end"),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", ""),
        ("HTTP/1.1 304 Not Modified\r\n\r\nhello", ""),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </s>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nlast",
            "last",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n00a \r\n, everyone\r\n0\r\n\r\nmore",
            "hello, everyone",
        ),
        // What is chunked has no other length (RFC 9112, section 6.3).
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "ab"),
    ] {
        assert_eq!(body(answer), expected, "{answer}");
    }
    let head = ask(&Method::HEAD, whole(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")).expect("an answer");
    assert_eq!(head.body, b"");
}

#[test]
fn what_is_no_answer_is_told_as_it_comes() {
    for (answer, expected) in [
        ("", "connection closed before message completed"),
        ("HTTP/1.1 200 OK\r\n", "connection closed before message completed"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", "connection closed before message completed"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "invalid HTTP: invalid HTTP version"),
        ("HTTP/1.1 two OK\r\n\r\n", "invalid HTTP: invalid response status"),
        ("HTTP/1.1 200 OK\r\na b: c\r\n\r\n", "invalid HTTP: invalid header name"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
            "the answer says in two ways how long it is",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello", "the answer says of its length what is no number"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "the answer says of its length what is no number",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nz\r\n", "a chunk of the answer is none"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n", "a chunk of the answer is none"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", "a chunk of the answer is none"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\n", "a chunk of the answer is none"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", "connection closed before message completed"),
    ] {
        assert_eq!(get(answer).map(|answer| answer.status), Err(expected.to_owned()), "{answer}");
    }
    for endless in ["HTTP/1.1 200 OK\r\na: ", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;"] {
        let error = get(&format!("{endless}{}", "a".repeat(200_000))).expect_err("too long");
        assert!(error.contains("head is longer") || error.contains("chunk"), "{error}");
    }
    let hints = get(&"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".repeat(10_000));
    assert_eq!(hints.expect_err("no end"), "the answer's head is longer than 65536 bytes");
}

#[test]
fn trailers_come_after_the_body() {
    let answer = get("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\ngrpc-status: 0\r\n\r\n");
    assert_eq!(answer.expect("an answer").trailers.expect("trailers")["grpc-status"], "0");
}

#[test]
fn a_request_says_how_long_its_body_is_and_nothing_else_does() {
    let asked = |method: Method, body: &'static str| {
        let request = Request::builder().method(method).uri("/a?b=c").header("host", "h").header("content-length", "9");
        let request = request.header("transfer-encoding", "chunked").body(Bytes::from(body)).expect("a request");
        let target = whole(b"HTTP/1.1 200 OK\r\n\r\n");
        let asked = Arc::clone(&target.asked);
        exchange(request, target).expect("an answer");
        let asked = asked.lock().expect("no panic").clone();
        String::from_utf8(asked).expect("text")
    };
    assert_eq!(asked(Method::GET, ""), "GET /a?b=c HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(asked(Method::POST, ""), "POST /a?b=c HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(asked(Method::PUT, "body"), "PUT /a?b=c HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody");
}

#[test]
fn who_reads_no_further_is_heard_all_the_same() {
    let request = Request::post("/").body(Bytes::from(vec![b'a'; 100_000])).expect("a request");
    let answers = |answer: &[u8]| Target { takes: Some(50), ..whole(answer) };
    let answer = exchange(request.clone(), answers(b"HTTP/1.1 413 Too Large\r\n\r\n")).expect("an answer");
    assert_eq!(answer.status, 413);
    assert_eq!(exchange(request, answers(b"")), Err("the connection failed".to_owned()));
}

/// A piece of an answer, right or wrong.
fn pieces() -> Vec<&'static str> {
    vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n",
        "\r\n",
        "\n",
        "content-length: 3\r\n",
        "abc",
        "5\r\nhello\r\n",
        "transfer-encoding: chunked\r\n",
        "0\r\n",
        "a: b\r\n",
        "3;x\r\n",
        "\r",
        " ",
    ]
}

proptest! {
    #[test]
    fn it_is_all_the_same_in_which_pieces_an_answer_comes(
        parts in vec(proptest::sample::select(pieces()), 0..12),
        cuts in vec(1_usize..7, 0..60),
    ) {
        let answer = parts.concat().into_bytes();
        let together = ask(&Method::GET, whole(&answer));
        let (mut rest, mut pieces) = (&answer[..], VecDeque::new());
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.extend((!piece.is_empty()).then(|| piece.to_vec()));
            rest = after;
        }
        pieces.extend((!rest.is_empty()).then(|| rest.to_vec()));
        let apart = ask(&Method::GET, Target { pieces, ..Target::default() });
        prop_assert_eq!(together.is_ok(), apart.is_ok());
        prop_assert_eq!(together.ok(), apart.ok());
    }

    #[test]
    fn no_bytes_are_too_much_for_it(bytes in vec(any::<u8>(), 0..300), head in any::<bool>()) {
        let start = if head { &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..] } else { b"" };
        let _ = ask(&Method::GET, whole(&[start, &bytes].concat()));
    }
}
