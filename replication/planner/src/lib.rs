//! Advice before a disaster: which site's loss costs what, and who should back whom.
//!
//! [`Picture`] is what the registry and the nodes say now. [`losses`] answers for every site, every pair of sites and every
//! group of sites that fail together; [`advise`] proposes backups; [`warnings`] names policies that cannot hold what they
//! promise. Nothing here changes anything: an operator gives the proposed policy with `eport platform policy`.
//!
//! Always: a loss is never described as smaller than the registry's own rules allow (seal quorum, proven copies); a proposal
//! never puts two copies of a platform on one site while another site with room is free, and leaves no platform without a
//! copy elsewhere when the sites have room for one each. Basis: design §5 and §6.
#![forbid(unsafe_code)]

mod advise;
mod loss;
mod matching;
mod picture;
mod warnings;

pub use advise::{Advice, Choice, Reason, advise, proposed};
pub use loss::{Cause, Class, Loss, PlatformLoss, Service, loss, losses};
pub use picture::{Copy, NodeFact, Picture, PlatformFact, SiteFact, Soft};
pub use warnings::{Concern, warnings};
