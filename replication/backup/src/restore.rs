//! Restores a backup into an empty folder: databases of platforms up to a point, and the registry's rows.
//!
//! ```text
//! OUT/platform/REGION/     a database as a node keeps it
//! OUT/registry.rows        the registry's rows, for `quorum recover`
//! ```
//!
//! Every record is verified and chained while it is written; the data keys are opened with the recovery key and the newest
//! document of each platform is decrypted, so that a restore that succeeds has shown that the content can be read.

use crate::{Error, Folder, Manifest};
use eport_authority::Unwrap;
use eport_envelope::{DataKey, KeyId, KeyRing, OpenError, Part, Place};
use eport_model::{Digest, Position, RecordKind, RegionCode, Timestamp, codec};
use eport_registry::{State, wrap_context};
use eport_store::{Budget, PlatformStore, Shared, Until};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Records looked at, from the end, for one with a document.
const LOOK_BACK: u64 = 1_000;

/// A restored platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RestoredPlatform {
    /// The platform.
    pub region: RegionCode,
    /// The last record.
    pub last: Position,
    /// Its time.
    pub time: Timestamp,
    /// Digest of the state rows at that record: equal to that of any node that applied it.
    pub state_digest: Digest,
    /// Rows.
    pub rows: u64,
    /// Records written.
    pub records: u64,
    /// The rows are those that the backup's maker had at this record; `None` when nobody said what those were.
    pub equal: Option<bool>,
    /// The newest document was decrypted; `None` when there is none.
    pub readable: Option<bool>,
}

/// The restored registry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RestoredRegistry {
    /// Last command in it.
    pub index: u64,
    /// Digest of its rows.
    pub digest: Digest,
    /// Nodes it names.
    pub nodes: usize,
    /// Platforms it names.
    pub platforms: usize,
}

/// What a restore wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Restoration {
    /// The backup.
    pub backup: String,
    /// The registry.
    pub registry: RestoredRegistry,
    /// The platforms.
    pub platforms: Vec<RestoredPlatform>,
}

impl Restoration {
    /// The first reason why it is not as it should be.
    pub fn fault(&self) -> Option<String> {
        let fault = |p: &RestoredPlatform| match (p.equal, p.readable) {
            (Some(false), _) => Some(format!("platform {}: the rows differ from those backed up", p.region)),
            (_, Some(false)) => {
                Some(format!("platform {}: the newest document cannot be decrypted", p.region))
            }
            _ => None,
        };
        self.platforms.iter().find_map(fault)
    }
}

/// What a restore may take of the machine, and who may stop it.
pub struct Bounds<'a> {
    /// Memory of the databases.
    pub budget: Budget,
    /// Bytes that must stay free on the file system it writes to.
    pub reserve: u64,
    /// Called after every file with the bytes read; an error stops the restore.
    pub pace: &'a dyn Fn(u64) -> Result<(), Error>,
}

impl Default for Bounds<'_> {
    fn default() -> Self {
        Self { budget: Budget::default(), reserve: 0, pace: &|_| Ok(()) }
    }
}

/// Restores `regions` (all without any) from a backup and those it needs, up to `until`.
pub fn restore(
    folder: &Folder,
    of: &Manifest,
    regions: &[RegionCode],
    until: Until,
    recovery: &dyn Unwrap,
    out: &Path,
) -> Result<Restoration, Error> {
    restore_within(folder, of, regions, until, recovery, out, &Bounds::default())
}

