//! A signature counts for exactly the bytes, the issuer, the time and the use it was made for.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use eport_authority::{Authority, CaPurpose, CommandKey, IssuingSpec, Key, LeafNames, Validity};
use eport_identity::{Epoch, Lineage, RegionCode, Subject, TrustDomain};
use eport_signature::{Envelope, Refused, Signatory, Statement, issuer_facts, signatory};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};

struct World {
    domain: TrustDomain,
    root: Authority,
    ca: Authority,
    now: OffsetDateTime,
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

impl World {
    fn new() -> Self {
        let (domain, now): (TrustDomain, _) =
            ("gd.eport.example".parse().unwrap(), OffsetDateTime::now_utc());
        let root = Authority::create_root("gd", &domain, Validity::days(now, 20)).unwrap();
        let spec = IssuingSpec {
            region: region("440000"),
            purpose: CaPurpose::Any,
            epoch: Epoch::INITIAL,
            loopback: true,
        };
        let ca = root.create_issuing(spec, Validity::days(now, 10)).unwrap();
        Self { domain, root, ca, now }
    }

    fn operator(&self, days: i64) -> (Vec<u8>, CommandKey) {
        let validity = Validity::days(self.now, days);
        let issued = self.ca.issue_operator("admin", Key::Generate, Epoch::INITIAL, validity).unwrap();
        let key = CommandKey::from_pem(issued.key_pem.as_ref().unwrap()).unwrap();
        (der(&issued.chain_pem), key)
    }

    fn ms(&self, days: i64) -> i64 {
        i64::try_from((self.now + Duration::days(days)).unix_timestamp_nanos() / 1_000_000).unwrap()
    }

