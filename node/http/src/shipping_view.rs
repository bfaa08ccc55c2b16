//! What people see of shipping: slots, checkpoints under way, and the warnings about them.
//!
//! The primary's word counts for slots, the backup's own for the checkpoint that it takes.

use crate::federation::Heard;
use eport_agent::{BackupSoft, PlatformSoft};
use eport_api_types as t;
use eport_model::codes;

/// A backup that takes a checkpoint, or does not hold again what it had, is not in sync whatever the registry still says.
pub fn counts(primary: Option<&BackupSoft>, own: Option<&PlatformSoft>) -> bool {
    !primary.is_some_and(|b| b.slot.reseeding) && own.is_none_or(|s| s.bootstrap.is_none())
}

/// What is kept for shipping to a backup.
pub fn slot(primary: &BackupSoft) -> t::SlotStatus {
    let slot = primary.slot;
    t::SlotStatus {
        state: match (slot.lost, slot.reseeding) {
            (_, true) => "reseeding",
            (true, false) => "lost",
            (false, false) => "kept",
        }
        .to_owned(),
        position: primary.durable.as_u64(),
        records: slot.records,
        bytes: slot.bytes,
        seconds: slot.age_ms as f64 / 1_000.0,
    }
}

/// The checkpoint that a backup takes.
pub fn bootstrap(own: &PlatformSoft) -> Option<t::BootstrapStatus> {
    let b = own.bootstrap.as_ref()?;
    Some(t::BootstrapStatus {
        source: b.source,
        state: b.state.clone(),
        reason: b.reason.clone(),
        bytes: b.bytes,
        total: b.total,
        percent: if b.total == 0 { 0.0 } else { (b.bytes as f64 * 1_000.0 / b.total as f64).floor() / 10.0 },
        rate: b.rate,
    })
}

/// Backups whose slot is lost.
pub fn warnings(heard: &Heard, chinese: bool) -> Vec<t::Warning> {
    let mut out = Vec::new();
    for (_, soft) in heard.values() {
        for p in soft.platforms.iter().filter(|p| matches!(p.role.as_str(), "primary" | "handover")) {
            for b in p.backups.iter().filter(|b| b.slot.lost) {
                let (node, region, records) = (b.node, p.region, b.slot.records);
                let text = match chinese {
                    true => format!(
                        "{region}：备份 {node} 缺少 {records} 条记录，已超出为传送保留的范围；将以检查点重建"
                    ),
                    false => format!(
                        "{region}: backup {node} lacks {records} records, more than is kept for shipping; it takes a checkpoint"
                    ),
                };
                out.push(t::Warning { code: codes::SLOT_LOST.to_string(), text });
            }
        }
    }
    out
}
