//! A CA outside the federation, over real processes, made and driven by `openssl` alone: steps of the scenario of certificates.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Http, Presented, wait_for};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const CITY: &str = "440300";
const AGENCY: &str = "agency/CUS/gw/1";

/// The folder of the agency's own CA.
struct Agency(PathBuf);

const CONFIG: &str = r#"
[req]
distinguished_name = dn
prompt = no
[dn]
O = Customs of Gulf
CN = Customs of Gulf CA
[ca_ext]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = own
[own]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 7
crl_extensions = crl_ext
[crl_ext]
authorityKeyIdentifier = keyid
"#;

impl Agency {
    fn openssl(&self, args: &[&str]) -> Result<()> {
        let out = Command::new("openssl").args(args).current_dir(&self.0).output()?;
        ensure!(out.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(())
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    fn found(dir: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("ca.cnf"), CONFIG)?;
        std::fs::write(dir.join("index.txt"), "")?;
        std::fs::write(dir.join("crlnumber"), "01\n")?;
        let agency = Self(dir);
        agency.openssl(&[
            "req",
            "-x509",
            "-config",
            "ca.cnf",
            "-extensions",
            "ca_ext",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        ])?;
        Ok(agency)
    }

    /// A client's certificate that says it is this subject.
    fn leaf(&self, name: &str, subject: &str) -> Result<()> {
        let (key, csr, crt) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        self.openssl(&[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=x",
            "-keyout",
            &key,
            "-out",
            &csr,
        ])?;
        let extensions = format!(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=URI:spiffe://gd.eport.example/{subject}\n"
        );
        std::fs::write(self.0.join("leaf.cnf"), extensions)?;
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "10",
            "-sha256",
            "-extfile",
            "leaf.cnf",
            "-out",
            &crt,
        ])
    }

    fn http(&self, fed: &Federation, name: &str) -> Result<Http> {
        let (cert, key) = (self.0.join(format!("{name}.crt")), self.0.join(format!("{name}.key")));
        Http::new(&fed.home().join("ca/bundle.pem"), Some(Presented { cert: &cert, key: &key }))
    }

    /// Whether a node lets the holder in at all.
    fn admitted(&self, fed: &Federation, name: &str, node: &str) -> Result<bool> {
        let url = format!("{}/v1/federation", fed.api(node)?);
        Ok(self.http(fed, name)?.get(&url).is_ok_and(|reply| reply.status == 200))
    }
}

/// Registered, within its scope and no further, followed by its list, removed.
pub fn an_outside_ca_vouches_within_its_scope_until_it_is_removed(fed: &Federation) -> Result<()> {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl is not installed");
        return Ok(());
    }
    let agency = Agency::found(fed.scratch().join("agency"))?;
    for (name, subject) in [
        ("one", AGENCY),
        ("two", "agency/CUS/gw/2"),
        ("other", "agency/MSA/gw/1"),
        ("admin", "operator/admin"),
    ] {
        agency.leaf(name, subject)?;
    }
    ensure!(!agency.admitted(fed, "one", "gz-a-1")?, "before anybody knows the CA");
    let key = registered(fed, &agency)?;
    within_its_scope_and_no_further(fed, &agency)?;
    one_subject_shows_the_cards_of_two_cas(fed, &agency, &key)?;
    its_own_list_is_felt_at_every_node(fed, &agency, &key)?;
    removed_it_vouches_for_nobody(fed, &agency, &key)
}

