//! A small federation for tests, hostile certificates, and a TLS handshake in memory.

#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part; a failing helper is a failing test.

use eport_authority::{Authority, CaPurpose, Issued, IssuingSpec, Key, LeafNames, Validity, bundle_pem};
use eport_identity::{Epoch, RegionCode, Subject, TrustDomain};
use eport_tls::{Identity, Revocations, Tls, TrustBundle};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Eku, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

pub const DOMAIN: &str = "gd.eport.example";

pub fn domain() -> TrustDomain {
    DOMAIN.parse().unwrap()
}

pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

pub fn region(code: &str) -> RegionCode {
    code.parse().unwrap()
}

/// Root, the province's issuing CA and Shenzhen's.
pub struct Federation {
    pub root: Authority,
    pub province: Authority,
    pub city: Authority,
}

impl Federation {
    pub fn new() -> Self {
        let root = Authority::create_root("gd", &domain(), Validity::days(now(), 3650)).unwrap();
        let ca = |code| {
            let spec = IssuingSpec {
                region: region(code),
                purpose: CaPurpose::Any,
                epoch: Epoch::INITIAL,
                loopback: true,
            };
            root.create_issuing(spec, Validity::days(now(), 365)).unwrap()
        };
        let (province, city) = (ca("440000"), ca("440300"));
        Self { root, province, city }
    }

    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::from_pem(bundle_pem([&self.root, &self.province, &self.city]).as_bytes(), domain())
            .unwrap()
    }

    pub fn node(&self, ca: &Authority, code: &str, node: &str) -> Issued {
        self.node_for(ca, code, node, Validity::days(now(), 30))
    }

    pub fn node_for(&self, ca: &Authority, code: &str, node: &str, validity: Validity) -> Issued {
        let names = LeafNames { loopback: true, ..LeafNames::default() };
        ca.issue_node(region(code), node.parse().unwrap(), &names, Key::Generate, Epoch::INITIAL, validity)
            .unwrap()
    }

    pub fn tls(&self, issued: &Issued) -> Tls {
        Tls::new(&identity(issued), self.bundle(), Revocations::default()).unwrap()
    }

    pub fn node_tls(&self, node: &str) -> Tls {
        self.tls(&self.node(&self.province, "440000", node))
    }
}

pub fn identity(issued: &Issued) -> Identity {
    Identity::from_pem(issued.chain_pem.as_bytes(), issued.key_pem.as_ref().unwrap().as_bytes()).unwrap()
}

pub fn expired() -> Validity {
    Validity { not_before: now() - Duration::days(3), not_after: now() - Duration::days(1) }
}

/// Root and issuing CA under full control of the test, for certificates that `Authority` refuses to make.
pub struct Rogue {
    pub root_pem: String,
    pub issuing_pem: String,
    root: Issuer<'static, KeyPair>,
    issuing: Issuer<'static, KeyPair>,
}

impl Rogue {
    pub fn new() -> Self {
        Self::with_scope("/platform/440300")
    }

    /// With an issuing CA of this name.
    pub fn with_scope(scope: &str) -> Self {
        let ca = |name: &str, scope: &str| {
            let mut params = plain(name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params.subject_alt_names = vec![uri(&format!("spiffe://{DOMAIN}{scope}"))];
            params
        };
        let (root_key, issuing_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root_cert = ca("rogue root", "").self_signed(&root_key).unwrap();
        let root = Issuer::new(ca("rogue root", ""), root_key);
        let issuing_cert = ca("rogue issuing", scope).signed_by(&issuing_key, &root).unwrap();
        let issuing = Issuer::new(ca("rogue issuing", scope), issuing_key);
        Self { root_pem: root_cert.pem(), issuing_pem: issuing_cert.pem(), root, issuing }
    }

    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::from_pem(format!("{}{}", self.root_pem, self.issuing_pem).as_bytes(), domain()).unwrap()
    }

    pub fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuing).unwrap().pem();
        Identity::from_pem(format!("{pem}{}", self.issuing_pem).as_bytes(), key.serialize_pem().as_bytes())
            .unwrap()
    }

    pub fn sign_by_root(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.root).unwrap().pem();
        Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }
}

fn plain(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A leaf that passes; tests then break one thing.
pub fn good_leaf() -> CertificateParams {
    let subject: Subject = "platform/440300/node/sz-a-1".parse().unwrap();
    let mut params = plain("sz-a-1");
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![Eku::ServerAuth, Eku::ClientAuth];
    params.subject_alt_names = vec![uri(&subject.uri(&domain()))];
    params
}

/// How a handshake ended on both sides.
pub struct Outcome {
    pub client: ClientConnection,
    pub server: ServerConnection,
    pub client_error: Option<rustls::Error>,
    pub server_error: Option<rustls::Error>,
}

impl Outcome {
    pub fn ok(&self) -> bool {
        self.client_error.is_none()
            && self.server_error.is_none()
            && !self.client.is_handshaking()
            && !self.server.is_handshaking()
    }

    /// The error of the side that refused first, as text.
    pub fn error(&self) -> String {
        let texts = [&self.client_error, &self.server_error].map(|e| e.as_ref().map(|e| e.to_string()));
        texts.into_iter().flatten().collect::<Vec<_>>().join(" / ")
    }
}

pub fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &str) -> Outcome {
    let mut out = Outcome {
        client: ClientConnection::new(client.clone(), name.to_owned().try_into().unwrap()).unwrap(),
        server: ServerConnection::new(server.clone()).unwrap(),
        client_error: None,
        server_error: None,
    };
    for _ in 0..4 {
        let error = pump(&mut out.client, &mut out.server);
        out.server_error = out.server_error.or(error);
        let error = pump(&mut out.server, &mut out.client);
        out.client_error = out.client_error.or(error);
    }
    out
}

/// Moves bytes from one side to the other.
fn pump<A, B, DA, DB>(from: &mut A, to: &mut B) -> Option<rustls::Error>
where
    A: Deref<Target = rustls::ConnectionCommon<DA>> + DerefMut,
    B: Deref<Target = rustls::ConnectionCommon<DB>> + DerefMut,
    DA: rustls::SideData,
    DB: rustls::SideData,
{
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        if let Err(e) = to.process_new_packets() {
            return Some(e);
        }
    }
    None
}

/// Sends raw bytes to a fresh server connection and returns its error.
pub fn server_reads(server: &Arc<ServerConfig>, bytes: &[u8]) -> Option<rustls::Error> {
    let mut conn = ServerConnection::new(server.clone()).unwrap();
    let mut rest = bytes;
    conn.read_tls(&mut rest).unwrap();
    conn.process_new_packets().err()
}

/// Sends a text from client to server over an established pair.
pub fn talk(out: &mut Outcome) -> String {
    out.client.writer().write_all(b"hello").unwrap();
    assert!(pump(&mut out.client, &mut out.server).is_none());
    let mut text = [0; 5];
    out.server.reader().read_exact(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}
