//! What another node sends: frames of a stream, greetings, records, messages of the journal.

use crate::world::Way;
use bytes::Bytes;
use eport_journal::Message;
use eport_model::{Code, Coded, Lineage, Position, Record, codec};
use eport_wire::{Envelope, FRAME_HEADER_LEN, Frame, FrameDecoder, HELLO_PREFIX_LEN, Hello};

/// Frames, as they come and with checksums that hold: however the stream is cut, it means the same.
pub(super) fn frame(data: &[u8]) -> u64 {
    let mut way = Way::new();
    let Some((&cut, stream)) = data.split_first() else { return way.mark() };
    let cut = usize::from(cut) + 1;
    let sound = with_checksums(stream);
    for stream in [stream, &sound] {
        let whole = decode(stream, stream.len().max(1), &mut way);
        assert_eq!(whole, decode(stream, cut, &mut Way::new()), "cut every {cut} bytes");
    }
    way.mark()
}

fn decode(stream: &[u8], cut: usize, way: &mut Way) -> (Vec<Frame>, Option<Code>) {
    let (mut decoder, mut frames) = (FrameDecoder::new(), Vec::new());
    for piece in stream.chunks(cut) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    way.step("frame");
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => {
                    let _ = way.note(Err::<(), _>(&error));
                    assert_eq!(decoder.buffered(), 0, "a failed stream holds memory");
                    return (frames, Some(error.code()));
                }
            }
        }
        assert!(decoder.buffered() <= stream.len());
    }
    let end = decoder.finish();
    let _ = way.note(end.clone());
    (frames, end.err().map(|e| e.code()))
}

/// Puts the right checksum into each frame whose length fits.
fn with_checksums(stream: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (stream.to_vec(), 0);
    while let Some(head) = out.get(at..at + FRAME_HEADER_LEN) {
        let len = u32::from_le_bytes([head[12], head[13], head[14], head[15]]) as usize;
        let (from, to) = (at + FRAME_HEADER_LEN, (at + FRAME_HEADER_LEN).saturating_add(len));
        let Some(payload) = out.get(from..to) else { break };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[at..at + 16]), payload);
        out[at + 16..from].copy_from_slice(&crc.to_le_bytes());
        at = to;
    }
    out
}

/// A greeting, and what two nodes make of it: both the same.
pub(super) fn hello(data: &[u8]) -> u64 {
    let mut way = Way::new();
    if let Some(prefix) = data.first_chunk::<HELLO_PREFIX_LEN>() {
        let _ = way.note(Hello::body_len(prefix));
    }
    let Some(body) = data.get(HELLO_PREFIX_LEN..) else { return way.mark() };
    let Some(theirs) = way.note(Hello::decode_body(body)) else { return way.mark() };
    let me = "gz-a-1".parse().expect("a node's name");
    let ours =
        Hello::new(Lineage::from_bytes([7; 16]), me, 1, "eport").descending(&[Lineage::from_bytes([8; 16])]);
    let (a, b) = (ours.agree(&theirs, theirs.node), theirs.agree(&ours, me));
    if a.is_ok() || b.is_ok() {
        assert_eq!(
            a.as_ref().map(|a| a.version).ok(),
            b.as_ref().map(|b| b.version).ok(),
            "one agrees, one does not"
        );
    }
    let _ = way.note(a.map(|_| ()));
    assert_eq!(Hello::decode_body(&theirs.encode()[HELLO_PREFIX_LEN..]).ok(), Some(theirs));
    way.mark()
}

/// A record: what is read is written as the same, and only a record that proves itself passes.
pub(super) fn record(data: &[u8]) -> u64 {
    let mut way = Way::new();
    let Some(record) = way.note(codec::decode_with_limit::<Record>(data, 1 << 20)) else { return way.mark() };
    way.step(record.header.kind.name());
    let proven = way.note(record.verify()).is_some();
    let _ = way.note(record.follows(&Position::ZERO));
    let again: Record = codec::decode(&codec::encode(&record)).expect("what is written is read");
    assert_eq!(again, record);
    assert_eq!(proven, again.verify().is_ok());
    way.mark()
}

/// A message of the journal in its envelope.
pub(super) fn message(data: &[u8]) -> u64 {
    let mut way = Way::new();
    let Some(envelope) = way.note(Envelope::decode(Bytes::copy_from_slice(data))) else { return way.mark() };
    assert_eq!(Envelope::decode(envelope.encode()).as_ref(), Ok(&envelope));
    let Some(message) = way.note(codec::decode_with_limit::<Message>(&envelope.body, 1 << 20)) else {
        return way.mark();
    };
    way.step(format!("{message:?}").split(['(', ' ', '{']).next().unwrap_or_default());
    let again: Message = codec::decode(&codec::encode(&message)).expect("what is written is read");
    assert_eq!(again, message);
    way.mark()
}
