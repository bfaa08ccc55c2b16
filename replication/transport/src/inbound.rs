//! Receiving: ordered streams and requests of one link.

use crate::link::Link;
use crate::transport::Shared;
use bytes::Bytes;
use eport_wire::{CloseCode, Frame, FrameDecoder, FrameError, Purpose, header};
use quinn::{ReadError, RecvStream, SendStream, VarInt};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Bytes taken from a stream at once.
const READ_LEN: usize = 256 << 10;

/// Why a stream yields no further frame.
pub(crate) enum Broken {
    Frame(FrameError),
    Read(ReadError),
}

/// Accepts the peer's ordered streams. Ends with the connection, after the last reader.
pub(crate) async fn streams(shared: Arc<Shared>, link: Arc<Link>) {
    let readers = TaskTracker::new();
    while let Ok(stream) = link.conn.accept_uni().await {
        readers.spawn(read_messages(shared.clone(), link.clone(), stream));
    }
    readers.close();
    readers.wait().await;
}

async fn read_messages(shared: Arc<Shared>, link: Arc<Link>, mut stream: RecvStream) {
    let mut decoder = FrameDecoder::new();
    loop {
        match next_frame(&mut stream, &mut decoder).await {
            Ok(Some(frame)) if frame.purpose.class() == link.class => {
                link.touch();
                shared.handler.message(link.node, frame.purpose, frame.payload);
            }
            Ok(Some(frame)) => {
                link.close(
                    CloseCode::Malformed,
                    &format!("{} on a {} connection", frame.purpose, link.class),
                );
                return;
            }
            Ok(None) | Err(Broken::Read(_)) => return,
            Err(Broken::Frame(e)) => {
                tracing::warn!(peer = %link.node, error = %e, "malformed frame");
                link.close(CloseCode::Malformed, &e.to_string());
                return;
            }
        }
    }
}

/// The next frame of a stream; `None` when it ended between frames.
pub(crate) async fn next_frame(
    stream: &mut RecvStream,
    decoder: &mut FrameDecoder,
) -> Result<Option<Frame>, Broken> {
    loop {
        if let Some(frame) = decoder.next().map_err(Broken::Frame)? {
            return Ok(Some(frame));
        }
        match stream.read_chunk(READ_LEN, true).await.map_err(Broken::Read)? {
            Some(chunk) => decoder.push(&chunk.bytes),
            None => return decoder.finish().map(|()| None).map_err(Broken::Frame),
        }
    }
}

/// Accepts the peer's requests. Slow requests of one purpose hold up only their own purpose.
pub(crate) async fn requests(shared: Arc<Shared>, link: Arc<Link>) {
    let limit = |p| (p, Arc::new(Semaphore::new(shared.config.requests_max)));
    let permits: Arc<BTreeMap<Purpose, Arc<Semaphore>>> =
        Arc::new(Purpose::ALL.into_iter().map(limit).collect());
    while let Ok((send, recv)) = link.conn.accept_bi().await {
        // Not waited for at the end of the link: a request runs to its end even if the peer goes away.
        shared.tasks.spawn(serve(shared.clone(), link.clone(), permits.clone(), send, recv));
    }
}

async fn serve(
    shared: Arc<Shared>,
    link: Arc<Link>,
    permits: Arc<BTreeMap<Purpose, Arc<Semaphore>>>,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    let mut decoder = FrameDecoder::new();
    let result = read_request(&mut recv, &mut decoder, &permits).await;
    let (frame, _permit) = match result {
        Ok(Some((frame, permit))) if frame.purpose.class() == link.class => (frame, permit),
        Ok(Some(_)) => return link.close(CloseCode::Malformed, "request on the wrong connection"),
        Ok(None) | Err(Broken::Read(_)) => return,
        Err(Broken::Frame(e)) => {
            tracing::warn!(peer = %link.node, error = %e, "malformed request");
            return link.close(CloseCode::Malformed, &e.to_string());
        }
    };
    link.touch();
    // Fails only on a closed stream; then writing the answer fails too.
    let _ = send.set_priority(frame.purpose.priority());
    let answer = shared.handler.request(link.node, frame.purpose, frame.payload).await;
    match header(frame.purpose, 0, &answer) {
        Ok(head) => {
            let mut chunks = [Bytes::copy_from_slice(&head), answer];
            // A peer that gave up waiting is no failure here.
            if send.write_all_chunks(&mut chunks).await.is_ok() {
                let _ = send.finish();
            }
        }
        Err(e) => {
            tracing::error!(peer = %link.node, error = %e, "answer too long");
            let _ = send.reset(VarInt::from_u32(CloseCode::Malformed.number()));
        }
    }
}

/// Reads a whole request. The permit is taken as soon as the purpose is known, before the body is read, so that the
/// bodies of waiting requests stay within the stream windows.
async fn read_request(
    recv: &mut RecvStream,
    decoder: &mut FrameDecoder,
    permits: &BTreeMap<Purpose, Arc<Semaphore>>,
) -> Result<Option<(Frame, Option<tokio::sync::OwnedSemaphorePermit>)>, Broken> {
    let mut permit = None;
    loop {
        let frame = decoder.next().map_err(Broken::Frame)?;
        if permit.is_none()
            && let Some(semaphore) = decoder.purpose().and_then(|p| permits.get(&p))
        {
            permit = semaphore.clone().acquire_owned().await.ok();
        }
        if let Some(frame) = frame {
            return Ok(Some((frame, permit)));
        }
        match recv.read_chunk(READ_LEN, true).await.map_err(Broken::Read)? {
            Some(chunk) => decoder.push(&chunk.bytes),
            None => return decoder.finish().map(|()| None).map_err(Broken::Frame),
        }
    }
}
