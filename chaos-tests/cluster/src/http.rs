//! A plain HTTPS caller for what the operators' tool would never send: no certificate, a wrong one, broken bodies.
//!
//! It trusts the CAs it is given and offers the certificate it is given, without judging either: that is the server's duty,
//! and the thing under test.

use anyhow::{Context, Result, anyhow};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest time for one request.
const PATIENCE: Duration = Duration::from_secs(30);

/// Certificate and key that a caller presents.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Certificate chain, PEM.
    pub cert: &'a Path,
    /// Key, PEM.
    pub key: &'a Path,
}

/// An HTTPS caller.
#[derive(Debug)]
pub struct Http {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Seconds of Retry-After, if it was said.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: bytes::Bytes,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("HTTP {}: {:?}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The stable code of a problem answer, empty when there is none.
    pub fn code(&self) -> String {
        self.json().ok().and_then(|j| j["code"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The values of a newline-delimited JSON body.
    pub fn lines(&self) -> Result<Vec<serde_json::Value>> {
        let text = self.text();
        text.lines().map(|l| serde_json::from_str(l).with_context(|| format!("line {l:?}"))).collect()
    }
}

impl Http {
    /// A caller that trusts the CAs of a bundle and presents a certificate, or none.
    pub fn new(ca: &Path, presented: Option<Presented<'_>>) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for cert in CertificateDer::pem_file_iter(ca).map_err(|e| anyhow!("{}: {e}", ca.display()))? {
            roots.add(cert.map_err(|e| anyhow!("{}: {e}", ca.display()))?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        let mut config = match presented {
            None => config.with_no_client_auth(),
            Some(p) => {
                let chain: Result<Vec<_>, _> =
                    CertificateDer::pem_file_iter(p.cert).map_err(|e| anyhow!("{e}"))?.collect();
                let key =
                    PrivateKeyDer::from_pem_file(p.key).map_err(|e| anyhow!("{}: {e}", p.key.display()))?;
                config.with_client_auth_cert(chain.map_err(|e| anyhow!("{}: {e}", p.cert.display()))?, key)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let client =
            reqwest::Client::builder().use_preconfigured_tls(config).no_proxy().timeout(PATIENCE).build()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { runtime, client })
    }

    /// Sends a request; an error means that no answer came.
    pub fn send(
        &self,
        method: &str,
        url: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Result<Reply> {
        let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes())?;
        let mut request = self.client.request(method, url);
        let body = body.into();
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        self.runtime.block_on(async {
            let response = request.send().await?;
            let said = response.headers().get("retry-after").and_then(|v| v.to_str().ok());
            let retry_after = said.and_then(|s| s.parse().ok());
            Ok(Reply { status: response.status().as_u16(), retry_after, body: response.bytes().await? })
        })
    }

    /// Sends a request without a body with a session's token.
    pub fn by_session(&self, method: &str, url: &str, token: &str) -> Result<Reply> {
        let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes())?;
        let request = self.client.request(method, url).header("authorization", format!("Bearer {token}"));
        self.runtime.block_on(async {
            let response = request.send().await?;
            let said = response.headers().get("retry-after").and_then(|v| v.to_str().ok());
            let retry_after = said.and_then(|s| s.parse().ok());
            Ok(Reply { status: response.status().as_u16(), retry_after, body: response.bytes().await? })
        })
    }

    /// Reads an event stream that goes on after `last`, until what came so far satisfies `enough`.
    pub fn follow(&self, url: &str, last: u64, enough: impl Fn(&str) -> bool) -> Result<String> {
        let request = self.client.get(url).header("accept", "text/event-stream");
        let request = request.header("last-event-id", last.to_string());
        self.runtime.block_on(async {
            let (mut response, mut text) = (request.send().await?, String::new());
            while !enough(&text) {
                let chunk = response.chunk().await.with_context(|| format!("after {text:?}"))?;
                let chunk = chunk.with_context(|| format!("the stream ended after {text:?}"))?;
                text.push_str(&String::from_utf8_lossy(&chunk));
            }
            Ok(text)
        })
    }

    /// Reads.
    pub fn get(&self, url: &str) -> Result<Reply> {
        self.send("GET", url, "", Vec::new())
    }

    /// Posts JSON.
    pub fn post(&self, url: &str, body: &serde_json::Value) -> Result<Reply> {
        self.send("POST", url, "application/json", body.to_string())
    }
}