fn registered(fed: &Federation, agency: &Agency) -> Result<String> {
    let (certificate, challenge, proof) =
        (agency.file("ca.crt"), agency.file("challenge"), agency.file("proof"));
    let ask = |subject: &str, out: &str| {
        let args = ["ca", "outside", "challenge", "--certificate", &certificate, "--subject", subject];
        fed.eport(&[&args[..], &["--platform", CITY, "--out", out]].concat())
    };
    for never in ["operator/admin", "platform/440300/node/sz-a-1", "operator/*"] {
        ask(never, &agency.file("never"))?.expect(2, never)?;
    }
    let asked = ask("agency/CUS", &challenge)?.ok_json()?;
    let key = asked["key"].as_str().context("key")?.to_owned();
    agency.openssl(&["dgst", "-sha256", "-sign", "ca.key", "-out", "proof", "challenge"])?;
    let add = ["ca", "add", "--outside", &certificate, "--challenge", &challenge, "--proof", &proof];
    // Somebody else's signature under the same text.
    agency.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "thief.key"])?;
    agency.openssl(&["dgst", "-sha256", "-sign", "thief.key", "-out", "forged", "challenge"])?;
    let forged = agency.file("forged");
    let stolen = ["ca", "add", "--outside", &certificate, "--challenge", &challenge, "--proof", &forged];
    let ran = fed.eport(&stolen)?.expect(7, "without the key")?;
    ensure!(ran.error_code() == "EP4125", "{}", ran.stdout);
    fed.eport(&add)?.ok_json()?;
    let again = fed.eport(&add)?.expect(7, "twice")?;
    ensure!(again.error_code() == "EP4125", "{}", again.stdout);
    let shown = fed.eport(&["trust", "show"])?.ok_json()?;
    let listed = &shown["outside"][0];
    ensure!(listed["key"] == key.as_str() && listed["state"] == "active", "{shown:#}");
    ensure!(listed["subjects"] == json!(["agency/CUS"]) && listed["platforms"] == json!([CITY]), "{shown:#}");
    ensure!(
        shown["issuing"].as_array().is_some_and(|i| i.iter().all(|c| c["key"] != key.as_str())),
        "{shown:#}"
    );
    wait_for("every member with the outside CA", Duration::from_secs(30), || {
        let now = fed.eport(&["ca", "status"]).and_then(|r| r.ok_json()).map_err(|e| format!("{e:#}"))?;
        if now["behind"] == json!([]) { Ok(()) } else { Err(now["behind"].to_string()) }
    })?;
    Ok(key)
}

fn within_its_scope_and_no_further(fed: &Federation, agency: &Agency) -> Result<()> {
    for node in ["gz-a-1", "gz-c-1", "sz-a-1"] {
        ensure!(agency.admitted(fed, "one", node)?, "{node}");
        for never in ["other", "admin"] {
            ensure!(!agency.admitted(fed, never, node)?, "{never} at {node}");
        }
    }
    let http = agency.http(fed, "one")?;
    // At any node, also where the request is carried on.
    for node in ["gz-a-1", "sz-a-1"] {
        let api = fed.api(node)?;
        let own = http.get(&format!("{api}/v1/platforms/{CITY}/documents"))?;
        ensure!(own.status == 200, "{node}: {}", own.text());
        let elsewhere = http.get(&format!("{api}/v1/platforms/440100/documents"))?;
        let answer = (elsewhere.status, elsewhere.code());
        ensure!(answer == (403, "EP4126".to_owned()), "{node}: {answer:?}");
    }
    // It asks for no certificate of ours, and a session of it reaches no further.
    let api = fed.api("gz-a-1")?;
    let (csr, _) = eport_authority::certificate_request()?;
    let asked = http.post(&format!("{api}/v1/certificates"), &json!({ "csr": csr }))?;
    ensure!((400..500).contains(&asked.status), "{} {}", asked.status, asked.text());
    let session = http.post(&format!("{api}/v1/session"), &json!({}))?;
    let token = session.json()?["token"].as_str().with_context(|| session.text())?.to_owned();
    let nobody = Http::new(&fed.home().join("ca/bundle.pem"), None)?;
    for (platform, status) in [(CITY, 200), ("440100", 403)] {
        let url = format!("{api}/v1/platforms/{platform}/documents");
        let reply = nobody.by_session("GET", &url, &token)?;
        ensure!(reply.status == status, "{platform}: {} {}", reply.status, reply.text());
    }
    Ok(())
}

/// 一卡多证: the federation's own certificate and the agency's, of one subject.
fn one_subject_shows_the_cards_of_two_cas(fed: &Federation, agency: &Agency, key: &str) -> Result<()> {
    let (out, key_out) = (agency.file("ours.crt"), agency.file("ours.key"));
    fed.eport(&["cert", "issue", "--subject", AGENCY, "--out", &out, "--key-out", &key_out])?.ok_json()?;
    let one = agency.file("one.crt");
    fed.eport(&["cert", "import", "--platform", CITY, &one])?.ok_json()?;
    let elsewhere = fed.eport(&["cert", "import", "--platform", "440100", &one])?;
    ensure!(elsewhere.error_code() == "EP4126", "{}", elsewhere.stdout);
    let other = fed.eport(&["cert", "import", "--platform", CITY, &agency.file("other.crt")])?;
    ensure!(other.error_code() == "EP1207", "{}", other.stdout);
    let items = cards(fed)?;
    let of_agency = items.iter().filter(|i| i["issuer"] == key).count();
    ensure!(items.len() == 2 && of_agency == 1, "{items:#?}");
    ensure!(items.iter().all(|i| i["state"] == "valid"), "{items:#?}");
    Ok(())
}

