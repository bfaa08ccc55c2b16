//! What an authority makes, refuses to make, and keeps on disk.

use crate::kit;

use eport_authority::{
    Authority, CaPurpose, Error, IssuingSpec, Key, LeafNames, Validity, certificate_request,
};
use eport_identity::Epoch;
use kit::{Federation, identity, now, region};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn authorities_and_leaves_survive_the_disk_and_keys_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let f = Federation::new();
    f.root.save(dir.path(), "root").unwrap();
    f.city.save(&dir.path().join("ca"), "440300").unwrap();
    let root = Authority::load(dir.path(), "root").unwrap();
    let city = Authority::load(&dir.path().join("ca"), "440300").unwrap();
    assert_eq!((root.region(), city.region()), (None, Some(region("440300"))));
    assert_eq!(
        (city.spki(), city.serial(), city.domain()),
        (f.city.spki(), f.city.serial(), f.city.domain())
    );
    let leaf = f.node(&city, "440300", "sz-a-1");
    leaf.save(dir.path(), "sz-a-1").unwrap();
    for key in ["root.key", "ca/440300.key", "sz-a-1.key"] {
        assert_eq!(fs::metadata(dir.path().join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
    // A leaf of the reloaded CA still chains to the root that was never reloaded.
    assert!(f.node_tls("gz-a-1").peer(identity(&leaf).chain()).is_ok());
    let second = root
        .create_issuing(
            IssuingSpec {
                region: region("440100"),
                purpose: CaPurpose::Any,
                epoch: Epoch::INITIAL,
                loopback: true,
            },
            year(),
        )
        .unwrap();
    assert!(f.node_tls("gz-a-1").peer(identity(&f.node(&second, "440100", "gz-c-1")).chain()).is_ok());
}

#[test]
fn a_key_that_others_can_read_is_refused_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    Federation::new().root.save(dir.path(), "root").unwrap();
    let key = dir.path().join("root.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Authority::load(dir.path(), "root").unwrap_err();
    assert!(matches!(&error, Error::KeyExposed { path, mode: 0o640 } if *path == key), "{error}");
    assert_eq!(error.code(), 1204);
}

#[test]
fn damaged_or_swapped_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (Federation::new(), Federation::new());
    a.root.save(dir.path(), "a").unwrap();
    b.root.save(dir.path(), "b").unwrap();
    fs::copy(dir.path().join("b.crt"), dir.path().join("a.crt")).unwrap();
    let swapped = Authority::load(dir.path(), "a").unwrap_err();
    assert!(swapped.to_string().contains("does not belong"), "{swapped}");
    fs::write(dir.path().join("a.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    assert!(matches!(Authority::load(dir.path(), "a").unwrap_err(), Error::Unusable { .. }));
    assert!(matches!(Authority::load(dir.path(), "absent").unwrap_err(), Error::File { .. }));
    let leaf = b.node(&b.city, "440300", "sz-a-1");
    leaf.save(dir.path(), "leaf").unwrap();
    let not_ca = Authority::load(dir.path(), "leaf").unwrap_err();
    assert!(not_ca.to_string().contains("not a CA"), "{not_ca}");
}

#[test]
fn a_request_gives_its_public_key_and_nothing_else() {
    let f = Federation::new();
    let mut params = rcgen::CertificateParams::new(["evil.example".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let issued =
        f.city.issue_enterprise("91440300MA5ABCD19J", Key::Request(&csr), Epoch::INITIAL, year()).unwrap();
    assert!(issued.key_pem.is_none());
    let pem = x509_parser::pem::parse_x509_pem(issued.chain_pem.as_bytes()).unwrap().1;
    let cert = pem.parse_x509().unwrap();
    assert_eq!(cert.public_key().subject_public_key.data.as_ref(), rcgen::PublicKeyData::der_bytes(&key));
    assert!(!cert.is_ca() && cert.basic_constraints().unwrap().is_some(), "explicitly no CA");
    let names = &cert.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(names.len(), 1, "the URI and no name of the request");
    let (csr, _) = certificate_request().unwrap();
    assert!(f.city.issue_operator("li", Key::Request(&csr), Epoch::INITIAL, year()).is_ok());
}

#[test]
fn a_request_without_proof_or_with_another_curve_is_refused() {
    let f = Federation::new();
    let issue = |csr: &str| f.city.issue_operator("li", Key::Request(csr), Epoch::INITIAL, year());
    let refused = |csr: &str| matches!(issue(csr), Err(Error::Refused { .. }));
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&p384).unwrap();
    assert!(refused(&csr.pem().unwrap()));
    let good =
        rcgen::CertificateParams::default().serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let mut der = good.der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let forged = rcgen::CertificateSigningRequestParams::from_der(&der.into());
    assert!(forged.is_err(), "the helper below would not notice an unchanged signature");
    for noise in ["", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"] {
        assert!(refused(noise));
    }
    assert!(refused(f.city.certificate_pem()), "a certificate is no request");
}

#[test]
fn a_leaf_never_outlives_its_ca_and_an_empty_validity_is_refused() {
    let f = Federation::new();
    let long = f.node_for(&f.city, "440300", "sz-a-1", Validity::days(now(), 9999));
    assert_eq!(long.not_after, f.city.not_after());
    let names = LeafNames::default();
    let late =
        Validity { not_before: f.city.not_after(), not_after: f.city.not_after() + time::Duration::days(1) };
    let node = "sz-a-1".parse().unwrap();
    let error = f.city.issue_node(region("440300"), node, &names, Key::Generate, Epoch::INITIAL, late);
    assert!(matches!(error, Err(Error::Validity { .. })));
}

#[test]
fn only_issuing_cas_issue_leaves_and_only_roots_make_cas() {
    let f = Federation::new();
    let spec = IssuingSpec {
        region: region("440100"),
        purpose: CaPurpose::Any,
        epoch: Epoch::INITIAL,
        loopback: false,
    };
    assert!(matches!(f.city.create_issuing(spec, year()), Err(Error::Refused { .. })));
    let leaf = f.root.issue_operator("li", Key::Generate, Epoch::INITIAL, year());
    assert!(matches!(leaf, Err(Error::Refused { .. })));
    let odd = f.city.issue_operator("li/../admin", Key::Generate, Epoch::INITIAL, year());
    assert!(matches!(odd, Err(Error::Refused { .. })));
}

#[test]
fn production_issuing_cas_of_cities_cannot_certify_addresses_or_localhost() {
    let f = Federation::new();
    let spec = IssuingSpec {
        region: region("440100"),
        purpose: CaPurpose::Any,
        epoch: Epoch::INITIAL,
        loopback: false,
    };
    let ca = f.root.create_issuing(spec, year()).unwrap();
    let judge = f.node_tls("gz-a-1");
    assert!(judge.peer(identity(&f.node(&ca, "440100", "gz-c-1")).chain()).is_err());
    let node = "gz-c-1".parse().unwrap();
    let plain =
        ca.issue_node(region("440100"), node, &LeafNames::default(), Key::Generate, Epoch::INITIAL, year());
    assert!(judge.peer(identity(&plain.unwrap()).chain()).is_ok());
}

fn year() -> Validity {
    Validity::days(now(), 365)
}
