//! Frames from a hostile or broken peer: every kind of damage is a named error, nothing panics, nothing grows.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use bytes::Bytes;
use eport_model::{Coded, codes};
use eport_wire::{FRAME_HEADER_LEN, Frame, FrameDecoder, FrameError, Purpose, header};

/// A small generator with a fixed stream, so that a failing seed can be run again.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51afd7ed558ccd) >> 7
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn wire(purpose: Purpose, sequence: u64, payload: &[u8]) -> Vec<u8> {
    [&header(purpose, sequence, payload).unwrap()[..], payload].concat()
}

fn decode_all(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut decoder = FrameDecoder::new();
    decoder.push(bytes);
    let mut out = Vec::new();
    while let Some(frame) = decoder.next()? {
        out.push(frame);
    }
    decoder.finish()?;
    Ok(out)
}

#[test]
fn frames_cut_into_any_pieces_arrive_whole_and_in_order() {
    for seed in 0..300 {
        let mut r = Seeded(seed);
        let purpose = Purpose::ALL[r.below(7)];
        let payloads: Vec<Vec<u8>> =
            (0..r.below(6)).map(|_| r.below(3000)).map(|n| vec![n as u8; n]).collect();
        let bytes: Vec<u8> =
            payloads.iter().enumerate().flat_map(|(i, p)| wire(purpose, i as u64, p)).collect();
        let mut decoder = FrameDecoder::new();
        let (mut at, mut got) = (0, Vec::new());
        while at < bytes.len() {
            let end = (at + 1 + r.below(700)).min(bytes.len());
            decoder.push(&bytes[at..end]);
            at = end;
            while let Some(f) = decoder.next().unwrap_or_else(|e| panic!("seed {seed}: {e}")) {
                assert_eq!((f.purpose, f.sequence), (purpose, got.len() as u64), "seed {seed}");
                got.push(f.payload.to_vec());
            }
        }
        decoder.finish().unwrap();
        assert_eq!(got, payloads, "seed {seed}");
    }
}

#[test]
fn one_damaged_byte_anywhere_is_refused() {
    for seed in 0..2000 {
        let mut r = Seeded(seed);
        let len = r.below(200);
        let mut bytes = wire(Purpose::Journal, 0, &r.bytes(len));
        let at = r.below(bytes.len());
        bytes[at] ^= 1 << r.below(8);
        assert!(decode_all(&bytes).is_err(), "seed {seed}, byte {at}");
    }
}

#[test]
fn noise_never_panics_and_never_yields_a_frame() {
    for seed in 0..2000 {
        let mut r = Seeded(seed);
        let len = 1 + r.below(300);
        let mut bytes = r.bytes(len);
        if r.below(2) == 0 {
            // Right magic, version and purpose, noise behind: reaches the deeper checks.
            bytes.splice(0..bytes.len().min(4), *b"EP\x01\x03");
        }
        assert!(decode_all(&bytes).is_err(), "seed {seed}");
    }
}

#[test]
fn every_truncation_is_named() {
    let bytes = wire(Purpose::Raft, 0, b"vote");
    for cut in 1..bytes.len() {
        assert_eq!(decode_all(&bytes[..cut]), Err(FrameError::Truncated { have: cut }));
    }
    assert_eq!(decode_all(&bytes).unwrap().len(), 1);
}

#[test]
fn a_length_above_the_limit_is_refused_before_its_payload_is_waited_for() {
    for purpose in Purpose::ALL {
        let mut head = header(purpose, 0, b"").unwrap();
        let claim = purpose.payload_len_max() as u32 + 1;
        head[12..16].copy_from_slice(&claim.to_le_bytes());
        let mut decoder = FrameDecoder::new();
        decoder.push(&head);
        let error = decoder.next().unwrap_err();
        assert_eq!(error, FrameError::TooLong { purpose, len: claim as usize, limit: claim as usize - 1 });
        assert_eq!(error.code(), codes::FRAME_TOO_LONG);
        decoder.push(&[0; 4096]);
        assert_eq!((decoder.buffered(), decoder.next()), (0, Err(error)), "a failed decoder keeps nothing");
    }
    let long = vec![0; Purpose::Control.payload_len_max() + 1];
    assert!(matches!(header(Purpose::Control, 0, &long), Err(FrameError::TooLong { .. })));
    assert!(header(Purpose::Control, 0, &long[1..]).is_ok());
}

#[test]
fn a_claimed_length_alone_allocates_nothing() {
    let mut head = header(Purpose::Catalog, 0, b"").unwrap();
    head[12..16].copy_from_slice(&(64u32 << 20).to_le_bytes());
    let mut decoder = FrameDecoder::new();
    decoder.push(&head);
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn other_versions_purposes_and_protocols_are_told_apart() {
    let good = wire(Purpose::Move, 0, b"x");
    let change = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        decode_all(&bytes).unwrap_err()
    };
    assert_eq!(change(2, 2), FrameError::Version { found: 2 });
    assert_eq!(change(2, 0).code(), codes::WIRE_VERSION);
    assert_eq!(change(3, 99), FrameError::Purpose(99));
    assert_eq!(decode_all(b"GET / HTTP/1.1\r\n"), Err(FrameError::Magic(*b"GE")));
}

#[test]
fn a_replayed_or_missing_frame_is_refused() {
    let frame = |n| wire(Purpose::Journal, n, b"record");
    let replayed = decode_all(&[frame(0), frame(1), frame(0)].concat()).unwrap_err();
    assert_eq!(replayed, FrameError::Replayed { expected: 2, found: 0 });
    assert_eq!(replayed.code(), codes::FRAME_REPLAYED);
    assert_eq!(decode_all(&[frame(0), frame(2)].concat()), Err(FrameError::Gap { expected: 1, found: 2 }));
}

#[test]
fn a_stream_keeps_its_purpose() {
    let mixed = [wire(Purpose::Raft, 0, b"a"), wire(Purpose::Catalog, 1, b"b")].concat();
    assert_eq!(
        decode_all(&mixed),
        Err(FrameError::Mixed { expected: Purpose::Raft, found: Purpose::Catalog })
    );
    let mut decoder = FrameDecoder::expecting(Purpose::Forward);
    decoder.push(&wire(Purpose::Raft, 0, b""));
    assert!(matches!(decoder.next(), Err(FrameError::Mixed { .. })));
}

#[test]
fn an_empty_payload_is_a_frame() {
    let frames = decode_all(&wire(Purpose::Control, 0, b"")).unwrap();
    assert_eq!(frames, [Frame { purpose: Purpose::Control, sequence: 0, payload: Bytes::new() }]);
    assert_eq!(wire(Purpose::Control, 0, b"").len(), FRAME_HEADER_LEN);
}
