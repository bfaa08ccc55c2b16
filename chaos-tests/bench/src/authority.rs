//! The certificate authority: issuing, OCSP, and how soon a revocation is felt everywhere.
//!
//! Issuing and OCSP over HTTP are told by the processor time of the node, so that client and node on one machine count once; beside each
//! stands what one core does in process without node, journal and HTTP.

use crate::Plan;
use crate::acceptance::percentile;
use crate::federation::Federation;
use crate::keepalive::KeepAlive;
use crate::report::Row;
use crate::suite::push;
use anyhow::{Context, Result, ensure};
use eport_authority::{
    Authority, CaPurpose, IssuingSpec, Key, LeafNames, LeafRequest, OcspAsked, OcspStatus, Profile, Validity,
    certificate_request, read_request,
};
use eport_model::{Epoch, Subject};
use eport_tls::{Identity, Revocations, Serial, Tls, TrustBundle};
use serde_json::{Value, json};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// Clients that issue at the same time; the journal groups what they write.
const ISSUERS: usize = 32;
/// Certificates of one request: what a node takes at most.
const BATCH: usize = 256;
/// Clients that issue in batches.
const BATCHERS: usize = 4;
/// Clients that ask OCSP.
const ASKERS: usize = 16;
/// Certificates that are revoked, each with a connection to every node.
const REVOKED: usize = 30;
/// Repetitions of what runs in process.
const ROUNDS: u32 = 3_000;
/// Where a revocation is felt.
const NODES: [&str; 6] = ["--site", "gz-a=440000:2", "--site", "gz-c=440000:2", "--site", "sz-a=440000:1"];

/// Every measure of the authority.
pub async fn measure(plan: &Plan, rows: &mut Vec<Row>) -> Result<()> {
    let bare = in_process(rows)?;
    let federation = Federation::up(&plan.bin, &plan.dir, &["--site", "gz-a=440000:1"])?;
    let time = Duration::from_secs_f64(plan.seconds);
    issue(&federation, time, &bare, rows).await?;
    issue_batched(&federation, time, &bare, rows).await?;
    ocsp(&federation, time, &bare, rows).await?;
    drop(federation);
    revoke(plan, rows).await
}

/// What one core does without a node, a second.
struct Bare {
    only_signed: f64,
    signed: f64,
    ocsp: f64,
}

/// Nanoseconds that this thread was on a processor: on a busy machine the clock of the wall would measure the others.
fn on_processor() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").context("schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

fn rate(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let begin = on_processor()?;
    for _ in 0..ROUNDS {
        work()?;
    }
    Ok(f64::from(ROUNDS) * 1e9 / (on_processor()? - begin))
}

fn in_process(rows: &mut Vec<Row>) -> Result<Bare> {
    let now = OffsetDateTime::now_utc();
    let domain: eport_model::TrustDomain = "gd.eport.example".parse()?;
    let root = Authority::create_root("gd", &domain, Validity::days(now, 3_650))?;
    let (region, epoch) = ("440000".parse()?, Epoch::INITIAL);
    let spec = IssuingSpec { region, purpose: CaPurpose::Any, epoch, loopback: true };
    let ca = root.create_issuing(spec, Validity::days(now, 900))?;
    let subject: Subject = "enterprise/91440300MA5ABCD19J".parse()?;
    let (request, names) = (certificate_request()?.0, LeafNames::default());
    let life = Validity::days(now, 300);
    let signed = rate(|| {
        black_box(ca.issue(&subject, &names, Key::Request(&request), epoch, life)?);
        Ok(())
    })?;
    // Without any request: the public key lies ready.
    let proven = read_request(&request)?;
    let only_signed = rate(|| {
        black_box(ca.issue(&subject, &names, Key::Proven(&proven), epoch, life)?);
        Ok(())
    })?;
    let profile = Profile::usual(&subject);
    let whole = rate(|| {
        let random = rand::random();
        let read = read_request(&request)?;
        let (days, names, request, subject) = (None, &names, &read, &subject);
        let tbs = ca.prepare(&LeafRequest { profile, subject, names, request, epoch, days, now, random })?;
        black_box(ca.sign(&tbs)?);
        Ok(())
    })?;
    push(
        rows,
        Row {
            what: "Issue in process: request checked, trial validation, lint, signature".into(),
            figure: format!("{whole:.0}/s a core"),
            yardstick: Some(format!(
                "signed by rcgen {only_signed:.0}/s; request checked and signed by rcgen {signed:.0}/s"
            )),
            ratio: Some(whole / only_signed),
            goal: "recorded".into(),
            met: None,
        },
    );
    let delegate = ca.sign_delegate(ca.prepare_delegate(epoch, now, rand::random())?)?;
    let asked =
        OcspAsked::usual(&ca, &hex::encode(eport_authority::serial_of(epoch, [7; 12]))).context("serial")?;
    let answers = [(asked, OcspStatus::Good)];
    let ocsp = rate(|| {
        black_box(delegate.answer(&answers, now, time::Duration::hours(24))?);
        Ok(())
    })?;
    verdicts(&root, &ca, rows)?;
    Ok(Bare { only_signed, signed, ocsp })
}

