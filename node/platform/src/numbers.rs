//! Document numbers of one epoch: taken in rising order from the blocks that the registry bound to it.

use crate::rows::{self, CursorRow};
use crate::{Error, Log};
use bytes::Bytes;
use eport_model::Epoch;

/// Where the next number comes from. Always: a number is given once in an epoch, also across restarts, because every record
/// that uses one carries the cursor behind it.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    epoch: Epoch,
    next: u64,
}

impl Numbers {
    /// Enters an epoch: goes on behind the last number applied in it, or starts with its first block. True when it is another
    /// epoch than before.
    pub(crate) fn enter(&mut self, epoch: Epoch, log: &dyn Log) -> Result<bool, Error> {
        if self.epoch == epoch {
            return Ok(false);
        }
        let row: Option<CursorRow> =
            log.get(rows::CURSOR)?.map(|v| rows::decode(rows::CURSOR, &v)).transpose()?;
        self.next = row.filter(|r| r.epoch == epoch).map_or(0, |r| r.next);
        self.epoch = epoch;
        Ok(true)
    }

    /// The next number of these blocks (first number and length, rising). `None` when they are used up.
    pub(crate) fn take(&mut self, blocks: &[(u64, u64)]) -> Option<u64> {
        let (start, _) = blocks.iter().find(|(start, len)| self.next < start.saturating_add(*len))?;
        let number = self.next.max(*start).max(1);
        self.next = number + 1;
        Some(number)
    }

    /// The number that follows.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The row that the record using the last number carries.
    pub(crate) fn row(&self) -> Bytes {
        rows::encode(&CursorRow { epoch: self.epoch, next: self.next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_through_the_blocks_and_end_with_them() {
        let mut numbers = Numbers { epoch: Epoch::INITIAL, next: 0 };
        let blocks = [(10, 2), (30, 1)];
        let taken: Vec<_> = std::iter::from_fn(|| numbers.take(&blocks)).collect();
        assert_eq!(taken, [10, 11, 30]);
        assert_eq!(numbers.take(&[(10, 2), (30, 1), (31, 5)]), Some(31));
        assert_eq!(numbers.take(&[]), None);
        let mut zero = Numbers::default();
        assert_eq!(zero.take(&[(0, 3)]), Some(1), "zero is no number");
    }
}
