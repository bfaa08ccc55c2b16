//! Revocations on this node: what the registry says, and everything this node ever knew, in force on every connection.
//!
//! What always holds: a serial that was in force here is in force again before the first listener opens, also when the registry was
//! set back by a restore or has no news yet: the set is a union and never shrinks. A change closes the live connections it
//! is about; a connection that slipped between two looks is closed by the next one.

use crate::Exit;
use eport_consensus::Registry;
use eport_http::Lists;
use eport_model::{Distrust, codes};
use eport_tls::{Serial, Tls};
use eport_transport::{CloseCode, Transport};

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tracing::{error, info, warn};

/// Name of the file in the data directory: one serial or rule a line.
const FILE: &str = "revoked.txt";
/// Largest file read: half a million serials.
const FILE_LEN_MAX: u64 = 32 << 20;
/// Looks at live connections without a change: an end of validity has no other signal.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A serial, or a rule that takes the trust from many certificates.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Serial(Serial),
    Rule(Distrust),
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Entry::Serial(serial) => write!(f, "{serial}"),
            Entry::Rule(rule) => write!(f, "{rule}"),
        }
    }
}

impl std::str::FromStr for Entry {
    type Err = eport_model::ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') { text.parse().map(Entry::Rule) } else { text.parse().map(Entry::Serial) }
    }
}

/// Puts a set in force: every handshake after this sees it.
fn put<'a>(entries: impl Iterator<Item = &'a Entry> + Clone, tls: &Tls) {
    let serial = |e: &'a Entry| if let Entry::Serial(s) = e { Some(s.clone()) } else { None };
    let rule = |e: &'a Entry| if let Entry::Rule(r) = e { Some(r.clone()) } else { None };
    tls.revocations().replace(entries.clone().filter_map(serial));
    tls.revocations().replace_rules(entries.filter_map(rule));
}

/// The revocations that this node knows.
pub(crate) struct Revoked {
    path: PathBuf,
    known: BTreeSet<Entry>,
    /// Length of the file up to which every line is whole.
    whole: u64,
}

