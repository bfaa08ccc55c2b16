//! A new root beside the old one: what the ceremony makes, who believes whom, and what a process shows while both are trusted.

use crate::kit;

use eport_authority::ceremony::{self, CeremonyConfig, Folder, OldRoot, Pieces, Share};
use eport_authority::{Authority, Key, LeafNames, Validity, certificate_of_pem, certificate_pem, facts_of};
use eport_identity::Epoch;
use eport_tls::{Error, Identity, Offer, Revocations, Tls, TrustBundle, adopt, unite};
use rustls_pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use time::OffsetDateTime;

const PAPER: &str = r#"
federation = "gd"
trust_domain = "gd.eport.example"
[shares]
threshold = 2
holders = ["an", "bo", "chen"]
"#;
const ISSUING: &str = r#"
[[issuing]]
region = "440000"
purpose = "infra"
[[issuing]]
region = "440000"
purpose = "subject"
"#;

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn paper(more: &str) -> CeremonyConfig {
    CeremonyConfig::parse(&format!("{PAPER}{more}")).unwrap()
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// A first root with two issuing CAs in `old`.
    fn founded() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let product = ceremony::begin(&paper(ISSUING), &Default::default(), now()).unwrap();
        Folder::at(place.path("old")).write(&product).unwrap();
        place
    }

    fn shares(&self, name: &str) -> Vec<Share> {
        let file = |holder: &str| self.path(name).join(format!("shares/{holder}.1.share"));
        ["an", "chen"]
            .iter()
            .map(|h| Share::parse(&std::fs::read_to_string(file(h)).unwrap()).unwrap())
            .collect()
    }

    /// The root in `from` gets a successor in `to`.
    fn rotate(&self, from: &str, to: &str) -> Pieces {
        let record = Folder::at(self.path(from)).record().unwrap();
        let old = OldRoot::Ceremony(Box::new(record), self.shares(from));
        let made = ceremony::rotate(old, &paper(""), now()).unwrap();
        Folder::at(self.path(to)).write(&made.new).unwrap();
        Folder::at(self.path(from)).write(&made.old.unwrap()).unwrap();
        Folder::at(self.path(to)).pieces().unwrap()
    }

    fn bundle(&self, name: &str) -> TrustBundle {
        TrustBundle::from_file(&self.path(name).join("bundle.pem"), kit::domain()).unwrap()
    }

    fn root(&self, name: &str) -> Vec<u8> {
        certificate_of_pem(&std::fs::read_to_string(self.path(name).join("root.crt")).unwrap()).unwrap()
    }

    fn issuing(&self, purpose: &str) -> Authority {
        Authority::load(&self.path("old/issuing"), &format!("440000-{purpose}")).unwrap()
    }

    /// A node's leaf under the first root, and its key.
    fn issued(&self) -> (String, String) {
        let (names, life) = (LeafNames::default(), Validity::days(now(), 30));
        let (platform, id) = ("440000".parse().unwrap(), "gz-a-1".parse().unwrap());
        let issued = self.issuing("infra");
        let issued =
            issued.issue_node(platform, id, &names, Key::Generate, Epoch::from_u64(1), life).unwrap();
        (issued.chain_pem, issued.key_pem.unwrap().to_string())
    }

    fn node(&self) -> Identity {
        let (chain, key) = self.issued();
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }
}

/// What the registry offers after `cross`: both roots, every issuing CA under both, what connects them.
fn offered(place: &Place, pieces: &Pieces) -> Offer {
    let old = place.bundle("old");
    let mut offer = Offer { roots: vec![place.root("old"), pieces.root.clone()], ..Offer::default() };
    offer.others = old.others().map(<[u8]>::to_vec).chain(pieces.issuing.clone()).collect();
    offer.others.extend([pieces.new_by_old.clone(), pieces.old_by_new.clone()]);
    offer
}

fn only(root: &[u8]) -> TrustBundle {
    TrustBundle::new(kit::domain(), &[CertificateDer::from(root)], Vec::new()).unwrap()
}

/// Whether whoever trusts this bundle takes this chain: a process's own must pass like a peer's.
fn takes(key: &str, bundle: TrustBundle, chain: &[Vec<u8>]) -> Result<(), Error> {
    let chain: String = chain.iter().map(|der| certificate_pem(der)).collect();
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    Tls::new(&identity, bundle, Revocations::default()).map(|_| ())
}

