//! Users over real processes: separated administrators, sessions, delegations, lockout, the access log as evidence, a clock that
//! was set back.

use anyhow::{Context, Result, ensure};
use eport_authority::{Authority, Key, Validity};
use eport_cluster::{Federation, Http, Presented, Ran, wait_for, with_federation};
use eport_model::Epoch;
use eport_suite::document;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use time::OffsetDateTime;

const NEAR: &str = "gz-a-1";
const FAR: &str = "sz-a-1";
/// The platform whose primary is `FAR`.
const R: &str = "440300";
const TRADER: &str = "91440300MA5SZXY00X";
const AGENT: &str = "91440100MA5ABCD19J";
const OTHER: &str = "91440100MA5OTHER00";
const SHORT: &str = "91440100MA5SHORT00";
const SOON: Duration = Duration::from_secs(20);

#[test]
fn users_have_their_roles_sessions_and_delegations_and_what_they_did_is_provable() {
    with_federation(&["--site", "gz-a=440000", "--site", "sz-a=440300"], |fed| {
        fed.eport(&["table", "import", "--starter"])?.expect(0, "starter")?;
        three_persons_take_over_and_nobody_is_two_of_them(fed)?;
        a_session_counts_on_every_node_until_it_is_idle_or_logged_out(fed)?;
        an_agent_acts_for_the_enterprise_and_no_other_until_the_delegation_ends(fed)?;
        who_fails_too_often_waits_and_nobody_else_does(fed)?;
        the_access_log_is_read_by_auditors_alone_and_shows_every_change(fed)?;
        a_clock_that_was_set_back_administers_nothing(fed)
    });
}

/// An enterprise whose certificate ends soon.
fn ends_in_half_an_hour(fed: &Federation, id: &str) -> Result<()> {
    let authority = Authority::load(&fed.home().join("ca"), "440000").map_err(|e| anyhow::anyhow!("{e}"))?;
    let now = OffsetDateTime::now_utc();
    let validity = Validity { not_after: now + time::Duration::minutes(30), ..Validity::days(now, 1) };
    let issued = authority.issue_enterprise(id, Key::Generate, Epoch::from_u64(1), validity);
    let issued = issued.map_err(|e| anyhow::anyhow!("{e}"))?;
    issued.save(&fed.home().join("operator"), id).map_err(|e| anyhow::anyhow!("{e}"))
}

/// Certificate and key of a person or an enterprise.
fn files(fed: &Federation, id: &str) -> (PathBuf, PathBuf) {
    let home = fed.home();
    (home.join(format!("operator/{id}.crt")), home.join(format!("operator/{id}.key")))
}

fn as_one(fed: &Federation, id: &str, node: &str, args: &[&str]) -> Result<Ran> {
    let (cert, key) = files(fed, id);
    let mut command = fed.command(&["--json", "--yes", "--api", fed.api(node)?]);
    command.arg("--cert").arg(cert).arg("--key").arg(key).arg("--ca").arg(fed.home().join("ca/bundle.pem"));
    Ran::of(command.args(args))
}

fn refused(ran: Ran, exit: i32, code: &str, what: &str) -> Result<()> {
    let ran = ran.expect(exit, what)?;
    ensure!(ran.error_code() == code, "{what}: {}", ran.stdout);
    Ok(())
}

