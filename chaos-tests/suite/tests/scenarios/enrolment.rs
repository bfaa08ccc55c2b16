//! Enrolment over real processes: tokens used once, also across a switchover; requests that wait; EST with curl and openssl.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Http, Presented, Reply, wait_for, with_federation};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[test]
fn tokens_are_used_once_requests_wait_and_standard_clients_enrol() {
    with_federation(&["--site", "gz-a=440000:2", "--site", "gz-c=440000"], |fed| {
        let spare = token(fed, "operator/he", &[])?;
        let filed = a_request_waits_for_an_operator(fed)?;
        let used = of_two_uses_of_a_token_at_once_one_wins(fed)?;
        standard_clients_enrol_and_renew(fed)?;
        the_new_primary_knows_what_was_used_and_what_waits(fed, &used, &spare, &filed)?;
        withdrawn_bound_and_foreign_tokens_are_refused(fed)?;
        a_node_leaves_for_good(fed)
    });
}

/// A backup is not removed; one that no placement names loses vote, certificate and membership by one command, for ever.
fn a_node_leaves_for_good(fed: &Federation) -> Result<()> {
    let (primary, _) = primary(fed)?;
    let asked = primary.as_str();
    let platform = fed.platform_at(asked, "440000")?;
    let victim = platform["backups"][0]["node"].as_str().context("a backup")?;
    let kept = ["gz-a-1", "gz-a-2", "gz-c-1"].into_iter().find(|n| *n != asked && *n != victim);
    let kept = kept.context("a third node")?;
    let refused = fed.eport_at(asked, &["node", "remove", victim])?.expect(7, "a backup")?;
    ensure!(format!("{refused:?}").contains("backup of platform 440000"), "{refused:?}");
    let seen = fed.eport_at(asked, &["node", "remove", victim, "--dry-run"])?.ok_json()?;
    ensure!(seen["removed"] == false && seen["obstacles"].as_array().is_some_and(|o| o.len() == 1), "{seen}");
    let backup = format!("{kept}:async");
    let policy = ["platform", "policy", "440000", "--durability", "async", "--backup", &backup];
    fed.eport_at(asked, &policy)?.expect(0, "policy")?;
    fed.wait_platform(asked, "440000", "no longer names it", |p| {
        p["backups"].as_array().is_some_and(|b| b.len() == 1 && b[0]["node"] == kept)
    })?;
    for _ in 0..2 {
        let done = fed.eport_at(asked, &["--timeout", "60s", "node", "remove", victim])?.ok_json()?;
        ensure!(done["removed"] == true, "{done}");
    }
    let look = || fed.status_at(asked).map_err(|e| format!("{e:#}"));
    wait_for("its vote is gone", Duration::from_secs(60), || {
        let status = look()?;
        let row = status["nodes"].as_array().into_iter().flatten().find(|n| n["node"] == victim).cloned();
        let gone = row.as_ref().is_some_and(|n| n["state"] == "removed" && n["voter"] == false);
        gone.then_some(()).ok_or_else(|| format!("{row:?}"))
    })?;
    fed.eport_at(asked, &["node", "drain", victim, "--undo"])?
        .expect(7, "a removed id is never used again")?;
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn nobody(fed: &Federation) -> Result<Http> {
    Http::new(&fed.home().join("ca/bundle.pem"), None)
}

fn token(fed: &Federation, subject: &str, more: &[&str]) -> Result<String> {
    let args = [&["cert", "token", "--subject", subject], more].concat();
    let made = fed.eport_at("gz-c-1", &args)?.ok_json()?;
    ensure!(made["state"] == "open" && made["platform"] == "440000", "{made}");
    Ok(made["token"].as_str().context("token")?.to_owned())
}

/// A request with a key of its own: (request, key).
fn csr() -> Result<(String, String)> {
    let (csr, key) = eport_authority::certificate_request()?;
    Ok((csr, key.to_string()))
}

fn enrol(fed: &Federation, node: &str, csr: &str, token: &str) -> Result<Reply> {
    nobody(fed)?.post(&format!("{}/v1/certificates", fed.api(node)?), &json!({ "csr": csr, "token": token }))
}

fn of_two_uses_of_a_token_at_once_one_wins(fed: &Federation) -> Result<(String, String)> {
    let token = token(fed, "operator/wu", &[])?;
    let keys: Vec<(String, String)> = (0..4).map(|_| csr()).collect::<Result<_>>()?;
    let answers: Vec<(u16, String, Value)> = std::thread::scope(|scope| {
        let running: Vec<_> = keys
            .iter()
            .zip(["gz-a-1", "gz-a-2", "gz-c-1", "gz-a-1"])
            .map(|((csr, _), node)| {
                let token = &token;
                scope.spawn(move || {
                    let reply = enrol(fed, node, csr, token)?;
                    Ok((reply.status, reply.code(), reply.json().unwrap_or_default()))
                })
            })
            .collect();
        running
            .into_iter()
            .map(|t| t.join().map_err(|_| anyhow::anyhow!("a use panicked"))?)
            .collect::<Result<_>>()
    })?;
    let won: Vec<usize> = (0..4).filter(|n| answers[*n].0 == 201).collect();
    ensure!(won.len() == 1, "one of four: {answers:?}");
    let lost = answers.iter().filter(|(status, code, _)| *status == 409 && code == "EP4108").count();
    ensure!(lost == 3, "{answers:?}");
    let (winner, serial) = (&keys[won[0]], answers[won[0]].2["serial"].clone());
    // An answer that was lost is asked for again, at any node: the same certificate, no second one.
    let again = enrol(fed, "gz-c-1", &winner.0, &token)?.json()?;
    ensure!(again["serial"] == serial && again["subject"] == "operator/wu", "{again}");
    let items = fed.eport(&["cert", "list", "--subject", "operator/wu"])?.ok_json()?;
    ensure!(items["items"].as_array().is_some_and(|i| i.len() == 1), "{items}");
    let (cert, key) = (fed.scratch().join("wu.crt"), fed.scratch().join("wu.key"));
    std::fs::write(&cert, again["chain"].as_str().context("chain")?)?;
    eport_authority::write_key(&key, &winner.1)?;
    let http = Http::new(&fed.home().join("ca/bundle.pem"), Some(Presented { cert: &cert, key: &key }))?;
    ensure!(http.get(&format!("{}/v1/nodes", fed.api("gz-a-2")?))?.status == 200, "it is not accepted");
    // In his own name anybody may ask: it waits for an administrator.
    let own = http.post(&format!("{}/v1/certificates", primary(fed)?.1), &json!({ "csr": csr()?.0 }))?;
    ensure!(own.status == 202 && own.json()?["asked_by"] == "operator/wu", "{} {}", own.status, own.text());
    Ok((token, winner.0.clone()))
}

/// The primary of the province and its address.
fn primary(fed: &Federation) -> Result<(String, String)> {
    let node = fed.platform_at("gz-c-1", "440000")?["primary"].as_str().context("primary")?.to_owned();
    let api = fed.api(&node)?.to_owned();
    Ok((node, api))
}

/// Two requests that wait: (token, request, id) of each.
fn a_request_waits_for_an_operator(fed: &Federation) -> Result<Vec<(String, String, String)>> {
    let mut filed = Vec::new();
    for subject in ["enterprise/91440300MA5ABCD19J", "operator/zhou"] {
        let (token, csr) = (token(fed, subject, &["--approval"])?, csr()?.0);
        let reply = enrol(fed, "gz-a-2", &csr, &token)?;
        ensure!(reply.status == 202, "{} {}", reply.status, reply.text());
        let id = reply.json()?["id"].as_str().context("id")?.to_owned();
        ensure!(
            enrol(fed, "gz-a-1", &csr, &token)?.json()?["id"] == id.as_str(),
            "asked again: another request"
        );
        filed.push((token, csr, id));
    }
    let shown = fed.eport(&["cert", "requests"])?.ok_json()?;
    ensure!(shown["items"].as_array().is_some_and(|i| i.len() == 2), "{shown}");
    Ok(filed)
}

fn the_new_primary_knows_what_was_used_and_what_waits(
    fed: &Federation,
    used: &(String, String),
    spare: &str,
    filed: &[(String, String, String)],
) -> Result<()> {
    let (before, _) = primary(fed)?;
    let backups = fed.platform_at("gz-c-1", "440000")?["backups"].clone();
    let ready = backups.as_array().into_iter().flatten().find(|b| b["in_sync"] == true);
    let to = ready.and_then(|b| b["node"].as_str()).context("a backup in sync")?;
    // The primary dies without a word; the failover is a person's.
    fed.dev("kill", &before)?;
    let at = fed.nodes().iter().map(|n| n.node.as_str()).find(|n| *n != before).context("another node")?;
    let moved =
        fed.eport_at(at, &["platform", "failover", "440000", "--to", to, "--old-primary", "stopped"])?;
    ensure!(moved.ok_json()?["state"] == "done", "the failover failed");
    ensure!(enrol(fed, at, &csr()?.0, &used.0)?.code() == "EP4108", "a used token was good again");
    let again = enrol(fed, at, &used.1, &used.0)?;
    ensure!(again.status == 201, "the lost answer under the new primary: {}", again.text());
    // Without a backup on another site nothing is certified; until the old primary is back the same request may be repeated.
    fed.dev("restart", &before)?;
    let mine = csr()?.0;
    let late = wait_for("the certificate under the new primary", Duration::from_secs(20), || {
        let reply = enrol(fed, at, &mine, spare).map_err(|e| format!("{e:#}"))?;
        if reply.status == 201 { reply.json().map_err(|e| format!("{e:#}")) } else { Err(reply.text()) }
    })?;
    ensure!(late["subject"] == "operator/he", "a token made under the old primary: {late}");
    let serial = late["serial"].as_str().unwrap_or_default();
    ensure!(serial.starts_with("0100000002"), "the epoch of the new primary: {serial}");
    let [yes, no] = filed else { anyhow::bail!("two requests") };
    ensure!(enrol(fed, at, &yes.1, &yes.0)?.status == 202, "the request that waits is lost");
    let approved = fed.eport_at(at, &["cert", "approve", &yes.2])?.ok_json()?;
    ensure!(approved["subject"] == "enterprise/91440300MA5ABCD19J", "{approved}");
    let fetched = enrol(fed, at, &yes.1, &yes.0)?;
    ensure!(fetched.status == 201 && fetched.json()?["serial"] == approved["serial"], "{}", fetched.text());
    fed.eport_at(at, &["cert", "approve", &yes.2])?.expect(4, "approved twice")?;
    fed.eport_at(at, &["cert", "deny", &no.2, "--reason", "unknown person"])?.ok_json()?;
    let denied = enrol(fed, at, &no.1, &no.0)?;
    ensure!(denied.code() == "EP4110" && denied.text().contains("unknown person"), "{}", denied.text());
    fed.eport_at(at, &["cert", "approve", &no.2])?.expect(4, "refused, then approved")?;
    Ok(())
}

/// Runs a program; its absence is said and is no failure.
fn tool(program: &str, args: &[&str]) -> Result<Option<String>> {
    let Ok(out) = Command::new(program).args(args).output() else {
        eprintln!("skipped: {program} is not installed");
        return Ok(None);
    };
    let shown = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    ensure!(out.status.success(), "{program} {args:?}: {shown}");
    Ok(Some(shown))
}

struct Folder(PathBuf);

impl Folder {
    fn at(&self, name: &str) -> String {
        text(&self.0.join(name))
    }

    /// A new key and a request as base64 of DER.
    fn request(&self, stem: &str) -> Result<Option<()>> {
        let (key, csr) = (self.at(&format!("{stem}.key")), self.at(&format!("{stem}.csr")));
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let made =
            [&["req", "-new"], &curve[..], &["-subj", "/CN=ignored", "-keyout", &key, "-outform", "DER"]]
                .concat();
        if tool("openssl", &[&made[..], &["-out", &csr]].concat())?.is_none() {
            return Ok(None);
        }
        tool("openssl", &["base64", "-in", &csr, "-out", &self.at(&format!("{stem}.b64"))])?;
        Ok(Some(()))
    }

    /// The certificates of a PKCS#7 answer as PEM.
    fn certificates(&self, answer: &str, pem: &str) -> Result<String> {
        let der = self.at("answer.der");
        tool("openssl", &["base64", "-d", "-in", answer, "-out", &der])?;
        tool("openssl", &["pkcs7", "-inform", "DER", "-in", &der, "-print_certs", "-out", pem])?;
        Ok(std::fs::read_to_string(pem)?)
    }
}

fn standard_clients_enrol_and_renew(fed: &Federation) -> Result<()> {
    let dir = Folder(fed.scratch().join("est"));
    std::fs::create_dir_all(&dir.0)?;
    let (_, api) = primary(fed)?;
    let (est, bundle) = (format!("{api}/.well-known/est"), text(&fed.home().join("ca/bundle.pem")));
    if dir.request("first")?.is_none() {
        return Ok(());
    }
    let (answer, cas) = (dir.at("answer"), dir.at("cas.pem"));
    let curl = |path: &str, more: &[&str]| {
        let url = format!("{est}/{path}");
        let base = ["-sS", "--fail-with-body", "--cacert", &bundle, "-o", &answer];
        tool("curl", &[&base[..], more, &[&url]].concat())
    };
    if curl("cacerts", &[])?.is_none() {
        return Ok(());
    }
    let shown = dir.certificates(&answer, &cas)?;
    ensure!(shown.matches("BEGIN CERTIFICATE").count() == 2, "root and issuing CA: {shown}");
    let token = token(fed, "agency/CUS/gw/1", &[])?;
    let pkcs10 = ["-H", "content-type: application/pkcs10", "--data-binary"];
    let post = |stem: &str| format!("@{}", dir.at(&format!("{stem}.b64")));
    curl("simpleenroll", &[&["-u", &format!("gw:{token}")], &pkcs10[..], &[&post("first")]].concat())?;
    let (cert, key) = (dir.at("first.crt"), dir.at("first.key"));
    dir.certificates(&answer, &cert)?;
    let verified = [
        "verify",
        "-x509_strict",
        "-CAfile",
        &text(&fed.home().join("ca/root.crt")),
        "-untrusted",
        &cas,
        &cert,
    ]
    .map(str::to_owned);
    tool("openssl", &verified.each_ref().map(String::as_str))?;
    let shown = tool("openssl", &["x509", "-in", &cert, "-noout", "-text"])?.unwrap_or_default();
    ensure!(
        shown.contains("/agency/CUS/gw/1") && !shown.contains("ignored"),
        "names come from the token: {shown}"
    );
    // The next one, shown the old one; a new key is needed.
    let with_cert = ["--cert", &cert, "--key", &key];
    let same = curl("simplereenroll", &[&with_cert[..], &pkcs10, &[&post("first")]].concat());
    ensure!(same.is_err() && std::fs::read_to_string(&answer)?.contains("EP4113"), "the same key again");
    dir.request("second")?;
    curl("simplereenroll", &[&with_cert[..], &pkcs10, &[&post("second")]].concat())?;
    let second = dir.certificates(&answer, &dir.at("second.crt"))?;
    ensure!(second != std::fs::read_to_string(&cert)?, "no new certificate");
    // By the signature of the old key, without showing a certificate, at a node that is not the primary.
    dir.request("third")?;
    let script = format!(
        "cd {} && {{ printf 'eport certificate renewal 1\\n'; cat third.csr; }} | openssl dgst -sha256 -sign second.key -out third.sig \
         && printf 'eport-renewal: %s.%s' \"$(openssl x509 -in second.crt -outform DER | openssl base64 -A)\" \"$(openssl base64 -A -in third.sig)\" > third.header",
        dir.at("")
    );
    tool("sh", &["-c", &script])?;
    let header = std::fs::read_to_string(dir.0.join("third.header"))?;
    let elsewhere = format!("{}/.well-known/est/simplereenroll", fed.api("gz-c-1")?);
    let base = ["-sS", "--fail-with-body", "--cacert", &bundle, "-o", &answer, "-H", &header];
    tool("curl", &[&base[..], &pkcs10, &[&post("third"), &elsewhere]].concat())?;
    dir.certificates(&answer, &dir.at("third.crt"))?;
    // Another request under the same signature is refused, as is one without any proof.
    let forged = tool("curl", &[&base[..], &pkcs10, &[&post("first"), &elsewhere]].concat());
    ensure!(
        forged.is_err() && std::fs::read_to_string(&answer)?.contains("EP4113"),
        "a signature under other bytes"
    );
    let bare = nobody(fed)?.send("POST", &format!("{est}/simpleenroll"), "application/pkcs10", vec![0x30])?;
    ensure!(bare.status == 401, "{}", bare.status);
    let items = fed.eport(&["cert", "list", "--subject", "agency/CUS/gw/1"])?.ok_json()?;
    ensure!(items["items"].as_array().is_some_and(|i| i.len() == 3), "{items}");
    Ok(())
}

fn withdrawn_bound_and_foreign_tokens_are_refused(fed: &Federation) -> Result<()> {
    let withdrawn = token(fed, "operator/an", &[])?;
    let listed = fed.eport(&["ca", "token", "list"])?.ok_json()?;
    let open: Vec<&Value> =
        listed["items"].as_array().into_iter().flatten().filter(|t| t["state"] == "open").collect();
    ensure!(open.len() == 1 && open[0].get("token").is_none(), "the list shows no secret: {listed}");
    let id = open[0]["id"].as_str().context("id")?;
    fed.eport(&["ca", "token", "revoke", id])?.ok_json()?;
    ensure!(enrol(fed, "gz-a-2", &csr()?.0, &withdrawn)?.code() == "EP4107", "a withdrawn token was good");
    let (mine, other) = (csr()?.0, csr()?.0);
    let key = eport_authority::read_request(&mine)?.key.to_string();
    let bound = token(fed, "operator/bo", &["--for-key", &key])?;
    ensure!(enrol(fed, "gz-a-2", &other, &bound)?.code() == "EP4107", "a token of another key");
    ensure!(enrol(fed, "gz-a-2", &mine, &bound)?.status == 201, "its own key");
    fed.eport(&["cert", "token", "--subject", "operator/x", "--ttl", "73h"])?.expect(2, "too long a life")?;
    fed.eport(&["cert", "token", "--subject", "operator/x", "--profile", "node"])?
        .expect(4, "another profile")?;
    let huge = format!("{mine}{}", "A".repeat(20_000));
    ensure!(enrol(fed, "gz-a-2", &huge, &bound)?.code() == "EP1207", "a request of any size");
    // Guessing: after five wrong ones the address waits, and the good one with it.
    let good = token(fed, "operator/chen", &[])?;
    let secret = good.split('.').nth(2).context("secret")?.to_owned();
    for n in 0..5 {
        let wrong = good.replace(&secret, &format!("{n:064x}"));
        ensure!(enrol(fed, "gz-c-1", &csr()?.0, &wrong)?.code() == "EP4107", "a guess was good");
    }
    let locked = enrol(fed, "gz-c-1", &csr()?.0, &good)?;
    ensure!(locked.code() == "EP4107" && locked.text().contains("too many wrong"), "{}", locked.text());
    Ok(())
}