#[test]
fn both_roots_verify_the_same_leaves_and_each_leads_to_the_other() {
    let place = Place::founded();
    let pieces = place.rotate("old", "new");
    pieces.prove(&place.root("old")).unwrap();
    assert!(Folder::at(place.path("old")).verify(None).unwrap().problems.is_empty());
    assert_eq!(
        Folder::at(place.path("old")).verify(None).unwrap().ceremonies,
        2,
        "the old transcript tells of it"
    );
    assert_eq!(pieces.issuing.len(), 2);
    let infra = place.issuing("infra");
    let (chain, key) = place.issued();
    let leaf = certificate_of_pem(&chain).unwrap();
    let again = pieces.issuing.iter().find(|d| facts_of(d).unwrap().key == infra.spki()).unwrap().clone();
    let (old, new) = (place.root("old"), pieces.root.clone());
    let under_old = vec![leaf.clone(), infra.der().to_vec()];
    let under_new = vec![leaf.clone(), again.clone()];
    takes(&key, only(&old), &under_old).unwrap();
    takes(&key, only(&new), &under_new).unwrap();
    assert!(takes(&key, only(&new), &under_old).is_err() && takes(&key, only(&old), &under_new).is_err());
    // With the cross certificate above it, whoever knows one root alone understands the other's.
    takes(&key, only(&old), &[under_new, vec![pieces.new_by_old.clone()]].concat()).unwrap();
    takes(&key, only(&new), &[under_old, vec![pieces.old_by_new.clone()]].concat()).unwrap();
    // The bundle alone does it as well: a former chain under the new root only.
    let others = pieces.issuing.iter().cloned().map(CertificateDer::from).collect();
    let retired = TrustBundle::new(kit::domain(), &[CertificateDer::from(new.as_slice())], others).unwrap();
    takes(&key, retired, &[leaf.clone(), infra.der().to_vec()]).unwrap();
    openssl_agrees(&place, &leaf, infra.der(), &again, &pieces);
}

fn openssl_agrees(place: &Place, leaf: &[u8], issuing: &[u8], again: &[u8], pieces: &Pieces) {
    let write = |name: &str, ders: &[&[u8]]| {
        let text: String = ders.iter().map(|d| certificate_pem(d)).collect();
        std::fs::write(place.path(name), text).unwrap();
    };
    let old = place.root("old");
    write("leaf.pem", &[leaf]);
    write("old.pem", &[&old]);
    write("new.pem", &[&pieces.root]);
    write("under-old.pem", &[issuing]);
    write("under-new.pem", &[again]);
    write("over-cross.pem", &[again, &pieces.new_by_old]);
    write("back-cross.pem", &[issuing, &pieces.old_by_new]);
    std::fs::write(place.path("new.crl"), &pieces.list).unwrap();
    for (root, above) in [
        ("old.pem", "under-old.pem"),
        ("new.pem", "under-new.pem"),
        ("old.pem", "over-cross.pem"),
        ("new.pem", "back-cross.pem"),
    ] {
        openssl(
            place.dir.path(),
            &["verify", "-x509_strict", "-CAfile", root, "-untrusted", above, "leaf.pem"],
        );
    }
    openssl(place.dir.path(), &["crl", "-inform", "DER", "-in", "new.crl", "-CAfile", "new.pem", "-noout"]);
}

/// Runs openssl where there is one.
fn openssl(dir: &Path, args: &[&str]) {
    let Ok(out) = Command::new("openssl").args(args).current_dir(dir).output() else {
        eprintln!("skipped: openssl is not installed");
        return;
    };
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "openssl {args:?}: {text}");
}

#[test]
fn a_new_root_counts_only_when_a_known_one_has_signed_it() {
    let place = Place::founded();
    let pieces = place.rotate("old", "new");
    let known = place.bundle("old");
    let good = offered(&place, &pieces);
    assert_eq!(adopt(&known, &good).unwrap().roots().count(), 2);
    // Without its proof it does not, whoever offers it.
    let mut bare = good.clone();
    bare.others.retain(|d| *d != pieces.new_by_old);
    let new = facts_of(&pieces.root).unwrap().key;
    assert!(matches!(adopt(&known, &bare), Err(Error::Unproven(key)) if key == new));
    assert!(unite(&known, &bare).unwrap().is_none());
    // Nor a stranger's, with his own cross certificates, nor one that an issuing CA of ours vouches for.
    let stranger = Place::founded();
    let his = stranger.rotate("old", "new");
    let theirs = offered(&stranger, &his);
    assert!(matches!(adopt(&known, &theirs), Err(Error::Unproven(_))));
    assert!(unite(&known, &theirs).unwrap().is_none());
    let mut mixed = good.clone();
    mixed.roots.push(his.root.clone());
    mixed.others.extend(theirs.others.clone());
    assert!(adopt(&known, &mixed).is_err(), "one root that is not proven spoils all");
    let united = unite(&known, &mixed).unwrap().unwrap();
    assert_eq!(united.roots().count(), 2, "what anybody offers brings in what is proven, and nothing else");
    // Pieces of two ceremonies do not fit together, although their roots have one name.
    let other = place.rotate("old", "other");
    for change in [
        &(|p: &mut Pieces| p.issuing[0] = other.issuing[0].clone()) as &dyn Fn(&mut Pieces),
        &|p| p.new_by_old = other.new_by_old.clone(),
        &|p| p.old_by_new = other.old_by_new.clone(),
        &|p| p.list = other.list.clone(),
        &|p| p.root = other.root.clone(),
    ] {
        let mut mixed = pieces.clone();
        change(&mut mixed);
        assert!(mixed.prove(&place.root("old")).is_err());
    }
    // An offer without the old root takes it away only where the registry says so.
    let mut later = good.clone();
    later.roots.remove(0);
    assert_eq!(adopt(&known, &later).unwrap().roots().count(), 1);
    assert_eq!(unite(&known, &later).unwrap().unwrap().roots().count(), 2);
    assert!(adopt(&known, &Offer::default()).is_err(), "a bundle without a root");
    for damaged in [&b"-----BEGIN CERTIFICATE-----\nAAAA\n"[..], b"", b"\x00\xff"] {
        assert!(Offer::from_pem(damaged).map_or(true, |o| o == Offer::default()));
    }
}

