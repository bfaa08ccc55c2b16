//! Good inputs, made by the code that writes them: what a corpus begins with. Keys differ at every call; the committed corpora are the
//! ones that count.

use crate::der::{self, Body, Node};
use crate::world::{NOW, WORLD, now};
use bytes::Bytes;
use eport_access::{Claims, Event, Head, Line, Log};
use eport_authority::{
    CrlContent, CrlEntry, CrlNumber, Key, LeafNames, Reason, Validity, WrappedKey, base64_lines,
    certificate_of_pem, certificate_request, read_request,
};
use eport_enrolment::Token;
use eport_identity::{Digest, Distrust, Epoch, Lineage, OutsideScope, Subject};
use eport_journal::Message;
use eport_model::{
    Draft, Effect, EpochHistory, JournalIndex, Position, Record, RecordKind, RequestRef, Timestamp, codec,
};
use eport_signature::{Challenge, Header, Release};
use eport_wire::{Envelope, Hello, Purpose, header};
use std::collections::BTreeMap;
use std::sync::Arc;
use time::Duration;

type Seeds = Vec<(String, Vec<u8>)>;

fn named<const N: usize>(seeds: [(&str, Vec<u8>); N]) -> Seeds {
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// Object identifiers of extensions that a request may ask for: names, CA, usages, constraints, policies, one that nobody knows.
const EXTENSIONS: [(&[u8], &[u8]); 8] = [
    (&[0x55, 0x1d, 0x13], &[0x30, 0x03, 0x01, 0x01, 0xff]),
    (
        &[0x55, 0x1d, 0x11],
        &[0x30, 0x0e, 0x82, 0x0c, b'e', b'v', b'i', b'l', b'.', b'e', b'x', b'a', b'm', b'p', b'l', b'e'],
    ),
    (&[0x55, 0x1d, 0x0f], &[0x03, 0x02, 0x01, 0x06]),
    (&[0x55, 0x1d, 0x25], &[0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x25, 0x00]),
    (&[0x55, 0x1d, 0x1e], &[0x30, 0x00]),
    (&[0x55, 0x1d, 0x20], &[0x30, 0x08, 0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x20, 0x00]),
    (&[0x55, 0x1d, 0x0e], &[0x04, 0x02, 0x01, 0x02]),
    (&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0x27], &[0x05, 0x00]),
];

fn node(tag: u8, nodes: Vec<Node>) -> Node {
    Node { tag, body: Body::Nodes(Vec::new(), nodes) }
}

fn leaf(tag: u8, bytes: &[u8]) -> Node {
    Node { tag, body: Body::Bytes(bytes.to_vec()) }
}

/// A request that asks for every extension, with its proof.
fn greedy_request() -> Option<Vec<u8>> {
    let (pem, _) = certificate_request().ok()?;
    let der = read_request(&pem).ok()?.der;
    let mut info = der::read(der::signed_part(&der)?)?;
    let Body::Nodes(_, parts) = &mut info.first_mut()?.body else { return None };
    let extension = |(oid, value): &(&[u8], &[u8])| {
        node(0x30, vec![leaf(0x06, oid), leaf(0x01, &[0xff]), leaf(0x04, value)])
    };
    let wanted = node(0x30, EXTENSIONS.iter().map(extension).collect());
    let oid = leaf(0x06, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e]);
    parts.truncate(3);
    parts.push(node(0xa0, vec![node(0x30, vec![oid, node(0x31, vec![wanted])])]));
    WORLD.proven_request(&der::signed(&der::write(&info), &[]))
}

pub(crate) fn csr() -> Seeds {
    let plain = certificate_request().ok().map(|(pem, _)| pem).unwrap_or_default();
    let der = read_request(&plain).map(|r| r.der).unwrap_or_default();
    let greedy = greedy_request().unwrap_or_default();
    named([
        ("base64", base64_lines(&der).into_bytes()),
        ("der", der),
        ("greedy", greedy),
        ("pem", plain.into_bytes()),
    ])
}

