//! Where the passphrase of the CA keys comes from: a file that the configuration names, or a systemd credential, or nobody, and then
//! the keys stay locked until an operator opens them.

use crate::Exit;
use crate::config::Config;
use eport_authority::{MemoryGuard, Passphrase};
use eport_http::CaShelf;
use eport_model::Code;
use std::path::PathBuf;
use tracing::{info, warn};

/// Name of the systemd credential (`LoadCredential=eport-ca:…`).
const CREDENTIAL: &str = "eport-ca";

/// Keeps keys out of swap and core dumps, and says what of it could not be had.
pub(crate) fn guard(config: &Config) {
    if !config.limits.lock_memory {
        return;
    }
    let MemoryGuard { locked, undumped } = eport_authority::guard_memory();
    match locked {
        Ok(()) => info!("memory is locked: no key reaches swap"),
        Err(why) => {
            warn!(%why, "memory is not locked: keys in it may reach swap; use encrypted swap or none")
        }
    }
    if let Err(why) = undumped {
        warn!(%why, "a core dump of this process would hold keys");
    }
}

/// The issuing CAs of this node.
pub(crate) fn cas(config: &Config) -> Result<CaShelf, Exit> {
    let Some(dir) = &config.ca.dir else { return Ok(CaShelf::default()) };
    let source = config.ca.passphrase_file.clone().or_else(credential);
    let passphrase = source.as_deref().map(Passphrase::read).transpose();
    let passphrase = passphrase.map_err(|e| Exit { code: Code(e.code()), detail: e.to_string() })?;
    let opened = CaShelf::open(dir, passphrase.as_ref());
    let (shelf, said) = opened.map_err(|(code, detail)| Exit { code, detail })?;
    for what in said {
        warn!(dir = %dir.display(), %what, "the folder of CAs");
    }
    for (ca, _) in shelf.all() {
        info!(key = %ca.spki(), name = %ca.name().uri(ca.domain()), "issuing CA opened");
    }
    for ca in shelf.locked() {
        warn!(key = %ca.key, file = %ca.stem, "a CA's key is locked: eport ca unlock opens it");
    }
    Ok(shelf)
}

/// The credential that systemd has put into this process's own folder.
#[allow(clippy::disallowed_methods, reason = "systemd names the folder of credentials in the environment")]
fn credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join(CREDENTIAL);
    path.exists().then_some(path)
}
