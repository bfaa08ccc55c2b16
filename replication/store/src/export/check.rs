//! Checks a stream of records, one at a time, in constant memory, and says everything that is wrong with it.
//!
//! What a clean report proves: from `first` to `last` no record is missing, altered, doubled or out of order. The *end* is
//! proven only when the last record is the one an outside head names.

use eport_model::{
    Digest, Epoch, JournalIndex, Lineage, NodeId, Position, Record, RecordHeader, RecordKind, RegionCode,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Problems reported one by one; more are counted.
const PROBLEMS_MAX: usize = 1_000;
/// Missing bodies that may wait for the record that explains them.
const MISSING_MAX: usize = 100_000;

/// Places of records that a signed head may still cover; a primary signs for one that is at most its window behind.
const RECENT_MAX: usize = 100_000;

/// Judges the signature of a signed head, whose place in the chain is checked here: by whom it is, or why it does not hold.
pub type HeadJudge<'a> = Box<dyn FnMut(&RecordHeader) -> Result<String, String> + 'a>;

/// Signed checkpoints that were seen.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SignedHeads {
    /// How many there are.
    pub count: u64,
    /// How many of these were judged and hold.
    pub verified: u64,
    /// The newest one that holds.
    pub last: Option<SignedHead>,
}

/// A signed checkpoint that holds: up to `covers` the journal is what this node vouched for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedHead {
    /// The record that says so.
    pub record: JournalIndex,
    /// What it covers.
    pub covers: Position,
    /// When it was signed.
    pub at: Timestamp,
    /// By whom: a subject's path.
    pub by: String,
}

/// Bodies that are missing and that no Erase record has explained yet, with their digests.
#[derive(Default)]
pub(super) struct Missing(BTreeMap<(JournalIndex, u16), Digest>);

impl Missing {
    pub(super) fn see(&mut self, record: &Record) {
        for (n, (body, named)) in (0u16..).zip(record.bodies.iter().zip(&record.header.bodies)) {
            if body.is_empty() && named.len > 0 {
                self.0.insert((record.index(), n), named.digest);
            }
        }
        if let RecordKind::Erase { record: of, body, digest, .. } = &record.header.kind
            && self.0.get(&(*of, *body)) == Some(digest)
        {
            self.0.remove(&(*of, *body));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Records of one epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EpochSpan {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first record seen.
    pub first: JournalIndex,
    /// Its last record seen.
    pub last: JournalIndex,
    /// Its primary, where its first record was seen.
    pub primary: Option<NodeId>,
}

/// Something wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The record, or the record that was expected there.
    pub index: JournalIndex,
    /// One word: `damaged`, `missing`, `order`, `chain`, `epoch`, `time`, `owner`, `file`, `manifest`, `head`, `signature`.
    pub kind: String,
    /// The file, for an export.
    pub file: Option<String>,
    /// For people.
    pub detail: String,
}

/// The result of a verification; serializes to the JSON of `eport journal verify`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VerifyReport {
    /// The platform; absent when nothing readable names it.
    pub region: Option<RegionCode>,
    /// Records read.
    pub records: u64,
    /// First record; 0 when there is none.
    pub first: JournalIndex,
    /// Last record; 0 when there is none.
    pub last: JournalIndex,
    /// Digest of the last record.
    pub head_digest: Digest,
    /// Epochs in order.
    pub epochs: Vec<EpochSpan>,
    /// Signed checkpoints among the records.
    pub signed: SignedHeads,
    /// True when nothing is wrong.
    pub ok: bool,
    /// True when nothing is wrong and the last record is the one that the outside head names.
    pub end_proven: bool,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// How many problems there are in all.
    pub problems_total: u64,
}

/// The running check.
pub(crate) struct ChainCheck<'a> {
    head: Option<Position>,
    head_seen: bool,
    owner: Option<(Lineage, RegionCode)>,
    /// Lineage of the record before the next one.
    lineage: Option<Lineage>,
    /// A lineage followed another one.
    turned: bool,
    /// The record before the next one: its index, and its position unless it could not be read.
    before: Option<(JournalIndex, Option<Position>)>,
    /// Bodies that are missing and that no Erase record has explained yet, with their digests.
    missing: Missing,
    time: Timestamp,
    recent: VecDeque<Position>,
    judge: Option<HeadJudge<'a>>,
    report: VerifyReport,
}

