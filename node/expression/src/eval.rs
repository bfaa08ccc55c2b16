//! Evaluation: one pass over the checked form, every step counted.

use crate::ast::Fold;
use crate::cost;
use crate::functions::{call, count};
use crate::number::digits_of;
use crate::steps::{Arithmetic, Op, Place, Relation, Set};
use crate::value::{parse_date, parse_instant};
use crate::{Kind, Value, decimal};
use bigdecimal::{BigDecimal, Zero};
use eport_model::Timestamp;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Why an expression comes to nothing here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// A value it needs is missing or not of its field's type, which is a failure of that field.
    Unknown,
    /// A table it asks cannot be asked; the host knows which and why.
    Table,
}

/// A value of a document.
pub trait Source<'a>: Copy {
    /// A member of a record.
    fn member(self, name: &str) -> Option<Self>;
    /// How many items a list has.
    fn items(self) -> Option<usize>;
    /// An item of a list.
    fn item(self, n: usize) -> Option<Self>;
    /// The text, if it is one.
    fn text(self) -> Option<&'a str>;
    /// The whole number, if it is one.
    fn whole(self) -> Option<i64>;
    /// Whether it is true, if it is true or false.
    fn truth(self) -> Option<bool>;
}

/// A record that names begin in.
#[derive(Clone, Copy, Debug)]
pub struct Frame<S> {
    /// The record, or the item.
    pub value: S,
    /// Its place in its list, from 0.
    pub index: usize,
}

/// What an evaluation asks outside the document.
pub trait Host {
    /// The instant it is judged at.
    fn now(&mut self) -> Timestamp;
    /// Offset of local time from UTC.
    fn offset_minutes(&self) -> i32;
    /// Whether a text passes a check rule; warnings pass.
    fn valid(&mut self, rule: &str, text: &str) -> bool;
    /// The text of a column in the row of a key, or empty text when no column is asked; `None` when no row has the key.
    fn row(&mut self, table: &str, keys: &[&str], column: Option<&str>) -> Result<Option<String>, Stop>;
}

pub(crate) struct Run<'h, S> {
    frames: Vec<Frame<S>>,
    host: &'h mut dyn Host,
    steps: u64,
}

type Found<'a> = Result<Value<'a>, Stop>;

