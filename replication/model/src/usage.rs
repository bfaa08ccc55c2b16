//! What a platform has taken in, by month, counted from its journal: the basis of an account between a host and a city.
//!
//! The counters are one state row, written together with the rows of the records that it counts. So they are exactly what the
//! journal says up to the applied record, on every replica, after any crash and after any move: a record that a failover did
//! not carry over is not counted, and one that is submitted again later is counted then.
//!
//! Invariant: every record with a request's body up to `through` is counted once and none behind it. Applying a record again,
//! as the return of an old primary does, changes nothing.

use crate::{JournalIndex, Month, Record};
use serde::{Deserialize, Serialize};

/// Key of the state row.
pub const USAGE_KEY: &[u8] = b"u/journal";
/// Months that are kept, the oldest forgotten beyond them: five years.
pub const MONTHS_KEPT: usize = 60;

/// The counters of one platform.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Last record that is counted.
    pub through: JournalIndex,
    /// One entry a month in which something came in, oldest first.
    pub months: Vec<MonthUsage>,
}

/// What came in within one month, by record time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MonthUsage {
    /// The month.
    pub month: Month,
    /// Documents accepted, each version of a document counted.
    pub documents: u64,
    /// Bytes of their requests as stored.
    pub bytes: u64,
}

impl Usage {
    /// Counts a record; true when it changed something. Records come in journal order.
    pub fn count(&mut self, record: &Record) -> bool {
        let header = &record.header;
        let body = header.request.as_ref().and_then(|r| r.body);
        let Some(len) = body.and_then(|n| header.bodies.get(usize::from(n))).map(|b| b.len) else {
            return false;
        };
        if header.index <= self.through {
            return false;
        }
        self.through = header.index;
        let month = Month::of(header.time);
        // Record time never falls, so the newest month is the last.
        match self.months.last_mut() {
            Some(last) if last.month >= month => {
                last.documents = last.documents.saturating_add(1);
                last.bytes = last.bytes.saturating_add(len);
            }
            _ => self.months.push(MonthUsage { month, documents: 1, bytes: len }),
        }
        if self.months.len() > MONTHS_KEPT {
            self.months.remove(0);
        }
        true
    }

    /// What came in within a month.
    pub fn of(&self, month: Month) -> MonthUsage {
        let found = self.months.iter().find(|m| m.month == month).copied();
        found.unwrap_or(MonthUsage { month, ..MonthUsage::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Draft, Epoch, Lineage, Position, RecordKind, RegionCode, RequestRef, Timestamp};
    use bytes::Bytes;

    fn record(previous: &Position, time: i64, body: Option<&'static [u8]>) -> Record {
        let request = body.map(|_| RequestRef {
            id: "id".into(),
            caller: "c".into(),
            body: Some(0),
            signature: None,
            accepted_at: Timestamp::from_millis(time),
            replaces: None,
        });
        let draft = Draft {
            request,
            bodies: body.into_iter().map(Bytes::from_static).collect(),
            ..Draft::bare(RecordKind::Entry, Timestamp::from_millis(time))
        };
        let region: RegionCode = "440500".parse().unwrap();
        Record::seal(draft, Lineage::default(), region, Epoch::INITIAL, previous, Timestamp::default())
    }

    /// 2018-01-31T15:59:59Z is the last second of January in China.
    const JANUARY: i64 = 1_517_414_399_000;

    #[test]
    fn documents_count_once_whatever_is_applied_again_and_marks_never() {
        let first = record(&Position::ZERO, JANUARY, Some(b"12345"));
        let mark = record(&first.position(), JANUARY, None);
        let second = record(&mark.position(), JANUARY + 1_000, Some(b"123"));
        let mut usage = Usage::default();
        for _ in 0..3 {
            for r in [&first, &mark, &second] {
                usage.count(r);
            }
        }
        let month = |text: &str| usage.of(text.parse().unwrap());
        assert_eq!((month("2018-01").documents, month("2018-01").bytes), (1, 5));
        assert_eq!((month("2018-02").documents, month("2018-02").bytes), (1, 3));
        assert_eq!((month("2018-03").documents, usage.through), (0, second.index()));
    }

    #[test]
    fn old_months_are_forgotten() {
        let (mut usage, mut at) = (Usage::default(), Position::ZERO);
        for n in 0..100 {
            let r = record(&at, JANUARY + n * 31 * 86_400_000, Some(b"1"));
            usage.count(&r);
            at = r.position();
        }
        assert_eq!(usage.months.len(), MONTHS_KEPT);
        assert!(usage.months.windows(2).all(|m| m[0].month < m[1].month));
    }
}
