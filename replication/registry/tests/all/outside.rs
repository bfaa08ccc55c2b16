//! CAs outside the federation: registered by proof of possession within a scope, followed by their own lists, removed for ever.
// Tests: an unwrap is an assertion.

use crate::common;
use common::*;
use eport_authority::{
    Authority, CrlContent, CrlEntry, CrlNumber, KeyStore, Reason, SoftKey, certificate_of_pem,
};
use eport_model::{CertificateMark, Coded, Digest, Distrust, OutsideScope, codes};
use eport_registry::*;
use eport_signature::{Challenge, outside_facts};
use std::collections::BTreeMap;
use std::sync::Arc;
use time::OffsetDateTime;

const CA: &str = include_str!("../outside/ca.crt");
const URI: &str = include_str!("../outside/uri.crt");
const DAY_MS: i64 = 86_400_000;

fn key() -> SoftKey {
    SoftKey::from_pem(include_str!("../outside/ca.key")).unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    certificate_of_pem(pem).unwrap()
}

fn ca_key() -> Digest {
    outside_facts(&der(CA)).unwrap().key_id
}

fn challenge(w: &World, subjects: &[&str], platforms: &[&str]) -> Challenge {
    let federation = w.state.federation().unwrap();
    let scope = OutsideScope::new(
        subjects.iter().map(|s| s.parse().unwrap()),
        platforms.iter().map(|p| p.parse().unwrap()),
    );
    Challenge {
        domain: federation.domain.clone(),
        lineage: federation.lineage,
        key: ca_key(),
        scope: scope.unwrap(),
        made_ms: w.now,
        nonce: [1; 16],
    }
}

fn add(w: &World, challenge: &Challenge) -> Op {
    let text = challenge.text();
    let signature = key().sign(text.as_bytes()).unwrap();
    Op::AddOutside { version: w.state.trust().changes, certificate: der(CA), challenge: text, signature }
}

fn registered() -> World {
    let mut w = World::with_platform();
    let op = add(&w, &challenge(&w, &["agency/CUS"], &["440300"]));
    w.operator(op).unwrap();
    w
}

/// A list as the CA itself signs it.
fn list(number: u64, serials: &[&str]) -> Vec<u8> {
    let domain = "gd.eport.example".parse().unwrap();
    let ca = Authority::from_parts(CA, Arc::new(key()), Some(&domain)).unwrap();
    let at = OffsetDateTime::from_unix_timestamp(1_700_000_500).unwrap();
    let entry = CrlEntry { at, reason: Reason::KeyCompromise };
    let entries: BTreeMap<String, CrlEntry> = serials.iter().map(|s| ((*s).to_owned(), entry)).collect();
    let next_update = at + time::Duration::days(7);
    ca.sign_crl(&CrlContent { number: CrlNumber(number), this_update: at, next_update, entries, shard: None })
        .unwrap()
}

#[test]
fn a_ca_outside_is_registered_by_the_proof_of_its_key_and_every_node_looks_again() {
    let w = registered();
    let row = w.state.outside_ca(&ca_key()).unwrap();
    assert_eq!((row.name.as_str(), row.by.as_str()), ("Customs of Gulf CA", "operator/admin"));
    assert!(row.scope.counts_at(region("440300")) && !row.scope.counts_at(region("440100")));
    assert_eq!((w.state.trust_version(), w.state.trust().changes), (2, 1));
    assert_eq!(w.state.trust_behind().len(), 4, "until each has said so");
    assert!(w.state.issuers().all(|i| i.key_id != ca_key().to_string()), "it is none of ours");
    assert!(w.state.listing_cas().any(|(key, _)| key == ca_key()));
    assert_eq!(State::from_rows(w.stored.clone()).unwrap(), w.state);
}

