//! The part of PromQL that the rules use: selectors with `=`, `increase`, `rate`, `delta`, `abs`, `absent`, `max`, `min`, `sum` with `by`,
//! arithmetic, comparison, `and`. What is outside of it is an error, so that a rule cannot use what the test does not understand.
//!
//! Differs from Prometheus in one thing: `increase`, `rate` and `delta` do not extrapolate to the edges of their window.

// Each test uses a part.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

pub type Labels = BTreeMap<String, String>;

/// A sample older than this is gone.
const LOOKBACK: f64 = 300.0;

/// Series with samples in order of time.
#[derive(Default, Clone)]
pub struct Samples(pub Vec<Series>);

/// Name, labels, and (seconds, value) in order.
type Series = (String, Labels, Vec<(f64, f64)>);

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Number(f64),
    Select { name: String, labels: Labels, range: Option<f64> },
    Call { name: String, inner: Box<Expr> },
    Group { name: String, by: Vec<String>, inner: Box<Expr> },
    Binary { op: String, left: Box<Expr>, right: Box<Expr> },
}

/// An expression that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Query(Expr);

enum Value {
    Scalar(f64),
    Vector(Vec<(Labels, f64)>),
}

impl Query {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { tokens: tokens(text)?, at: 0 };
        let expr = reader.both()?;
        match reader.peek() {
            None => Ok(Self(expr)),
            Some(more) => Err(format!("{more:?} is left over in {text}")),
        }
    }

    /// Every metric it names.
    pub fn metrics(&self) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        names(&self.0, &mut out);
        out
    }

    /// What it yields at a time, as the elements that an alert would have.
    pub fn at(&self, samples: &Samples, now: f64) -> Vec<(Labels, f64)> {
        match eval(&self.0, samples, now) {
            Value::Vector(v) => v,
            Value::Scalar(v) => vec![(Labels::new(), v)],
        }
    }
}

fn names(expr: &Expr, out: &mut BTreeSet<String>) {
    match expr {
        Expr::Number(_) => {}
        Expr::Select { name, .. } => {
            out.insert(name.clone());
        }
        Expr::Call { inner, .. } | Expr::Group { inner, .. } => names(inner, out),
        Expr::Binary { left, right, .. } => {
            names(left, out);
            names(right, out);
        }
    }
}

/// `30s`, `5m`, `1h`, `1d` as seconds.
pub fn seconds(text: &str) -> Result<f64, String> {
    let bad = || format!("{text:?} is no duration");
    let (number, unit) = text.split_at(text.len().checked_sub(1).ok_or_else(bad)?);
    let factor = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(bad()),
    };
    number.parse::<f64>().map(|n| n * factor).map_err(|_| bad())
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let start = at;
        let run = |from: usize, fits: &dyn Fn(char) -> bool| {
            from + chars[from..].iter().take_while(|c| fits(**c)).count()
        };
        let c = chars[at];
        at = match c {
            _ if c.is_whitespace() => {
                at += 1;
                continue;
            }
            _ if c.is_ascii_alphanumeric() || c == '_' => {
                run(at, &|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
            }
            '"' => run(at + 1, &|c| c != '"') + 1,
            '=' | '!' | '<' | '>' => run(at, &|c| matches!(c, '=' | '!' | '<' | '>' | '~')),
            '(' | ')' | '{' | '}' | '[' | ']' | ',' | '/' | '*' | '-' | '+' => at + 1,
            _ => return Err(format!("{c:?} in {text}")),
        };
        out.push(chars[start..at.min(chars.len())].iter().collect());
    }
    Ok(out)
}

struct Reader {
    tokens: Vec<String>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> Result<String, String> {
        let token = self.tokens.get(self.at).cloned().ok_or("the expression ends too early")?;
        self.at += 1;
        Ok(token)
    }

    fn take(&mut self, token: &str) -> bool {
        let there = self.peek() == Some(token);
        self.at += usize::from(there);
        there
    }

