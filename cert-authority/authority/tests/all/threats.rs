//! Threats 3, 4 and 24 of docs/reference/threats.md: a city's CA in wrong hands, greedy requests, clocks that are off.

use crate::kit;

use eport_authority::{
    Authority, CaPurpose, IssuingSpec, KeyAlgorithm, KeyStore, LeafNames, LeafRequest, Profile, SoftKey,
    Validity, bundle_pem, facts_of, read_request,
};
use eport_identity::{Distrust, Epoch, Subject};
use eport_tls::{Refused, Revocations, Tls, TrustBundle, Usage};
use kit::{Federation, good_leaf, now, uri};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose as Eku, IsCa,
    Issuer, KeyPair, SanType,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration as StdDuration;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The city's CA in the hands of somebody who signs what he likes: the real certificate, constraints and key.
fn stolen(ca: &Authority) -> Issuer<'static, KeyPair> {
    let key = KeyPair::from_pem(&ca.key().export().unwrap()).unwrap();
    Issuer::from_ca_cert_der(&ca.der().to_vec().into(), key).unwrap()
}

fn chain(leaf: &[u8], above: &[&[u8]]) -> Vec<CertificateDer<'static>> {
    std::iter::once(leaf).chain(above.iter().copied()).map(|der| CertificateDer::from(der.to_vec())).collect()
}

#[test]
fn six_chains_that_a_stolen_city_ca_signs_are_refused_and_the_seventh_is_its_own() {
    let f = Federation::new();
    let (judge, thief) = (f.node_tls("gz-a-1"), stolen(&f.city));
    let key = KeyPair::generate().unwrap();
    let leaf = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = good_leaf();
        change(&mut params);
        params.signed_by(&key, &thief).unwrap().der().to_vec()
    };
    let verdict = |der: &[u8]| judge.peer(&chain(der, &[f.city.der()])).map(|p| p.subject.to_string());
    assert_eq!(verdict(&leaf(&|_| {})), Ok("platform/440300/node/sz-a-1".into()), "its own city");
    let other = "spiffe://gd.eport.example/platform/440100/node/gz-c-1";
    let foreign_dns = leaf(&|p| {
        p.subject_alt_names.push(SanType::DnsName("gz-c-1.440100.gd.eport.example".try_into().unwrap()));
    });
    assert!(matches!(verdict(&foreign_dns), Err(Refused::Chain(_))), "{:?}", verdict(&foreign_dns));
    // A URI alone escapes every constraint that path validation knows: our own check of the scope must see it.
    let foreign_uri = leaf(&|p| p.subject_alt_names = vec![uri(other)]);
    assert!(matches!(verdict(&foreign_uri), Err(Refused::Issuer(_))), "{:?}", verdict(&foreign_uri));
    let no_eku = leaf(&|p| p.extended_key_usages = vec![Eku::CodeSigning]);
    assert_eq!(verdict(&no_eku), Err(Refused::Usage("clients")));
    let expired = leaf(&|p| {
        p.not_before = now() - Duration::days(40);
        p.not_after = now() - Duration::days(10);
    });
    assert_eq!(verdict(&expired), Err(Refused::Expired));
    // A CA below the city's CA, whatever it calls itself.
    let below_key = KeyPair::generate().unwrap();
    for scope in ["/platform/440300", "/platform/440100", ""] {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "below");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        params.subject_alt_names = vec![uri(&format!("spiffe://gd.eport.example{scope}"))];
        let below = params.signed_by(&below_key, &thief).unwrap().der().to_vec();
        let issuer = Issuer::new(params, KeyPair::from_pem(&below_key.serialize_pem()).unwrap());
        let leaf = good_leaf().signed_by(&key, &issuer).unwrap().der().to_vec();
        let verdict = judge.peer(&chain(&leaf, &[&below, f.city.der()]));
        assert!(matches!(verdict, Err(Refused::Chain(_) | Refused::Issuer(_))), "{scope}: {verdict:?}");
    }
    // The city's name on another key.
    let impostor = {
        let own = KeyPair::generate().unwrap();
        let issuer = Issuer::from_ca_cert_der(&f.city.der().to_vec().into(), own).unwrap();
        good_leaf().signed_by(&key, &issuer).unwrap().der().to_vec()
    };
    assert_eq!(verdict(&impostor), Err(Refused::UnknownIssuer));
}

/// A small generator with a fixed stream.
struct Seeded(u64);