    fn judge(&self, leaf: &[u8], days: i64) -> Result<Signatory, Refused> {
        let issuers = [der(self.root.certificate_pem()), der(self.ca.certificate_pem())];
        signatory(leaf, issuers.iter().map(Vec::as_slice), &self.domain, self.ms(days))
    }
}

fn region(code: &str) -> RegionCode {
    code.parse().unwrap()
}

fn bytes(to: &str) -> Vec<u8> {
    let envelope =
        Envelope { lineage: Lineage::from_bytes([7; 16]), id: [3; 16], by: "operator/admin", at_ms: 5 };
    Statement::new("platform.switchover").with("to", to).on_version(7).bytes(&envelope)
}

#[test]
fn a_signature_made_by_the_operators_key_holds_for_its_bytes_only() {
    let w = World::new();
    let (leaf, key) = w.operator(5);
    let who = w.judge(&leaf, 0).unwrap();
    assert_eq!(who.subject, Subject::Operator("admin".into()));
    assert_eq!(who.issuer_region, Some(region("440000")));
    assert_eq!(who.issuer_serial, w.ca.serial());
    let signature = key.sign(&bytes("gz-a-1")).unwrap();
    who.verify(&bytes("gz-a-1"), &signature).unwrap();
    assert_eq!(who.verify(&bytes("gz-a-2"), &signature), Err(Refused::Mismatch));
    let (_, other) = w.operator(5);
    let forged = other.sign(&bytes("gz-a-1")).unwrap();
    assert_eq!(who.verify(&bytes("gz-a-1"), &forged), Err(Refused::Mismatch));
    for damaged in [&signature[1..], &[][..], &[0u8; 200][..]] {
        assert!(matches!(who.verify(&bytes("gz-a-1"), damaged), Err(Refused::Malformed(_))));
    }
}

#[test]
fn validity_is_judged_at_the_given_instant_and_at_no_other() {
    let w = World::new();
    let (leaf, _) = w.operator(5);
    for (day, valid) in [(-1, false), (0, true), (4, true), (6, false)] {
        let verdict = w.judge(&leaf, day);
        assert_eq!(verdict.is_ok(), valid, "day {day}: {verdict:?}");
        if let Err(refused) = verdict {
            assert_eq!(refused.code(), 1205);
        }
    }
}

#[test]
fn a_foreign_issuer_a_node_of_it_and_a_damaged_certificate_are_refused() {
    let (w, foreign) = (World::new(), World::new());
    let (leaf, _) = foreign.operator(5);
    // Same names, other key: the names alone prove nothing.
    assert_eq!(w.judge(&leaf, 0).unwrap_err(), Refused::UnknownIssuer);
    let (leaf, _) = w.operator(5);
    for at in 0..leaf.len() {
        let mut damaged = leaf.clone();
        damaged[at] ^= 1;
        // Every byte counts: a certificate has one form, so that nobody makes a second one out of it.
        if let Ok(who) = w.judge(&damaged, 0) {
            panic!(
                "byte {at} of {} was changed and {} still passes: {:02x?}",
                leaf.len(),
                who.subject,
                &leaf[at - 12..at + 6]
            );
        }
    }
    assert!(w.judge(&leaf[..leaf.len() - 1], 0).is_err());
    assert!(w.judge(&[leaf.as_slice(), &[0]].concat(), 0).is_err());
    let ca = der(w.ca.certificate_pem());
    assert!(matches!(w.judge(&ca, 0), Err(Refused::Unfit(_))), "a CA signs no commands");
}

#[test]
fn a_node_is_recognised_as_a_node() {
    let w = World::new();
    let validity = Validity::days(w.now, 3);
    let node = "gz-a-1".parse().unwrap();
    let issued = w
        .ca
        .issue_node(region("440000"), node, &LeafNames::default(), Key::Generate, Epoch::INITIAL, validity)
        .unwrap();
    assert_eq!(w.judge(&der(&issued.chain_pem), 0).unwrap().subject.node(), Some(node));
}

#[test]
fn the_facts_of_an_issuer_are_read_from_its_certificate() {
    let w = World::new();
    let facts = issuer_facts(&der(w.ca.certificate_pem())).unwrap();
    assert_eq!((facts.key_id, facts.region), (w.ca.spki(), Some(region("440000"))));
    assert_eq!(facts.name, "440000 issuing");
    let root = issuer_facts(&der(w.root.certificate_pem())).unwrap();
    assert_eq!((root.key_id, root.region), (w.root.spki(), None));
    let (leaf, _) = w.operator(5);
    assert!(issuer_facts(&leaf).is_err());
}

#[test]
fn the_list_of_a_release_reads_only_as_its_maker_signed_it() {
    use eport_authority::{KeyAlgorithm, KeyStore, SoftKey};
    use eport_identity::Digest;
    use eport_signature::Release;
    let key = SoftKey::generate(KeyAlgorithm::P256).unwrap();
    let files = [("eport".to_owned(), Digest::of(b"a")), ("eportd".to_owned(), Digest::of(b"b"))].into();
    let release = Release { version: "0.1.0".into(), key: key.public_point().to_vec(), files };
    let text = release.text(&key.sign(release.content().as_bytes()).unwrap());
    assert_eq!(Release::read(&text, release.pin()).unwrap(), release);
    release.holds("eportd", Digest::of(b"b")).unwrap();
    assert!(
        release.holds("eportd", Digest::of(b"c")).is_err()
            && release.holds("other", Digest::of(b"b")).is_err()
    );
    assert!(Release::read(&text, Digest::of(b"another key")).is_err());
    for at in 0..text.len() {
        let mut bad = text.clone().into_bytes();
        bad[at] ^= 1;
        let bad = String::from_utf8(bad).unwrap();
        assert!(Release::read(&bad, release.pin()).is_err(), "byte {at}");
        assert!(Release::read(&text[..at], release.pin()).is_err(), "cut at {at}");
    }
    // Another's signature under the same content, with his own key in its place.
    let thief = SoftKey::generate(KeyAlgorithm::P256).unwrap();
    let own = Release { key: thief.public_point().to_vec(), ..release.clone() };
    let stolen = own.text(&thief.sign(own.content().as_bytes()).unwrap());
    assert!(Release::read(&stolen, own.pin()).is_ok() && Release::read(&stolen, release.pin()).is_err());
}
