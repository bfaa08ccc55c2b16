//! Rules R1 to R9 of the security design, as far as TLS alone can show them. R2, R6 and the QUIC half of R8 are tested
//! in `transport`.

use crate::kit;

use eport_identity::{Digest, Epoch};
use eport_tls::{Error, Identity, Refused, Revocations, Serial, Tls, Usage};
use kit::{Federation, Rogue, expired, good_leaf, handshake, identity, now, region, uri};
use rcgen::{ExtendedKeyUsagePurpose as Eku, IsCa};
use rustls::HandshakeKind;
use rustls_pki_types::UnixTime;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const ALPN: &[&[u8]] = &[b"eport/1"];
const NAME: &str = "gz-a-2.gd.eport.example";

#[test]
fn r1_no_session_is_resumed_and_no_early_data_is_offered() {
    let f = Federation::new();
    let (a, b) = (f.node_tls("gz-a-1"), f.node_tls("gz-a-2"));
    let https = b.https_server().unwrap();
    let server = Arc::new(b.quic_server(ALPN).unwrap());
    for config in [&https, &server] {
        assert_eq!((config.send_tls13_tickets, config.max_early_data_size), (0, 0));
        assert!(!config.session_storage.can_cache() && !config.ticketer.enabled());
    }
    let client = Arc::new(a.quic_client(ALPN).unwrap());
    assert!(!client.enable_early_data && !a.https_client().unwrap().enable_early_data);
    for _ in 0..2 {
        let out = handshake(&client, &server, NAME);
        assert!(out.ok(), "{}", out.error());
        assert_eq!(out.client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(out.client.tls13_tickets_received(), 0);
    }
}

#[test]
fn r3_a_revocation_is_seen_by_configurations_made_before_it_in_both_directions() {
    let f = Federation::new();
    let (a, b) = (f.node_tls("gz-a-1"), f.node_tls("gz-a-2"));
    let (client, server) = (Arc::new(a.quic_client(ALPN).unwrap()), Arc::new(b.quic_server(ALPN).unwrap()));
    assert!(handshake(&client, &server, NAME).ok());
    b.revocations().add(a.me().serial);
    let out = handshake(&client, &server, NAME);
    assert!(!out.ok() && out.error().contains("Revoked"), "{}", out.error());
    b.revocations().replace([]);
    assert!(handshake(&client, &server, NAME).ok());
    a.revocations().add(b.me().serial);
    let out = handshake(&client, &server, NAME);
    assert!(!out.ok() && out.error().contains("Revoked"), "{}", out.error());
}

#[test]
fn r3_a_revoked_issuing_ca_takes_its_leaves_along() {
    let f = Federation::new();
    let (a, b) = (f.node_tls("gz-a-1"), f.node_tls("gz-a-2"));
    let ca: Serial = f.province.serial().parse().unwrap();
    b.revocations().add(ca.clone());
    assert_eq!(b.peer(&a.me().chain), Err(Refused::Revoked(ca)));
}

#[test]
fn r3_another_federation_is_refused_by_both_sides() {
    let (f, foreign) = (Federation::new(), Federation::new());
    let (ours, theirs) = (f.node_tls("gz-a-2"), foreign.node_tls("gz-a-2"));
    let out = handshake(
        &Arc::new(theirs.quic_client(ALPN).unwrap()),
        &Arc::new(ours.quic_server(ALPN).unwrap()),
        NAME,
    );
    assert!(!out.ok() && out.error().contains("UnknownIssuer"), "{}", out.error());
    assert_eq!(ours.peer(&theirs.me().chain), Err(Refused::UnknownIssuer));
    assert_eq!(theirs.peer(&ours.me().chain), Err(Refused::UnknownIssuer));
}

#[test]
fn r3_a_client_without_certificate_cannot_reach_the_quic_listener_but_reaches_https() {
    let f = Federation::new();
    let b = f.node_tls("gz-a-2");
    let mut roots = rustls::RootCertStore::empty();
    for der in pem_certificates(f.root.certificate_pem()) {
        roots.add(der).unwrap();
    }
    // Not our client: a stock one, as curl or a browser with our root would be.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut stranger = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    for name in ["localhost", "127.0.0.1", "::1", "gz-a-2.440000.gd.eport.example"] {
        let out = handshake(&Arc::new(stranger.clone()), &b.https_server().unwrap(), name);
        assert!(out.ok(), "{name}: {}", out.error());
        assert!(out.server.peer_certificates().is_none());
    }
    stranger.alpn_protocols = vec![b"eport/1".to_vec()];
    let out = handshake(&Arc::new(stranger), &Arc::new(b.quic_server(ALPN).unwrap()), "localhost");
    assert!(!out.ok() && out.error().contains("no certificates"), "{}", out.error());
}

