//! Statistics over durations in whole seconds (timeliness.md §5), from exact whole numbers.

use crate::Figure;

/// Durations of one cell, in seconds, in any order. Parts are put together by `merge`: a province's figures are those of its
/// cities' durations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Durations(Vec<u32>);

/// What is said of a cell; everything is `None` where no duration is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Statistics {
    /// Valid durations.
    pub n: u64,
    /// Mean, hours.
    pub mean: Option<Figure>,
    /// Median.
    pub p50: Option<Figure>,
    /// 80th percentile.
    pub p80: Option<Figure>,
    /// 90th percentile.
    pub p90: Option<Figure>,
    /// 95th percentile.
    pub p95: Option<Figure>,
    /// Geometric mean; zeros count as a second.
    pub geometric: Option<Figure>,
    /// How many zeros counted as a second there.
    pub clamped: u64,
    /// Standard deviation, n − 1; `None` for a single duration.
    pub deviation: Option<Figure>,
    /// Shortest.
    pub min: Option<Figure>,
    /// Longest.
    pub max: Option<Figure>,
    /// Share within 24 hours, percent.
    pub within_24h: Option<Figure>,
    /// Share within 48 hours, percent.
    pub within_48h: Option<Figure>,
}

impl Durations {
    /// Durations of at most 2^32 − 1 seconds.
    pub fn new(seconds: Vec<u32>) -> Self {
        Self(seconds)
    }

    /// Adds one.
    pub fn push(&mut self, seconds: u32) {
        self.0.push(seconds);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All durations of both.
    pub fn merge(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Their sum in seconds.
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|x| u64::from(*x)).sum()
    }

    /// Each value once with how often it stands, rising: what is exchanged between platforms. Reorders the durations.
    pub fn runs(&mut self) -> Vec<(u32, u32)> {
        self.0.sort_unstable();
        let mut out: Vec<(u32, u32)> = Vec::new();
        for value in &self.0 {
            match out.last_mut() {
                Some((last, n)) if last == value && *n < u32::MAX => *n += 1,
                _ => out.push((*value, 1)),
            }
        }
        out
    }

    /// Adds what [`Durations::runs`] said. `None` when there would be more than `max` durations.
    pub fn add_runs(&mut self, runs: &[(u32, u32)], max: usize) -> Option<()> {
        let more: u64 = runs.iter().map(|(_, n)| u64::from(*n)).sum();
        usize::try_from(more).ok().and_then(|m| m.checked_add(self.0.len())).filter(|n| *n <= max)?;
        for (value, n) in runs {
            self.0.extend(std::iter::repeat_n(*value, *n as usize));
        }
        Some(())
    }

    /// Everything that is said of them. Reorders the durations; takes time in proportion to their number.
    pub fn statistics(&mut self) -> Statistics {
        let n = self.0.len() as i128;
        if n == 0 {
            return Statistics::default();
        }
        let sums = Sums::of(&self.0);
        let within = |limit: u32| self.0.iter().filter(|x| **x <= limit).count() as i128;
        let (day, two) = (within(86_400), within(2 * 86_400));
        let logs: f64 = self.0.iter().map(|x| f64::from((*x).max(1)).ln()).sum();
        let geometric = (logs / n as f64).exp() / 36.0;
        let [p50, p80, p90, p95] = self.percentiles([50, 80, 90, 95]);
        Statistics {
            n: n as u64,
            mean: Figure::hours(sums.sum, n),
            p50,
            p80,
            p90,
            p95,
            geometric: Some(Figure(geometric.round() as i64)),
            clamped: sums.zeros,
            deviation: sums.deviation(n),
            min: Figure::hours(i128::from(sums.min), 1),
            max: Figure::hours(i128::from(sums.max), 1),
            within_24h: Figure::percent(day, n),
            within_48h: Figure::percent(two, n),
        }
    }

    /// Percentiles by linear interpolation: h = (n − 1)·p, between the values at ⌊h⌋ and the next. Rising percents.
    fn percentiles<const N: usize>(&mut self, percents: [u64; N]) -> [Option<Figure>; N] {
        let (mut from, last) = (0, self.0.len() as u64 - 1);
        percents.map(|percent| {
            let h = last * percent;
            let (k, rest) = ((h / 100) as usize, i128::from(h % 100));
            // What lies before has been sorted out by the percentile before.
            let (_, at, above) = self.0[from..].select_nth_unstable(k - from);
            let low = i128::from(*at);
            let high = above.iter().min().map_or(low, |x| i128::from(*x));
            from = k;
            Figure::hours(low * 100 + rest * (high - low), 100)
        })
    }
}

struct Sums {
    sum: i128,
    squares: i128,
    zeros: u64,
    min: u32,
    max: u32,
}

impl Sums {
    fn of(values: &[u32]) -> Self {
        let mut s = Self { sum: 0, squares: 0, zeros: 0, min: u32::MAX, max: 0 };
        for chunk in values.chunks(4_096) {
            // A chunk's sums fit 64 bits but for squares, which are summed apart.
            let sum: u64 = chunk.iter().map(|x| u64::from(*x)).sum();
            let squares: u128 = chunk.iter().map(|x| u128::from(u64::from(*x) * u64::from(*x))).sum();
            s.sum += i128::from(sum);
            s.squares += squares as i128;
            s.zeros += chunk.iter().filter(|x| **x == 0).count() as u64;
            s.min = chunk.iter().copied().fold(s.min, u32::min);
            s.max = chunk.iter().copied().fold(s.max, u32::max);
        }
        s
    }

    /// The largest r hundredths of an hour with (r − ½)·36 s ≤ √variance, found without a root.
    fn deviation(&self, n: i128) -> Option<Figure> {
        if n < 2 {
            return None;
        }
        let (spread, divisor) = (n * self.squares - self.sum * self.sum, n * (n - 1));
        let fits = |r: i128| {
            let edge = (2 * r - 1) * 18;
            edge <= 0
                || edge.checked_mul(edge).and_then(|e| e.checked_mul(divisor)).is_some_and(|e| e <= spread)
        };
        let (mut low, mut high) = (0i128, 1i128 << 28);
        while low < high {
            let middle = (low + high + 1) / 2;
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        i64::try_from(low).ok().map(Figure)
    }
}
