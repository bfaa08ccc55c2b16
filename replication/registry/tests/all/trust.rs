//! Custody of CA keys, rules that take the trust from many certificates, and lists that prove themselves.
// Tests: an unwrap is an assertion, and they read the real clock.

use crate::common;
use common::*;
use eport_authority::{
    Authority, CaPurpose, CrlContent, CrlEntry, CrlNumber, IssuingSpec, Reason, Validity, certificate_of_pem,
};
use eport_model::{CertificateMark, Digest, Distrust, Epoch, TrustDomain};
use eport_registry::*;
use std::collections::BTreeMap;
use time::OffsetDateTime;

struct Trust {
    w: World,
    city: Authority,
    other: Authority,
}

fn put(w: &mut World, ca: &Authority) {
    let certificate = certificate_of_pem(ca.certificate_pem()).unwrap();
    let facts = eport_signature::issuer_facts(&certificate).unwrap();
    let (key_id, name, platform) = (facts.key_id.to_string(), facts.name, facts.region);
    let state = IssuerState::Active;
    w.operator(Op::PutIssuer(Issuer {
        key_id,
        name,
        platform,
        certificate,
        state,
        since_epoch: eport_model::Epoch::NONE,
    }))
    .unwrap();
}

fn trust() -> Trust {
    let mut w = World::with_platform();
    let start = OffsetDateTime::from_unix_timestamp(w.now / 1_000).unwrap();
    let domain: TrustDomain = "gd.eport.example".parse().unwrap();
    let root = Authority::create_root("gd", &domain, Validity::days(start, 100)).unwrap();
    let ca = |code| {
        let spec = IssuingSpec {
            region: region(code),
            purpose: CaPurpose::Any,
            epoch: Epoch::INITIAL,
            loopback: true,
        };
        root.create_issuing(spec, Validity::days(start, 50)).unwrap()
    };
    let (city, other) = (ca("440300"), ca("440100"));
    put(&mut w, &city);
    put(&mut w, &other);
    Trust { w, city, other }
}

fn list(ca: &Authority, number: u64, serials: &[String]) -> Vec<u8> {
    let at = OffsetDateTime::from_unix_timestamp(1_700_000_500).unwrap();
    let entry = CrlEntry { at, reason: Reason::KeyCompromise };
    let entries: BTreeMap<String, CrlEntry> = serials.iter().map(|s| (s.clone(), entry)).collect();
    let next_update = at + time::Duration::days(7);
    ca.sign_crl(&CrlContent { number: CrlNumber(number), this_update: at, next_update, entries, shard: None })
        .unwrap()
}

fn serial(epoch: u32, n: u8) -> String {
    format!("01{epoch:08x}{}", format!("{n:02x}").repeat(12))
}

fn mark<'a>(serial: &'a str, key: &[u8], issuer: &Authority, not_before: i64) -> CertificateMark<'a> {
    CertificateMark { serial, key: Digest::of(key), issuer: issuer.spki(), not_before }
}

fn custody(ca: &Authority, holders: &[&str]) -> CaCustody {
    CaCustody {
        ca: ca.spki(),
        region: region("440300"),
        kek: "0a".repeat(16),
        wrapped: Digest::of(b"wrapped"),
        threshold: 2,
        holders: holders.iter().map(|h| (*h).to_owned()).collect(),
        by: "somebody else".into(),
        at: Default::default(),
    }
}

#[test]
fn custody_names_two_persons_or_more_of_a_ca_of_its_platform_and_who_said_so() {
    let Trust { mut w, city, other } = trust();
    let good = custody(&city, &["an", "bo", "chen"]);
    for (what, bad) in [
        ("one person alone", CaCustody { threshold: 1, ..good.clone() }),
        ("more than there are", CaCustody { threshold: 4, ..good.clone() }),
        ("one person twice", custody(&city, &["an", "an", "bo"])),
        ("a name with a slash", custody(&city, &["an/1", "bo"])),
        ("another platform's CA", CaCustody { ca: other.spki(), ..good.clone() }),
        ("an unknown CA", CaCustody { ca: Digest::of(b"x"), ..good.clone() }),
        ("an id of another form", CaCustody { kek: "xyz".into(), ..good.clone() }),
        ("an unknown platform", CaCustody { region: region("440400"), ..good.clone() }),
    ] {
        assert!(w.operator(Op::PutCustody(bad)).is_err(), "{what}");
    }
    assert!(w.by_node(node("sz-a-1"), Op::PutCustody(good.clone())).is_err(), "a node puts none");
    w.operator(Op::PutCustody(good.clone())).unwrap();
    let kept = w.state.custody(&city.spki()).unwrap();
    assert_eq!((kept.by.as_str(), kept.wrapped), ("operator/admin", good.wrapped));
    let newer = CaCustody { kek: "0b".repeat(16), ..good };
    w.operator(Op::PutCustody(newer)).unwrap();
    assert_eq!(w.state.custodies().count(), 1);
    assert_eq!(State::from_rows(w.stored.clone()).unwrap(), w.state);
}

#[test]
fn custody_needs_a_second_person_in_production() {
    let statement = Op::PutCustody(custody(&trust().city, &["an", "bo"])).statement();
    assert_eq!(statement.kind(), statement::CA_CUSTODY);
    assert!(statement::KINDS.contains(&statement::CA_CUSTODY));
}

