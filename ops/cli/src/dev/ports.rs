//! Free ports for local processes.
//!
//! They lie below the range from which the system takes ports for outgoing connections: a node that is restarted must
//! find its port free, and an outgoing connection of any other process could have taken an ephemeral one meanwhile.

use crate::error::Error;
use rand::Rng;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// Lowest port that is offered.
const LOWEST: u16 = 10_240;
/// Tries before giving up; each port is free with high probability.
const TRIES: usize = 2_000;

/// Addresses of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// UDP.
    pub quic: SocketAddr,
    /// TCP.
    pub api: SocketAddr,
    /// TCP.
    pub metrics: SocketAddr,
}

/// Finds free loopback addresses for a number of nodes, and for a number of paths between them. All are held until the
/// last is found, so none is given twice.
pub fn free(nodes: usize, paths: usize) -> Result<(Vec<Addresses>, Vec<SocketAddr>), Error> {
    eport_relay::allow_sockets();
    let highest = ephemeral_start().saturating_sub(1).max(LOWEST + 1_000);
    let mut rng = rand::rng();
    let mut held = Vec::new();
    let mut next = || -> Result<SocketAddr, Error> {
        for _ in 0..TRIES {
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, rng.random_range(LOWEST..highest)));
            // Both kinds are taken, so that one number means one listener in `ss` and in the documentation.
            if let (Ok(tcp), Ok(udp)) = (TcpListener::bind(at), UdpSocket::bind(at)) {
                held.push((tcp, udp));
                return Ok(at);
            }
        }
        Err(Error::coded(eport_model::codes::PORT_TAKEN, "no free port was found on 127.0.0.1"))
    };
    let found: Result<Vec<Addresses>, Error> =
        (0..nodes).map(|_| Ok(Addresses { quic: next()?, api: next()?, metrics: next()? })).collect();
    let between: Result<Vec<SocketAddr>, Error> = (0..paths).map(|_| next()).collect();
    Ok((found?, between?))
}

/// First port of the range for outgoing connections; Linux' default where it cannot be read.
fn ephemeral_start() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_ascii_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_gets_ports_of_its_own() {
        let (found, between) = free(8, 30).unwrap();
        let mut ports: Vec<u16> =
            found.iter().flat_map(|a| [a.quic.port(), a.api.port(), a.metrics.port()]).collect();
        ports.extend(between.iter().map(SocketAddr::port));
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 24 + 30);
    }
}