pub(crate) fn certificate() -> Seeds {
    let (w, life) = (&*WORLD, Validity::days(now(), 30));
    let names = LeafNames { dns: vec!["a.440300.gd.eport.example".into()], ..LeafNames::default() };
    let issue = |subject: &str, names: &LeafNames| {
        let subject: Subject = subject.parse().expect("a subject");
        let issued = w.city.issue(&subject, names, Key::Generate, Epoch::INITIAL, life).expect("a leaf");
        certificate_of_pem(&issued.chain_pem).expect("a certificate")
    };
    let none = LeafNames::default();
    named([
        ("agency", issue("agency/CUS/gw/1", &none)),
        ("ca", w.city.der().to_vec()),
        ("enterprise", issue("enterprise/91440300MA5ABCD19J", &none)),
        ("node", issue("platform/440300/node/sz-a-1", &names)),
        ("operator", issue("operator/li", &none)),
        ("root", w.root.der().to_vec()),
    ])
}

pub(crate) fn crl() -> Seeds {
    let list = |serials: usize, shard: Option<&str>| {
        let entry = |n: usize| {
            let reason = Reason::ALL[n % Reason::ALL.len()];
            (format!("0100000001{n:024x}"), CrlEntry { at: now(), reason })
        };
        let entries: BTreeMap<String, CrlEntry> = (0..serials).map(entry).collect();
        let content = CrlContent {
            number: CrlNumber::first_of(Epoch::INITIAL).next(Epoch::INITIAL),
            this_update: now(),
            next_update: now() + Duration::days(7),
            entries,
            shard: shard.map(str::to_owned),
        };
        WORLD.city.sign_crl(&content).expect("a list")
    };
    named([
        ("empty", list(0, None)),
        ("seven", list(7, None)),
        ("shard", list(2, Some("https://x/v1/crl/a-0of4.crl"))),
    ])
}

pub(crate) fn ocsp() -> Seeds {
    let one = include_bytes!("../../../cert-authority/authority/benches/ocsp-request.der").to_vec();
    let sha256 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    let single = |serial: &[u8]| {
        let hash = node(0x30, vec![leaf(0x06, &sha256), leaf(0x05, &[])]);
        node(
            0x30,
            vec![node(0x30, vec![hash, leaf(0x04, &[7; 32]), leaf(0x04, &[8; 32]), leaf(0x02, serial)])],
        )
    };
    let asked = node(0x30, vec![single(&[1]), single(&[0, 0xff]), single(&[1; 17])]);
    let nonce = node(0x30, vec![leaf(0x06, &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2]), leaf(0x04, &[4, 2, 1, 2])]);
    let extensions = node(0xa2, vec![node(0x30, vec![nonce])]);
    let three = node(0x30, vec![node(0x30, vec![node(0xa0, vec![leaf(0x02, &[0])]), asked, extensions])]);
    named([("one", one), ("three", der::write(&[three]))])
}

fn lineage() -> Lineage {
    Lineage::from_bytes([7; 16])
}

fn session() -> String {
    let claims = Claims {
        lineage: lineage(),
        subject: "operator/li".parse().expect("a subject"),
        serial: "0100000001aabb".into(),
        issuers: vec!["01".into(), "02".into()],
        key: Digest::of(b"key"),
        issuer: Digest::of(b"issuer"),
        not_before: NOW,
        begun: NOW * 1_000,
        idle_until: NOW * 1_000 + 60_000,
        ends: NOW * 1_000 + 600_000,
        nonce: [9; 16],
    };
    eport_access::Token { claims, certificate: WORLD.city.der().to_vec(), signature: vec![0x30, 0] }.text()
}