impl<'h, S> Run<'h, S> {
    pub(crate) fn new(frames: &[Frame<S>], host: &'h mut dyn Host) -> Self
    where
        S: Copy,
    {
        Self { frames: frames.to_vec(), host, steps: 0 }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }
}

impl<S> Run<'_, S> {
    pub(crate) fn value<'a>(&mut self, op: &'a Op) -> Found<'a>
    where
        S: Source<'a>,
    {
        self.steps = self.steps.saturating_add(cost::own(op));
        match op {
            Op::Constant(value) => Ok(value.clone()),
            Op::Read(place, kind) => match self.find(place) {
                Some(found) => read(found, *kind, self.host.offset_minutes()).ok_or(Stop::Unknown),
                None if place.always => Err(Stop::Unknown),
                None => Ok(Value::Absent),
            },
            Op::Present(place) => Ok(Value::Bool(self.find(place).is_some())),
            Op::Not(a) => Ok(Value::Bool(!self.truth(a)?)),
            Op::And(a, b) => Ok(Value::Bool(self.truth(a)? && self.truth(b)?)),
            Op::Or(a, b) => Ok(Value::Bool(self.truth(a)? || self.truth(b)?)),
            Op::Implies(a, b) => Ok(Value::Bool(!self.truth(a)? || self.truth(b)?)),
            Op::If(condition, yes, no) => {
                if self.truth(condition)? {
                    self.value(yes)
                } else {
                    self.value(no)
                }
            }
            Op::Otherwise(a, b) => match self.value(a)? {
                Value::Absent => self.value(b),
                found => Ok(found),
            },
            Op::Compare(relation, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                compare(*relation, a.order(&b).ok_or(Stop::Unknown)?)
            }
            Op::In(a, set) => match (self.value(a)?, set) {
                (Value::Text(text), Set::Texts(set)) => Ok(Value::Bool(set.contains(&*text))),
                (Value::Number(n), Set::Numbers(set)) => Ok(Value::Bool(set.contains(&n))),
                _ => Err(Stop::Unknown),
            },
            Op::Arithmetic(what, a, b) => match (self.value(a)?, self.value(b)?) {
                (Value::Number(a), Value::Number(b)) => Ok(Value::Number(match what {
                    Arithmetic::Add => a + b,
                    Arithmetic::Subtract => a - b,
                    Arithmetic::Multiply => a * b,
                })),
                _ => Err(Stop::Unknown),
            },
            Op::Negative(a) => match self.value(a)? {
                Value::Number(n) => Ok(Value::Number(-n)),
                _ => Err(Stop::Unknown),
            },
            Op::Fold { fold, over, max, body } => self.fold(*fold, over, *max, body),
            Op::Length(place, max) => Ok(count(self.list(place, *max)?.map_or(0, |(_, n)| n))),
            Op::Function(function, parts) => {
                let mut values = Vec::with_capacity(parts.len());
                for part in parts {
                    values.push(self.value(part)?);
                }
                let (now, offset) = (self.host.now(), self.host.offset_minutes());
                call(*function, values, now, offset)
            }
            Op::Table { table, column, keys } => self.table(table, column.as_deref(), keys),
            Op::Valid(rule, text) => match self.value(text)? {
                Value::Text(text) => Ok(Value::Bool(self.host.valid(rule, &text))),
                _ => Err(Stop::Unknown),
            },
            Op::Index(frame) => {
                self.frames.get(*frame).map(|f| count(f.index.saturating_add(1))).ok_or(Stop::Unknown)
            }
        }
    }

    fn truth<'a>(&mut self, op: &'a Op) -> Result<bool, Stop>
    where
        S: Source<'a>,
    {
        match self.value(op)? {
            Value::Bool(b) => Ok(b),
            _ => Err(Stop::Unknown),
        }
    }

    fn find<'a>(&self, place: &Place) -> Option<S>
    where
        S: Source<'a>,
    {
        let start = self.frames.get(place.frame)?.value;
        place.path.iter().try_fold(start, |value, name| value.member(name))
    }

    /// A list and how many items it has; `None` for one that is absent and may be. A list beyond its declared length would break
    /// the bound of steps: its field has failed.
    fn list<'a>(&self, place: &Place, max: u64) -> Result<Option<(S, usize)>, Stop>
    where
        S: Source<'a>,
    {
        let Some(list) = self.find(place) else {
            return if place.always { Err(Stop::Unknown) } else { Ok(None) };
        };
        let items =
            list.items().filter(|n| u64::try_from(*n).is_ok_and(|n| n <= max)).ok_or(Stop::Unknown)?;
        Ok(Some((list, items)))
    }

    fn fold<'a>(&mut self, fold: Fold, over: &Place, max: u64, body: &'a Op) -> Found<'a>
    where
        S: Source<'a>,
    {
        let list = self.list(over, max)?;
        let mut state = Folding::new(fold);
        for n in 0..list.map_or(0, |(_, n)| n) {
            self.steps = self.steps.saturating_add(cost::item(fold));
            let value = list.and_then(|(list, _)| list.item(n)).ok_or(Stop::Unknown)?;
            self.frames.push(Frame { value, index: n });
            let found = self.value(body);
            self.frames.pop();
            if state.take(found?)? {
                break;
            }
        }
        Ok(state.end())
    }

    fn table<'a>(&mut self, table: &str, column: Option<&str>, keys: &'a [Op]) -> Found<'a>
    where
        S: Source<'a>,
    {
        let mut texts = Vec::with_capacity(keys.len());
        for key in keys {
            match self.value(key)? {
                Value::Text(text) => texts.push(text),
                _ => return Err(Stop::Unknown),
            }
        }
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let row = self.host.row(table, &texts, column)?;
        Ok(match (column, row) {
            (None, row) => Value::Bool(row.is_some()),
            (Some(_), Some(text)) if !text.is_empty() => Value::Text(text.into()),
            (Some(_), _) => Value::Absent,
        })
    }
}

