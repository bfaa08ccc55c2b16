//! Certificates of a diverged tail: given away by a primary whose records were not carried over.
//!
//! What always holds: what is listed was signed and recorded in the tail and is in no ledger here; nothing is taken in by looking. A
//! person adopts a certificate, as an import that is verified again, or revokes it.

use crate::certificates::{CertificateRow, CertificateState};
use crate::platform::Platform;
use crate::rows;
use crate::tails::{TailError, TailSource};
use eport_model::{Effect, RecordKind};
use eport_store::read_tail;

/// Certificates listed of one tail at most; the others come when these are decided.
pub const TAIL_CERTIFICATES_MAX: usize = 1_000;

impl Platform {
    /// Certificates that were given away in a tail and that no ledger here knows.
    pub fn tail_certificates(&self, tail: &TailSource) -> Result<Vec<CertificateRow>, TailError> {
        let (mut found, mut failed) = (Vec::new(), None);
        read_tail(&tail.manifest, |record| {
            if record.header.kind != RecordKind::CertIssued || found.len() >= TAIL_CERTIFICATES_MAX {
                return Ok(());
            }
            for effect in &record.effects {
                let Effect::Put { key, value } = effect else { continue };
                if !key.starts_with(b"c/") {
                    continue;
                }
                match rows::decode::<CertificateRow>(key, value) {
                    Ok(row) => found.push(row),
                    Err(error) => failed = Some(error),
                }
            }
            Ok(())
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let mut unknown = Vec::new();
        for row in found {
            let known = self.certificate(&row.serial)?;
            if known.is_none_or(|k| k.state == CertificateState::Intent) {
                unknown.push(row);
            }
        }
        Ok(unknown)
    }
}
