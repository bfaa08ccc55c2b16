//! The matrix of real processes: each step of each move × each kind of fault, pairwise, with every promise checked after each cell.
//!
//! Always: a cell that was not run is not in the table as covered; a cell whose step nobody came to says so.

pub mod cell;
pub mod drills;
pub mod fault;
pub mod ground;
pub mod plan;
pub mod report;
pub mod steps;

pub use cell::{Outcome, run};
pub use ground::Ground;
pub use plan::{Cell, Victim, cover, kills, possible};
