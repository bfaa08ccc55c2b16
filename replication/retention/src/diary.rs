//! What became of the backups of one node, and what is to be done next.
//!
//! Always holds: nothing may go while the last restore test found the backup bad; failed attempts come ever more rarely, at least
//! once an hour; what went wrong is told until it goes well again.

use crate::keep::{Held, Retention, expendable};
use crate::schedule::{Period, Schedule};
use eport_model::{Code, Timestamp, codes};
use serde::{Deserialize, Serialize};

/// First pause after a failed attempt, doubled with each further one.
const RETRY_MS: i64 = 30_000;
/// Longest pause after failed attempts.
const RETRY_MS_MAX: i64 = 3_600_000;
/// A backup is not called late before it is so long overdue, however short the period.
const GRACE_MS_MIN: i64 = 60_000;
/// Longest text of an error that is kept.
const DETAIL_LEN_MAX: usize = 600;

/// What the operator configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// When backups are made.
    pub schedule: Schedule,
    /// How often one needs no former backup.
    pub full_every: Period,
    /// How often the newest is restored for a test; `None` for never.
    pub restore_test: Option<Period>,
    /// What stays.
    pub retention: Retention,
}

/// A whole backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its number.
    pub seq: u64,
    /// When it was made.
    pub at: Timestamp,
    /// It needs no former one.
    pub full: bool,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Attempts that failed in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How many.
    pub count: u32,
    /// The last one.
    pub at: Timestamp,
    /// Its code.
    pub code: Code,
    /// Why it failed.
    pub detail: String,
}

/// A restore test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// The backup that was restored.
    pub seq: u64,
    /// When the test ended.
    pub at: Timestamp,
    /// What it found: empty when everything was opened, chained and equal.
    pub fault: String,
    /// False when it could not be made, for example for want of space: that says nothing about the backup.
    pub judged: bool,
    /// Records written and verified.
    pub records: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Tested {
    /// Everything was as it should be.
    pub fn passed(&self) -> bool {
        self.fault.is_empty()
    }

    /// The backup is not good: what it holds was damaged or differs.
    pub fn condemned(&self) -> bool {
        self.judged && !self.passed()
    }
}

/// What a node remembers of its scheduled backups. The target's manifests are the truth about backups; this adds attempts and tests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Diary {
    /// Where the backups lie, as it is shown to people.
    pub target: String,
    /// When the first look was taken: what never was made is late from here on.
    pub since: Option<Timestamp>,
    /// The newest whole backup.
    pub newest: Option<Made>,
    /// The newest that needs no former one.
    pub newest_full: Option<Made>,
    /// Attempts that failed since.
    pub failure: Option<Failure>,
    /// The last restore test.
    pub test: Option<Tested>,
    /// The newest backup that passed one, and when.
    pub passed: Option<(u64, Timestamp)>,
    /// What the newest backup lacks although it was made: platforms that are not here, keys that are not wrapped yet.
    pub lacks: Vec<String>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this instant.
    Wait(Timestamp),
    /// A backup now.
    Backup {
        /// One that needs no former backup.
        full: bool,
        /// Restore it afterwards.
        test: bool,
    },
}

/// Something a person should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Its code.
    pub code: Code,
    /// What, in a sentence without a full stop.
    pub text: String,
}

impl Diary {
    /// What is to be done now.
    pub fn next(&self, plan: &Plan, now: Timestamp) -> Step {
        let due = self.due(plan, now);
        let ready = self.failure.as_ref().map_or(due, |f| due.max(retry_at(f, plan)));
        // A failure in the future was noted before the clock was set back.
        let ahead = self.failure.as_ref().is_some_and(|f| f.at > now);
        if now < due || (now < ready && !ahead) {
            return Step::Wait(ready);
        }
        let old =
            |at: Timestamp, every: Period| at > now || now.as_millis() - at.as_millis() >= every.as_millis();
        // A chain that failed its test is not continued.
        let bad = self.test.as_ref().is_some_and(Tested::condemned);
        let full = bad || self.newest_full.is_none_or(|m| old(m.at, plan.full_every));
        let test = match (plan.restore_test, &self.test) {
            (None, _) => false,
            (Some(every), Some(t)) if t.passed() => old(t.at, every),
            (Some(_), _) => true,
        };
        Step::Backup { full, test }
    }

