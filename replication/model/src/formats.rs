//! Every number that says in which form something travels or lies on a disk, in one place, and who gets along with whom.
//!
//! A number rises when an older program could no longer read what this one writes. What changes without that has a gate instead:
//! it is written only when all who must read it have said that they can. A core: the table is data, the verdict a function of it.
//! `docs/reference/compatibility.md` is made from this file.

use crate::{
    CA_ACT_SINCE, CERTIFICATES_SINCE, Code, DEGRADE_SINCE, ENROLMENT_SINCE, ERASE_SINCE, SCHEMA_VERSION,
    SIGNED_HEAD_SINCE, codes,
};

/// Oldest wire version that this program speaks.
pub const WIRE_OLDEST: u8 = 1;
/// Newest wire version that this program speaks.
pub const WIRE_NEWEST: u8 = 1;
/// `node.json` of a data directory.
pub const DATA_DIR: u32 = 1;
/// A journal's file.
pub const JOURNAL_FILE: u32 = 1;
/// The state rows of a platform.
pub const STATE_ROWS: u32 = 2;
/// The registry's folder: rows, log entries and marks.
pub const REGISTRY: u8 = 2;
/// A checkpoint that a backup is given.
pub const CHECKPOINT: u32 = 1;
/// Journals and tails that were exported.
pub const EXPORT: u32 = 1;
/// Backups.
pub const BACKUP: u32 = 1;
/// Evidence of one document.
pub const EVIDENCE: u32 = 1;
/// The plan with which a lost quorum is recovered.
pub const RECOVERY_PLAN: u32 = 1;
/// Standards packs.
pub const PACK: u32 = 2;

/// What has a form of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Between nodes.
    Wire,
    /// In journals.
    Record,
    /// `node.json`.
    DataDir,
    /// Journal files.
    JournalFile,
    /// Rows of a platform.
    StateRows,
    /// The registry on a disk.
    Registry,
    /// Given to a backup.
    Checkpoint,
    /// Taken out.
    Export,
    /// Kept aside.
    Backup,
    /// Given to anybody.
    Evidence,
    /// Signed by two persons.
    RecoveryPlan,
    /// What documents are judged by.
    Pack,
}

/// One kind in this program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format {
    /// The kind.
    pub kind: Kind,
    /// Its word in JSON.
    pub id: &'static str,
    /// What it is (English, Chinese).
    pub what: (&'static str, &'static str),
    /// The oldest form that is read.
    pub oldest: u32,
    /// The newest form that is read, which is the one written.
    pub newest: u32,
    /// What is answered to a newer form.
    pub newer: Code,
    /// What is answered to one that is too old.
    pub older: Code,
}

const fn format(
    kind: Kind,
    id: &'static str,
    what: (&'static str, &'static str),
    span: (u32, u32),
    refused: (Code, Code),
) -> Format {
    Format { kind, id, what, oldest: span.0, newest: span.1, newer: refused.0, older: refused.1 }
}

/// A data directory that is newer or older.
const ON_DISK: (Code, Code) = (codes::DIR_NEWER_FORMAT, codes::DIR_OLDER_FORMAT);

