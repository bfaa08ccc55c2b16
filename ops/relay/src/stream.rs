//! The TCP side of a path: callers at one site that speak to the API of a node at another.
//!
//! Always: a cut lets a stream wait, as a network does, and closes nothing; what is read ahead of the other side is bounded.

use crate::cable::Cable;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

/// Streams of one path at once; further callers wait to be accepted.
const STREAMS_MAX: usize = 256;
/// Bytes read at once.
const CHUNK: usize = 16 << 10;
/// Chunks under way in one direction of a stream: 1 MiB, the delay times the rate of a stream.
const CHUNKS_MAX: usize = 64;

/// Accepts callers on a path and connects each with `to`; ends when the listener fails for good.
pub(crate) async fn accept(listener: TcpListener, to: SocketAddr, there: Arc<Cable>, back: Arc<Cable>) {
    let room = Arc::new(Semaphore::new(STREAMS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let caller = match listener.accept().await {
            Ok((caller, _)) => caller,
            Err(error) => {
                // Out of descriptors, or a caller that left: both pass.
                tracing::warn!(%error, "a caller was not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (there, back) = (there.clone(), back.clone());
        tokio::spawn(async move {
            if let Err(error) = join(caller, to, there, back).await {
                tracing::debug!(%error, %to, "a stream ended");
            }
            drop(permit);
        });
    }
}

async fn join(caller: TcpStream, to: SocketAddr, there: Arc<Cable>, back: Arc<Cable>) -> std::io::Result<()> {
    // A dial through a cut link hangs; it must not succeed on the wrong side of the cut.
    there.whole().await;
    back.whole().await;
    let callee = TcpStream::connect(to).await?;
    caller.set_nodelay(true)?;
    callee.set_nodelay(true)?;
    let ((caller_read, caller_write), (callee_read, callee_write)) =
        (caller.into_split(), callee.into_split());
    // Each direction closes by itself, as in TCP; an error in one ends both.
    tokio::try_join!(pump(caller_read, callee_write, there), pump(callee_read, caller_write, back))?;
    Ok(())
}

/// Copies one direction until its end.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cable: Arc<Cable>) -> std::io::Result<()> {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Bytes)>(CHUNKS_MAX);
    let read = async {
        let mut buffer = vec![0u8; CHUNK];
        loop {
            let n = from.read(&mut buffer).await?;
            if n == 0 {
                drop(sender);
                return Ok::<(), std::io::Error>(());
            }
            let at = cable.pace(n).await;
            let chunk = Bytes::copy_from_slice(buffer.get(..n).unwrap_or_default());
            if sender.send((at, chunk)).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some((at, chunk)) = chunks.recv().await {
            tokio::time::sleep_until(at).await;
            cable.whole().await;
            to.write_all(&chunk).await?;
            cable.count(|c| c.stream_bytes += chunk.len() as u64);
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write)?;
    Ok(())
}
