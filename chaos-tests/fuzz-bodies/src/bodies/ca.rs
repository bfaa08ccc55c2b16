//! What a certificate authority reads: requests, certificates, lists, questions about certificates.
//!
//! Each structure is also given with a signature that holds, so that what stands behind the check of the signature is reached.

use crate::world::{NOW, WORLD, Way, now};
use eport_authority::{
    LeafNames, LeafRequest, OcspStatus, Profile, facts_of, issued_by, read_crl, read_ocsp_request,
    read_request, request_of_body,
};
use eport_identity::{Epoch, Subject};
use eport_signature::{ca_facts, issuer_facts, outside_facts, revocation_list, signatory};
use eport_tls::{Usage, examine};
use std::collections::BTreeSet;

/// A request: whatever it asks for, what is issued is the profile for the subject that the CA was told, and peers take it.
pub(super) fn csr(data: &[u8]) -> u64 {
    let mut way = Way::new();
    if let Some(pem) = way.note(request_of_body(data)) {
        ask(&pem, &mut way);
    }
    if let Some(proven) = WORLD.proven_request(data) {
        way.step("proven");
        if let Some(pem) = way.note(request_of_body(&proven)) {
            ask(&pem, &mut way);
        }
    }
    way.mark()
}

fn ask(pem: &str, way: &mut Way) {
    let w = &*WORLD;
    let Some(asked) = way.note(read_request(pem)) else { return };
    let subjects = ["enterprise/91440300MA5ABCD19J", "platform/440300/node/sz-a-1"];
    for subject in subjects.iter().filter_map(|s| s.parse::<Subject>().ok()) {
        let (profile, names) = (Profile::usual(&subject), LeafNames::default());
        let request = LeafRequest {
            profile,
            subject: &subject,
            names: &names,
            request: &asked,
            epoch: Epoch::INITIAL,
            days: None,
            now: now(),
            random: [7; 12],
        };
        let tbs = w
            .city
            .prepare(&request)
            .expect("a key that was proven gets a certificate, whatever else it asks for");
        let der = w.city.sign(&tbs).expect("the CA's key is here");
        let facts = facts_of(&der).expect("what was issued can be read");
        assert_eq!(facts.uri, subject.uri(&w.domain));
        assert_eq!(facts.key, asked.key);
        assert!(
            facts.names.addresses.is_empty()
                && facts.names.dns.len() == usize::from(subject.node().is_some())
        );
        assert!(ca_facts(&der).is_err(), "a leaf is a CA");
        let chain = [der, w.city.der().to_vec()];
        let peer = examine(&w.bundle, &chain, Usage::Client, NOW).expect("peers take what was issued");
        assert_eq!(peer.subject, subject);
    }
    way.step("issued");
}

/// A certificate: as leaf, as CA, as anybody's proof.
pub(super) fn certificate(data: &[u8]) -> u64 {
    let mut way = Way::new();
    judge(data, &mut way);
    if let Some(signed) = WORLD.signed_by_city(data) {
        way.step("signed");
        judge(&signed, &mut way);
    }
    way.mark()
}

fn judge(der: &[u8], way: &mut Way) {
    let w = &*WORLD;
    let read = way.note(facts_of(der));
    let _ = (way.note(issuer_facts(der)), way.note(ca_facts(der)));
    if let Some(outside) = way.note(outside_facts(der)) {
        assert!(read.is_some() && outside.name.chars().count() <= 128, "what is registered can be read");
    }
    let by_city = issued_by(der, w.city.der());
    let signed = way.note(signatory(der, [w.city.der()], &w.domain, NOW * 1_000));
    let chain = [der.to_vec(), w.city.der().to_vec()];
    for usage in [Usage::Client, Usage::Server] {
        let Some(peer) = way.note(examine(&w.bundle, &chain, usage, NOW)) else { continue };
        // Whoever passes was signed by a CA of ours, and says who it is within that CA's scope.
        assert!(by_city && w.city.name().covers(&peer.subject), "{}", peer.subject);
        assert!(read.as_ref().is_some_and(|f| f.uri == peer.subject.uri(&w.domain)));
    }
    if let Some(signed) = signed {
        assert!(by_city && w.city.name().covers(&signed.subject), "{}", signed.subject);
    }
    // As the CA of somebody's chain, too.
    let leaf = [w.city.der().to_vec(), der.to_vec()];
    let _ = way.note(examine(&w.bundle, &leaf, Usage::Client, NOW));
}

/// A revocation list: both readers say the same of it.
pub(super) fn crl(data: &[u8]) -> u64 {
    let mut way = Way::new();
    list(data, &mut way);
    if let Some(signed) = WORLD.signed_by_city(data) {
        way.step("signed");
        list(&signed, &mut way);
    }
    way.mark()
}

fn list(der: &[u8], way: &mut Way) {
    let ca = WORLD.city.der();
    let (ours, core) = (way.note(read_crl(der, ca)), way.note(revocation_list(der, ca)));
    let (Some(ours), Some(core)) = (ours, core) else { return };
    assert_eq!(ours.number.0, core.number);
    let said: BTreeSet<&str> = core.entries.iter().map(|e| e.serial.as_str()).collect();
    let of_ours = ours.entries.keys().map(String::as_str).filter(|s| !s.is_empty() && s.len() <= 64);
    assert_eq!(said, of_ours.collect(), "the two readers of lists differ");
}

/// An OCSP request: whatever is read can be answered, and a second time by the same bytes of the question.
pub(super) fn ocsp(data: &[u8]) -> u64 {
    let mut way = Way::new();
    let Ok(asked) = read_ocsp_request(data).inspect_err(|e| way.step(&format!("{e:?}"))) else {
        return way.mark();
    };
    way.step(if asked.iter().all(|a| a.is_of(&WORLD.city)) { "ours" } else { "others" });
    way.step(["one", "two", "more"][asked.len().min(3) - 1]);
    let ids: Vec<Vec<u8>> = asked.iter().map(|a| a.id()).collect();
    let answers: Vec<_> = asked.into_iter().map(|a| (a, OcspStatus::Unknown)).collect();
    let answer = WORLD.city.ocsp_answer(&answers, now(), time::Duration::hours(24));
    let answer = answer.expect("what was read is answered");
    assert!(
        ids.iter().all(|id| answer.windows(id.len()).any(|w| w == id)),
        "the answer names what was asked"
    );
    way.mark()
}
