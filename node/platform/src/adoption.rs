//! Certificates of a diverged tail: given away by a primary whose records were not carried over.
//!
//! What always holds: what is listed was signed and recorded in the tail and is in no ledger here; nothing is taken in by looking. A
//! person adopts a certificate, as an import that is verified again, or revokes it.

use crate::Error;
use crate::certificates::{CertificateRow, CertificateState, DELEGATE_PROFILE};
use crate::platform::Platform;
use crate::rows;
use crate::tails::{TailError, TailSource};
use eport_model::{Effect, RecordKind};
use eport_store::read_tail;

/// Certificates listed of one tail at most; the others come when these are decided.
pub const TAIL_CERTIFICATES_MAX: usize = 1_000;

impl Platform {
    /// Certificates that were given away in a tail, that no ledger here knows, and about which nobody has decided: those that
    /// `decided` names are left out, so that the others come into view.
    pub fn tail_certificates(
        &self,
        tail: &TailSource,
        decided: &dyn Fn(&CertificateRow) -> bool,
    ) -> Result<Vec<CertificateRow>, TailError> {
        let (mut found, mut failed) = (Vec::new(), None);
        read_tail(&tail.manifest, |record| {
            let full = found.len() >= TAIL_CERTIFICATES_MAX || failed.is_some();
            if record.header.kind != RecordKind::CertIssued || full {
                return Ok(());
            }
            for effect in &record.effects {
                match self.open_certificate(effect, decided) {
                    Ok(row) => found.extend(row),
                    Err(error) => failed = Some(error),
                }
            }
            Ok(())
        })?;
        failed.map_or(Ok(found), |error| Err(error.into()))
    }

    fn open_certificate(
        &self,
        effect: &Effect,
        decided: &dyn Fn(&CertificateRow) -> bool,
    ) -> Result<Option<CertificateRow>, Error> {
        let Effect::Put { key, value } = effect else { return Ok(None) };
        if !key.starts_with(b"c/") {
            return Ok(None);
        }
        let row: CertificateRow = rows::decode(key, value)?;
        // The key of a CA's delegate died with its process.
        if row.profile == DELEGATE_PROFILE {
            return Ok(None);
        }
        let known = self.certificate(&row.serial)?;
        let open = known.is_none_or(|k| k.state == CertificateState::Intent) && !decided(&row);
        Ok(open.then_some(row))
    }
}
