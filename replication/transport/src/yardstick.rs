//! What a bare QUIC stream carries: the measure that benchmarks hold journal shipping against.
//!
//! Stands here because only this crate names quinn. Same certificates, same limits, one stream, nothing but bytes.

use crate::endpoint::{self, Endpoints};
use crate::{Class, Config, Error};
use bytes::Bytes;
use eport_identity::{Lineage, NodeId};
use eport_tls::Tls;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Length of one write.
const CHUNK: usize = 256 << 10;

/// Bytes a second of one stream between two endpoints on loopback. `server` is the node named by the certificates of `tls`.
#[allow(clippy::disallowed_methods)] // a measurement reads the monotonic clock
pub async fn bare_stream(tls: &Tls, server: NodeId, time: Duration) -> Result<f64, Error> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config::new(server, Lineage::default(), listen, 0);
    let (from, to) = (endpoint::open(&config, tls)?, endpoint::open(&config, tls)?);
    let fail = |source: io::Error| Error::Socket { addr: listen, source };
    let addr = to.endpoint.local_addr().map_err(fail)?;
    let received = tokio::spawn(receive(to));
    let sent = send(from, addr, &tls.node_server_name(server), time).await.map_err(fail)?;
    let (bytes, took) = received.await.map_err(|e| fail(io::Error::other(e)))?.map_err(fail)?;
    if bytes != sent {
        return Err(fail(io::Error::other(format!("{sent} bytes were sent and {bytes} came"))));
    }
    Ok(bytes as f64 / took.as_secs_f64())
}

async fn send(from: Endpoints, addr: SocketAddr, name: &str, time: Duration) -> io::Result<u64> {
    let connecting = from.endpoint.connect_with(from.client(Class::Control), addr, name);
    let connection = connecting.map_err(io::Error::other)?.await?;
    let mut stream = connection.open_uni().await?;
    let chunk = Bytes::from(vec![0x5a; CHUNK]);
    let end = tokio::time::Instant::now() + time;
    let mut sent = 0u64;
    while tokio::time::Instant::now() < end {
        stream.write_chunk(chunk.clone()).await?;
        sent += CHUNK as u64;
    }
    stream.finish().map_err(io::Error::other)?;
    let _ = stream.stopped().await;
    Ok(sent)
}

#[allow(clippy::disallowed_methods)] // a measurement reads the monotonic clock
async fn receive(to: Endpoints) -> io::Result<(u64, Duration)> {
    let incoming = to.endpoint.accept().await.ok_or_else(|| io::Error::other("the endpoint is closed"))?;
    let connection = incoming.await?;
    let mut stream = connection.accept_uni().await?;
    let start = Instant::now();
    let mut bytes = 0u64;
    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await? {
        bytes += chunk.bytes.len() as u64;
    }
    Ok((bytes, start.elapsed()))
}
