//! Certificates over real processes: a ceremony, a federation founded from it, the ledger, lists and OCSP, revocation.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Http, Presented, Ran, wait_for, with_federation};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn certificates_are_issued_through_the_ledger_and_a_revocation_is_felt_everywhere() {
    with_federation(&[], |fed| {
        what_was_issued_before_the_ledger_is_imported(fed)?;
        let li = an_operator_is_issued_and_openssl_takes_the_chain(fed)?;
        let yesterday = a_backup_of_the_registry(fed)?;
        requests_that_break_a_rule_are_refused(fed)?;
        the_list_of_a_subject_shows_its_many_certificates(fed)?;
        many_are_issued_at_once_and_a_bad_request_stops_no_other(fed)?;
        crate::outside::an_outside_ca_vouches_within_its_scope_until_it_is_removed(fed)?;
        a_revoked_certificate_is_refused_everywhere_and_its_open_connection_ends(fed, &li)?;
        outsiders_see_the_revocation_in_list_and_ocsp(fed, &li)?;
        a_revoked_node_is_cut_off_at_once_and_stays_so_after_a_restart(fed)?;
        yesterdays_registry_forgets_no_revocation(fed, &yesterday, &li)
    });
}

/// A ceremony at the command line, and a federation that runs from it; the root's key is on no node.
#[test]
fn a_federation_is_brought_up_from_a_ceremony() {
    with_federation(&["--site", "gz-a=440000"], |fed| {
        let dir = fed.scratch().join("ceremony");
        let paper = fed.scratch().join("paper.toml");
        std::fs::write(&paper, PAPER)?;
        let (dir_text, paper_text) = (text(&dir), text(&paper));
        let begin = ["ca", "ceremony", "begin", "--config", &paper_text, "--dir", &dir_text];
        let rehearsed = fed.eport(&[&begin[..], &["--dry-run"]].concat())?.ok_json()?;
        ensure!(rehearsed["written"] == false && !dir.exists(), "{rehearsed}");
        let made = fed.eport(&begin)?.ok_json()?;
        let root = made["root_fingerprint"].as_str().context("fingerprint")?.to_owned();
        let again = fed.eport(&begin)?;
        ensure!(
            again.code != 0 && again.stdout.contains("not empty"),
            "a second ceremony in the same folder: {again:?}"
        );
        let verify = ["ca", "ceremony", "verify", "--dir", &dir_text, "--fingerprint", &root];
        ensure!(fed.eport(&verify)?.ok_json()?["ok"] == true, "the folder is not proven");
        an_opening_needs_the_shares(fed, &dir, &paper_text)?;
        ensure!(fed.eport(&verify)?.ok_json()?["ceremonies"] == 2, "the opening is not in the transcript");
        found_and_run(fed, &dir, &root)?;
        what_init_makes_on_this_machine_is_accepted_or_not_made(fed)?;
        std::fs::write(dir.join("root.crl"), b"something else")?;
        fed.eport(&verify)?.expect(11, "an altered file")?;
        Ok(())
    });
}

const PAPER: &str = r#"
federation = "gd"
trust_domain = "gd.eport.example"
[shares]
threshold = 2
holders = ["an", "bo", "chen"]
[[issuing]]
region = "440000"
purpose = "infra"
loopback = true
[[issuing]]
region = "440000"
purpose = "subject"
"#;

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn an_opening_needs_the_shares(fed: &Federation, dir: &Path, paper: &str) -> Result<()> {
    let annual = fed.scratch().join("annual.toml");
    std::fs::write(&annual, std::fs::read_to_string(paper)?.split("[[issuing]]").next().unwrap_or_default())?;
    let share = |name: &str| text(&dir.join(format!("shares/{name}.1.share")));
    let (annual, dir_text, an, chen) = (text(&annual), text(dir), share("an"), share("chen"));
    let open = ["ca", "ceremony", "open", "--config", &annual, "--dir", &dir_text, "--share", &an];
    let ran = fed.eport(&open)?.expect(6, "one share of two")?;
    ensure!(ran.error_code() == "EP4102", "{}", ran.stdout);
    let damaged = fed.scratch().join("damaged.share");
    let good = std::fs::read_to_string(&chen)?;
    let at = good.find("value ").context("value")? + 12;
    let other = if good.as_bytes()[at] == b'0' { "1" } else { "0" };
    std::fs::write(&damaged, format!("{}{other}{}", &good[..at], &good[at + 1..]))?;
    let damaged = text(&damaged);
    let ran = fed.eport(&[&open[..], &["--share", &damaged]].concat())?.expect(6, "a damaged share")?;
    ensure!(ran.stdout.contains("share of chen"), "{}", ran.stdout);
    let opened = fed.eport(&[&open[..], &["--share", &chen]].concat())?.ok_json()?;
    ensure!(opened["crl_number"] == 2, "{opened}");
    Ok(())
}

