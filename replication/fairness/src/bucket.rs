//! A token bucket: so many a second on average, so many at once.
//!
//! Invariants: the level never exceeds the burst; over any time t at most `burst + rate * t` tokens are taken, apart from the
//! part of one last request that is larger than the burst. Such a request is let in when the bucket is full and is paid
//! back before anybody else is: a batch larger than the burst is slow, not impossible.

/// Tokens of one platform. One token is 1 000 units, so that a rate of one a second is one unit a millisecond: no rounding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    rate: u32,
    burst: u32,
    level: i64,
    at_ms: u64,
}

const UNITS: i64 = 1_000;

impl Bucket {
    /// A full bucket of `rate` tokens a second and `burst` at once; both at least one.
    pub fn new(rate: u32, burst: u32, now_ms: u64) -> Self {
        let (rate, burst) = (rate.max(1), burst.max(1));
        Self { rate, burst, level: i64::from(burst) * UNITS, at_ms: now_ms }
    }

    /// Other bounds from now on. What was taken stays taken: changing a quota back and forth makes no tokens.
    pub fn set(&mut self, rate: u32, burst: u32, now_ms: u64) {
        self.fill(now_ms);
        (self.rate, self.burst) = (rate.max(1), burst.max(1));
        self.level = self.level.min(i64::from(self.burst) * UNITS);
    }

    /// The rate and the burst.
    pub fn bounds(&self) -> (u32, u32) {
        (self.rate, self.burst)
    }

    /// Takes `cost` tokens, or says after how many milliseconds it is worth asking again.
    pub fn take(&mut self, cost: u32, now_ms: u64) -> Result<(), u64> {
        self.fill(now_ms);
        let needed = i64::from(cost.min(self.burst)) * UNITS;
        if self.level < needed {
            let missing = u64::try_from(needed - self.level).unwrap_or(u64::MAX);
            return Err(missing.div_ceil(u64::from(self.rate)).max(1));
        }
        self.level -= i64::from(cost) * UNITS;
        Ok(())
    }

    fn fill(&mut self, now_ms: u64) {
        let passed = i64::try_from(now_ms.saturating_sub(self.at_ms)).unwrap_or(i64::MAX);
        let full = i64::from(self.burst) * UNITS;
        self.level = self.level.saturating_add(passed.saturating_mul(i64::from(self.rate))).min(full);
        self.at_ms = self.at_ms.max(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate_holds() {
        let mut bucket = Bucket::new(10, 5, 0);
        let at_once = (0..9).filter(|_| bucket.take(1, 0).is_ok()).count();
        assert_eq!(at_once, 5);
        assert_eq!(bucket.take(1, 0), Err(100), "one token takes 100 ms at 10 a second");
        assert_eq!(bucket.take(1, 100), Ok(()));
        let minute = (100..60_100).filter(|ms| bucket.take(1, *ms).is_ok()).count();
        assert!((595..=600).contains(&minute), "{minute} in a minute at 10 a second");
    }

    #[test]
    fn a_batch_larger_than_the_burst_is_let_in_once_and_paid_back() {
        let mut bucket = Bucket::new(100, 50, 0);
        assert_eq!(bucket.take(1_000, 0), Ok(()));
        // 950 tokens are owed, and a batch needs a full bucket again.
        assert_eq!(bucket.take(1, 0), Err(9_510));
        assert_eq!(bucket.take(1_000, 9_999), Err(1));
        assert_eq!(bucket.take(1_000, 10_000), Ok(()));
    }

    #[test]
    fn changing_the_quota_makes_no_tokens() {
        let mut bucket = Bucket::new(1, 10, 0);
        assert_eq!(bucket.take(10, 0), Ok(()));
        bucket.set(1, 1_000, 0);
        bucket.set(1, 10, 0);
        assert_eq!(bucket.take(1, 0), Err(1_000));
        bucket.set(1_000, 1_000, 500);
        assert_eq!(bucket.take(1, 500), Err(1), "the new rate counts from the change");
        assert_eq!(bucket.bounds(), (1_000, 1_000));
    }

    #[test]
    fn a_clock_that_stands_or_jumps_far_breaks_nothing() {
        let mut bucket = Bucket::new(u32::MAX, u32::MAX, 1_000);
        assert_eq!(bucket.take(u32::MAX, 0), Ok(()));
        assert_eq!(bucket.take(1, u64::MAX), Ok(()));
        let mut zero = Bucket::new(0, 0, 0);
        assert_eq!((zero.take(1, 0), zero.take(1, 0)), (Ok(()), Err(1_000)), "at least one");
    }
}
