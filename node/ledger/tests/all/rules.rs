//! Cross-checks §1.5 and XC-02, by their own examples.

use crate::store::*;
use eport_ledger::{Amount, Closed, EntryKind, Order, Outcome, Phase, Standing, Terms, Verdict, audit};
use eport_model::{Digest, Epoch};

fn of_1000() -> Store {
    let mut store = Store::default();
    let terms = Terms { tolerance: 500, ..Terms::default() };
    assert!(store.ask(&grant("1000", terms)).is_done());
    assert!(store.ask(&need("D0", 1, &["900"])).is_done());
    assert!(store.ask(&commit("D0", 1)).is_done());
    store
}

fn sound(store: &Store) {
    for (key, account) in &store.accounts {
        let sums = audit(account, &store.entries[key]);
        assert!(sums.problems.is_empty(), "{:?}", sums.problems);
    }
}

#[test]
fn tolerance_applies_to_what_remains_and_only_to_the_last_batch() {
    let mut store = of_1000();
    assert_eq!(codes(&store.ask(&need("D1", 1, &["105.00001"]))), ["E-XC-QTY"]);
    assert_eq!(codes(&store.ask(&need("D2", 1, &["150"]))), ["E-XC-QTY"]);
    assert!(store.ask(&need("D3", 1, &["105"])).is_done());
    assert_eq!((store.of(&key()).over(), store.of(&key()).available()), (amount("5"), Amount::ZERO));
    // Nothing remains of nothing.
    assert_eq!(codes(&store.ask(&need("D4", 1, &["0.00001"]))), ["E-XC-QTY"]);
    assert!(store.ask(&release("D3", 1)).is_done());
    assert_eq!(store.of(&key()).available(), amount("100"));
    sound(&store);
}

#[test]
fn of_two_that_want_sixty_of_a_hundred_one_passes() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms::default()));
    assert!(store.ask(&need("D1", 1, &["60"])).is_done());
    assert_eq!(codes(&store.ask(&need("D2", 1, &["60"]))), ["E-XC-QTY"]);
    assert!(store.ask(&need("D3", 1, &["15", "25"])).is_done(), "items are tested with their sum");
    sound(&store);
}

#[test]
fn a_withdrawn_declaration_gives_its_use_back_and_a_thirteenth_may_come() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms { uses_max: Some(12), ..Terms::default() }));
    for n in 1..=12 {
        assert!(store.ask(&need(&format!("D{n}"), 1, &["1"])).is_done());
    }
    assert_eq!(codes(&store.ask(&need("D13", 1, &["1"]))), ["E-XC-USES"]);
    assert!(store.ask(&release("D5", 1)).is_done());
    assert_eq!(store.of(&key()).uses, 11);
    assert!(store.ask(&need("D14", 1, &["1"])).is_done());
    // More of the same declaration is the same use.
    assert!(store.ask(&need("D1", 2, &["2"])).is_done());
    assert_eq!(store.of(&key()).uses, 12);
}

#[test]
fn a_licence_for_one_batch_is_used_once() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms { uses_max: Some(1), ..Terms::default() }));
    assert!(store.ask(&need("D1", 1, &["10"])).is_done());
    assert_eq!(codes(&store.ask(&need("D2", 1, &["10"]))), ["E-XC-USED"]);
}

#[test]
fn every_reason_is_told_at_once_and_the_last_day_passes() {
    let mut store = Store::default();
    let terms = Terms {
        valid_from: Some(day(-5)),
        valid_to: Some(day(0)),
        unit: Some("035".into()),
        uses_max: Some(1),
        ..Terms::default()
    };
    store.ask(&grant("10", terms));
    match store.ask(&need("D1", 1, &["9.5"])) {
        Outcome::Done { warnings, .. } => {
            let codes: Vec<_> = warnings.iter().map(|w| w.code.as_str()).collect();
            assert_eq!(codes, ["W-XC-NEAREND", "W-XC-LOW"]);
        }
        other => panic!("{other:?}"),
    }
    let mut late = need("D2", 1, &["11"]);
    late.day = day(1);
    if let Order::Hold { unit, .. } = &mut late.order {
        *unit = Some("070".into());
    }
    assert_eq!(codes(&store.ask(&late)), ["E-XC-EXPIRED", "E-XC-UNIT", "E-XC-USED", "E-XC-QTY"]);
    let mut early = need("D3", 1, &["0.1"]);
    early.day = day(-6);
    assert_eq!(codes(&store.ask(&early)), ["E-XC-NOTYET", "E-XC-USED"]);
}

