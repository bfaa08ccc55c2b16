//! Code tables: import of files with every problem named by line and column, the difference to the version before, what
//! uses the codes that go, lookup, search and hierarchy in an installed version, and the starter set of a new federation.
//!
//! What always holds: an import is all or nothing, and everything that is wrong with a file is reported at once, in file
//! order, each kind under a stable word (`Kind`). Nothing is repaired silently: what is tolerated is noted.
//!
//! A core: bytes come in as arguments, content and reports go out. Where bytes are kept and who may publish is elsewhere.
#![forbid(unsafe_code)]

mod characters;
mod difference;
pub mod embedded;
mod encoding;
pub mod feed;
mod format;
mod guard;
mod header;
mod impact;
mod import;
mod json_lines;
pub mod mapping;
mod places;
mod problem;
mod read;
mod reading;
mod repeats;
mod report;
mod request;
mod rules;
mod scan;
mod search;
mod sheet;
mod shelf;
mod starter;
mod table;
mod text;
mod walk;
mod whole;

pub use difference::{DifferencePage, Step, changed_fields, difference, steps};
pub use encoding::Encoding;
pub use format::Format;
pub use guard::{Guard, GuardTripped};
pub use impact::{Impact, InUse, Tally, Use, UserKind, uses_in_table};
pub use import::{
    AskUsers, Beside, Content, Desk, Imported, Limits, Options, Parsed, Refusal, Repeats, import, import_from,
};
pub use mapping::{Controls, Mapped, Mapping, MappingError, Unlisted};
pub use problem::{Kind, Note, NoteKind, Problem};
pub use read::{read, read_from};
pub use reading::Reading;
pub use report::{ErrorBody, ImportReport};
pub use request::Request;
pub use rules::{ColumnRule, Hierarchy, Rules, TableSchema, Validity, ValueType};
pub use search::{QUERY_LEN_MAX, Query};
pub use shelf::{LookupError, Shelf};
pub use starter::{Starter, StarterError, StarterTable};
pub use table::{Page, Table};
