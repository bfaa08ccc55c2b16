//! How one node is shared among the platforms it hosts: whose turn it is, how often somebody may ask, how much of a budget
//! one may hold.
//!
//! What always holds: whoever waits gets a turn after a bounded amount of others' work; nothing idles while somebody waits;
//! every queue is bounded; a platform that takes little is never refused because of one that takes much. Time is an argument,
//! in milliseconds of any clock that does not step back.
#![forbid(unsafe_code)]

mod bucket;
mod places;
mod queue;
mod shares;

pub use bucket::Bucket;
pub use places::{Entered, Places, Room};
pub use queue::{Fair, Full, Limits, Taken};
pub use shares::Shares;