impl Seeded {
    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A request that asks for many things at once, each a hundred times.
fn greedy(r: &mut Seeded, key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    let yes = |r: &mut Seeded| r.draw().is_multiple_of(2);
    if yes(r) {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained((r.draw() % 4) as u8));
    }
    for name in ["evil.example", "localhost", "gz-c-1.440100.gd.eport.example"] {
        if yes(r) {
            params.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
        }
    }
    if yes(r) {
        params.subject_alt_names.push(uri("spiffe://gd.eport.example/operator/admin"));
        params.subject_alt_names.push(SanType::IpAddress("10.0.0.1".parse().unwrap()));
    }
    params.distinguished_name.push(DnType::CommonName, "admin");
    params.distinguished_name.push(DnType::OrganizationName, "another");
    if yes(r) {
        params.extended_key_usages = vec![Eku::ServerAuth, Eku::OcspSigning, Eku::Any, Eku::CodeSigning];
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    }
    for _ in 0..r.draw() % 6 {
        let oid = [2, 5, 29, r.draw() % 64];
        let bytes = (0..r.draw() % 24).map(|_| r.draw() as u8).collect();
        let mut extension = CustomExtension::from_oid_content(&oid, bytes);
        extension.set_criticality(yes(r));
        params.custom_extensions.push(extension);
    }
    params.serialize_request(key).unwrap().pem().unwrap()
}

#[test]
fn whatever_a_request_asks_for_the_certificate_is_the_profile_and_nothing_else() {
    let f = Federation::new();
    let (key, mut r, mut refused) = (KeyPair::generate().unwrap(), Seeded(0x5eed), 0);
    let subjects: Vec<Subject> =
        ["enterprise/91440300MA5ABCD19J", "operator/li", "agency/CUS/gw/1", "platform/440300/node/sz-a-1"]
            .map(|s| s.parse().unwrap())
            .into();
    for n in 0..300 {
        let (subject, names) = (&subjects[n % subjects.len()], LeafNames::default());
        let profile = Profile::usual(subject);
        // Extensions of a form that the reader of requests refuses end the request, never the CA.
        let Ok(request) = read_request(&greedy(&mut r, &key)) else {
            refused += 1;
            continue;
        };
        let asked = LeafRequest {
            profile,
            subject,
            names: &names,
            request: &request,
            epoch: Epoch::INITIAL,
            days: None,
            now: now(),
            random: [n as u8; 12],
        };
        let tbs = f.city.prepare(&asked).unwrap();
        let der = f.city.sign(&tbs).unwrap();
        let facts = facts_of(&der).unwrap();
        let (_, cert) = X509Certificate::from_der(&der).unwrap();
        assert!(!cert.is_ca() && facts.uri == subject.uri(f.city.domain()), "{n}");
        let own = usize::from(subject.node().is_some());
        assert!(facts.names.addresses.is_empty() && facts.names.dns.len() == own, "{n}: {:?}", facts.names);
        let found: Vec<String> = cert.extensions().iter().map(|e| e.oid.to_id_string()).collect();
        let known = ["2.5.29.35", "2.5.29.17", "2.5.29.15", "2.5.29.37", "2.5.29.14", "2.5.29.19"];
        assert_eq!(found, known, "{n}");
        let eku = cert.extended_key_usage().unwrap().unwrap().value;
        assert!(!eku.any && !eku.ocsp_signing && !eku.code_signing && eku.server_auth == (own == 1), "{n}");
        assert_eq!(
            facts.days(),
            Profile::named(profile).unwrap().days.min(365),
            "{n}: never longer than its CA"
        );
    }
    assert!(refused < 200, "{refused} of 300 requests were refused: the rest proves too little");
}

#[test]
fn ocsp_delegates_and_other_purposes_are_asked_for_in_vain() {
    let f = Federation::new();
    let key = SoftKey::generate(KeyAlgorithm::P256).unwrap();
    for profile in ["root", "issuing", "cross", "ocsp-delegate", "document-signing", ""] {
        let request = eport_authority::request_of_key(&key.export().unwrap()).unwrap();
        let request = read_request(&request).unwrap();
        let (subject, names): (Subject, _) = ("enterprise/a".parse().unwrap(), LeafNames::default());
        let asked = LeafRequest {
            profile,
            subject: &subject,
            names: &names,
            request: &request,
            epoch: Epoch::INITIAL,
            days: None,
            now: now(),
            random: [1; 12],
        };
        assert!(f.city.prepare(&asked).is_err(), "{profile}");
    }
}

