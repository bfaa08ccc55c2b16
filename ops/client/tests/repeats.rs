//! What the client repeats, and what it never repeats, against a server that speaks real TLS and answers by script.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use eport_authority::{Authority, CaPurpose, IssuingSpec, Key, LeafNames, Validity, bundle_pem};
use eport_client::{Client, Error, Files, Repeat, Settings, client_config};
use eport_model::{Epoch, TrustDomain};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the server does with its n-th request; the last entry is used for all that follow.
#[derive(Clone, Copy)]
enum Act {
    Answer(u16, &'static str),
    /// Reads the request and closes the connection without an answer.
    Vanish,
}

struct Server {
    api: String,
    requests: Arc<AtomicUsize>,
}

struct World {
    dir: tempfile::TempDir,
    domain: TrustDomain,
}

impl World {
    /// A federation's certificates: one node, one operator.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let domain: TrustDomain = "gd.eport.example".parse().unwrap();
        let life = Validity::days(OffsetDateTime::now_utc(), 1);
        let root = Authority::create_root("test", &domain, life).unwrap();
        let spec = IssuingSpec {
            region: "440000".parse().unwrap(),
            purpose: CaPurpose::Any,
            epoch: Epoch::from_u64(1),
            loopback: true,
        };
        let ca = root.create_issuing(spec, life).unwrap();
        let names = LeafNames { loopback: true, ..LeafNames::default() };
        let node = "gz-a-1".parse().unwrap();
        let issued = ca.issue_node(spec.region, node, &names, Key::Generate, spec.epoch, life).unwrap();
        issued.save(dir.path(), "node").unwrap();
        let issued = ca.issue_operator("admin", Key::Generate, spec.epoch, life).unwrap();
        issued.save(dir.path(), "operator").unwrap();
        eport_authority::write_certificate(&dir.path().join("ca.pem"), &bundle_pem([&root, &ca])).unwrap();
        Self { dir, domain }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn client(&self, apis: &[&str]) -> Client {
        let files = Files {
            cert: self.path("operator.crt"),
            key: self.path("operator.key"),
            ca: self.path("ca.pem"),
        };
        let apis = apis.iter().map(|a| (*a).to_owned()).collect();
        let settings = Settings { apis, timeout: Duration::from_secs(5), language: "en" };
        Client::new(settings, client_config(&files).unwrap()).unwrap()
    }

    async fn server(&self, script: &'static [Act]) -> Server {
        let (cert, key) = (self.path("node.crt"), self.path("node.key"));
        let tls = eport_tls::Tls::from_files(&cert, &key, &self.path("ca.pem"), self.domain.clone()).unwrap();
        let mut config = (*tls.https_server().unwrap()).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = format!("https://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = requests.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    if read_request(&mut tls).await.is_none() {
                        return;
                    }
                    let n = seen.fetch_add(1, Ordering::SeqCst);
                    if let Act::Answer(status, body) = script[n.min(script.len() - 1)] {
                        let len = body.len();
                        let text = format!(
                            "HTTP/1.1 {status} x\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}"
                        );
                        let _ = tls.write_all(text.as_bytes()).await;
                        let _ = tls.shutdown().await;
                    }
                });
            }
        });
        Server { api, requests }
    }
}

/// Reads head and body of a request; small ones only.
async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some(end) = text.find("\r\n\r\n") {
            let length =
                text.split("content-length: ").nth(1).and_then(|r| r.split("\r\n").next()?.parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0usize) {
                return Some(());
            }
        }
        let mut chunk = [0u8; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

const BUSY: &str = r#"{"status":503,"code":"EP3002","title":"t","detail":"waits","retryable":true}"#;

#[tokio::test]
async fn a_read_goes_to_the_next_address_when_one_is_gone() {
    let world = World::new();
    let server = world.server(&[Act::Answer(200, r#"{"ok":true}"#)]).await;
    // A port that was free a moment ago and is closed again.
    let gone = format!("https://{}", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
    let client = world.client(&[&gone, &server.api]);
    let answer: Value = client.get("/v1/version", &[]).await.unwrap();
    assert_eq!((answer["ok"].as_bool(), client.api()), (Some(true), server.api.as_str()));
}

#[tokio::test]
async fn a_document_is_repeated_until_it_is_answered_and_a_refusal_ends_it() {
    let world = World::new();
    let server =
        world.server(&[Act::Answer(503, BUSY), Act::Vanish, Act::Answer(201, r#"{"doc_id":"E1"}"#)]).await;
    let client = world.client(&[&server.api]);
    let (status, answer) = client.lodge("440300", &json!({"client_ref": "A"}), Repeat::Safe).await.unwrap();
    assert_eq!((status, answer["doc_id"].as_str()), (201, Some("E1")));
    assert_eq!(server.requests.load(Ordering::SeqCst), 3);
    let refusing = world.server(&[Act::Answer(422, r#"{"code":"EP5001","detail":"no"}"#)]).await;
    let error = world.client(&[&refusing.api]).lodge("440300", &json!({}), Repeat::Safe).await.unwrap_err();
    assert_eq!((error.exit(), refusing.requests.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_command_that_was_sent_is_never_sent_again() {
    let world = World::new();
    for script in [&[Act::Vanish][..], &[Act::Answer(503, BUSY)][..]] {
        let server = world.server(Box::leak(script.to_vec().into_boxed_slice())).await;
        let client = world.client(&[&server.api, &server.api]);
        let error = client.command("/v1/platforms", json!({"region": "440300"})).await.unwrap_err();
        assert!(error.outcome_unknown(), "{error}");
        assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_server_of_another_federation_gets_no_request() {
    let (ours, theirs) = (World::new(), World::new());
    let server = theirs.server(&[Act::Answer(200, "{}")]).await;
    let client = ours.client(&[&server.api]).with_timeout(Duration::from_millis(300));
    let error = client.get::<Value>("/v1/version", &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_its_code() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let key = world.path("operator.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = client_config(&Files { cert: world.path("operator.crt"), key, ca: world.path("ca.pem") })
        .unwrap_err();
    assert_eq!(eport_model::Coded::code(&error).to_string(), "EP1204");
    let missing =
        Files { cert: Path::new("/nowhere").into(), key: world.path("x"), ca: world.path("ca.pem") };
    assert!(client_config(&missing).unwrap_err().to_string().contains("/nowhere"));
}