pub(crate) fn token() -> Seeds {
    let region = "440300".parse().expect("a region");
    let hosts = vec!["sz-a-1.gd.eport.example:7443".into(), "[::1]:7443".into()];
    let enrolment = Token { region, secret: [5; 32], root: Digest::of(b"root"), hosts };
    let rule = Distrust::Epoch { issuer: Digest::of(b"ca"), epoch: Epoch::from_u64(7), begins: 1_000 };
    let header = Header { id: [3; 16], at_ms: NOW * 1_000, signature: vec![0x30, 6, 2, 1, 1, 2, 1, 1] };
    let subjects = ["agency/CUS", "enterprise/91440300MA5ABCD19J"].map(|s| s.parse().expect("a subject"));
    let challenge = Challenge {
        domain: WORLD.domain.clone(),
        lineage: Lineage::from_bytes([7; 16]),
        key: Digest::of(b"their ca"),
        scope: OutsideScope::new(subjects, [region]).expect("a scope"),
        made_ms: NOW * 1_000,
        nonce: [3; 16],
    };
    let files = [("eportd".to_owned(), Digest::of(b"eportd"))].into();
    let release = Release { version: "0.1.0".into(), key: vec![4; 65], files };
    let holders = ["an", "bo", "chen"].map(str::to_owned);
    let (wrapped, shares) =
        WrappedKey::wrap(&WORLD.key, Digest::of(b"ca"), 2, &holders).expect("a wrapped key");
    let share = shares.first().map(|s| s.text().as_bytes().to_vec()).unwrap_or_default();
    let uri = |path: &str| format!("spiffe://{}/{path}", WORLD.domain).into_bytes();
    named([
        ("ca-name", uri("platform/440300/subject")),
        ("challenge", challenge.text().into_bytes()),
        ("enrolment", enrolment.to_string().into_bytes()),
        ("header", header.to_string().into_bytes()),
        (
            "list",
            Distrust::Listed { issuer: Digest::of(b"ca"), serial: "01ab".into() }.to_string().into_bytes(),
        ),
        ("release", release.text(&[0x30, 6, 2, 1, 1, 2, 1, 1]).into_bytes()),
        ("rule", rule.to_string().into_bytes()),
        ("session", session().into_bytes()),
        ("share", share),
        ("subject", uri("agency/CUS/gw/1")),
        ("wrapped", wrapped.text().unwrap_or_default().into_bytes()),
    ])
}

pub(crate) fn access_log() -> Seeds {
    let mut log = Log::new("gz-a-1", Head::default());
    let mut text = log.header();
    for event in [Event::Started, Event::LoggedIn, Event::Denied] {
        let line = Line { subject: "operator/li".into(), code: "EP1214".into(), times: 2, ..Line::of(event) };
        text.push_str(&log.append(line));
    }
    named([("three", text.clone().into_bytes()), ("torn", text.as_bytes()[..text.len() - 9].to_vec())])
}

fn records() -> Vec<Record> {
    let request = RequestRef {
        id: "certificate/01/cert_intent".into(),
        caller: "operator/li".into(),
        body: None,
        signature: Some(vec![1, 2, 3].into()),
        accepted_at: Timestamp::from_millis(5),
        replaces: None,
    };
    let mut last = Position::ZERO;
    let drafts = [
        Draft::bare(RecordKind::CertIntent, Timestamp::from_millis(1)),
        Draft {
            request: Some(request),
            bodies: vec![Bytes::from_static(b"body")],
            ..Draft::bare(RecordKind::Entry, Timestamp::from_millis(2))
        },
        Draft {
            effects: vec![
                Effect::Put { key: Bytes::from_static(b"c/01"), value: Bytes::from_static(b"row") },
                Effect::Delete { key: Bytes::from_static(b"i/01") },
            ],
            ..Draft::bare(RecordKind::CertIssued, Timestamp::from_millis(3))
        },
        Draft::erase(
            (JournalIndex::from_u64(2), 0),
            Digest::of(b"body"),
            "asked".into(),
            "court".into(),
            Timestamp::from_millis(4),
        ),
        Draft::state_told(JournalIndex::from_u64(3), Digest::of(b"rows"), Timestamp::from_millis(5)),
    ];
    let platform = "440300".parse().expect("a region");
    drafts
        .into_iter()
        .map(|draft| {
            let record =
                Record::seal(draft, lineage(), platform, Epoch::INITIAL, &last, Timestamp::from_millis(0));
            last = record.position();
            record
        })
        .collect()
}

pub(crate) fn record() -> Seeds {
    records()
        .iter()
        .map(|r| (format!("{}-{}", r.header.kind.name(), r.index().as_u64()), codec::encode(r)))
        .collect()
}

pub(crate) fn message() -> Seeds {
    let (epoch, last) = (Epoch::INITIAL, records().last().map(Record::position).unwrap_or(Position::ZERO));
    let hello = eport_journal::Hello { epoch, history: EpochHistory::default(), last, applied: last.index };
    let records = records().into_iter().map(Arc::new).collect();
    let messages = [
        ("hello", Message::Hello(hello)),
        ("batch", Message::Batch { epoch, records, committed: last.index }),
        ("beat", Message::Beat { epoch, committed: last.index, last: last.index, heard: 1, keep: 2 }),
        ("step-down", Message::StepDown { epoch }),
    ];
    messages
        .into_iter()
        .map(|(name, message)| {
            let platform = "440300".parse().expect("a region");
            let body = codec::encode(&message).into();
            let envelope = Envelope { lineage: lineage(), platform, placement_version: 3, body };
            (name.to_owned(), envelope.encode().to_vec())
        })
        .collect()
}