#[test]
fn a_rule_takes_the_trust_from_what_an_epoch_issued_after_the_anchor_and_from_a_key() {
    let Trust { mut w, city, other } = trust();
    let epoch = |n, begins| Distrust::Epoch { issuer: city.spki(), epoch: Epoch::from_u64(n), begins };
    let revoke = |rule: &Distrust| Op::Revoke { serial: rule.to_string(), reason: "lost tail".into() };
    w.operator(revoke(&epoch(7, 1_000))).unwrap();
    w.operator(revoke(&Distrust::Key(Digest::of(b"stolen")))).unwrap();
    let (seven, eight) = (serial(7, 1), serial(8, 1));
    assert!(w.state.revoked(&mark(&seven, b"k", &city, 1_000)).is_some());
    assert!(w.state.revoked(&mark(&seven, b"k", &city, 999)).is_none());
    assert!(w.state.revoked(&mark(&seven, b"k", &other, 1_000)).is_none());
    assert!(w.state.revoked(&mark(&eight, b"k", &city, 1_000)).is_none());
    assert!(w.state.revoked(&mark(&eight, b"stolen", &other, 1)).is_some());
    assert!(w.state.revoked_unknown(&city.spki(), &seven).is_some(), "what no ledger knows");
    assert!(w.state.revoked_unknown(&other.spki(), &seven).is_none());
    let nowhere = Distrust::Epoch { issuer: Digest::of(b"x"), epoch: Epoch::from_u64(1), begins: 0 };
    assert!(w.operator(revoke(&nowhere)).is_err(), "a CA that nobody knows");
    let listed = Distrust::Listed { issuer: city.spki(), serial: "01ab".into() };
    assert!(w.operator(revoke(&listed)).is_err(), "only a list says what a list says");
    assert!(w.operator(Op::Revoke { serial: "key/xyz".into(), reason: "r".into() }).is_err());
    let before = w.state.revoked_count();
    w.operator(revoke(&epoch(7, 1_000))).unwrap();
    assert_eq!(w.state.revoked_count(), before, "said twice");
    assert_eq!(State::from_rows(w.stored.clone()).unwrap(), w.state);
}

#[test]
fn a_cas_own_list_revokes_what_it_issued_and_nothing_of_another_ca_whoever_brings_it() {
    let Trust { mut w, city, other } = trust();
    let (one, two) = (serial(1, 1), serial(1, 2));
    let brought = |ca: &Authority, list| Op::TakeList { issuer: ca.spki(), list };
    w.by_node(node("gz-a-1"), brought(&city, list(&city, 5, &[one.clone(), two.clone()]))).unwrap();
    for serial in [&one, &two] {
        let found = w.state.revoked(&mark(serial, b"k", &city, 1)).unwrap();
        assert!(found.reason.starts_with("key-compromise") && found.by.contains("list of"), "{found:?}");
        assert!(w.state.revoked(&mark(serial, b"k", &other, 1)).is_none(), "it speaks for its own alone");
    }
    let count = w.state.revoked_count();
    // An older list, or one that says less, takes nothing back.
    w.by_node(node("gz-a-1"), brought(&city, list(&city, 4, &[]))).unwrap();
    w.by_node(node("gz-a-1"), brought(&city, list(&city, 9, std::slice::from_ref(&one)))).unwrap();
    assert_eq!(w.state.revoked_count(), count);
    assert!(w.by_node(node("gz-a-1"), brought(&city, list(&other, 9, &[serial(1, 3)]))).is_err(), "forged");
    let mut bad = list(&city, 9, &[serial(1, 4)]);
    let at = bad.len() / 2;
    bad[at] ^= 1;
    assert!(w.by_node(node("gz-a-1"), brought(&city, bad)).is_err(), "altered");
    assert!(w.by_node(node("gz-a-1"), brought(&city, vec![0; 300 << 10])).is_err(), "too long");
    assert_eq!(w.state.revoked_count(), count);
}

#[test]
fn a_node_whose_certificate_a_list_names_is_no_member_any_more() {
    let Trust { mut w, city, .. } = trust();
    let used = serial(1, 7);
    let change = NodeChange { cert_serial: Some(used.clone()), ..NodeChange::default() };
    w.operator(Op::UpdateNode { node: node("sz-a-1"), change }).unwrap();
    let op = Op::TakeList { issuer: city.spki(), list: list(&city, 5, &[used]) };
    w.by_node(node("gz-a-1"), op).unwrap();
    assert!(!w.state.is_member(node("sz-a-1")));
}

#[test]
fn two_primaries_that_issue_ten_thousand_each_in_their_own_epoch_never_draw_one_serial() {
    let mut seen = std::collections::BTreeSet::new();
    for epoch in [4, 5] {
        for _ in 0..10_000 {
            // The worst case: both draw from the same random bits.
            let n = (seen.len() % 10_000) as u128;
            let mut random = [0; 12];
            random.copy_from_slice(&n.to_be_bytes()[4..]);
            assert!(seen.insert(eport_authority::serial_of(Epoch::from_u64(epoch), random)));
        }
    }
    assert_eq!(seen.len(), 20_000);
    let of = |e| seen.iter().filter(|s| s[1..5] == u32::to_be_bytes(e)).count();
    assert_eq!((of(4), of(5)), (10_000, 10_000), "each is named by its epoch");
}
