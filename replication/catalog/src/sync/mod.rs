//! How a node comes by a content that is named and not here: what is missing, whom it asks, what it believes.
//!
//! A fetch is told what happens (an answer, silence, time) and says what to do next; it neither asks a clock nor touches a line,
//! and it reaches the objects through [`Place`]. Always: an object counts only under the digest that it hashes to; a delta counts
//! only if what it gives has the wanted root; what a holder gave before it failed stays; a holder that gave wrong bytes is named;
//! the content is listed only when it is whole; every holder is asked before a fetch gives up.

mod fetch;
mod protocol;
mod quarantine;
mod want;

#[cfg(feature = "planted-bugs")]
pub use fetch::Bug;
pub use fetch::{Event, Fault, Fetch, Next, Place};
pub use protocol::{ASK_LEN_MAX, Answer, Ask, OBJECTS_MAX, PACKED_LEN_MAX, PART_LEN};
pub use quarantine::{QUARANTINE_MS, Quarantine};
pub use want::{Named, Want, missing};
