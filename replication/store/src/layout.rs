//! How records, bodies and meta values lie in the database.
//!
//! Always holds: header, every effect and every body carry their own crc32c, which also covers their place (index and
//! part number), so a value found under another key is damage and not a record. Keys sort by index.
//!
//! ```text
//! journal  index u64 BE            -> version u8, parts u32, then for each part: crc u32, len u32, bytes
//!                                     part 0 = record digest (32) and encoded header; part n = effect n
//! bodies   index u64 BE, n u16 BE  -> crc u32, state u8 (0 kept, 1 erased), bytes
//! meta     name                    -> crc u32, encoded value
//! ```

use bytes::Bytes;
use eport_model::codec;
use eport_model::{Digest, Effect, JournalIndex, Record, RecordHeader};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Version of the whole layout; in the meta family under `format`.
pub(crate) const FORMAT: u32 = 1;
/// Version of a journal row.
const ROW_VERSION: u8 = 1;
/// Part number of a body in its checksum; effects count from 1 and never reach it.
const BODY_PART: u32 = 1 << 31;
/// Largest record accepted, as weighed by `Record::weight`: what one frame of the codec holds, with room for headers.
pub(crate) const RECORD_LEN_MAX: usize = codec::DECODE_LEN_MAX - (1 << 20);

/// Key of a journal row.
pub(crate) fn journal_key(index: JournalIndex) -> [u8; 8] {
    index.as_u64().to_be_bytes()
}

/// The index a journal key names.
pub(crate) fn journal_index(key: &[u8]) -> Option<JournalIndex> {
    key.try_into().ok().map(|k| JournalIndex::from_u64(u64::from_be_bytes(k)))
}

/// Key of a body.
pub(crate) fn body_key(index: JournalIndex, n: u16) -> [u8; 10] {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&index.as_u64().to_be_bytes());
    key[8..].copy_from_slice(&n.to_be_bytes());
    key
}

fn part_crc(index: JournalIndex, part: u32, bytes: &[u8]) -> u32 {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&index.as_u64().to_be_bytes());
    place[8..].copy_from_slice(&part.to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
}

/// Writes one part behind `out`: the closure writes the bytes, checksum and length are filled in after it.
fn push_part(out: &mut Vec<u8>, index: JournalIndex, part: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 8]);
    write(out);
    let crc = part_crc(index, part, &out[at + 8..]);
    let len = (out.len() - at - 8) as u32;
    out[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    out[at + 4..at + 8].copy_from_slice(&len.to_le_bytes());
}

/// The journal row of a record, without its bodies. Clears `out` first.
pub(crate) fn encode_row(record: &Record, out: &mut Vec<u8>) {
    out.clear();
    out.push(ROW_VERSION);
    out.extend_from_slice(&(record.effects.len() as u32 + 1).to_le_bytes());
    push_part(out, record.index(), 0, |o| {
        o.extend_from_slice(record.digest.as_bytes());
        codec::encode_into(&record.header, o);
    });
    for (n, effect) in record.effects.iter().enumerate() {
        push_part(out, record.index(), n as u32 + 1, |o| push_effect(effect, o));
    }
}

fn push_effect(effect: &Effect, out: &mut Vec<u8>) {
    let (tag, value): (u8, &[u8]) = match effect {
        Effect::Put { value, .. } => (1, value),
        Effect::Delete { .. } => (2, &[]),
    };
    out.push(tag);
    out.extend_from_slice(&(effect.key().len() as u32).to_le_bytes());
    out.extend_from_slice(effect.key());
    out.extend_from_slice(value);
}

/// What a journal row holds: all of a record except its bodies.
pub(crate) struct Row {
    pub(crate) header: RecordHeader,
    pub(crate) digest: Digest,
    pub(crate) effects: Vec<Effect>,
}