/// What a handshake's verdict costs with so many revoked.
fn verdicts(root: &Authority, ca: &Authority, rows: &mut Vec<Row>) -> Result<()> {
    let (epoch, life) = (Epoch::INITIAL, Validity::days(OffsetDateTime::now_utc(), 30));
    let node = ca.issue_node(
        "440000".parse()?,
        "gz-a-1".parse()?,
        &LeafNames::default(),
        Key::Generate,
        epoch,
        life,
    )?;
    let key = node.key_pem.as_ref().context("key")?;
    let identity = Identity::from_pem(node.chain_pem.as_bytes(), key.as_bytes())?;
    let bundle = eport_authority::bundle_pem([root, ca]);
    let mut none = 0.0;
    for revoked in [0u32, 10_000, 100_000] {
        let serial = |n: u32| {
            let mut random = [0; 12];
            random[..4].copy_from_slice(&n.to_be_bytes());
            Serial::from_bytes(&eport_authority::serial_of(epoch, random))
        };
        let set = Revocations::new((0..revoked).map(serial));
        let bundle = TrustBundle::from_pem(bundle.as_bytes(), root.domain().clone())?;
        let tls = Tls::new(&identity, bundle, set)?;
        let us = 1e6
            / rate(|| {
                black_box(tls.peer(identity.chain())?);
                Ok(())
            })?;
        if revoked == 0 {
            none = us;
        }
        push(
            rows,
            Row {
                what: format!("Verdict on a chain in a handshake, {revoked} revoked"),
                figure: format!("{us:.0} µs"),
                yardstick: (revoked > 0).then(|| format!("none revoked {none:.0} µs")),
                ratio: (revoked > 0).then_some(us / none),
                goal: if revoked > 0 { "≤ 150 %".into() } else { "recorded".into() },
                met: (revoked > 0).then_some(us <= none * 1.5),
            },
        );
    }
    Ok(())
}

/// Posts the same thing from many clients for a while: how often it was answered as it should, and processor time of the nodes
/// for each, in microseconds.
async fn flood(
    federation: &Federation,
    clients: usize,
    time: Duration,
    (path, media): (&'static str, &'static str),
    body: impl Fn(u64) -> Vec<u8> + Clone + Send + 'static,
    good: impl Fn(u16, &[u8]) -> bool + Clone + Send + 'static,
) -> Result<(f64, f64)> {
    let api = federation.apis()?.into_iter().next().context("a node")?;
    let (counted, next) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (open, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let mut client = KeepAlive::connect(&api, federation.tls()?).await?;
        let (counted, next, body, good) = (counted.clone(), next.clone(), body.clone(), good.clone());
        let (open, over) = (open.clone(), over.clone());
        tasks.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let sent = body(next.fetch_add(1, Ordering::Relaxed));
                let (status, answer) = client.post(path, media, &sent).await?;
                ensure!(good(status, answer), "{path}: {status} {}", String::from_utf8_lossy(answer));
                if open.load(Ordering::Relaxed) && !over.load(Ordering::Relaxed) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
            anyhow::Ok(())
        });
    }
    tokio::time::sleep(time / 4).await;
    open.store(true, Ordering::Relaxed);
    let (begin, cpu) = (Instant::now(), federation.cpu_seconds()?);
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let done = counted.load(Ordering::Relaxed) as f64;
    let per_second = done / begin.elapsed().as_secs_f64();
    let cpu_us = (federation.cpu_seconds()? - cpu) * 1e6 / done.max(1.0);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok((per_second, cpu_us))
}

