//! The binary codec: bincode behind one door, with a format byte in front and a limit on what a decoder may allocate.
//!
//! bincode 2.0.1 is the last release and unmaintained (docs/decisions); replacing it means a new format byte here.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// First byte of every encoding: bincode 2 standard configuration (little endian, variable-length integers).
pub const FORMAT_BINCODE2: u8 = 1;

/// Largest value any decoder accepts, unless the caller states a smaller limit. 64 MiB.
pub const DECODE_LEN_MAX: usize = 64 << 20;

/// Room for an encoding of unknown length: most rows fit.
const ROOM: usize = 256;

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing to decode.
    #[error("empty input")]
    Empty,
    /// The format byte is not known to this version.
    #[error("format {found} is not known here (known: {FORMAT_BINCODE2})")]
    Format {
        /// The byte found.
        found: u8,
    },
    /// Longer than the caller allows.
    #[error("{len} bytes exceed the limit of {limit}")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes do not have the expected shape.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The value ended before the bytes did.
    #[error("{0} bytes left over")]
    Trailing(usize),
}

/// Encodes a value. Our own types always encode: they hold no maps with unknown length and no unsupported shapes.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    encode_with_room(value, ROOM)
}

/// As `encode`, with room for about so many bytes from the start, where the caller knows.
pub fn encode_with_room<T: Serialize + ?Sized>(value: &T, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(room.max(1));
    out.push(FORMAT_BINCODE2);
    encode_into(value, &mut out);
    out
}

/// Appends the encoding of a value without a format byte, for rows inside a framed whole.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    bincode::serde::encode_into_std_write(value, out, bincode::config::standard())
        .expect("writing to memory cannot fail, and our types have no unsupported shapes");
}

/// Decodes a value of at most `limit` bytes; every byte must be used.
pub fn decode_with_limit<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { len: bytes.len(), limit });
    }
    let (format, rest) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if *format != FORMAT_BINCODE2 {
        return Err(DecodeError::Format { found: *format });
    }
    decode_bare(rest)
}

/// Decodes what `encode_into` wrote; every byte must be used.
pub fn decode_bare<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > DECODE_LEN_MAX {
        return Err(DecodeError::TooLong { len: bytes.len(), limit: DECODE_LEN_MAX });
    }
    let config = bincode::config::standard().with_limit::<DECODE_LEN_MAX>();
    let (value, used) = bincode::serde::decode_from_slice::<T, _>(bytes, config)
        .map_err(|e| DecodeError::Malformed(e.to_string()))?;
    match bytes.len() - used {
        0 => Ok(value),
        left => Err(DecodeError::Trailing(left)),
    }
}

/// Decodes a value of at most `DECODE_LEN_MAX` bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode_with_limit(bytes, DECODE_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_bytes_are_refused_and_never_panic() {
        let good = encode(&("abc".to_owned(), vec![1u64, 2, 3]));
        assert_eq!(decode::<(String, Vec<u64>)>(&good).unwrap().0, "abc");
        assert_eq!(decode::<u8>(&[]), Err(DecodeError::Empty));
        assert_eq!(decode::<u8>(&[9, 1]), Err(DecodeError::Format { found: 9 }));
        for cut in 0..good.len() {
            assert!(decode::<(String, Vec<u64>)>(&good[..cut]).is_err());
        }
        let mut long = good.clone();
        long.push(0);
        assert_eq!(decode::<(String, Vec<u64>)>(&long), Err(DecodeError::Trailing(1)));
        // A length that claims the whole address space must be refused before anything is allocated.
        let mut claim = vec![FORMAT_BINCODE2, 253];
        claim.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode::<Vec<u8>>(&claim).is_err());
        assert!(matches!(
            decode_with_limit::<u8>(&[1; 10], 5),
            Err(DecodeError::TooLong { len: 10, limit: 5 })
        ));
    }
}
