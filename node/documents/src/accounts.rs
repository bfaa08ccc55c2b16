//! What a document asks of accounts, by the rules of its pack: a pure function of the judged body.

use crate::Failure;
use crate::json::Node;
use crate::pack::{Ledger, LedgerEntry};
use crate::relations::{Asked, Walk, walk};
use bigdecimal::{BigDecimal, ToPrimitive};
use eport_expression::{Expression, Source, Value, parse_date};
use eport_ledger::{AccountKey, Amount, TERMS_SCALE, Terms};

/// One thing that a document asks of one account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountCall {
    /// Grant, reserve or adjust.
    pub entry: LedgerEntry,
    /// The account.
    pub account: AccountKey,
    /// Number of the record that asks, from 1.
    pub item: u16,
    /// How much.
    pub quantity: Amount,
    /// The unit that the document counts in.
    pub unit: Option<String>,
    /// Of a grant: under which terms.
    pub terms: Terms,
    /// The state that commits it.
    pub commit_on: Option<String>,
    /// The states that release it.
    pub release_on: Vec<String>,
}

/// Everything the body asks for. What no account can hold is a failure of the document.
pub(crate) fn calls(body: &Node<'_>, asked: &mut Asked<'_>, failures: &mut Vec<Failure>) -> Vec<AccountCall> {
    let kind = asked.kind;
    let mut out = Vec::new();
    for ledger in &kind.ledgers {
        let mut item = 0u16;
        walk(body, &ledger.scope, asked, failures, &mut |w| {
            item = item.saturating_add(1);
            if ledger.when.as_ref().is_some_and(|when| w.holds(when) != Some(true)) {
                return;
            }
            match call(w, ledger, item) {
                Ok(found) => out.extend(found),
                Err(detail) => {
                    w.fail(&[], &kind.pack.codes.range, format!("account {}: {detail}", ledger.name))
                }
            }
        });
    }
    out
}

/// The call of one record; `None` where a field that names the account is absent.
fn call(w: &mut Walk<'_, '_, '_>, ledger: &Ledger, item: u16) -> Result<Option<AccountCall>, String> {
    let parts: Option<Vec<String>> = ledger.account.iter().map(|f| text(w, f)).collect();
    let Some(parts) = parts else { return Ok(None) };
    let account = AccountKey::new(&ledger.name, parts).map_err(|e| e.to_string())?;
    let Some(quantity) = number(w, &ledger.quantity) else { return Ok(None) };
    let quantity = Amount::rounded_up(&quantity).map_err(|e| e.to_string())?;
    if quantity.is_negative() && ledger.entry != LedgerEntry::Adjust {
        return Err("a quantity is not negative".into());
    }
    let unit = ledger.unit.as_ref().and_then(|f| text(w, f));
    let terms = terms(w, ledger, unit.clone())?;
    Ok(Some(AccountCall {
        entry: ledger.entry,
        account,
        item,
        quantity,
        unit,
        terms,
        commit_on: ledger.commit_on.clone(),
        release_on: ledger.release_on.clone(),
    }))
}

fn terms(w: &mut Walk<'_, '_, '_>, ledger: &Ledger, unit: Option<String>) -> Result<Terms, String> {
    let scaled = ledger.tolerance.as_ref().and_then(|e| number(w, e)).unwrap_or_default()
        * BigDecimal::from(TERMS_SCALE);
    let tolerance = scaled.to_u32().filter(|t| *t <= TERMS_SCALE && scaled == *t);
    let uses = ledger.uses.as_ref().and_then(|e| number(w, e));
    let day = |w: &Walk<'_, '_, '_>, n: usize| {
        ledger.valid.as_ref().and_then(|v| text(w, &v[n])).and_then(|t| parse_date(&t))
    };
    Ok(Terms {
        tolerance: tolerance.ok_or("a tolerance is a fraction of at most 1 with four digits")?,
        uses_max: uses.map(|u| u.to_u32().ok_or("a number of uses is whole and not negative")).transpose()?,
        valid_from: day(w, 0),
        valid_to: day(w, 1),
        unit,
        holder: ledger.holder.as_ref().and_then(|f| text(w, f)),
    })
}

/// A field of the innermost record that has it.
fn text(w: &Walk<'_, '_, '_>, path: &str) -> Option<String> {
    let found = w
        .frames
        .iter()
        .rev()
        .find_map(|frame| path.split('.').try_fold(frame.value, |node, name| node.member(name)))?;
    found.text().map(str::to_owned).or_else(|| found.whole().map(|n| n.to_string()))
}

fn number(w: &mut Walk<'_, '_, '_>, expression: &Expression) -> Option<BigDecimal> {
    match expression.evaluate(&w.frames, w.asked) {
        Ok(Value::Number(number)) => Some(number),
        _ => None,
    }
}