async fn issue(federation: &Federation, time: Duration, bare: &Bare, rows: &mut Vec<Row>) -> Result<()> {
    let request = certificate_request()?.0;
    let body = move |n: u64| {
        let asked = json!({ "csr": request, "subject": format!("enterprise/B{n}"), "platform": "440000" });
        asked.to_string().into_bytes()
    };
    let made = |status: u16, _: &[u8]| status == 201;
    let target = ("/v1/certificates", "application/json");
    let (per_second, cpu_us) = flood(federation, ISSUERS, time, target, body, made).await?;
    let a_core = 1e6 / cpu_us;
    push(
        rows,
        Row {
            what: format!(
                "Issue over HTTP through request check, trial validation and durable ledger, {ISSUERS} clients"
            ),
            figure: format!(
                "{a_core:.0}/s a core ({cpu_us:.0} µs of processor each; {per_second:.0}/s beside the clients)"
            ),
            yardstick: Some(format!("request checked and signed by rcgen {:.0}/s a core", bare.signed)),
            ratio: Some(a_core / bare.signed),
            goal: "≥ 3 000/s a core".into(),
            met: Some(a_core >= 3_000.0),
        },
    );
    Ok(())
}

/// Many requests in one: the client proves each, the node's journal takes a batch at once.
async fn issue_batched(
    federation: &Federation,
    time: Duration,
    bare: &Bare,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let request = certificate_request()?.0;
    let body = move |n: u64| {
        let asked = |i: usize| json!({ "csr": request, "subject": format!("enterprise/C{n}-{i}") });
        let requests: Vec<Value> = (0..BATCH).map(asked).collect();
        json!({ "platform": "440000", "requests": requests }).to_string().into_bytes()
    };
    let all_made = |status: u16, answer: &[u8]| {
        let made = answer.windows(12).filter(|w| w == b"\"status\":201").count();
        status == 200 && made == BATCH
    };
    let target = ("/v1/certificates:batch", "application/json");
    let (batches, cpu_us) = flood(federation, BATCHERS, time, target, body, all_made).await?;
    let each = BATCH as f64;
    let a_core = 1e6 * each / cpu_us;
    push(
        rows,
        Row {
            what: format!(
                "Issue over HTTP, {BATCH} requests in one, through request check, trial validation and durable ledger, {BATCHERS} clients"
            ),
            figure: format!(
                "{a_core:.0}/s a core ({:.0} µs of processor each; {:.0}/s beside the clients)",
                cpu_us / each,
                batches * each
            ),
            yardstick: Some(format!(
                "signed by rcgen {:.0}/s a core; request checked and signed by rcgen {:.0}/s",
                bare.only_signed, bare.signed
            )),
            ratio: Some(a_core / bare.only_signed),
            goal: "≥ 3 000/s a core".into(),
            met: Some(a_core >= 3_000.0),
        },
    );
    Ok(())
}

async fn ocsp(federation: &Federation, time: Duration, bare: &Bare, rows: &mut Vec<Row>) -> Result<()> {
    let ca = federation.home().join("ca/440000.crt");
    let ca = eport_authority::certificate_of_pem(&std::fs::read_to_string(ca)?)?;
    let listed = federation.eport(&["cert", "list", "--platform", "440000"])?;
    let serial = listed["items"][0]["serial"].as_str().context("a certificate")?;
    let request = eport_authority::ocsp_request(&ca, serial)?;
    let good = |status: u16, answer: &[u8]| status == 200 && answer.len() > 200;
    let body = move |_: u64| request.clone();
    let target = ("/ocsp", "application/ocsp-request");
    let (per_second, cpu_us) = flood(federation, ASKERS, time, target, body, good).await?;
    let a_core = 1e6 / cpu_us;
    push(
        rows,
        Row {
            what: format!("OCSP answers over HTTP, signed before they are asked for, {ASKERS} clients"),
            figure: format!(
                "{a_core:.0}/s a core ({cpu_us:.0} µs of processor each; {per_second:.0}/s beside the clients)"
            ),
            yardstick: Some(format!("signed afresh by the delegate, in process {:.0}/s", bare.ocsp)),
            ratio: Some(a_core / bare.ocsp),
            goal: "≥ 10 000/s a core".into(),
            met: Some(a_core >= 10_000.0),
        },
    );
    Ok(())
}