/// `init federation` without addresses listens on this machine: its CA then speaks for localhost, or nothing is written.
fn what_init_makes_on_this_machine_is_accepted_or_not_made(fed: &Federation) -> Result<()> {
    let init = |dir: &Path, more: &[&str]| {
        let dir = text(dir);
        let named =
            ["--name", "gd", "--region", "440000", "--site", "gz-z", "--trust-domain", "gd.eport.example"];
        fed.eport(&[&["init", "federation"], &named[..], &["--dir", &dir], more].concat())
    };
    let alone = fed.scratch().join("alone");
    init(&alone, &[])?.expect(0, "init federation with its defaults")?;
    let ca = |name: &str| text(&alone.join("ca").join(name));
    let node = text(&alone.join("gz-z-1/tls/node.crt"));
    openssl(&["verify", "-CAfile", &ca("root.crt"), "-untrusted", &ca("440000.crt"), &node])?;
    // The same with a CA of the ceremony's that may not.
    let (paper, silent) = (fed.scratch().join("silent.toml"), fed.scratch().join("silent"));
    std::fs::write(&paper, PAPER.replace("loopback = true\n", ""))?;
    let begin = ["ca", "ceremony", "begin", "--config", &text(&paper), "--dir", &text(&silent)];
    fed.eport(&begin)?.expect(0, "a ceremony without localhost")?;
    let refused = fed.scratch().join("refused");
    let from = text(&silent);
    let ran = init(&refused, &["--ceremony", &from])?;
    ensure!(ran.error_code() == "EP1203" && ran.stdout.contains("--listen-api"), "{ran:?}");
    ensure!(!refused.exists(), "something was written");
    init(&refused, &["--ceremony", &from, "--listen-api", "10.0.3.2:7443"])?.expect(0, "another address")?;
    let node = text(&refused.join("gz-z-1/tls/node.crt"));
    let (root, infra) = (text(&silent.join("root.crt")), text(&silent.join("issuing/440000-infra.crt")));
    openssl(&["verify", "-CAfile", &root, "-untrusted", &infra, &node])?;
    Ok(())
}

