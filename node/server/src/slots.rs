//! The two places of a node's certificate: the one in use, and beside it, ending in `.next`, the one that is still to be tried.
//!
//! Always holds: a key is on disk before anybody certifies it; the pair in use is replaced key first, and a crash in between is
//! settled at the next start, because the new certificate still lies beside and fits the new key.

use eport_authority::{read_key, write_certificate, write_key};
use eport_tls::Identity;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The files of a node's certificate and key.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    cert: PathBuf,
    key: PathBuf,
}

fn next(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

fn fits(cert: &Path, key: &Path) -> bool {
    Identity::from_files(cert, key).is_ok_and(|i| i.fits())
}

impl Slots {
    /// The slots of the configured files.
    pub(crate) fn new(cert: &Path, key: &Path) -> Self {
        Self { cert: cert.to_owned(), key: key.to_owned() }
    }

    /// Finishes a switch that a crash cut short. Nothing happens when the pair in use fits, or when nothing here fits.
    pub(crate) fn settle(&self) -> io::Result<bool> {
        if fits(&self.cert, &self.key) || !fits(&next(&self.cert), &self.key) {
            return Ok(false);
        }
        self.rename(&self.cert)?;
        Ok(true)
    }

    /// The key that is still to be certified or tried, if there is one.
    pub(crate) fn next_key(&self) -> Option<Zeroizing<String>> {
        read_key(&next(&self.key)).ok()
    }

    /// The pair that is still to be tried, if it is whole.
    pub(crate) fn next_pair(&self) -> Option<Identity> {
        let pair = Identity::from_files(&next(&self.cert), &next(&self.key)).ok()?;
        pair.fits().then_some(pair)
    }

    /// Keeps a key before it is certified; a certificate that lies there belongs to an older one.
    pub(crate) fn keep_key(&self, pem: &str) -> Result<(), eport_authority::Error> {
        let _ = fs::remove_file(next(&self.cert));
        write_key(&next(&self.key), pem)
    }

    /// Keeps the certificate that came for the key.
    pub(crate) fn keep_certificate(&self, pem: &str) -> Result<(), eport_authority::Error> {
        write_certificate(&next(&self.cert), pem)
    }

    /// Lets the pair go that was to be tried.
    pub(crate) fn discard(&self) {
        let _ = fs::remove_file(next(&self.cert));
        let _ = fs::remove_file(next(&self.key));
    }

    /// Makes the pair that was tried the one in use.
    pub(crate) fn promote(&self) -> io::Result<()> {
        self.rename(&self.key)?;
        eport_failpoint::point!("renewal.promote");
        self.rename(&self.cert)
    }

    fn rename(&self, to: &Path) -> io::Result<()> {
        fs::rename(next(to), to)?;
        let dir = to.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;

    fn pair(stem: &str, dir: &Path) -> (String, String) {
        let (domain, now) = ("gd.eport.example".parse().unwrap(), time::OffsetDateTime::now_utc());
        let life = |days| eport_authority::Validity::days(now, days);
        let root = eport_authority::Authority::create_root("gd", &domain, life(9)).unwrap();
        let issued = root
            .create_issuing(
                eport_authority::IssuingSpec {
                    region: "440300".parse().unwrap(),
                    purpose: eport_authority::CaPurpose::Any,
                    epoch: eport_model::Epoch::INITIAL,
                    loopback: true,
                },
                life(8),
            )
            .unwrap()
            .issue_operator("li", eport_authority::Key::Generate, eport_model::Epoch::INITIAL, life(7))
            .unwrap();
        issued.save(dir, stem).unwrap();
        let read = |end| fs::read_to_string(dir.join(format!("{stem}.{end}"))).unwrap();
        (read("crt"), read("key"))
    }

    #[test]
    fn a_switch_cut_short_at_any_step_is_settled_and_the_pair_in_use_always_fits() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("node.crt"), dir.path().join("node.key"));
        let slots = Slots::new(&cert, &key);
        pair("node", dir.path());
        let (new_cert, new_key) = pair("other", dir.path());
        assert!(slots.next_pair().is_none() && !slots.settle().unwrap());
        slots.keep_key(&new_key).unwrap();
        assert!(slots.next_key().is_some() && slots.next_pair().is_none(), "a key alone is no pair");
        assert!(!slots.settle().unwrap() && fits(&cert, &key));
        slots.keep_certificate(&new_cert).unwrap();
        assert!(slots.next_pair().is_some());
        // The node dies between the two renames.
        slots.rename(&key).unwrap();
        assert!(!fits(&cert, &key));
        assert!(slots.settle().unwrap() && fits(&cert, &key));
        assert_eq!(fs::read_to_string(&cert).unwrap(), new_cert);
        assert!(!slots.settle().unwrap() && slots.next_pair().is_none());
    }

    #[test]
    fn a_certificate_of_another_key_is_no_pair_and_a_new_key_drops_it() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::new(&dir.path().join("node.crt"), &dir.path().join("node.key"));
        let ((one, _), (_, two)) = (pair("one", dir.path()), pair("two", dir.path()));
        slots.keep_key(&two).unwrap();
        slots.keep_certificate(&one).unwrap();
        assert!(slots.next_pair().is_none());
        slots.keep_key(&two).unwrap();
        assert!(!dir.path().join("node.crt.next").exists());
        slots.discard();
        assert!(slots.next_key().is_none());
    }
}
