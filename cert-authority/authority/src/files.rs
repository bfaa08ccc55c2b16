//! Certificate and key files: written whole or not at all, synced, keys readable by their owner only.

use crate::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Permission bits of a private key file.
pub const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;
/// Largest PEM file read: a bundle of some hundred certificates.
const PEM_LEN_MAX: u64 = 1 << 20;

/// Writes a certificate or bundle, readable by all, replacing a former one in one step.
pub fn write_certificate(path: &Path, pem: &str) -> Result<(), Error> {
    write(path, pem.as_bytes(), CERTIFICATE_MODE)
}

/// Writes a private key with mode 0600, replacing a former one in one step.
pub fn write_key(path: &Path, pem: &str) -> Result<(), Error> {
    write(path, pem.as_bytes(), KEY_MODE)
}

/// Reads a private key file; refuses one that group or others can reach.
pub fn read_key(path: &Path) -> Result<Zeroizing<String>, Error> {
    let fail = |source| Error::File { action: "reading", path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(fail)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::KeyExposed { path: path.to_owned(), mode });
    }
    Ok(Zeroizing::new(read(path)?))
}

pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let fail = |source| Error::File { action: "reading", path: path.to_owned(), source };
    let len = fs::metadata(path).map_err(fail)?.len();
    if len > PEM_LEN_MAX {
        return Err(Error::Unusable {
            path: path.to_owned(),
            reason: format!("{len} bytes are too many for PEM"),
        });
    }
    fs::read_to_string(path).map_err(fail)
}

/// Writes a file whole or not at all; a secret one readable by its owner only.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8], secret: bool) -> Result<(), Error> {
    write(path, bytes, if secret { KEY_MODE } else { CERTIFICATE_MODE })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    replace(path, bytes, mode).map_err(|source| Error::File {
        action: "writing",
        path: path.to_owned(),
        source,
    })
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    fs::create_dir_all(dir)?;
    let mut temp = path.as_os_str().to_owned();
    temp.push(".new");
    let temp = Path::new(&temp);
    // A leftover of a crashed write may have other permissions: the mode below applies to a new file only.
    match fs::remove_file(temp) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temp, path)?;
    File::open(dir)?.sync_all()
}
