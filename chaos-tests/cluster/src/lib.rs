//! Real federations for tests: started, killed, paused and asked through the `eport` command line, as an operator would.
//!
//! Always holds: a federation's processes end when its value is dropped; folders are temporary; ports are free ones;
//! waits end on a condition or fail with what was last seen.
#![forbid(unsafe_code)]
// A shell for tests: it waits on the real clock.
#![allow(clippy::disallowed_methods)]

mod binaries;
mod federation;
mod http;
mod points;
mod run;

pub use binaries::{Binaries, binaries};
pub use federation::{Daemon, Federation, NodeInfo, with_federation};
pub use http::{Http, Presented, Reply};
pub use points::Armed;
pub use run::{Ran, wait_for};
