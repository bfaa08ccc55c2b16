//! Records from segment files back into a database, up to a point in time.
//!
//! Always: every record is verified and chained before it is written; what lies behind the point is not written at all; the
//! rows are those of the last record written. A restored database is a copy: whether it may serve is decided elsewhere.

use super::segment::{Frame, SegmentReader};
use crate::{Error, PlatformStore};
use eport_model::{Epoch, JournalIndex, Position, Record, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// Weight of the records written at once.
const BATCH_BYTES: usize = 8 << 20;

/// Where a restore ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// At the last record.
    End,
    /// With this record.
    Record(Epoch, JournalIndex),
    /// With the last record whose time is not later.
    Time(Timestamp),
}

impl Until {
    fn takes(&self, record: &Record) -> bool {
        match self {
            Until::End => true,
            Until::Record(_, index) => record.index() <= *index,
            Until::Time(time) => record.header.time <= *time,
        }
    }
}

/// What a restore wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The last record in the database.
    pub last: Position,
    /// Its record time.
    pub time: Timestamp,
    /// True when a record behind the point was seen: later segments are not needed.
    pub ended: bool,
}

impl PlatformStore {
    /// Appends and applies the records of one segment file, up to the point. Files are given in order; the first record must
    /// follow the last one stored.
    pub fn restore_segment(&self, path: &Path, until: Until) -> Result<Restored, Error> {
        let damaged = |index, detail: String| Error::damaged(path, Some(index), detail);
        let mut reader = SegmentReader::open(path).map_err(|e| Error::io("read segment", path, e))?;
        let (mut batch, mut weight) = (Vec::<Arc<Record>>::new(), 0);
        let (mut before, mut ended) = (self.last(), false);
        loop {
            let record = match reader.next() {
                Frame::Record(record) => *record,
                Frame::End => break,
                Frame::Damaged(detail) | Frame::Lost(detail) => {
                    return Err(damaged(before.index.next(), detail));
                }
            };
            if !until.takes(&record) {
                ended = true;
                break;
            }
            let index = record.index();
            record.verify().and(record.follows(&before)).map_err(|d| damaged(index, d.to_string()))?;
            if record.header.platform != self.region() {
                return Err(damaged(index, format!("the record is of platform {}", record.header.platform)));
            }
            before = record.position();
            weight += record.weight();
            batch.push(Arc::new(record));
            if weight >= BATCH_BYTES {
                self.write_restored(&batch)?;
                batch.clear();
                weight = 0;
            }
        }
        self.write_restored(&batch)?;
        Ok(Restored { last: self.last(), time: self.last_time(), ended })
    }

    fn write_restored(&self, batch: &[Arc<Record>]) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        self.append(batch)?;
        self.apply(batch)?;
        Ok(())
    }
}