#[test]
fn an_amendment_reserves_or_gives_back_the_difference() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms { uses_max: Some(3), ..Terms::default() }));
    store.ask(&need("D1", 1, &["40", "10"]));
    store.ask(&need("D1", 2, &["60", "5"]));
    let kinds: Vec<_> = store.entries[&key()].iter().map(|e| (e.kind, e.quantity, e.item)).collect();
    use EntryKind::*;
    let q = amount;
    assert_eq!(
        kinds,
        [
            (Grant, q("100"), 0),
            (Reserve, q("40"), 1),
            (Reserve, q("10"), 2),
            (Reserve, q("20"), 1),
            (Release, q("5"), 2)
        ]
    );
    // After commitment less is adjusted, not released, and the use stays.
    store.ask(&commit("D1", 2));
    store.ask(&need("D1", 3, &["50", "5"]));
    let account = store.of(&key());
    assert_eq!((account.granted, account.committed, account.available()), (q("110"), q("65"), q("45")));
    // And more is reserved, then committed.
    store.ask(&need("D1", 4, &["55", "5"]));
    assert_eq!(store.of(&key()).reserved, q("5"));
    store.ask(&commit("D1", 4));
    assert_eq!((store.of(&key()).reserved, store.of(&key()).available()), (q("0"), q("40")));
    // Deleted after release: everything comes back, the use does not.
    store.ask(&release("D1", 4));
    assert_eq!((store.of(&key()).available(), store.of(&key()).uses), (q("100"), 1));
    sound(&store);
}

#[test]
fn an_amendment_that_is_refused_changes_nothing() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms::default()));
    store.ask(&need("D1", 1, &["40"]));
    store.ask(&need("D2", 1, &["50"]));
    let before = store.of(&key()).clone();
    assert_eq!(codes(&store.ask(&need("D1", 2, &["60"]))), ["E-XC-QTY"]);
    assert_eq!(*store.of(&key()), before);
    assert_eq!(store.entries[&key()].len(), 3);
}

#[test]
fn what_was_not_released_is_given_back_at_commitment() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms::default()));
    store.ask(&need("D1", 1, &["40", "20"]));
    let part = Order::Commit { items: Some([(1, amount("30"))].into()) };
    store.ask(&request(&key(), &holder(440_100, "D1"), 1, Phase::Commit, part));
    let account = store.of(&key());
    assert_eq!(
        (account.reserved, account.committed, account.available()),
        (amount("0"), amount("30"), amount("70"))
    );
    let more = Order::Commit { items: Some([(1, amount("31")), (7, amount("1"))].into()) };
    let asked = request(&key(), &holder(440_100, "D1"), 2, Phase::Commit, more);
    assert_eq!(codes(&store.ask(&asked)), ["E-XC-QTY"]);
    sound(&store);
}

#[test]
fn the_same_cause_has_one_effect_and_what_comes_late_has_none() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms::default()));
    let first = store.ask(&need("D1", 1, &["40"]));
    let before = store.clone();
    assert_eq!(store.ask(&need("D1", 1, &["40"])), first);
    assert_eq!(store, before);
    store.ask(&release("D1", 1));
    // The release overtook the amendment.
    assert!(store.ask(&release("D2", 2)).is_done());
    assert_eq!(store.ask(&need("D2", 1, &["10"])), Outcome::Stale);
    assert_eq!(store.of(&key()).reserved, Amount::ZERO);
    sound(&store);
}

#[test]
fn a_refusal_is_kept_too() {
    let mut store = Store::default();
    store.ask(&grant("10", Terms::default()));
    let refused = store.ask(&need("D1", 1, &["11"]));
    store.ask(&request(
        &key(),
        &holder(HOME, "I1"),
        2,
        Phase::Hold,
        Order::Grant { quantity: amount("20"), terms: Terms::default() },
    ));
    assert_eq!(store.ask(&need("D1", 1, &["11"])), refused);
    assert!(store.ask(&need("D1", 2, &["11"])).is_done());
}

#[test]
fn a_new_version_of_a_licence_grants_no_less_than_is_used() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms::default()));
    store.ask(&need("D1", 1, &["60"]));
    let version = |n, quantity: &str| {
        let order = Order::Grant { quantity: amount(quantity), terms: Terms::default() };
        request(&key(), &holder(HOME, "I1"), n, Phase::Hold, order)
    };
    assert_eq!(codes(&store.ask(&version(2, "59"))), ["E-LIC-BELOWUSED"]);
    assert!(store.ask(&version(3, "60")).is_done());
    assert_eq!(store.of(&key()).available(), Amount::ZERO);
    let order = Order::Grant { quantity: amount("9"), terms: Terms::default() };
    let other = request(&key(), &holder(HOME, "I2"), 1, Phase::Hold, order);
    assert_eq!(codes(&store.ask(&other)), ["E-XC-STATE"], "one number is granted by one document");
    sound(&store);
}

