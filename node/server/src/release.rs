//! The program looks at itself before it looks at anything else: is it the one that was released?
//!
//! What it can show: a file that was damaged, mixed up, or replaced by somebody who knows nothing of this. A program made to harm can leave the
//! look out; that is found from outside, by `eport release verify` from another medium.

use crate::Exit;
use crate::config::Release as Section;
use eport_model::{Digest, DigestHasher, Software, codes};
use eport_signature::{RELEASE_LEN_MAX, Release};
use std::io::Read;
use std::path::Path;
use tokio::sync::watch;
use tracing::{info, warn};

/// The running program, as the system has it.
const MYSELF: &str = "/proc/self/exe";
/// Its name in the list.
const NAME: &str = "eportd";

/// Ends the start when the program is not the released one. Without a configured list nothing is looked at.
pub(crate) fn check(section: &Section) -> Result<(), Exit> {
    let Some(manifest) = &section.manifest else { return Ok(()) };
    let refuse = |detail: String| Exit { code: codes::RELEASE_REFUSED, detail };
    let Some(pin) = section.pin else {
        return Err(refuse("[release] pin: the key that signs releases must be named".into()));
    };
    let text = text(manifest).map_err(|e| refuse(format!("{}: {e}", manifest.display())))?;
    let release = Release::read(&text, pin).map_err(|e| refuse(format!("{}: {e}", manifest.display())))?;
    let own = myself().map_err(|e| refuse(format!("{MYSELF}: {e}")))?;
    release.holds(NAME, own).map_err(|e| refuse(format!("{}: {e}", manifest.display())))?;
    info!(version = %release.version, "this program is the released one");
    Ok(())
}

/// What this node says of its program to everybody: the version at once, the digest as soon as it is computed. The file has a
/// hundred megabytes or more, and nobody waits for it.
pub(crate) fn software() -> watch::Receiver<Software> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let (known, told) = watch::channel(Software { version, build: None });
    tokio::task::spawn_blocking(move || match myself() {
        Ok(digest) => {
            known.send_modify(|s| s.build = Some(digest));
            info!(version = env!("CARGO_PKG_VERSION"), sha256 = %digest, "this program");
        }
        Err(error) => warn!(%error, "this program cannot be read: its digest is not told"),
    });
    told
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more than any list: a longer one is refused where it is read.
    std::fs::File::open(path)?.take(RELEASE_LEN_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn myself() -> std::io::Result<Digest> {
    let mut file = std::fs::File::open(MYSELF)?;
    let (mut hasher, mut piece) = (DigestHasher::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&piece[..n]),
        }
    }
}
