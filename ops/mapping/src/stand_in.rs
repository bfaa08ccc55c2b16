//! Numbers of the right form in place of those that a table does not tell: enterprises of a published data set have no numbers of their
//! own any more. The same text gets the same number, and the number passes the check rule of its kind.

use eport_documents::checks::{Parameters, Rule};
use eport_model::Digest;
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Most characters of a number.
const LENGTH_MAX: usize = 40;
/// Most check characters that are looked for: 31 to the third are 29 791 trials.
const CHECKS_MAX: usize = 3;
/// Digits and capitals without those that are taken for others.
const CAPITALS: &[u8] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const DIGITS: &[u8] = b"0123456789";

/// Numbers that are remembered, so that an enterprise of many rows is looked for once.
const REMEMBERED_MAX: usize = 100_000;

/// Numbers that were found, by form and text.
#[derive(Debug, Default)]
pub(crate) struct Found(RefCell<BTreeMap<(String, String), String>>);

impl Found {
    /// The number that stands for a text.
    pub(crate) fn of(&self, form: &StandIn, text: &str) -> Result<String, String> {
        let key = (format!("{} {} {}", form.rule, form.prefix, form.length), text.to_owned());
        if let Some(known) = self.0.borrow().get(&key) {
            return Ok(known.clone());
        }
        let number = form.of(text)?;
        let mut known = self.0.borrow_mut();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(key, number.clone());
        Ok(number)
    }
}

/// The form of such a number.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct StandIn {
    /// The check rule that it passes.
    rule: String,
    /// How it begins.
    prefix: String,
    /// Its characters in all.
    length: usize,
    /// How many of the last ones are check characters.
    checks: usize,
    /// Digits only.
    #[serde(default)]
    digits: bool,
}

impl StandIn {
    pub(crate) fn check(&self) -> Result<(), String> {
        if Rule::named(&self.rule).is_none() {
            return Err(format!("there is no check rule {:?}", self.rule));
        }
        let fits = self.prefix.is_ascii() && self.length <= LENGTH_MAX && self.checks <= CHECKS_MAX;
        if !fits || self.prefix.len() + self.checks > self.length {
            return Err(format!(
                "a stand-in has at most {LENGTH_MAX} characters, {CHECKS_MAX} of them checks"
            ));
        }
        self.of("trial").map(drop)
    }

    /// The number that stands for a text.
    pub(crate) fn of(&self, text: &str) -> Result<String, String> {
        let alphabet = if self.digits { DIGITS } else { CAPITALS };
        let rule = Rule::named(&self.rule).ok_or("there is no such rule")?;
        let letter = |n: usize| alphabet.get(n % alphabet.len()).copied().map_or('0', char::from);
        let digest = Digest::of(text.as_bytes()).to_string();
        let mut drawn = digest.as_bytes().chunks(2).cycle().map(|pair| {
            let value = pair.iter().fold(0usize, |n, b| n * 31 + usize::from(*b));
            letter(value)
        });
        let free = self.length - self.prefix.len() - self.checks;
        let begin: String = self.prefix.chars().chain(drawn.by_ref().take(free)).collect();
        let parameters = Parameters::default();
        for trial in 0..alphabet.len().pow(u32::try_from(self.checks).unwrap_or(0)) {
            let mut number = begin.clone();
            let mut rest = trial;
            for _ in 0..self.checks {
                number.push(letter(rest));
                rest /= alphabet.len();
            }
            if rule.judge(&number, &parameters).is_none_or(|f| f.is_warning()) {
                return Ok(number);
            }
        }
        Err(format!("no number that begins {begin:?} passes {}", self.rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_passes_the_rule_of_its_kind_and_is_the_same_for_the_same_text() {
        let form =
            StandIn { rule: "ID-03".into(), prefix: "91440100".into(), length: 18, checks: 2, digits: false };
        form.check().unwrap();
        let (one, other) = (form.of("QLRUBN9").unwrap(), form.of("7JD1S2X").unwrap());
        assert_ne!(one, other);
        assert_eq!(one, form.of("QLRUBN9").unwrap());
        assert!(Rule::named("ID-03").unwrap().judge(&one, &Parameters::default()).is_none(), "{one}");
    }

    #[test]
    fn a_form_that_nothing_can_have_is_refused() {
        let of = |rule: &str, prefix: &str, length| StandIn {
            rule: rule.into(),
            prefix: prefix.into(),
            length,
            checks: 1,
            digits: true,
        };
        assert!(of("ID-99", "1", 18).check().is_err());
        assert!(of("ID-03", "91440100", 17).check().is_err());
        assert!(of("ID-03", "91440100", 8).check().is_err());
    }
}
