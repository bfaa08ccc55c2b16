//! Who is asking: the identity that TLS proved, or a session opened with one, carried beside every request.

use eport_access::Session;
use eport_model::{NodeId, Subject};
use eport_tls::PeerIdentity;
use std::fmt;
use std::sync::Arc;

/// A session with the token that showed it, for forwarding. The token is never printed.
#[derive(Clone)]
pub struct Shown {
    /// The session.
    pub session: Session,
    pub(crate) token: Arc<str>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a session of {}", self.session.claims.subject)
    }
}

impl From<(Session, String)> for Shown {
    fn from((session, token): (Session, String)) -> Self {
        Self { session, token: token.into() }
    }
}

/// The caller of a request.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The verified certificate; `None` on a connection without one.
    pub identity: Option<Arc<PeerIdentity>>,
    /// The session, where there is no certificate.
    pub session: Option<Shown>,
    /// The enterprise in whose name the caller asks, where that is not its own.
    pub behalf: Option<String>,
    /// The node that forwarded the request, if it did not come straight from the caller.
    pub via: Option<NodeId>,
    /// Address the connection comes from, where it comes straight from the caller.
    pub source: Option<std::net::IpAddr>,
    /// The signature under what is asked, if the request carries one.
    pub signature: Option<Arc<eport_signature::Header>>,
}

impl Caller {
    /// The subject, if the caller showed a certificate or a session.
    pub fn subject(&self) -> Option<&Subject> {
        let by_session = self.session.as_ref().map(|s| &s.session.claims.subject);
        self.identity.as_ref().map(|i| &i.subject).or(by_session)
    }

    /// Serial of the certificate, also of the one that opened the session.
    pub fn serial(&self) -> Option<String> {
        let by_session = self.session.as_ref().map(|s| s.session.claims.serial.clone());
        self.identity.as_ref().map(|i| i.serial.to_string()).or(by_session)
    }

    /// Key of the CA that issued the certificate, also of the one that opened the session.
    pub fn issuer(&self) -> Option<eport_model::Digest> {
        let by_session = self.session.as_ref().map(|s| s.session.claims.issuer);
        self.identity.as_ref().map(|i| i.issuer).or(by_session)
    }

    /// In whose name documents are lodged and read.
    pub fn lodger(&self) -> Option<String> {
        self.behalf.clone().or_else(|| self.subject().map(Subject::lodger))
    }

    /// Text for logs and registry commands.
    pub fn name(&self) -> String {
        self.subject().map_or_else(|| "anonymous".to_owned(), ToString::to_string)
    }
}
