//! This node renews its own certificate: a new key, a request signed by the old one, a trial against a peer, then the switch.
//!
//! Always holds: the old certificate stays in use until a peer, or this node's own listener where it is alone, has accepted the
//! new one; asking needs no client certificate, so a node that slept past its end comes back the same way; whatever fails is
//! tried again after a bounded pause. When and in which order is decided by `eport_enrolment::Renewal`.

use crate::slots::Slots;
use bytes::Bytes;
use eport_agent::{Agent, Clock};
use eport_api_types::{CertificateItem, EnrolRequest, Problem, RenewalProof};
use eport_authority::{certificate_pem, certificate_request, read_request, request_of_key};
use eport_consensus::Registry;
use eport_enrolment::{Act, Life, RENEWAL_CONTEXT, Renewal};
use eport_model::{NodeId, RegionCode};
use eport_tls::{Identity, Tls};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{info, warn};

/// Longest time for one call to another node.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const ANSWER_LEN_MAX: usize = 256 << 10;
/// Nodes asked in one step.
const ASKED_MAX: usize = 4;
/// A new certificate that nobody accepts this often is let go, and another asked for.
const TRIALS_MAX: u32 = 5;
/// Longest sleep, so that a clock that was set, or a test that sets it, is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The renewal of this node's certificate.
pub(crate) struct Renewer {
    slots: Slots,
    tls: Tls,
    registry: Registry,
    agent: Agent,
    clock: Clock,
    own_api: SocketAddr,
    renewal: Renewal,
}

/// From when to when a chain's leaf is valid.
fn life_of(leaf: &[u8]) -> Option<Life> {
    let facts = eport_authority::facts_of(leaf).ok()?;
    let ms = |t: time::OffsetDateTime| t.unix_timestamp().saturating_mul(1_000);
    Some(Life { from: ms(facts.validity.not_before), to: ms(facts.validity.not_after) })
}

impl Renewer {
    /// A renewer; `follow` runs it.
    pub(crate) fn new(
        files: (&Path, &Path),
        tls: Tls,
        registry: Registry,
        agent: &Agent,
        own_api: SocketAddr,
    ) -> Self {
        let renewal = Renewal::new(rand::random());
        let slots = Slots::new(files.0, files.1);
        Self { slots, tls, registry, agent: agent.clone(), clock: agent.clock(), own_api, renewal }
    }