/// The same within bounds. `holder` is the recovery key or the key of the node that made the backup.
pub fn restore_within(
    folder: &Folder,
    of: &Manifest,
    regions: &[RegionCode],
    until: Until,
    holder: &dyn Unwrap,
    out: &Path,
    bounds: &Bounds<'_>,
) -> Result<Restoration, Error> {
    fs::create_dir_all(out).map_err(|source| Error::File { path: out.to_owned(), source })?;
    if fs::read_dir(out).map_err(Error::file(out))?.next().is_some() {
        let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "the folder is not empty");
        return Err(Error::File { path: out.to_owned(), source });
    }
    let chain = folder.chain(of);
    // Segments become a journal and rows: about as many bytes again, and more must never be taken than is there.
    let wanted = |r: &RegionCode| regions.is_empty() || regions.contains(r);
    let parts = chain.iter().flat_map(|m| &m.platforms).filter(|p| wanted(&p.region));
    let needed = parts.flat_map(|p| &p.segments).fold(0u64, |sum, s| sum.saturating_add(s.entry.bytes));
    check_space(out, needed.saturating_mul(2).saturating_add(bounds.reserve))?;
    let keys: Vec<DataKey> = chain.iter().map(|m| folder.key(m, holder)).collect::<Result<_, _>>()?;
    let newest_key = keys.last().ok_or_else(|| Error::NotFound("the chain of the backup is empty".into()))?;
    let (state, registry) = restore_registry(folder, of, newest_key, out)?;
    if let Some(missing) = regions.iter().find(|r| of.platform(**r).is_none()) {
        return Err(Error::NotFound(format!("backup {} does not hold platform {missing}", of.name())));
    }
    let shared = Shared::new(bounds.budget)?;
    let mut platforms = Vec::new();
    for region in of.platforms.iter().map(|p| p.region).filter(wanted) {
        let work = Work { folder, chain: &chain, keys: &keys, region, until, shared: &shared, out, bounds };
        platforms.push(work.run(&state, holder)?);
    }
    Ok(Restoration { backup: of.name(), registry, platforms })
}

fn restore_registry(
    folder: &Folder,
    of: &Manifest,
    key: &DataKey,
    out: &Path,
) -> Result<(State, RestoredRegistry), Error> {
    let bytes = folder.content(of, &of.registry, key)?;
    let path = out.join("registry.rows");
    let damaged = |detail: String| Error::damaged(Path::new(&of.registry.file), detail);
    let rows: Vec<(Vec<u8>, Vec<u8>)> =
        codec::decode_with_limit(&bytes, bytes.len()).map_err(|e| damaged(e.to_string()))?;
    let state = State::from_rows(rows).map_err(|e| damaged(e.to_string()))?;
    fs::write(&path, &bytes).and_then(|()| fs::File::open(&path)?.sync_all()).map_err(Error::file(&path))?;
    let restored = RestoredRegistry {
        index: of.registry_index,
        digest: state.digest(),
        nodes: state.nodes().count(),
        platforms: state.placements().count(),
    };
    Ok((state, restored))
}

/// One platform's restore.
struct Work<'a> {
    folder: &'a Folder,
    chain: &'a [&'a Manifest],
    keys: &'a [DataKey],
    region: RegionCode,
    until: Until,
    shared: &'a Shared,
    out: &'a Path,
    bounds: &'a Bounds<'a>,
}

