//! Where the row of a key begins: a hash index over the rows of an opened table.
//!
//! A bucket is one line of the processor's cache and holds the offsets of up to twelve rows, each with a byte of its key's
//! hash, so that a look-up touches one bucket and the row itself. What always holds: a key has at most one place; a place is
//! believed only when the row there has the key; a table whose keys crowd into few buckets has no index and is searched by
//! halving, so no choice of keys makes a look-up slow.

use std::hash::{DefaultHasher, Hasher};

/// Rows of a bucket.
const SLOTS: usize = 12;
/// Rows of a bucket in the middle: with eight of twelve, one bucket in sixteen runs over into the next one.
const FILL: usize = 8;
/// Buckets that are looked into for one key, at most.
const PROBES_MAX: usize = 32;

/// Offsets of rows; 0 is a free slot, since no row begins in front of its table. Slots are filled from the front.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket {
    offsets: [u32; SLOTS],
    tags: [u8; SLOTS],
}

/// The index. Made once, never changed.
pub(crate) struct Places {
    buckets: Vec<Bucket>,
}

/// The hash of a key, field by field.
pub(crate) fn hash<'k>(fields: impl Iterator<Item = &'k str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for field in fields {
        hasher.write(field.as_bytes());
        // No byte of UTF-8: fields do not run into each other.
        hasher.write_u8(0xFF);
    }
    hasher.finish()
}

impl Places {
    /// Bytes that an index of so many rows takes.
    pub(crate) fn len_of(rows: usize) -> usize {
        buckets(rows) * size_of::<Bucket>()
    }

    /// Bytes that this one takes.
    pub(crate) fn len(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }

    /// Takes all rows, by hash of the key and offset. `None`: too many keys fall into one place.
    pub(crate) fn build(rows: usize, all: impl Iterator<Item = (u64, u32)>) -> Option<Places> {
        let mut places = Places { buckets: vec![Bucket::default(); buckets(rows)] };
        all.into_iter().all(|(hash, offset)| places.put(hash, offset)).then_some(places)
    }

    /// The buckets in which a key may be, and its tag.
    fn way(&self, hash: u64) -> (impl Iterator<Item = usize> + use<>, u8) {
        let len = self.buckets.len();
        // The upper bits choose the bucket, the lowest are the tag.
        let first = ((u128::from(hash) * len as u128) >> 64) as usize;
        let at = move |n: usize| if first + n < len { first + n } else { first + n - len };
        ((0..PROBES_MAX.min(len)).map(at), hash as u8)
    }

    fn put(&mut self, hash: u64, offset: u32) -> bool {
        let (way, tag) = self.way(hash);
        for at in way {
            let bucket = &mut self.buckets[at];
            if let Some(free) = bucket.offsets.iter().position(|o| *o == 0) {
                bucket.offsets[free] = offset;
                bucket.tags[free] = tag;
                return true;
            }
        }
        false
    }

    /// The offset of the row of a key; `is` says whether the row at an offset has it.
    pub(crate) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let (way, tag) = self.way(hash);
        for at in way {
            let bucket = &self.buckets[at];
            for (offset, own) in bucket.offsets.iter().zip(&bucket.tags) {
                if *offset == 0 {
                    return None;
                }
                if *own == tag && is(*offset) {
                    return Some(*offset);
                }
            }
        }
        None
    }
}

fn buckets(rows: usize) -> usize {
    rows.div_ceil(FILL).max(1)
}