    /// When the next backup is due, whatever happened to attempts.
    pub fn due(&self, plan: &Plan, now: Timestamp) -> Timestamp {
        match self.newest.filter(|m| m.at <= now) {
            Some(made) => plan.schedule.after(made.at),
            None => self.since.unwrap_or(now).min(now),
        }
    }

    /// Takes the backups that the target shows, rising by number.
    pub fn found(&mut self, held: &[Made], now: Timestamp) {
        self.since.get_or_insert(now);
        self.newest = held.last().copied();
        self.newest_full = held.iter().rev().find(|m| m.full).copied();
        self.passed = self.passed.filter(|(seq, _)| held.iter().any(|m| m.seq == *seq));
    }

    /// The target shows none although backups were made there: an empty mount point, or somebody took them away.
    pub fn is_bereft(&self, target: &str, held: &[Made]) -> bool {
        self.target == target && self.newest.is_some() && held.is_empty()
    }

    /// Begins with another target: nothing that was said of the former one holds.
    pub fn aim(&mut self, target: &str) {
        if self.target != target {
            *self = Self { target: target.to_owned(), ..Self::default() };
        }
    }

    /// An attempt failed.
    pub fn failed(&mut self, code: Code, detail: &str, now: Timestamp) {
        let count = self.failure.as_ref().map_or(0, |f| f.count).saturating_add(1);
        self.failure = Some(Failure { count, at: now, code, detail: short(detail) });
    }

    /// A backup was made.
    pub fn made(&mut self, made: Made, lacks: Vec<String>) {
        self.newest = Some(made);
        if made.full {
            self.newest_full = Some(made);
        }
        self.failure = None;
        self.lacks = lacks;
    }

    /// A restore test ended.
    pub fn tested(&mut self, test: Tested) {
        if test.passed() {
            self.passed = Some((test.seq, test.at));
        }
        self.test = Some(Tested { fault: short(&test.fault), ..test });
    }

    /// The backups that may go. None while the last test found the backup bad: which ones are good is not known then.
    pub fn expendable(&self, plan: &Plan, held: &[Held]) -> Vec<u64> {
        if self.test.as_ref().is_some_and(Tested::condemned) {
            return Vec::new();
        }
        expendable(held, plan.retention, self.passed.map(|(seq, _)| seq))
    }

    /// What a person should look at.
    pub fn troubles(&self, plan: &Plan, now: Timestamp) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let mut say = |code: Code, text: String| troubles.push(Trouble { code, text });
        if let Some(f) = &self.failure {
            let text = format!("{} failed in a row, the last with {}: {}", f.count, f.code, f.detail);
            say(codes::BACKUP_FAILED, text);
        }
        let over = now.as_millis().saturating_sub(self.due(plan, now).as_millis());
        if over > grace(plan.schedule.period()) {
            let made = if self.newest.is_some() { "the next backup" } else { "the first backup" };
            say(codes::BACKUP_LATE, format!("{made} is {} s overdue", over / 1_000));
        }
        for text in &self.lacks {
            say(codes::BACKUP_INCOMPLETE, text.clone());
        }
        if let Some(t) = self.test.as_ref().filter(|t| !t.passed()) {
            say(codes::RESTORE_TEST_FAILED, format!("restore test of backup {:06}: {}", t.seq, t.fault));
        } else if let Some(every) = plan.restore_test {
            let since = self.passed.map(|(_, at)| at).or(self.since).unwrap_or(now);
            let over = now.as_millis().saturating_sub(since.as_millis()).saturating_sub(every.as_millis());
            if over > grace(every).max(grace(plan.schedule.period())) {
                say(codes::RESTORE_TEST_FAILED, format!("the restore test is {} s overdue", over / 1_000));
            }
        }
        troubles
    }
}

/// How long something may be overdue before it is called late: half a period.
fn grace(period: Period) -> i64 {
    (period.as_millis() / 2).max(GRACE_MS_MIN)
}

fn retry_at(f: &Failure, plan: &Plan) -> Timestamp {
    let pause = RETRY_MS.saturating_mul(1 << f.count.saturating_sub(1).min(20)).min(RETRY_MS_MAX);
    let pause = pause.min(plan.schedule.period().as_millis());
    Timestamp::from_millis(f.at.as_millis().saturating_add(pause))
}

fn short(text: &str) -> String {
    text.chars().take(DETAIL_LEN_MAX).collect()
}