impl Work<'_> {
    fn run(&self, state: &State, recovery: &dyn Unwrap) -> Result<RestoredPlatform, Error> {
        let dir = self.out.join("platform").join(self.region.to_string());
        fs::create_dir_all(&dir).map_err(|source| Error::File { path: dir.clone(), source })?;
        let lineage = self.chain.first().map(|m| m.lineage).unwrap_or_default();
        let (store, _) = PlatformStore::open(&dir, lineage, self.region, self.shared)?;
        let expected = self.write(&store)?;
        let last = store.last();
        match self.until {
            Until::End if last != expected => {
                return Err(Error::damaged(&dir, format!("it ends at {last}, the backup at {expected}")));
            }
            Until::Record(epoch, index) if last.index != index || last.epoch != epoch => {
                return Err(Error::Point(format!(
                    "platform {}: record {epoch}:{index} is not in the backup, which ends at {}:{}",
                    self.region, expected.epoch, expected.index
                )));
            }
            _ => {}
        }
        let digest = store.snapshot().state_digest()?;
        let newest = self.chain.last().and_then(|m| m.platform(self.region));
        let told = newest.filter(|p| p.last == last).and_then(|p| p.state);
        let readable = self.read_newest(&store, state, recovery)?;
        store.flush()?;
        Ok(RestoredPlatform {
            region: self.region,
            last,
            time: store.last_time(),
            state_digest: digest.digest,
            rows: digest.rows,
            records: last.index.as_u64(),
            equal: told.map(|told| told == digest.digest),
            readable,
        })
    }

    /// Writes every segment from the newest whole part on. Answers where the backup ends.
    fn write(&self, store: &PlatformStore) -> Result<Position, Error> {
        let parts: Vec<_> = self
            .chain
            .iter()
            .zip(self.keys)
            .filter_map(|(m, k)| Some((m, k, m.platform(self.region)?)))
            .collect();
        let from = parts.iter().rposition(|(_, _, p)| p.is_whole()).unwrap_or(0);
        let temp = tempfile::tempdir_in(self.out).map_err(Error::file(self.out))?;
        let mut end = Position::ZERO;
        for (manifest, key, part) in &parts[from..] {
            if part.before != end {
                let name = format!("backup {} begins elsewhere than the former ended", manifest.name());
                return Err(Error::damaged(&self.folder.target().place(""), name));
            }
            end = part.last;
            for segment in &part.segments {
                let plain = self.folder.content(manifest, &segment.entry, key)?;
                let file = temp.path().join("segment");
                check_space(self.out, self.bounds.reserve.saturating_add(plain.len() as u64))?;
                fs::write(&file, plain).map_err(Error::file(&file))?;
                (self.bounds.pace)(segment.entry.bytes)?;
                if store.restore_segment(&file, self.until)?.ended {
                    return Ok(parts.last().map_or(end, |(_, _, p)| p.last));
                }
            }
        }
        Ok(end)
    }

    /// Decrypts the newest document, to show that the content can be read.
    fn read_newest(
        &self,
        store: &PlatformStore,
        state: &State,
        recovery: &dyn Unwrap,
    ) -> Result<Option<bool>, Error> {
        let mut index = store.last().index;
        for _ in 0..LOOK_BACK {
            if index == eport_model::JournalIndex::ZERO {
                return Ok(None);
            }
            let Some(record) = store.record(index)? else { return Ok(None) };
            let request = record.header.request.as_ref().map(|r| r.id.as_str());
            let body = record.bodies.first().filter(|b| !b.is_empty());
            if let (RecordKind::Entry, Some(request), Some(body)) = (&record.header.kind, request, body) {
                let Some(ring) = ring(state, self.region, recovery) else { return Ok(Some(false)) };
                let opened: Result<_, OpenError> = ring.open(Place { request, part: Part::Request }, body);
                return Ok(Some(opened.is_ok()));
            }
            index = index.previous();
        }
        Ok(None)
    }
}

/// Refuses to go on with less free than this.
fn check_space(dir: &Path, needed: u64) -> Result<(), Error> {
    let stat =
        rustix::fs::statvfs(dir).map_err(|e| Error::File { path: dir.to_owned(), source: e.into() })?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < needed { Err(Error::Space { path: dir.to_owned(), free, needed }) } else { Ok(()) }
}

/// The platform's keys, opened with the holder's key; `None` when one is not wrapped for it.
fn ring(state: &State, region: RegionCode, recovery: &dyn Unwrap) -> Option<KeyRing> {
    let mut keys = BTreeMap::new();
    for row in state.data_keys(region) {
        let mine = |w: &&eport_registry::Wrap| w.public == recovery.public();
        let wrap = row.wraps.iter().find(mine)?;
        let context = wrap_context(region, row.id);
        let key = DataKey::from_bytes(recovery.unwrap_key(&wrap.wrapped, context.as_bytes()).ok()?);
        if key.check() != row.check {
            return None;
        }
        keys.insert(KeyId::from_u32(row.id), key);
    }
    // Nothing is encrypted with this ring, so its session is never used.
    KeyRing::new(region, keys, [0; 16])
}