/// Founds a federation from the ceremony, starts its node and issues a certificate there.
fn found_and_run(fed: &Federation, ceremony: &Path, root: &str) -> Result<()> {
    let home = fed.scratch().join("province");
    let ports: Vec<u16> = (0..2)
        .map(|_| Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port()))
        .collect::<Result<_>>()?;
    let (quic, api) = (format!("127.0.0.1:{}", ports[0]), format!("127.0.0.1:{}", ports[1]));
    let (home_text, ceremony_text) = (text(&home), text(ceremony));
    let init = [
        "init",
        "federation",
        "--name",
        "gd",
        "--region",
        "440000",
        "--site",
        "gz-z",
        "--trust-domain",
        "gd.eport.example",
        "--listen-quic",
        &quic,
        "--listen-api",
        &api,
        "--dir",
        &home_text,
        "--ceremony",
        &ceremony_text,
    ];
    let made = fed.eport(&init)?.ok_json()?;
    ensure!(made["root_fingerprint"] == root, "{made}");
    ensure!(!home.join("ca/root.key").exists(), "the root's key came along");
    let config = PathBuf::from(made["config"].as_str().context("config")?);
    let log = fed.scratch().join("province.log");
    let mut daemon = fed.daemon(&config, &log)?;
    let operator = |name: &str| text(&home.join("operator").join(name));
    let (cert, key, ca) = (operator("admin.crt"), operator("admin.key"), text(&home.join("ca/bundle.pem")));
    let url = format!("https://{api}");
    let eport = |args: &[&str]| {
        let mut command = fed.command(&["--json", "--yes", "--api", &url]);
        Ran::of(command.args(["--cert", &cert, "--key", &key, "--ca", &ca]).args(args))
    };
    wait_for("the province serves", Duration::from_secs(60), || {
        if let Some(code) = daemon.ended() {
            return Err(format!(
                "eportd ended with {code}: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            ));
        }
        let ran = eport(&["status"]).map_err(|e| format!("{e:#}"))?;
        let status = ran.json().map_err(|e| format!("{e:#}"))?;
        (status["platforms"][0]["state"] == "active").then_some(()).ok_or_else(|| status.to_string())?;
        // The founding is over when its last commands are applied: the CAs and the operators.
        let ran = eport(&["user", "list"]).map_err(|e| format!("{e:#}"))?;
        ran.stdout.contains("\"admin\"").then_some(()).ok_or(ran.stdout)
    })?;
    let out = text(&fed.scratch().join("zhao.crt"));
    let key_out = text(&fed.scratch().join("zhao.key"));
    let issue = ["cert", "issue", "--subject", "operator/zhao", "--out", &out, "--key-out", &key_out];
    let issued = eport(&issue)?.ok_json()?;
    ensure!(issued["profile"] == "operator" && issued["platform"] == "440000", "{issued}");
    let root_crt = text(&ceremony.join("root.crt"));
    let subject_ca = text(&ceremony.join("issuing/440000-subject.crt"));
    openssl(&["verify", "-CAfile", &root_crt, "-untrusted", &subject_ca, &out])?;
    // The root's own list is served as the ceremony made it.
    let http = Http::new(Path::new(&ca), None)?;
    let list = http.get(&format!("{url}/v1/crl/{root}.crl"))?;
    ensure!(list.status == 200 && list.body == std::fs::read(home.join("ca/root.crl"))?, "{}", list.status);
    Ok(())
}

/// Runs openssl; its absence is said and is no failure.
fn openssl(args: &[&str]) -> Result<Option<String>> {
    let Ok(out) = Command::new("openssl").args(args).output() else {
        eprintln!("skipped: openssl is not installed");
        return Ok(None);
    };
    let shown = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    ensure!(out.status.success(), "openssl {args:?}: {shown}");
    Ok(Some(shown))
}

fn list(fed: &Federation, args: &[&str]) -> Result<Vec<Value>> {
    let shown = fed.eport(&[&["cert", "list"], args].concat())?.ok_json()?;
    Ok(shown["items"].as_array().context("items")?.clone())
}

fn what_was_issued_before_the_ledger_is_imported(fed: &Federation) -> Result<()> {
    let home = fed.home();
    let mut files: Vec<String> =
        fed.nodes().iter().map(|n| text(&home.join(&n.node).join("tls/node.crt"))).collect();
    files.push(text(&home.join("operator/admin.crt")));
    let mut args = vec!["cert", "import", "--platform", "440000"];
    args.extend(files.iter().map(String::as_str));
    fed.eport(&args)?.ok_json()?;
    fed.eport(&args)?.ok_json().context("an import repeated")?;
    let items = list(fed, &["--platform", "440000"])?;
    ensure!(items.len() == files.len() && items.iter().all(|i| i["imported"] == true), "{items:?}");
    ensure!(items.iter().any(|i| i["node"] == "sz-a-1" && i["state"] == "valid"), "{items:?}");
    let stranger = fed.scratch().join("stranger.crt");
    let made = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=x",
        "-keyout",
        "/dev/null",
        "-out",
    ];
    if openssl(&[&made[..], &[&text(&stranger)]].concat())?.is_some() {
        let ran = fed.eport(&["cert", "import", "--platform", "440000", &text(&stranger)])?;
        ran.expect(4, "a certificate that no CA of the platform issued")?;
    }
    Ok(())
}