    /// Runs until `stop` is notified.
    pub(crate) async fn follow(mut self, stop: Arc<Notify>) {
        loop {
            let pause = self.step().await;
            tokio::select! {
                () = stop.notified() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Does what is due; says when to look again.
    async fn step(&mut self) -> Duration {
        let now = self.clock.wall().as_millis();
        let me = self.tls.me();
        let Some(current) = me.chain.first().and_then(|leaf| life_of(leaf)) else { return LOOK_EVERY };
        self.agent.set_certificate(current.from, current.to);
        let pair = self.slots.next_pair();
        let next = pair.as_ref().and_then(|p| life_of(p.chain().first()?));
        match self.renewal.look(now, current, next) {
            Act::Wait(ms) => return Duration::from_millis(ms.unsigned_abs()).min(LOOK_EVERY),
            Act::Ask => match self.ask(now, current).await {
                Ok(()) => {
                    info!("the next certificate is here; it is tried now");
                    self.renewal.granted();
                }
                Err(why) => {
                    let left_s = (current.to - now) / 1_000;
                    warn!(%why, left_s, "the certificate was not renewed; it is asked for again");
                    self.renewal.failed(now);
                }
            },
            Act::Try => match self.switch(pair).await {
                Ok(life) => {
                    info!(ends_ms = life.to, "the certificate is renewed");
                    self.agent.set_certificate(life.from, life.to);
                    self.renewal.switched(now, life);
                }
                Err(why) => {
                    warn!(%why, "the next certificate is not in use yet; the present one stays");
                    self.renewal.failed(now);
                    if self.renewal.failures() >= TRIALS_MAX {
                        self.slots.discard();
                    }
                }
            },
        }
        Duration::from_millis(10)
    }

    /// Makes a key, or takes the one whose answer was lost, and asks the CA's primary for a certificate.
    async fn ask(&self, now: i64, current: Life) -> Result<(), String> {
        let text = |e: eport_authority::Error| crate::with_causes(&e);
        // A whole pair that is not tried is of an older renewal: its key would bring the same certificate again.
        if self.slots.next_pair().is_some() {
            self.slots.discard();
        }
        let csr = match self.slots.next_key().and_then(|key| request_of_key(&key).ok()) {
            Some(csr) => csr,
            None => {
                let (csr, key) = certificate_request().map_err(text)?;
                self.slots.keep_key(&key).map_err(text)?;
                csr
            }
        };
        let der = read_request(&csr).map_err(text)?.der;
        let signed = self.tls.sign(&[RENEWAL_CONTEXT, &der].concat());
        let (certificate, signature) = signed.map_err(|e| crate::with_causes(&e))?;
        let region = self.issuing_platform(&certificate)?;
        let renewal = RenewalProof {
            certificate: certificate_pem(&certificate),
            signature: signature.iter().map(|b| format!("{b:02x}")).collect(),
        };
        let body = EnrolRequest { csr, token: None, renewal: Some(renewal) };
        let body = serde_json::to_vec(&body).map_err(|e| e.to_string())?;
        let path = format!("/v1/platforms/{region}/certificates:enrol");
        let mut last = "no node is known to ask".to_owned();
        for (node, home, addr) in self.whom_to_ask(region) {
            let tls = self.tls.https_nobody().map_err(|e| crate::with_causes(&e))?;
            let name = self.dns_name(node, home);
            match call(tls, &addr, &name, "POST", &path, body.clone().into()).await {
                Ok((201, answer)) => return self.keep(&answer, now, current),
                Ok((status, answer)) => {
                    let problem = serde_json::from_slice::<Problem>(&answer);
                    let why = problem.map_or_else(
                        |_| status.to_string(),
                        |p| format!("{} {}", p.code, p.detail.unwrap_or_default()),
                    );
                    last = format!("{node}: {why}");
                }
                Err(why) => last = format!("{node}: {why}"),
            }
        }
        Err(last)
    }

    /// Keeps the certificate of an answer, when it is this node's and peers would take it.
    fn keep(&self, answer: &[u8], now: i64, current: Life) -> Result<(), String> {
        let item: CertificateItem = serde_json::from_slice(answer).map_err(|e| e.to_string())?;
        let chain = item.chain.ok_or("the answer holds no certificate")?;
        let key = self.slots.next_key().ok_or("the key of the request is gone")?;
        let pair =
            Identity::from_pem(chain.as_bytes(), key.as_bytes()).map_err(|e| crate::with_causes(&e))?;
        let peer = self.tls.peer(pair.chain()).map_err(|e| e.to_string())?;
        if !pair.fits() || peer.subject != self.tls.me().subject {
            return Err("the certificate is not this node's".into());
        }
        let life = pair.chain().first().and_then(|leaf| life_of(leaf)).ok_or("it cannot be read")?;
        if life.to <= current.to && now <= current.to {
            return Err(
                "the certificate does not live longer than the present one: the CA itself ends".into()
            );
        }
        self.slots.keep_certificate(&chain).map_err(|e| crate::with_causes(&e))
    }

    /// Shows the next certificate to a peer; when it is taken, it is the one in use.
    async fn switch(&self, pair: Option<Identity>) -> Result<Life, String> {
        let pair = pair.ok_or("the next certificate is gone")?;
        let life = pair.chain().first().and_then(|leaf| life_of(leaf)).ok_or("it cannot be read")?;
        let tls = self.tls.https_client_as(&pair).map_err(|e| crate::with_causes(&e))?;
        let mut last = "nobody could be reached".to_owned();
        let mut taken = false;
        for (node, home, addr) in self.whom_to_show() {
            let name = self.dns_name(node, home);
            // The answer comes only when the handshake, and with it the certificate, was accepted.
            match call(tls.clone(), &addr, &name, "GET", "/v1/version", Bytes::new()).await {
                Ok((200, _)) => {
                    info!(%node, "a peer has taken the next certificate");
                    taken = true;
                    break;
                }
                Ok((status, _)) => last = format!("{node}: {status}"),
                Err(why) => last = format!("{node}: {why}"),
            }
        }
        if !taken {
            return Err(last);
        }
        eport_failpoint::point!("renewal.tried");
        self.slots.promote().map_err(|e| format!("the files cannot be replaced: {e}"))?;
        self.tls.reload(&pair).map_err(|e| crate::with_causes(&e))?;
        Ok(life)
    }

    /// The platform whose CA issued the certificate in use.
    fn issuing_platform(&self, certificate: &[u8]) -> Result<RegionCode, String> {
        let view = self.registry.state();
        let issuer = view.state.issuers().find(|i| eport_authority::issued_by(certificate, &i.certificate));
        issuer.and_then(|i| i.platform).ok_or_else(|| "the registry does not list the issuing CA".to_owned())
    }

    fn dns_name(&self, node: NodeId, home: RegionCode) -> String {
        format!("{node}.{home}.{}", self.tls.domain())
    }

    /// The primary of the CA's platform first, then others who can carry the request on.
    fn whom_to_ask(&self, region: RegionCode) -> Vec<(NodeId, RegionCode, String)> {
        let view = self.registry.state();
        let primary = view.state.placement(region).map(|p| p.primary);
        let up = self.agent.me();
        let mut nodes: Vec<_> = view.state.nodes().filter(|n| n.is_member()).collect();
        nodes.sort_by_key(|n| (Some(n.id) != primary, n.region != region, n.id == up, n.id));
        nodes.into_iter().take(ASKED_MAX).map(|n| (n.id, n.region, self.address(n.id, &n.api))).collect()
    }

    /// Peers first; this node itself only where no other answers.
    fn whom_to_show(&self) -> Vec<(NodeId, RegionCode, String)> {
        let view = self.registry.state();
        let (me, home) = (self.agent.me(), self.agent.home());
        let others = view.state.nodes().filter(|n| n.is_member() && n.id != me);
        let mut nodes: Vec<_> = others.collect();
        nodes.sort_by_key(|n| (n.region != home, n.id));
        let mut all: Vec<_> =
            nodes.into_iter().take(ASKED_MAX).map(|n| (n.id, n.region, n.api.clone())).collect();
        all.push((me, home, self.own_api.to_string()));
        all
    }

    fn address(&self, node: NodeId, api: &str) -> String {
        if node == self.agent.me() { self.own_api.to_string() } else { api.to_owned() }
    }
}

/// One request over a connection of its own.
pub(crate) async fn call(
    tls: rustls::ClientConfig,
    addr: &str,
    name: &str,
    method: &str,
    path: &str,
    body: Bytes,
) -> Result<(u16, Bytes), String> {
    match timeout(CALL_TIMEOUT, exchange(tls, addr, name, method, path, body)).await {
        Ok(answered) => answered,
        Err(_) => Err("it does not answer".to_owned()),
    }
}

async fn exchange(
    tls: rustls::ClientConfig,
    addr: &str,
    name: &str,
    method: &str,
    path: &str,
    body: Bytes,
) -> Result<(u16, Bytes), String> {
    let text = |e: &dyn std::error::Error| e.to_string();
    let stream = TcpStream::connect(addr).await.map_err(|e| text(&e))?;
    let server = rustls::pki_types::ServerName::try_from(name.to_owned()).map_err(|e| text(&e))?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(server, stream).await;
    let stream = stream.map_err(|e| text(&e))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| text(&e))?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", name)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|e| text(&e))?;
    let answered = sender.send_request(request).await;
    let answer = match answered {
        Ok(answer) => answer,
        Err(error) => {
            driver.abort();
            return Err(std::error::Error::source(&error).map_or_else(|| text(&error), text));
        }
    };
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_LEN_MAX).collect().await;
    driver.abort();
    Ok((status, body.map_err(|e| e.to_string())?.to_bytes()))
}
