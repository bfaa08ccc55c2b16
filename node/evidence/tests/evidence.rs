//! Evidence proves a document, and every difference is found.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use bytes::Bytes;
use eport_authority::{Authority, CaPurpose, CommandKey, IssuingSpec, Key, LeafNames, Validity};
use eport_envelope::{Opening, commitment};
use eport_evidence::{
    Attestation, CertificateThen, Claim, Content, End, Evidence, Holder, Judge, LINKS_MAX, Report, Row,
    Signed, Statement, header_text, to_attest, verify, verify_bytes,
};
use eport_model::{
    CONTENT_READ, Digest, Draft, Effect, Epoch, Lineage, MoveId, Position, ReadVersion, Record, RecordKind,
    RegionCode, RequestRef, Subject, Timestamp, TrustDomain,
};
use eport_signature::{JournalHead, Signatory, signatory};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;

const LODGED: &str = r#"{"client_ref":"GZ-1","doc_version":1}"#;
const SHOWN: &str = r#"{"client_ref":"GZ-1","doc_version":1,"made":"plain"}"#;
const OPENING: Opening = [5; 32];
const DOC: &str = "E20180000000000001";
const CALLER: &str = "enterprise/91440100MA5ABCD19J";

/// A federation: its CA, a node, and the enterprise that lodges.
struct World {
    domain: TrustDomain,
    issuers: Vec<Vec<u8>>,
    node: (Vec<u8>, CommandKey),
    enterprise: (Vec<u8>, String),
    now: Timestamp,
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

fn region() -> RegionCode {
    "440000".parse().unwrap()
}

impl World {
    fn new() -> Self {
        let (domain, now): (TrustDomain, _) =
            ("gd.eport.example".parse().unwrap(), OffsetDateTime::now_utc());
        let root = Authority::create_root("gd", &domain, Validity::days(now, 20)).unwrap();
        let spec =
            IssuingSpec { region: region(), purpose: CaPurpose::Any, epoch: Epoch::INITIAL, loopback: true };
        let ca = root.create_issuing(spec, Validity::days(now, 10)).unwrap();
        let (node, names) = ("gz-a-1".parse().unwrap(), LeafNames::default());
        let days = Validity::days(now, 5);
        let issued = ca.issue_node(region(), node, &names, Key::Generate, Epoch::INITIAL, days).unwrap();
        let key = CommandKey::from_pem(issued.key_pem.as_ref().unwrap()).unwrap();
        let id = CALLER.strip_prefix("enterprise/").unwrap();
        let trader = ca.issue_enterprise(id, Key::Generate, Epoch::INITIAL, days).unwrap();
        let issuers = vec![der(root.certificate_pem()), der(ca.certificate_pem())];
        let now = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap() + 60_000;
        let mut world = Self {
            domain,
            issuers,
            node: (der(&issued.chain_pem), key),
            enterprise: (der(&trader.chain_pem), String::new()),
            now: Timestamp::from_millis(now),
        };
        world.enterprise.1 = world.signatory(&world.enterprise.0, world.now).unwrap().serial;
        world
    }

    fn signatory(&self, certificate: &[u8], at: Timestamp) -> Result<Signatory, String> {
        let issuers = self.issuers.iter().map(Vec::as_slice);
        signatory(certificate, issuers, &self.domain, at.as_millis()).map_err(|e| e.to_string())
    }

    /// The document's record and what follows it, and the signed head over the last but one.
    fn journal(&self, committed: bool) -> Vec<Record> {
        let mut journal: Vec<Record> = Vec::new();
        let start = RecordKind::EpochStart {
            primary: "gz-a-1".parse().unwrap(),
            previous: Epoch::NONE,
            move_id: MoveId::default(),
        };
        self.push(&mut journal, Draft::bare(start, self.now));
        self.push(&mut journal, self.document(committed));
        self.push(&mut journal, self.document(false));
        self.push(&mut journal, Draft::bare(RecordKind::Noop, self.now));
        let covers = journal[3].position();
        self.push(&mut journal, Draft::bare(self.head(covers), self.now));
        journal
    }