impl Revoked {
    /// Reads what an earlier run knew and puts it in force.
    pub(crate) fn open(data_dir: &Path, tls: &Tls) -> Result<Self, Exit> {
        let path = data_dir.join(FILE);
        let failed = |detail: String| Exit {
            code: codes::STORAGE_FAILED,
            detail: format!("{}: {detail}", path.display()),
        };
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => {
                file.take(FILE_LEN_MAX + 1).read_to_string(&mut text).map_err(|e| failed(e.to_string()))?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e.to_string())),
        }
        if text.len() as u64 > FILE_LEN_MAX {
            return Err(failed("it is longer than any set of revocations".into()));
        }
        // A line that a crash cut short is written again: the registry still has it.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let read = text[..whole].lines().map(|l| l.parse::<Entry>().map_err(|e| failed(e.to_string())));
        let known = read.collect::<Result<BTreeSet<_>, _>>()?;
        put(known.iter(), tls);
        Ok(Self { path, known, whole: whole as u64 })
    }

    /// Takes serials in; true when one was new. In force even when the disk refuses: the next look writes again.
    fn unite(&mut self, entries: impl Iterator<Item = Entry>, tls: &Tls) -> bool {
        let new: Vec<Entry> = entries.filter(|s| !self.known.contains(s)).collect();
        if new.is_empty() {
            return false;
        }
        put(self.known.iter().chain(&new), tls);
        match self.append(&new) {
            Ok(()) => self.known.extend(new),
            Err(error) => {
                error!(%error, file = %self.path.display(), "revocations are in force but not on disk yet")
            }
        }
        true
    }

    fn append(&mut self, new: &[Entry]) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)?;
        file.set_len(self.whole)?;
        use std::io::Seek;
        file.seek(std::io::SeekFrom::End(0))?;
        let lines: String = new.iter().map(|s| format!("{s}\n")).collect();
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        self.whole += lines.len() as u64;
        Ok(())
    }

    /// Follows the registry until `stop` is notified.
    pub(crate) async fn follow(
        mut self,
        registry: Registry,
        tls: Tls,
        transport: Transport,
        lists: Arc<Lists>,
        stop: Arc<Notify>,
    ) {
        let mut changes = registry.changes();
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let view = registry.state();
            let read = view.state.revocations().filter_map(|r| match r.serial.parse::<Entry>() {
                Ok(entry) => Some(entry),
                Err(error) => {
                    warn!(serial = %r.serial, %error, "a revocation of the registry names no serial");
                    None
                }
            });
            // What a CA's own list says holds before the registry has heard of it.
            let listed = lists.rules().into_iter().map(Entry::Rule);
            if self.unite(read.chain(listed), &tls) {
                info!(revoked = self.known.len(), "revocations in force");
            }
            let closed = transport.close_revoked();
            let now = now();
            let expired = transport.close_where(CloseCode::Expired, |peer| peer.not_after < now);
            if closed + expired > 0 {
                warn!(revoked = closed, expired, "connections closed: certificates revoked or expired");
            }
            tokio::select! {
                () = stop.notified() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = lists.changed() => {}
                _ = every.tick() => {}
            }
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_authority::{Authority, CaPurpose, IssuingSpec, Key, LeafNames, Validity, bundle_pem};
    use eport_tls::{Identity, Revocations, TrustBundle};
    use time::OffsetDateTime;

    fn tls() -> Tls {
        let (domain, now) = ("gd.eport.example".parse().unwrap(), OffsetDateTime::now_utc());
        let (region, epoch) = ("440000".parse().unwrap(), eport_model::Epoch::INITIAL);
        let root = Authority::create_root("gd", &domain, Validity::days(now, 100)).unwrap();
        let spec = IssuingSpec { region, purpose: CaPurpose::Any, epoch, loopback: true };
        let ca = root.create_issuing(spec, Validity::days(now, 90)).unwrap();
        let (node, names) = ("gz-a-1".parse().unwrap(), LeafNames::default());
        let issued =
            ca.issue_node(region, node, &names, Key::Generate, epoch, Validity::days(now, 30)).unwrap();
        let key = issued.key_pem.as_ref().unwrap();
        let identity = Identity::from_pem(issued.chain_pem.as_bytes(), key.as_bytes()).unwrap();
        let bundle = TrustBundle::from_pem(bundle_pem([&root, &ca]).as_bytes(), domain).unwrap();
        Tls::new(&identity, bundle, Revocations::default()).unwrap()
    }

    fn entry(text: &str) -> Entry {
        text.parse().unwrap()
    }

    #[test]
    fn a_registry_of_yesterday_takes_no_revocation_back_also_not_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (first, rule) = (tls(), format!("key/{}", eport_model::Digest::of(b"stolen")));
        let today = ["0100000001aa", "0100000001bb", &rule];
        let mut revoked = Revoked::open(dir.path(), &first).unwrap();
        assert!(revoked.unite(today.into_iter().map(entry), &first));
        let holds = |tls: &Tls| {
            let serials = today[..2].iter().all(|s| tls.revocations().contains(&s.parse().unwrap()));
            let (key, other) = (eport_model::Digest::of(b"stolen"), eport_model::Digest::of(b"ca"));
            let mark = eport_model::CertificateMark { serial: "07", key, issuer: other, not_before: 0 };
            serials && tls.revocations().distrusts(&mark)
        };
        assert!(holds(&first));
        // The registry was set back: it knows one of the three, and another that came later.
        assert!(!revoked.unite([entry(today[0])].into_iter(), &first), "nothing is new");
        assert!(holds(&first), "and nothing is gone");
        drop(revoked);
        // Killed in the middle of a line, started without any registry.
        let path = dir.path().join(FILE);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("0100000001c");
        std::fs::write(&path, text).unwrap();
        let second = tls();
        let mut revoked = Revoked::open(dir.path(), &second).unwrap();
        assert!(holds(&second), "in force before anything else is known");
        assert!(revoked.unite([entry("0100000001cc")].into_iter(), &second));
        assert!(second.revocations().contains(&"0100000001cc".parse().unwrap()));
        let lines = std::fs::read_to_string(&path).unwrap();
        assert_eq!(lines.lines().count(), 4, "{lines}");
        assert!(today.iter().all(|t| lines.lines().any(|l| l == *t)));
    }

    #[test]
    fn a_set_that_cannot_be_written_is_in_force_and_one_that_cannot_be_read_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let tls = tls();
        let mut revoked = Revoked::open(dir.path(), &tls).unwrap();
        std::fs::create_dir(dir.path().join(FILE)).unwrap();
        assert!(revoked.unite([entry("01aa")].into_iter(), &tls));
        assert!(tls.revocations().contains(&"01aa".parse().unwrap()));
        std::fs::remove_dir(dir.path().join(FILE)).unwrap();
        assert!(revoked.unite([entry("01aa")].into_iter(), &tls), "written at the next look");
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).unwrap(), "01aa\n");
        std::fs::write(dir.path().join(FILE), "neither serial nor rule\n").unwrap();
        assert!(Revoked::open(dir.path(), &tls).is_err(), "a set that is guessed at would be too small");
    }
}