#[test]
fn a_suspended_account_takes_no_reserve_and_lets_what_is_held_end() {
    let mut store = Store::default();
    store.ask(&grant("100", Terms::default()));
    store.ask(&need("D1", 1, &["10"]));
    let stand = |n, standing| request(&key(), &holder(HOME, "op"), n, Phase::Hold, Order::Stand { standing });
    store.ask(&stand(1, Standing::Suspended));
    assert_eq!(codes(&store.ask(&need("D2", 1, &["10"]))), ["E-XC-STATE"]);
    assert!(store.ask(&commit("D1", 1)).is_done());
    store.ask(&stand(2, Standing::Active));
    assert!(store.ask(&need("D2", 2, &["10"])).is_done());
    // Whoever does not grant it may not revoke it.
    assert_eq!(codes(&store.ask(&stand(3, Standing::Revoked))), ["E-XC-STATE"]);
    assert!(store.ask(&need("D2", 3, &["11"])).is_done());
    let end = Order::Stand { standing: Standing::Revoked };
    assert!(store.ask(&request(&key(), &holder(HOME, "I1"), 2, Phase::Hold, end)).is_done());
    assert_eq!(codes(&store.ask(&stand(4, Standing::Active))), ["E-XC-STATE"]);
}

#[test]
fn nobody_of_an_older_epoch_decides_and_no_account_is_no_refusal() {
    let mut store = Store::default();
    let book = eport_ledger::Book { epoch: Epoch::from_u64(3), recovery: None };
    let asked = need("D1", 1, &["1"]);
    assert_eq!(store.decide(&book, Epoch::from_u64(2), &asked), Verdict::Closed(Closed::Fenced));
    assert_eq!(store.decide(&book, Epoch::from_u64(3), &asked), Verdict::Closed(Closed::NoAccount));
    assert_eq!(store, Store::default(), "nothing is kept: the account may come");
}

#[test]
fn amounts_are_exact_and_bounded() {
    for (text, shown) in
        [("105.00001", "105.00001"), ("0.10", "0.1"), ("007", "7"), ("-3.5", "-3.5"), ("0", "0")]
    {
        assert_eq!(amount(text).to_string(), shown);
    }
    for bad in ["", ".", "1.", "1,5", "1e3", "+1", "1.000001", "--1", "100000000000000000000", "１"] {
        assert!(bad.parse::<Amount>().is_err(), "{bad}");
    }
    let fine: bigdecimal::BigDecimal = "1.0000000001".parse().unwrap();
    assert_eq!(
        Amount::rounded_up(&fine),
        Ok(amount("1.00001")),
        "finer quantities are rounded up, never down"
    );
    let huge: bigdecimal::BigDecimal = "1e30".parse().unwrap();
    assert!(Amount::rounded_up(&huge).is_err());
    // Both directions of a row and of JSON.
    let _ = Digest::ZERO;
    let bytes = eport_model::codec::encode(&amount("1234567.89"));
    assert_eq!(eport_model::codec::decode::<Amount>(&bytes), Ok(amount("1234567.89")));
}

#[test]
fn quantities_that_no_account_could_hold_are_refused_not_wrapped() {
    let mut store = Store::default();
    store.ask(&grant("9999999999999999999", Terms::default()));
    assert!(store.ask(&need("D1", 1, &["9999999999999999999"])).is_done());
    assert_eq!(
        codes(&store.ask(&need("D2", 1, &["9999999999999999999", "9999999999999999999"]))),
        ["E-XC-QTY"]
    );
    sound(&store);
}

#[test]
fn names_of_accounts_survive_slashes_and_refuse_control_characters() {
    let key = eport_ledger::AccountKey::new("b", ["a/b~c".to_owned(), "1".to_owned()]).unwrap();
    assert_eq!(key.to_string(), "b:a~1b~0c/1");
    assert_eq!(key.to_string().parse(), Ok(key));
    for bad in ["", "b", "b:", ":a", "b:a\u{0}", "b:1/2/3/4/5/6/7", "b:a//c"] {
        assert!(bad.parse::<eport_ledger::AccountKey>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_peer_chooses_neither_names_nor_documents_nor_accounts() {
    let of = region(440_100);
    let asked = need("D1", 1, &["1"]);
    assert_eq!(asked.fault_of(of), None);
    assert!(asked.fault_of(region(440_300)).is_some(), "a document of another platform");
    let mut named = asked.clone();
    named.cause = Digest::of(b"another");
    assert!(named.fault_of(of).is_some(), "a cause of its own choice hides another document's outcome");
    let mut long = asked.clone();
    long.actor = "x".repeat(10_000);
    assert!(long.fault_of(of).is_some());
    let end = Order::Stand { standing: Standing::Revoked };
    assert!(request(&key(), &holder(440_100, "D1"), 2, Phase::Hold, end).fault_of(of).is_some());
    // A name that no account has is none, whichever way it comes.
    let bytes = eport_model::codec::encode(&("b".to_owned(), vec!["1".to_owned(), "x\0y".to_owned()]));
    assert!(eport_model::codec::decode::<eport_ledger::AccountKey>(&bytes).is_err());
    let good = eport_model::codec::encode(&key());
    assert_eq!(eport_model::codec::decode::<eport_ledger::AccountKey>(&good), Ok(key()));
}