struct Person {
    serial: String,
    cert: PathBuf,
    key: PathBuf,
}

fn issue(fed: &Federation, id: &str) -> Result<Person> {
    let (cert, key) = (fed.scratch().join(format!("{id}.crt")), fed.scratch().join(format!("{id}.key")));
    let (cert_text, key_text) = (text(&cert), text(&key));
    let subject = format!("operator/{}", id.split('-').next().unwrap_or(id));
    let args = ["cert", "issue", "--subject", &subject, "--out", &cert_text, "--key-out", &key_text];
    // Asked at a node that is not the primary: the command goes to the right one.
    let issued = fed.eport_at("gz-c-1", &args)?.ok_json()?;
    let serial = issued["serial"].as_str().context("serial")?.to_owned();
    // 0x01 and the epoch of the platform.
    ensure!(serial.starts_with("0100000001") && serial.len() == 34, "{serial}");
    Ok(Person { serial, cert, key })
}

fn an_operator_is_issued_and_openssl_takes_the_chain(fed: &Federation) -> Result<Person> {
    let li = issue(fed, "li")?;
    let ca = fed.home().join("ca");
    let (root, issuing) = (text(&ca.join("root.crt")), text(&ca.join("440000.crt")));
    openssl(&["verify", "-x509_strict", "-CAfile", &root, "-untrusted", &issuing, &text(&li.cert)])?;
    let shown = fed.eport_at("sz-a-1", &["cert", "show", &li.serial])?.ok_json()?;
    ensure!(shown["chain"] == std::fs::read_to_string(&li.cert)?, "{shown}");
    let (http, api) = (as_person(fed, &li)?, fed.api("sz-a-1")?);
    ensure!(http.get(&format!("{api}/v1/federation"))?.status == 200, "the new certificate is not accepted");
    let records = fed.eport(&["journal", "head", "440000"])?.ok_json()?;
    ensure!(
        records["index"].as_u64().is_some_and(|n| n > 2),
        "intent and certificate are in the journal: {records}"
    );
    Ok(li)
}

fn as_person(fed: &Federation, person: &Person) -> Result<Http> {
    Http::new(&fed.home().join("ca/bundle.pem"), Some(Presented { cert: &person.cert, key: &person.key }))
}

fn requests_that_break_a_rule_are_refused(fed: &Federation) -> Result<()> {
    let (http, api) = (fed.http()?, fed.api("gz-a-1")?);
    let url = format!("{api}/v1/certificates");
    let (csr, _) = eport_authority::certificate_request()?;
    let asked = |more: Value| -> Result<(u16, String)> {
        let mut body = serde_json::json!({ "csr": csr, "subject": "operator/wang" });
        for (k, v) in more.as_object().context("object")? {
            body[k] = v.clone();
        }
        let answer = http.post(&url, &body)?;
        Ok((answer.status, answer.code()))
    };
    for more in [
        serde_json::json!({ "days": 3_660 }),
        serde_json::json!({ "days": 0 }),
        serde_json::json!({ "profile": "node" }),
        serde_json::json!({ "profile": "root" }),
        serde_json::json!({ "csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n" }),
        serde_json::json!({ "subject": "platform/310000/node/sh-1", "platform": "440000" }),
    ] {
        let (status, code) = asked(more.clone())?;
        ensure!((400..500).contains(&status) && code == "EP1207", "{more}: {status} {code}");
    }
    let foreign = serde_json::json!({ "subject": "platform/440000/node/gz-q", "dns": ["www.example.org"] });
    let (status, code) = asked(foreign)?;
    ensure!((status, code.as_str()) == (400, "EP4103"), "a foreign DNS name: {status} {code}");
    ensure!(list(fed, &["--subject", "operator/wang"])?.is_empty(), "a refused request left a record");
    // Nobody but an administrator, and nobody without a certificate.
    let li = Person {
        serial: String::new(),
        cert: fed.scratch().join("li.crt"),
        key: fed.scratch().join("li.key"),
    };
    fed.eport(&["user", "add", "li", "--role", "publisher"])?.ok_json()?;
    let body = serde_json::json!({ "csr": csr, "subject": "operator/wang" });
    let answer = as_person(fed, &li)?.post(&url, &body)?;
    ensure!(answer.code() == "EP1214", "{}", answer.text());
    let nobody = Http::new(&fed.home().join("ca/bundle.pem"), None)?;
    ensure!(nobody.post(&url, &body)?.status == 401, "a caller without a certificate was heard");
    Ok(())
}

