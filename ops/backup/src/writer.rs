//! Makes one backup: journals first, the registry last.

use crate::folder::{Folder, write_durable, write_manifest};
use crate::manifest::name_of;
use crate::{Error, FORMAT, FileEntry, Manifest, PlatformPart, SegmentPart, key_context};
use eport_authority::{PublicKey, new_data_key, wrap_key};
use eport_envelope::{DataKey, seal_file};
use eport_model::{Digest, Lineage, Position, RegionCode, Timestamp};
use eport_store::ExportManifest;
use std::fs;
use std::path::{Path, PathBuf};

/// A backup that is being made. Dropped before [`Writer::finish`] it never was.
pub struct Writer {
    dir: PathBuf,
    key: DataKey,
    manifest: Manifest,
    former: Option<Manifest>,
}

impl Writer {
    /// Begins a backup in the folder. Without a former one, or when `full` is asked for, it is a full one.
    pub fn begin(
        folder: &Folder,
        lineage: Lineage,
        federation: &str,
        recovery: &PublicKey,
        created: Timestamp,
        full: bool,
    ) -> Result<Self, Error> {
        let seq = folder.next_seq()?;
        let key = DataKey::from_bytes(new_data_key());
        let wrapped = wrap_key(recovery, key.bytes(), key_context(lineage, seq).as_bytes())
            .map_err(|e| Error::Key(e.to_string()))?;
        let newest = folder.newest();
        let full = full || newest.is_none();
        let dir = folder.dir().join(name_of(seq));
        fs::create_dir_all(&dir).map_err(|source| Error::File { path: dir.clone(), source })?;
        let manifest = Manifest {
            format: FORMAT,
            seq,
            full,
            previous: newest.map(|(_, digest)| digest),
            lineage,
            federation: federation.to_owned(),
            created,
            recovery: hex::encode(recovery),
            wrapped: hex::encode(wrapped),
            registry: FileEntry { file: String::new(), bytes: 0, sha256: Digest::ZERO },
            registry_index: 0,
            platforms: Vec::new(),
            proof: Digest::ZERO,
            check: Digest::ZERO,
        };
        let former = newest.map(|(m, _)| m.clone()).filter(|_| !full);
        Ok(Self { dir, key, manifest, former })
    }

    /// Where the former backup ended for this platform: the export must begin behind it. Nothing: from the first record.
    pub fn continues(&self, region: RegionCode) -> Position {
        self.former.as_ref().and_then(|m| m.platform(region)).map_or(Position::ZERO, |p| p.last)
    }

    /// True when an export begins exactly where the former backup ended. False after a failover cut a tail off, or when the
    /// journal does not reach the former end: then the platform must be exported whole.
    pub fn fits(&self, export: &ExportManifest) -> bool {
        export.before == self.continues(export.region)
    }

    /// Takes an export folder of a platform, as `journal export` writes it.
    pub fn platform(&mut self, export_dir: &Path) -> Result<(), Error> {
        let path = export_dir.join("manifest.json");
        let text = fs::read(&path).map_err(Error::file(&path))?;
        let export: ExportManifest =
            serde_json::from_slice(&text).map_err(|e| Error::damaged(&path, e.to_string()))?;
        if export.lineage != self.manifest.lineage {
            return Err(Error::damaged(&path, "the export is of another federation"));
        }
        if export.before != Position::ZERO && !self.fits(&export) {
            return Err(Error::damaged(&path, "the export does not begin where the former backup ended"));
        }
        let mut segments = Vec::with_capacity(export.segments.len());
        for segment in &export.segments {
            let from = export_dir.join(&segment.file);
            let plain = fs::read(&from).map_err(Error::file(&from))?;
            if Digest::of(&plain) != segment.sha256 {
                return Err(Error::damaged(&from, "it does not have the digest in the export's manifest"));
            }
            let name = format!("{}-{:020}.epb", export.region, segment.first.as_u64());
            let entry = self.put(name, &plain)?;
            segments.push(SegmentPart { entry, first: segment.first, last: segment.last });
        }
        self.manifest.platforms.push(PlatformPart {
            region: export.region,
            before: export.before,
            last: export.last,
            records: export.records,
            segments,
        });
        Ok(())
    }

    /// Takes the registry's rows and makes the backup exist. Rows are read after every journal.
    pub fn finish(mut self, registry_index: u64, registry: &[u8]) -> Result<Manifest, Error> {
        self.manifest.registry = self.put("registry.epb".to_owned(), registry)?;
        self.manifest.registry_index = registry_index;
        self.manifest.platforms.sort_by_key(|p| p.region);
        // A platform that had to be taken whole again does not make the backup a full one: others still need the former.
        self.manifest.full = self.manifest.platforms.iter().all(PlatformPart::is_whole);
        let manifest = self.manifest.sealed(&self.key);
        write_manifest(&self.dir, &manifest)?;
        Ok(manifest)
    }

    fn put(&self, file: String, plain: &[u8]) -> Result<FileEntry, Error> {
        let sealed = seal_file(&self.key, &file, plain);
        write_durable(&self.dir.join(&file), &sealed)?;
        Ok(FileEntry { bytes: sealed.len() as u64, sha256: Digest::of(&sealed), file })
    }
}