fn compare(relation: Relation, order: Ordering) -> Found<'static> {
    Ok(Value::Bool(match relation {
        Relation::Equal => order.is_eq(),
        Relation::Different => order.is_ne(),
        Relation::Less => order.is_lt(),
        Relation::LessOrEqual => order.is_le(),
        Relation::Greater => order.is_gt(),
        Relation::GreaterOrEqual => order.is_ge(),
    }))
}

/// A value as its field declares it; `None` when it is none, which is that field's failure.
fn read<'a, S: Source<'a>>(found: S, kind: Kind, offset_minutes: i32) -> Option<Value<'a>> {
    match kind {
        Kind::Bool => found.truth().map(Value::Bool),
        Kind::Text { max } => {
            let text = found.text()?;
            let fits = text.len() <= max as usize || text.chars().count() <= max as usize;
            fits.then_some(Value::Text(text.into()))
        }
        Kind::Number(digits) => {
            let number = match found.whole() {
                Some(n) => BigDecimal::from(n),
                None => decimal(found.text()?)?,
            };
            let has = digits_of(&number);
            (has.whole <= digits.whole && has.fraction <= digits.fraction).then_some(Value::Number(number))
        }
        Kind::Date => parse_date(found.text()?).map(Value::Date),
        Kind::Instant => parse_instant(found.text()?, offset_minutes).map(Value::Instant),
    }
}

/// What a fold has come to so far.
enum Folding<'a> {
    All(bool),
    Any(bool),
    Count(usize),
    Sum(BigDecimal),
    Distinct(BTreeSet<String>),
    Best(Ordering, Option<Value<'a>>),
}

impl<'a> Folding<'a> {
    fn new(fold: Fold) -> Self {
        match fold {
            Fold::All => Folding::All(true),
            Fold::Any => Folding::Any(false),
            Fold::Count => Folding::Count(0),
            Fold::Sum => Folding::Sum(BigDecimal::zero()),
            Fold::Distinct => Folding::Distinct(BTreeSet::new()),
            Fold::Smallest => Folding::Best(Ordering::Less, None),
            Fold::Largest => Folding::Best(Ordering::Greater, None),
        }
    }

    /// Takes the value of an item; true when the others change nothing any more.
    fn take(&mut self, value: Value<'a>) -> Result<bool, Stop> {
        match (self, value) {
            (Folding::All(all), Value::Bool(b)) => {
                *all = b;
                Ok(!b)
            }
            (Folding::Any(any), Value::Bool(b)) => {
                *any = b;
                Ok(b)
            }
            (Folding::Count(n), Value::Bool(b)) => {
                *n += usize::from(b);
                Ok(false)
            }
            (Folding::Sum(sum), Value::Number(n)) => {
                *sum += n;
                Ok(false)
            }
            (Folding::Distinct(_), Value::Absent) => Err(Stop::Unknown),
            (Folding::Distinct(seen), Value::Number(n)) => {
                seen.insert(n.normalized().to_plain_string());
                Ok(false)
            }
            (Folding::Distinct(seen), value) => {
                seen.insert(value.to_string());
                Ok(false)
            }
            (Folding::Best(wanted, best), value) => {
                let better = match best {
                    Some(best) => value.order(best).ok_or(Stop::Unknown)? == *wanted,
                    None => value != Value::Absent,
                };
                if better {
                    *best = Some(value);
                }
                Ok(false)
            }
            _ => Err(Stop::Unknown),
        }
    }

    fn end(self) -> Value<'a> {
        match self {
            Folding::All(b) | Folding::Any(b) => Value::Bool(b),
            Folding::Count(n) => count(n),
            Folding::Sum(sum) => Value::Number(sum),
            Folding::Distinct(seen) => count(seen.len()),
            Folding::Best(_, best) => best.unwrap_or(Value::Absent),
        }
    }
}
