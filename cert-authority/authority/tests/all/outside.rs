//! CAs outside the federation: what a verifier takes from them within their scope, and everything that it refuses.

use crate::kit;
use eport_authority::{Authority, KeyStore, SoftKey, certificate_of_pem};
use eport_identity::{Digest, Distrust, Lineage, OutsideScope};
use eport_signature::{Challenge, Refused as Unproven, outside_facts, outside_signatory, possession};
use eport_tls::{Identity, Offer, OutsideCa, Refused, Tls, unite};
use kit::{DOMAIN, Federation, domain, expired, now, region, uri};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Eku, IsCa, Issuer, KeyPair,
    KeyUsagePurpose as Usage,
};

/// A CA that has nothing to do with the federation.
struct Outsider {
    der: Vec<u8>,
    pem: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![Usage::KeyCertSign, Usage::CrlSign];
    (params.not_before, params.not_after) =
        (now() - time::Duration::days(1), now() + time::Duration::days(300));
    params
}

impl Outsider {
    fn new(name: &str) -> Self {
        Self::with(ca_params(name))
    }

    fn with(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let key_pem = key.serialize_pem();
        let certificate = params.self_signed(&key).unwrap();
        let (der, pem) = (certificate.der().to_vec(), certificate.pem());
        Self { der, pem, key_pem, issuer: Issuer::new(params, key) }
    }

    fn key(&self) -> Digest {
        outside_facts(&self.der).unwrap().key_id
    }

    fn registered(&self, subjects: &[&str]) -> OutsideCa {
        OutsideCa::new(&self.der, scope(subjects)).unwrap()
    }

    fn leaf(&self, subject: &str) -> Identity {
        self.sign(leaf(subject))
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }
}

fn scope(subjects: &[&str]) -> OutsideScope {
    OutsideScope::new(subjects.iter().map(|s| s.parse().unwrap()), [region("440300")]).unwrap()
}

fn leaf(subject: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "somebody");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![Usage::DigitalSignature];
    params.extended_key_usages = vec![Eku::ClientAuth];
    params.subject_alt_names = vec![uri(&format!("spiffe://{DOMAIN}/{subject}"))];
    (params.not_before, params.not_after) =
        (now() - time::Duration::hours(1), now() + time::Duration::days(30));
    params
}

/// A node that knows these outside CAs.
fn node(f: &Federation, outside: Vec<OutsideCa>) -> Tls {
    let tls = f.node_tls("gz-a-1");
    tls.set_bundle(f.bundle().with_outside(outside)).unwrap();
    tls
}

#[test]
fn an_outside_ca_speaks_for_its_scope_and_for_nothing_else() {
    let (f, agency) = (Federation::new(), Outsider::new("Customs CA"));
    let tls = node(&f, vec![agency.registered(&["agency/CUS", "enterprise/A"])]);
    for good in ["agency/CUS/gw/1", "agency/CUS/gw/2", "enterprise/A"] {
        let peer = tls.peer(agency.leaf(good).chain()).unwrap();
        assert_eq!((peer.subject.to_string(), peer.issuer), (good.to_owned(), agency.key()));
    }
    for bad in [
        "agency/MSA/gw/1",
        "enterprise/B",
        "operator/admin",
        "platform/440300/node/sz-a-1",
        "platform/440000/node/gz-a-2",
    ] {
        let refused = tls.peer(agency.leaf(bad).chain()).unwrap_err();
        assert!(matches!(refused, Refused::Issuer(_)), "{bad}: {refused}");
    }
    // Without the registration nobody speaks for anybody, and our own go on as before.
    let stranger = node(&f, vec![]).peer(agency.leaf("agency/CUS/gw/1").chain());
    assert_eq!(stranger, Err(Refused::UnknownIssuer));
    assert!(tls.peer(&f.node_tls("gz-a-2").me().chain).is_ok());
}

