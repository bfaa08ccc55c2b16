//! Who is asking: the identity that TLS proved, carried beside every request.

use eport_model::{NodeId, Subject};
use eport_tls::PeerIdentity;
use std::sync::Arc;

/// The caller of a request.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The verified certificate; `None` on a connection without one.
    pub identity: Option<Arc<PeerIdentity>>,
    /// The node that forwarded the request, if it did not come straight from the caller.
    pub via: Option<NodeId>,
    /// Address the connection comes from, where it comes straight from the caller.
    pub source: Option<std::net::IpAddr>,
    /// The signature under what is asked, if the request carries one.
    pub signature: Option<Arc<eport_signature::Header>>,
}

impl Caller {
    /// The subject, if the caller showed a certificate.
    pub fn subject(&self) -> Option<&Subject> {
        self.identity.as_ref().map(|i| &i.subject)
    }

    /// Text for logs and registry commands.
    pub fn name(&self) -> String {
        self.subject().map_or_else(|| "anonymous".to_owned(), ToString::to_string)
    }
}
