//! Pure authorization: who may do what, sessions, lockouts, the chain of the access log.
//!
//! What always holds: a decision is a function of the request and the registry alone — no clock, no I/O; what is not allowed by
//! a rule is denied; a node is never allowed more than to carry the requests of others, and only as a member. Whether a
//! certificate is valid and unrevoked is decided before, by the verifier. Who a forwarded request acts for is the caller that
//! the forwarder's proof names, and that caller is judged here again.
#![forbid(unsafe_code)]

mod decision;
mod floor;
mod lockout;
mod log;
mod session;
mod staleness;

pub use decision::{Behalf, Context, Denied, Permit, Standing, context, decide};
/// What somebody wants to do.
pub use eport_registry::Permission as Action;
pub use floor::{CLOCK_FLOOR_FILE, CLOCK_TOLERANCE_MS, ClockFloor};
pub use lockout::{Failure, LOCKOUTS_MAX, Lockouts};
pub use log::{
    Coalescer, Event, Head, LINE_LEN_MAX, Line, Log, Problem, Recovered, SegmentName, Verified, Verifier,
    recover,
};
pub use session::{Claims, Fault, Session, TOKEN_LEN_MAX, Token};
pub use staleness::Staleness;
