//! The province's core data set: facts of every platform by journal position, a token to go on from, figures made of facts.
//!
//! What always holds: a fact's id is made of the platform and the position of its record, so the same fact has one id for ever; a token
//! names a position of each platform and its epoch; when the journal behind a position was left by a failover, the reader is told from
//! where on what it has is void, and is given what stands there now.

use crate::Masked;
use eport_model::{Epoch, JournalIndex, RegionCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Platforms of one token.
const PLATFORMS_MAX: usize = 1_000;

/// A place in a platform's journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Place {
    /// Epoch of the record.
    pub epoch: Epoch,
    /// Its index.
    pub index: JournalIndex,
}

/// Where a reader is, on every platform it has read from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Token(pub BTreeMap<RegionCode, Place>);

/// A text that is no token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("after: it is no token of the core data set")]
pub struct NoToken;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (region, place)) in self.0.iter().enumerate() {
            let between = if n > 0 { "_" } else { "" };
            write!(f, "{between}{region}-{}-{}", place.epoch.as_u64(), place.index.as_u64())?;
        }
        Ok(())
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let mut out = BTreeMap::new();
        for part in text.split('_').filter(|p| !p.is_empty()) {
            let mut words = part.split('-');
            let region = words.next().and_then(|w| w.parse().ok()).ok_or(NoToken)?;
            let mut number = || words.next().and_then(|w| w.parse::<u64>().ok()).ok_or(NoToken);
            let place = Place { epoch: Epoch::from_u64(number()?), index: JournalIndex::from_u64(number()?) };
            let twice = out.insert(region, place).is_some();
            if words.next().is_some() || twice || out.len() > PLATFORMS_MAX {
                return Err(NoToken);
            }
        }
        Ok(Self(out))
    }
}

/// What a fact is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// A version of a document was accepted.
    Document,
    /// A document's state changed.
    State,
    /// A milestone was passed.
    Milestone,
    /// The journal was left behind a position: facts of this platform behind `void_after` that were given before are void.
    Rewound,
}

/// A fact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Fact {
    /// `PLATFORM/EPOCH/INDEX/N`.
    pub id: String,
    /// The platform.
    pub platform: RegionCode,
    /// Epoch of the record it rests on.
    pub epoch: Epoch,
    /// Index of that record.
    pub index: JournalIndex,
    /// Record time.
    pub time: String,
    /// What it is about.
    pub kind: FactKind,
    /// The document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_id: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_version: Option<u32>,
    /// Its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_type: Option<String>,
    /// Its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The milestone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milestone: Option<String>,
    /// `kind:value` of what passed it; empty: the document's own consignment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// When that happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened_at: Option<String>,
    /// What is shared of the document's body.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
    /// What of the body is not shown as it was lodged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<Masked>,
    /// The rules that shared it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Of `rewound`: facts behind this index are void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void_after: Option<u64>,
}

/// The id of a fact.
pub fn id_of(platform: RegionCode, place: Place, n: usize) -> String {
    format!("{platform}/{}/{}/{n}", place.epoch.as_u64(), place.index.as_u64())
}

/// Where a reader goes on. `known(i)` is the epoch of the record at `i` now, `None` beyond the end. The second value is there when
/// what the reader has behind it is void.
///
/// Epochs never fall along a journal, so the records up to the fork are those whose epoch is at most the reader's.
pub fn resume<E>(
    reader: Place,
    known: impl Fn(JournalIndex) -> Result<Option<Epoch>, E>,
) -> Result<(JournalIndex, bool), E> {
    if reader.index == JournalIndex::ZERO {
        return Ok((JournalIndex::ZERO, false));
    }
    if known(reader.index)? == Some(reader.epoch) {
        return Ok((reader.index, false));
    }
    // The last index whose record the reader may have seen: all before it have an epoch of at most the reader's.
    let (mut low, mut high) = (0, reader.index.as_u64());
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match known(JournalIndex::from_u64(middle))? {
            Some(epoch) if epoch <= reader.epoch => low = middle,
            _ => high = middle - 1,
        }
    }
    Ok((JournalIndex::from_u64(low), true))
}

/// Figures of one platform.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Documents by type, each once.
    pub documents: BTreeMap<String, u64>,
    /// Later versions of documents.
    pub amendments: u64,
    /// Milestones by code.
    pub milestones: BTreeMap<String, u64>,
}

impl Figures {
    /// With another platform's.
    pub fn add(&mut self, other: &Figures) {
        for (name, n) in &other.documents {
            *self.documents.entry(name.clone()).or_default() += n;
        }
        for (name, n) in &other.milestones {
            *self.milestones.entry(name.clone()).or_default() += n;
        }
        self.amendments += other.amendments;
    }
}

/// Figures of facts in the order in which they were given, by platform. Facts are given twice: first all of them to `see`, so that what a
/// later rewind makes void is known, then all again to `count`.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Platform → (number of the fact that says so, index).
    rewinds: BTreeMap<RegionCode, Vec<(u64, u64)>>,
    seen: u64,
    counted: u64,
    /// By platform.
    pub platforms: BTreeMap<RegionCode, Figures>,
    /// Facts that a later one made void.
    pub void: u64,
    /// Facts that stand where one stood before: each has been given twice.
    pub repeated: u64,
    /// Where each platform is: index and number of the last fact.
    last: BTreeMap<RegionCode, (u64, u64)>,
}

impl Tally {
    /// First pass.
    pub fn see(&mut self, fact: &Fact) {
        self.seen += 1;
        if let (FactKind::Rewound, Some(after)) = (fact.kind, fact.void_after) {
            self.rewinds.entry(fact.platform).or_default().push((self.seen, after));
        }
    }

    /// Second pass.
    pub fn count(&mut self, fact: &Fact) {
        self.counted += 1;
        let (n, index) = (self.counted, fact.index.as_u64());
        if fact.kind == FactKind::Rewound {
            self.last.insert(fact.platform, (fact.void_after.unwrap_or_default(), u64::MAX));
            return;
        }
        let number = fact.id.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or_default();
        match self.last.insert(fact.platform, (index, number)) {
            Some(last) if last >= (index, number) => self.repeated += 1,
            _ => {}
        }
        let rewinds = self.rewinds.get(&fact.platform).map(Vec::as_slice).unwrap_or_default();
        if rewinds.iter().any(|(said, after)| *said > n && index > *after) {
            self.void += 1;
            return;
        }
        let figures = self.platforms.entry(fact.platform).or_default();
        match fact.kind {
            FactKind::Document if fact.doc_version == Some(1) => {
                let doc_type = fact.doc_type.clone().unwrap_or_default();
                *figures.documents.entry(doc_type).or_default() += 1;
            }
            FactKind::Document => figures.amendments += 1,
            FactKind::Milestone => {
                *figures.milestones.entry(fact.milestone.clone().unwrap_or_default()).or_default() += 1;
            }
            FactKind::State | FactKind::Rewound => {}
        }
    }

    /// The figures of the province: those of all platforms together.
    pub fn whole(&self) -> Figures {
        let mut out = Figures::default();
        self.platforms.values().for_each(|f| out.add(f));
        out
    }
}
