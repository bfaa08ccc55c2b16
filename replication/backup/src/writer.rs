//! Makes one backup.
//!
//! Always holds: journals first, the registry after them, so that every epoch and key a record needs is in it; the manifest last, and
//! with it the backup exists; nothing is taken that does not have the digest its export states.

use crate::folder::{Folder, MANIFEST};
use crate::manifest::name_of;
use crate::target::Target;
use crate::{Error, FORMAT, FileEntry, MakerWrap, Manifest, PlatformPart, SegmentPart, key_context};
use eport_authority::{PublicKey, new_data_key, wrap_key};
use eport_envelope::{DataKey, seal_file};
use eport_model::{Digest, Lineage, Position, RegionCode, Timestamp};
use eport_store::ExportManifest;
use std::any::Any;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// For whom a backup is made and what it is called.
#[derive(Debug, Clone)]
pub struct Heading<'a> {
    /// The federation's lineage.
    pub lineage: Lineage,
    /// Its name, for people.
    pub federation: &'a str,
    /// Public half of the recovery key.
    pub recovery: PublicKey,
    /// The node that makes it, with the public half of its key: it can test what it made.
    pub maker: Option<(String, PublicKey)>,
    /// Now.
    pub created: Timestamp,
    /// Take everything.
    pub full: bool,
}

/// A backup that is being made. Dropped before [`Writer::finish`] it never was.
pub struct Writer {
    target: Arc<dyn Target>,
    key: DataKey,
    manifest: Manifest,
    former: Option<Manifest>,
    _lock: Box<dyn Any + Send>,
}

impl Writer {
    /// Begins a backup in the folder. Without a former one, or when `full` is asked for, it is a full one; also when the keys
    /// changed, because a chain is restored with one key. What interrupted backups left is removed.
    pub fn begin(folder: &Folder, heading: &Heading<'_>) -> Result<Self, Error> {
        let lock = folder.lock()?;
        folder.sweep()?;
        let seq = folder.next_seq();
        let key = DataKey::from_bytes(new_data_key());
        let context = key_context(heading.lineage, seq);
        let wrap = |public: &PublicKey| {
            let wrapped = wrap_key(public, key.bytes(), context.as_bytes());
            wrapped.map(hex::encode).map_err(|e| Error::Key(e.to_string()))
        };
        let wrapped = wrap(&heading.recovery)?;
        let maker = heading.maker.as_ref().map(|(name, public)| {
            Ok::<_, Error>(MakerWrap {
                name: name.clone(),
                public: hex::encode(public),
                wrapped: wrap(public)?,
            })
        });
        let maker = maker.transpose()?;
        let recovery = hex::encode(heading.recovery);
        let (previous, former) = folder.former();
        let same_keys = |m: &&Manifest| {
            let public = |m: &Option<MakerWrap>| m.as_ref().map(|w| w.public.clone());
            m.recovery == recovery && (maker.is_none() || public(&m.maker) == public(&maker))
        };
        let former = former.filter(same_keys).filter(|_| !heading.full).cloned();
        let manifest = Manifest {
            format: FORMAT,
            seq,
            full: former.is_none(),
            previous,
            lineage: heading.lineage,
            federation: heading.federation.to_owned(),
            created: heading.created,
            recovery,
            wrapped,
            maker,
            registry: FileEntry { file: String::new(), bytes: 0, sha256: Digest::ZERO },
            registry_index: 0,
            platforms: Vec::new(),
            proof: Digest::ZERO,
            check: Digest::ZERO,
        };
        Ok(Self { target: folder.target().clone(), key, manifest, former, _lock: lock })
    }

    /// Where the next export of this platform must begin: behind what this backup or the former holds of it. Nothing: at the
    /// first record.
    pub fn continues(&self, region: RegionCode) -> Position {
        let here = self.manifest.platform(region);
        let former = || self.former.as_ref().and_then(|m| m.platform(region));
        here.or_else(former).map_or(Position::ZERO, |p| p.last)
    }