#[test]
fn a_clock_that_is_off_by_minutes_is_forgiven_and_one_off_by_days_or_a_month_is_not() {
    let f = Federation::new();
    let judge = f.node_tls("gz-a-1");
    let issued = now();
    let leaf = f.node_for(&f.city, "440300", "sz-a-1", Validity::days(issued, 30));
    let identity = kit::identity(&leaf);
    let at = |off: Duration| {
        let at: OffsetDateTime = issued + off;
        let at = UnixTime::since_unix_epoch(StdDuration::from_secs(at.unix_timestamp() as u64));
        judge.peer_at(identity.chain(), Usage::Client, at).map(|_| ())
    };
    for minutes in [-9, -5, 0, 5, 60] {
        assert_eq!(at(Duration::minutes(minutes)), Ok(()), "{minutes} minutes");
    }
    // Ten minutes are the slack: a certificate begins so long before it is made.
    assert_eq!(at(Duration::minutes(-11)), Err(Refused::NotYetValid));
    for days in [-3, -30] {
        assert_eq!(at(Duration::days(days)), Err(Refused::NotYetValid), "{days} days");
    }
    assert_eq!(at(Duration::days(29)), Ok(()));
    for days in [31, 400] {
        assert_eq!(at(Duration::days(days)), Err(Refused::Expired), "{days} days");
    }
    // A clock put back to last month revives what has ended since; the floor of the node's clock is what stands against it.
    let began = issued - Duration::days(60);
    let long = Validity { not_before: began, not_after: issued + Duration::days(300) };
    let root = Authority::create_root("gd", &kit::domain(), long).unwrap();
    let spec = IssuingSpec {
        region: kit::region("440300"),
        purpose: CaPurpose::Any,
        epoch: Epoch::INITIAL,
        loopback: true,
    };
    let city = root.create_issuing(spec, long).unwrap();
    let month = Validity { not_before: began, not_after: issued - Duration::days(10) };
    let (fresh, old) =
        (f.node_for(&city, "440300", "sz-a-1", long), f.node_for(&city, "440300", "sz-a-2", month));
    let bundle = TrustBundle::from_pem(bundle_pem([&root, &city]).as_bytes(), kit::domain()).unwrap();
    let judge = Tls::new(&kit::identity(&fresh), bundle, Revocations::default()).unwrap();
    let last_month = (issued - Duration::days(30)).unix_timestamp() as u64;
    let last_month = UnixTime::since_unix_epoch(StdDuration::from_secs(last_month));
    let revived = judge.peer_at(kit::identity(&old).chain(), Usage::Client, last_month);
    assert!(revived.is_ok(), "by the clock alone it would hold: {revived:?}");
    assert_eq!(judge.peer(kit::identity(&old).chain()).map(|_| ()), Err(Refused::Expired));
}

/// The key of a CA lies on two sides of a cut: the primary that was fenced goes on, the other took over in the next epoch. Each
/// issues on two threads at once. No serial comes twice, and the rule of the fenced epoch names its side and nobody else's.
#[test]
fn two_sides_of_a_split_issue_ten_thousand_each_and_no_serial_comes_twice() {
    const EACH: usize = 10_000;
    let f = Federation::new();
    let dir = tempfile::tempdir().unwrap();
    f.city.save(dir.path(), "440300").unwrap();
    let fenced = Epoch::INITIAL;
    let after = Epoch::from_u64(fenced.as_u64() + 1);
    let side = |epoch: Epoch| {
        let ca = Authority::load(dir.path(), "440300").unwrap();
        let request = eport_authority::certificate_request().unwrap().0;
        move || -> Vec<String> {
            let proven = read_request(&request).unwrap();
            let subject: Subject = "enterprise/91440300MA5ABCD19J".parse().unwrap();
            let (names, life) = (LeafNames::default(), Validity::days(now(), 30));
            let key = || eport_authority::Key::Proven(&proven);
            let issue = |_| ca.issue(&subject, &names, key(), epoch, life).unwrap().serial;
            (0..EACH / 2).map(issue).collect()
        }
    };
    let threads = [fenced, after, fenced, after].map(|epoch| (epoch, std::thread::spawn(side(epoch))));
    let rule = Distrust::Epoch { issuer: f.city.spki(), epoch: fenced, begins: Distrust::WHOLE };
    let mut seen = std::collections::BTreeSet::new();
    for (epoch, thread) in threads {
        for serial in thread.join().unwrap() {
            assert_eq!(rule.covers_unknown(&f.city.spki(), &serial), epoch == fenced, "{serial}");
            assert!(seen.insert(serial.clone()), "{serial} was given twice");
        }
    }
    assert_eq!(seen.len(), 2 * EACH);
}