#[test]
fn r3_https_takes_any_subject_and_refuses_a_presented_certificate_that_does_not_verify() {
    let f = Federation::new();
    let b = f.node_tls("gz-a-2");
    let life = eport_authority::Validity::days(now(), 30);
    let operator =
        f.city.issue_operator("admin", eport_authority::Key::Generate, Epoch::INITIAL, life).unwrap();
    let operator = f.tls(&operator);
    let client = Arc::new(operator.https_client().unwrap());
    let mut out = handshake(&client, &b.https_server().unwrap(), "127.0.0.1");
    assert!(out.ok(), "{}", out.error());
    assert_eq!(kit::talk(&mut out), "hello");
    let peer = b.peer(out.server.peer_certificates().unwrap()).unwrap();
    assert_eq!(peer.subject.to_string(), "operator/admin");
    // The same operator is no node: the QUIC listener refuses it.
    let quic = Arc::new(operator.quic_client(ALPN).unwrap());
    assert!(!handshake(&quic, &Arc::new(b.quic_server(ALPN).unwrap()), NAME).ok());
    b.revocations().add(operator.me().serial);
    let out = handshake(&client, &b.https_server().unwrap(), "127.0.0.1");
    assert!(!out.ok() && out.error().contains("Revoked"), "{}", out.error());
    let out = handshake(&client, &f.node_tls("x").https_server().unwrap(), "elsewhere.example");
    assert!(!out.ok(), "a server must carry the dialled name");
}