#[test]
fn what_an_outside_ca_signs_beside_plain_clients_is_refused() {
    let (f, agency) = (Federation::new(), Outsider::new("Customs CA"));
    let tls = node(&f, vec![agency.registered(&["agency/CUS"])]);
    let who = "agency/CUS/gw/1";
    let mut cases: Vec<(&str, Identity)> = Vec::new();
    let mut case = |what, change: fn(&mut CertificateParams)| {
        let mut params = leaf(who);
        change(&mut params);
        cases.push((what, agency.sign(params)));
    };
    case("a CA", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    case("no purpose", |p| p.extended_key_usages = vec![]);
    case("server alone", |p| p.extended_key_usages = vec![Eku::ServerAuth]);
    case("a key that signs nothing", |p| p.key_usages = vec![Usage::KeyAgreement]);
    case("ended", |p| (p.not_before, p.not_after) = (expired().not_before, expired().not_after));
    case("two names", |p| p.subject_alt_names.push(uri(&format!("spiffe://{DOMAIN}/agency/CUS/gw/2"))));
    case("another domain", |p| p.subject_alt_names = vec![uri("spiffe://fj.eport.example/agency/CUS/gw/1")]);
    // Somebody else's key under the same name.
    cases.push(("forged", Outsider::new("Customs CA").leaf(who)));
    // A CA below it that nobody registered.
    let below = KeyPair::generate().unwrap();
    let middle = ca_params("Customs port CA").signed_by(&below, &agency.issuer).unwrap();
    let (params, key) = (leaf(who), KeyPair::generate().unwrap());
    let under = Issuer::new(ca_params("Customs port CA"), below);
    let pem = format!("{}{}", params.signed_by(&key, &under).unwrap().pem(), middle.pem());
    cases.push(("below", Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap()));
    for (what, identity) in cases {
        assert!(tls.peer(identity.chain()).is_err(), "{what}");
    }
    assert!(tls.peer(agency.leaf(who).chain()).is_ok(), "and the plain one is taken");
    // Its own certificate has ended: webpki would not look at it.
    let mut old = ca_params("Old CA");
    (old.not_before, old.not_after) = (expired().not_before, expired().not_after);
    let old = Outsider::with(old);
    let tls = node(&f, vec![old.registered(&["agency/CUS"])]);
    assert_eq!(tls.peer(old.leaf(who).chain()), Err(Refused::Expired));
}

#[test]
fn an_outside_ca_with_the_name_of_one_of_ours_takes_nothing_from_it_and_gains_nothing() {
    let f = Federation::new();
    let ours = f.node_tls("gz-a-2");
    // Byte for byte the distinguished name of the province's CA.
    let mut params = ca_params("x");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, DOMAIN);
    params.distinguished_name.push(DnType::CommonName, "440000 issuing");
    let twin = Outsider::with(params);
    let tls = node(&f, vec![twin.registered(&["agency/CUS"])]);
    assert!(tls.peer(&ours.me().chain).is_ok());
    assert!(tls.peer(twin.leaf("agency/CUS/gw/1").chain()).is_ok(), "within its scope");
    assert!(tls.peer(twin.leaf("platform/440000/node/gz-a-2").chain()).is_err());
}

#[test]
fn as_a_server_nobody_from_outside_is_taken() {
    let (f, agency) = (Federation::new(), Outsider::new("Customs CA"));
    let tls = node(&f, vec![agency.registered(&["agency/CUS"])]);
    let mut both = leaf("agency/CUS/gw/1");
    both.extended_key_usages = vec![Eku::ClientAuth, Eku::ServerAuth];
    both.subject_alt_names.push(rcgen::SanType::DnsName("localhost".try_into().unwrap()));
    let chain = agency.sign(both).chain().to_vec();
    let der: Vec<Vec<u8>> = chain.iter().map(|c| c.to_vec()).collect();
    let at = now().unix_timestamp();
    let judged = |usage| eport_tls::examine(&tls.bundle(), &der, usage, at);
    assert!(judged(eport_tls::Usage::Client).is_ok());
    assert!(matches!(judged(eport_tls::Usage::Server), Err(Refused::Usage(_))));
}

#[test]
fn its_list_and_its_removal_take_the_trust_back_at_once() {
    let (f, agency) = (Federation::new(), Outsider::new("Customs CA"));
    let tls = node(&f, vec![agency.registered(&["agency/CUS"])]);
    let (one, two) = (agency.leaf("agency/CUS/gw/1"), agency.leaf("agency/CUS/gw/2"));
    let serial = tls.peer(one.chain()).unwrap().serial;
    tls.revocations().add_rule(Distrust::Listed { issuer: agency.key(), serial: serial.to_string() });
    assert_eq!(tls.peer(one.chain()), Err(Refused::Revoked(serial)));
    let peer = tls.peer(two.chain()).unwrap();
    assert!(peer.revoked(tls.revocations()).is_none());
    tls.revocations().add_rule(Distrust::Key(agency.key()));
    assert!(peer.revoked(tls.revocations()).is_some(), "what is connected already");
    assert!(matches!(tls.peer(two.chain()), Err(Refused::Revoked(_))));
}

#[test]
fn a_bundle_that_is_taken_in_from_a_stranger_keeps_the_outside_cas() {
    let (f, agency) = (Federation::new(), Outsider::new("Customs CA"));
    let known = f.bundle().with_outside(vec![agency.registered(&["agency/CUS"])]);
    let next =
        Authority::create_root("gd 2", &domain(), eport_authority::Validity::days(now(), 900)).unwrap();
    let crossed = next_signed_by(&f.root, &next);
    let offer = Offer { roots: vec![next.der().to_vec()], others: vec![crossed], ..Offer::default() };
    let united = unite(&known, &offer).unwrap().unwrap();
    let tls = f.node_tls("gz-a-1");
    tls.set_bundle(united).unwrap();
    assert!(tls.peer(agency.leaf("agency/CUS/gw/1").chain()).is_ok());
}

