//! Versions of published reference data: canonical content, roots, choice by date, difference.
//!
//! A version of a table is its rows in one canonical byte string: the schema in front, the rows sorted by key behind.
//! Equal rows give equal bytes and these equal chunks, so the digest over them (the *root*) names the version's content everywhere.
//! What always holds: content is accepted only when it hashes to the root it was asked for, in key order, without a
//! repeated key; a version is never chosen before its effective instant, and a version that is in force but not on this
//! node is an answer of its own (`Choice::NotHere`), never a reason to take another one.
//!
//! Left to others: import (`codetables`), where objects are kept (`store`), how they travel, who may publish (`registry`).
//!
//! Content is stored and proven as chunks under an index (`cut`, `index`), whose top names it; between versions travels the
//! smaller of the row delta (`delta`) and the missing chunks, from whom `route` says and as [`sync`] decides; `keeper` says which
//! objects may go.
#![forbid(unsafe_code)]

mod buffer;
mod content;
mod cut;
mod delta;
mod diff;
mod error;
mod index;
mod instant;
mod keeper;
mod name;
mod place;
mod route;
mod rows;
mod schema;
mod sorter;
mod stream;
pub mod sync;
mod varint;
mod version;

pub use buffer::{Repeat, RowBuffer, Sorted, encode_table};
pub use content::{ContentReader, assemble, blob, blob_bytes, join, prove};
pub use cut::{CHUNK_LEN_MAX, CHUNK_LEN_MIN, Cutter, ROW_LEN_MAX, cut};
pub use delta::{DELTA_LEN_MAX, DeltaError, apply_delta, make_delta};
pub use diff::{Change, Changed, Counts, Difference, compare, compare_rows, diff};
pub use error::{ContentError, DamageError, DiffError, EffectiveError, EncodeError, SchemaError};
pub use index::{
    Child, IndexBuilder, NODE_LEN_MAX, Node, ObjectSink, ObjectSource, StoreError, WalkError, check_node,
    chunks, node_at, root_of, store_content, walk,
};
pub use instant::{SHANGHAI_OFFSET_MS, civil_date, parse_instant, rfc3339, start_of_day};
pub use keeper::{Keeper, Staging};
pub use name::TableName;
pub use place::{InMemory, Pile, Scratch, Source};
pub use route::{Member, route};
pub use rows::{Header, Key, RowRef, Rows, decode_table};
pub use schema::{Column, ColumnType, Schema};
pub use sorter::{Again, Keep, Ordered, RUN_LEN, SortError, Sorter};
pub use stream::{ReadError, RowReader, StreamError, root_of_rows, store_rows};
pub use version::{Choice, TableVersion, baseline, choose, in_force, judge_effective, next_version};

/// Most columns a table may have.
pub const COLUMNS_MAX: usize = 1_000;
/// Most columns a key may be made of.
pub const KEY_COLUMNS_MAX: usize = 16;
/// Longest field in bytes.
pub const FIELD_LEN_MAX: usize = 1 << 20;
/// Largest canonical content in bytes: row offsets are 32-bit numbers.
pub const CONTENT_LEN_MAX: usize = u32::MAX as usize;