/// Takes `n` bytes from the front.
fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], String> {
    let (head, tail) =
        rest.split_at_checked(n).ok_or_else(|| format!("{} bytes are missing", n - rest.len()))?;
    *rest = tail;
    Ok(head)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, String> {
    take(rest, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn take_part<'a>(rest: &mut &'a [u8], index: JournalIndex, part: u32) -> Result<&'a [u8], String> {
    let crc = take_u32(rest)?;
    let len = take_u32(rest)? as usize;
    let bytes = take(rest, len)?;
    if part_crc(index, part, bytes) != crc {
        return Err(match part {
            0 => "the checksum of the header does not match".to_owned(),
            n => format!("the checksum of effect {n} does not match"),
        });
    }
    Ok(bytes)
}

/// Reads only the header of a journal row stored under `index`, with the number of effects that follow.
fn decode_front(index: JournalIndex, bytes: &[u8]) -> Result<(RecordHeader, Digest, u32, &[u8]), String> {
    let mut rest = bytes;
    let version = take(&mut rest, 1)?[0];
    if version != ROW_VERSION {
        return Err(format!("row version {version} is not known"));
    }
    let parts = take_u32(&mut rest)?;
    let mut front = take_part(&mut rest, index, 0)?;
    let digest = take(&mut front, 32)?.try_into().map_err(|_| "no digest".to_owned())?;
    // The codec wants its format byte in front; inside a row it is implied by the row version.
    let mut framed = Vec::with_capacity(front.len() + 1);
    framed.push(codec::FORMAT_BINCODE2);
    framed.extend_from_slice(front);
    let header: RecordHeader = codec::decode(&framed).map_err(|e| format!("header: {e}"))?;
    if header.index != index {
        return Err(format!("the row holds record {}", header.index));
    }
    if u64::from(parts) != header.effects.len() as u64 + 1 {
        return Err("the number of effects does not match the header".to_owned());
    }
    Ok((header, Digest::from_bytes(digest), parts - 1, rest))
}

/// Reads a journal row stored under `index`, checking every checksum.
pub(crate) fn decode_row(index: JournalIndex, bytes: &[u8]) -> Result<Row, String> {
    let (header, digest, count, mut rest) = decode_front(index, bytes)?;
    // No capacity from the count: it is bounded by the header's list, which exists in memory already.
    let mut effects = Vec::with_capacity(header.effects.len());
    for n in 1..=count {
        effects.push(decode_effect(take_part(&mut rest, index, n)?)?);
    }
    if !rest.is_empty() {
        return Err(format!("{} bytes are left over", rest.len()));
    }
    Ok(Row { header, digest, effects })
}

/// Reads header and digest of a journal row only.
pub(crate) fn decode_header(index: JournalIndex, bytes: &[u8]) -> Result<(RecordHeader, Digest), String> {
    decode_front(index, bytes).map(|(header, digest, ..)| (header, digest))
}

fn decode_effect(bytes: &[u8]) -> Result<Effect, String> {
    let mut rest = bytes;
    let tag = take(&mut rest, 1)?[0];
    let len = take_u32(&mut rest)? as usize;
    let key = Bytes::copy_from_slice(take(&mut rest, len)?);
    match (tag, rest.is_empty()) {
        (1, _) => Ok(Effect::Put { key, value: Bytes::copy_from_slice(rest) }),
        (2, true) => Ok(Effect::Delete { key }),
        _ => Err(format!("effect kind {tag} is not known")),
    }
}

/// The stored form of a body. An empty body whose header names a length is an erased one. Clears `out` first.
pub(crate) fn encode_body(index: JournalIndex, n: u16, body: &[u8], erased: bool, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; 4]);
    out.push(u8::from(erased));
    out.extend_from_slice(body);
    let crc = part_crc(index, BODY_PART | u32::from(n), &out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads a stored body; an erased one is empty.
pub(crate) fn decode_body(index: JournalIndex, n: u16, bytes: &[u8]) -> Result<Bytes, String> {
    let mut rest = bytes;
    let crc = take_u32(&mut rest)?;
    if part_crc(index, BODY_PART | u32::from(n), rest) != crc {
        return Err(format!("the checksum of body {n} does not match"));
    }
    match take(&mut rest, 1)?[0] {
        0 => Ok(Bytes::copy_from_slice(rest)),
        1 if rest.is_empty() => Ok(Bytes::new()),
        state => Err(format!("body {n} has unknown state {state}")),
    }
}

/// A meta value with its checksum.
pub(crate) fn encode_meta<T: Serialize>(value: &T) -> Vec<u8> {
    let body = codec::encode(value);
    let mut out = crc32c::crc32c(&body).to_le_bytes().to_vec();
    out.extend_from_slice(&body);
    out
}

/// Reads a meta value.
pub(crate) fn decode_meta<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut rest = bytes;
    let crc = take_u32(&mut rest)?;
    if crc32c::crc32c(rest) != crc {
        return Err("the checksum does not match".to_owned());
    }
    codec::decode(rest).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_model::{Draft, Epoch, Lineage, Position, RecordKind, Timestamp};

    fn record() -> Record {
        let mut draft = Draft::bare(RecordKind::Entry, Timestamp::from_millis(5));
        draft.effects = vec![
            Effect::Put { key: Bytes::from_static(b"k"), value: Bytes::from_static(b"value") },
            Effect::Delete { key: Bytes::from_static(b"gone") },
        ];
        draft.bodies = vec![Bytes::from_static(b"body")];
        let region = "440300".parse().unwrap();
        Record::seal(draft, Lineage::default(), region, Epoch::INITIAL, &Position::ZERO, Timestamp::default())
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let record = record();
        let mut row = Vec::new();
        encode_row(&record, &mut row);
        let back = decode_row(record.index(), &row).unwrap();
        assert_eq!(
            (back.header, back.digest, back.effects),
            (record.header.clone(), record.digest, record.effects)
        );
        encode_body(record.header.index, 0, b"body", false, &mut row);
        assert_eq!(decode_body(record.header.index, 0, &row).unwrap(), record.bodies[0]);
    }

    #[test]
    fn no_flipped_bit_no_cut_and_no_other_place_passes() {
        let record = record();
        let (mut row, mut body) = (Vec::new(), Vec::new());
        encode_row(&record, &mut row);
        encode_body(record.index(), 0, b"body", false, &mut body);
        for at in 0..row.len() * 8 {
            let mut bad = row.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(decode_row(record.index(), &bad).is_err(), "bit {at}");
        }
        for at in 0..body.len() * 8 {
            let mut bad = body.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(decode_body(record.index(), 0, &bad).is_err(), "bit {at} of the body");
        }
        for cut in 0..row.len() {
            assert!(decode_row(record.index(), &row[..cut]).is_err(), "cut at {cut}");
        }
        assert!(decode_row(record.index().next(), &row).is_err());
        assert!(decode_body(record.index(), 1, &body).is_err());
    }
}
