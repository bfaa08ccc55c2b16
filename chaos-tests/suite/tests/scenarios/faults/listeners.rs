//! What a node listens on, as the system tells it, and what its logs and metrics say.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Http};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

/// Inodes of the sockets that a process has open.
fn sockets(pid: u32) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let inode = target
            .to_string_lossy()
            .strip_prefix("socket:[")
            .and_then(|r| r.strip_suffix(']'))
            .map(str::to_owned);
        found.extend(inode);
    }
    Ok(found)
}

/// Local ports of a process in a table of `/proc/net`; of TCP those that listen, of UDP all.
fn ports(pid: u32, table: &str) -> Result<BTreeSet<u16>> {
    let own = sockets(pid)?;
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}"))?;
    let mut found = BTreeSet::new();
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(state), Some(inode)) = (words.get(1), words.get(3), words.get(9)) else {
            continue;
        };
        let listens = table.starts_with("udp") || *state == "0A";
        if listens && own.contains(*inode) {
            let port = local.rsplit(':').next().and_then(|p| u16::from_str_radix(p, 16).ok());
            found.insert(port.with_context(|| line.to_owned())?);
        }
    }
    Ok(found)
}

fn process(fed: &Federation, node: &str) -> Result<u32> {
    let config = fed.node_dir(node).join("eportd.toml").to_string_lossy().into_owned();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|b| *b == 0);
        let program = words.next().unwrap_or_default();
        if program.ends_with(b"eportd") && words.any(|w| w == config.as_bytes()) {
            return Ok(pid);
        }
    }
    anyhow::bail!("no process of {node}")
}

fn configured(fed: &Federation, node: &str, key: &str) -> Result<u16> {
    let text = std::fs::read_to_string(fed.node_dir(node).join("eportd.toml"))?;
    let line =
        text.lines().find(|l| l.trim_start().starts_with(&format!("{key} = "))).context(key.to_owned())?;
    let port = line.trim_end().trim_end_matches('"').rsplit(':').next().context("a port")?;
    port.parse().with_context(|| line.to_owned())
}

/// What a socket answers to bytes without TLS.
fn plain(port: u16, said: &[u8]) -> Result<Vec<u8>> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(said)?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(answer)
}

/// One TCP socket of the API, which speaks TLS 1.3 and shows the open routes to whoever has no certificate; one for metrics on loopback; one UDP socket, QUIC among nodes. A
/// caller that speaks anything else gets nothing.
pub fn every_socket_that_a_node_listens_on_wants_a_certificate_and_there_is_no_other(
    fed: &Federation,
) -> Result<()> {
    let bundle = fed.home().join("ca/bundle.pem");
    for node in fed.nodes() {
        let pid = process(fed, &node.node)?;
        let (api, quic) = (configured(fed, &node.node, "api")?, configured(fed, &node.node, "quic")?);
        let metrics = configured(fed, &node.node, "metrics")?;
        let tcp: BTreeSet<u16> = ports(pid, "tcp")?.union(&ports(pid, "tcp6")?).copied().collect();
        let udp: BTreeSet<u16> = ports(pid, "udp")?.union(&ports(pid, "udp6")?).copied().collect();
        ensure!(tcp == BTreeSet::from([api, metrics]), "{}: listens on TCP {tcp:?}", node.node);
        // Without TLS and so on this machine alone: figures, and no other path.
        for (path, status) in
            [("/metrics", "200"), ("/v1/nodes", "404"), ("/healthz", "404"), ("/v1/registry/rows", "404")]
        {
            let said = plain(
                metrics,
                format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(),
            )?;
            let said = String::from_utf8_lossy(&said).into_owned();
            ensure!(said.starts_with(&format!("HTTP/1.1 {status}")), "{path} on {metrics}: {said}");
        }
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp"))?;
        ensure!(table.contains(&format!("0100007F:{metrics:04X}")), "metrics are not on loopback");
        ensure!(udp == BTreeSet::from([quic]), "{}: has UDP {udp:?}, {quic} is configured", node.node);
        let nobody = Http::new(&bundle, None)?;
        for path in ["/metrics", "/v1/nodes", "/v1/registry/rows", "/openapi.json", "/docs"] {
            let reply = nobody.get(&format!("{}{path}", fed.api(&node.node)?))?;
            ensure!(reply.status == 401, "{} {path} without a certificate: {}", node.node, reply.status);
        }
        // No plain HTTP, and no answer to noise.
        for said in [&b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"[..], &[0x16, 3, 1, 0, 2, 1, 0], &[0; 64]] {
            let answer = plain(api, said)?;
            ensure!(!answer.starts_with(b"HTTP"), "plain HTTP is answered on {api}");
        }
    }
    Ok(())
}