#[test]
fn a_node_that_slept_through_two_rotations_proves_its_way() {
    let place = Place::founded();
    let known = place.bundle("old");
    let first = place.rotate("old", "new");
    let second = place.rotate("new", "newer");
    second.prove(&place.root("new")).unwrap();
    // Both former roots are retired; what connected them was kept.
    let offer = Offer {
        roots: vec![second.root.clone()],
        others: second
            .issuing
            .iter()
            .cloned()
            .chain([second.new_by_old.clone(), first.new_by_old.clone()])
            .collect(),
        paths: BTreeMap::new(),
    };
    assert_eq!(adopt(&known, &offer).unwrap().roots().next().unwrap(), second.root);
    let mut gap = offer.clone();
    gap.others.retain(|d| *d != first.new_by_old);
    assert!(matches!(adopt(&known, &gap), Err(Error::Unproven(_))), "the line is broken");
    let name = |der: &[u8]| common_name(der);
    assert_eq!(
        [name(&place.root("old")), name(&first.root), name(&second.root)],
        ["gd root", "gd root 2", "gd root 3"]
    );
}

fn common_name(der: &[u8]) -> String {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, cert) = X509Certificate::from_der(der).unwrap();
    cert.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned()
}

#[test]
fn the_bundle_is_swapped_while_running_and_the_own_chain_follows_it() {
    let place = Place::founded();
    let pieces = place.rotate("old", "new");
    let tls = Tls::new(&place.node(), place.bundle("old"), Revocations::default()).unwrap();
    assert_eq!(tls.me().chain.len(), 2);
    let infra = place.issuing("infra").spki();
    let again = pieces.issuing.iter().find(|d| facts_of(d).unwrap().key == infra).unwrap().clone();
    let mut offer = offered(&place, &pieces);
    offer.paths = BTreeMap::from([(infra, vec![again.clone(), pieces.new_by_old.clone()])]);
    tls.set_bundle(adopt(&tls.bundle(), &offer).unwrap()).unwrap();
    let shown: Vec<Vec<u8>> = tls.me().chain.iter().map(|d| d.to_vec()).collect();
    assert_eq!(shown[1..], [again.clone(), pieces.new_by_old.clone()]);
    // A renewal that brings the former chain is dressed the same way.
    tls.reload(&place.node()).unwrap();
    assert_eq!(tls.me().chain.len(), 3);
    // A path that would not pass is not shown.
    offer.paths = BTreeMap::from([(infra, vec![pieces.root.clone()])]);
    tls.set_bundle(adopt(&tls.bundle(), &offer).unwrap()).unwrap();
    tls.peer(&tls.me().chain).unwrap();
    // A bundle under which this process itself would be refused changes nothing.
    let stranger = Place::founded();
    let before = tls.bundle().roots().count();
    assert!(tls.set_bundle(stranger.bundle("old")).is_err());
    assert_eq!(tls.bundle().roots().count(), before);
}

#[test]
fn the_ceremony_refuses_what_would_break_later() {
    let place = Place::founded();
    let record = || Box::new(Folder::at(place.path("old")).record().unwrap());
    let one = place.shares("old")[..1].to_vec();
    assert!(
        ceremony::rotate(OldRoot::Ceremony(record(), one), &paper(""), now()).is_err(),
        "one share of two"
    );
    let with_cas = ceremony::rotate(OldRoot::Ceremony(record(), place.shares("old")), &paper(ISSUING), now());
    assert!(with_cas.is_err(), "new CAs come at an opening");
    // A CA that was revoked is not signed again.
    let serial = place.issuing("infra").serial().to_owned();
    let revoke = format!("[[revoke]]\nserial = \"{serial}\"\nreason = \"key-compromise\"\n");
    let old = OldRoot::Ceremony(record(), place.shares("old"));
    let made = ceremony::rotate(old, &paper(&revoke), now()).unwrap();
    let issuing: Vec<&str> =
        made.new.files.iter().map(|f| f.path.as_str()).filter(|p| p.starts_with("issuing/")).collect();
    assert!(issuing.len() == 1 && issuing[0].contains("subject"), "{issuing:?}");
    // An altered folder brings in nothing.
    Folder::at(place.path("new")).write(&made.new).unwrap();
    std::fs::write(place.path("new/cross/new-by-old.crt"), certificate_pem(&place.root("old"))).unwrap();
    assert!(Folder::at(place.path("new")).pieces().is_err());
}
