//! Bundles: versions with their content and their publisher's signature in one file, for a node that no line reaches.
//!
//! Always holds: a version from a bundle counts only when its publisher's signature holds by this node's own registry, and its
//! content only when it hashes to the signed root; the registry's own word on a version, once it comes, goes before what was carried.

use crate::node::Agent;
use bytes::Bytes;
use eport_catalog::{apply_delta, make_delta, walk};
use eport_model::{Code, Coded, Digest, Lineage, Timestamp, codec, codes};
use eport_registry::{Command, Op, TableId, TableVersion};
use eport_store::{Batch, Error, ObjectStore, pack_delta, unpack_delta};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::PoisonError;
use tracing::{info, warn};

/// First bytes of a bundle; its SHA-256 stands at the end.
const MAGIC: &[u8; 5] = b"EPTU\x01";
/// Longest bundle, in bytes.
pub const BUNDLE_LEN_MAX: usize = 1 << 30;
/// Most versions in one.
const VERSIONS_MAX: usize = 4_096;
/// Name of the list of carried versions, beside the objects.
pub(crate) const CARRIED: &str = "carried";

#[derive(Serialize, Deserialize)]
struct Bundle {
    lineage: Lineage,
    versions: Vec<(TableVersion, Content)>,
}

#[derive(Serialize, Deserialize)]
enum Content {
    /// An earlier version of the bundle, or the one that the receiver has, has this root.
    Known,
    /// What turns that content into this one.
    Delta { base: Digest, packed: Bytes },
    /// Every object.
    Objects(Vec<(Digest, Bytes)>),
}

/// Why a bundle was not made or not taken.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is nothing to put into it.
    #[error("{0}")]
    Nothing(String),
    /// It is damaged, of another federation, or not signed by who may publish.
    #[error("{0}")]
    Refused(String),
    /// Objects cannot be read or kept here.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Coded for BundleError {
    fn code(&self) -> Code {
        match self {
            BundleError::Nothing(_) => codes::NOT_FOUND,
            BundleError::Refused(_) => codes::BUNDLE_REFUSED,
            BundleError::Store(error) => error.code(),
        }
    }
}

/// What became of one version of a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Carried {
    /// The version.
    pub version: TableVersion,
    /// The registry here names it too.
    pub known: bool,
}

fn refused(what: impl Into<String>) -> BundleError {
    BundleError::Refused(what.into())
}

impl Agent {
    /// Versions that a bundle brought and that the registry here does not name yet.
    pub fn carried(&self) -> Vec<TableVersion> {
        let carried = self.carried_lock().lock().unwrap_or_else(PoisonError::into_inner);
        // Asked at every lookup, and nearly always empty.
        if carried.is_empty() {
            return Vec::new();
        }
        let view = self.registry().state();
        let unknown =
            |v: &&TableVersion| !view.state.table_versions(&v.table).any(|k| k.version == v.version);
        carried.iter().filter(unknown).cloned().collect()
    }