fn secret_words(home: &Path) -> Result<Vec<String>> {
    let passphrase = std::fs::read_to_string(home.join("ca/passphrase"))?;
    let word = passphrase.lines().find(|l| !l.starts_with('#') && !l.is_empty()).context("passphrase")?;
    let mut words = vec![word.trim().to_owned()];
    // Prefixes of every kind of token and secret there is.
    words.extend(["eport1.", "ept1.", "PRIVATE KEY", "eport share 1"].map(str::to_owned));
    Ok(words)
}

/// Also not after sessions, tokens and keys were used: other scenarios look at their own logs.
pub fn no_log_and_no_metric_holds_a_secret(fed: &Federation) -> Result<()> {
    let path = fed.scratch().join("admin.session");
    let made = fed
        .eport(&["cert", "token", "--subject", "enterprise/91440300MA5SECRET0", "--ttl", "1h"])?
        .ok_json()?;
    let token = made["token"].as_str().context("token")?.to_owned();
    let (csr, _) = eport_authority::certificate_request()?;
    let nobody = Http::new(&fed.home().join("ca/bundle.pem"), None)?;
    let body = serde_json::json!({ "csr": csr, "token": token });
    let api = fed.api("gz-a-1")?;
    let first = nobody.post(&format!("{api}/v1/certificates"), &body)?;
    ensure!(first.status == 201, "{}", first.text());
    // The wrong way, too: what is refused is logged more readily than what is not.
    let other = serde_json::json!({ "csr": eport_authority::certificate_request()?.0, "token": token });
    ensure!(nobody.post(&format!("{api}/v1/certificates"), &other)?.code() == "EP4108", "a used token");
    fed.eport(&["login", "--to", &path.to_string_lossy()])?.ok_json()?;
    let session: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let session = session["token"].as_str().context("session")?.to_owned();
    nobody.by_session("GET", &format!("{api}/v1/nodes"), &session)?;
    nobody.by_session("GET", &format!("{api}/v1/nodes"), &format!("{session}00"))?;
    let mut words = secret_words(&fed.home())?;
    words.extend([token, session]);
    for node in fed.nodes() {
        let log = std::fs::read_to_string(fed.node_dir(&node.node).join("log"))?;
        ensure!(log.len() > 1_000, "there is a log");
        let metrics = fed.http()?.get(&format!("{}/metrics", fed.api(&node.node)?))?.text();
        ensure!(metrics.contains("# HELP"), "{metrics}");
        let log_dir = fed.node_dir(&node.node).join("data/access-log");
        let mut access = String::new();
        for file in std::fs::read_dir(&log_dir)?.flatten() {
            access.push_str(&std::fs::read_to_string(file.path())?);
        }
        for (what, text) in [("log", &log), ("metrics", &metrics), ("access log", &access)] {
            for word in &words {
                ensure!(
                    !text.contains(word.as_str()),
                    "{}: a secret in the {what}: {}…",
                    node.node,
                    &word[..word.len().min(8)]
                );
            }
        }
    }
    Ok(())
}