fn three_persons_take_over_and_nobody_is_two_of_them(fed: &Federation) -> Result<()> {
    let home = fed.home().display().to_string();
    for (id, role) in [
        ("sys", "system_administrator"),
        ("sec", "security_administrator"),
        ("aud", "auditor"),
        ("li", "approver"),
    ] {
        fed.eport(&["user", "issue", id, "--dir", &home, "--region", "440000"])?.ok_json()?;
        fed.eport(&["user", "add", id, "--role", role])?.ok_json()?;
    }
    let authority = Authority::load(&fed.home().join("ca"), "440000").map_err(|e| anyhow::anyhow!("{e}"))?;
    for id in [TRADER, AGENT, OTHER] {
        let validity = Validity::days(OffsetDateTime::now_utc(), 10);
        let issued = authority.issue_enterprise(id, Key::Generate, Epoch::from_u64(1), validity);
        let issued = issued.map_err(|e| anyhow::anyhow!("{e}"))?;
        issued.save(&fed.home().join("operator"), id).map_err(|e| anyhow::anyhow!("{e}"))?;
    }
    let own = as_one(fed, "sec", NEAR, &["role", "add", "sec", "auditor"])?;
    refused(own, 6, "EP4160", "a role for oneself")?;
    let early = as_one(fed, "sec", NEAR, &["setting", "set", "role_separation", "on"])?;
    refused(early, 7, "EP4161", "separation while one stands above the three")?;
    as_one(fed, "sec", NEAR, &["user", "remove", "admin"])?.ok_json()?;
    as_one(fed, "sec", NEAR, &["setting", "set", "role_separation", "on"])?.ok_json()?;
    ensure!(
        as_one(fed, "aud", FAR, &["status"])?.ok_json()?["role_separation"] == "on",
        "the status shows it"
    );
    for args in [
        &["role", "add", "sys", "auditor"][..],
        &["user", "add", "new", "--role", "security_administrator", "--role", "auditor"],
        &["user", "add", "new", "--role", "administrator"],
    ] {
        refused(as_one(fed, "sec", FAR, args)?, 7, "EP4161", "two of the three")?;
    }
    let gives = as_one(fed, "sys", NEAR, &["user", "add", "friend", "--role", "approver"])?;
    refused(gives, 6, "EP1214", "a system administrator gives rights")?;
    let runs = as_one(fed, "sec", NEAR, &["node", "drain", FAR])?;
    refused(runs, 6, "EP1214", "a security administrator runs the system")?;
    let admin = fed.eport(&["node", "drain", FAR])?;
    refused(admin, 6, "EP1214", "who was suspended")?;
    // Where the CAs' keys lie is for who looks after certificates, not for the auditor's eyes alone.
    as_one(fed, "sec", NEAR, &["ca", "keys", "--platform", "440000"])?.expect(0, "ca keys")?;
    let roles = as_one(fed, "aud", NEAR, &["role", "list"])?.ok_json()?;
    let items = roles["items"].as_array().context("items")?;
    let auditor = items.iter().find(|r| r["role"] == "auditor").context("auditor")?;
    ensure!(auditor["holders"] == json!(["aud"]) && auditor["separated"] == true, "{auditor}");
    Ok(())
}

fn login(fed: &Federation, id: &str, node: &str) -> Result<PathBuf> {
    let path = fed.scratch().join(format!("{id}.session"));
    let to = path.display().to_string();
    let shown = as_one(fed, id, node, &["login", "--to", &to])?.ok_json()?;
    ensure!(shown["token"].is_null(), "the token is in the file alone: {shown}");
    Ok(path)
}

fn token(path: &PathBuf) -> Result<String> {
    let saved: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    Ok(saved["token"].as_str().context("token")?.to_owned())
}

/// A caller without any certificate.
fn nobody(fed: &Federation) -> Result<Http> {
    Http::new(&fed.home().join("ca/bundle.pem"), None)
}

fn by_file(fed: &Federation, path: &std::path::Path, node: &str, args: &[&str]) -> Result<Ran> {
    let mut command = fed.command(&["--json", "--yes", "--api", fed.api(node)?, "--session"]);
    Ran::of(command.arg(path).args(args))
}