fn next_signed_by(root: &Authority, next: &Authority) -> Vec<u8> {
    certificate_of_pem(&root.cross(next.der(), now()).unwrap()).unwrap()
}

fn challenge(ca: &Outsider, subjects: &[&str]) -> Challenge {
    let (lineage, made_ms) = (Lineage::from_bytes([3; 16]), 1_700_000_000_000);
    Challenge { domain: domain(), lineage, key: ca.key(), scope: scope(subjects), made_ms, nonce: [9; 16] }
}

#[test]
fn only_the_holder_of_the_key_proves_it_and_only_for_this_text() {
    let (agency, other) = (Outsider::new("Customs CA"), Outsider::new("Customs CA"));
    let text = challenge(&agency, &["agency/CUS"]).text();
    let sign =
        |ca: &Outsider, text: &str| SoftKey::from_pem(&ca.key_pem).unwrap().sign(text.as_bytes()).unwrap();
    let proof = sign(&agency, &text);
    let (facts, read) = possession(&agency.der, &text, &proof).unwrap();
    assert_eq!((facts.name.as_str(), read.scope), ("Customs CA", scope(&["agency/CUS"])));
    assert_eq!(possession(&agency.der, &text, &sign(&other, &text)), Err(Unproven::Mismatch));
    let wider = challenge(&agency, &["agency/CUS", "enterprise/*"]).text();
    assert_eq!(possession(&agency.der, &wider, &proof), Err(Unproven::Mismatch), "another scope");
    let refused = possession(&other.der, &text, &sign(&other, &text)).unwrap_err();
    assert!(refused.to_string().contains("another key"), "{refused}");
    // Every other spelling, and every line that is missing, twice, or foreign.
    for bad in [
        text.replace("\nplatform", "\n platform"),
        text.replace('\n', "\r\n"),
        text.trim_end().to_owned(),
        text.replace("subject agency/CUS\n", ""),
        text.replace("subject agency/CUS", "subject operator/admin"),
        text.replace("subject agency/CUS", "subject agency/CUS\nsubject agency/CUS"),
        text.replace("platform 440300\n", ""),
        text.replace("made 17", "made 017"),
        format!("{text}else 1\n"),
        format!("x\n{text}"),
        "y".repeat(100_000),
    ] {
        assert!(possession(&agency.der, &bad, &sign(&agency, &bad)).is_err(), "{bad:.200}");
    }
    for cut in 0..proof.len() {
        assert!(possession(&agency.der, &text, &proof[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn what_is_no_ca_on_p256_or_claims_a_name_of_ours_is_not_registered() {
    let f = Federation::new();
    let plain = Outsider::new("Customs CA");
    assert!(outside_facts(&plain.der).is_ok());
    let with = |change: fn(&mut CertificateParams)| {
        let mut params = ca_params("Customs CA");
        change(&mut params);
        Outsider::with(params).der
    };
    let p384 = {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        ca_params("Customs CA").self_signed(&key).unwrap().der().to_vec()
    };
    for (what, der) in [
        ("a leaf", with(|p| p.is_ca = IsCa::ExplicitNoCa)),
        ("a CA that signs no certificates", with(|p| p.key_usages = vec![Usage::CrlSign])),
        ("a URI", with(|p| p.subject_alt_names = vec![uri("spiffe://gd.eport.example/platform/440300")])),
        ("P-384", p384),
        ("one of ours", f.city.der().to_vec()),
        ("noise", vec![0x30, 0x82, 1, 2, 3]),
    ] {
        assert!(outside_facts(&der).is_err(), "{what}");
    }
    assert!(plain.pem.starts_with("-----BEGIN"));
}

#[test]
fn for_the_ledger_a_certificate_counts_within_the_scope_alone() {
    let agency = Outsider::new("Customs CA");
    let (ms, domain) = (now().unix_timestamp() * 1_000, domain());
    let judge = |subject: &str, ca: &Outsider| {
        let der = agency.leaf(subject).chain()[0].to_vec();
        outside_signatory(&der, &ca.der, &scope(&["agency/CUS"]), &domain, ms)
    };
    let found = judge("agency/CUS/gw/1", &agency).unwrap();
    assert_eq!((found.subject.to_string(), found.issuer_key_id), ("agency/CUS/gw/1".into(), agency.key()));
    assert!(judge("agency/MSA/gw/1", &agency).is_err() && judge("operator/admin", &agency).is_err());
    assert!(judge("agency/CUS/gw/1", &Outsider::new("Customs CA")).is_err(), "another key");
}
