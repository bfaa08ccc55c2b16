//! The verifier rustls calls (R3): one type, both directions, over swappable trust and revocations.

use crate::peer::{self, Usage};
use crate::{PeerIdentity, Refused, Revocations, TrustBundle};
use arc_swap::ArcSwap;
use eport_identity::{Subject, TrustDomain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

/// What every verifier of a process shares.
#[derive(Debug)]
pub(crate) struct Trust {
    pub bundle: ArcSwap<TrustBundle>,
    pub revocations: Revocations,
    pub provider: Arc<CryptoProvider>,
}

impl Trust {
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<PeerIdentity, Refused> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        peer::verify(&self.bundle.load(), &self.revocations, algorithms, chain, usage, now)
    }
}

/// Who may stand on the other side of a listener or dialler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peers {
    /// Nodes only, always with a certificate; a dialled server is named by its node id.
    Nodes,
    /// Anyone of the federation, and callers without a certificate, whom the HTTP layer limits to the open routes; a
    /// dialled server is named by DNS name or address.
    Anyone,
}

/// The one verifier of the federation.
#[derive(Debug)]
pub(crate) struct FederationVerifier {
    pub trust: Arc<Trust>,
    pub peers: Peers,
}

/// The server name a node is dialled by over QUIC.
pub(crate) fn node_server_name(node: &impl std::fmt::Display, domain: &TrustDomain) -> String {
    format!("{node}.{domain}")
}

impl FederationVerifier {
    fn chain<'a>(leaf: &CertificateDer<'a>, above: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
        std::iter::once(leaf).chain(above).cloned().collect()
    }

    fn server(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Refused> {
        let peer = self.trust.verify(chain, Usage::Server, now)?;
        let Subject::Node { node, .. } = peer.subject else {
            return Err(Refused::NotANode(peer.subject.to_string()));
        };
        match self.peers {
            Peers::Nodes => {
                let found = node_server_name(&node, self.trust.bundle.load().domain());
                let expected = name.to_str();
                if *expected == *found {
                    return Ok(());
                }
                Err(Refused::Unexpected { expected: expected.into_owned(), found })
            }
            Peers::Anyone => webpki::EndEntityCert::try_from(&chain[0])
                .and_then(|end| end.verify_is_valid_for_subject_name(name))
                .map_err(|_| Refused::Unexpected {
                    expected: name.to_str().into_owned(),
                    found: node.to_string(),
                }),
        }
    }

    fn client(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Refused> {
        let peer = self.trust.verify(chain, Usage::Client, now)?;
        match (self.peers, peer.subject.node()) {
            (Peers::Nodes, None) => Err(Refused::NotANode(peer.subject.to_string())),
            _ => Ok(()),
        }
    }

    fn signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.trust.provider.signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.trust.provider.signature_verification_algorithms.supported_schemes()
    }

    /// TLS 1.2 is never negotiated (R9); rustls still asks for the method.
    fn no_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".into()))
    }
}

impl ServerCertVerifier for FederationVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.server(&Self::chain(end_entity, intermediates), server_name, now)
            .map_err(Refused::into_rustls)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for FederationVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.peers == Peers::Nodes
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Roots can be swapped while running, so no list is promised; every client here has one certificate anyway.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.client(&Self::chain(end_entity, intermediates), now).map_err(Refused::into_rustls)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

/// Takes whoever holds the key of the certificate shown. For the first contact, see `configs::first_contact`.
#[derive(Debug)]
pub(crate) struct Unknown(pub Arc<CryptoProvider>);

impl ServerCertVerifier for Unknown {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        FederationVerifier::no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
