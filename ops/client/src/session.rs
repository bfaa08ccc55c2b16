//! Calls with a session's token instead of a certificate.
//!
//! Always: the token travels in one header over TLS to a node of the federation and is never printed; what a node gives back with
//! a new idle time replaces it.

use crate::tls::{certificates, domain_of_der, setup};
use crate::{Client, Error};
use eport_tls::TrustBundle;
use reqwest::header::{HeaderMap, HeaderValue};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Longest token that is taken from an answer.
const TOKEN_LEN_MAX: usize = 8 << 10;

type Keep = Box<dyn Fn(&str) + Send + Sync>;

/// A session's token and where a newer one is kept.
pub struct Bearer {
    token: Mutex<String>,
    keep: Keep,
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session")
    }
}

impl Bearer {
    /// A token; `keep` is told each newer one.
    pub fn new(token: String, keep: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { token: Mutex::new(token), keep: Box::new(keep) }
    }

    pub(crate) fn header(&self) -> HeaderValue {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }

    pub(crate) fn renewed(&self, headers: &HeaderMap) {
        let fresh = headers.get("eport-session").and_then(|v| v.to_str().ok());
        let Some(fresh) = fresh.filter(|t| t.len() <= TOKEN_LEN_MAX && t.starts_with("eport1.")) else {
            return;
        };
        fresh.clone_into(&mut self.token.lock().unwrap_or_else(PoisonError::into_inner));
        (self.keep)(fresh);
    }
}

impl Client {
    /// This client with a session.
    pub fn with_session(&self, bearer: Bearer) -> Client {
        self.changed(|inner| inner.bearer = Some(std::sync::Arc::new(bearer)))
    }

    /// This client in the name of an enterprise that delegated to its caller.
    pub fn acting_for(&self, enterprise: &str) -> Client {
        self.changed(|inner| inner.behalf = Some(enterprise.to_owned()))
    }

    /// This client with a purpose that every request states.
    pub fn for_purpose(&self, purpose: &str) -> Client {
        self.changed(|inner| inner.purpose = Some(purpose.to_owned()))
    }
}

/// The client side of HTTPS without a certificate of one's own: whom to trust is all that is needed.
pub fn session_config(ca: &Path) -> Result<rustls::ClientConfig, Error> {
    let found = certificates(ca)?;
    let domain = found.iter().find_map(|der| domain_of_der(der)).ok_or_else(|| Error::Setup {
        detail: format!("{}: no certificate names a trust domain", ca.display()),
        code: eport_model::codes::KEY_UNREADABLE,
    })?;
    let bundle = TrustBundle::from_file(ca, domain).map_err(setup)?;
    let mut config = eport_tls::client_of_bundle(bundle).map_err(setup)?;
    config.alpn_protocols = eport_tls::HTTPS_ALPN.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}
