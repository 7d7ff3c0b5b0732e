//! One ICMP echo (RFC 792, RFC 4443).
//!
//! An unprivileged socket does where the kernel allows it (`net.ipv4.ping_group_range`); else a raw one, which takes the
//! capability CAP_NET_RAW.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use futura_metrics::specs::checks::{Phase, Reason};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use super::{Dialer, Failure, Trace};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    /// How many bytes go with it.
    pub(crate) payload: usize,
    /// Whether no router may take it apart.
    pub(crate) dont_fragment: bool,
    /// Through how many routers it may go; none leaves that to the system.
    pub(crate) hop_limit: Option<u8>,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The hop limit that was left of the answer, where the kernel tells it.
    pub(crate) hop_limit: Option<u8>,
}

struct Pinger {
    /// Not of UDP: what the type is for works on any socket of datagrams.
    socket: UdpSocket,
    /// Whether replies to other processes come here too.
    shared: bool,
    /// Whether IP's header stands before what is received.
    raw: bool,
    identifier: u16,
}

/// The largest payload: what is left of an IPv4 packet.
pub(crate) const PAYLOAD_LIMIT: usize = 65_507;

const IPV4_REPLY: u8 = 0;
const IPV4_REQUEST: u8 = 8;
const IPV6_REQUEST: u8 = 128;
const IPV6_REPLY: u8 = 129;

const HEADER: usize = 8;

/// Echoes have numbers of their own, so that none takes another's reply.
static SEQUENCE: AtomicU16 = AtomicU16::new(0);

/// Sends one echo to `host` and waits for its reply.
pub(crate) async fn ping(dialer: &Dialer, trace: &mut Trace, host: &str, echo: Echo) -> Result<Reply, Failure> {
    let address = dialer.resolve(trace, host).await?[0];
    trace.address = Some(address);
    trace.begin(Phase::Connect);
    let pinger = Pinger::open(address, dialer.source, echo).map_err(|error| denied(&error))?;
    trace.begin(Phase::FirstByte);
    let reply = pinger.exchange(address, echo.payload).await.map_err(|error| Failure::connect(&error))?;
    trace.end();
    Ok(reply)
}

fn denied(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::new(
            Reason::Connect,
            "no ICMP socket is permitted: have net.ipv4.ping_group_range include this process's group, or grant CAP_NET_RAW",
        ),
        _ => Failure::connect(error),
    }
}

// === impl Pinger ===

impl Pinger {
    fn open(address: IpAddr, source: Option<IpAddr>, echo: Echo) -> io::Result<Self> {
        let (domain, protocol) = match address {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let (socket, raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
            Ok(socket) => (socket, false),
            Err(_) => (Socket::new(domain, Type::RAW, Some(protocol))?, true),
        };
        socket.set_nonblocking(true)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match address {
            IpAddr::V4(_) => {
                setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
                set_ip_mtu_discover(
                    &socket,
                    if echo.dont_fragment { Ipv4PathMtuDiscovery::DO } else { Ipv4PathMtuDiscovery::DONT },
                )?;
                echo.hop_limit.map_or(Ok(()), |limit| socket.set_ttl_v4(limit.into()))?;
            }
            IpAddr::V6(_) => {
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
                set_ipv6_mtu_discover(
                    &socket,
                    if echo.dont_fragment { Ipv6PathMtuDiscovery::DO } else { Ipv6PathMtuDiscovery::DONT },
                )?;
                echo.hop_limit.map_or(Ok(()), |limit| socket.set_unicast_hops_v6(limit.into()))?;
            }
        }
        // The port is of no use to ICMP; being connected keeps others' replies away.
        socket.connect(&SockAddr::from(SocketAddr::new(address, 0)))?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, shared: raw, raw: raw && address.is_ipv4(), identifier: fastrand::u16(..) })
    }

    async fn exchange(&self, address: IpAddr, payload: usize) -> io::Result<Reply> {
        let sequence = SEQUENCE.fetch_add(1, Relaxed);
        let (request, reply) = if address.is_ipv4() { (IPV4_REQUEST, IPV4_REPLY) } else { (IPV6_REQUEST, IPV6_REPLY) };
        let sent = message(request, self.identifier, sequence, payload);
        self.socket.send(&sent).await?;
        let mut buffer = vec![0; HEADER + payload + 60];
        loop {
            let (length, hop_limit) =
                self.socket.async_io(Interest::READABLE, || receive(&self.socket, &mut buffer)).await?;
            let start = if self.raw { usize::from(buffer[0] & 0xf) * 4 } else { 0 };
            let Some(received) = buffer.get(start..length).filter(|received| received.len() >= HEADER) else {
                continue;
            };
            // The identifier is the kernel's where the socket is unprivileged, and it alone delivers by it.
            let mine = !self.shared || received[4..6] == sent[4..6];
            if received[0] == reply && mine && received[6..] == sent[6..] {
                return Ok(Reply { hop_limit });
            }
        }
    }
}

fn message(kind: u8, identifier: u16, sequence: u16, payload: usize) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    message.extend_from_slice(&identifier.to_be_bytes());
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend(b"futura-sidecar ".iter().cycle().take(payload));
    // Of ICMPv6 the kernel makes the sum anew, since IP's addresses are in it.
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// The ones' complement sum of RFC 1071.
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
    let mut control = nix::cmsg_space!(i32);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let hop_limit = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4Ttl(limit) | ControlMessageOwned::Ipv6HopLimit(limit) => u8::try_from(limit).ok(),
        _ => None,
    });
    Ok((received.bytes, hop_limit))
}

#[cfg(test)]
mod tests {
    use super::{checksum, message};

    #[test]
    fn a_message_sums_up_to_nothing() {
        for payload in [0, 1, 24, 1001] {
            let message = message(8, 0x1234, 7, payload);
            assert_eq!((checksum(&message), message.len()), (0, 8 + payload));
        }
    }
}