#[test]
fn no_proof_no_registration_and_nothing_changes() {
    let mut w = World::with_platform();
    let good = challenge(&w, &["agency/CUS"], &["440300"]);
    let Op::AddOutside { version, certificate, challenge: text, signature } = add(&w, &good) else {
        panic!()
    };
    let stranger = SoftKey::generate(eport_authority::KeyAlgorithm::P256).unwrap();
    let other = Challenge { key: Digest::of(b"x"), ..good.clone() };
    let old = Challenge { made_ms: w.now - CHALLENGE_LIFE_MS - DAY_MS, ..good.clone() };
    let ahead = Challenge { made_ms: w.now + DAY_MS, ..good.clone() };
    let elsewhere = Challenge { domain: "fj.eport.example".parse().unwrap(), ..good.clone() };
    let before = Challenge { lineage: eport_model::Lineage::from_bytes([8; 16]), ..good.clone() };
    let nowhere = challenge(&w, &["agency/CUS"], &["440900"]);
    let op = |certificate: &[u8], challenge: &str, signature: &[u8]| Op::AddOutside {
        version,
        certificate: certificate.to_vec(),
        challenge: challenge.to_owned(),
        signature: signature.to_vec(),
    };
    let forged = stranger.sign(text.as_bytes()).unwrap();
    let wider = text.replace("subject agency/CUS", "subject enterprise/*");
    for (what, bad) in [
        ("another key's signature", op(&certificate, &text, &forged)),
        ("a scope that was not signed", op(&certificate, &wider, &signature)),
        ("a URI of ours", op(&der(URI), &text, &signature)),
        ("a challenge for another key", add(&w, &other)),
        ("an old challenge", add(&w, &old)),
        ("one of tomorrow", add(&w, &ahead)),
        ("another federation's", add(&w, &elsewhere)),
        ("one of before the quorum was lost", add(&w, &before)),
        ("a signature without end", op(&certificate, &text, &[0x30; 4_000])),
        ("no certificate", op(&[0; 20_000], &text, &signature)),
    ] {
        let refused = w.operator(bad).unwrap_err();
        assert_eq!(refused.code(), codes::OUTSIDE_CA, "{what}: {refused}");
    }
    let op = add(&w, &nowhere);
    assert_eq!(w.operator(op).unwrap_err().code(), codes::NOT_FOUND, "a platform that is not there");
    let op = add(&w, &good);
    assert!(w.by_node(node("gz-a-1"), op.clone()).is_err(), "a node registers nobody");
    assert_eq!((w.state.outside_cas().count(), w.state.trust_version()), (0, 1));
    w.operator(op).unwrap();
}

#[test]
fn a_ca_with_a_key_of_ours_or_one_that_was_here_is_none_from_outside() {
    let mut w = registered();
    let again = add(&w, &challenge(&w, &["agency/CUS", "enterprise/*"], &["440300"]));
    let refused = w.operator(again).unwrap_err();
    assert!(refused.to_string().contains("registered already"), "{refused}");
    // The same key as a CA of ours, entered before the outsider came.
    let mut w = World::with_platform();
    let own = Issuer {
        key_id: ca_key().to_string(),
        name: "440300 issuing".into(),
        platform: Some(region("440300")),
        certificate: der(CA),
        state: IssuerState::Active,
        since_epoch: eport_model::Epoch::NONE,
    };
    w.operator(Op::PutIssuer(own)).unwrap();
    let op = add(&w, &challenge(&w, &["agency/CUS"], &["440300"]));
    let refused = w.operator(op).unwrap_err();
    assert!(refused.to_string().contains("same key"), "{refused}");
    let mut w = World::with_platform();
    w.operator(Op::Revoke { serial: Distrust::Key(ca_key()).to_string(), reason: "stolen".into() }).unwrap();
    let op = add(&w, &challenge(&w, &["agency/CUS"], &["440300"]));
    let refused = w.operator(op).unwrap_err();
    assert!(refused.to_string().contains("revoked"), "{refused}");
    // Seen by two at once: one wins.
    let mut w = World::with_platform();
    let first = add(&w, &challenge(&w, &["agency/CUS"], &["440300"]));
    w.operator(first.clone()).unwrap();
    assert!(matches!(w.operator(first), Err(Refusal::VersionConflict { .. })));
}