fn cards(fed: &Federation) -> Result<Vec<Value>> {
    let shown = fed.eport(&["cert", "list", "--subject", AGENCY])?.ok_json()?;
    Ok(shown["items"].as_array().context("items")?.clone())
}

fn its_own_list_is_felt_at_every_node(fed: &Federation, agency: &Agency, key: &str) -> Result<()> {
    agency.openssl(&[
        "ca", "-config", "ca.cnf", "-cert", "ca.crt", "-keyfile", "ca.key", "-revoke", "one.crt",
    ])?;
    let made =
        ["ca", "-config", "ca.cnf", "-cert", "ca.crt", "-keyfile", "ca.key", "-gencrl", "-out", "ca.crl"];
    agency.openssl(&made)?;
    let list = agency.file("ca.crl");
    let bring = ["ca", "outside", "revocations", key, "--list", &list];
    let taken = fed.eport_at("sz-a-1", &bring)?.ok_json()?;
    ensure!(taken["taken"] == true && taken["entries"] == 1, "{taken}");
    ensure!(!agency.admitted(fed, "one", "sz-a-1")?, "where it was brought");
    for node in ["gz-a-1", "gz-c-1"] {
        wait_for("the refusal", Duration::from_secs(20), || {
            let admitted = agency.admitted(fed, "one", node).map_err(|e| format!("{e:#}"))?;
            if admitted { Err(format!("{node} takes it still")) } else { Ok(()) }
        })?;
        ensure!(agency.admitted(fed, "two", node)?, "another of the same CA at {node}");
    }
    ensure!(fed.eport_at("sz-a-1", &bring)?.ok_json()?["taken"] == false, "the same again");
    let shown = fed.eport_at("sz-a-1", &["trust", "show"])?.ok_json()?;
    ensure!(shown["outside"][0]["list"]["number"] == 1, "{shown:#}");
    let items = cards(fed)?;
    let revoked: Vec<&Value> = items.iter().filter(|i| i["state"] == "revoked").collect();
    ensure!(revoked.len() == 1 && revoked[0]["issuer"] == key, "{items:#?}");
    // A list that the CA did not sign.
    let damaged = agency.0.join("damaged.crl");
    let mut der = eport_authority::list_of_file(std::fs::read(&list)?)?;
    let at = der.len() / 2;
    der[at] ^= 1;
    std::fs::write(&damaged, der)?;
    let args = ["ca", "outside", "revocations", key, "--list", &agency.file("damaged.crl")];
    let ran = fed.eport(&args)?.expect(7, "a damaged list")?;
    ensure!(ran.error_code() == "EP4125", "{}", ran.stdout);
    Ok(())
}

fn removed_it_vouches_for_nobody(fed: &Federation, agency: &Agency, key: &str) -> Result<()> {
    fed.eport(&["ca", "outside", "remove", key, "--reason", "contract over"])?.ok_json()?;
    for node in ["gz-a-1", "gz-c-1", "sz-a-1"] {
        wait_for("the end of the CA", Duration::from_secs(20), || {
            let admitted = agency.admitted(fed, "two", node).map_err(|e| format!("{e:#}"))?;
            if admitted { Err(format!("{node} takes it still")) } else { Ok(()) }
        })?;
    }
    let shown = fed.eport(&["trust", "show"])?.ok_json()?;
    ensure!(shown["outside"][0]["state"] == "removed", "{shown:#}");
    let own: &Path = &agency.0.join("ours.crt");
    let ours = Http::new(
        &fed.home().join("ca/bundle.pem"),
        Some(Presented { cert: own, key: &agency.0.join("ours.key") }),
    )?;
    let reply = ours.get(&format!("{}/v1/federation", fed.api("gz-a-1")?))?;
    ensure!(reply.status == 200, "the subject's own card goes on: {}", reply.text());
    Ok(())
}
