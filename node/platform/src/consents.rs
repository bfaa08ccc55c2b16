//! Consents in the platform's journal (sharing.md §4).
//!
//! What always holds: a consent, and its withdrawal, is a record of the party's own; reads go to the primary and look at the rows, so
//! it takes effect with the answer; withdrawn ones stay, so that the party sees what it had allowed. What one party may give is bounded.
//!
//! ```text
//! y/g/GRANTOR 0 ID                a consent                eport_sharing::Consent
//! y/r/GRANTEE 0 GRANTOR 0 ID      index by who may see     empty
//! ```

use crate::Error;
use crate::certificates::LedgerError;
use crate::platform::Platform;
use crate::rows::{decode, encode, join};
use bytes::Bytes;
use eport_model::{Digest, Draft, Effect, RecordKind, RequestRef, codes};
use eport_sharing::{Consent, Offer};

/// Consents of one party, withdrawn ones included.
const GIVEN_MAX: usize = 1_000;
/// Consents to one party that are looked at.
const RECEIVED_MAX: usize = 10_000;

fn given(grantor: &str) -> Bytes {
    join(b"y/g/", &[grantor.as_bytes(), &[0]])
}

fn one(grantor: &str, id: &str) -> Bytes {
    join(b"y/g/", &[grantor.as_bytes(), &[0], id.as_bytes()])
}

fn received(grantee: &str) -> Bytes {
    join(b"y/r/", &[grantee.as_bytes(), &[0]])
}

impl Platform {
    /// What a party has consented to, withdrawn and past ones included.
    pub fn consents_of(&self, grantor: &str) -> Result<Vec<Consent>, Error> {
        let found = self.inner.log.scan(&given(grantor), None, GIVEN_MAX)?;
        found.iter().map(|(key, value)| decode(key, value)).collect()
    }

    /// What others have consented to, for a party to see.
    pub fn consents_to(&self, grantee: &str) -> Result<Vec<Consent>, Error> {
        let prefix = received(grantee);
        let mut out = Vec::new();
        for (key, _) in self.inner.log.scan(&prefix, None, RECEIVED_MAX)? {
            let rest = key.get(prefix.len()..).unwrap_or_default();
            let mut words = rest.splitn(2, |b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned());
            let (grantor, id) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let row = one(&grantor, &id);
            if let Some(value) = self.inner.log.get(&row)? {
                out.push(decode(&row, &value)?);
            }
        }
        Ok(out)
    }

    /// Gives a consent. The same one again, while it is in force, is the same consent.
    pub async fn grant_consent(&self, grantor: &str, offer: Offer, by: &str) -> Result<Consent, LedgerError> {
        let now = (self.inner.clock)();
        let refused = |detail: String| LedgerError::NotNow { code: codes::BAD_REQUEST, detail };
        offer.judge(grantor, now).map_err(|fault| refused(fault.to_string()))?;
        let _claim = self.consents_claimed(grantor).await?;
        let known = self.consents_of(grantor)?;
        // One that has begun already says as much as one that begins now.
        let covers = |c: &&Consent| {
            let begins = c.offer.from;
            c.withdrawn_at.is_none()
                && begins <= offer.from
                && c.offer == Offer { from: begins, ..offer.clone() }
        };
        if let Some(same) = known.iter().find(covers) {
            return Ok(same.clone());
        }
        let id = self.consent_id(grantor, &offer, known.len());
        let consent = Consent { id, grantor: grantor.to_owned(), offer, granted_at: now, withdrawn_at: None };
        let mut effects = vec![
            Effect::Put { key: one(grantor, &consent.id), value: encode(&consent) },
            Effect::Put {
                key: join(
                    &received(&consent.offer.grantee),
                    &[grantor.as_bytes(), &[0], consent.id.as_bytes()],
                ),
                value: Bytes::new(),
            },
        ];
        if known.len() >= GIVEN_MAX {
            // One that is over makes room.
            let over = known.iter().find(|c| matches!(c.state(now), "over" | "withdrawn"));
            let over = over.ok_or_else(|| LedgerError::NotNow {
                code: codes::CONSENTS_FULL,
                detail: format!("{GIVEN_MAX} consents are in force"),
            })?;
            let index = join(&received(&over.offer.grantee), &[grantor.as_bytes(), &[0], over.id.as_bytes()]);
            effects.extend([one(grantor, &over.id), index].map(|key| Effect::Delete { key }));
        }
        self.record_consent(format!("consent/{}", consent.id), by, effects).await?;
        Ok(consent)
    }

    /// Withdraws a consent; doing it again changes nothing. `None`: the party gave no such consent.
    pub async fn withdraw_consent(
        &self,
        grantor: &str,
        id: &str,
        by: &str,
    ) -> Result<Option<Consent>, LedgerError> {
        let _claim = self.consents_claimed(grantor).await?;
        let key = one(grantor, id);
        let row = self.inner.log.get(&key).map_err(Error::from)?;
        let Some(mut consent) = row.map(|v| decode::<Consent>(&key, &v)).transpose()? else {
            return Ok(None);
        };
        if consent.withdrawn_at.is_none() {
            consent.withdrawn_at = Some((self.inner.clock)());
            let effects = vec![Effect::Put { key, value: encode(&consent) }];
            self.record_consent(format!("consent/{id}/withdrawn"), by, effects).await?;
        }
        Ok(Some(consent))
    }

    async fn consents_claimed(&self, grantor: &str) -> Result<crate::Claim, LedgerError> {
        let claim = self.claim(&format!("consents/{grantor}")).await;
        claim.ok_or_else(|| LedgerError::NotNow {
            code: codes::OVERLOADED,
            detail: "another consent of this party is being written".to_owned(),
        })
    }

    /// An id that nobody has: of what is given, and when.
    fn consent_id(&self, grantor: &str, offer: &Offer, known: usize) -> String {
        let now = (self.inner.clock)().as_millis();
        let text = format!("{}|{grantor}|{offer:?}|{now}|{known}", self.region());
        Digest::of(text.as_bytes()).to_string().chars().take(24).collect()
    }

    async fn record_consent(&self, id: String, by: &str, effects: Vec<Effect>) -> Result<(), LedgerError> {
        let not_primary = || LedgerError::NotNow {
            code: codes::FENCED,
            detail: "this node is not the open primary".to_owned(),
        };
        let generation = self.writing(|_| true).ok_or_else(not_primary)?;
        let now = (self.inner.clock)().max(self.inner.log.last_time());
        let (caller, body, signature, replaces) = (by.to_owned(), None, None, None);
        let request = RequestRef { id, caller, body, signature, accepted_at: now, replaces };
        let draft = Draft { request: Some(request), effects, ..Draft::bare(RecordKind::Entry, now) };
        let written =
            self.write_own(draft, generation, "the consent is not confirmed by the backups yet").await;
        written.map_err(|(code, detail)| LedgerError::NotNow { code, detail })
    }
}
