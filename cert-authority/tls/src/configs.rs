//! The TLS setup of one process, and the rustls configurations made from it.

use crate::verifier::{FederationVerifier, Peers, Trust, Unknown, node_server_name};
use crate::{Error, Identity, PeerIdentity, Refused, Revocations, TrustBundle, Usage, peer};
use arc_swap::ArcSwap;
use eport_identity::{NodeId, TrustDomain};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// ALPN names of the HTTPS listener, preferred first.
pub const HTTPS_ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The TLS setup of one process. Clones share trust, revocations and the own certificate; configurations made earlier
/// follow every later change.
#[derive(Clone, Debug)]
pub struct Tls {
    trust: Arc<Trust>,
    own: Arc<Own>,
}

/// The own certificate in use, replaced as a whole (R7).
#[derive(Debug)]
struct Own(ArcSwap<Slot>);

#[derive(Debug)]
struct Slot {
    certified: Arc<CertifiedKey>,
    me: PeerIdentity,
}

impl Tls {
    /// A setup from its parts. The own certificate must pass the policy that peers will apply to it.
    pub fn new(identity: &Identity, bundle: TrustBundle, revocations: Revocations) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = Arc::new(Trust { bundle: ArcSwap::from_pointee(bundle), revocations, provider });
        let slot = Slot::check(&trust, identity)?;
        Ok(Self { trust, own: Arc::new(Own(ArcSwap::from_pointee(slot))) })
    }

    /// A setup from files: own chain, own key (mode 0600), bundle of roots and issuing CAs.
    pub fn from_files(chain: &Path, key: &Path, bundle: &Path, domain: TrustDomain) -> Result<Self, Error> {
        let bundle = TrustBundle::from_file(bundle, domain)?;
        Self::new(&Identity::from_files(chain, key)?, bundle, Revocations::default())
    }

    /// The same for a process that may have slept past the end of its certificate: it starts with what was good until then, so that
    /// it can ask for the next one. Peers refuse it until it has that. True when the certificate has ended.
    pub fn from_files_even_ended(
        chain: &Path,
        key: &Path,
        bundle: &Path,
        domain: TrustDomain,
    ) -> Result<(Self, bool), Error> {
        let bundle = TrustBundle::from_file(bundle, domain)?;
        let identity = Identity::from_files(chain, key)?;
        match Self::new(&identity, bundle.clone(), Revocations::default()) {
            Err(Error::Own(Refused::Expired)) => {}
            other => return other.map(|tls| (tls, false)),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let revocations = Revocations::default();
        let trust = Arc::new(Trust { bundle: ArcSwap::from_pointee(bundle), revocations, provider });
        let end = identity.chain().first().and_then(|leaf| peer::end_of(leaf));
        let end = UnixTime::since_unix_epoch(Duration::from_secs(end.unwrap_or(0)));
        let slot = Slot::check_at(&trust, &identity, end)?;
        Ok((Self { trust, own: Arc::new(Own(ArcSwap::from_pointee(slot))) }, true))
    }

    /// Replaces the own certificate (R7). On any defect the former one stays.
    pub fn reload(&self, identity: &Identity) -> Result<(), Error> {
        let slot = Slot::check(&self.trust, identity)?;
        self.own.0.store(Arc::new(slot));
        Ok(())
    }

    /// Replaces roots, issuing CAs and issuer rules. Refused when the own certificate would no longer pass.
    pub fn set_bundle(&self, bundle: TrustBundle) -> Result<(), Error> {
        let own = self.own.0.load();
        let next = Trust {
            bundle: ArcSwap::from_pointee(bundle.clone()),
            revocations: self.trust.revocations.clone(),
            provider: self.trust.provider.clone(),
        };
        let leaf_and_above = own.certified.cert.clone();
        next.verify(&leaf_and_above, Usage::Client, UnixTime::now()).map_err(Error::Own)?;
        self.trust.bundle.store(Arc::new(bundle));
        // What is shown above the own leaf follows the bundle. A renewal that comes in between does the same for itself.
        let current = self.own.0.load_full();
        let dressed =
            Slot::dressed(&self.trust, current.certified.clone(), current.me.clone(), UnixTime::now());
        self.own.0.compare_and_swap(&current, Arc::new(dressed));
        Ok(())
    }

    /// The bundle in force.
    pub fn bundle(&self) -> Arc<TrustBundle> {
        self.trust.bundle.load_full()
    }

    /// The set of revocations every verifier of this setup reads.
    pub fn revocations(&self) -> &Revocations {
        &self.trust.revocations
    }

    /// Signs bytes with the key of the own certificate (ECDSA on P-256 with SHA-256): (certificate, signature), both DER.
    pub fn sign(&self, bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let slot = self.own.0.load();
        let signer = slot.certified.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let unusable = || Error::Unusable { what: "own key".into(), reason: "it is not on P-256".into() };
        let signature = signer.ok_or_else(unusable)?.sign(bytes)?;
        let leaf = slot.certified.cert.first().ok_or_else(unusable)?;
        Ok((leaf.to_vec(), signature))
    }

    /// The own identity, as peers see it.
    pub fn me(&self) -> PeerIdentity {
        self.own.0.load().me.clone()
    }

    /// The trust domain.
    pub fn domain(&self) -> TrustDomain {
        self.trust.bundle.load().domain().clone()
    }

    /// The server name under which `quic_client` dials a node; the verifier compares it with the node's certificate.
    pub fn node_server_name(&self, node: NodeId) -> String {
        node_server_name(&node, self.trust.bundle.load().domain())
    }

    /// Judges a chain now: after a handshake (R5), or one that another node forwarded.
    pub fn peer(&self, chain: &[CertificateDer<'_>]) -> Result<PeerIdentity, Refused> {
        self.trust.verify(chain, Usage::Client, UnixTime::now())
    }

    /// Judges a chain for a direction at a moment.
    pub fn peer_at(
        &self,
        chain: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<PeerIdentity, Refused> {
        self.trust.verify(chain, usage, now)
    }

    /// For the QUIC listener: nodes only, certificate mandatory, one of these ALPN names mandatory.
    pub fn quic_server(&self, alpn: &[&[u8]]) -> Result<ServerConfig, Error> {
        self.server(Peers::Nodes, alpn)
    }

    /// For the QUIC dialler: dial with `node_server_name`.
    pub fn quic_client(&self, alpn: &[&[u8]]) -> Result<ClientConfig, Error> {
        self.client(Peers::Nodes, alpn)
    }

    /// For the HTTPS listener: a client may come without certificate (the HTTP layer limits it to the open routes); a
    /// presented certificate must verify.
    pub fn https_server(&self) -> Result<Arc<ServerConfig>, Error> {
        Ok(Arc::new(self.server(Peers::Anyone, &HTTPS_ALPN)?))
    }

    /// For HTTPS clients: the server must be a node of the federation and its certificate must carry the dialled name.
    /// ALPN is left to the HTTP client.
    pub fn https_client(&self) -> Result<ClientConfig, Error> {
        self.client(Peers::Anyone, &[])
    }

    /// For HTTPS clients that show no certificate: whose own has ended, or who has none yet. The server must be a node of the
    /// federation all the same.
    pub fn https_nobody(&self) -> Result<ClientConfig, Error> {
        nobody(self.trust.clone())
    }

    /// For one HTTPS client that shows another certificate than the process's own: to try it before it counts. It must pass the
    /// policy that peers will apply.
    pub fn https_client_as(&self, identity: &Identity) -> Result<ClientConfig, Error> {
        let slot = Slot::check(&self.trust, identity)?;
        let other = Self { trust: self.trust.clone(), own: Arc::new(Own(ArcSwap::from_pointee(slot))) };
        other.https_client()
    }

    fn server(&self, peers: Peers, alpn: &[&[u8]]) -> Result<ServerConfig, Error> {
        let verifier = Arc::new(FederationVerifier { trust: self.trust.clone(), peers });
        let mut config = ServerConfig::builder_with_provider(self.trust.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.own.clone());
        // R1: a resumed session would skip the verifier, and with it a revocation.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Ok(config)
    }

    fn client(&self, peers: Peers, alpn: &[&[u8]]) -> Result<ClientConfig, Error> {
        let verifier = Arc::new(FederationVerifier { trust: self.trust.clone(), peers });
        let mut config = ClientConfig::builder_with_provider(self.trust.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous() // rustls' word for "not the default verifier"; ours is stricter.
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(self.own.clone());
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Ok(config)
    }
}

/// For HTTPS clients without a certificate, before there is a setup of the process: whoever answers must be a node under this
/// bundle.
pub fn client_of_bundle(bundle: TrustBundle) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let revocations = Revocations::default();
    nobody(Arc::new(Trust { bundle: ArcSwap::from_pointee(bundle), revocations, provider }))
}

fn nobody(trust: Arc<Trust>) -> Result<ClientConfig, Error> {
    let provider = trust.provider.clone();
    let verifier = Arc::new(FederationVerifier { trust, peers: Peers::Anyone });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous() // rustls' word for "not the default verifier"; ours is stricter.
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(plain(config))
}

/// For the first contact alone: whoever answers is taken, and nothing may be sent but the question for the trust bundle, which
/// is public and counts only when it holds the root that is known from elsewhere.
pub fn first_contact() -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Unknown(provider.clone()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous() // The bundle that is fetched is judged by its root's fingerprint instead.
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(plain(config))
}

fn plain(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config
}

impl Slot {
    fn check(trust: &Trust, identity: &Identity) -> Result<Self, Error> {
        Self::check_at(trust, identity, UnixTime::now())
    }

    fn check_at(trust: &Trust, identity: &Identity, now: UnixTime) -> Result<Self, Error> {
        let certified = identity.certified(&trust.provider)?;
        let me = trust.verify(identity.chain(), Usage::Client, now).map_err(Error::Own)?;
        Ok(Self::dressed(trust, Arc::new(certified), me, now))
    }

    /// The own leaf under what the bundle shows above it, where it does and where that passes; else as it was.
    fn dressed(trust: &Trust, certified: Arc<CertifiedKey>, me: PeerIdentity, now: UnixTime) -> Self {
        let bundle = trust.bundle.load();
        let above = bundle.path(&me.issuer);
        let Some(leaf) = certified.cert.first().filter(|_| !above.is_empty()) else {
            return Self { certified, me };
        };
        let chain: Vec<_> = std::iter::once(leaf).chain(above).cloned().collect();
        match trust.verify(&chain, Usage::Client, now) {
            Ok(me) => {
                let shown =
                    CertifiedKey { cert: chain, key: certified.key.clone(), ocsp: certified.ocsp.clone() };
                Self { certified: Arc::new(shown), me }
            }
            Err(_) => Self { certified, me },
        }
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified.clone())
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
