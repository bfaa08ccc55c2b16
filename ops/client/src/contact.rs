//! The first contact with a federation of which only the fingerprint of its root is known.
//!
//! Always holds: until a root with that fingerprint has been shown, nothing leaves this machine but the question for the trust bundle,
//! which is public; afterwards only a node under that very root is spoken to.

use crate::tls::setup;
use crate::{Client, Error, Settings};
use eport_identity::Digest;
use eport_model::TrustDomain;
use eport_tls::TrustBundle;

/// A federation that was found to be the right one.
pub struct Contact {
    /// For calls without a certificate.
    pub client: Client,
    /// Root and issuing CAs, DER.
    pub certificates: Vec<Vec<u8>>,
    /// Its trust domain.
    pub domain: TrustDomain,
}

/// Asks one address for the trust bundle and looks for the root in it.
pub async fn first_contact(api: &str, root: Digest, settings: &Settings) -> Result<Contact, Error> {
    let at = |tls| Client::new(Settings { apis: vec![api.to_owned()], ..settings.clone() }, tls);
    let unknown = at(eport_tls::first_contact().map_err(setup)?)?;
    let shown = unknown.download("/v1/trust-bundle").await?;
    let (bundle, certificates) = TrustBundle::pinned(&shown, root).map_err(setup)?;
    let domain = bundle.domain().clone();
    let client = at(eport_tls::client_of_bundle(bundle).map_err(setup)?)?;
    Ok(Contact { client, certificates, domain })
}
