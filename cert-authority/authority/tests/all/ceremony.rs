//! Ceremonies: what they make, what they refuse, and what their folder proves.

use crate::kit;

use eport_authority::ceremony::{self, CeremonyConfig, Folder, Product, Requests, Severity, Share};
use eport_authority::{
    Authority, CommandKey, KeyAlgorithm, KeyStore, SoftKey, Validity, certificate_request,
};
use eport_identity::Digest;
use std::path::Path;
use std::process::Command;
use time::{Duration, OffsetDateTime};

const PAPER: &str = r#"
federation = "gd"
trust_domain = "gd.eport.example"
[shares]
threshold = 3
holders = ["an", "bo", "chen", "deng", "fan"]
[[issuing]]
region = "440000"
purpose = "infra"
[[issuing]]
region = "440000"
purpose = "subject"
request = "440000-subject.csr"
"#;

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn paper(more: &str) -> CeremonyConfig {
    CeremonyConfig::parse(&format!("{}{more}", PAPER)).unwrap()
}

fn requests() -> Requests {
    Requests::from([("440000-subject.csr".to_owned(), certificate_request().unwrap().0)])
}

struct Held {
    _dir: tempfile::TempDir,
    folder: Folder,
    product: Product,
}

fn held(config: &CeremonyConfig) -> Held {
    let dir = tempfile::tempdir().unwrap();
    let product = ceremony::begin(config, &requests(), now()).unwrap();
    let folder = Folder::at(dir.path());
    folder.write(&product).unwrap();
    Held { _dir: dir, folder, product }
}

fn shares(folder: &Folder, generation: u32, names: &[&str]) -> Vec<Share> {
    let file = |n: &&str| folder.path().join(format!("shares/{n}.{generation}.share"));
    names.iter().map(|n| Share::parse(&std::fs::read_to_string(file(n)).unwrap()).unwrap()).collect()
}

/// Runs openssl; `None` when this machine has none.
fn openssl(dir: &Path, args: &[&str]) -> Option<String> {
    let Ok(out) = Command::new("openssl").args(args).current_dir(dir).output() else {
        eprintln!("skipped: openssl is not installed");
        return None;
    };
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "openssl {args:?}: {text}");
    Some(text)
}

#[test]
fn a_ceremony_makes_a_root_divided_among_persons_and_proves_every_file() {
    let held = held(&paper(""));
    let proof = held.folder.verify(Some(held.product.root)).unwrap();
    assert_eq!(proof.problems, Vec::<String>::new());
    assert_eq!((proof.ceremonies, proof.head), (1, held.product.head));
    assert_eq!(held.product.issuing.len(), 2);
    assert!(held.product.issuing[0].key.is_some() && held.product.issuing[1].key.is_none());
    use std::os::unix::fs::PermissionsExt;
    for file in held.product.files.iter().filter(|f| f.secret) {
        let meta = std::fs::metadata(held.folder.path().join(&file.path)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{}", file.path);
    }
    // The root's key stands nowhere in the folder: no file opens as a key that belongs to it.
    let root = std::fs::read_to_string(held.folder.path().join("root.crt")).unwrap();
    for file in &held.product.files {
        let Ok(key) =
            std::str::from_utf8(&file.bytes).map_err(drop).and_then(|t| SoftKey::from_pem(t).map_err(drop))
        else {
            continue;
        };
        assert!(Authority::from_parts(&root, std::sync::Arc::new(key), None).is_err(), "{}", file.path);
    }
    let dir = held.folder.path();
    let Some(_) = openssl(dir, &["verify", "-CAfile", "root.crt", "issuing/440000-infra.crt"]) else {
        return;
    };
    let shown = openssl(dir, &["crl", "-in", "root.crl", "-inform", "DER", "-CAfile", "root.crt", "-noout"]);
    assert!(shown.unwrap().contains("verify OK"));
}

#[test]
fn an_opening_needs_enough_good_shares_and_never_forgets_a_revocation() {
    let mut config = paper("");
    let held = held(&config);
    let record = || held.folder.record().unwrap();
    let open = |names: &[&str], config: &CeremonyConfig, divide| {
        ceremony::open(record(), &shares(&held.folder, 1, names), config, &requests(), divide, now())
    };
    let error = open(&["an", "bo"], &config, false).err().unwrap();
    assert_eq!(error.code(), 4102);
    let mut revoking = config.clone();
    revoking.issuing.clear();
    revoking.revoke = CeremonyConfig::parse(&format!(
        "{}\n[[revoke]]\nserial = \"{}\"\nreason = \"ca-compromise\"\n",
        PAPER, held.product.issuing[1].serial
    ))
    .unwrap()
    .revoke;
    let second = open(&["chen", "fan", "an"], &revoking, true).unwrap();
    held.folder.write(&second).unwrap();
    assert_eq!(held.folder.verify(None).unwrap().problems, Vec::<String>::new());
    assert!(second.crl_number > held.product.crl_number);
    // The shares of the first division open nothing any more; those of the second do.
    let error = open(&["an", "bo", "chen"], &config, false).err().unwrap().to_string();
    assert!(error.contains("division 1, in force is 2"), "{error}");
    config.issuing.clear();
    let fresh = shares(&held.folder, 2, &["bo", "deng", "fan"]);
    let third = ceremony::open(record(), &fresh, &config, &Requests::new(), false, now()).unwrap();
    held.folder.write(&third).unwrap();
    let root = std::fs::read(held.folder.path().join("root.crt")).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&root).unwrap();
    let list = eport_authority::read_crl(&record().crl, &pem.contents).unwrap();
    assert!(list.entries.contains_key(&held.product.issuing[1].serial), "the third list forgot a revocation");
    assert_eq!(held.folder.verify(None).unwrap().ceremonies, 3);
    let Some(text) =
        openssl(held.folder.path(), &["crl", "-in", "root.crl", "-inform", "DER", "-text", "-noout"])
    else {
        return;
    };
    assert!(text.contains("CA Compromise"), "{text}");
}