/// Page by page over all platforms, at a node that is primary of a city only; and one by its serial.
fn every_platform_is_in_the_list_of_all(fed: &Federation) -> Result<()> {
    let (http, api) = (fed.http()?, fed.api("sz-a-1")?);
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = http.get(&format!("{api}/v1/certificates?limit=3&page_token={token}"))?.json()?;
        all.extend(page["items"].as_array().with_context(|| format!("{page}"))?.clone());
        let Some(next) = page["next_page_token"].as_str() else { break };
        token = next.to_owned();
    }
    let of_province = list(fed, &["--platform", "440000"])?;
    let serials = |items: &[Value]| items.iter().map(|i| i["serial"].to_string()).collect::<Vec<_>>();
    let (all, of_province) = (serials(&all), serials(&of_province));
    ensure!(all.len() >= 3 && all == of_province, "{all:?} {of_province:?}");
    let one = all[0].trim_matches('"');
    let shown = http.get(&format!("{api}/v1/certificates/{one}"))?.json()?;
    ensure!(shown["serial"] == one, "{shown}");
    ensure!(http.get(&format!("{api}/v1/certificates/00ff"))?.status == 404);
    ensure!(http.get(&format!("{api}/v1/certificates?page_token=later"))?.status == 400);
    Ok(())
}

fn the_list_of_a_subject_shows_its_many_certificates(fed: &Federation) -> Result<()> {
    every_platform_is_in_the_list_of_all(fed)?;
    issue(fed, "li-2")?;
    issue(fed, "li-3")?;
    let items = list(fed, &["--subject", "operator/li"])?;
    ensure!(items.len() == 3 && items.iter().all(|i| i["state"] == "valid"), "{items:?}");
    Ok(())
}

/// Three hundred requests in one list: more than one batch; one proves nothing, and its place alone is empty.
fn many_are_issued_at_once_and_a_bad_request_stops_no_other(fed: &Federation) -> Result<()> {
    let dir = fed.scratch().join("many");
    std::fs::create_dir_all(&dir)?;
    let (csr, _) = eport_authority::certificate_request()?;
    let (good, bad) = (dir.join("good.csr"), dir.join("bad.csr"));
    std::fs::write(&good, &csr)?;
    std::fs::write(&bad, csr.replacen("MI", "MJ", 1))?;
    let file = |n: usize| if n == 7 { text(&bad) } else { text(&good) };
    let list: String = (0..300).map(|n| format!("enterprise/T{n} {}\n", file(n))).collect();
    std::fs::write(dir.join("list"), list)?;
    let (list_file, out) = (text(&dir.join("list")), text(&dir.join("out")));
    let args = ["cert", "issue-all", "--platform", "440000", "--list", &list_file, "--out", &out];
    let ran = fed.eport(&args)?.expect(4, "one of them is refused")?;
    ensure!(ran.stdout.contains("1 of 300"), "{}", ran.stdout);
    let made = std::fs::read_dir(&out)?.count();
    ensure!(made == 299 && !dir.join("out/enterprise_T7.crt").exists(), "{made} files");
    let items = self::list(fed, &["--subject", "enterprise/T299"])?;
    ensure!(items.len() == 1 && items[0]["state"] == "valid", "{items:?}");
    ensure!(self::list(fed, &["--subject", "enterprise/T7"])?.is_empty(), "a refused one is in the ledger");
    let chain = text(&dir.join("out/enterprise_T299.crt"));
    let root = text(&fed.home().join("ca/root.crt"));
    openssl(&["verify", "-CAfile", &root, "-untrusted", &chain, &chain])?;
    Ok(())
}