pub(crate) fn frame() -> Seeds {
    let wire = |purpose: Purpose, payloads: &[&[u8]]| {
        let mut out = vec![16];
        for (n, payload) in payloads.iter().enumerate() {
            out.extend(header(purpose, n as u64, payload).expect("a short payload"));
            out.extend_from_slice(payload);
        }
        out
    };
    let mut seeds: Seeds =
        Purpose::ALL.iter().map(|p| (format!("one-{}", p.tag()), wire(*p, &[b"payload"]))).collect();
    seeds.push(("three".into(), wire(Purpose::Control, &[b"", b"a", &[7; 300]])));
    seeds
}

pub(crate) fn hello() -> Seeds {
    let hello = |lineage| Hello::new(lineage, "sz-a-1".parse().expect("a name"), 7, "eport 0.1.0");
    named([
        ("kin", hello(lineage()).encode()),
        ("stranger", hello(Lineage::from_bytes([1; 16])).descending(&[lineage()]).encode()),
    ])
}

pub(crate) fn csv() -> Seeds {
    named([
        ("bom", "\u{feff}code,name\r\nCNCAN,广州\r\nCNSZX,\"深圳, 蛇口\"\r\n".as_bytes().to_vec()),
        ("gb18030", b"code,name\nCNCAN,\xb9\xe3\xd6\xdd\n".to_vec()),
        ("plain", b"code,name,from\nA,x,2020-01-01\nB,y,\nC,\"a \"\"b\"\"\nc\",1\n".to_vec()),
        ("faults", "code,name\n1.01E+05,x\nＡ１,y\nA\nA,1,2,3\n".as_bytes().to_vec()),
    ])
}

pub(crate) fn document() -> Seeds {
    let contract = include_bytes!("../../../node/packs/arrival_report/examples/valid/contract.json").to_vec();
    named([
        ("contract", contract),
        (
            "odd",
            r#"{"doc_type":"arrival_report","body":{"a":[1,-0,1e3,"\u00e9\ud83d\ude00"],"b":null,"":{}}}"#
                .into(),
        ),
    ])
}

pub(crate) fn pack() -> Seeds {
    named([(
        "arrival-report",
        eport_documents::BUILTIN.first().map(|(_, t)| t.as_bytes().to_vec()).unwrap_or_default(),
    )])
}

#[cfg(feature = "files")]
fn export() -> eport_store::ExportManifest {
    let last = records().last().map(Record::position).unwrap_or(Position::ZERO);
    let file = "segment-00000000000000000001.eps".to_owned();
    let first = JournalIndex::from_u64(1);
    let entry = eport_store::SegmentEntry {
        file,
        first,
        last: last.index,
        records: 5,
        bytes: 100,
        sha256: Digest::of(b"x"),
    };
    let region = "440300".parse().expect("a region");
    eport_store::ExportManifest {
        format: 1,
        lineage: lineage(),
        region,
        before: Position::ZERO,
        last,
        records: 5,
        segments: vec![entry],
    }
}

#[cfg(feature = "files")]
pub(crate) fn manifest() -> Seeds {
    use eport_store::{Checkpoint, CheckpointFile, Part};
    let last = export().last;
    let file = |part| CheckpointFile { part, bytes: 1 << 20, pieces: vec![7] };
    let checkpoint = Checkpoint {
        format: 1,
        layout: 1,
        lineage: lineage(),
        region: export().region,
        history: EpochHistory::default(),
        from: JournalIndex::ZERO,
        applied: last,
        last,
        rows: 3,
        rows_digest: Digest::of(b"rows"),
        files: vec![file(Part::Journal { first: JournalIndex::from_u64(1) }), file(Part::Rows { n: 0 })],
    };
    named([
        ("checkpoint", codec::encode(&checkpoint)),
        ("export", serde_json::to_vec(&export()).unwrap_or_default()),
    ])
}

#[cfg(feature = "files")]
pub(crate) fn bundle() -> Seeds {
    let manifest = serde_json::to_vec(&export()).unwrap_or_default();
    let len = u16::try_from(manifest.len()).unwrap_or(0).to_le_bytes();
    named([("noise", [&len[..], &manifest, b"no segment"].concat())])
}