#[test]
fn every_altered_or_missing_line_and_file_is_found() {
    let held = held(&paper(""));
    let path = held.folder.path().join("transcript.jsonl");
    let good = std::fs::read_to_string(&path).unwrap();
    let differs = |text: &str| {
        std::fs::write(&path, text).unwrap();
        !held.folder.verify(None).unwrap().problems.is_empty()
    };
    let lines: Vec<&str> = good.lines().collect();
    for n in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(n);
        assert!(differs(&(without.join("\n") + "\n")), "line {n} removed");
        assert!(differs(&(lines[..n].join("\n") + "\n")), "cut before line {n}");
    }
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        if bytes != good.as_bytes() {
            assert!(differs(&String::from_utf8(bytes).unwrap()), "byte {at}");
        }
    }
    assert!(!differs(&good));
    for file in ["root.crl", "issuing/440000-infra.crt", "bundle.pem", "root.sealed"] {
        let path = held.folder.path().join(file);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&bytes[..], b" "].concat()).unwrap();
        assert!(!held.folder.verify(None).unwrap().problems.is_empty(), "{file}");
        std::fs::write(&path, bytes).unwrap();
    }
    let other = Digest::of(b"another root");
    assert!(!held.folder.verify(Some(other)).unwrap().problems.is_empty());
}

#[test]
fn a_named_witness_is_missed_until_the_right_key_signed() {
    let federation = kit::Federation::new();
    let issued = federation
        .province
        .issue_operator(
            "auditor",
            eport_authority::Key::Generate,
            eport_identity::Epoch::INITIAL,
            Validity::days(now(), 9),
        )
        .unwrap();
    let (_, leaf) = x509_parser::pem::parse_x509_pem(issued.chain_pem.as_bytes()).unwrap();
    let key_id = Digest::of(leaf.parse_x509().unwrap().public_key().raw);
    let held = held(&paper(&format!("[[witness]]\nname = \"auditor\"\nkey = \"{key_id}\"\n")));
    let problems = held.folder.verify(None).unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("witness auditor"), "{problems:?}");
    let wrong = CommandKey::from_pem(&certificate_request().unwrap().1).unwrap();
    assert!(
        held.folder.sign(&issued.chain_pem, &wrong, now()).is_err(),
        "a key that is not the certificate's"
    );
    let right = CommandKey::from_pem(issued.key_pem.as_ref().unwrap()).unwrap();
    let proof = held.folder.sign(&issued.chain_pem, &right, now()).unwrap();
    assert_eq!((proof.witnesses, proof.problems), (vec!["auditor".to_owned()], vec![]));
}

#[test]
fn a_paper_that_breaks_a_rule_makes_nothing_and_names_every_broken_rule() {
    let bad = CeremonyConfig::parse(
        r#"
federation = ""
trust_domain = "gd.eport.example"
root_days = 100
[shares]
threshold = 1
holders = ["an", "an", "b o"]
[[issuing]]
region = "440300"
purpose = "infra"
epoch = 0
days = 1
[[issuing]]
region = "440300"
purpose = "infra"
"#,
    )
    .unwrap();
    let found = bad.lint();
    let errors: Vec<&str> = found.iter().filter(|f| f.severity == Severity::Error).map(|f| f.rule).collect();
    for rule in [
        "federation-name",
        "root-life",
        "one-person",
        "holder-twice",
        "holder-name",
        "epoch",
        "issuing-life",
        "issuing-twice",
    ] {
        assert!(errors.contains(&rule), "{rule} of {errors:?}");
    }
    assert_eq!(ceremony::begin(&bad, &Requests::new(), now()).err().unwrap().code(), 4103);
    assert!(CeremonyConfig::parse(&format!("surprise = 1\n{PAPER}")).is_err(), "an unknown key");
    assert!(ceremony::begin(&paper(""), &Requests::new(), now()).is_err(), "a request that is not there");
}

#[test]
fn an_existing_root_is_imported_only_when_it_can_do_what_ours_does() {
    let domain = kit::domain();
    let key = || std::sync::Arc::new(SoftKey::generate(KeyAlgorithm::P384).unwrap());
    let make = |validity| {
        let key = key();
        let pem = key.export().unwrap();
        (
            Authority::create_root_with("old", &domain, validity, key).unwrap().certificate_pem().to_owned(),
            pem,
        )
    };
    let (cert, pem) = make(Validity::days(now() - Duration::days(400), 5_000));
    let config = paper("");
    let product = ceremony::import(&config, &cert, &pem, &requests(), now()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    Folder::at(dir.path()).write(&product).unwrap();
    assert_eq!(Folder::at(dir.path()).verify(None).unwrap().problems, Vec::<String>::new());
    let (short, short_key) = make(Validity::days(now(), 100));
    let refused =
        |cert: &str, key: &str| ceremony::import(&config, cert, key, &requests(), now()).err().unwrap();
    assert!(refused(&short, &short_key).to_string().contains("ends within a year"));
    assert!(refused(&cert, &short_key).to_string().contains("does not belong"));
    let federation = kit::Federation::new();
    let issuing = federation.province.key().export().unwrap();
    assert!(refused(federation.province.certificate_pem(), &issuing).to_string().contains("not a root"));
}
