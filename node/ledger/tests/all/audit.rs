//! A changed, missing or added entry is found.

use crate::store::*;
use eport_ledger::{Terms, audit};

#[test]
fn an_entry_that_was_changed_dropped_or_doubled_is_found() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms::default()));
    store.ask(&need("D1", 1, &["10", "20"]));
    store.ask(&commit("D1", 1));
    let (account, entries) = (store.of(&key()).clone(), store.entries[&key()].clone());
    assert!(audit(&account, &entries).problems.is_empty());
    for n in 0..entries.len() {
        let mut changed = entries.clone();
        changed[n].reason = "other".into();
        assert!(!audit(&account, &changed).problems.is_empty(), "changed {n}");
        let mut dropped = entries.clone();
        dropped.remove(n);
        assert!(!audit(&account, &dropped).problems.is_empty(), "dropped {n}");
        let mut doubled = entries.clone();
        doubled.insert(n, entries[n].clone());
        assert!(!audit(&account, &doubled).problems.is_empty(), "doubled {n}");
    }
}

#[test]
fn of_very_many_problems_the_first_are_listed() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms::default()));
    let (account, entries) = (store.of(&key()).clone(), store.entries[&key()].clone());
    let again = std::iter::repeat_n(&entries[0], 5_000);
    let problems = audit(&account, again).problems;
    assert!((2..=100).contains(&problems.len()), "{}", problems.len());
}
