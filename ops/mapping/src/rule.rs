//! Where the value of a field comes from.

use crate::stand_in::{Found, StandIn};
use bigdecimal::{BigDecimal, RoundingMode, Zero};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Most digits behind the point.
const DECIMALS_MAX: i64 = 20;
/// Longest number in characters: more is no number of trade.
const NUMBER_LEN_MAX: usize = 64;

/// Named maps from one text to another.
pub(crate) type Maps = BTreeMap<String, BTreeMap<String, String>>;

/// Where a value comes from, and what is done to it: source, then map, then form. `otherwise` stands in for what is empty, has no row in the
/// map, or is a division by nothing.
#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub(crate) struct Rule {
    /// A text with `{Column}` in it.
    text: Option<String>,
    /// A column.
    column: Option<String>,
    /// Two columns: the first divided by the second.
    divide: Option<[String; 2]>,
    /// The name of a map.
    map: Option<String>,
    /// An exact decimal with this many digits behind the point, rounded half away from zero.
    decimals: Option<i64>,
    /// A whole number.
    whole: bool,
    /// True or false: `1`, `true`, `Y` are true.
    flag: bool,
    /// Only the first characters.
    first: Option<usize>,
    /// Zeros in front up to this many characters.
    pad: Option<usize>,
    /// A number of the right form that stands for one that the table does not tell.
    stand_in: Option<StandIn>,
    /// Instead of nothing.
    otherwise: Option<String>,
}

/// Why a rule comes to no value.
pub(crate) struct Wrong {
    pub(crate) column: String,
    pub(crate) detail: String,
}

/// A piece of a text.
enum Piece<'t> {
    Plain(&'t str),
    Column(&'t str),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').ok_or("a brace is not closed")?;
        out.push(Piece::Plain(before));
        out.push(Piece::Column(name));
        rest = after;
    }
    out.push(Piece::Plain(rest));
    Ok(out)
}

impl Rule {
    /// What is wrong with it by itself.
    pub(crate) fn check(&self, maps: &Maps) -> Result<(), String> {
        let sources = [self.text.is_some(), self.column.is_some(), self.divide.is_some()];
        if sources.iter().filter(|s| **s).count() != 1 {
            return Err("one of text, column and divide says where it comes from".into());
        }
        if let Some(text) = &self.text {
            pieces(text)?;
        }
        if let Some(name) = self.map.as_ref().filter(|m| !maps.contains_key(*m)) {
            return Err(format!("there is no map {name:?}"));
        }
        if self.decimals.is_some_and(|d| !(0..=DECIMALS_MAX).contains(&d)) {
            return Err(format!("decimals are 0 to {DECIMALS_MAX}"));
        }
        if self.pad.is_some_and(|p| p > NUMBER_LEN_MAX) {
            return Err(format!("pad is at most {NUMBER_LEN_MAX}"));
        }
        let forms = [self.decimals.is_some(), self.whole, self.flag, self.stand_in.is_some()];
        if forms.iter().filter(|f| **f).count() > 1 {
            return Err("at most one of decimals, whole, flag and stand_in is its form".into());
        }
        if self.divide.is_some() && self.decimals.is_none() {
            return Err("a division needs decimals".into());
        }
        self.stand_in.as_ref().map_or(Ok(()), StandIn::check)
    }

    /// The columns it needs.
    pub(crate) fn columns(&self) -> Vec<String> {
        let mut out: Vec<String> = self.column.iter().chain(self.divide.iter().flatten()).cloned().collect();
        let of_text = self.text.as_deref().and_then(|t| pieces(t).ok()).unwrap_or_default();
        out.extend(of_text.iter().filter_map(|p| match p {
            Piece::Column(name) => Some((*name).to_owned()),
            Piece::Plain(_) => None,
        }));
        out
    }

    /// The value for a row; `None` where it comes to nothing.
    pub(crate) fn value<'r>(
        &self,
        cell: &dyn Fn(&str) -> &'r str,
        maps: &Maps,
        found: &Found,
    ) -> Result<Option<Value>, Wrong> {
        let column = self.column.clone().unwrap_or_default();
        let wrong = |detail: String| Wrong { column: column.clone(), detail };
        if let Some([above, below]) = &self.divide {
            return self.quotient((above, cell(above)), (below, cell(below)));
        }
        let mut text = match (&self.text, &self.column) {
            (Some(text), _) => {
                let parts = pieces(text).map_err(wrong)?;
                parts
                    .iter()
                    .map(|p| if let Piece::Column(name) = p { cell(name) } else { plain(p) })
                    .collect()
            }
            (None, Some(name)) => cell(name).to_owned(),
            (None, None) => String::new(),
        };
        if let Some(map) = self.map.as_ref().and_then(|m| maps.get(m)) {
            match (map.get(&text), &self.otherwise) {
                (Some(found), _) => text.clone_from(found),
                (None, Some(_)) => text.clear(),
                (None, None) if text.is_empty() => {}
                (None, None) => {
                    let shown: String = text.chars().take(40).collect();
                    return Err(wrong(format!("the map has no {shown:?}")));
                }
            }
        }
        if text.is_empty() {
            match &self.otherwise {
                Some(other) => text.clone_from(other),
                None => return Ok(None),
            }
        }
        if let Some(first) = self.first {
            text = text.chars().take(first).collect();
        }
        if let Some(pad) = self.pad {
            let missing = pad.saturating_sub(text.chars().count());
            text = "0".repeat(missing) + &text;
        }
        if let Some(scale) = self.decimals {
            let number = number(&text).ok_or_else(|| wrong("it is no number".into()))?;
            return Ok(Some(Value::String(printed(&number, scale))));
        }
        if self.whole {
            let whole = text.parse::<i64>().map_err(|_| wrong("it is no whole number".into()))?;
            return Ok(Some(Value::from(whole)));
        }
        if self.flag {
            return Ok(Some(Value::Bool(matches!(text.as_str(), "1" | "true" | "Y"))));
        }
        if let Some(stand_in) = &self.stand_in {
            return found.of(stand_in, &text).map(|t| Some(Value::String(t))).map_err(wrong);
        }
        Ok(Some(Value::String(text)))
    }

    fn quotient(&self, above: (&str, &str), below: (&str, &str)) -> Result<Option<Value>, Wrong> {
        let read = |(column, text): (&str, &str)| {
            let wrong = || Wrong { column: column.to_owned(), detail: "it is no number".into() };
            match text.is_empty() {
                true => Ok(None),
                false => number(text).map(Some).ok_or_else(wrong),
            }
        };
        let scale = self.decimals.unwrap_or(0);
        let found = match (read(above)?, read(below)?) {
            (Some(a), Some(b)) if !b.is_zero() => {
                // Far more digits than are printed, so that rounding once more changes nothing.
                Some(printed(&(a / b), scale))
            }
            _ => self.otherwise.clone(),
        };
        Ok(found.map(Value::String))
    }
}

fn plain<'t>(piece: &Piece<'t>) -> &'t str {
    match piece {
        Piece::Plain(text) | Piece::Column(text) => text,
    }
}

/// Digits with at most one point and a sign; no exponent.
fn number(text: &str) -> Option<BigDecimal> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let fine = (1..=NUMBER_LEN_MAX).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && digits.bytes().filter(|b| *b == b'.').count() <= 1
        && digits.bytes().any(|b| b.is_ascii_digit());
    fine.then(|| BigDecimal::from_str(text).ok()).flatten()
}

fn printed(number: &BigDecimal, scale: i64) -> String {
    number.with_scale_round(scale, RoundingMode::HalfUp).to_plain_string()
}
