//! Requests that wait for an operator.
//!
//! Always holds: filed once a key and subject; decided once, and what is approved is what was filed; the list is bounded, for each
//! asker and as a whole.

use crate::Fault;
use core::net::IpAddr;
use eport_model::{Digest, Subject, Timestamp};
use serde::{Deserialize, Serialize};

/// Requests that a platform keeps, decided ones included.
pub const REQUESTS_MAX: usize = 1_024;
/// Requests of one asker that wait at once: nobody fills the list alone.
pub const WAITING_MAX: usize = 16;
/// How long a request is kept, waiting or decided.
pub const REQUEST_LIFE_MS: i64 = 30 * 86_400_000;

/// How far a request has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RequestState {
    /// It waits.
    Waiting,
    /// Approved; the serial is that of the intent, written in the same record.
    Approved {
        /// By whom.
        by: String,
        /// When.
        at: Timestamp,
        /// Serial of the certificate.
        serial: String,
    },
    /// Refused.
    Denied {
        /// By whom.
        by: String,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

/// What a platform keeps of a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequestRow {
    /// Its name.
    pub id: String,
    /// For whom.
    pub subject: Subject,
    /// Profile.
    pub profile: String,
    /// SHA-256 of the key (SPKI).
    pub key: Digest,
    /// The request, PEM.
    pub csr: String,
    /// Days of life.
    pub days: Option<i64>,
    /// Further DNS names of a node.
    pub dns: Vec<String>,
    /// Further addresses of a node.
    pub addresses: Vec<IpAddr>,
    /// What entitled the asker: `token ID`, or the subject of the certificate shown.
    pub asked_by: String,
    /// When.
    pub asked_at: Timestamp,
    /// How far it has come.
    pub state: RequestState,
}

/// What an operator decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Issue it.
    Approve,
    /// Refuse it, and why.
    Deny(String),
}

/// The name of a request: the same key for the same subject is the same request.
pub fn request_id(subject: &Subject, key: &Digest) -> String {
    let digest = Digest::of(format!("enrolment request/{subject}/{key}").as_bytes());
    hex::encode(&digest.as_bytes()[..12])
}

impl RequestRow {
    /// The word for lists.
    pub fn word(&self) -> &'static str {
        match self.state {
            RequestState::Waiting => "waiting",
            RequestState::Approved { .. } => "approved",
            RequestState::Denied { .. } => "denied",
        }
    }

    /// What its asker is told while it has no certificate.
    pub fn answer(&self) -> Fault {
        match &self.state {
            RequestState::Denied { by, reason, .. } => {
                Fault::Denied { id: self.id.clone(), by: by.clone(), reason: reason.clone() }
            }
            _ => Fault::Waiting(self.id.clone()),
        }
    }

    /// Whether it may be decided. An approval whose certificate was never made may be repeated: the node died in between.
    pub fn decidable(&self, decision: &Decision, certificate_made: bool) -> Result<(), Fault> {
        match (&self.state, decision) {
            (RequestState::Waiting, _) => Ok(()),
            (RequestState::Approved { .. }, Decision::Approve) if !certificate_made => Ok(()),
            _ => Err(Fault::Decided(self.id.clone())),
        }
    }

    /// True when nobody waits for it any more.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.as_millis().saturating_sub(self.asked_at.as_millis()) > REQUEST_LIFE_MS
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_request_is_decided_once_but_an_approval_without_certificate_may_be_repeated() {
        let subject: Subject = "operator/li".parse().unwrap();
        let key = Digest::of(b"k");
        let mut row = RequestRow {
            id: request_id(&subject, &key),
            subject: subject.clone(),
            profile: "operator".into(),
            key,
            csr: String::new(),
            days: None,
            dns: vec![],
            addresses: vec![],
            asked_by: "token x".into(),
            asked_at: Timestamp::from_millis(0),
            state: RequestState::Waiting,
        };
        assert_ne!(request_id(&subject, &Digest::of(b"l")), row.id);
        let deny = Decision::Deny("no".into());
        assert!(row.decidable(&Decision::Approve, false).is_ok() && row.decidable(&deny, false).is_ok());
        let at = Timestamp::from_millis(1);
        row.state = RequestState::Approved { by: "a".into(), at, serial: "01".into() };
        assert!(row.decidable(&Decision::Approve, false).is_ok());
        assert!(row.decidable(&Decision::Approve, true).is_err() && row.decidable(&deny, false).is_err());
        row.state = RequestState::Denied { by: "a".into(), at, reason: "no".into() };
        assert!(row.decidable(&Decision::Approve, false).is_err());
        assert!(matches!(row.answer(), Fault::Denied { .. }));
        assert!(!row.is_stale(Timestamp::from_millis(REQUEST_LIFE_MS)));
        assert!(row.is_stale(Timestamp::from_millis(REQUEST_LIFE_MS + 1)));
    }
}
