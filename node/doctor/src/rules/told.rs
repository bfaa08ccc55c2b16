//! What nodes warn of by themselves, by code. A warning of a code that nothing here knows is a finding under that code: nothing that a
//! node thinks worth saying is lost.

use crate::finding::Owner;
use crate::kinds::{
    ACCESS_LOG, APPROVER_MISSING, BACKUP_LATE, CA_LOCKED, CERTIFICATE_ENDS_SOON, CLOCK_OFF, CLOCK_SET_BACK,
    COPY_DAMAGED, DRILL_DUE, DRILL_OVERDUE, KEY_MISSING, Kind, PROMISE_WEAK, QUORUM_SITE, RESTORE_UNPROVEN,
    ROOM_MISSING, TABLE_FAULT, TABLE_LATE, TAIL_OPEN,
};
use crate::{Finding, Gathered, Severity, Words};
use eport_api_types::Warning;
use eport_model::{Code, codes};

/// The kind of a warning and the command to begin with.
fn kind_of(code: Code) -> Option<(&'static Kind, &'static str)> {
    Some(match code {
        codes::PROMISE_WEAK => (PROMISE_WEAK, "eport plan backups"),
        codes::ROOM_MISSING => (ROOM_MISSING, "eport plan backups"),
        codes::QUORUM_AT_RISK => (QUORUM_SITE, "eport quorum status"),
        codes::CERT_ENDS_SOON => (CERTIFICATE_ENDS_SOON, "eport cert forecast"),
        codes::JOURNAL_CORRUPT | codes::STATE_DIFFERS | codes::COPY_DAMAGED => (COPY_DAMAGED, "eport status"),
        codes::DATA_KEY_MISSING => (KEY_MISSING, "eport status"),
        codes::BACKUP_LATE | codes::BACKUP_FAILED | codes::BACKUP_TARGET | codes::BACKUP_INCOMPLETE => {
            (BACKUP_LATE, "eport backup status")
        }
        codes::RESTORE_TEST_FAILED => (RESTORE_UNPROVEN, "eport backup status"),
        codes::TABLE_NOT_STAGED => (TABLE_LATE, "eport table list"),
        codes::TABLE_DAMAGED | codes::CATALOG_WRONG_BYTES | codes::TABLE_WITHDRAWN => {
            (TABLE_FAULT, "eport table list")
        }
        codes::TABLE_CLOCK => (CLOCK_OFF, "timedatectl status"),
        codes::CLOCK_BEHIND => (CLOCK_SET_BACK, "timedatectl status"),
        codes::SECOND_PERSON_MISSING => (APPROVER_MISSING, "eport user list"),
        codes::DRILL_DUE => (DRILL_DUE, "eport drill schedule list"),
        codes::DRILL_OVERDUE => (DRILL_OVERDUE, "eport drill list"),
        codes::TAIL_WAITING => (TAIL_OPEN, "eport tail list"),
        codes::CA_LOCKED | codes::CA_KEY_PLAIN => (CA_LOCKED, "eport ca keys"),
        codes::ACCESS_LOG_FAILED | codes::ACCESS_LOG_BROKEN => (ACCESS_LOG, "eport audit show"),
        _ => return None,
    })
}

/// What others of this crate look at in more detail, where they could.
fn known(found: &[Finding], kind: Option<&Kind>, code: Code, text: &str) -> bool {
    let by_structure = [codes::SLOT_LOST, codes::APPROVAL_PENDING, codes::DRILL_RUNNING];
    if by_structure.contains(&code) {
        return true;
    }
    let Some(kind) = kind else { return false };
    found.iter().any(|f| {
        // The subject of a tail is its platform and its id: the text names the id.
        let names = f.subject.split(' ').next_back().unwrap_or_default();
        f.id == kind.id && !names.is_empty() && text.contains(names)
    })
}

pub(super) fn findings(g: &Gathered, found: &[Finding]) -> Vec<Finding> {
    let told = g.status.iter().flat_map(|s| &s.warnings).chain(&g.promises);
    told.filter_map(|w| finding(w, found)).collect()
}

fn finding(w: &Warning, found: &[Finding]) -> Option<Finding> {
    let code: Option<Code> = w.code.parse().ok();
    let mapped = code.and_then(kind_of);
    if code.is_some_and(|c| known(found, mapped.map(|(k, _)| k), c, &w.text)) {
        return None;
    }
    let cause = Words::same(w.text.clone());
    // One subject a sentence: two warnings of one kind are two findings.
    if let Some((kind, next)) = mapped {
        return Some(Finding::of(kind, format!("{} {}", w.code, subject(&w.text)), cause, next));
    }
    let info = code.and_then(Code::info);
    let title = info.map_or_else(|| Words::same(w.code.clone()), |i| Words::new(i.title.0, i.title.1));
    Some(Finding {
        severity: Severity::Warning,
        id: w.code.clone(),
        subject: subject(&w.text),
        title,
        cause,
        owner: Owner::SystemAdministrator,
        next: format!("eport explain {}", w.code),
        runbook: false,
    })
}

/// What a sentence is about: its first word that names a node or platform, else its beginning.
fn subject(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '/';
    let named = text.split(|c: char| !word(c)).find(|w| {
        w.len() >= 3 && w.bytes().any(|b| b.is_ascii_digit()) && !w.starts_with("20") && !w.starts_with("EP")
    });
    named.map_or_else(|| text.chars().take(24).collect(), str::to_owned)
}