    fn push(&self, journal: &mut Vec<Record>, draft: Draft) {
        let before = journal.last().map_or(Position::ZERO, Record::position);
        let lineage = Lineage::from_bytes([7; 16]);
        journal.push(Record::seal(draft, lineage, region(), Epoch::INITIAL, &before, self.now));
    }

    fn document(&self, committed: bool) -> Draft {
        let (lodged, shown) = (Digest::of(LODGED.as_bytes()), Digest::of(SHOWN.as_bytes()));
        let version = commitment(&OPENING, &lodged, Some(&shown)).to_string();
        let read = ReadVersion { name: CONTENT_READ.to_owned(), version };
        let request = RequestRef {
            id: "91440100MA5ABCD19J|arrival_report|#00|1".to_owned(),
            caller: CALLER.to_owned(),
            body: Some(0),
            signature: None,
            accepted_at: self.now,
            replaces: None,
        };
        Draft {
            request: Some(request),
            reads: committed.then_some(read).into_iter().collect(),
            effects: vec![row(), Effect::Put { key: Bytes::from_static(b"n"), value: Bytes::new() }],
            bodies: vec![Bytes::from_static(b"an envelope")],
            ..Draft::bare(RecordKind::Entry, self.now)
        }
    }

    fn head(&self, covers: Position) -> RecordKind {
        let head = JournalHead {
            lineage: Lineage::from_bytes([7; 16]),
            region: region(),
            epoch: covers.epoch,
            index: covers.index.as_u64(),
            digest: covers.digest,
            at_ms: self.now.as_millis(),
        };
        let signature = self.node.1.sign(&head.bytes()).unwrap().into();
        RecordKind::SignedHead { covers, at: self.now, certificate: self.node.0.clone().into(), signature }
    }

    /// What an honest node gives.
    fn evidence(&self) -> Evidence {
        self.evidence_of(&self.journal(true), |_| {})
    }

    /// The same with a statement that was changed before it was attested.
    fn evidence_of(&self, journal: &[Record], change: impl FnOnce(&mut Statement)) -> Evidence {
        let Effect::Put { key, value } = row() else { unreachable!() };
        let mut statement = Statement {
            region: region(),
            doc_id: DOC.to_owned(),
            doc_version: 1,
            record: header_text(&journal[1].header),
            row: Row { key: hex::encode(key), value: hex::encode(value) },
            document: Content {
                lodged: Some(LODGED.to_owned()),
                shown: Some(SHOWN.to_owned()),
                opening: Some(hex::encode(OPENING)),
                erased: false,
            },
            through: journal[3].position(),
            end: End::SignedHead,
            head: Some(header_text(&journal[4].header)),
            certificates: vec![CertificateThen {
                serial: self.enterprise.1.clone(),
                certificate: hex::encode(&self.enterprise.0),
                state: "valid".to_owned(),
                revoked_at: None,
            }],
        };
        change(&mut statement);
        let chain = journal[2..4].iter().map(|r| header_text(&r.header)).collect();
        let attestation = self.attested(journal, &statement);
        Evidence::new(statement, attestation, chain)
    }

    fn attested(&self, journal: &[Record], statement: &Statement) -> Attestation {
        let bytes = to_attest(&journal[1].header, journal[1].digest, statement, self.now).bytes();
        let signature = hex::encode(self.node.1.sign(&bytes).unwrap());
        Attestation { at: self.now, certificate: hex::encode(&self.node.0), signature }
    }
}

impl Judge for World {
    fn node(&self, signed: &Signed<'_>) -> Result<String, String> {
        let who = self.signatory(signed.certificate, signed.at)?;
        if !matches!(who.subject, Subject::Node { .. }) {
            return Err("not a node".to_owned());
        }
        who.verify(signed.bytes, signed.signature).map_err(|e| e.to_string())?;
        Ok(who.subject.to_string())
    }

