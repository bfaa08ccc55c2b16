//! Comparisons and rankings (timeliness.md §5).

use crate::Figure;

/// What a comparison with a base of 0 says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BasePolicy {
    /// Nothing.
    #[default]
    Null,
    /// 100.00 where there is something now, else 0.00.
    Hundred,
}

/// (current − base) ÷ base in percent; `None` without base.
pub fn change(current: i64, base: Option<i64>, policy: BasePolicy) -> Option<Figure> {
    match (base?, policy) {
        (0, BasePolicy::Null) => None,
        (0, BasePolicy::Hundred) => Some(Figure(if current > 0 { 10_000 } else { 0 })),
        (base, _) => Figure::percent(i128::from(current) - i128::from(base), i128::from(base)),
    }
}

/// (baseline − current) ÷ baseline in percent, both in hundredths of an hour.
pub fn compression(baseline: Figure, current: Figure) -> Option<Figure> {
    Figure::percent(i128::from(baseline.0) - i128::from(current.0), i128::from(baseline.0))
}

/// A part of a whole in percent.
pub fn share(part: i64, whole: i64) -> Option<Figure> {
    Figure::percent(part.into(), whole.into())
}

/// A row of a ranking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranked {
    /// Equal values share a rank.
    pub rank: usize,
    /// What is ranked.
    pub code: String,
    /// Its value.
    pub value: i64,
    /// Share of the population, percent.
    pub share: Option<Figure>,
    /// Share of this row and all before it.
    pub cumulative: Option<Figure>,
}

/// The first `top` by falling value; ties in the order of their codes. `population` is the total of all, shown or not.
pub fn rank(rows: &[(String, i64)], top: usize, population: i64) -> Vec<Ranked> {
    let mut sorted: Vec<&(String, i64)> = rows.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut out: Vec<Ranked> = Vec::with_capacity(top.min(sorted.len()));
    let mut sum = 0i64;
    for (n, (code, value)) in sorted.into_iter().take(top).enumerate() {
        sum = sum.saturating_add(*value);
        let rank = out.last().filter(|l| l.value == *value).map_or(n + 1, |l| l.rank);
        let (part, cumulative) = (share(*value, population), share(sum, population));
        out.push(Ranked { rank, code: code.clone(), value: *value, share: part, cumulative });
    }
    out
}