fn a_revoked_certificate_is_refused_everywhere_and_its_open_connection_ends(
    fed: &Federation,
    li: &Person,
) -> Result<()> {
    fed.eport(&["user", "add", "li", "--role", "platform_operator"])?.expect(0, "user add")?;
    let http = as_person(fed, li)?;
    let urls: Vec<String> = fed
        .nodes()
        .iter()
        .map(|n| Ok(format!("{}/v1/federation", fed.api(&n.node)?)))
        .collect::<Result<_>>()?;
    for url in &urls {
        ensure!(http.get(url)?.status == 200, "{url}");
    }
    // A long poll that is open while the certificate is revoked.
    let waiting = format!("{}/v1/platforms/440000/events?after=1000000&wait=25", fed.api("gz-a-1")?);
    let person = Person { serial: li.serial.clone(), cert: li.cert.clone(), key: li.key.clone() };
    let open = as_person(fed, &person)?;
    let poll =
        std::thread::spawn(move || (Instant::now(), open.get(&waiting).map(|r| r.status), Instant::now()));
    std::thread::sleep(Duration::from_millis(500));
    fed.eport(&["cert", "revoke", "0100000001aaaa", "--reason", "superseded"])?
        .expect(3, "a serial nobody knows")?;
    fed.eport(&["cert", "revoke", "foobar", "--reason", "superseded"])?.expect(3, "no serial")?;
    let ran = fed.eport(&["cert", "revoke", "foobar", "--reason", "superseded", "--unknown"])?;
    ensure!(ran.code != 0, "what is no serial was revoked: {ran:?}");
    let began = Instant::now();
    fed.eport(&["cert", "revoke", &li.serial, "--reason", "key-compromise"])?.ok_json()?;
    for url in &urls {
        let gone = wait_for("the refusal", Duration::from_secs(5), || match http.get(url) {
            Ok(reply) => Err(format!("{} {}", reply.status, reply.text())),
            Err(_) => Ok(began.elapsed()),
        })?;
        println!("refused at {url} {} ms after the command began", gone.as_millis());
    }
    let (asked, ended, at) = poll.join().map_err(|_| anyhow::anyhow!("the poll panicked"))?;
    let open_for = at - asked;
    ensure!(ended.is_err(), "the open request was answered with {ended:?} after {open_for:?}");
    ensure!(open_for < Duration::from_secs(20), "the open connection lived on for {open_for:?}");
    let items = list(fed, &["--subject", "operator/li"])?;
    let revoked: Vec<&Value> = items.iter().filter(|i| i["state"] == "revoked").collect();
    ensure!(revoked.len() == 1 && revoked[0]["serial"] == li.serial.as_str(), "{items:?}");
    // The other cards of the same person go on, until all of them are revoked by subject.
    let second = Person {
        serial: String::new(),
        cert: fed.scratch().join("li-2.crt"),
        key: fed.scratch().join("li-2.key"),
    };
    ensure!(as_person(fed, &second)?.get(&urls[0])?.status == 200, "another card of the subject");
    fed.eport(&["cert", "revoke", "--subject", "operator/li", "--reason", "affiliation-changed"])?
        .ok_json()?;
    let items = list(fed, &["--subject", "operator/li"])?;
    ensure!(items.iter().all(|i| i["state"] == "revoked"), "{items:?}");
    Ok(())
}

