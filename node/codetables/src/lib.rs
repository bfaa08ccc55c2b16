//! Code tables: import from CSV with every problem named by line and column, the difference to the version before,
//! lookup in an installed version, and the starter set that a new federation begins with.
//!
//! What always holds: an import is all or nothing, and everything that is wrong with a file is reported at once, in file
//! order, each kind under a stable word (`Kind`). Nothing is repaired silently: what is tolerated is noted.
//!
//! A core: bytes come in as arguments, content and reports go out. Where bytes are kept and who may publish is elsewhere.
#![forbid(unsafe_code)]

mod characters;
pub mod embedded;
mod encoding;
mod guard;
mod header;
mod import;
mod problem;
mod report;
mod scan;
mod shelf;
mod starter;
mod table;

pub use encoding::Encoding;
pub use guard::{Guard, GuardTripped};
pub use import::{Content, Imported, Limits, Options, Parsed, Refusal, import, read_csv};
pub use problem::{Kind, Note, NoteKind, Problem};
pub use report::{ErrorBody, ImportReport};
pub use shelf::{LookupError, Shelf};
pub use starter::{Starter, StarterError, StarterTable};
pub use table::{Page, Table};