impl<'a> ChainCheck<'a> {
    pub(crate) fn new(head: Option<Position>) -> Self {
        let report = VerifyReport {
            region: None,
            records: 0,
            first: JournalIndex::ZERO,
            last: JournalIndex::ZERO,
            head_digest: Digest::ZERO,
            epochs: Vec::new(),
            signed: SignedHeads::default(),
            ok: false,
            end_proven: false,
            problems: Vec::new(),
            problems_total: 0,
        };
        Self {
            head,
            head_seen: false,
            owner: None,
            lineage: None,
            turned: false,
            before: None,
            missing: Missing::default(),
            time: Timestamp::default(),
            recent: VecDeque::new(),
            judge: None,
            report,
        }
    }

    /// Has the signatures of signed heads judged.
    pub(crate) fn judged_by(mut self, judge: Option<HeadJudge<'a>>) -> Self {
        self.judge = judge;
        self
    }

    /// Says whose records follow and, if known, behind which record.
    pub(crate) fn expect(&mut self, lineage: Lineage, region: RegionCode, before: Option<Position>) {
        self.owner = Some((lineage, region));
        self.report.region = Some(region);
        self.before = before.map(|b| (b.index, Some(b)));
    }

    /// The index of the record that should come next.
    pub(crate) fn expected(&self) -> JournalIndex {
        self.before.map_or(JournalIndex::from_u64(1), |(index, _)| index.next())
    }

    pub(crate) fn problem(&mut self, index: JournalIndex, kind: &str, file: Option<&str>, detail: String) {
        self.report.problems_total += 1;
        if self.report.problems.len() < PROBLEMS_MAX {
            let (kind, file) = (kind.to_owned(), file.map(str::to_owned));
            self.report.problems.push(Problem { index, kind, file, detail });
        }
    }

    /// The next record could not be read; the ones behind it can.
    pub(crate) fn damaged(&mut self, file: Option<&str>, detail: String) {
        let index = self.expected();
        self.problem(index, "damaged", file, detail);
        self.before = Some((index, None));
    }

    /// The next record could not be read, and reading could not go on here.
    pub(crate) fn stop(&mut self, kind: &str, file: Option<&str>, detail: String) {
        let index = self.expected();
        self.problem(index, kind, file, detail);
    }

    /// The next record.
    pub(crate) fn record(&mut self, record: &Record, file: Option<&str>) {
        let index = record.index();
        if let Err(defect) = record.verify() {
            self.problem(index, "damaged", file, defect.to_string());
        }
        self.check_owner(record, file);
        self.check_place(record, file);
        self.check_epoch(record, file);
        self.check_bodies(record, file);
        self.check_signed(record, file);
        if record.header.time < self.time {
            self.problem(index, "time", file, format!("record {index} is older than the record before it"));
        }
        if let Some(head) = self.head.filter(|h| h.index == index) {
            self.head_seen = true;
            if head != record.position() {
                let detail = format!("record {index} is {}, the outside head says {head}", record.position());
                self.problem(index, "head", file, detail);
            }
        }
        self.time = record.header.time;
        // The digest is computed again: a forged stored digest must not vouch for the next record.
        let position = record.header.position();
        self.before = Some((index, Some(position)));
        self.recent.push_back(position);
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        if self.report.records == 0 {
            self.report.first = index;
        }
        self.report.records += 1;
        self.report.last = index;
        self.report.head_digest = position.digest;
    }

    /// The platform never changes. The lineage changes only where an EpochStart names the one before it, and ends with the one
    /// that the journal belongs to.
    fn check_owner(&mut self, record: &Record, file: Option<&str>) {
        let (found, platform) = (record.header.lineage, record.header.platform);
        let Some((owner, region)) = self.owner else {
            self.lineage = Some(found);
            return self.expect(found, platform, self.before.and_then(|(_, b)| b));
        };
        let before = self.lineage.replace(found);
        let turned = before.is_some_and(|b| b != found);
        let named = turned && record.header.parent_lineage() == before;
        if platform != region || (turned && !named) {
            let lineage = before.unwrap_or(owner);
            let detail = format!("platform {platform} of {found}, not {region} of {lineage}");
            self.problem(record.index(), "owner", file, detail);
        }
        if named {
            // Without a manifest the first record said whose the journal is; from here on it is this lineage's.
            self.turned = true;
        }
    }

    /// A body may be missing only when a later record says that it was erased, and that record names this very body.
    fn check_bodies(&mut self, record: &Record, file: Option<&str>) {
        self.missing.see(record);
        if self.missing.0.len() > MISSING_MAX {
            let detail =
                format!("more than {MISSING_MAX} bodies are missing before any record explains them");
            self.problem(record.index(), "body", file, detail);
            self.missing.0.clear();
        }
    }

