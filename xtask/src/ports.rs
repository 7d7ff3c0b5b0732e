//! Free TCP ports on loopback.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// As many different ports as asked for, free a moment ago.
pub(crate) fn free<const COUNT: usize>() -> Result<[u16; COUNT]> {
    // All are held until the last is known, so that no two are the same.
    let listeners: Vec<_> = (0..COUNT).map(|_| bind(0)).collect::<Result<_>>()?;
    let mut ports = [0; COUNT];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Each of these ports where it is free, else a free one in its place.
pub(crate) fn preferred<const COUNT: usize>(wanted: [u16; COUNT]) -> Result<[u16; COUNT]> {
    let mut ports = free::<COUNT>()?;
    for (port, wanted) in ports.iter_mut().zip(wanted) {
        if bind(wanted).is_ok() {
            *port = wanted;
        }
    }
    Ok(ports)
}

fn bind(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("cannot listen on 127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::{bind, free, preferred};

    #[test]
    fn no_two_ports_are_the_same() {
        let mut ports = free::<8>().unwrap().to_vec();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }

    #[test]
    fn a_port_in_use_is_replaced() {
        let taken = bind(0).unwrap();
        let taken_port = taken.local_addr().unwrap().port();
        let [port] = preferred([taken_port]).unwrap();
        assert_ne!(port, taken_port);
    }
}
