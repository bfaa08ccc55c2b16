//! What every engine of the federation speaks about: journal records, positions, epoch history, error codes, the codec.
//!
//! Re-exports the ids of `identity`, so that engines depend on one crate for their words. A core: no I/O, no clock.
#![forbid(unsafe_code)]

pub mod codec;
pub mod codes;
pub mod formats;
mod history;
mod index;
mod month;
mod position;
mod record;
mod software;
mod time;
mod usage;

pub use codes::{Code, CodeInfo, Coded};
pub use eport_identity::{
    CaName, CaPurpose, CertificateMark, Digest, DigestHasher, Distrust, Epoch, Lineage, NodeId, OutsideScope,
    OutsideSubject, ParseError, RegionCode, SiteId, Subject, TrustDomain, epoch_of_serial,
};
pub use history::{EpochEntry, EpochHistory, HistoryError};
pub use index::JournalIndex;
pub use month::Month;
pub use position::Position;
pub use record::{
    BodyRef, CA_ACT_SINCE, CERTIFICATES_SINCE, CONTENT_READ, DEGRADE_SINCE, Draft, Durability,
    ENROLMENT_SINCE, ERASE_SINCE, Effect, LINEAGE_READ, MoveId, ReadVersion, Record, RecordDefect,
    RecordHeader, RecordKind, RequestRef, SCHEMA_VERSION, SIGNED_HEAD_SINCE, STATE_READ, erased_key,
};
pub use software::{Software, Stranger, strangers};
pub use time::Timestamp;
pub use usage::{MONTHS_KEPT, MonthUsage, USAGE_KEY, Usage};
