//! Shares: cross-checks §1.4 rule 8.

use crate::store::*;
use eport_ledger::{Amount, Order, Outcome, Phase, Portion, Request, Standing, Terms, Undrawn, audit};
use eport_model::Epoch;

const CITY: u32 = 440_300;

fn escrow(quantity: &str) -> Request {
    let order = Order::Escrow {
        city: region(CITY),
        epoch: Epoch::from_u64(1),
        quantity: amount(quantity),
        valid_to: day(5),
    };
    request(&key(), &holder(CITY, "share-1"), 1, Phase::Hold, order)
}

fn portion(asked: &Request) -> Portion {
    Portion::of(asked, region(HOME), None).unwrap()
}

fn city_needs(name: &str, quantity: &str) -> Request {
    let order = Order::Hold { items: [(1, amount(quantity))].into(), unit: None };
    request(&key(), &holder(CITY, name), 1, Phase::Hold, order)
}

#[test]
fn a_share_is_lowered_at_home_used_in_the_city_and_settled_once() {
    let mut home = Store::default();
    home.ask(&grant("100", Terms { valid_to: Some(day(9)), ..Terms::default() }));
    let asked = escrow("30");
    assert!(home.ask(&asked).is_done());
    assert_eq!(home.of(&key()).available(), amount("70"));
    assert_eq!(codes(&home.ask(&need("D9", 1, &["71"]))), ["E-XC-QTY"]);

    let epoch = Epoch::from_u64(1);
    let share = portion(&asked);
    let drawn = share.draw(epoch, &city_needs("D1", "20")).unwrap();
    assert_eq!(drawn.portion.rest, amount("10"));
    assert_eq!(drawn.portion.draw(epoch, &city_needs("D2", "10.00001")), Err(Undrawn::TooSmall));
    // The link is back: the reserve becomes one of the home, once.
    assert!(home.ask(&drawn.settle).is_done());
    let once = home.clone();
    assert!(home.ask(&drawn.settle).is_done());
    assert_eq!(home, once);
    let account = home.of(&key());
    assert_eq!(
        (account.reserved, account.escrowed, account.available()),
        (amount("20"), amount("10"), amount("70"))
    );
    // A return of what is left, then nothing more.
    let back = drawn.portion.close(epoch, &city_needs("close", "0")).unwrap();
    assert!(home.ask(&back.settle).is_done());
    assert_eq!((home.of(&key()).escrowed, home.of(&key()).available()), (Amount::ZERO, amount("80")));
    assert_eq!(back.portion.draw(epoch, &city_needs("D3", "1")), Err(Undrawn::Over));
    assert!(back.portion.close(epoch, &city_needs("close", "0")).is_none());
    assert!(audit(home.of(&key()), &home.entries[&key()]).problems.is_empty());
}

#[test]
fn a_settlement_that_its_document_has_overtaken_leaves_nothing_in_the_share() {
    let mut home = Store::default();
    home.ask(&grant("100", Terms::default()));
    let asked = escrow("30");
    assert!(home.ask(&asked).is_done());
    let epoch = Epoch::from_u64(1);
    let drawn = portion(&asked).draw(epoch, &city_needs("D1", "20")).unwrap();
    // The home was asked as well, and was faster.
    assert!(home.ask(&city_needs("D1", "20")).is_done());
    assert!(home.ask(&drawn.settle).is_done());
    let account = home.of(&key());
    assert_eq!((account.reserved, account.escrowed), (amount("20"), amount("10")));
    let back = drawn.portion.close(epoch, &city_needs("close", "0")).unwrap();
    assert_eq!(back.settle.cause, back.settle.name(), "and its return has the name that follows from it");
    assert!(home.ask(&back.settle).is_done());
    assert_eq!((home.of(&key()).escrowed, home.of(&key()).available()), (Amount::ZERO, amount("80")));
    assert!(audit(home.of(&key()), &home.entries[&key()]).problems.is_empty());
}

#[test]
fn a_share_belongs_to_its_epoch_and_a_planned_move_carries_it_over() {
    let asked = escrow("30");
    let mut share = portion(&asked);
    let [first, second, third, fourth] = [1, 2, 3, 4].map(Epoch::from_u64);
    assert_eq!(share.draw(second, &city_needs("D1", "1")), Err(Undrawn::OtherEpoch));
    assert!(share.enter(first, second, true));
    assert!(share.draw(second, &city_needs("D1", "1")).is_ok());
    assert!(!share.enter(second, third, false), "after an unplanned one nobody knows what is left");
    assert!(!share.enter(third, fourth, true), "and a planned one after it makes nothing known again");
    assert_eq!(share.draw(third, &city_needs("D2", "1")), Err(Undrawn::OtherEpoch));
    assert!(share.close(third, &city_needs("close", "0")).is_none());
    let mut late = city_needs("D1", "1");
    late.day = day(6);
    assert_eq!(share.draw(second, &late), Err(Undrawn::Over));
}

#[test]
fn a_city_that_used_more_than_its_share_is_found_out_and_nothing_is_dropped() {
    let mut home = Store::default();
    home.ask(&grant("100", Terms::default()));
    let asked = escrow("30");
    home.ask(&asked);
    home.ask(&need("D9", 1, &["70"]));
    let order = Order::Settle { share: asked.cause, items: [(1, amount("40"))].into() };
    let settle = request(&key(), &holder(CITY, "D1"), 1, Phase::Hold, order);
    match home.ask(&settle) {
        Outcome::Done { warnings, .. } => assert_eq!(warnings[0].code, "E-LIC-OVERDRAWN"),
        other => panic!("{other:?}"),
    }
    assert_eq!(home.of(&key()).standing, Standing::Suspended);
    assert_eq!(home.of(&key()).reserved, amount("110"));
    assert!(audit(home.of(&key()), &home.entries[&key()]).problems.is_empty());
}

#[test]
fn licences_that_count_uses_have_no_shares_and_no_share_outlives_its_account() {
    let mut home = Store::default();
    home.ask(&grant("100", Terms { uses_max: Some(1), valid_to: Some(day(4)), ..Terms::default() }));
    assert_eq!(codes(&home.ask(&escrow("101"))), ["E-XC-USES", "E-XC-EXPIRED", "E-XC-QTY"]);
}
