//! From flags, context or environment to a client: which addresses, which certificate, whom to trust.
//!
//! Order: `--cert/--key/--ca` with `--api`; then `--context`; then `EPORT_DIR` (the folder of `dev up`); then the current
//! context. `--api` always picks the address.

use crate::args::Global;
use crate::contexts::Contexts;
use crate::dev::state::DevState;
use crate::error::Error;
use crate::lang::Lang;
use eport_client::{Bearer, Client, Files, Settings, Signer, client_config, session_config};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything needed to call a federation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Addresses of nodes.
    pub apis: Vec<String>,
    /// Client certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Roots and issuing CAs, PEM.
    pub ca: PathBuf,
}

impl Access {
    /// The global flags with which another `eport` calls the same federation with the same certificate.
    pub fn flags(&self) -> Vec<std::ffi::OsString> {
        let files = [("--cert", &self.cert), ("--key", &self.key), ("--ca", &self.ca)];
        let mut flags: Vec<std::ffi::OsString> = vec!["--json".into()];
        for (flag, file) in files {
            flags.extend([flag.into(), file.clone().into_os_string()]);
        }
        if let Some(api) = self.apis.first() {
            flags.extend(["--api".into(), api.into()]);
        }
        flags
    }

    /// Further addresses, as the flags of those commands that take them.
    pub fn further(&self) -> Vec<std::ffi::OsString> {
        self.apis.iter().skip(1).flat_map(|api| ["--also-api".into(), api.into()]).collect()
    }
}

/// Finds out how to call the federation that the flags mean.
pub fn access(global: &Global) -> Result<Access, Error> {
    let mut access = base(global)?;
    if let Some(api) = &global.api {
        access.apis = vec![api.clone()];
    }
    if let (Some(cert), Some(key)) = (&global.cert, &global.key) {
        (access.cert, access.key) = (cert.clone(), PathBuf::from(key));
    }
    if let Some(ca) = &global.ca {
        access.ca.clone_from(ca);
    }
    if access.apis.is_empty() {
        return Err(Error::usage("no API address: give --api, a context or EPORT_DIR"));
    }
    Ok(access)
}

fn base(global: &Global) -> Result<Access, Error> {
    if let Some(name) = &global.context {
        return Contexts::load()?.get(name);
    }
    if let (Some(cert), Some(key), Some(ca)) = (&global.cert, &global.key, &global.ca) {
        return Ok(Access { apis: Vec::new(), cert: cert.clone(), key: key.into(), ca: ca.clone() });
    }
    if let Some(dir) = std::env::var_os("EPORT_DIR").filter(|d| !d.is_empty()) {
        return Ok(DevState::load(Path::new(&dir))?.access());
    }
    Contexts::load()?.current().unwrap_or_else(|| {
        let detail =
            "no certificate is known: give --api with --cert, --key and --ca, a context, or EPORT_DIR";
        Err(Error::coded(eport_model::codes::CERT_MISSING, detail))
    })
}

/// A client for the federation that the flags mean: with the session of `--session`, else with the certificate.
pub fn client(global: &Global) -> Result<Client, Error> {
    let client = match &global.session {
        Some(file) => by_session(global, file)?,
        None => by_certificate(global)?,
    };
    let client = match global.purpose {
        Some(purpose) => client.for_purpose(purpose.word()),
        None => client,
    };
    Ok(match &global.acting_for {
        Some(enterprise) => client.acting_for(enterprise),
        None => client,
    })
}

/// A client with the certificate, also where `--session` names a file: to log in.
pub fn by_certificate(global: &Global) -> Result<Client, Error> {
    client_of(&access(global)?, global.limit(), global.language())
}

/// A client with the token of a file, which is replaced when a node gives a newer one.
fn by_session(global: &Global, file: &Path) -> Result<Client, Error> {
    let saved = crate::commands::session::Saved::load(file)?;
    let apis = global.api.clone().map_or_else(|| saved.api.clone(), |api| vec![api]);
    let tls = session_config(&saved.ca)?;
    let settings = Settings { apis, timeout: global.limit(), language: global.language().pick(("en", "zh")) };
    let (token, path) = (saved.token.clone(), file.to_owned());
    let keep = move |newer: &str| {
        // A file that cannot be written leaves the older token, which holds as long as before.
        let _ = crate::commands::session::Saved { token: newer.to_owned(), ..saved.clone() }.store(&path);
    };
    Ok(Client::new(settings, tls)?.with_session(Bearer::new(token, keep)))
}

/// A client for this access.
pub fn client_of(access: &Access, timeout: Duration, lang: Lang) -> Result<Client, Error> {
    let files = Files { cert: access.cert.clone(), key: access.key.clone(), ca: access.ca.clone() };
    let tls = client_config(&files)?;
    let settings = Settings { apis: access.apis.clone(), timeout, language: lang.pick(("en", "zh")) };
    let client = Client::new(settings, tls)?;
    // A key of another kind or form cannot sign commands but still reads and lodges; a node says when a signature is missing.
    Ok(match Signer::from_files(&files) {
        Ok(signer) => client.with_signer(signer),
        Err(_) => client,
    })
}