    fn holder(&self, certificate: &[u8], at: Timestamp) -> Result<Holder, String> {
        let who = self.signatory(certificate, at)?;
        Ok(Holder { subject: who.subject.to_string(), serial: who.serial })
    }
}

fn row() -> Effect {
    Effect::Put { key: Bytes::from(format!("d/{DOC}")), value: Bytes::from_static(b"a row") }
}

fn kinds(report: &Report) -> Vec<&str> {
    report.problems.iter().map(|p| p.kind.as_str()).collect()
}

#[test]
fn honest_evidence_proves_everything_that_a_record_can_say() {
    let w = World::new();
    let report = verify_bytes(&w.evidence().bytes(), &w);
    assert!(report.ok && report.end_proven, "{report:?}");
    let all = [
        Claim::Attestation,
        Claim::Record,
        Claim::Document,
        Claim::Chain,
        Claim::SignedHead,
        Claim::Certificate,
    ];
    assert_eq!(
        (report.proven.as_slice(), report.not_proven.as_slice()),
        (&all[..], &[Claim::DeclarantSignature][..])
    );
    assert_eq!((report.caller.as_deref(), report.links), (Some(CALLER), 2));
    assert!(report.signed.is_some_and(|s| s.covers.index.as_u64() == 4 && s.signed.by.ends_with("gz-a-1")));
}

#[test]
fn a_document_that_was_changed_is_found_also_when_a_node_seals_it() {
    let w = World::new();
    let journal = w.journal(true);
    let changes: [fn(&mut Content); 4] = [
        |c| c.lodged = Some(LODGED.replace("GZ-1", "GZ-2")),
        |c| c.shown = None,
        |c| c.opening = Some(hex::encode([6; 32])),
        |c| c.opening = None,
    ];
    for change in changes {
        let report = verify(&w.evidence_of(&journal, |s| change(&mut s.document)), &w);
        assert_eq!((kinds(&report), report.ok, report.end_proven), (vec!["document"], false, false));
    }
    let mut forged = w.evidence();
    forged.statement.document.lodged = Some(LODGED.replace("GZ-1", "GZ-2"));
    assert_eq!(kinds(&verify(&forged, &w)), ["attestation", "document"]);
}

#[test]
fn another_number_version_or_platform_is_found() {
    let w = World::new();
    let journal = w.journal(true);
    let changes: [fn(&mut Statement); 5] = [
        |s| s.doc_id = "E20180000000000002".to_owned(),
        |s| s.doc_version = 2,
        |s| s.region = "440300".parse().unwrap(),
        |s| s.row.value = hex::encode(b"another row"),
        |s| s.row.key = "zz".to_owned(),
    ];
    for change in changes {
        assert_eq!(kinds(&verify(&w.evidence_of(&journal, change), &w)), ["record"]);
    }
}

#[test]
fn a_header_that_was_changed_and_a_link_that_is_missing_are_found() {
    let w = World::new();
    let good = w.evidence();
    let text = good.chain[0].clone();
    for at in (0..text.len()).step_by(5) {
        let mut bad = good.clone();
        let digit = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
        bad.chain[0].replace_range(at..=at, digit);
        let report = verify(&bad, &w);
        assert!(!report.ok && !report.proven.contains(&Claim::SignedHead), "digit {at}: {report:?}");
    }
    for dropped in 0..2 {
        let mut bad = good.clone();
        bad.chain.remove(dropped);
        let report = verify(&bad, &w);
        assert_eq!((kinds(&report), report.end_proven), (vec!["missing"], false));
    }
    let mut bad = good.clone();
    bad.statement.record = header_text(&w.journal(true)[2].header);
    assert!(!verify(&bad, &w).ok);
    let mut long = good;
    long.chain = vec![String::new(); usize::try_from(LINKS_MAX).unwrap() + 1];
    assert_eq!(kinds(&verify(&long, &w)), ["chain"]);
}

#[test]
fn a_wrong_head_or_a_foreign_authority_is_found() {
    let (w, foreign) = (World::new(), World::new());
    let journal = w.journal(true);
    let mut other = journal.clone();
    other.truncate(4);
    w.push(&mut other, Draft::bare(w.head(journal[2].position()), w.now));
    assert_eq!(kinds(&verify(&w.evidence_of(&other, |_| {}), &w)), ["signature"], "it covers another record");
    other.truncate(4);
    w.push(&mut other, Draft::bare(foreign.head(journal[3].position()), w.now));
    assert_eq!(kinds(&verify(&w.evidence_of(&other, |_| {}), &w)), ["signature"], "a stranger signed it");
    let no_head = w.evidence_of(&journal, |s| s.head = None);
    assert_eq!(kinds(&verify(&no_head, &w)), ["signature"], "it says that there is one");
    let not_one = w.evidence_of(&journal, |s| s.head = Some(s.record.clone()));
    assert_eq!(kinds(&verify(&not_one, &w)), ["signature"]);
    let report = verify(&w.evidence(), &foreign);
    assert_eq!(kinds(&report), ["attestation", "signature"]);
    assert!(report.not_proven.contains(&Claim::Certificate) && !report.certificates[0].holds);
}

#[test]
fn evidence_without_a_signed_head_holds_by_its_seal_and_says_so() {
    let w = World::new();
    let journal = w.journal(true);
    let unsigned = w.evidence_of(&journal, |s| (s.end, s.head) = (End::Unsigned, None));
    let mut withheld = w.evidence_of(&journal, |s| {
        (s.end, s.head, s.through) = (End::Withheld, None, journal[1].position());
    });
    withheld.chain.clear();
    for evidence in [unsigned, withheld] {
        let report = verify(&evidence, &w);
        assert!(report.ok && !report.end_proven, "{report:?}");
        assert!(report.not_proven.contains(&Claim::SignedHead) && report.proven.contains(&Claim::Document));
    }
}

#[test]
fn a_record_without_a_commitment_and_an_erased_document_prove_no_content() {
    let w = World::new();
    let before = w.evidence_of(&w.journal(false), |s| s.document.opening = None);
    let nothing = Content { lodged: None, shown: None, opening: None, erased: true };
    let erased = w.evidence_of(&w.journal(true), |s| s.document = nothing.clone());
    for evidence in [before, erased] {
        let report = verify(&evidence, &w);
        assert!(report.ok && report.not_proven.contains(&Claim::Document), "{report:?}");
    }
    let missing =
        w.evidence_of(&w.journal(true), |s| s.document = Content { erased: false, ..nothing.clone() });
    assert_eq!(kinds(&verify(&missing, &w)), ["document"]);
}

#[test]
fn a_revoked_certificate_and_somebody_elses_prove_nothing_about_the_lodger() {
    let w = World::new();
    let journal = w.journal(true);
    let changes: [fn(&mut Statement); 3] = [
        |s| s.certificates[0].state = "revoked".to_owned(),
        |s| s.certificates[0].serial = "01".to_owned(),
        |s| s.certificates.clear(),
    ];
    for change in changes {
        let report = verify(&w.evidence_of(&journal, change), &w);
        assert!(report.ok && report.not_proven.contains(&Claim::Certificate), "{report:?}");
    }
    let altered = |s: &mut Statement| s.certificates[0].state = "revoked".to_owned();
    let mut bad = w.evidence();
    altered(&mut bad.statement);
    assert_eq!(kinds(&verify(&bad, &w)), ["attestation"], "the attestation stands for what the node states");
}

#[test]
fn no_cut_and_no_changed_byte_of_a_file_passes_and_nothing_panics() {
    let w = World::new();
    let good = w.evidence().bytes();
    for cut in (0..good.len()).step_by(7) {
        assert_eq!(kinds(&verify_bytes(&good[..cut], &w)), ["file"], "cut at {cut}");
    }
    for at in (0..good.len()).step_by(5) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(!verify_bytes(&bad, &w).ok, "byte {at} of {}", good.len());
    }
    for other in [&b""[..], b"[]", b"{}", b"null", &[0xff; 64]] {
        assert_eq!(kinds(&verify_bytes(other, &w)), ["file"]);
    }
}
