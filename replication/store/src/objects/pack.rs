//! Compression of objects and of what travels in their place.

use crate::Error;
use eport_model::Digest;
use std::io::Read;
use std::path::Path;

/// Level of stored objects: zstd's default, close to the knee of its curve for text rows.
const LEVEL: i32 = 3;
/// Level of deltas: they are made once and travel often. Above `DELTA_LONG` bytes the best level would take seconds.
const DELTA_LEVEL: i32 = 19;
const DELTA_LONG: usize = 2 << 20;
const DELTA_LONG_LEVEL: i32 = 6;

/// Compresses a delta.
pub fn pack_delta(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let level = if bytes.len() > DELTA_LONG { DELTA_LONG_LEVEL } else { DELTA_LEVEL };
    zstd::bulk::compress(bytes, level).map_err(|e| Error::io("compress delta", Path::new("delta"), e))
}

/// The bytes of a packed delta, at most so many.
pub fn unpack_delta(packed: &[u8], len_max: usize) -> Result<Vec<u8>, Error> {
    unpack(Path::new("delta"), packed, len_max as u64, "delta")
}

pub(super) fn pack_object(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    zstd::bulk::compress(bytes, LEVEL).map_err(|e| Error::io("compress object", Path::new("object"), e))
}

/// The bytes of a packed object, which must hash to its name.
pub(super) fn unpack_object(
    path: &Path,
    digest: &Digest,
    packed: &[u8],
    len_max: u64,
) -> Result<Vec<u8>, Error> {
    let bytes = unpack(path, packed, len_max, "object")?;
    if Digest::of(&bytes) != *digest {
        return Err(Error::damaged(
            path,
            None,
            "the content does not have the digest it is named by".to_owned(),
        ));
    }
    Ok(bytes)
}

fn unpack(path: &Path, packed: &[u8], len_max: u64, what: &'static str) -> Result<Vec<u8>, Error> {
    let damaged = |e: std::io::Error| Error::damaged(path, None, format!("it does not decompress: {e}"));
    let mut out = Vec::new();
    let stream = zstd::stream::read::Decoder::new(packed).map_err(damaged)?;
    stream.take(len_max + 1).read_to_end(&mut out).map_err(damaged)?;
    match out.len() as u64 {
        len if len > len_max => Err(Error::TooLarge { what, len, limit: len_max }),
        _ => Ok(out),
    }
}
