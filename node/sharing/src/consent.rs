//! Consents (sharing.md §4): who lets whom see which classes of its fields, for what, how long.

use crate::{Ask, Purpose};
use eport_model::Timestamp;
use serde::{Deserialize, Serialize};

/// Classes that a consent can open. Never L and K, never what belongs to other persons.
pub const CLASSES: &str = "BC";
/// Longest period: twelve months, the longest of them.
pub const YEAR_MS: i64 = 366 * 86_400_000;
/// Longest id.
const NAME_LEN_MAX: usize = 64;

/// What somebody consents to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// Who may see it.
    pub grantee: String,
    /// Classes of fields, one letter each.
    pub classes: String,
    /// For what.
    pub purpose: String,
    /// Only documents of this type; `None`: of every type.
    pub doc_type: Option<String>,
    /// From.
    pub from: Timestamp,
    /// Until, this instant not included.
    pub until: Timestamp,
}

/// Why an offer is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConsentFault {
    /// The one who may see.
    #[error("grantee: the id of another enterprise is needed")]
    Grantee,
    /// The classes.
    #[error("classes: a consent opens B, C or both, never personal data, enforcement data or keys")]
    Classes,
    /// The purpose.
    #[error("purpose: a purpose of sharing is needed, and OWN is none that can be given")]
    Purpose,
    /// The period.
    #[error("until: a consent ends after it begins, in the future, at most twelve months later")]
    Period,
}

/// A consent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Consent {
    /// Its id.
    pub id: String,
    /// Who gave it.
    pub grantor: String,
    /// What it opens, and to whom.
    pub offer: Offer,
    /// When it was given.
    pub granted_at: Timestamp,
    /// When it was withdrawn.
    pub withdrawn_at: Option<Timestamp>,
}

impl Offer {
    /// What is wrong with it.
    pub fn judge(&self, grantor: &str, now: Timestamp) -> Result<(), ConsentFault> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        let named = !self.grantee.is_empty()
            && self.grantee.len() <= NAME_LEN_MAX
            && self.grantee.bytes().all(plain)
            && self.grantee != grantor;
        if !named {
            return Err(ConsentFault::Grantee);
        }
        let mut seen = String::new();
        for class in self.classes.chars() {
            if !CLASSES.contains(class) || seen.contains(class) {
                return Err(ConsentFault::Classes);
            }
            seen.push(class);
        }
        if seen.is_empty() {
            return Err(ConsentFault::Classes);
        }
        match self.purpose.parse::<Purpose>() {
            Err(_) | Ok(Purpose::Own) => return Err(ConsentFault::Purpose),
            Ok(_) => {}
        }
        let period = self.until.as_millis().saturating_sub(self.from.as_millis());
        if period <= 0 || period > YEAR_MS || self.until <= now {
            return Err(ConsentFault::Period);
        }
        Ok(())
    }
}

impl Consent {
    /// `active`, `withdrawn`, `over` or `not yet`.
    pub fn state(&self, now: Timestamp) -> &'static str {
        match self {
            c if c.withdrawn_at.is_some() => "withdrawn",
            c if now >= c.offer.until => "over",
            c if now < c.offer.from => "not yet",
            _ => "active",
        }
    }

    /// The classes that it opens of a document, for what is asked, now.
    pub(crate) fn opens(
        &self,
        (grantor, grantee): (&str, &str),
        doc_type: &str,
        ask: Ask,
        now: Timestamp,
    ) -> Opens<'_> {
        let meant = self.grantor == grantor
            && self.offer.grantee == grantee
            && self.offer.doc_type.as_deref().is_none_or(|t| t == doc_type)
            && self.state(now) == "active";
        match (meant, ask) {
            (false, _) => Opens::Nothing,
            (true, Ask::Stated(purpose)) if purpose.word() == self.offer.purpose => {
                Opens::Classes(&self.offer.classes)
            }
            (true, _) => Opens::OtherPurpose,
        }
    }
}

/// What a consent does for a request.
pub(crate) enum Opens<'c> {
    /// Nothing.
    Nothing,
    /// It would, for another purpose.
    OtherPurpose,
    /// These classes.
    Classes(&'c str),
}
