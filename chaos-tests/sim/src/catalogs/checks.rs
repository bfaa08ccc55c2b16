//! What is looked at, by another way than the one that is tried.

use super::PROMISES;
use super::place::Disk;
use super::world::{Found, Published};
use eport_catalog::{Choice, choose, join};
use eport_identity::Digest;
use std::collections::BTreeMap;

/// Every listed content, joined from the objects of the disk, is the content that was published under its root.
pub(super) fn contents(disk: &Disk, truth: &BTreeMap<Digest, Vec<u8>>) -> Result<(), Found> {
    disk.roots.iter().try_for_each(|root| content(disk, root, truth))
}

/// The same of one content.
pub(super) fn content(disk: &Disk, root: &Digest, truth: &BTreeMap<Digest, Vec<u8>>) -> Result<(), Found> {
    let Some(wanted) = truth.get(root) else {
        return Err(Found(PROMISES[0], format!("{} was never published", root.short())));
    };
    match join(disk, root) {
        Ok(content) if content == *wanted => Ok(()),
        Ok(_) => Err(Found(PROMISES[0], format!("{} has other bytes", root.short()))),
        Err(e) => Err(Found(PROMISES[1], format!("{}: {e}", root.short()))),
    }
}

/// What a node answers at an instant is the version that a walk over the publications it has heard of finds, or that this
/// version is not here. True: it was not here.
pub(super) fn visible(known: &[Published], disk: &Disk, now_ms: u64) -> Result<bool, Found> {
    let versions: Vec<_> = known.iter().map(|p| p.version.clone()).collect();
    let at = super::world::wall(now_ms);
    let mut due = None;
    for p in known {
        if p.effective_ms <= now_ms && due.is_none_or(|d: &Published| d.effective_ms <= p.effective_ms) {
            due = Some(p);
        }
    }
    let early = |v: u64| Found(PROMISES[2], format!("version {v} answers at {now_ms} ms"));
    match (choose(&versions, at, |v| disk.roots.contains(&v.root)), due) {
        (Choice::InForce(v), Some(d)) if v.version == d.version.version => Ok(false),
        (Choice::NotHere(v), Some(d)) if v.version == d.version.version => Ok(true),
        (Choice::NotYet { .. } | Choice::Unpublished, None) => Ok(false),
        (Choice::InForce(v) | Choice::NotHere(v), _) => Err(early(v.version)),
        (_, Some(d)) => Err(Found(PROMISES[2], format!("version {} does not answer", d.version.version))),
    }
}
