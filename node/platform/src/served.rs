//! How many requests a platform has served, by month, so that the host can charge for them.
//!
//! The figure is a state row, written by the primary with the first record of each group and, while nothing else is written,
//! once a minute. A request that was answered with a stored document is counted by a record that is at least as durable as
//! that answer: neither a crash nor a failover forgets it. Others, such as reads, may be forgotten for the last minute before
//! a crash. Nothing is counted twice: the row has one writer, the primary of its epoch, who begins with what is applied.

use crate::Error;
use crate::log::Log;
use crate::rows;
use bytes::Bytes;
use eport_model::{Effect, Epoch, MONTHS_KEPT, Month, Timestamp};
use serde::{Deserialize, Serialize};

/// Requests served, one entry a month, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ServedRow {
    pub(crate) months: Vec<(Month, u64)>,
}

impl ServedRow {
    pub(crate) fn of(&self, month: Month) -> u64 {
        self.months.iter().find(|(m, _)| *m == month).map_or(0, |(_, n)| *n)
    }

    fn add(&mut self, month: Month, requests: u64) {
        match self.months.last_mut() {
            Some((last, count)) if *last >= month => *count = count.saturating_add(requests),
            _ => self.months.push((month, requests)),
        }
        if self.months.len() > MONTHS_KEPT {
            self.months.remove(0);
        }
    }
}

/// Reads the row.
pub(crate) fn read(log: &dyn Log) -> Result<ServedRow, Error> {
    let row = log.get(rows::SERVED)?;
    row.map_or_else(|| Ok(ServedRow::default()), |v| rows::decode(rows::SERVED, &v))
}

/// The writer's side.
#[derive(Debug, Default)]
pub(crate) struct Served {
    epoch: Epoch,
    row: ServedRow,
    /// True while something is counted that no record carries yet.
    unwritten: bool,
}

impl Served {
    /// Begins an epoch with what is applied. What an earlier epoch of this process counted and no record carried is left out.
    pub(crate) fn enter(&mut self, epoch: Epoch, log: &dyn Log) -> Result<(), Error> {
        if self.epoch != epoch {
            *self = Self { epoch, row: read(log)?, unwritten: false };
        }
        Ok(())
    }

    /// Counts requests.
    pub(crate) fn count(&mut self, requests: u64, at: Timestamp) {
        if requests > 0 {
            self.row.add(Month::of(at), requests);
            self.unwritten = true;
        }
    }

    /// The effect that a record carries, when there is something new to write.
    pub(crate) fn effect(&mut self) -> Option<Effect> {
        let put = Effect::Put { key: Bytes::from_static(rows::SERVED), value: rows::encode(&self.row) };
        std::mem::take(&mut self.unwritten).then_some(put)
    }

    /// The record that carried the last effect was turned away: the next one carries it again.
    pub(crate) fn not_written(&mut self) {
        self.unwritten = true;
    }
}
