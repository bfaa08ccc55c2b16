//! The fate of every datagram, decided by a rule, a seed and the time it arrives. Pure: no clock, no socket.
//!
//! Always: under a cut nothing is passed; a delivery is never earlier than its arrival plus the delay; without reordering
//! deliveries keep the order of arrival; what waits for a limited rate is never more than the rule's queue; the same seed
//! and the same arrivals give the same fates.

use crate::rule::Rule;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// A datagram that is overtaken is held back for at least this long.
const OVERTAKEN_MIN: Duration = Duration::from_millis(5);

/// Why a datagram is not delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The link is cut.
    Cut,
    /// Drawn by the rule's share of losses.
    Drawn,
    /// The queue in front of the rate, or the relay's room for what is under way, is full.
    Full,
}

/// What happens to one datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It does not arrive.
    Lost(Lost),
    /// It arrives.
    Passed(Delivery),
}

/// How a datagram arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// When.
    pub at: Duration,
    /// It arrives a second time then.
    pub again: Option<Duration>,
    /// The bit that is changed on the way.
    pub flipped_bit: Option<usize>,
    /// Later datagrams may overtake it.
    pub overtaken: bool,
}

/// The state of one direction of a link. Times count from any fixed instant.
#[derive(Debug)]
pub struct Shaper {
    rule: Rule,
    rng: ChaCha8Rng,
    /// When the rate has sent everything that waits for it.
    line_free: Duration,
    /// The latest delivery that keeps the order.
    last_at: Duration,
}

impl Shaper {
    /// A link without a rule.
    pub fn new(seed: u64) -> Self {
        Self {
            rule: Rule::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            line_free: Duration::ZERO,
            last_at: Duration::ZERO,
        }
    }

    /// The rule in force.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// Puts a rule in force, and with a seed begins the draws anew. What waits for the former rate goes on as planned.
    pub fn set(&mut self, rule: Rule, seed: Option<u64>) {
        self.rule = rule;
        if let Some(seed) = seed {
            self.rng = ChaCha8Rng::seed_from_u64(seed);
        }
        if rule.rate_kbit == 0 {
            self.line_free = Duration::ZERO;
        }
    }

    /// Decides about a datagram of `len` bytes that arrives now.
    pub fn offer(&mut self, now: Duration, len: usize) -> Fate {
        if self.rule.cut {
            return Fate::Lost(Lost::Cut);
        }
        if self.draw(self.rule.loss_pct) {
            return Fate::Lost(Lost::Drawn);
        }
        let Some(sent) = self.send(now, len) else { return Fate::Lost(Lost::Full) };
        let arrives = sent + self.travel();
        let overtaken = self.draw(self.rule.reorder_pct);
        let at = if overtaken {
            let delay = Duration::from_millis(u64::from(self.rule.delay_ms));
            arrives + (delay / 4).max(OVERTAKEN_MIN)
        } else {
            self.last_at = arrives.max(self.last_at);
            self.last_at
        };
        let again = self.draw(self.rule.duplicate_pct).then(|| at + self.travel());
        let flipped = len > 0 && self.draw(self.rule.corrupt_pct);
        let flipped_bit = flipped.then(|| self.rng.random_range(0..len * 8));
        Fate::Passed(Delivery { at, again, flipped_bit, overtaken })
    }

    /// Decides when bytes of a stream arrive; `None` while the link is cut. A stream loses nothing: what a datagram would
    /// lose costs it the wait for a retransmission instead.
    pub fn pace(&mut self, now: Duration, len: usize) -> Option<Duration> {
        if self.rule.cut {
            return None;
        }
        let retransmission =
            if self.draw(self.rule.loss_pct) { Duration::from_millis(200) } else { Duration::ZERO };
        // A stream's writer waits for its own bytes, so the queue's bound does not apply.
        let sent = self.line(now, len);
        Some(sent + self.travel() + retransmission)
    }

    /// When the rate lets a datagram go; `None` when too much waits before it.
    fn send(&mut self, now: Duration, len: usize) -> Option<Duration> {
        if self.rule.rate_kbit == 0 {
            return Some(now);
        }
        let waiting = self.bytes_in(self.line_free.saturating_sub(now));
        let room = u64::from(self.rule.queue_kib) << 10;
        if waiting + len as u64 > room {
            return None;
        }
        Some(self.line(now, len))
    }

    fn line(&mut self, now: Duration, len: usize) -> Duration {
        if self.rule.rate_kbit == 0 {
            return now;
        }
        // bits ÷ (kbit/s × 1000) seconds = bits × 1 000 000 ÷ kbit/s nanoseconds
        let nanos = (len as u64).saturating_mul(8_000_000) / u64::from(self.rule.rate_kbit);
        self.line_free = self.line_free.max(now) + Duration::from_nanos(nanos);
        self.line_free
    }

    /// Bytes that the rate sends in a time.
    fn bytes_in(&self, time: Duration) -> u64 {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        nanos.saturating_mul(u64::from(self.rule.rate_kbit)) / 8_000_000
    }

    fn travel(&mut self) -> Duration {
        let jitter = match self.rule.jitter_ms {
            0 => 0,
            most => self.rng.random_range(0..=u64::from(most) * 1_000),
        };
        Duration::from_millis(u64::from(self.rule.delay_ms)) + Duration::from_micros(jitter)
    }