    /// True when an export begins exactly where the former backup ended. False after a failover cut a tail off, or when the
    /// journal does not reach the former end: then the platform must be exported whole.
    pub fn fits(&self, export: &ExportManifest) -> bool {
        export.before == self.continues(export.region)
    }

    /// Takes an export folder of a platform, as `journal export` writes it: all of what is new, or the next piece of it.
    /// Answers the bytes written.
    pub fn platform(&mut self, export_dir: &Path) -> Result<u64, Error> {
        let path = export_dir.join("manifest.json");
        let text = fs::read(&path).map_err(Error::file(&path))?;
        let export: ExportManifest =
            serde_json::from_slice(&text).map_err(|e| Error::damaged(&path, e.to_string()))?;
        if export.lineage != self.manifest.lineage {
            return Err(Error::damaged(&path, "the export is of another federation"));
        }
        let begun = self.manifest.platform(export.region).is_some();
        if (begun || export.before != Position::ZERO) && !self.fits(&export) {
            return Err(Error::damaged(&path, "the export does not begin where the former backup ended"));
        }
        let mut segments = Vec::with_capacity(export.segments.len());
        let mut written = 0;
        for segment in &export.segments {
            let from = export_dir.join(&segment.file);
            let plain = fs::read(&from).map_err(Error::file(&from))?;
            if Digest::of(&plain) != segment.sha256 {
                return Err(Error::damaged(&from, "it does not have the digest in the export's manifest"));
            }
            let name = format!("{}-{:020}.epb", export.region, segment.first.as_u64());
            let entry = self.put(name, &plain)?;
            written += entry.bytes;
            segments.push(SegmentPart { entry, first: segment.first, last: segment.last });
        }
        match self.manifest.platforms.iter_mut().find(|p| p.region == export.region) {
            Some(part) => {
                part.last = export.last;
                part.records += export.records;
                part.segments.extend(segments);
            }
            None => self.manifest.platforms.push(PlatformPart {
                region: export.region,
                before: export.before,
                last: export.last,
                records: export.records,
                state: None,
                segments,
            }),
        }
        Ok(written)
    }

    /// Says what the platform's rows were at the last record taken, so that a restore can be compared.
    pub fn state(&mut self, region: RegionCode, digest: Digest) {
        if let Some(part) = self.manifest.platforms.iter_mut().find(|p| p.region == region) {
            part.state = Some(digest);
        }
    }

    /// Takes the registry's rows and makes the backup exist. Rows are read after every journal.
    pub fn finish(mut self, registry_index: u64, registry: &[u8]) -> Result<Manifest, Error> {
        self.manifest.registry = self.put("registry.epb".to_owned(), registry)?;
        self.manifest.registry_index = registry_index;
        self.manifest.platforms.sort_by_key(|p| p.region);
        // A platform that had to be taken whole again does not make the backup a full one: others still need the former.
        self.manifest.full = self.manifest.platforms.iter().all(PlatformPart::is_whole);
        let manifest = self.manifest.sealed(&self.key);
        let name = format!("{}/{MANIFEST}", manifest.name());
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest has only plain fields");
        eport_failpoint::point!("backup.manifest.before", manifest.name());
        self.target
            .write(&name, text)
            .map_err(|source| Error::Target { path: self.target.place(&name), source })?;
        eport_failpoint::point!("backup.manifest.after", manifest.name());
        Ok(manifest)
    }

    fn put(&self, file: String, plain: &[u8]) -> Result<FileEntry, Error> {
        let sealed = seal_file(&self.key, &file, plain);
        let (bytes, sha256) = (sealed.len() as u64, Digest::of(&sealed));
        let name = format!("{}/{file}", name_of(self.manifest.seq));
        self.target
            .write(&name, sealed)
            .map_err(|source| Error::Target { path: self.target.place(&name), source })?;
        eport_failpoint::point!("backup.file.after", file);
        Ok(FileEntry { bytes, sha256, file })
    }
}
