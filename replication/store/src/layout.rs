//! How records, bodies and meta values lie on disk.
//!
//! Always holds: header, every effect and every body carry their own crc32c, which also covers their place (index and
//! part number), so a value found in another place is damage and not a record. A body is erased where it lies: its bytes
//! become zeros and its state says so, nothing moves. While that is done its state is one that no single flipped bit makes.
//!
//! ```text
//! record = len u32 of the row, row, then for each body: len u32, crc u32, state u8 (0 kept, 1 erased, 0x5e going), bytes
//! row    = version u8, parts u32, then for each part: crc u32, len u32, bytes
//!          part 0 = record digest (32) and encoded header; part n = effect n
//! meta   = name -> crc u32, encoded value (in the database)
//! ```

use bytes::Bytes;
use eport_model::codec;
use eport_model::{Digest, Effect, JournalIndex, Record, RecordHeader};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Version of the whole layout; in the meta family under `format`.
pub(crate) const FORMAT: u32 = eport_model::formats::STATE_ROWS;
/// Version of a record's row.
const ROW_VERSION: u8 = 1;
/// Part number of a body in its checksum; effects count from 1 and never reach it.
const BODY_PART: u32 = 1 << 31;
/// Largest record accepted, as weighed by `Record::weight`: what one frame of the codec holds, with room for headers.
pub(crate) const RECORD_LEN_MAX: usize = codec::DECODE_LEN_MAX - (1 << 20);

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

/// Appends the stored form of a record.
pub(crate) fn push_record(record: &Record, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    push_row(record, out);
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    for (n, body) in record.bodies.iter().enumerate() {
        let erased = body.is_empty() && record.header.bodies.get(n).is_some_and(|b| b.len > 0);
        push_body(record.index(), n as u32, body, erased, out);
    }
}

