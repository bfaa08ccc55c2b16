//! Who may see what of a document: a decision from rules, purpose and consent, and what the body looks like under it.
//!
//! What always holds: what no rule allows is denied; a decision names the rules that it rests on; what is kept back or made harmless is
//! named with its reason, never left out silently; a consent opens business and commercial fields of the one who gave it, and nothing
//! else. Deciding takes one pass over the rules of a document type, showing one pass over its body. A core: no I/O, no clock.
#![forbid(unsafe_code)]

mod consent;
pub mod core_data;
mod decide;
mod mask;
mod matrix;
mod purpose;
mod rules;
mod show;

pub use consent::{CLASSES as CONSENT_CLASSES, Consent, ConsentFault, Offer, YEAR_MS};
pub use decide::{Decision, Denied, Facts, Reader, Stage, Who, decide};
pub use eport_documents::pack::{Mask, SharingAction};
pub use mask::masked;
pub use matrix::{Cell, cells, page};
pub use purpose::{Ask, NoPurpose, Purpose};
pub use rules::{GENERAL_TEXT, general, named_fields, rules_of, stages};
pub use show::{Masked, Shown, show};