    fn draw(&mut self, per_cent: f64) -> bool {
        // No draw for a share of nothing: rules that differ elsewhere see the same stream of draws.
        per_cent > 0.0 && self.rng.random_range(0.0..100.0) < per_cent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn shaper(rule: Rule) -> Shaper {
        let mut shaper = Shaper::new(7);
        rule.check().unwrap();
        shaper.set(rule, None);
        shaper
    }

    fn passed(fate: Fate) -> Delivery {
        match fate {
            Fate::Passed(d) => d,
            Fate::Lost(why) => panic!("lost: {why:?}"),
        }
    }

    #[test]
    fn a_link_without_a_rule_passes_everything_at_once_and_in_order() {
        let mut s = shaper(Rule::default());
        for n in 0..100u32 {
            let d = passed(s.offer(MS * n, 1200));
            assert_eq!(d, Delivery { at: MS * n, again: None, flipped_bit: None, overtaken: false });
        }
    }

    #[test]
    fn a_cut_link_passes_nothing_until_it_is_healed() {
        let mut s = shaper(Rule { cut: true, ..Rule::default() });
        assert!((0..1000).all(|n| s.offer(MS * n, 100) == Fate::Lost(Lost::Cut)));
        assert_eq!(s.pace(MS, 100), None);
        s.set(Rule::default(), None);
        assert_eq!(passed(s.offer(MS * 1000, 100)).at, MS * 1000);
    }

    #[test]
    fn a_delayed_datagram_is_never_early_and_jitter_keeps_the_order() {
        let mut s = shaper(Rule { delay_ms: 30, jitter_ms: 50, ..Rule::default() });
        let mut last = Duration::ZERO;
        for n in 0..2_000u32 {
            let now = MS * n;
            let at = passed(s.offer(now, 1200)).at;
            assert!(at >= now + MS * 30 && at >= last, "{n}");
            assert!(at <= (now + MS * 80).max(last), "{n}");
            last = at;
        }
    }

    #[test]
    fn a_limited_rate_sends_no_faster_and_its_queue_holds_no_more_than_it_may() {
        let rule = Rule { rate_kbit: 1_000, queue_kib: 8, ..Rule::default() };
        let mut s = shaper(rule);
        let mut bytes = 0u64;
        let mut last = Duration::ZERO;
        // 1 200 bytes a millisecond are ten times what the link carries.
        for n in 0..10_000u32 {
            let now = MS * n;
            if let Fate::Passed(d) = s.offer(now, 1200) {
                bytes += 1200;
                last = d.at;
                assert!(d.at <= now + Duration::from_millis(8 * 1024 * 8 / 1000 + 10), "more waits than may");
            }
        }
        // 1 Mbit/s for the time until the last has been sent.
        let carried = last.as_secs_f64() * 125_000.0;
        assert!(bytes as f64 <= carried + 1.0, "{bytes} bytes in {last:?}");
        assert!(bytes as f64 > carried * 0.95, "{bytes} bytes in {last:?}");
    }

    #[test]
    fn shares_are_met_and_the_same_seed_draws_the_same_fates() {
        let rule = Rule {
            delay_ms: 10,
            loss_pct: 10.0,
            duplicate_pct: 5.0,
            reorder_pct: 5.0,
            corrupt_pct: 2.0,
            ..Rule::default()
        };
        let run = |seed: u64| -> Vec<Fate> {
            let mut s = Shaper::new(1);
            s.set(rule, Some(seed));
            (0..20_000u32).map(|n| s.offer(MS * n, 100)).collect()
        };
        let fates = run(3);
        assert_eq!(fates, run(3));
        assert_ne!(fates, run(4));
        let share = |f: &dyn Fn(&Delivery) -> bool| {
            fates.iter().filter(|x| matches!(x, Fate::Passed(d) if f(d))).count() as f64 / fates.len() as f64
        };
        let near = |found: f64, wanted: f64| (found - wanted).abs() < wanted * 0.2;
        assert!(near(1.0 - share(&|_| true), 0.10));
        assert!(near(share(&|d| d.again.is_some()), 0.045));
        assert!(near(share(&|d| d.overtaken), 0.045));
        assert!(near(share(&|d| d.flipped_bit.is_some()), 0.018));
        assert!(
            fates.iter().all(|f| !matches!(f, Fate::Passed(d) if d.flipped_bit.is_some_and(|b| b >= 800)))
        );
    }

    #[test]
    fn an_overtaken_datagram_arrives_after_a_later_one() {
        let mut s = shaper(Rule { reorder_pct: 30.0, ..Rule::default() });
        let at: Vec<Duration> = (0..200u32).map(|n| passed(s.offer(MS * n, 10)).at).collect();
        assert!(at.windows(2).any(|w| w[0] > w[1]), "nothing was overtaken");
    }

    #[test]
    fn values_that_no_link_can_follow_are_refused_with_their_field() {
        for (rule, field) in [
            (Rule { loss_pct: f64::NAN, ..Rule::default() }, "loss_pct"),
            (Rule { loss_pct: 100.5, ..Rule::default() }, "loss_pct"),
            (Rule { corrupt_pct: -1.0, ..Rule::default() }, "corrupt_pct"),
            (Rule { delay_ms: 60_001, ..Rule::default() }, "delay_ms"),
            (Rule { rate_kbit: 7, ..Rule::default() }, "rate_kbit"),
            (Rule { queue_kib: 0, ..Rule::default() }, "queue_kib"),
        ] {
            assert_eq!(rule.check().unwrap_err().field, field);
        }
    }
}