#[test]
fn r4_each_kind_of_rogue_certificate_is_refused_with_its_reason() {
    let rogue = Rogue::new();
    let judge = Tls::new(&rogue.sign(good_leaf()), rogue.bundle(), Revocations::default()).unwrap();
    let verdict = |id: &Identity| judge.peer(id.chain()).map(|p| p.subject.to_string());
    let broken = |f: &dyn Fn(&mut rcgen::CertificateParams)| {
        let mut params = good_leaf();
        f(&mut params);
        verdict(&rogue.sign(params))
    };
    assert_eq!(verdict(&rogue.sign(good_leaf())), Ok("platform/440300/node/sz-a-1".into()));
    let no_eku = broken(&|p| p.extended_key_usages.clear());
    assert_eq!(no_eku, Err(Refused::Usage("clients")));
    assert_eq!(broken(&|p| p.extended_key_usages = vec![Eku::ServerAuth]), Err(Refused::Usage("clients")));
    let is_name = |v: Result<String, Refused>| matches!(v, Err(Refused::Name(_)));
    assert!(is_name(broken(&|p| p.subject_alt_names.clear())));
    let other = uri("spiffe://gd.eport.example/operator/admin");
    assert!(is_name(broken(&|p| p.subject_alt_names.push(other.clone()))));
    let foreign = uri("spiffe://fj.eport.example/platform/440300/node/sz-a-1");
    assert!(is_name(broken(&|p| p.subject_alt_names = vec![foreign.clone()])));
    let unknown = uri("spiffe://gd.eport.example/admin");
    assert!(is_name(broken(&|p| p.subject_alt_names = vec![unknown.clone()])));
    let ca = broken(&|p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    assert!(matches!(ca, Err(Refused::Chain(_))), "{ca:?}");
    assert_eq!(broken(&|p| p.not_after = expired().not_after), Err(Refused::Expired));
    let early = broken(&|p| p.not_before = now() + time::Duration::days(1));
    assert_eq!(early, Err(Refused::NotYetValid));
    assert_eq!(verdict(&rogue.sign_by_root(good_leaf())), Err(Refused::NoIssuingCa));
    assert_eq!(judge.peer(&[]), Err(Refused::Missing));
    let long = vec![judge.me().chain[0].clone(); 5];
    assert_eq!(judge.peer(&long), Err(Refused::ChainTooLong(5)));
    assert!(matches!(judge.peer(&[b"noise".to_vec().into()]), Err(Refused::Chain(_))));
}

#[test]
fn r4_an_issuer_speaks_only_for_the_platforms_it_is_registered_for() {
    let f = Federation::new();
    let allow = |pairs: &[(&str, Digest)]| {
        let mut map = BTreeMap::<_, BTreeSet<Digest>>::new();
        for (code, spki) in pairs {
            map.entry(region(code)).or_default().insert(*spki);
        }
        f.bundle().with_issuers(map)
    };
    let (province, city) = (f.province.spki(), f.city.spki());
    let judge = f.node_tls("gz-a-1");
    judge.set_bundle(allow(&[("440000", province), ("440300", city), ("440500", province)])).unwrap();
    let subject = |issued: &eport_authority::Issued| {
        judge.peer(identity(issued).chain()).map(|p| p.subject.to_string())
    };
    assert!(subject(&f.node(&f.city, "440300", "sz-a-1")).is_ok());
    assert!(
        subject(&f.node(&f.province, "440500", "gz-a-3")).is_ok(),
        "a virtual city, served by the province's CA"
    );
    // The province's CA is not registered for Shenzhen, although its DNS scope would allow it.
    let wrong = subject(&f.node(&f.province, "440300", "sz-a-1"));
    assert_eq!(wrong, Err(Refused::Issuer("platform/440300/node/sz-a-1".into())));
    let nobody = subject(&f.node(&f.province, "440900", "mm-a-1"));
    assert_eq!(nobody, Err(Refused::Issuer("platform/440900/node/mm-a-1".into())));
    // A bundle that would shut ourselves out is refused and changes nothing.
    assert!(matches!(judge.set_bundle(allow(&[("440300", city)])), Err(Error::Own(Refused::Issuer(_)))));
    assert!(subject(&f.node(&f.province, "440500", "gz-a-3")).is_ok());
}

#[test]
fn r4_a_citys_ca_speaks_for_no_other_city_and_no_other_kind_of_subject() {
    let f = Federation::new();
    let life = eport_authority::Validity::days(now(), 30);
    let stray = f.city.issue_node(
        region("440100"),
        "gz-c-1".parse().unwrap(),
        &Default::default(),
        eport_authority::Key::Generate,
        Epoch::INITIAL,
        life,
    );
    assert!(stray.is_err(), "the authority itself refuses");
    // A CA in wrong hands signs what it likes; a leaf with a URI alone escapes every DNS constraint.
    for (scope, good) in [
        ("/platform/440300", true),
        ("/platform/440300/infra", true),
        ("/platform/440000/infra", true),
        ("/platform/440300/subject", false),
        ("/platform/440100", false),
        ("/platform/440100/infra", false),
        ("", false),
        ("/platform/440300/other", false),
    ] {
        let rogue = Rogue::with_scope(scope);
        let own = Rogue::new();
        let judge = Tls::new(&own.sign(good_leaf()), own.bundle(), Revocations::default()).unwrap();
        let bundle = format!("{}{}{}{}", own.root_pem, own.issuing_pem, rogue.root_pem, rogue.issuing_pem);
        judge
            .set_bundle(eport_tls::TrustBundle::from_pem(bundle.as_bytes(), kit::domain()).unwrap())
            .unwrap();
        let mut leaf = good_leaf();
        leaf.subject_alt_names = vec![uri("spiffe://gd.eport.example/platform/440300/node/sz-a-1")];
        let verdict = judge.peer(rogue.sign(leaf).chain()).map(|p| p.subject.to_string());
        match good {
            true => assert!(verdict.is_ok(), "{scope}: {verdict:?}"),
            false => assert!(matches!(verdict, Err(Refused::Issuer(_))), "{scope}: {verdict:?}"),
        }
    }
}

#[test]
fn r4_a_client_certificate_does_not_serve_and_another_node_is_not_the_dialled_one() {
    let f = Federation::new();
    let life = eport_authority::Validity::days(now(), 30);
    let operator =
        f.province.issue_operator("gz-a-2", eport_authority::Key::Generate, Epoch::INITIAL, life).unwrap();
    let judge = f.node_tls("gz-a-1");
    let chain = identity(&operator);
    assert_eq!(judge.peer_at(chain.chain(), Usage::Server, UnixTime::now()), Err(Refused::Usage("servers")));
    let client = Arc::new(judge.quic_client(ALPN).unwrap());
    let out = handshake(&client, &Arc::new(f.node_tls("gz-a-3").quic_server(ALPN).unwrap()), NAME);
    assert!(!out.ok() && out.error().contains("gz-a-3"), "{}", out.error());
}

#[test]
fn r5_the_verdict_is_repeated_after_the_handshake() {
    let f = Federation::new();
    let (a, b) = (f.node_tls("gz-a-1"), f.node_tls("gz-a-2"));
    let out =
        handshake(&Arc::new(a.quic_client(ALPN).unwrap()), &Arc::new(b.quic_server(ALPN).unwrap()), NAME);
    let chain = out.server.peer_certificates().unwrap();
    assert_eq!(b.peer(chain).unwrap().subject, a.me().subject);
    b.revocations().add(a.me().serial);
    assert_eq!(b.peer(chain), Err(Refused::Revoked(a.me().serial)));
    let later = UnixTime::since_unix_epoch(std::time::Duration::from_secs(a.me().not_after as u64 + 1));
    b.revocations().replace([]);
    assert_eq!(b.peer_at(chain, Usage::Client, later), Err(Refused::Expired));
}

#[test]
fn r7_a_renewed_certificate_is_used_at_once_and_a_bad_one_changes_nothing() {
    let f = Federation::new();
    let (a, b) = (f.node_tls("gz-a-1"), f.node_tls("gz-a-2"));
    let (client, server) = (Arc::new(a.quic_client(ALPN).unwrap()), Arc::new(b.quic_server(ALPN).unwrap()));
    let shown = || Serial::from_bytes(&parsed_serial(&handshake(&client, &server, NAME)));
    let renewed = f.node(&f.province, "440000", "gz-a-2");
    b.reload(&identity(&renewed)).unwrap();
    assert_eq!(shown().as_str(), renewed.serial);
    let (other, old) =
        (f.node(&f.province, "440000", "gz-a-2"), f.node_for(&f.province, "440000", "gz-a-2", expired()));
    let key = other.key_pem.as_ref().unwrap();
    let mismatched = Identity::from_pem(renewed.chain_pem.as_bytes(), key.as_bytes()).unwrap();
    assert!(matches!(b.reload(&mismatched), Err(Error::Config(_))));
    assert!(matches!(b.reload(&identity(&old)), Err(Error::Own(Refused::Expired))));
    let foreign = Federation::new();
    let stranger = foreign.node(&foreign.province, "440000", "gz-a-2");
    assert!(matches!(b.reload(&identity(&stranger)), Err(Error::Own(Refused::UnknownIssuer))));
    assert_eq!(shown().as_str(), renewed.serial, "the former certificate stays");
}

#[test]
fn r8_another_protocol_is_refused() {
    let f = Federation::new();
    let (a, b) = (f.node_tls("gz-a-1"), f.node_tls("gz-a-2"));
    let server = Arc::new(b.quic_server(ALPN).unwrap());
    let out = handshake(&Arc::new(a.quic_client(&[b"h3"]).unwrap()), &server, NAME);
    assert!(!out.ok() && out.error().contains("NoApplicationProtocol"), "{}", out.error());
    let out = handshake(&Arc::new(a.quic_client(ALPN).unwrap()), &server, NAME);
    assert_eq!(out.server.alpn_protocol(), Some(&b"eport/1"[..]));
}

#[test]
fn r9_tls_1_2_is_refused_and_1_3_is_what_runs() {
    let f = Federation::new();
    let (a, b) = (f.node_tls("gz-a-1"), f.node_tls("gz-a-2"));
    let server = Arc::new(b.quic_server(ALPN).unwrap());
    let out = handshake(&Arc::new(a.quic_client(ALPN).unwrap()), &server, NAME);
    assert_eq!(out.server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    for config in [server, b.https_server().unwrap()] {
        let error =
            kit::server_reads(&config, &tls12_client_hello()).expect("a TLS 1.2 hello must be refused");
        assert!(matches!(error, rustls::Error::PeerIncompatible(_)), "{error}");
    }
}

/// A ClientHello as a TLS 1.2 client sends it: no supported_versions, ECDHE suites, P-256.
fn tls12_client_hello() -> Vec<u8> {
    let extensions: Vec<u8> = [
        &[0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x17][..], // supported_groups: secp256r1
        &[0x00, 0x0b, 0x00, 0x02, 0x01, 0x00],                 // ec_point_formats: uncompressed
        &[0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x04, 0x03],     // signature_algorithms: ecdsa_secp256r1_sha256
    ]
    .concat();
    let mut body = vec![0x03, 0x03];
    body.extend([7u8; 32]);
    body.push(0);
    body.extend([0x00, 0x02, 0xc0, 0x2b]); // ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    body.extend([0x01, 0x00]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(&extensions);
    let mut handshake = vec![0x01, 0x00];
    handshake.extend((body.len() as u16).to_be_bytes());
    handshake.extend(&body);
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(&handshake);
    record
}

fn parsed_serial(out: &kit::Outcome) -> Vec<u8> {
    let leaf = &out.client.peer_certificates().unwrap()[0];
    x509_parser::parse_x509_certificate(leaf).unwrap().1.raw_serial().to_vec()
}

fn pem_certificates(pem: &str) -> Vec<rustls_pki_types::CertificateDer<'static>> {
    use rustls_pki_types::pem::PemObject;
    rustls_pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}