    /// The versions of a catalog behind `since`, all of them without, as one file. Blocks.
    pub fn export_bundle(&self, id: &TableId, since: Option<u64>) -> Result<Vec<u8>, BundleError> {
        let view = self.registry().state();
        let kept: Vec<TableVersion> =
            view.state.table_versions(id).filter(|v| v.keeps_content()).cloned().collect();
        let mut base = match since {
            None => None,
            Some(n) => {
                let found = kept.iter().find(|v| v.version == n).map(|v| v.root);
                Some(found.ok_or_else(|| BundleError::Nothing(format!("there is no version {n} of {id}")))?)
            }
        };
        let mut known: HashSet<Digest> = base.into_iter().collect();
        let mut versions = Vec::new();
        for v in kept.into_iter().filter(|v| since.is_none_or(|n| v.version > n)) {
            let content =
                if known.contains(&v.root) { Content::Known } else { content(self.objects(), base, v.root)? };
            known.insert(v.root);
            base = Some(v.root);
            versions.push((v, content));
        }
        if versions.is_empty() {
            return Err(BundleError::Nothing(format!("{id} has no version to export")));
        }
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&codec::encode(&Bundle { lineage: self.lineage(), versions }));
        let digest = Digest::of(&out);
        out.extend_from_slice(digest.as_bytes());
        Ok(out)
    }

    /// Judges a bundle and takes it whole or not at all: contents are installed, versions that the registry here does not name count
    /// from their instants on. Blocks.
    pub fn import_bundle(&self, bytes: &[u8]) -> Result<Vec<Carried>, BundleError> {
        let (body, end) = bytes.split_last_chunk::<32>().ok_or_else(|| refused("it is too short"))?;
        if Digest::of(body) != Digest::from_bytes(*end) {
            return Err(refused("it is damaged: its digest does not hold"));
        }
        let body =
            body.strip_prefix(MAGIC.as_slice()).ok_or_else(|| refused("it is no bundle of this form"))?;
        let bundle: Bundle =
            codec::decode_with_limit(body, BUNDLE_LEN_MAX).map_err(|e| refused(e.to_string()))?;
        if bundle.lineage != self.lineage() {
            return Err(refused(format!("it is of the federation {}", bundle.lineage)));
        }
        if bundle.versions.len() > VERSIONS_MAX {
            return Err(refused(format!("it has more than {VERSIONS_MAX} versions")));
        }
        let mut out = Vec::new();
        for (version, _) in &bundle.versions {
            out.push(Carried { version: version.clone(), known: self.judge_carried(version)? });
        }
        let mut batch = self.objects().batch();
        for (version, content) in &bundle.versions {
            install(self.objects(), &mut batch, version.root, content)?;
        }
        let mut all = self.carried();
        for c in out.iter().filter(|c| !c.known) {
            all.retain(|v| (&v.table, v.version) != (&c.version.table, c.version.version));
            all.push(c.version.clone());
        }
        self.objects().write_note(CARRIED, &codec::encode(&all))?;
        *self.carried_lock().lock().unwrap_or_else(PoisonError::into_inner) = all;
        info!(versions = out.len(), "a bundle was taken");
        self.tell_soon();
        Ok(out)
    }

    /// Whether the registry here names a version already; an error when it names another one, or the signature does not hold.
    fn judge_carried(&self, v: &TableVersion) -> Result<bool, BundleError> {
        let view = self.registry().state();
        let name = || format!("{} version {}", v.table, v.version);
        if let Some(known) = view.state.table_versions(&v.table).find(|k| k.version == v.version) {
            return match known.root == v.root {
                true => Ok(true),
                false => Err(refused(format!("{} has root {} here", name(), known.root.short()))),
            };
        }
        let asked = v.signed.as_ref().and_then(|s| s.asked);
        let signed_at = v.signed.as_ref().map_or(v.published_at, |s| Timestamp::from_millis(s.proof.at_ms));
        let lead = view.state.publish_lead_ms();
        let fits = match asked {
            Some(asked) => asked == v.effective,
            // Not asked for: the commit and the lead, and the commit lies near the signature.
            None => {
                (v.effective.as_millis() - signed_at.as_millis() - lead).abs()
                    <= eport_registry::SIGNATURE_WINDOW_MS
            }
        };
        if !fits {
            return Err(refused(format!("{} does not take effect when its publisher said", name())));
        }
        let command = Command {
            id: v.signed.as_ref().map_or_else(Default::default, |s| s.id),
            by: v.publisher.clone(),
            at: v.published_at,
            reason: String::new(),
            op: Op::PublishTable {
                table: v.table.clone(),
                version: v.version,
                root: v.root,
                rows: v.rows,
                effective: asked,
                schema: v.schema.clone(),
                report: v.report.clone(),
            },
            proof: v.signed.as_ref().map(|s| s.proof.clone()),
        };
        view.state.check_signature(&command).map_err(|e| refused(format!("{}: {e}", name())))?;
        Ok(false)
    }

    /// What an earlier run of this node was brought.
    pub(crate) fn load_carried(&self) {
        let read = self.objects().read_note(CARRIED).ok().flatten();
        let Some(bytes) = read else { return };
        match codec::decode::<Vec<TableVersion>>(&bytes) {
            Ok(all) => *self.carried_lock().lock().unwrap_or_else(PoisonError::into_inner) = all,
            Err(error) => warn!(%error, "the list of carried versions cannot be read; take the bundle again"),
        }
    }
}

fn content(store: &ObjectStore, base: Option<Digest>, root: Digest) -> Result<Content, BundleError> {
    if let Some(base) = base
        && let Ok(delta) = make_delta(store, &base, &root)
    {
        return Ok(Content::Delta { base, packed: pack_delta(&delta)?.into() });
    }
    let mut digests = vec![root];
    let mut seen: HashSet<Digest> = HashSet::new();
    walk(store, &root, &mut |_, child| {
        let fresh = seen.insert(child.digest);
        if fresh {
            digests.push(child.digest);
        }
        fresh
    })
    .map_err(|e| refused(format!("content {} cannot be read here: {e}", root.short())))?;
    let mut objects = Vec::new();
    for digest in digests {
        let packed = store.object_packed(&digest)?.ok_or(Error::NoObject { digest })?;
        objects.push((digest, packed));
    }
    Ok(Content::Objects(objects))
}

fn install(
    store: &ObjectStore,
    batch: &mut Batch,
    root: Digest,
    content: &Content,
) -> Result<(), BundleError> {
    if store.has(&root) {
        return Ok(batch.install(&root)?);
    }
    match content {
        Content::Known => {}
        Content::Delta { base, packed } => {
            if !store.has(base) {
                return Err(refused(format!("content {} is not here, on which it builds", base.short())));
            }
            let delta = unpack_delta(packed, eport_catalog::DELTA_LEN_MAX + (1 << 20))
                .map_err(|e| refused(e.to_string()))?;
            apply_delta(store, batch, (base, &root), &delta).map_err(|e| refused(e.to_string()))?;
        }
        Content::Objects(objects) => {
            for (digest, packed) in objects {
                batch.put_packed(digest, packed).map_err(|e| refused(e.to_string()))?;
            }
        }
    }
    batch.install(&root).map_err(|e| match e {
        Error::NoObject { digest } => refused(format!("object {} is missing", digest.short())),
        e => e.into(),
    })
}
