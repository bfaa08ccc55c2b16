//! `eport release`: what a release consists of, signed, and whether what lies here is that. No node takes part.

use crate::error::Error;
use crate::files::write_new;
use crate::output::Out;
use clap::{Args, Subcommand};
use eport_authority::{KeyAlgorithm, KeyStore, SoftKey, read_key};
use eport_model::{Code, Digest, DigestHasher, codes};
use eport_signature::{RELEASE_LEN_MAX, Release};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Arguments of `eport release`.
#[derive(Args, Debug)]
pub struct ReleaseArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ReleaseCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum ReleaseCommand {
    /// Make the key that signs releases, mode 0600; prints its pin
    Key {
        /// File for the private key; it stays offline
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Say what this program reads and writes, which releases work together, and which starts on the disk of which
    Compatibility,
    /// Sign the digests of the files of a release; prints the pin of the key
    Sign {
        /// The release's version
        #[arg(long, value_name = "VERSION")]
        version: String,
        /// Private key on P-256, PKCS#8 PEM, mode 0600
        #[arg(long, value_name = "FILE")]
        release_key: PathBuf,
        /// File for the signed list
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The programs
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say whether files are those of a signed list; exit 11 when one is not
    Verify {
        /// The signed list
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
        /// The key that must have signed it, as sign printed it
        #[arg(long, value_name = "SHA256")]
        pin: Digest,
        /// The programs
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Runs the group.
pub fn run(args: ReleaseArgs, out: Out) -> Result<(), Error> {
    match args.command {
        ReleaseCommand::Key { out: to } => key(&to, out),
        ReleaseCommand::Compatibility => {
            out.result(&crate::compatibility::document(out.lang), || crate::compatibility::text(out.lang));
            Ok(())
        }
        ReleaseCommand::Sign { version, release_key, out: to, files } => {
            sign(&version, &release_key, &to, &files, out)
        }
        ReleaseCommand::Verify { manifest, pin, files } => verify(&manifest, pin, &files, out),
    }
}

fn authority(error: eport_authority::Error) -> Error {
    Error::coded(Code(error.code()), error.to_string())
}

fn refuse(detail: impl Into<String>) -> Error {
    Error::coded(codes::RELEASE_REFUSED, detail.into())
}

/// A key that exists is never replaced: releases would be signed by two.
fn key(to: &Path, out: Out) -> Result<(), Error> {
    let key = SoftKey::generate(KeyAlgorithm::P256).map_err(authority)?;
    let pem = key.export().ok_or_else(|| Error::key("the key cannot be written"))?;
    write_new(to, pem.as_bytes(), true)?;
    let pin = Digest::of(key.public_point()).to_string();
    out.result(&json!({ "key": to, "pin": pin }), || format!("pin {pin}\n"));
    Ok(())
}

fn sign(version: &str, key: &Path, to: &Path, files: &[PathBuf], out: Out) -> Result<(), Error> {
    let key = SoftKey::from_pem(&read_key(key).map_err(authority)?).map_err(authority)?;
    if key.algorithm() != KeyAlgorithm::P256 {
        return Err(Error::key("a release is signed with a P-256 key"));
    }
    let digests = files.iter().map(|f| Ok((name(f)?, digest(f)?))).collect::<Result<_, Error>>()?;
    let release = Release { version: version.to_owned(), key: key.public_point().to_vec(), files: digests };
    let text = release.text(&key.sign(release.content().as_bytes()).map_err(authority)?);
    // What was made reads back, or the version or a name has characters that it cannot carry.
    Release::read(&text, release.pin()).map_err(|e| Error::usage(e.to_string()))?;
    write_new(to, text.as_bytes(), false)?;
    let pin = release.pin().to_string();
    out.result(&json!({ "manifest": to, "version": version, "pin": pin }), || format!("pin {pin}\n"));
    Ok(())
}

fn verify(manifest: &Path, pin: Digest, files: &[PathBuf], out: Out) -> Result<(), Error> {
    let mut text = String::new();
    let file = std::fs::File::open(manifest).map_err(Error::file(manifest))?;
    // One byte more than any list: a longer one is refused where it is read.
    file.take(RELEASE_LEN_MAX as u64 + 1).read_to_string(&mut text).map_err(Error::file(manifest))?;
    let release = Release::read(&text, pin).map_err(|e| refuse(e.to_string()))?;
    for file in files {
        release.holds(&name(file)?, digest(file)?).map_err(|e| refuse(e.to_string()))?;
    }
    let document = json!({ "version": release.version, "ok": true, "files": files.len() });
    out.result(&document, || {
        format!("release {}: {} files are what was signed\n", release.version, files.len())
    });
    Ok(())
}

fn name(path: &Path) -> Result<String, Error> {
    let name = path.file_name().and_then(|n| n.to_str());
    name.map(str::to_owned).ok_or_else(|| Error::usage(format!("{} has no name", path.display())))
}

fn digest(path: &Path) -> Result<Digest, Error> {
    let mut file = std::fs::File::open(path).map_err(Error::file(path))?;
    let (mut hasher, mut piece) = (DigestHasher::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece).map_err(Error::file(path))? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&piece[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::Lang;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_archive_is_signed_by_a_key_made_here_and_one_flipped_bit_is_refused() {
        let out = Out { json: true, lang: Lang::En, yes: true };
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (secret, list, archive) =
            (at("release.key"), at("eport-0.1.0.release"), at("eport-0.1.0.tar.gz"));
        key(&secret, out).unwrap();
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(key(&secret, out).is_err(), "a key is never replaced");
        let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::write(&archive, &content).unwrap();
        sign("0.1.0", &secret, &list, std::slice::from_ref(&archive), out).unwrap();
        let text = std::fs::read_to_string(&list).unwrap();
        let point = text.lines().find_map(|l| l.strip_prefix("key ")).unwrap();
        let pin = Digest::of(&hex::decode(point).unwrap());
        verify(&list, pin, std::slice::from_ref(&archive), out).unwrap();
        for at in [0, content.len() / 2, content.len() - 1] {
            let mut damaged = content.clone();
            damaged[at] ^= 1;
            std::fs::write(&archive, &damaged).unwrap();
            let refused = verify(&list, pin, std::slice::from_ref(&archive), out).unwrap_err();
            assert_eq!(refused.exit(), crate::exit::DIFFERENCE, "byte {at}: {refused}");
        }
        std::fs::write(&archive, &content[..content.len() - 1]).unwrap();
        assert!(verify(&list, pin, std::slice::from_ref(&archive), out).is_err());
        std::fs::write(&archive, &content).unwrap();
        assert!(verify(&list, Digest::of(b"another key"), &[archive], out).is_err());
    }
}
