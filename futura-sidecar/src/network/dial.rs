//! How a run comes to a connection: the name is resolved, the guard asked, the address dialled, each in its phase.

use std::{
    io::{ErrorKind, Result as IoResult},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futura_metrics::specs::checks::{Phase, Reason};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{Failure, Guard, Network, Tls, Trace};

/// A stream of bytes both ways, TLS or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens connections for checks. Clones share all.
#[derive(Clone)]
pub(crate) struct Dialer {
    network: Network,
    guard: Guard,
    /// Which of a name's addresses are dialled.
    pub(crate) family: Family,
    /// The address that connections come from; none lets the system choose.
    pub(crate) source: Option<IpAddr>,
}

/// Which of a name's addresses are dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Family {
    /// All, in the order of the resolver, until one answers.
    #[default]
    Any,
    /// The first of one version; with `fallback` the first of the other where there is none.
    First { ipv6: bool, fallback: bool },
}

// === impl Dialer ===

impl Dialer {
    pub(crate) fn new(network: Network, guard: Guard) -> Self {
        Self { network, guard, family: Family::default(), source: None }
    }

    /// The same without rules for what may be dialled, and for any address.
    pub(crate) fn unguarded(&self) -> Self {
        Self { guard: Guard::default(), family: Family::Any, ..self.clone() }
    }

    /// Fails if a host may not be dialled, as far as it is known without its addresses.
    pub(crate) fn judge_unresolved(&self, host: &str) -> Result<(), Failure> {
        judge(host, self.guard.allows_unresolved(host))
    }

    /// The addresses of a host that are to be dialled: at least one.
    pub(crate) async fn resolve(&self, trace: &mut Trace, host: &str) -> Result<Vec<IpAddr>, Failure> {
        trace.begin(Phase::Resolve);
        judge(host, self.guard.allows_name(host))?;
        let found = self.network.addresses(host).await.map_err(|error| Failure::dns(host, error.as_ref()))?;
        trace.end();
        let chosen = self.family.choose(found);
        if chosen.is_empty() {
            return Err(Failure::new(Reason::Dns, format!("{host}: no address")));
        }
        let (allowed, others): (Vec<_>, Vec<_>) =
            chosen.into_iter().partition(|address| self.guard.allows(host, *address));
        match others.first() {
            Some(address) if allowed.is_empty() => {
                Err(Failure::new(Reason::RefusedByPolicy, format!("{host}: {address} may not be checked")))
            }
            _ => Ok(allowed),
        }
    }

    /// A connection to the first address that takes one.
    pub(crate) async fn connect(&self, trace: &mut Trace, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let addresses = self.resolve(trace, host).await?;
        trace.begin(Phase::Connect);
        let mut failure = Failure::new(Reason::Dns, format!("{host}: no address"));
        for (address, left) in addresses.iter().copied().zip((1..=addresses.len() as u32).rev()) {
            trace.address = Some(address);
            // One that hangs leaves the next ones their share of the time.
            let share = trace.left().filter(|_| left > 1).map(|time| time / left);
            let dialled = timeout(share.unwrap_or(Duration::MAX), self.dial(SocketAddr::new(address, port)));
            match dialled.await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    trace.end();
                    return Ok(stream);
                }
                Err(error) => failure = Failure::connect(&error),
            }
        }
        Err(failure)
    }

    /// A connection on which TLS is spoken from the start, if at all.
    pub(crate) async fn open(
        &self,
        trace: &mut Trace,
        tls: Option<&Tls>,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn Stream>, Failure> {
        let stream = self.connect(trace, host, port).await?;
        match tls {
            Some(tls) => Ok(Box::new(tls.handshake(trace, stream, host).await?)),
            None => Ok(Box::new(stream)),
        }
    }

    async fn dial(&self, address: SocketAddr) -> IoResult<TcpStream> {
        let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        // A request leaves as it is written: waiting for more would be measured as the target's time.
        socket.set_nodelay(true)?;
        socket.connect(address).await
    }
}

fn judge(host: &str, allowed: bool) -> Result<(), Failure> {
    match allowed {
        true => Ok(()),
        false => Err(Failure::new(Reason::RefusedByPolicy, format!("{host} may not be checked"))),
    }
}

// === impl Family ===

impl Family {
    fn choose(self, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let Self::First { ipv6, fallback } = self else { return addresses };
        let preferred = addresses.iter().position(|address| address.is_ipv6() == ipv6);
        match preferred.or((fallback && !addresses.is_empty()).then_some(0)) {
            Some(index) => vec![addresses.swap_remove(index)],
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Family, IpAddr};

    #[test]
    fn one_address_is_chosen_by_version() {
        let addresses =
            |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().expect("an address")).collect() };
        let (four, six) = (["10.0.0.1", "10.0.0.2"], ["fd00::1"]);
        let both = addresses(&["10.0.0.1", "10.0.0.2", "fd00::1"]);
        assert_eq!(Family::Any.choose(both.clone()), both);
        for (ipv6, fallback, found, chosen) in [
            (true, false, &both, &["fd00::1"][..]),
            (false, false, &both, &["10.0.0.1"]),
            (true, true, &addresses(&four), &["10.0.0.1"]),
            (true, false, &addresses(&four), &[]),
            (false, true, &addresses(&six), &["fd00::1"]),
            (false, true, &addresses(&[]), &[]),
        ] {
            assert_eq!(Family::First { ipv6, fallback }.choose(found.clone()), addresses(chosen));
        }
    }
}