/// All of a record except its bodies.
fn push_row(record: &Record, out: &mut Vec<u8>) {
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

/// An empty body whose header names a length is an erased one.
fn push_body(index: JournalIndex, n: u32, body: &[u8], erased: bool, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.push(u8::from(erased));
    out.extend_from_slice(body);
    let crc = part_crc(index, BODY_PART | n, &out[at + 8..]);
    out[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
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

/// State of a body whose bytes are being overwritten: its checksum does not count, and it is served as erased.
pub(crate) const GOING: u8 = 0x5e;

/// Where body `n` lies in the stored form of a record: the place of its state, and the length of its bytes. `None` when the
/// record has no such body.
pub(crate) fn body_place(bytes: &Bytes, n: u16) -> Result<Option<(usize, usize)>, String> {
    let (row, mut rest) = split(bytes.clone())?;
    let mut at = 4 + row.len();
    for i in 0..=n {
        if rest.is_empty() {
            return Ok(None);
        }
        let len = take_u32(&mut rest)? as usize;
        take(&mut rest, len.saturating_add(5))?;
        if i == n {
            return Ok(Some((at + 8, len)));
        }
        at += 9 + len;
    }
    Ok(None)
}

/// Checksum and state of an erased body of `len` bytes.
pub(crate) fn erased_front(index: JournalIndex, n: u16, len: usize) -> [u8; 5] {
    let mut stored = vec![0; len + 1];
    stored[0] = 1;
    let crc = part_crc(index, BODY_PART | u32::from(n), &stored);
    let mut out = [0; 5];
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out[4] = 1;
    out
}

/// Takes `n` bytes from the front, sharing the memory of the whole.
fn take(rest: &mut Bytes, n: usize) -> Result<Bytes, String> {
    if n > rest.len() {
        return Err(format!("{} bytes are missing", n - rest.len()));
    }
    Ok(rest.split_to(n))
}

fn take_u32(rest: &mut Bytes) -> Result<u32, String> {
    take(rest, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn take_part(rest: &mut Bytes, index: JournalIndex, part: u32) -> Result<Bytes, String> {
    let crc = take_u32(rest)?;
    let len = take_u32(rest)? as usize;
    let bytes = take(rest, len)?;
    if part_crc(index, part, &bytes) != crc {
        return Err(match part {
            0 => "the checksum of the header does not match".to_owned(),
            n => format!("the checksum of effect {n} does not match"),
        });
    }
    Ok(bytes)
}

/// Splits the stored form of a record into its row and the bodies behind it.
fn split(mut bytes: Bytes) -> Result<(Bytes, Bytes), String> {
    let len = take_u32(&mut bytes)? as usize;
    let row = take(&mut bytes, len)?;
    Ok((row, bytes))
}

/// Reads the front of a row: header, digest, and how many effects follow in `row`.
fn take_front(index: JournalIndex, row: &mut Bytes) -> Result<(RecordHeader, Digest, u32), String> {
    let version = take(row, 1)?[0];
    if version != ROW_VERSION {
        return Err(format!("row version {version} is not known"));
    }
    let parts = take_u32(row)?;
    let mut front = take_part(row, index, 0)?;
    let digest = take(&mut front, 32)?;
    let digest = <[u8; 32]>::try_from(&digest[..]).map_err(|_| "no digest".to_owned())?;
    let header: RecordHeader = codec::decode_bare(&front).map_err(|e| format!("header: {e}"))?;
    if header.index != index {
        return Err(format!("the row holds record {}", header.index));
    }
    if u64::from(parts) != header.effects.len() as u64 + 1 {
        return Err("the number of effects does not match the header".to_owned());
    }
    Ok((header, Digest::from_bytes(digest), parts - 1))
}

/// Reads the stored form of record `index`, checking every checksum.
pub(crate) fn decode_record(index: JournalIndex, bytes: Bytes) -> Result<Record, String> {
    let (mut row, mut rest) = split(bytes)?;
    let (header, digest, count) = take_front(index, &mut row)?;
    // No capacity from the count: it is bounded by the header's list, which exists in memory already.
    let mut effects = Vec::with_capacity(header.effects.len());
    for n in 1..=count {
        effects.push(decode_effect(take_part(&mut row, index, n)?)?);
    }
    let mut bodies = Vec::with_capacity(header.bodies.len());
    for n in 0..header.bodies.len() {
        bodies.push(take_body(index, n as u32, &mut rest)?);
    }
    match row.len() + rest.len() {
        0 => Ok(Record { header, effects, bodies, digest }),
        left => Err(format!("{left} bytes are left over")),
    }
}

/// Reads only header and digest of record `index`.
pub(crate) fn decode_header(index: JournalIndex, bytes: Bytes) -> Result<(RecordHeader, Digest), String> {
    let (mut row, _) = split(bytes)?;
    take_front(index, &mut row).map(|(header, digest, _)| (header, digest))
}

/// Reads only body `n` of record `index`: `None` when it has no such body, empty when it is erased.
pub(crate) fn decode_body(index: JournalIndex, n: u16, bytes: Bytes) -> Result<Option<Bytes>, String> {
    let (_, mut rest) = split(bytes)?;
    for _ in 0..n {
        if rest.is_empty() {
            return Ok(None);
        }
        let len = take_u32(&mut rest)? as usize;
        take(&mut rest, len.saturating_add(5))?;
    }
    if rest.is_empty() { Ok(None) } else { take_body(index, u32::from(n), &mut rest).map(Some) }
}

fn decode_effect(mut rest: Bytes) -> Result<Effect, String> {
    let tag = take(&mut rest, 1)?[0];
    let len = take_u32(&mut rest)? as usize;
    let key = take(&mut rest, len)?;
    match (tag, rest.is_empty()) {
        (1, _) => Ok(Effect::Put { key, value: rest }),
        (2, true) => Ok(Effect::Delete { key }),
        _ => Err(format!("effect kind {tag} is not known")),
    }
}

fn take_body(index: JournalIndex, n: u32, rest: &mut Bytes) -> Result<Bytes, String> {
    let len = take_u32(rest)? as usize;
    let crc = take_u32(rest)?;
    let mut stored = take(rest, len.saturating_add(1))?;
    if stored.first() == Some(&GOING) {
        return Ok(Bytes::new());
    }
    if part_crc(index, BODY_PART | n, &stored) != crc {
        return Err(format!("the checksum of body {n} does not match"));
    }
    match take(&mut stored, 1)?[0] {
        0 => Ok(stored),
        1 if stored.iter().all(|b| *b == 0) => Ok(Bytes::new()),
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
    let (crc, rest) = bytes.split_first_chunk::<4>().ok_or("the checksum is missing")?;
    if crc32c::crc32c(rest) != u32::from_le_bytes(*crc) {
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

    fn stored(record: &Record) -> Vec<u8> {
        let mut out = Vec::new();
        push_record(record, &mut out);
        out
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let record = record();
        let bytes = Bytes::from(stored(&record));
        let index = record.index();
        assert_eq!(decode_record(index, bytes.clone()).unwrap(), record);
        assert_eq!(decode_header(index, bytes.clone()).unwrap(), (record.header.clone(), record.digest));
        assert_eq!(decode_body(index, 0, bytes.clone()).unwrap().as_ref(), record.bodies.first());
        assert_eq!(decode_body(index, 1, bytes).unwrap(), None);
    }

    #[test]
    fn an_erased_body_is_empty_and_its_record_still_proves_itself() {
        let mut record = record();
        record.bodies[0] = Bytes::new();
        let back = decode_record(record.index(), Bytes::from(stored(&record))).unwrap();
        assert_eq!(back, record);
        back.verify().unwrap();
    }

    #[test]
    fn no_flipped_bit_no_cut_and_no_other_place_passes() {
        let record = record();
        let good = stored(&record);
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(decode_record(record.index(), Bytes::from(bad)).is_err(), "bit {at}");
        }
        for cut in 0..good.len() {
            let bad = Bytes::copy_from_slice(&good[..cut]);
            assert!(decode_record(record.index(), bad).is_err(), "cut at {cut}");
        }
        assert!(decode_record(record.index().next(), Bytes::from(good)).is_err());
    }
}
