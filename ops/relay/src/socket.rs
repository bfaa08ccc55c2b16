//! The UDP side of a path.
//!
//! A pair of nodes has two sockets. What A sends to the socket on which it reaches B leaves from the socket on which B
//! reaches A; so each sees one fixed address for the other, whoever dialled, and the relay keeps no table of flows: it
//! can be restarted in the middle of every conversation.

use crate::cable::{Cable, Verdict};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Bytes of the system's buffers of one socket, as far as it allows; a burst of a sender waits there.
const BUFFER: usize = 4 << 20;
/// Bytes that datagrams which arrived together may have: the largest that UDP allows.
const RECEIVE: usize = 65_535;
/// Batches read at once.
const BATCHES: usize = if BATCH_SIZE < 8 { BATCH_SIZE } else { 8 };

/// A bound UDP socket.
pub(crate) struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Port {
    pub fn bind(addr: SocketAddr) -> io::Result<Arc<Self>> {
        let socket = std::net::UdpSocket::bind(addr)?;
        let state = UdpSocketState::new((&socket).into())?;
        // Smaller buffers lose more of a burst, as a slower network would.
        let _ = state.set_recv_buffer_size((&socket).into(), BUFFER);
        let _ = state.set_send_buffer_size((&socket).into(), BUFFER);
        socket.set_nonblocking(true)?;
        Ok(Arc::new(Self { socket: UdpSocket::from_std(socket)?, state }))
    }
}

/// Where datagrams leave: a socket and who is reached.
pub(crate) struct Outlet {
    pub port: Arc<Port>,
    pub to: SocketAddr,
}

impl Outlet {
    /// Sends datagrams of `stride` bytes, or one.
    pub async fn send(
        &self,
        bytes: &[u8],
        stride: Option<usize>,
        ecn: Option<EcnCodepoint>,
    ) -> io::Result<()> {
        let most = stride.map_or(bytes.len(), |s| s.saturating_mul(self.port.state.max_gso_segments()));
        for part in bytes.chunks(most.max(1)) {
            let segment_size = stride.filter(|s| *s < part.len());
            let transmit = Transmit { destination: self.to, ecn, contents: part, segment_size, src_ip: None };
            loop {
                self.port.socket.writable().await?;
                let attempt = || self.port.state.try_send((&self.port.socket).into(), &transmit);
                match self.port.socket.try_io(Interest::WRITABLE, attempt) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    other => break other?,
                }
            }
        }
        Ok(())
    }
}

/// Carries what `from` sends to `port` until the socket fails.
pub(crate) async fn carry(
    port: Arc<Port>,
    from: SocketAddr,
    cable: Arc<Cable>,
    outlet: Arc<Outlet>,
) -> io::Result<()> {
    let mut buffers = vec![vec![0u8; RECEIVE]; BATCHES];
    loop {
        let mut meta = [RecvMeta::default(); BATCHES];
        port.socket.readable().await?;
        let received = port.socket.try_io(Interest::READABLE, || {
            let mut slices: Vec<IoSliceMut<'_>> = buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
            port.state.recv((&port.socket).into(), &mut slices, &mut meta)
        });
        let count = match received {
            Ok(count) => count,
            // A node that is down answers our datagrams with "port unreachable"; that concerns nobody here.
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => {
                continue;
            }
            Err(e) => return Err(e),
        };
        for (meta, buffer) in meta.iter().zip(&buffers).take(count) {
            let Some(bytes) = buffer.get(..meta.len) else { continue };
            if meta.addr != from {
                cable.count(|c| c.stray += bytes.len().div_ceil(meta.stride.max(1)) as u64);
                continue;
            }
            if let Verdict::Now = cable.take(&outlet, bytes, meta.stride, meta.ecn) {
                let stride = (meta.stride > 0 && meta.stride < meta.len).then_some(meta.stride);
                cable.send(&outlet, bytes, stride, meta.ecn).await;
            }
        }
    }
}