    /// A signed head covers a record that stands in this chain, and its signature holds.
    fn check_signed(&mut self, record: &Record, file: Option<&str>) {
        let RecordKind::SignedHead { covers, at, .. } = &record.header.kind else { return };
        self.report.signed.count += 1;
        // One that covers a record before the first of an excerpt proves nothing here, and nothing against it.
        let begins = self.recent.front().map_or(record.index(), |p| p.index);
        if covers.index < begins && begins == self.report.first {
            return;
        }
        let found = self.recent.binary_search_by_key(&covers.index, |p| p.index);
        let found = found.ok().and_then(|n| self.recent.get(n));
        if found != Some(covers) {
            let found = found.map_or("nothing".to_owned(), Position::to_string);
            let detail = format!("record {} vouches for {covers}, there is {found}", record.index());
            return self.problem(record.index(), "signature", file, detail);
        }
        let Some(judge) = self.judge.as_mut() else { return };
        match judge(&record.header) {
            Ok(by) => {
                self.report.signed.verified += 1;
                let last = SignedHead { record: record.index(), covers: *covers, at: *at, by };
                self.report.signed.last = Some(last);
            }
            Err(why) => {
                let detail = format!("the signature under record {covers} does not hold: {why}");
                self.problem(record.index(), "signature", file, detail);
            }
        }
    }

    /// True when a record seen so far explains every body that is missing.
    pub(crate) fn explained(&self) -> bool {
        self.missing.is_empty()
    }

    fn check_place(&mut self, record: &Record, file: Option<&str>) {
        let index = record.index();
        let Some((last, position)) = self.before else { return };
        if index > last.next() {
            let (from, to) = (last.next(), index.previous());
            self.problem(from, "missing", file, format!("records {from} to {to} are missing"));
        } else if index < last.next() {
            self.problem(index, "order", file, format!("record {index} comes after record {last}"));
        } else if let Some(Err(defect)) = position.map(|p| record.follows(&p)) {
            self.problem(index, "chain", file, defect.to_string());
        }
    }

    fn check_epoch(&mut self, record: &Record, file: Option<&str>) {
        let (index, epoch) = (record.index(), record.header.epoch);
        let known = self.report.epochs.last().map(|e| e.epoch);
        let primary = match record.header.kind {
            RecordKind::EpochStart { primary, previous, .. } => {
                if known.is_some_and(|k| k != previous) {
                    self.problem(
                        index,
                        "epoch",
                        file,
                        format!("epoch {epoch} says it follows epoch {previous}"),
                    );
                }
                Some(primary)
            }
            _ => None,
        };
        match self.report.epochs.last_mut() {
            Some(span) if span.epoch == epoch && primary.is_none() => span.last = index,
            Some(_) if primary.is_none() => {
                let detail = format!("epoch {epoch} begins without the record that opens an epoch");
                self.problem(index, "epoch", file, detail);
                self.report.epochs.push(EpochSpan { epoch, first: index, last: index, primary });
            }
            _ => self.report.epochs.push(EpochSpan { epoch, first: index, last: index, primary }),
        }
        // A shuffled export could name one epoch a record; the list stays bounded like the problems.
        self.report.epochs.truncate(PROBLEMS_MAX * 10);
    }

    /// The manifest says that the records end here.
    pub(crate) fn promised(&mut self, last: Position, file: &str) {
        let Some((found, position)) = self.before else { return };
        if found < last.index {
            let from = found.next();
            let detail = format!("records {from} to {} are missing at the end", last.index);
            self.problem(from, "missing", Some(file), detail);
        } else if position.is_some_and(|p| p != last) {
            self.problem(last.index, "manifest", Some(file), format!("the last record should be {last}"));
        }
    }

    /// The report.
    pub(crate) fn finish(mut self) -> VerifyReport {
        for ((index, n), _) in std::mem::take(&mut self.missing.0) {
            let detail =
                format!("body {n} of record {index} is missing, and no later record says that it was erased");
            self.problem(index, "body", None, detail);
        }
        if let (Some((owner, region)), Some(end)) = (self.owner, self.lineage)
            && owner != end
            && !self.turned
        {
            let detail = format!("the records of platform {region} belong to {end}, not to {owner}");
            self.problem(self.report.last, "owner", None, detail);
        }
        if let Some(head) = self.head
            && !self.head_seen
        {
            let last = self.report.last;
            if head.index > last {
                let from = last.next();
                self.problem(
                    from,
                    "head",
                    None,
                    format!("the outside head is record {}, the end is {last}", head.index),
                );
            }
        }
        self.report.ok = self.report.problems_total == 0;
        let at_end = self.head.is_some_and(|h| self.head_seen && h.index == self.report.last);
        self.report.end_proven = self.report.ok && at_end;
        self.report
    }
}