    fn need(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("{token:?} is missing before {:?}", self.peek())) }
    }

    fn binary(&mut self, ops: &[&str], side: fn(&mut Self) -> Result<Expr, String>) -> Result<Expr, String> {
        let mut left = side(self)?;
        while let Some(op) = self.peek().filter(|t| ops.contains(t)).map(str::to_owned) {
            self.at += 1;
            left = Expr::Binary { op, left: left.into(), right: side(self)?.into() };
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Expr, String> {
        self.binary(&["and"], Self::compare)
    }

    fn compare(&mut self) -> Result<Expr, String> {
        self.binary(&["==", "!=", "<", ">", "<=", ">="], Self::sum)
    }

    fn sum(&mut self) -> Result<Expr, String> {
        self.binary(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> Result<Expr, String> {
        self.binary(&["*", "/"], Self::one)
    }

    fn one(&mut self) -> Result<Expr, String> {
        if self.take("(") {
            let inner = self.both()?;
            self.need(")")?;
            return Ok(inner);
        }
        if self.take("-") {
            return self
                .next()?
                .parse()
                .map(|n: f64| Expr::Number(-n))
                .map_err(|_| "a number after -".into());
        }
        let name = self.next()?;
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return name.parse().map(Expr::Number).map_err(|_| format!("{name:?} is no number"));
        }
        if matches!(name.as_str(), "max" | "min" | "sum") {
            let mut by = Vec::new();
            if self.take("by") {
                self.need("(")?;
                while !self.take(")") {
                    by.push(self.next()?);
                    self.take(",");
                }
            }
            return Ok(Expr::Group { name, by, inner: self.argument()? });
        }
        if matches!(name.as_str(), "increase" | "rate" | "delta") {
            let inner = self.argument()?;
            let ranged = matches!(*inner, Expr::Select { range: Some(_), .. });
            return if ranged {
                Ok(Expr::Call { name, inner })
            } else {
                Err(format!("{name} needs a window"))
            };
        }
        if matches!(name.as_str(), "abs" | "absent") {
            return Ok(Expr::Call { name, inner: self.argument()? });
        }
        self.selector(name)
    }

    fn argument(&mut self) -> Result<Box<Expr>, String> {
        self.need("(")?;
        let inner = self.both()?;
        self.need(")")?;
        Ok(inner.into())
    }

    fn selector(&mut self, name: String) -> Result<Expr, String> {
        if self.peek() == Some("(") {
            return Err(format!("the function {name} is not known here"));
        }
        let (mut labels, mut range) = (Labels::new(), None);
        if self.take("{") {
            while !self.take("}") {
                let label = self.next()?;
                let op = self.next()?;
                let value = self.next()?.trim_matches('"').to_owned();
                match op.as_str() {
                    "=" => drop(labels.insert(label, value)),
                    // The dashboard's variables: any value.
                    "=~" if value.starts_with('$') => {}
                    _ => return Err(format!("{op:?} between a label and its value")),
                }
                self.take(",");
            }
        }
        if self.take("[") {
            range = Some(seconds(&self.next()?)?);
            self.need("]")?;
        }
        Ok(Expr::Select { name, labels, range })
    }
}

fn eval(expr: &Expr, samples: &Samples, now: f64) -> Value {
    match expr {
        Expr::Number(n) => Value::Scalar(*n),
        Expr::Select { .. } => {
            let newest = |points: &[(f64, f64)]| points.last().map(|(_, v)| *v);
            Value::Vector(select(expr, samples, now, newest))
        }
        Expr::Call { name, inner } => call(name, inner, samples, now),
        Expr::Group { name, by, inner } => {
            let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
            for (labels, v) in vector(eval(inner, samples, now)) {
                let kept = labels.into_iter().filter(|(k, _)| by.contains(k)).collect();
                groups.entry(kept).or_default().push(v);
            }
            let fold = |v: Vec<f64>| match name.as_str() {
                "max" => v.into_iter().fold(f64::NEG_INFINITY, f64::max),
                "min" => v.into_iter().fold(f64::INFINITY, f64::min),
                _ => v.into_iter().sum(),
            };
            Value::Vector(groups.into_iter().map(|(labels, v)| (labels, fold(v))).collect())
        }
        Expr::Binary { op, left, right } => binary(op, eval(left, samples, now), eval(right, samples, now)),
    }
}

fn vector(value: Value) -> Vec<(Labels, f64)> {
    match value {
        Value::Vector(v) => v,
        Value::Scalar(v) => vec![(Labels::new(), v)],
    }
}

/// The series that an expression selects, each with what `f` makes of the samples in its window.
fn select(
    expr: &Expr,
    samples: &Samples,
    now: f64,
    f: impl Fn(&[(f64, f64)]) -> Option<f64>,
) -> Vec<(Labels, f64)> {
    let Expr::Select { name, labels, range } = expr else { return Vec::new() };
    let from = now - range.unwrap_or(LOOKBACK);
    let fits = |have: &Labels| labels.iter().all(|(k, v)| have.get(k) == Some(v));
    let chosen = samples.0.iter().filter(|(n, have, _)| n == name && fits(have));
    chosen
        .filter_map(|(_, have, points)| {
            let start = points.partition_point(|(t, _)| *t <= from);
            let end = points.partition_point(|(t, _)| *t <= now);
            Some((have.clone(), f(points.get(start..end)?)?))
        })
        .collect()
}

fn call(name: &str, inner: &Expr, samples: &Samples, now: f64) -> Value {
    let risen = |points: &[(f64, f64)]| {
        // A fall is a process that began again at zero.
        let step = |w: &[(f64, f64)]| if w[1].1 < w[0].1 { w[1].1 } else { w[1].1 - w[0].1 };
        (points.len() > 1).then(|| points.windows(2).map(step).sum::<f64>())
    };
    match name {
        "increase" => Value::Vector(select(inner, samples, now, risen)),
        "rate" => {
            let Expr::Select { range: Some(range), .. } = inner else { return Value::Vector(Vec::new()) };
            Value::Vector(select(inner, samples, now, |p| risen(p).map(|r| r / range)))
        }
        "delta" => {
            let change = |p: &[(f64, f64)]| (p.len() > 1).then(|| p[p.len() - 1].1 - p[0].1);
            Value::Vector(select(inner, samples, now, change))
        }
        "abs" => {
            Value::Vector(vector(eval(inner, samples, now)).into_iter().map(|(l, v)| (l, v.abs())).collect())
        }
        _ => {
            let none = vector(eval(inner, samples, now)).is_empty();
            Value::Vector(if none { vec![(Labels::new(), 1.0)] } else { Vec::new() })
        }
    }
}

fn binary(op: &str, left: Value, right: Value) -> Value {
    let holds = |a: f64, b: f64| match op {
        "==" => a == b,
        "!=" => a != b,
        "<" => a < b,
        ">" => a > b,
        "<=" => a <= b,
        _ => a >= b,
    };
    // An arithmetic operator changes the value, any other keeps the left one or drops it.
    let join = |a: f64, b: f64| match op {
        "+" => Some(a + b),
        "-" => Some(a - b),
        "*" => Some(a * b),
        "/" => Some(a / b),
        "and" => Some(a),
        _ => holds(a, b).then_some(a),
    };
    match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(join(a, b).unwrap_or(0.0)),
        (Value::Vector(a), Value::Scalar(b)) => {
            Value::Vector(a.into_iter().filter_map(|(l, v)| Some((l, join(v, b)?))).collect())
        }
        (Value::Scalar(a), Value::Vector(b)) => {
            Value::Vector(b.into_iter().filter_map(|(l, v)| Some((l, join(a, v)?))).collect())
        }
        (Value::Vector(a), Value::Vector(b)) => {
            let other = |l: &Labels| b.iter().find(|(m, _)| m == l).map(|(_, v)| *v);
            Value::Vector(
                a.into_iter()
                    .filter_map(|(l, v)| other(&l).and_then(|o| join(v, o)).map(|v| (l, v)))
                    .collect(),
            )
        }
    }
}