#[test]
fn its_own_list_revokes_what_it_issued_and_no_node_of_ours() {
    let mut w = registered();
    let change = NodeChange { cert_serial: Some("5001".into()), ..NodeChange::default() };
    w.operator(Op::UpdateNode { node: node("sz-a-1"), change }).unwrap();
    let brought = |list| Op::TakeList { issuer: ca_key(), list };
    w.by_node(node("gz-a-1"), brought(list(3, &["5001"]))).unwrap();
    let mark = |issuer| CertificateMark { serial: "5001", key: Digest::of(b"k"), issuer, not_before: 1 };
    assert!(w.state.revoked(&mark(ca_key())).is_some());
    assert!(w.state.revoked(&mark(Digest::of(b"ours"))).is_none());
    assert!(w.state.is_member(node("sz-a-1")), "the same serial at a node of ours is another certificate");
    let mut bad = list(4, &["5002"]);
    let at = bad.len() / 2;
    bad[at] ^= 1;
    assert!(w.by_node(node("gz-a-1"), brought(bad)).is_err(), "altered");
    let unknown = Op::TakeList { issuer: Digest::of(b"nobody"), list: list(4, &["5002"]) };
    assert!(w.by_node(node("gz-a-1"), unknown).is_err());
}

#[test]
fn a_removed_ca_is_distrusted_for_ever_and_its_limits_stay_known() {
    let mut w = registered();
    let remove = |w: &World, reason: &str| Op::RemoveOutside {
        version: w.state.trust().changes,
        key: ca_key(),
        reason: reason.into(),
    };
    let silent = remove(&w, " ");
    assert!(w.operator(silent).is_err(), "without a reason");
    let op = remove(&w, "contract over");
    assert!(w.by_node(node("gz-a-1"), op.clone()).is_err());
    w.operator(op).unwrap();
    let row = w.state.outside_ca(&ca_key()).unwrap();
    assert_eq!(row.removed.as_ref().unwrap().reason, "contract over");
    let rule = Distrust::Key(ca_key()).to_string();
    assert_eq!(w.state.revocation(&rule).unwrap().reason, "contract over");
    assert!(w.state.listing_cas().all(|(key, _)| key != ca_key()));
    assert_eq!(w.state.trust_version(), 3);
    let again = remove(&w, "twice");
    w.operator(again).unwrap();
    assert_eq!(w.state.trust_version(), 3, "said twice");
    let back = add(&w, &challenge(&w, &["agency/CUS"], &["440300"]));
    assert!(w.operator(back).is_err(), "its key does not come back");
    assert_eq!(State::from_rows(w.stored.clone()).unwrap(), w.state);
}

#[test]
fn two_persons_register_it_and_one_removes_it() {
    let mut w = World::with_platform();
    for id in ["admin", "second"] {
        let roles = [OperatorRole::Administrator].into();
        let since = eport_model::Timestamp::default();
        let operator = Operator { id: id.into(), name: id.into(), roles, suspended: false, since };
        w.operator(Op::PutOperator(operator)).unwrap();
    }
    let optional = Setting { name: OPERATOR_SIGNATURES.into(), value: "optional".into() };
    w.operator(Op::SetSetting(optional)).unwrap();
    w.operator(Op::SetTwoPerson(true)).unwrap();
    let op = add(&w, &challenge(&w, &["agency/CUS"], &["440300"]));
    let said = op.statement();
    assert!(statement::KINDS.contains(&said.kind()));
    let fields: Vec<_> = said.fields().collect();
    assert!(fields.contains(&("subjects", "agency/CUS")) && fields.contains(&("platforms", "440300")));
    let waits = w.operator(op).unwrap();
    let Outcome::AwaitsApproval { approval, digest, .. } = waits else { panic!("{waits:?}") };
    assert_eq!(w.state.outside_cas().count(), 0);
    let decide = w.command("operator/second", Op::DecideApproval { approval, digest, approve: true });
    w.apply(&decide).unwrap();
    assert_eq!(w.state.outside_cas().count(), 1);
    let reason = "stopped at once".to_owned();
    let stop = Op::RemoveOutside { version: w.state.trust().changes, key: ca_key(), reason };
    assert_eq!(w.operator(stop).unwrap(), Outcome::Done);
}