fn a_session_counts_on_every_node_until_it_is_idle_or_logged_out(fed: &Federation) -> Result<()> {
    let path = login(fed, "sys", NEAR)?;
    for node in [NEAR, FAR] {
        let who = by_file(fed, &path, node, &["whoami"])?.ok_json()?;
        ensure!(who["subject"] == "operator/sys" && who["by"] == "session", "{who}");
    }
    by_file(fed, &path, FAR, &["node", "drain", FAR])?.ok_json()?;
    by_file(fed, &path, FAR, &["node", "drain", FAR, "--undo"])?.ok_json()?;
    let (http, kept) = (nobody(fed)?, token(&path)?);
    let url = |node: &str, path: &str| Ok::<_, anyhow::Error>(format!("{}{path}", fed.api(node)?));
    let again = http.by_session("POST", &url(NEAR, "/v1/session")?, &kept)?;
    ensure!((again.status, again.code().as_str()) == (401, "EP1202"), "{}", again.text());
    let bare = http.get(&url(NEAR, "/v1/nodes")?)?;
    ensure!(bare.code() == "EP1202", "{}", bare.text());
    by_file(fed, &path, NEAR, &["logout", "--to", &path.display().to_string()])?.ok_json()?;
    ensure!(!path.exists(), "the file is gone");
    wait_for("the logout at the other node", SOON, || {
        let reply =
            http.by_session("GET", &url(FAR, "/v1/session").unwrap(), &kept).map_err(|e| e.to_string())?;
        if reply.code() == "EP4162" { Ok(()) } else { Err(reply.text()) }
    })?;
    // Idle: it ends unused, and a used one goes on.
    as_one(fed, "sec", NEAR, &["setting", "set", "session_idle_ms", "3000"])?.ok_json()?;
    let idle = token(&login(fed, "sys", NEAR)?)?;
    let used = login(fed, "li", NEAR)?;
    wait_for("the idle session's end", SOON, || {
        by_file(fed, &used, FAR, &["whoami"]).and_then(|r| r.ok_json()).map_err(|e| format!("{e:#}"))?;
        // Its own look would be no use of it: a refused token is renewed by nobody, and this one never asks before.
        std::thread::sleep(Duration::from_millis(700));
        let began = std::fs::metadata(&used).and_then(|m| m.modified()).map_err(|e| e.to_string())?;
        let made = std::fs::metadata(fed.scratch().join("sys.session")).and_then(|m| m.modified());
        match began.duration_since(made.map_err(|e| e.to_string())?) {
            Ok(later) if later > Duration::from_millis(3_500) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let reply = http.by_session("GET", &url(NEAR, "/v1/session")?, &idle)?;
    ensure!((reply.status, reply.code().as_str()) == (401, "EP4162"), "{}", reply.text());
    // A right that is taken is gone from a session that stands.
    as_one(fed, "sec", NEAR, &["user", "remove", "li"])?.ok_json()?;
    let gone = by_file(fed, &used, NEAR, &["whoami"])?;
    refused(gone, 6, "EP1214", "a suspended operator's session")?;
    as_one(fed, "sec", NEAR, &["setting", "set", "session_idle_ms", "1800000"])?.ok_json()?;
    as_one(fed, "sec", NEAR, &["user", "add", "li", "--role", "approver"])?.ok_json()?;
    Ok(())
}

fn an_agent_acts_for_the_enterprise_and_no_other_until_the_delegation_ends(fed: &Federation) -> Result<()> {
    let file = fed.scratch().join("agents.json");
    std::fs::write(&file, document("AG-1").to_string())?;
    let (file, for_trader) = (file.display().to_string(), ["--acting-for", TRADER]);
    let submit = ["doc", "submit", &file, "-p", R];
    let list = ["doc", "list", "-p", R];
    let both = |args: &[&'static str], more: &[&str]| -> Vec<String> {
        args.iter().map(|s| (*s).to_owned()).chain(more.iter().map(|s| (*s).to_owned())).collect()
    };
    let run = |who: &str, node: &str, args: Vec<String>| {
        as_one(fed, who, node, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let early = run(AGENT, NEAR, both(&for_trader, &submit))?;
    refused(early, 6, "EP4164", "an agent without a delegation")?;
    let foreign = as_one(fed, OTHER, NEAR, &["delegation", "add", TRADER, OTHER])?;
    refused(foreign, 6, "EP6002", "a delegation in another's name")?;
    let given =
        as_one(fed, TRADER, NEAR, &["delegation", "add", TRADER, AGENT, "--platform", R])?.ok_json()?;
    ensure!(given["state"] == "active", "{given}");
    let id = given["id"].as_str().context("id")?.to_owned();
    // At a node that is not primary: the forward carries for whom.
    run(AGENT, NEAR, both(&for_trader, &submit))?.ok_json()?;
    let count = |who: &str, args: Vec<String>| -> Result<usize> {
        Ok(run(who, NEAR, args)?.ok_json()?["items"].as_array().context("items")?.len())
    };
    let own = both(&[], &list);
    ensure!(count(TRADER, own.clone())? == 1, "it is the trader's");
    ensure!(count(AGENT, own.clone())? == 0 && count(OTHER, own)? == 0, "and nobody else's");
    ensure!(count(AGENT, both(&for_trader, &list))? == 1, "its agent reads it");
    let stranger = run(OTHER, FAR, both(&for_trader, &list))?;
    refused(stranger, 6, "EP4164", "who was given nothing")?;
    let wider = run(AGENT, FAR, both(&["--acting-for", OTHER], &list))?;
    refused(wider, 6, "EP4164", "for an enterprise that gave nothing")?;
    let elsewhere = run(AGENT, FAR, both(&for_trader, &["doc", "list", "-p", "440000"]))?;
    refused(elsewhere, 6, "EP4164", "on a platform that is not in it")?;
    whoever_is_not_meant_reads_nothing_of_a_document_by_any_route(fed)?;
    as_one(fed, TRADER, FAR, &["delegation", "remove", &id, "--reason", "moved"])?.ok_json()?;
    wait_for("the end of the delegation", SOON, || {
        let ran = run(AGENT, NEAR, both(&for_trader, &list)).map_err(|e| e.to_string())?;
        if ran.error_code() == "EP4164" { Ok(()) } else { Err(ran.stdout) }
    })
}

/// Every route that shows something of a document, for everybody who is not meant: another trader, an agency that is bound to
/// another platform, an operator without the right, a node in its own name, nobody at all.
fn whoever_is_not_meant_reads_nothing_of_a_document_by_any_route(fed: &Federation) -> Result<()> {
    let authority = Authority::load(&fed.home().join("ca"), "440000").map_err(|e| anyhow::anyhow!("{e}"))?;
    let life = Validity::days(OffsetDateTime::now_utc(), 10);
    for (gateway, platform) in [("1", "440000"), ("2", R)] {
        let issued = authority.issue_agency("CUS", gateway, Key::Generate, Epoch::from_u64(1), life);
        let issued = issued.map_err(|e| anyhow::anyhow!("{e}"))?;
        issued
            .save(&fed.home().join("operator"), &format!("cus-{gateway}"))
            .map_err(|e| anyhow::anyhow!("{e}"))?;
        let agency = format!("agency/CUS/gw/{gateway}");
        as_one(fed, "sec", NEAR, &["user", "add", &agency, "--platform", platform])?.ok_json()?;
    }
    let http = |id: &str| {
        let (cert, key) = files(fed, id);
        Http::new(&fed.home().join("ca/bundle.pem"), Some(Presented { cert: &cert, key: &key }))
    };
    let base = format!("{}/v1/platforms/{R}", fed.api(FAR)?);
    let listed = http(TRADER)?.get(&format!("{base}/documents"))?.json()?;
    let id = listed["items"][0]["doc_id"].as_str().context("the trader's document")?.to_owned();
    let routes = [
        "documents",
        "documents:count",
        &format!("documents/{id}"),
        &format!("documents/{id}/versions"),
        &format!("documents/{id}/receipts"),
        &format!("documents/{id}/trace"),
        &format!("documents/{id}/bodies"),
        "events?after=0&wait=0",
    ];
    let node = fed.node_dir(NEAR).join("tls");
    let node = Http::new(
        &fed.home().join("ca/bundle.pem"),
        Some(Presented { cert: &node.join("node.crt"), key: &node.join("node.key") }),
    )?;
    let nobody = nobody(fed)?;
    let strangers = [
        ("another trader", http(OTHER)?),
        ("an agency of another platform", http("cus-1")?),
        ("an administrator of the system", http("sys")?),
        ("an auditor", http("aud")?),
        ("a node", node),
        ("nobody", nobody),
    ];
    for (who, caller) in &strangers {
        for route in routes {
            let reply = caller.get(&format!("{base}/{route}"))?;
            let text = reply.text();
            // A trader may list: his own, and the count of his own.
            let empty = reply.status == 200
                && (reply.json()?["items"] == json!([])
                    || reply.json()?["count"] == 0
                    || reply.json()?["total"] == 0);
            let refused = matches!(reply.status, 401 | 403 | 404);
            // Who looks after a platform sees which bodies a document has, to erase one by order: digests, and nothing in them.
            let empty = empty || (*who == "an administrator of the system" && route.ends_with("/bodies"));
            ensure!(refused || empty, "{who} {route}: {} {text}", reply.status);
            ensure!(!text.contains(&id) || reply.status == 404, "{who} {route} names the document: {text}");
            ensure!(!text.contains("AG-1"), "{who} {route} shows the reference: {text}");
        }
    }
    // Who is meant does read: the matrix is no wall.
    let reply = http(TRADER)?.get(&format!("{base}/documents/{id}"))?;
    ensure!(reply.status == 200 && reply.text().contains("AG-1"), "{} {}", reply.status, reply.text());
    // The agency that gets a part of it reads its part; the lodger's own number is none of it.
    let reply = http("cus-2")?.get(&format!("{base}/documents/{id}?purpose=CLEARANCE"))?;
    let (status, text) = (reply.status, reply.text());
    ensure!(status == 200 && !reply.json()?["body"]["bill_no"].is_null(), "cus-2: {status} {text}");
    ensure!(!text.contains("AG-1"), "cus-2 is shown the reference: {text}");
    Ok(())
}

fn who_fails_too_often_waits_and_nobody_else_does(fed: &Federation) -> Result<()> {
    as_one(fed, "sec", NEAR, &["setting", "set", "lockout_failures", "3"])?.ok_json()?;
    as_one(fed, "sec", NEAR, &["setting", "set", "lockout_ms", "4000"])?.ok_json()?;
    let (http, url) = (nobody(fed)?, format!("{}/v1/nodes", fed.api(NEAR)?));
    for _ in 0..3 {
        let reply = http.by_session("GET", &url, "eport1.00")?;
        ensure!(reply.code() == "EP4162", "{}", reply.text());
    }
    let locked = http.by_session("GET", &url, "eport1.00")?;
    ensure!((locked.status, locked.code().as_str()) == (429, "EP4163"), "{}", locked.text());
    ensure!(locked.retry_after.is_some_and(|s: u64| (1..=8).contains(&s)), "Retry-After");
    as_one(fed, "sys", NEAR, &["whoami"])?.ok_json()?;
    for _ in 0..3 {
        let ran = as_one(fed, "aud", NEAR, &["setting", "set", "publish_lead_ms", "1"])?;
        refused(ran, 6, "EP1214", "an auditor sets nothing")?;
    }
    // Reads are asked again by the tool until the time is over; a command is not.
    let locked = as_one(fed, "aud", NEAR, &["setting", "set", "publish_lead_ms", "1"])?;
    refused(locked, 6, "EP4163", "an identity that failed too often")?;
    as_one(fed, "aud", NEAR, &["status"])?.ok_json()?;
    as_one(fed, "sys", NEAR, &["whoami"])?.ok_json()?;
    wait_for("the end of the lockout", SOON, || {
        let ran = as_one(fed, "aud", NEAR, &["whoami"]).map_err(|e| e.to_string())?;
        if ran.code == 0 { Ok(()) } else { Err(ran.stdout) }
    })
}

fn the_access_log_is_read_by_auditors_alone_and_shows_every_change(fed: &Federation) -> Result<()> {
    for who in ["sys", "sec", AGENT] {
        let ran = as_one(fed, who, NEAR, &["audit", "show"])?;
        ran.expect(6, "who is no auditor")?;
    }
    let shown = as_one(fed, "aud", NEAR, &["audit", "show", "--lines", "1000"])?.ok_json()?;
    let lines = shown["items"].as_array().context("items")?;
    let has = |event: &str, subject: &str, code: &str| {
        lines
            .iter()
            .any(|l| l["event"] == event && l["subject"] == subject && (code.is_empty() || l["code"] == code))
    };
    ensure!(has("locked_out", "operator/aud", "EP4163") && has("locked_out", "", "EP4163"), "{shown}");
    ensure!(has("denied", "operator/sys", "EP1214") && has("logged_in", "operator/sys", ""), "{shown}");
    ensure!(has("denied", &format!("enterprise/{AGENT}"), "EP4164"), "{shown}");
    ensure!(has("allowed", "operator/sec", ""), "{shown}");
    as_one(fed, "sec", NEAR, &["setting", "set", "access_log_anchor_ms", "200"])?.ok_json()?;
    let mut round = 0;
    let dir = wait_for("a published head", SOON, || {
        round += 1;
        let dir = fed.scratch().join(format!("log-{round}")).display().to_string();
        let made = as_one(fed, "aud", NEAR, &["audit", "export", "--to", &dir]).and_then(|r| r.ok_json());
        let made = made.map_err(|e| format!("{e:#}"))?;
        let found =
            fed.eport(&["audit", "verify", &dir]).and_then(|r| r.ok_json()).map_err(|e| format!("{e:#}"))?;
        let far = found["proven_to"].as_u64().unwrap_or(0) + 10 > found["last"].as_u64().unwrap_or(u64::MAX);
        if found["ok"] == true && far { Ok(PathBuf::from(dir)) } else { Err(format!("{made} {found}")) }
    })?;
    let dir_text = dir.display().to_string();
    let segment = std::fs::read_dir(&dir)?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .find(|p| p.extension().is_some_and(|e| e == "log"))
        .context("a segment")?;
    let whole = std::fs::read(&segment)?;
    let mut flipped = whole.clone();
    let at = whole.len() / 2;
    flipped[at] ^= 1;
    std::fs::write(&segment, &flipped)?;
    let ran = fed.eport(&["audit", "verify", &dir_text])?.expect(11, "a changed byte")?;
    ensure!(ran.stdout.contains("was changed"), "{}", ran.stdout);
    // Cut behind a whole line: the file alone cannot show it, the published head does.
    let ends: Vec<usize> = (0..whole.len()).filter(|i| whole[*i] == b'\n').collect();
    std::fs::write(&segment, &whole[..=ends[ends.len() - 15]])?;
    let ran = fed.eport(&["audit", "verify", &dir_text])?.expect(11, "a cut end")?;
    ensure!(ran.stdout.contains("was published"), "{}", ran.stdout);
    for node in [NEAR, FAR] {
        let log = std::fs::read_to_string(fed.node_dir(node).join("log"))?;
        ensure!(!log.contains("eport1."), "a token stands in the log of {node}");
    }
    ensure!(!String::from_utf8_lossy(&whole).contains("eport1."), "a token stands in the access log");
    Ok(())
}

fn a_clock_that_was_set_back_administers_nothing(fed: &Federation) -> Result<()> {
    let data = fed.node_dir(FAR).join("data");
    ends_in_half_an_hour(fed, SHORT)?;
    as_one(fed, SHORT, FAR, &["doc", "list", "-p", R])?.expect(0, "before the clock is set back")?;
    fed.dev("kill", FAR)?;
    // What the node has seen lies an hour ahead of what its clock will say.
    let seen = OffsetDateTime::now_utc().unix_timestamp() * 1_000 + 3_600_000;
    std::fs::write(data.join("clock.floor"), seen.to_string())?;
    fed.dev("restart", FAR)?;
    let far = wait_for("the node", SOON, || {
        let ran = as_one(fed, "sys", FAR, &["node", "drain", NEAR]).map_err(|e| e.to_string())?;
        if ran.error_code() == "EP4167" { Ok(ran) } else { Err(ran.stdout) }
    })?;
    far.expect(7, "a node whose clock was set back")?;
    let status = as_one(fed, "sys", FAR, &["status"])?.ok_json()?;
    let warned = status["warnings"].as_array().context("warnings")?.iter().any(|w| w["code"] == "EP4167");
    ensure!(warned, "{}", status["warnings"]);
    as_one(fed, TRADER, FAR, &["doc", "list", "-p", R])?.ok_json()?;
    // By the clock it still lives; by the time that the node has seen it ended half an hour ago.
    let revived = as_one(fed, SHORT, FAR, &["doc", "list", "-p", R])?;
    refused(revived, 6, "EP1205", "a certificate that a clock set back would revive")?;
    fed.dev("kill", FAR)?;
    let data_text = data.display().to_string();
    fed.eport(&["node", "clock", "accept", "--data", &data_text])?.ok_json()?;
    fed.dev("restart", FAR)?;
    wait_for("the node with its clock accepted", SOON, || {
        let ran = as_one(fed, "sys", FAR, &["node", "drain", NEAR, "--undo"]).map_err(|e| e.to_string())?;
        if ran.code == 0 { Ok(()) } else { Err(ran.stdout) }
    })
}
