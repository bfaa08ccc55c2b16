//! Scenarios and checkers over real processes, the layering test, proofs of damage.
//!
//! Always holds: what a client was told comes from that client's own output; a scenario waits for conditions, never for time.
#![forbid(unsafe_code)]
// A shell for tests: it waits on the real clock.
#![allow(clippy::disallowed_methods)]

mod ledger;
mod load;
pub mod matrix;
mod mount;
mod moves;
mod newcomer;
mod processes;
mod starter;

pub use ledger::{Ledger, document, documents, lines};
pub use load::{Attempt, Load};
pub use mount::Mount;
pub use moves::{check_same_plan, ended_move, newest_move, proof_of_equality, serves};
pub use newcomer::newcomer;
pub use processes::processes;
pub use starter::starter;
