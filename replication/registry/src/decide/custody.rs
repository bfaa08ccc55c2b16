//! Rules about CAs: custody of the keys of issuing ones, and lists that prove themselves, also of CAs outside.

use super::Decision;
use super::check::{self, invalid};
use crate::rows::Row;
use crate::{CaCustody, Command, IssuerState, Node, NodeState, Outcome, Refusal, Revocation, State};
use eport_model::{Digest, Distrust, Timestamp};

/// Longest id of a wrapping key: 16 bytes in hex.
const KEK_LEN: usize = 32;
/// Holders of one division.
const HOLDERS_MAX: usize = 64;
/// Largest list that enters the log: some 6 000 entries. A longer one is honoured on every node that has it all the same.
pub(crate) const LIST_LEN_MAX: usize = 256 << 10;
/// Entries that one list brings at most; what is left comes with the next.
const LISTED_AT_ONCE: usize = 2_000;
/// Rules that cover many certificates: every handshake looks at those of its issuer.
const RULES_MAX: usize = 10_000;

pub(super) fn put_custody(state: &State, c: &Command, custody: &CaCustody) -> Decision {
    check::operator(c)?;
    check::placement(state, custody.region)?;
    let key = custody.ca.to_string();
    let issuer = state.issuers.get(&key).ok_or_else(|| check::not_found("issuer", &key))?;
    if issuer.platform != Some(custody.region) || issuer.state != IssuerState::Active {
        return Err(Refusal::Rule(format!("{key} is no issuing CA of platform {}", custody.region)));
    }
    if custody.kek.len() != KEK_LEN || !custody.kek.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(invalid("kek", "32 lower-case hex digits are needed"));
    }
    if custody.threshold < 2 || usize::from(custody.threshold) > custody.holders.len() {
        return Err(invalid(
            "threshold",
            "one person alone must never open it: 2 or more of the holders are needed",
        ));
    }
    if custody.holders.len() > HOLDERS_MAX {
        return Err(invalid("holders", format!("at most {HOLDERS_MAX} hold shares")));
    }
    for holder in &custody.holders {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if holder.is_empty() || holder.len() > 64 || !holder.bytes().all(plain) {
            return Err(invalid("holders", "1 to 64 letters, digits, - and _ are allowed"));
        }
    }
    let mut names: Vec<&String> = custody.holders.iter().collect();
    names.sort();
    if names.windows(2).any(|w| w[0] == w[1]) {
        return Err(invalid("holders", "one person holds one share"));
    }
    Ok((Outcome::Done, vec![Row::Custody(CaCustody { by: c.by.clone(), at: c.at, ..custody.clone() })]))
}

/// A rule that an operator asks for; a serial is none. `None`: the text is no rule.
pub(super) fn rule(state: &State, text: &str) -> Result<Option<Distrust>, Refusal> {
    let Ok(rule) = text.parse::<Distrust>() else { return Ok(None) };
    if let Distrust::Epoch { issuer, .. } = &rule
        && !state.issuers.contains_key(&issuer.to_string())
    {
        return Err(check::not_found("issuer", issuer));
    }
    if matches!(rule, Distrust::Listed { .. }) {
        return Err(invalid("serial", "what a CA's own list says enters with the list"));
    }
    let kept =
        state.revocations.values().filter(|r| r.serial.contains('/') && !r.serial.starts_with("list/"));
    if state.revocation(text).is_none() && kept.count() >= RULES_MAX {
        return Err(Refusal::Rule(format!("{RULES_MAX} rules are kept already")));
    }
    Ok(Some(rule))
}

/// A member brings a list that an issuing CA signed: while the CA was cut off it revoked what it had issued. The list proves
/// itself; whoever brings it adds nothing.
pub(super) fn take_list(state: &State, c: &Command, key: Digest, list: &[u8]) -> Decision {
    check::operator_or_member(state, c)?;
    if list.len() > LIST_LEN_MAX {
        return Err(invalid("list", format!("at most {LIST_LEN_MAX} bytes are allowed")));
    }
    let root = state.issuers.get(&key.to_string()).is_some_and(|i| i.platform.is_none());
    if root {
        return Err(Refusal::Rule("a root's list is served as the ceremony made it".to_owned()));
    }
    let found = state.listing_ca(&key);
    let (certificate, name) = found.ok_or_else(|| check::not_found("issuer", key))?;
    let listed =
        eport_signature::revocation_list(list, certificate).map_err(|e| invalid("list", e.to_string()))?;
    let fresh = listed.entries.into_iter().filter(|e| {
        let rule = Distrust::Listed { issuer: key, serial: e.serial.clone() };
        state.revocation(&e.serial).is_none() && state.revocation(&rule.to_string()).is_none()
    });
    let mut rows = Vec::new();
    for entry in fresh.take(LISTED_AT_ONCE) {
        let rule = Distrust::Listed { issuer: key, serial: entry.serial.clone() };
        // A CA outside has no nodes; that a serial of its is a node's as well is nothing but chance, or malice.
        let ours = state.issuers.contains_key(&key.to_string());
        let users = state.nodes().filter(|n| ours && n.cert_serial == entry.serial && n.is_member());
        rows.extend(users.map(|n| Row::Node(Node { state: NodeState::Revoked, ..n.clone() })));
        rows.push(Row::Revocation(Revocation {
            serial: rule.to_string(),
            reason: entry.reason.to_owned(),
            at: Timestamp::from_millis(entry.at.saturating_mul(1_000)),
            by: format!("list of {name}").chars().take(200).collect(),
        }));
    }
    Ok((Outcome::Done, rows))
}
