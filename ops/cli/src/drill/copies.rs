//! Looking into copies: a restored backup, and the journals that standbys keep.
//!
//! The proof is always the same: the position (epoch, index, digest) that was answered to a canary must stand in the copy. The
//! digest covers the document and chains everything before it.

use crate::commands::{backup, journal};
use crate::drill::stop::wait_for;
use crate::error::Error;
use crate::load::log::{Attempt, Line};
use eport_api_types::{FederationStatus, PlatformStatus};
use eport_client::Client;
use eport_model::codes::{DRILL_FAILED, JOURNAL_CORRUPT};
use eport_model::{Coded, Epoch, JournalIndex, Lineage, NodeId, Position, RegionCode};
use eport_store::{Budget, PlatformStore, Shared};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where a promise says that its document is.
pub fn position(a: &Attempt) -> Option<Position> {
    let digest = a.digest.as_deref()?.parse().ok()?;
    let (epoch, index) = (Epoch::from_u64(a.epoch?), JournalIndex::from_u64(a.index?));
    Some(Position { epoch, index, digest })
}

/// The places of all promises in a log.
pub fn positions(lines: &[Line]) -> Vec<(String, Position)> {
    let promises = lines.iter().filter_map(|l| match l {
        Line::Attempt(a) if a.outcome.is_promise() => Some((a.client_ref.clone(), position(a)?)),
        _ => None,
    });
    promises.collect()
}

/// Files of a restore test.
#[derive(Clone, Debug)]
pub struct Backups {
    /// Folder of the backups.
    pub dir: PathBuf,
    /// The recovery key.
    pub key: PathBuf,
}

impl Backups {
    /// Makes a backup; answers its name. In a local federation without a recovery key one is made first, and waited for until
    /// the platform's data keys are wrapped for it: a backup made before could not be read.
    pub async fn make(
        &self,
        client: &Client,
        region: RegionCode,
        local: bool,
        until: Instant,
    ) -> Result<String, Error> {
        if local && !self.key.exists() {
            backup::put_key(client, &self.key, "drill").await?;
        }
        wait_for(until, async || {
            let path = format!("/v1/platforms/{region}/data-keys");
            let keys = client.list(&path, &[]).await.map_err(|e| e.to_string())?;
            let opens = |k: &serde_json::Value| {
                let of = k["holders"].as_array().into_iter().flatten().filter_map(|h| h.as_str());
                of.into_iter().any(|h| h.starts_with("recovery/"))
            };
            let without = keys.iter().find(|k| !opens(k));
            without.map_or(Ok(()), |k| Err(format!("data key {} is not wrapped for recovery", k["id"])))
        })
        .await?;
        backup::create(client, &self.dir, false, &[]).await.map(|made| made.name())
    }

    /// Restores a backup into a folder that goes away and finds the promises in it. Answers how many were there and the last
    /// record restored.
    pub fn restore(
        &self,
        name: &str,
        lineage: Lineage,
        region: RegionCode,
        promised: &[(String, Position)],
    ) -> Result<(usize, Position), Error> {
        let temp = tempfile::tempdir_in(&self.dir).map_err(Error::file(&self.dir))?;
        let out = temp.path().join("restored");
        let made = backup::restore_into(&self.dir, name, &[region], &self.key, &out)?;
        let of = made.platforms.iter().find(|p| p.region == region);
        let of = of.ok_or_else(|| Error::coded(DRILL_FAILED, format!("backup {name} lacks {region}")))?;
        if of.readable == Some(false) {
            let detail = format!("the newest document of {region} in backup {name} cannot be decrypted");
            return Err(Error::coded(DRILL_FAILED, detail));
        }
        let dir = out.join("platform").join(region.to_string());
        let found = in_store(&dir, lineage, &of.last, region, promised)?;
        Ok((found, of.last))
    }
}

/// How many promises stand in a restored database; one that does not is an error.
fn in_store(
    dir: &Path,
    lineage: Lineage,
    last: &Position,
    region: RegionCode,
    promised: &[(String, Position)],
) -> Result<usize, Error> {
    let coded = |e: eport_store::Error| Error::coded(e.code(), e.to_string());
    let shared = Shared::new(Budget::default()).map_err(coded)?;
    let (store, _) = PlatformStore::open(dir, lineage, region, &shared).map_err(coded)?;
    for (reference, at) in promised {
        let there = store.position(at.index).map_err(coded)?;
        if there.as_ref() != Some(at) {
            let detail =
                format!("{reference} was answered at {at} and is not in the backup, which ends at {last}");
            return Err(Error::coded(DRILL_FAILED, detail));
        }
    }
    Ok(promised.len())
}

/// Reads the journal that each standby of a platform keeps and finds the newest promise in it: the chain then proves all
/// earlier ones. Answers the standbys.
pub async fn standbys(
    client: &Client,
    status: &FederationStatus,
    platform: &PlatformStatus,
    promised: &[(String, Position)],
) -> Result<Vec<NodeId>, Error> {
    let newest = promised.iter().map(|(_, at)| *at).max_by_key(|at| (at.epoch, at.index));
    let newest = newest.ok_or_else(|| Error::coded(DRILL_FAILED, "no canary was acknowledged"))?;
    let mut seen = Vec::new();
    for b in &platform.backups {
        let api = status.nodes.iter().find(|n| n.node == b.node).and_then(|n| n.api.clone());
        let api = api.ok_or_else(|| Error::coded(DRILL_FAILED, format!("{} has no address", b.node)))?;
        let temp = tempfile::tempdir().map_err(Error::file(Path::new("temporary folder")))?;
        let folder = temp.path().join("copy");
        journal::export_at(&client.only(&api), platform.region, &folder, JournalIndex::from_u64(1)).await?;
        let report = eport_store::verify_export(&folder, Some(newest), None)
            .map_err(|e| Error::coded(e.code(), format!("the copy of {}: {e}", b.node)))?;
        if !report.ok {
            let what = report.problems.first().map(|p| p.detail.clone()).unwrap_or_default();
            return Err(Error::coded(JOURNAL_CORRUPT, format!("the copy of {}: {what}", b.node)));
        }
        seen.push(b.node);
    }
    if seen.is_empty() {
        return Err(Error::coded(DRILL_FAILED, format!("platform {} has no standby", platform.region)));
    }
    Ok(seen)
}