struct Person {
    serial: String,
    cert: PathBuf,
    key: PathBuf,
}

fn person(federation: &Federation, n: usize) -> Result<Person> {
    let dir = federation.scratch();
    let (cert, key) = (dir.join(format!("p{n}.crt")), dir.join(format!("p{n}.key")));
    let (cert_text, key_text) = (cert.display().to_string(), key.display().to_string());
    let subject = format!("enterprise/P{n}");
    let made = federation.eport(&[
        "cert",
        "issue",
        "--subject",
        &subject,
        "--out",
        &cert_text,
        "--key-out",
        &key_text,
    ])?;
    Ok(Person { serial: made["serial"].as_str().context("serial")?.to_owned(), cert, key })
}

/// Connections of one person to every node, then the revocation: when each was closed, counted from the moment the command was sent.
async fn felt(federation: &Federation, person: &Person, admin: &mut KeepAlive) -> Result<Vec<f64>> {
    let files = eport_client::Files {
        cert: person.cert.clone(),
        key: person.key.clone(),
        ca: federation.state()?.access().ca,
    };
    let mut config = eport_client::client_config(&files)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (config, mut waiting) = (Arc::new(config), tokio::task::JoinSet::new());
    let apis = federation.apis()?;
    let mut open = Vec::new();
    for api in &apis {
        open.push((api.clone(), KeepAlive::connect(api, config.clone()).await?));
    }
    let begin = Instant::now();
    for (api, mut client) in open {
        let config = config.clone();
        waiting.spawn(async move {
            client.closed().await?;
            let at = begin.elapsed().as_secs_f64() * 1_000.0;
            // And no new one.
            let again = match KeepAlive::connect(&api, config).await {
                Ok(mut again) => again.closed_soon().await,
                Err(_) => true,
            };
            ensure!(again, "{api} takes the revoked certificate again");
            anyhow::Ok(at)
        });
    }
    let path = format!("/v1/certificates/{}/revocation", person.serial);
    let body = json!({ "reason": "superseded" }).to_string();
    let (status, answer) = admin.post(&path, "application/json", body.as_bytes()).await?;
    ensure!(status == 200, "{status} {}", String::from_utf8_lossy(answer));
    let told: Value = serde_json::from_slice(answer)?;
    ensure!(told["by"] == "registry", "{told}");
    let mut times = Vec::new();
    while let Some(at) = waiting.join_next().await {
        times.push(at??);
    }
    Ok(times)
}

async fn revoke(plan: &Plan, rows: &mut Vec<Row>) -> Result<()> {
    let federation = Federation::up(&plan.bin, &plan.dir, &NODES)?;
    federation.wait_in_sync("440000", 2)?;
    let nodes = federation.apis()?.len();
    let api = federation.apis()?.into_iter().next().context("a node")?;
    let mut admin = KeepAlive::connect(&api, federation.tls()?).await?;
    let (mut times, mut last) = (Vec::new(), Vec::new());
    for n in 0..REVOKED {
        let person = person(&federation, n)?;
        let felt = felt(&federation, &person, &mut admin).await?;
        ensure!(felt.len() == nodes, "{} of {nodes} nodes closed", felt.len());
        last.push(felt.iter().copied().fold(0.0, f64::max));
        times.extend(felt);
    }
    times.sort_by(f64::total_cmp);
    last.sort_by(f64::total_cmp);
    let (p50, p99) = (percentile(&times, 50.0), percentile(&times, 99.0));
    push(
        rows,
        Row {
            what: format!(
                "Revocation, from the command to refused and closed, {nodes} connected nodes, {REVOKED} revocations"
            ),
            figure: format!(
                "p50 {p50:.0} ms, p99 {p99:.0} ms; the last node p50 {:.0} ms, longest {:.0} ms",
                percentile(&last, 50.0),
                percentile(&last, 100.0)
            ),
            yardstick: None,
            ratio: None,
            goal: "p50 ≤ 100 ms, p99 ≤ 1 s".into(),
            met: Some(p50 <= 100.0 && p99 <= 1_000.0),
        },
    );
    Ok(())
}
