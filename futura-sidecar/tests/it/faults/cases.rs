//! What goes wrong, and the reason that is to be told for it: one row each.

use super::servers::{
    Act::{Close, Drip, Flood, Hear, Reset, Say, Tls},
    Target::{self, Closed, Full, Spoofing, Tcp, Udp},
};

/// What is to come of a run.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    Up,
    /// It fails by this reason.
    Fails(&'static str),
    /// It is given up in this phase, once its time is over.
    HangsIn(&'static str),
}

use Outcome::{Fails, HangsIn, Up};

/// Of a check or a module: its name, its keys, in which `TARGET` stands for the address, the target and the outcome.
pub(super) type Case = (&'static str, &'static str, Target, Outcome);

const HTTP: &str = "kind: http, url: \"http://TARGET/\"";
const HTTP_2: &str = "kind: http, url: \"http://TARGET/\", http2: only";
const HTTPS: &str = "kind: http, url: \"https://TARGET/\", tls: { ca: CA }";
const TLS: &str = "kind: tls, target: \"TARGET\", tls: { ca: CA }";
const LINES: &str = "kind: tcp, target: \"TARGET\", dialogue: [{ expect: \"^220\" }]";
const STARTTLS: &str = "kind: tcp, target: \"TARGET\", tls: {}, dialogue: [{ expect: \"^220\", starttls: true }]";
const DNS: &str = "kind: dns, target: \"TARGET\", query: example.org";
const DNS_TCP: &str = "kind: dns, target: \"TARGET\", query: example.org, transport: tcp";
const DNS_TLS: &str = "kind: dns, target: \"TARGET\", query: example.org, tls: { ca: CA }";
const GRPC: &str = "kind: grpc, target: \"TARGET\"";
const GRPC_TLS: &str = "kind: grpc, target: \"TARGET\", tls: { ca: CA }";
const REDIS: &str = "kind: redis, target: \"TARGET\"";
const REDIS_INFO: &str = "kind: redis, target: \"TARGET\", role: primary";
const REDIS_USER: &str = "kind: redis, target: \"TARGET\", user: u, password: p";
const POSTGRES: &str = "kind: postgres, target: \"TARGET\", user: u";
const POSTGRES_TLS: &str = "kind: postgres, target: \"TARGET\", user: u, tls: { ca: CA }";
const MONGODB: &str = "kind: mongodb, target: \"TARGET\"";
const MONGODB_USER: &str = "kind: mongodb, target: \"TARGET\", user: u, password: p";
const MONGODB_STATUS: &str = "kind: mongodb, target: \"TARGET\", connections_available_min: 1";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const LONG: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
const LOOP: &[u8] = b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
const GARBAGE: &[u8] =
    b"\xff\xfe\x00\x01garbage\xff\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\r\n";
/// The head of a record of TLS with 16 KiB to come, and what is in it at first.
const HELLO: &[u8] = b"\x16\x03\x03\x40\x00\x02";

const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Headers that never end: `a: b` once, then again in frames that go on with it.
const HEADERS: &[u8] = b"\0\0\x05\x01\0\0\0\0\x01\0\x01a\x01b";
const CONTINUATION: &[u8] = b"\0\0\x05\x09\0\0\0\0\x01\0\x01a\x01b";

/// AuthenticationOk and ReadyForQuery.
const LET_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
const ROW: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x011";
/// An answer `{ ok: 1.0 }` of MongoDB.
const OKAY: &[u8] = b"\x26\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x11\0\0\0\x01ok\0\0\0\0\0\0\0\xf0\x3f\0";

/// Checks, each of a sidecar that runs.
pub(super) const CHECKS: &[Case] = &[
    ("http-full", HTTP, Full, HangsIn("connect")),
    ("http-closed", HTTP, Closed, Fails("connect")),
    ("http-silent", HTTP, Tcp(&[]), HangsIn("first_byte")),
    ("http-slow-head", HTTP, Tcp(&[Hear, Say(OK), Drip(b'a')]), HangsIn("first_byte")),
    ("http-slow-body", HTTP, Tcp(&[Hear, Say(LONG), Drip(b'a')]), HangsIn("transfer")),
    ("http-slow-chunk", HTTP, Tcp(&[Hear, Say(CHUNKED), Drip(b'0')]), HangsIn("transfer")),
    ("http-reset-at-once", HTTP, Tcp(&[Reset]), Fails("connect")),
    ("http-reset", HTTP, Tcp(&[Hear, Reset]), Fails("connect")),
    ("http-reset-in-body", HTTP, Tcp(&[Hear, Say(LONG), Say(b"hello"), Reset]), Fails("connect")),
    ("http-gone", HTTP, Tcp(&[Hear, Close]), Fails("protocol")),
    ("http-gone-in-body", HTTP, Tcp(&[Hear, Say(LONG), Close]), Fails("protocol")),
    ("http-gone-in-chunk", HTTP, Tcp(&[Hear, Say(CHUNKED), Say(b"5\r\nhe"), Close]), Fails("protocol")),
    ("http-garbage", HTTP, Tcp(&[Hear, Say(GARBAGE)]), Fails("protocol")),
    ("http-garbage-in-body", HTTP, Tcp(&[Hear, Say(CHUNKED), Say(b"what\r\n")]), Fails("protocol")),
    ("http-endless-line", HTTP, Tcp(&[Hear, Say(OK), Say(b"a: "), Flood(&[b'a'; 4096])]), Fails("protocol")),
    ("http-endless-head", HTTP, Tcp(&[Hear, Say(OK), Flood(b"a: b\r\n")]), Fails("protocol")),
    ("http-endless-hints", HTTP, Tcp(&[Hear, Flood(b"HTTP/1.1 103 Early Hints\r\n\r\n")]), Fails("protocol")),
    ("http-endless-body", HTTP, Tcp(&[Hear, Say(OK), Say(b"\r\n"), Flood(&[b'a'; 4096])]), Up),
    ("http-loop", "kind: http, url: \"http://TARGET/\", redirects: 10", Tcp(&[Hear, Say(LOOP)]), Fails("status")),
    ("http2-silent", HTTP_2, Tcp(&[]), HangsIn("first_byte")),
    ("http2-greets", HTTP_2, Tcp(&[Hear, Say(SETTINGS)]), HangsIn("first_byte")),
    ("http2-garbage", HTTP_2, Tcp(&[Hear, Say(GARBAGE)]), Fails("protocol")),
    ("http2-pings", HTTP_2, Tcp(&[Hear, Say(SETTINGS), Flood(PING)]), HangsIn("first_byte")),
    ("http2-endless-head", HTTP_2, Tcp(&[Hear, Say(SETTINGS), Say(HEADERS), Flood(CONTINUATION)]), Fails("protocol")),
    ("http2-is-http1", HTTP_2, Tcp(&[Hear, Say(LONG)]), Fails("protocol")),
    ("https-full", HTTPS, Full, HangsIn("connect")),
    ("https-silent", HTTPS, Tcp(&[]), HangsIn("tls")),
    ("https-slow", HTTPS, Tcp(&[Hear, Say(HELLO), Drip(2)]), HangsIn("tls")),
    ("https-reset", HTTPS, Tcp(&[Hear, Reset]), Fails("tls")),
    ("https-gone", HTTPS, Tcp(&[Hear, Close]), Fails("tls")),
    ("https-garbage", HTTPS, Tcp(&[Hear, Flood(GARBAGE)]), Fails("tls")),
    ("https-is-http", HTTPS, Tcp(&[Hear, Say(LONG)]), Fails("tls")),
    ("https-hangs-later", HTTPS, Tcp(&[Tls("good")]), HangsIn("first_byte")),
    ("https-slow-body", HTTPS, Tcp(&[Tls("good"), Hear, Say(LONG), Drip(b'a')]), HangsIn("transfer")),
    ("https-reset-later", HTTPS, Tcp(&[Tls("good"), Hear, Reset]), Fails("connect")),
    ("https-gone-in-body", HTTPS, Tcp(&[Tls("good"), Hear, Say(LONG), Close]), Fails("protocol")),
    ("https-expired", HTTPS, Tcp(&[Tls("expired")]), Fails("expired")),
    ("https-stranger", HTTPS, Tcp(&[Tls("self")]), Fails("tls")),
    ("https-other-name", HTTPS, Tcp(&[Tls("other")]), Fails("tls")),
    ("tls-full", TLS, Full, HangsIn("connect")),
    ("tls-silent", TLS, Tcp(&[]), HangsIn("tls")),
    ("tls-slow", TLS, Tcp(&[Hear, Say(HELLO), Drip(2)]), HangsIn("tls")),
    ("tls-reset", TLS, Tcp(&[Hear, Reset]), Fails("tls")),
    ("tls-garbage", TLS, Tcp(&[Hear, Say(GARBAGE)]), Fails("tls")),
    ("tls-expired", TLS, Tcp(&[Tls("expired")]), Fails("expired")),
    ("tls-stranger", TLS, Tcp(&[Tls("self")]), Fails("tls")),
    ("tls-other-name", TLS, Tcp(&[Tls("other")]), Fails("tls")),
    ("tcp-full", "kind: tcp, target: \"TARGET\"", Full, HangsIn("connect")),
    ("tcp-closed", "kind: tcp, target: \"TARGET\"", Closed, Fails("connect")),
    ("tcp-silent", LINES, Tcp(&[]), HangsIn("transfer")),
    ("tcp-slow", LINES, Tcp(&[Say(b"22"), Drip(b'2')]), HangsIn("transfer")),
    ("tcp-reset", LINES, Tcp(&[Say(b"22"), Reset]), Fails("connect")),
    ("tcp-gone", LINES, Tcp(&[Say(b"500 no\r\n"), Close]), Fails("body")),
    ("tcp-endless-line", LINES, Tcp(&[Flood(&[b'2'; 4096])]), Fails("protocol")),
    ("tcp-endless-lines", LINES, Tcp(&[Flood(b"500 no\r\n")]), HangsIn("transfer")),
    ("starttls-silent", STARTTLS, Tcp(&[Say(b"220 go on\r\n")]), HangsIn("tls")),
    ("starttls-forged", STARTTLS, Tcp(&[Say(b"220 go on\r\n250 forged\r\n")]), Fails("protocol")),
    ("dns-silent", DNS, Udp(|_| Vec::new()), HangsIn("first_byte")),
    ("dns-closed", DNS, Closed, Fails("connect")),
    ("dns-other-number", DNS, Udp(|query| vec![lie(0, answer(query, 0x8180, A))]), HangsIn("first_byte")),
    ("dns-other-name", DNS, Udp(|query| vec![lie(13, answer(query, 0x8180, A))]), HangsIn("first_byte")),
    ("dns-other-type", DNS, Udp(|query| vec![lie(26, answer(query, 0x8180, A))]), HangsIn("first_byte")),
    ("dns-question", DNS, Udp(|query| vec![query.to_vec()]), HangsIn("first_byte")),
    ("dns-other-source", DNS, Spoofing(|query| vec![answer(query, 0x8180, A)]), HangsIn("first_byte")),
    (
        "dns-lies-first",
        DNS,
        Udp(|query| {
            vec![lie(0, answer(query, 0x8180, A)), lie(13, answer(query, 0x8180, A)), answer(query, 0x8180, A)]
        }),
        Up,
    ),
    ("dns-garbage", DNS, Udp(|query| vec![answer(query, 0x8180, b"\xff\xff")]), Fails("protocol")),
    ("dns-endless-name", DNS, Udp(|query| vec![answer(query, 0x8180, b"\xc0\x1d")]), Fails("protocol")),
    ("dns-unknown", DNS, Udp(|query| vec![answer(query, 0x8183, b"")]), Fails("status")),
    ("dns-failing", DNS, Udp(|query| vec![answer(query, 0x8182, b"")]), Fails("status")),
    ("dns-empty", DNS, Udp(|query| vec![answer(query, 0x8180, b"")]), Fails("body")),
    ("dns-of-another", DNS, Udp(|query| vec![answer(query, 0x8180, OTHERS)]), Fails("body")),
    ("dns-truncated", DNS, Udp(|query| vec![answer(query, 0x8380, b"")]), Fails("connect")),
    ("dns-tcp-full", DNS_TCP, Full, HangsIn("connect")),
    ("dns-tcp-silent", DNS_TCP, Tcp(&[]), HangsIn("first_byte")),
    ("dns-tcp-slow", DNS_TCP, Tcp(&[Hear, Say(b"\xff\xff"), Drip(0)]), HangsIn("first_byte")),
    ("dns-tcp-reset", DNS_TCP, Tcp(&[Hear, Reset]), Fails("connect")),
    ("dns-tcp-gone", DNS_TCP, Tcp(&[Hear, Say(b"\0\x20"), Close]), Fails("protocol")),
    ("dns-tcp-garbage", DNS_TCP, Tcp(&[Hear, Say(b"\0\x04what")]), Fails("protocol")),
    ("dns-tls-silent", DNS_TLS, Tcp(&[]), HangsIn("tls")),
    ("dns-tls-hangs-later", DNS_TLS, Tcp(&[Tls("good")]), HangsIn("first_byte")),
    ("grpc-full", GRPC, Full, HangsIn("connect")),
    ("grpc-silent", GRPC, Tcp(&[]), HangsIn("first_byte")),
    ("grpc-greets", GRPC, Tcp(&[Hear, Say(SETTINGS)]), HangsIn("first_byte")),
    ("grpc-slow", GRPC, Tcp(&[Hear, Say(b"\0\x40"), Drip(0)]), HangsIn("first_byte")),
    ("grpc-reset", GRPC, Tcp(&[Hear, Reset]), Fails("connect")),
    ("grpc-gone", GRPC, Tcp(&[Hear, Close]), Fails("connect")),
    ("grpc-garbage", GRPC, Tcp(&[Hear, Say(GARBAGE)]), Fails("protocol")),
    ("grpc-is-http1", GRPC, Tcp(&[Hear, Say(LONG)]), Fails("protocol")),
    ("grpc-tls-silent", GRPC_TLS, Tcp(&[]), HangsIn("tls")),
    ("grpc-tls-hangs-later", GRPC_TLS, Tcp(&[Tls("good")]), HangsIn("first_byte")),
    ("grpc-tls-expired", GRPC_TLS, Tcp(&[Tls("expired")]), Fails("expired")),
    ("redis-full", REDIS, Full, HangsIn("connect")),
    ("redis-silent", REDIS, Tcp(&[]), HangsIn("first_byte")),
    ("redis-slow", REDIS, Tcp(&[Hear, Say(b"+"), Drip(b'P')]), HangsIn("first_byte")),
    ("redis-reset", REDIS, Tcp(&[Hear, Reset]), Fails("connect")),
    ("redis-gone", REDIS, Tcp(&[Hear, Close]), Fails("connect")),
    ("redis-gone-in-line", REDIS, Tcp(&[Hear, Say(b"+PONG"), Close]), Fails("protocol")),
    ("redis-garbage", REDIS, Tcp(&[Hear, Say(GARBAGE)]), Fails("protocol")),
    ("redis-endless-line", REDIS, Tcp(&[Hear, Flood(b"++++++++")]), Fails("protocol")),
    ("redis-endless-value", REDIS, Tcp(&[Hear, Say(b"$999999999999\r\n")]), Fails("protocol")),
    ("redis-loading", REDIS, Tcp(&[Hear, Say(b"-LOADING wait\r\n")]), Fails("status")),
    ("redis-hangs-later", REDIS_INFO, Tcp(&[Hear, Say(b"+PONG\r\n")]), HangsIn("transfer")),
    (
        "redis-slow-info",
        REDIS_INFO,
        Tcp(&[Hear, Say(b"+PONG\r\n"), Hear, Say(b"$1000\r\n"), Drip(b'a')]),
        HangsIn("transfer"),
    ),
    ("redis-hangs-in-auth", REDIS_USER, Tcp(&[]), HangsIn("auth")),
    ("redis-stranger", REDIS_USER, Tcp(&[Hear, Say(b"-WRONGPASS no\r\n")]), Fails("auth")),
    ("redis-tls-silent", "kind: redis, target: \"TARGET\", tls: {}", Tcp(&[]), HangsIn("tls")),
    ("postgres-full", POSTGRES, Full, HangsIn("connect")),
    ("postgres-silent", POSTGRES, Tcp(&[]), HangsIn("auth")),
    ("postgres-slow", POSTGRES, Tcp(&[Hear, Say(b"N\0\0\x40\0"), Drip(0)]), HangsIn("auth")),
    ("postgres-reset", POSTGRES, Tcp(&[Hear, Reset]), Fails("connect")),
    ("postgres-gone", POSTGRES, Tcp(&[Hear, Close]), Fails("protocol")),
    ("postgres-garbage", POSTGRES, Tcp(&[Hear, Say(GARBAGE)]), Fails("protocol")),
    ("postgres-endless-message", POSTGRES, Tcp(&[Hear, Say(b"R\x7f\xff\xff\xff")]), Fails("protocol")),
    ("postgres-endless-notices", POSTGRES, Tcp(&[Hear, Flood(b"N\0\0\0\x05\0")]), HangsIn("auth")),
    ("postgres-hangs-later", POSTGRES, Tcp(&[Hear, Say(LET_IN)]), HangsIn("first_byte")),
    ("postgres-hangs-in-rows", POSTGRES, Tcp(&[Hear, Say(LET_IN), Hear, Say(ROW)]), HangsIn("transfer")),
    ("postgres-endless-rows", POSTGRES, Tcp(&[Hear, Say(LET_IN), Hear, Flood(ROW)]), HangsIn("transfer")),
    ("postgres-tls-silent", POSTGRES_TLS, Tcp(&[]), HangsIn("tls")),
    ("postgres-tls-hangs-later", POSTGRES_TLS, Tcp(&[Hear, Say(b"S")]), HangsIn("tls")),
    ("postgres-tls-none", POSTGRES_TLS, Tcp(&[Hear, Say(b"N")]), Fails("tls")),
    ("postgres-tls-expired", POSTGRES_TLS, Tcp(&[Hear, Say(b"S"), Tls("expired")]), Fails("expired")),
    ("mongodb-full", MONGODB, Full, HangsIn("connect")),
    ("mongodb-silent", MONGODB, Tcp(&[]), HangsIn("first_byte")),
    ("mongodb-slow", MONGODB, Tcp(&[Hear, Say(&[0x26]), Drip(0)]), Fails("protocol")),
    ("mongodb-reset", MONGODB, Tcp(&[Hear, Reset]), Fails("connect")),
    ("mongodb-gone", MONGODB, Tcp(&[Hear, Close]), Fails("protocol")),
    ("mongodb-garbage", MONGODB, Tcp(&[Hear, Say(GARBAGE)]), Fails("protocol")),
    ("mongodb-hangs-in-auth", MONGODB_USER, Tcp(&[]), HangsIn("auth")),
    ("mongodb-okay", MONGODB, Tcp(&[Hear, Say(OKAY)]), Up),
    ("mongodb-hangs-later", MONGODB_STATUS, Tcp(&[Hear, Say(OKAY)]), HangsIn("transfer")),
    ("mongodb-tells-nothing", MONGODB_STATUS, Tcp(&[Hear, Say(OKAY), Hear, Say(OKAY)]), Fails("protocol")),
    ("mongodb-tls-silent", "kind: mongodb, target: \"TARGET\", tls: {}", Tcp(&[]), HangsIn("tls")),
];

const ANY: &str = "prober: http";
const ANY_TLS: &str = "prober: http, http: { tls_config: { ca_file: CA } }";
const PROXIED: &str = "prober: http, http: { proxy_url: \"http://TARGET\" }";
const PATTERN: &str = "prober: http, http: { fail_if_body_not_matches_regexp: [never] }";
const LIMITED: &str = "prober: http, http: { body_size_limit: 1MB }";
const LINE: &str = "prober: tcp, tcp: { query_response: [{ expect: \"^220\" }] }";
const NAME: &str = "prober: dns, dns: { query_name: example.org, query_type: A }";
const NAME_TCP: &str = "prober: dns, dns: { query_name: example.org, query_type: A, transport_protocol: tcp }";
const HEALTH: &str = "prober: grpc";
const HEALTH_TLS: &str = "prober: grpc, grpc: { tls: true, tls_config: { ca_file: CA } }";

/// Modules, each of the same sidecar.
pub(super) const MODULES: &[Case] = &[
    ("http_full", ANY, Full, HangsIn("connect")),
    ("http_closed", ANY, Closed, Fails("connect")),
    ("http_silent", ANY, Tcp(&[]), HangsIn("first_byte")),
    ("http_slow_head", ANY, Tcp(&[Hear, Say(OK), Drip(b'a')]), HangsIn("first_byte")),
    ("http_slow_body", ANY, Tcp(&[Hear, Say(LONG), Drip(b'a')]), HangsIn("transfer")),
    ("http_reset", ANY, Tcp(&[Hear, Reset]), Fails("connect")),
    ("http_gone", ANY, Tcp(&[Hear, Close]), Fails("protocol")),
    ("http_garbage", ANY, Tcp(&[Hear, Say(GARBAGE)]), Fails("protocol")),
    ("http_loop", ANY, Tcp(&[Hear, Say(LOOP)]), Fails("status")),
    ("http_endless_head", ANY, Tcp(&[Hear, Say(OK), Flood(b"a: b\r\n")]), Fails("protocol")),
    ("http_endless_hints", ANY, Tcp(&[Hear, Flood(b"HTTP/1.1 103 Early Hints\r\n\r\n")]), Fails("protocol")),
    ("http_endless_body", LIMITED, Tcp(&[Hear, Say(OK), Say(b"\r\n"), Flood(&[b'a'; 4096])]), Fails("body")),
    ("http_endless_search", PATTERN, Tcp(&[Hear, Say(CHUNKED), Flood(b"5\r\nhello\r\n")]), HangsIn("transfer")),
    ("https_silent", ANY_TLS, Tcp(&[]), HangsIn("tls")),
    ("https_slow", ANY_TLS, Tcp(&[Hear, Say(HELLO), Drip(2)]), HangsIn("tls")),
    ("https_reset", ANY_TLS, Tcp(&[Hear, Reset]), Fails("tls")),
    ("https_garbage", ANY_TLS, Tcp(&[Hear, Say(GARBAGE)]), Fails("tls")),
    ("https_expired", ANY_TLS, Tcp(&[Tls("expired")]), Fails("expired")),
    ("https_stranger", ANY_TLS, Tcp(&[Tls("self")]), Fails("tls")),
    ("https_other_name", ANY_TLS, Tcp(&[Tls("other")]), Fails("tls")),
    ("https_hangs_later", ANY_TLS, Tcp(&[Tls("good")]), HangsIn("first_byte")),
    ("https_proxy_full", PROXIED, Full, HangsIn("connect")),
    ("https_proxy_silent", PROXIED, Tcp(&[]), HangsIn("connect")),
    ("https_proxy_slow", PROXIED, Tcp(&[Hear, Say(b"HTTP/1.1 200"), Drip(b' ')]), HangsIn("connect")),
    ("https_proxy_refusing", PROXIED, Tcp(&[Hear, Say(b"HTTP/1.1 403 No\r\n\r\n")]), Fails("connect")),
    ("https_proxy_stranger", PROXIED, Tcp(&[Hear, Say(b"HTTP/1.1 407 Who\r\n\r\n")]), Fails("auth")),
    ("https_proxy_garbage", PROXIED, Tcp(&[Hear, Flood(GARBAGE)]), Fails("connect")),
    ("https_proxy_hangs_later", PROXIED, Tcp(&[Hear, Say(b"HTTP/1.1 200 OK\r\n\r\n")]), HangsIn("tls")),
    ("tcp_full", "prober: tcp", Full, HangsIn("connect")),
    ("tcp_silent", LINE, Tcp(&[]), HangsIn("transfer")),
    ("tcp_slow", LINE, Tcp(&[Say(b"22"), Drip(b'2')]), HangsIn("transfer")),
    ("tcp_reset", LINE, Tcp(&[Say(b"22"), Reset]), Fails("connect")),
    ("tcp_endless_line", LINE, Tcp(&[Flood(&[b'2'; 4096])]), Fails("protocol")),
    ("dns_silent", NAME, Udp(|_| Vec::new()), HangsIn("first_byte")),
    ("dns_other_number", NAME, Udp(|query| vec![lie(0, answer(query, 0x8180, A))]), HangsIn("first_byte")),
    ("dns_other_name", NAME, Udp(|query| vec![lie(13, answer(query, 0x8180, A))]), HangsIn("first_byte")),
    ("dns_other_source", NAME, Spoofing(|query| vec![answer(query, 0x8180, A)]), HangsIn("first_byte")),
    ("dns_garbage", NAME, Udp(|query| vec![answer(query, 0x8180, b"\xff\xff")]), Fails("protocol")),
    ("dns_unknown", NAME, Udp(|query| vec![answer(query, 0x8183, b"")]), Fails("status")),
    ("dns_tcp_slow", NAME_TCP, Tcp(&[Hear, Say(b"\xff\xff"), Drip(0)]), HangsIn("first_byte")),
    ("grpc_full", HEALTH, Full, HangsIn("connect")),
    ("grpc_silent", HEALTH, Tcp(&[]), HangsIn("first_byte")),
    ("grpc_greets", HEALTH, Tcp(&[Hear, Say(SETTINGS)]), HangsIn("first_byte")),
    ("grpc_pings", HEALTH, Tcp(&[Hear, Say(SETTINGS), Flood(PING)]), HangsIn("first_byte")),
    ("grpc_reset", HEALTH, Tcp(&[Hear, Reset]), Fails("connect")),
    ("grpc_garbage", HEALTH, Tcp(&[Hear, Say(GARBAGE)]), Fails("protocol")),
    ("grpc_tls_silent", HEALTH_TLS, Tcp(&[]), HangsIn("tls")),
];

/// The record A of the name in the question.
const A: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
/// The record A of `evil`.
const OTHERS: &[u8] = b"\x04evil\0\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";

/// An answer to a query, with one record if there is any.
fn answer(query: &[u8], flags: u16, record: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2..4].copy_from_slice(&flags.to_be_bytes());
    answer[7] = u8::from(!record.is_empty());
    answer.extend_from_slice(record);
    answer
}

/// The same with one byte other than it should be.
fn lie(place: usize, mut answer: Vec<u8>) -> Vec<u8> {
    answer[place] ^= 1;
    answer
}
