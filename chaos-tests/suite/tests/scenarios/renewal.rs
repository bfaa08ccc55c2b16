//! A node joins with a token, and nodes renew their certificates by themselves; a switch cut short; a certificate that has ended.

use anyhow::{Context, Result, ensure};
use eport_authority::{Authority, CommandKey, Key, LeafNames, Validity};
use eport_cluster::{Daemon, Federation, Http, wait_for};
use eport_model::Epoch;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use time::OffsetDateTime;

const DAY_MS: i64 = 86_400_000;

#[test]
fn a_node_joins_with_a_token_and_nodes_renew_by_themselves() {
    let fed = Federation::up_armed(&["--site", "gz-a=440000:2", "--site", "gz-c=440000"]).unwrap();
    let told = |result: Result<()>| result.unwrap_or_else(|e| panic!("{e:#}"));
    told(scenario(&fed));
}

fn scenario(fed: &Federation) -> Result<()> {
    let _joined = a_node_joins_and_is_one_of_them(fed)?;
    a_node_renews_by_itself_and_goes_on(fed)?;
    a_switch_cut_short_is_finished_at_the_next_start(fed)?;
    an_ended_certificate_proves_a_node_that_the_ledger_knows_and_nobody_else(fed)?;
    what_ends_soon_is_forecast(fed)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn a_node_joins_and_is_one_of_them(fed: &Federation) -> Result<Daemon> {
    let made = fed.eport(&["node", "token", "--site", "gz-c"])?.ok_json()?;
    ensure!(made["node"] == "gz-c-2", "{made}");
    let token = made["token"].as_str().context("token")?.to_owned();
    let home = fed.scratch().join("gz-c-2");
    let (config, quic, api) = (home.join("eportd.toml"), free_port()?, free_port()?);
    let (quic, api) = (format!("127.0.0.1:{quic}"), format!("127.0.0.1:{api}"));
    let join = |token: &str| {
        let out = text(&config);
        let args = [
            "node",
            "join",
            "--token",
            token,
            "--config-out",
            &out,
            "--listen-quic",
            &quic,
            "--listen-api",
            &api,
        ];
        let mut command = fed.command(&["--json"]);
        eport_cluster::Ran::of(command.args(args).env_remove("EPORT_DIR"))
    };
    // Somebody in between, with another root: nothing is sent, no key is made.
    let root = token.split('.').nth(3).context("root")?;
    let ran = join(&token.replace(root, &"ab".repeat(32)))?.expect(6, "another root")?;
    ensure!(ran.error_code() == "EP4111", "{}", ran.stdout);
    ensure!(!home.join("tls/node.key").exists(), "a key was made before the root was checked");
    let joined = join(&token)?.ok_json()?;
    ensure!(joined["node"] == "gz-c-2" && joined["site"] == "gz-c", "{joined}");
    let daemon = fed.daemon(&config, &home.join("log"))?;
    fed.wait_status("gz-a-1", "the new node is up", |s| state_of(s, "gz-c-2") == "up")?;
    // The token is used; another machine that has it gets nothing.
    let elsewhere = text(&fed.scratch().join("thief/eportd.toml"));
    let mut thief = fed.command(&["--json", "node", "join", "--token", &token, "--config-out", &elsewhere]);
    let ran = eport_cluster::Ran::of(thief.env_remove("EPORT_DIR"))?.expect(4, "a used token")?;
    ensure!(ran.error_code() == "EP4108", "{}", ran.stdout);
    let items = fed.eport(&["cert", "list", "--subject", "platform/440000/node/gz-c-2"])?.ok_json()?;
    ensure!(items["items"].as_array().is_some_and(|i| i.len() == 1), "{items}");
    Ok(daemon)
}

fn state_of(status: &Value, node: &str) -> String {
    let nodes = status["nodes"].as_array();
    let found = nodes.and_then(|n| n.iter().find(|n| n["node"] == node));
    found.and_then(|n| n["state"].as_str()).unwrap_or("absent").to_owned()
}

fn serial_of(fed: &Federation, node: &str) -> Result<String> {
    let pem = std::fs::read_to_string(fed.node_dir(node).join("tls/node.crt"))?;
    Ok(eport_authority::facts_of(&eport_authority::certificate_of_pem(&pem)?)?.serial)
}

fn renewed(fed: &Federation, node: &str, before: &str) -> Result<String> {
    wait_for("the renewal", Duration::from_secs(30), || match serial_of(fed, node) {
        Ok(serial) if serial != before => Ok(serial),
        other => Err(format!("{other:?}")),
    })
}

fn a_node_renews_by_itself_and_goes_on(fed: &Federation) -> Result<()> {
    let before = serial_of(fed, "gz-a-2")?;
    let key = std::fs::read(fed.node_dir("gz-a-2").join("tls/node.key"))?;
    fed.shift_clock("gz-a-2", 19 * DAY_MS)?;
    let after = renewed(fed, "gz-a-2", &before)?;
    fed.shift_clock("gz-a-2", 0)?;
    ensure!(std::fs::read(fed.node_dir("gz-a-2").join("tls/node.key"))? != key, "the key is the old one");
    let shown = fed.eport(&["cert", "show", &after])?.ok_json()?;
    ensure!(shown["state"] == "valid" && shown["requested_by"] == "platform/440000/node/gz-a-2", "{shown}");
    fed.wait_status("gz-a-1", "the renewed node is up", |s| state_of(s, "gz-a-2") == "up")?;
    // The old one is revoked: whoever still used it would be gone.
    fed.eport(&["cert", "revoke", &before, "--reason", "superseded", "--unknown"])?.ok_json()?;
    fed.dev("restart", "gz-a-2")?;
    fed.wait_status("gz-a-1", "the renewed node is up again", |s| state_of(s, "gz-a-2") == "up")?;
    ensure!(serial_of(fed, "gz-a-2")? == after, "it renewed in a loop");
    Ok(())
}

fn a_switch_cut_short_is_finished_at_the_next_start(fed: &Federation) -> Result<()> {
    let before = serial_of(fed, "gz-c-1")?;
    let point = fed.arm("gz-c-1", "renewal.promote", "stop")?;
    fed.shift_clock("gz-c-1", 19 * DAY_MS)?;
    ensure!(point.wait(Duration::from_secs(20)), "the node did not come to the switch");
    fed.dev("kill", "gz-c-1")?;
    fed.shift_clock("gz-c-1", 0)?;
    drop(point);
    ensure!(serial_of(fed, "gz-c-1")? == before, "it stood between the two files");
    fed.dev("restart", "gz-c-1")?;
    fed.wait_status("gz-a-1", "the node is up", |s| state_of(s, "gz-c-1") == "up")?;
    ensure!(serial_of(fed, "gz-c-1")? != before, "the switch was not finished");
    Ok(())
}

fn an_ended_certificate_proves_a_node_that_the_ledger_knows_and_nobody_else(fed: &Federation) -> Result<()> {
    let ca = Authority::load(&fed.home().join("ca"), "440000")?;
    let at = |seconds: i64| OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    let validity = Validity { not_before: at(-600), not_after: at(8) };
    let platform = "440000".parse()?;
    let issue = |node: &str| {
        let node = node.parse().context("node")?;
        Ok::<_, anyhow::Error>(ca.issue_node(
            platform,
            node,
            &LeafNames { loopback: true, ..LeafNames::default() },
            Key::Generate,
            Epoch::from_u64(1),
            validity,
        )?)
    };
    let (known, stranger, unknown) = (issue("gz-a-2")?, issue("gz-q-9")?, issue("gz-c-1")?);
    let person = ca.issue_operator("li", Key::Generate, Epoch::from_u64(1), validity)?;
    // They were entered in the ledger while they were good.
    for (name, issued) in [("known", &known), ("stranger", &stranger), ("person", &person)] {
        let file = fed.scratch().join(format!("{name}.crt"));
        std::fs::write(&file, &issued.chain_pem)?;
        fed.eport(&["cert", "import", "--platform", "440000", &text(&file)])?.ok_json()?;
    }
    wait_for("the end of the certificates", Duration::from_secs(20), || {
        if OffsetDateTime::now_utc() > validity.not_after { Ok(()) } else { Err("not yet".into()) }
    })?;
    let http = Http::new(&fed.home().join("ca/bundle.pem"), None)?;
    let ask = |issued: &eport_authority::Issued| {
        let (csr, _) = eport_authority::certificate_request()?;
        let key = CommandKey::from_pem(issued.key_pem.as_ref().context("key")?)?;
        let der = eport_authority::read_request(&csr)?.der;
        let signature = key.sign(&[&b"eport certificate renewal 1\n"[..], &der].concat())?;
        let signature: String = signature.iter().map(|b| format!("{b:02x}")).collect();
        let certificate = eport_authority::certificate_of_pem(&issued.chain_pem)?;
        let certificate = eport_authority::certificate_pem(&certificate);
        let body = json!({ "csr": csr, "renewal": { "certificate": certificate, "signature": signature } });
        let url = format!("{}/v1/platforms/440000/certificates:enrol", fed.api("gz-a-2")?);
        let reply = http.post(&url, &body)?;
        Ok::<_, anyhow::Error>((reply.status, reply.code(), reply.text()))
    };
    let (status, _, shown) = ask(&known)?;
    ensure!(
        status == 201 && shown.contains("platform/440000/node/gz-a-2"),
        "an ended one that is known: {shown}"
    );
    for (what, issued) in [("no member", &stranger), ("not in the ledger", &unknown), ("a person", &person)] {
        let (status, code, shown) = ask(issued)?;
        ensure!(status == 403 && code == "EP4113", "{what}: {shown}");
    }
    // The node itself, shut down all the while: it starts, asks, and is one of them again.
    fed.dev("kill", "gz-a-2")?;
    let tls = fed.node_dir("gz-a-2").join("tls");
    std::fs::write(tls.join("node.crt"), &known.chain_pem)?;
    eport_authority::write_key(&tls.join("node.key"), known.key_pem.as_ref().context("key")?)?;
    fed.dev("restart", "gz-a-2")?;
    wait_for("another certificate of the node that slept past its end", Duration::from_secs(60), || {
        let serial = serial_of(fed, "gz-a-2").map_err(|e| format!("{e:#}"))?;
        if serial == known.serial { Err("it still has the one that has ended".to_owned()) } else { Ok(()) }
    })?;
    // Others may still remember it from before it was killed: it is one of them when it knows so itself.
    fed.wait_status("gz-a-2", "the node that slept past its end is up", |s| {
        state_of(s, "gz-a-2") == "up" && s["leader"].is_string()
    })?;
    fed.wait_status("gz-a-1", "and others hear it", |s| state_of(s, "gz-a-2") == "up")?;
    fed.eport(&["cert", "revoke", &known.serial, "--reason", "key-compromise"])?.ok_json()?;
    let (_, code, shown) = ask(&known)?;
    ensure!(code == "EP1206", "revoked: {shown}");
    Ok(())
}

fn what_ends_soon_is_forecast(fed: &Federation) -> Result<()> {
    let shown = fed.eport(&["cert", "forecast"])?.ok_json()?;
    let items = shown["items"].as_array().context("items")?;
    let of = |name: &str| items.iter().find(|i| i["name"] == name);
    ensure!(of("gz-c-2").is_some_and(|i| i["state"] == "renews itself" && i["days_left"] == 29), "{shown}");
    ensure!(items.iter().all(|i| i["kind"] != "ca"), "no CA ends within 90 days: {shown}");
    let far = fed.eport(&["cert", "forecast", "--days", "7400"])?.ok_json()?;
    let cas = far["items"].as_array().into_iter().flatten().filter(|i| i["kind"] == "ca").count();
    ensure!(cas == 2, "root and issuing CA: {far}");
    // A node whose clock says that its end is near says so, in its own readiness and metrics.
    let (http, api) = (fed.http()?, fed.api("gz-a-1")?);
    ensure!(http.get(&format!("{api}/readyz"))?.json()?["warnings"] == json!([]), "a warning without reason");
    let metrics = http.get(&format!("{api}/metrics"))?.text();
    ensure!(metrics.contains("eport_certificate_ends_seconds{kind=\"node\",name=\"gz-a-1\"}"), "{metrics}");
    let warned = fed.status_at("gz-a-1")?["warnings"].clone();
    ensure!(!warned.to_string().contains("EP4112"), "{warned}");
    Ok(())
}