fn outsiders_see_the_revocation_in_list_and_ocsp(fed: &Federation, li: &Person) -> Result<()> {
    let bundle = fed.home().join("ca/bundle.pem");
    let nobody = Http::new(&bundle, None)?;
    let ca = std::fs::read_to_string(fed.home().join("ca/440000.crt"))?;
    let der = eport_authority::certificate_of_pem(&ca)?;
    let shown = fed.eport(&["cert", "show", &li.serial])?.ok_json()?;
    let key = shown["issuer"].as_str().context("issuer")?;
    let api = fed.api("gz-a-1")?;
    let reply = nobody.get(&format!("{api}/v1/crl/{key}.crl"))?;
    ensure!(reply.status == 200, "{}", reply.text());
    let list = eport_authority::read_crl(&reply.body, &der)?;
    let entry = list.entries.get(&li.serial).context("the list lacks the serial")?;
    ensure!(entry.reason == eport_authority::Reason::KeyCompromise, "{entry:?}");
    ensure!(list.number.0 >> 40 == 1, "the epoch in {:?}", list.number);
    let file = fed.scratch().join("ca.crl");
    std::fs::write(&file, &reply.body)?;
    let ca_file = text(&fed.home().join("ca/440000.crt"));
    openssl(&["crl", "-inform", "DER", "-in", &text(&file), "-CAfile", &ca_file, "-noout"])?;
    let mut of_shards = 0;
    for n in 0..4 {
        let part = nobody.get(&format!("{api}/v1/crl/{key}-{n}of4.crl"))?;
        of_shards += eport_authority::read_crl(&part.body, &der)?.entries.len();
    }
    ensure!(of_shards == list.entries.len(), "{of_shards} in the shards, {} in the list", list.entries.len());
    let request = fed.scratch().join("ocsp.req");
    let answer = fed.scratch().join("ocsp.resp");
    let (request_text, answer_text, root) =
        (text(&request), text(&answer), text(&fed.home().join("ca/root.crt")));
    for (cert, word) in
        [(text(&li.cert), ": revoked"), (text(&fed.home().join("gz-a-1/tls/node.crt")), ": good")]
    {
        let ask = ["ocsp", "-issuer", &ca_file, "-cert", &cert, "-no_nonce", "-reqout", &request_text];
        if openssl(&ask)?.is_none() {
            return Ok(());
        }
        let reply = nobody.send(
            "POST",
            &format!("{api}/ocsp"),
            "application/ocsp-request",
            std::fs::read(&request)?,
        )?;
        std::fs::write(&answer, &reply.body)?;
        let read = [
            "ocsp",
            "-issuer",
            &ca_file,
            "-cert",
            &cert,
            "-no_nonce",
            "-respin",
            &answer_text,
            "-CAfile",
            &root,
            "-verify_other",
            &ca_file,
        ];
        let shown = openssl(&read)?.unwrap_or_default();
        ensure!(shown.contains("Response verify OK") && shown.contains(word), "{word}: {shown}");
    }
    let noise = nobody.send("POST", &format!("{api}/ocsp"), "application/ocsp-request", vec![7; 90])?;
    ensure!(noise.status == 200 && noise.body[..] == [0x30, 3, 0x0a, 1, 1], "{:?}", noise.body);
    Ok(())
}

fn a_revoked_node_is_cut_off_at_once_and_stays_so_after_a_restart(fed: &Federation) -> Result<()> {
    let items = list(fed, &["--platform", "440000"])?;
    let node = items.iter().find(|i| i["node"] == "sz-a-1").context("sz-a-1")?;
    let serial = node["serial"].as_str().context("serial")?;
    fed.eport_at("gz-a-1", &["cert", "revoke", serial, "--reason", "key-compromise"])?.ok_json()?;
    let silent = |status: &Value| {
        let nodes = status["nodes"].as_array();
        nodes.and_then(|n| n.iter().find(|n| n["node"] == "sz-a-1")).is_some_and(|n| n["state"] != "up")
    };
    fed.wait_status("gz-a-1", "the revoked node is not heard any more", silent)?;
    let log = std::fs::read_to_string(fed.node_dir("gz-a-1").join("log"))?;
    ensure!(
        log.contains("connections closed: certificates revoked or expired"),
        "no closed connection in the log"
    );
    // Nothing is moved to it, although its process lives.
    let target = fed.eport_at("gz-a-1", &["platform", "switchover", "440000", "--to", "sz-a-1"])?;
    target.expect(7, "a revoked target")?;
    fed.dev("restart", "sz-a-1")?;
    std::thread::sleep(Duration::from_secs(3));
    ensure!(
        silent(&fed.status_at("gz-a-1")?) && silent(&fed.status_at("gz-c-1")?),
        "the restarted node is heard again"
    );
    // A node that knows the revocation refuses it also right after its own restart, before the registry has told it.
    fed.dev("restart", "gz-c-1")?;
    let known = std::fs::read_to_string(fed.node_dir("gz-c-1").join("data/revoked.txt"))?;
    ensure!(known.lines().any(|l| l == serial), "{known}");
    fed.wait_status("gz-c-1", "the restarted node serves and refuses", |s| {
        silent(s) && s["leader"].is_string()
    })?;
    Ok(())
}

