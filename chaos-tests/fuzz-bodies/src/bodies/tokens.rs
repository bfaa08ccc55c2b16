//! Texts that prove something: enrolment tokens, sessions, signature headers, rules, names, shares of keys, the access log.

use crate::world::{WORLD, Way};
use eport_access::{Head, SegmentName, Verifier, recover};
use eport_authority::WrappedKey;
use eport_authority::ceremony::{Share, Transcript};
use eport_identity::{CaName, Distrust, Subject};
use eport_model::Digest;
use eport_signature::{Challenge, Header, Release};

/// Every kind of token reads back as itself or is refused.
pub(super) fn token(data: &[u8]) -> u64 {
    let mut way = Way::new();
    let Some(text) = way.note(std::str::from_utf8(data)) else { return way.mark() };
    if let Some(token) = way.note(text.parse::<eport_enrolment::Token>()) {
        assert_eq!(token.to_string().parse::<eport_enrolment::Token>().as_ref(), Ok(&token));
    }
    if let Some(token) = way.note(eport_access::Token::parse(text)) {
        assert_eq!(eport_access::Token::parse(&token.text()).as_ref(), Ok(&token));
        let _ = (token.claims.signed_bytes(), token.claims.used(0, 1), token.claims.mark());
    }
    if let Some(header) = way.note(text.parse::<Header>()) {
        assert_eq!(header.to_string().parse::<Header>().ok().as_ref(), Some(&header));
    }
    if let Some(rule) = way.note(text.parse::<Distrust>()) {
        assert_eq!(rule.to_string(), text, "one rule, one spelling");
    }
    if let Some(challenge) = way.note(Challenge::read(text)) {
        assert_eq!(challenge.text(), text, "one challenge, one spelling");
        let never = |path: &str| path.parse().is_ok_and(|subject| challenge.scope.covers(&subject));
        assert!(!never("operator/admin") && !never("platform/440300/node/sz-a-1"), "{text}");
    }
    // Nobody's key is pinned: how far a list is read shows all the same.
    let _ = way.note(Release::read(text, Digest::of(&[4; 65])));
    if let Some(subject) = way.note(Subject::from_uri(text, &WORLD.domain)) {
        assert_eq!(subject.uri(&WORLD.domain), text);
    }
    if let Some((domain, name)) = way.note(CaName::from_uri(text)) {
        assert_eq!(name.uri(&domain), text);
    }
    if let Some(key) = way.note(WrappedKey::parse(text)) {
        let again = key.text().ok().and_then(|t| WrappedKey::parse(&t).ok());
        assert!(again.is_some_and(|k| k.ca() == key.ca() && k.kek() == key.kek()));
    }
    if let Some(share) = way.note(Share::parse(text)) {
        assert!(Share::parse(&share.text()).is_ok_and(|s| s.holder() == share.holder()));
    }
    if let Some(transcript) = way.note(Transcript::parse(text)) {
        let _ = way.note(transcript.verify(WORLD.root.der()));
    }
    way.mark()
}

/// A segment of the access log: a start finds its end or says that it was changed; what a start drops, a verification reports.
pub(super) fn access_log(data: &[u8]) -> u64 {
    let mut way = Way::new();
    let found = recover(SegmentName(1), data);
    let anchors = [Head { seq: 3, digest: Digest::of(b"published") }];
    for anchors in [&[][..], &anchors] {
        let mut verifier = Verifier::new(anchors.iter().copied());
        let mut lines = 0;
        verifier.segment(SegmentName(1), data, |_| lines += 1);
        let verdict = verifier.finish();
        assert_eq!(verdict.lines, lines);
        verdict.problems.iter().for_each(|p| way.step(&p.to_string()));
        if anchors.is_empty() && verdict.ok() {
            let end = found.as_ref().map(|f| (f.head.seq, f.len));
            assert_eq!(end.ok().map(|e| e.1), Some(data.len() as u64), "a whole segment has a whole end");
        }
    }
    let _ = way.note(found.map_err(|p| p.to_string()));
    way.mark()
}
