//! What a link does to what it carries.

use serde::{Deserialize, Serialize};

/// Longest delay, and longest jitter, of a link.
pub const DELAY_MS_MAX: u32 = 60_000;
/// Least and greatest rate of a link. Below the least a single datagram would wait for seconds.
pub const RATE_KBIT: std::ops::RangeInclusive<u32> = 8..=10_000_000;
/// Bounds of the queue in front of a limited rate.
pub const QUEUE_KIB: std::ops::RangeInclusive<u32> = 2..=4_096;

/// The rule of one direction of a link. The default passes everything at once.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Nothing passes, and what is under way is lost.
    pub cut: bool,
    /// Everything arrives so many milliseconds later.
    pub delay_ms: u32,
    /// And up to so many milliseconds later still, drawn for each datagram; the order stays.
    pub jitter_ms: u32,
    /// Share of datagrams lost, per cent.
    pub loss_pct: f64,
    /// Bits a second, in thousands; 0 is without limit.
    pub rate_kbit: u32,
    /// What may wait for a limited rate, KiB; more is lost, as at a router.
    pub queue_kib: u32,
    /// Share of datagrams that arrive twice, per cent.
    pub duplicate_pct: f64,
    /// Share of datagrams that later ones overtake, per cent.
    pub reorder_pct: f64,
    /// Share of datagrams with one bit changed, per cent.
    pub corrupt_pct: f64,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            cut: false,
            delay_ms: 0,
            jitter_ms: 0,
            loss_pct: 0.0,
            rate_kbit: 0,
            queue_kib: 256,
            duplicate_pct: 0.0,
            reorder_pct: 0.0,
            corrupt_pct: 0.0,
        }
    }
}

/// A rule that no link can follow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: {value} is outside {low} to {high}")]
pub struct Unfit {
    /// The field.
    pub field: &'static str,
    /// What it says.
    pub value: f64,
    /// The least that is allowed.
    pub low: f64,
    /// The most that is allowed.
    pub high: f64,
}

impl Rule {
    /// True when a datagram passes unchanged and at once.
    pub fn is_clear(&self) -> bool {
        let shares = [self.loss_pct, self.duplicate_pct, self.reorder_pct, self.corrupt_pct];
        let times = [self.delay_ms, self.jitter_ms, self.rate_kbit];
        !self.cut && times.iter().all(|t| *t == 0) && shares.iter().all(|s| *s == 0.0)
    }

    /// Refuses values that a link could not follow.
    pub fn check(&self) -> Result<(), Unfit> {
        let within = |field, value: f64, low: f64, high: f64| {
            // Written so that NaN is refused.
            if value >= low && value <= high { Ok(()) } else { Err(Unfit { field, value, low, high }) }
        };
        let delay_max = f64::from(DELAY_MS_MAX);
        within("delay_ms", f64::from(self.delay_ms), 0.0, delay_max)?;
        within("jitter_ms", f64::from(self.jitter_ms), 0.0, delay_max)?;
        within("loss_pct", self.loss_pct, 0.0, 100.0)?;
        within("duplicate_pct", self.duplicate_pct, 0.0, 100.0)?;
        within("reorder_pct", self.reorder_pct, 0.0, 100.0)?;
        within("corrupt_pct", self.corrupt_pct, 0.0, 100.0)?;
        within(
            "queue_kib",
            f64::from(self.queue_kib),
            f64::from(*QUEUE_KIB.start()),
            f64::from(*QUEUE_KIB.end()),
        )?;
        if self.rate_kbit != 0 {
            let (low, high) = (f64::from(*RATE_KBIT.start()), f64::from(*RATE_KBIT.end()));
            within("rate_kbit", f64::from(self.rate_kbit), low, high)?;
        }
        Ok(())
    }
}
