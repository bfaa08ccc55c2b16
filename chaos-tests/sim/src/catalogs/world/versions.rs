//! What is published in a run.

use super::{NAME, Published, World, wall};
use crate::catalogs::place::Disk;
use bytes::Bytes;
use eport_catalog::sync::Fault;
use eport_catalog::{ObjectSink, Schema, TableVersion, encode_table, store_content};
use eport_identity::Digest;
use rand::Rng;

impl World {
    /// The contents of the run and when they are published.
    pub(super) fn write_versions(&mut self) {
        let Ok(schema) = Schema::new(&["code", "name", "mark"], &["code"]) else { return };
        // One run in thirty has an index of several levels.
        let rows = if self.seed.is_multiple_of(30) { 40_000 } else { self.rng.random_range(500..4_000) };
        let count = self.rng.random_range(2..=4u64);
        let mut at_ms = 1_000;
        let mut rows: Vec<[String; 3]> = (0..rows)
            .map(|n: u64| {
                [
                    format!("Q{n:06}"),
                    format!("quay {n} of many"),
                    format!("{:x}", n.wrapping_mul(0x9E37_79B9)),
                ]
            })
            .collect();
        for number in 1..=count {
            let salt: u64 = self.rng.random();
            for (n, row) in rows.iter_mut().enumerate().filter(|(n, _)| n % 40 == salt as usize % 40) {
                row[2] = format!("{:x}", (n as u64).wrapping_mul(salt | 1));
            }
            let Ok(content) = encode_table(&schema, &rows) else { return };
            let Ok(root) = store_content(&content, &mut Shelf(&mut self.library)) else { return };
            self.library.roots.insert(root);
            let effective_ms = at_ms + self.rng.random_range(0..20_000);
            let version = TableVersion {
                table: match NAME.parse() {
                    Ok(name) => name,
                    Err(_) => return,
                },
                version: number,
                root,
                rows: rows.len() as u64,
                bytes: content.len() as u64,
                effective: wall(effective_ms),
                schema: schema.clone(),
                publisher: "operator/admin".into(),
                published_at: wall(at_ms),
            };
            self.all.push(root);
            self.truth.insert(root, content);
            self.plan.push(Published { version, at_ms, effective_ms });
            at_ms += self.rng.random_range(2_000..40_000);
        }
    }
}

/// A disk as a sink for contents that come in whole.
pub(super) struct Shelf<'d>(pub(super) &'d mut Disk);

impl ObjectSink for Shelf<'_> {
    type Error = Fault;
    fn put(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), Fault> {
        self.0.objects.insert(*digest, Bytes::copy_from_slice(bytes));
        Ok(())
    }
    fn keep(&mut self, digest: &Digest) -> Result<bool, Fault> {
        Ok(self.0.objects.contains_key(digest))
    }
}