/// The forms of this program.
pub const FORMATS: [Format; 12] = [
    format(
        Kind::Wire,
        "wire",
        ("frames and messages between nodes", "节点之间的帧与消息"),
        (WIRE_OLDEST as u32, WIRE_NEWEST as u32),
        (codes::WIRE_VERSION, codes::WIRE_VERSION),
    ),
    format(
        Kind::Record,
        "record",
        ("records of journals", "日志记录"),
        (1, SCHEMA_VERSION as u32),
        (codes::RECORD_DAMAGED, codes::RECORD_DAMAGED),
    ),
    format(Kind::DataDir, "data_dir", ("the data directory", "数据目录"), (DATA_DIR, DATA_DIR), ON_DISK),
    format(
        Kind::JournalFile,
        "journal_file",
        ("files of journals", "日志文件"),
        (JOURNAL_FILE, JOURNAL_FILE),
        ON_DISK,
    ),
    format(
        Kind::StateRows,
        "state_rows",
        ("state rows of a platform", "平台的状态行"),
        (STATE_ROWS, STATE_ROWS),
        ON_DISK,
    ),
    format(
        Kind::Registry,
        "registry",
        ("the registry's log and rows", "注册中心的日志与行"),
        (REGISTRY as u32, REGISTRY as u32),
        ON_DISK,
    ),
    format(
        Kind::Checkpoint,
        "checkpoint",
        ("checkpoints for backups", "供备份引导的检查点"),
        (CHECKPOINT, CHECKPOINT),
        ON_DISK,
    ),
    format(
        Kind::Export,
        "export",
        ("exports of journals and tails", "日志与尾部的导出"),
        (1, EXPORT),
        ON_DISK,
    ),
    format(
        Kind::Backup,
        "backup",
        ("backups", "备份"),
        (1, BACKUP),
        (codes::BACKUP_DAMAGED, codes::BACKUP_DAMAGED),
    ),
    format(
        Kind::Evidence,
        "evidence",
        ("evidence of one document", "单份单证的证明"),
        (EVIDENCE, EVIDENCE),
        (codes::VERIFY_DIFFERENCE, codes::VERIFY_DIFFERENCE),
    ),
    format(
        Kind::RecoveryPlan,
        "recovery_plan",
        ("plans that recover a lost quorum", "法定人数丢失后的恢复方案"),
        (RECOVERY_PLAN, RECOVERY_PLAN),
        (codes::RECOVERY_PLAN_UNUSABLE, codes::RECOVERY_PLAN_UNUSABLE),
    ),
    format(
        Kind::Pack,
        "pack",
        ("standards packs", "标准包"),
        (PACK, PACK),
        (codes::PACK_REFUSED, codes::PACK_REFUSED),
    ),
];

/// Something that is written only when all who must read it can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gate {
    /// What it is (English, Chinese).
    pub what: (&'static str, &'static str),
    /// The record format that knows it.
    pub since: u16,
}

/// The gates of this program: a primary writes such a record when every holder of its platform has told the registry that it reads
/// the format; until then it does without, or waits.
pub const GATES: [Gate; 6] = [
    Gate { what: ("going on alone (Degrade)", "降级续写"), since: DEGRADE_SINCE },
    Gate {
        what: ("intents and issues of certificates", "证书的签发意向与签发"), since: CERTIFICATES_SINCE
    },
    Gate { what: ("erasing by order", "依令擦除"), since: ERASE_SINCE },
    Gate { what: ("tokens and requests of enrolment", "注册令牌与申请"), since: ENROLMENT_SINCE },
    Gate { what: ("signed heads", "签名的链头"), since: SIGNED_HEAD_SINCE },
    Gate { what: ("what was done with a CA's key", "对 CA 密钥的操作"), since: CA_ACT_SINCE },
];

/// A released program with what it reads and writes. Kinds that a later release brings are absent in an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// Its version.
    pub version: &'static str,
    /// Oldest and newest form by kind.
    pub spans: &'static [(Kind, u32, u32)],
}

/// Every release, the newest last. A release adds a row and never changes one; the last row is this program.
pub const RELEASES: [Release; 1] = [Release {
    version: "0.1.0",
    spans: &[
        (Kind::Wire, 1, 1),
        (Kind::Record, 1, 7),
        (Kind::DataDir, 1, 1),
        (Kind::JournalFile, 1, 1),
        (Kind::StateRows, 2, 2),
        (Kind::Registry, 2, 2),
        (Kind::Checkpoint, 1, 1),
        (Kind::Export, 1, 1),
        (Kind::Backup, 1, 1),
        (Kind::Evidence, 1, 1),
        (Kind::RecoveryPlan, 1, 1),
        (Kind::Pack, 2, 2),
    ],
}];