/// The registry of every node as it lies on its disk, node by node: each is stopped for it.
fn a_backup_of_the_registry(fed: &Federation) -> Result<PathBuf> {
    let to = fed.scratch().join("yesterday");
    for node in fed.nodes() {
        fed.dev("kill", &node.node)?;
    }
    for node in fed.nodes() {
        copy_dir(&fed.node_dir(&node.node).join("data/registry"), &to.join(&node.node))?;
    }
    for node in fed.nodes() {
        fed.dev("restart", &node.node)?;
    }
    fed.wait_platform("gz-a-1", "440000", "is active with its backups", |p| {
        p["state"] == "active" && p["durability_now"] == "replicated"
    })?;
    Ok(to)
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// The whole registry is set back to before any revocation. What was revoked stays revoked for every verifier, list and OCSP, and the
/// CA's next list brings the registry to know it again.
fn yesterdays_registry_forgets_no_revocation(fed: &Federation, yesterday: &Path, li: &Person) -> Result<()> {
    for node in fed.nodes() {
        fed.dev("kill", &node.node)?;
    }
    for node in fed.nodes() {
        let registry = fed.node_dir(&node.node).join("data/registry");
        std::fs::remove_dir_all(&registry)?;
        copy_dir(&yesterday.join(&node.node), &registry)?;
    }
    let others = ["gz-a-1", "gz-a-2", "gz-c-1"];
    for node in others {
        fed.dev("restart", node)?;
    }
    fed.wait_status("gz-a-1", "the registry of yesterday has a leader", |s| s["leader"].is_string())?;
    let http = as_person(fed, li)?;
    for node in others {
        let url = format!("{}/v1/federation", fed.api(node)?);
        ensure!(http.get(&url).is_err(), "{node} takes the revoked certificate again");
    }
    // The registry had forgotten it; the CA says it again, by a list that the registry takes.
    wait_for("the revocation in the registry again", Duration::from_secs(60), || {
        let shown = fed.eport(&["cert", "show", &li.serial]).and_then(|r| r.ok_json());
        let shown = shown.map_err(|e| format!("{e:#}"))?;
        let rows = fed.http().and_then(|h| h.get(&format!("{}/v1/registry/rows", fed.api("gz-a-1")?)));
        let rows = rows.map_err(|e| format!("{e:#}"))?.text();
        let entered = rows.contains(&format!("/{}", li.serial));
        (shown["state"] == "revoked" && entered).then_some(()).ok_or_else(|| format!("{shown} {entered}"))
    })?;
    let der =
        eport_authority::certificate_of_pem(&std::fs::read_to_string(fed.home().join("ca/440000.crt"))?)?;
    let key =
        fed.eport(&["cert", "show", &li.serial])?.ok_json()?["issuer"].as_str().context("issuer")?.to_owned();
    let nobody = Http::new(&fed.home().join("ca/bundle.pem"), None)?;
    let list = nobody.get(&format!("{}/v1/crl/{key}.crl", fed.api("gz-a-1")?))?;
    ensure!(
        eport_authority::read_crl(&list.body, &der)?.entries.contains_key(&li.serial),
        "the list forgot it"
    );
    let request = eport_authority::ocsp_request(&der, &li.serial)?;
    let reply =
        nobody.send("POST", &format!("{}/ocsp", fed.api("gz-a-1")?), "application/ocsp-request", request)?;
    // A revoked status is the context tag 1, a good one the tag 0 without content.
    ensure!(
        reply.status == 200 && !reply.body.windows(2).any(|w| w == [0x80, 0]),
        "OCSP says good: {:02x?}",
        reply.body
    );
    Ok(())
}
