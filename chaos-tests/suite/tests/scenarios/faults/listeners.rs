//! What a node listens on, as the system tells it, and what its logs and metrics say.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Http};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// Sixteen callers as fast as they can: connections that never say what they want, handshakes with requests that prove nothing, noise on the
/// socket of the nodes. The registry takes commands all the while, at the flooded node; no platform is moved and no member given up.
pub fn a_flood_of_handshakes_requests_and_noise_stops_no_command_and_moves_nothing(
    fed: &Federation,
) -> Result<()> {
    const NODE: &str = "gz-a-1";
    let epochs = || -> Result<Vec<String>> {
        let status = fed.status_at(NODE)?;
        let all = status["platforms"].as_array().context("platforms")?.iter();
        Ok(all.map(|p| format!("{} {} {}", p["region"], p["primary"], p["epoch"])).collect())
    };
    let before = epochs()?;
    let (api, quic) = (configured(fed, NODE, "api")?, configured(fed, NODE, "quic")?);
    let (bundle, url) = (fed.home().join("ca/bundle.pem"), format!("{}/v1/certificates", fed.api(NODE)?));
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let going = || !over.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut held = std::collections::VecDeque::new();
                while going() {
                    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", api)) else { continue };
                    let _ = stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
                    held.push_back(stream);
                    held.truncate(32);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..7 {
            scope.spawn(|| {
                let body = serde_json::json!({ "csr": "none", "token": "ept1.none" });
                while going() {
                    // A handshake each time.
                    let _ = Http::new(&bundle, None).and_then(|http| http.post(&url, &body));
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let Ok(socket) = std::net::UdpSocket::bind("127.0.0.1:0") else { return };
            while going() {
                let _ = socket.send_to(&[0xc3; 1_200], ("127.0.0.1", quic));
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let told = (1..=8).try_for_each(|n: u32| {
            let lead = (1_000 + n).to_string();
            fed.eport_at(NODE, &["setting", "set", "publish_lead_ms", &lead])?.ok_json().map(drop)
        });
        over.store(true, Ordering::Relaxed);
        told
    })?;
    let sent = sent.load(Ordering::Relaxed);
    ensure!(sent > 100, "a flood of {sent} is none");
    ensure!(epochs()? == before, "{:?} became {:?}", before, epochs()?);
    fed.wait_status(NODE, "every member is heard", |s| {
        s["nodes"].as_array().is_some_and(|n| n.iter().all(|n| n["state"] == "up"))
    })?;
    eprintln!("flooded {sent} times; eight commands were taken meanwhile");
    Ok(())
}