impl Release {
    /// Oldest and newest form of a kind.
    pub fn span(&self, kind: Kind) -> Option<(u32, u32)> {
        self.spans.iter().find(|(k, ..)| *k == kind).map(|(_, oldest, newest)| (*oldest, *newest))
    }
}

/// Whether nodes of two releases work in one federation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Together {
    /// They do, in this wire version.
    Yes(u32),
    /// They have no wire version in common.
    No,
}

/// Whether two releases talk.
pub fn together(a: &Release, b: &Release) -> Together {
    match (a.span(Kind::Wire), b.span(Kind::Wire)) {
        (Some((a_min, a_max)), Some((b_min, b_max))) if a_min <= b_max && b_min <= a_max => {
            Together::Yes(a_max.min(b_max))
        }
        _ => Together::No,
    }
}

/// What a node keeps on its own disk.
const KEPT: [Kind; 5] = [Kind::DataDir, Kind::JournalFile, Kind::StateRows, Kind::Registry, Kind::Record];

/// The kinds for which a node of release `to` cannot start on a disk that release `from` has written; none when it can.
/// Records count by what `from` can write at most: a gate may still be closed, and then fewer stand in the way.
pub fn hinders(from: &Release, to: &Release) -> Vec<Kind> {
    let unreadable = |kind: &Kind| match (from.span(*kind), to.span(*kind)) {
        (Some((_, written)), Some((oldest, newest))) => !(oldest..=newest).contains(&written),
        (Some(_), None) => true,
        (None, _) => false,
    };
    KEPT.into_iter().filter(unreadable).collect()
}

/// The form of a kind in this program.
pub fn of(kind: Kind) -> Option<&'static Format> {
    FORMATS.iter().find(|f| f.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_release_is_this_program_and_every_refusal_is_explained() {
        let last = RELEASES.last().unwrap();
        assert_eq!(last.version, env!("CARGO_PKG_VERSION"), "a new version adds a row to RELEASES");
        for f in &FORMATS {
            assert_eq!(
                last.span(f.kind),
                Some((f.oldest, f.newest)),
                "{}: a release that was made never changes",
                f.id
            );
            assert!(f.oldest <= f.newest && f.newer.info().is_some() && f.older.info().is_some(), "{}", f.id);
            assert_eq!(of(f.kind), Some(f));
        }
        assert_eq!(last.spans.len(), FORMATS.len());
        assert!(GATES.iter().all(|g| (2..=SCHEMA_VERSION).contains(&g.since)));
        assert!(GATES.is_sorted_by_key(|g| g.since) && GATES.last().unwrap().since == SCHEMA_VERSION);
    }

    #[test]
    fn who_talks_to_whom_and_who_starts_on_whose_disk_follows_from_the_numbers() {
        let release = |wire: (u32, u32), rows: u32, record: u32| {
            let spans = vec![
                (Kind::Wire, wire.0, wire.1),
                (Kind::StateRows, rows, rows),
                (Kind::Record, 1, record),
                (Kind::DataDir, 1, 1),
            ];
            Release { version: "x", spans: Vec::leak(spans) }
        };
        let (old, mid, new) = (release((1, 1), 2, 7), release((1, 2), 2, 8), release((2, 3), 3, 8));
        assert_eq!((together(&old, &mid), together(&mid, &new)), (Together::Yes(1), Together::Yes(2)));
        assert_eq!((together(&old, &new), together(&new, &old)), (Together::No, Together::No));
        assert!(hinders(&old, &mid).is_empty());
        assert_eq!(hinders(&mid, &old), [Kind::Record], "a downgrade over newer records");
        assert_eq!(hinders(&mid, &new), [Kind::StateRows], "rows that nobody converts");
        assert_eq!(hinders(&new, &Release { version: "none", spans: &[] }).len(), 3);
    }
}
