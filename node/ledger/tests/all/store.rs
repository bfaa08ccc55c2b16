//! Rows in memory, and short ways to ask.

use eport_ledger::{
    Account, AccountKey, Amount, Book, Changes, Entry, Failure, Hold, Holder, Order, Outcome, Phase, Request,
    Rows, Share, Sheet, Step, Terms, Verdict, cause, decide,
};
use eport_model::{Digest, Epoch, RegionCode, Timestamp};
use std::collections::BTreeMap;
use std::convert::Infallible;
use time::{Date, Month};

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Store {
    pub accounts: BTreeMap<AccountKey, Account>,
    pub holds: BTreeMap<(AccountKey, Holder), Hold>,
    pub outcomes: BTreeMap<Digest, Outcome>,
    pub shares: BTreeMap<Digest, Share>,
    pub entries: BTreeMap<AccountKey, Vec<Entry>>,
}

impl Rows for Store {
    type Error = Infallible;
    fn account(&self, key: &AccountKey) -> Result<Option<Account>, Infallible> {
        Ok(self.accounts.get(key).cloned())
    }
    fn hold(&self, key: &AccountKey, holder: &Holder) -> Result<Option<Hold>, Infallible> {
        Ok(self.holds.get(&(key.clone(), holder.clone())).cloned())
    }
    fn outcome(&self, cause: &Digest) -> Result<Option<Outcome>, Infallible> {
        Ok(self.outcomes.get(cause).cloned())
    }
    fn share(&self, id: &Digest) -> Result<Option<Share>, Infallible> {
        Ok(self.shares.get(id).cloned())
    }
}

impl Store {
    pub fn apply(&mut self, changes: Changes) {
        self.accounts.extend(changes.accounts);
        self.holds.extend(changes.holds);
        self.outcomes.extend(changes.outcomes);
        self.shares.extend(changes.shares);
        for (key, entry) in changes.entries {
            self.entries.entry(key).or_default().push(entry);
        }
    }

    /// Decides as an open book of epoch 1 and keeps what changes.
    pub fn ask(&mut self, request: &Request) -> Outcome {
        let book = Book { epoch: Epoch::from_u64(1), recovery: None };
        match self.decide(&book, book.epoch, request) {
            Verdict::Decided(outcome) => outcome,
            Verdict::Closed(closed) => panic!("{closed:?}"),
        }
    }

    pub fn decide(&mut self, book: &Book, serving: Epoch, request: &Request) -> Verdict {
        let mut sheet = Sheet::new(self);
        let verdict = decide(&mut sheet, book, serving, request).unwrap();
        let changes = sheet.into_changes();
        self.apply(changes);
        verdict
    }

    pub fn of(&self, key: &AccountKey) -> &Account {
        &self.accounts[key]
    }
}

pub const HOME: u32 = 440_000;

pub fn region(n: u32) -> RegionCode {
    RegionCode::try_from(n).unwrap()
}

pub fn day(n: i64) -> Date {
    Date::from_calendar_date(2018, Month::January, 10).unwrap() + time::Duration::days(n)
}

pub fn key() -> AccountKey {
    "book:1/18-AA-100001/1".parse().unwrap()
}

pub fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

pub fn holder(platform: u32, document: &str) -> Holder {
    Holder { platform: region(platform), document: document.into() }
}

pub fn request(key: &AccountKey, holder: &Holder, version: u32, phase: Phase, order: Order) -> Request {
    let step = Step { version, phase };
    Request {
        cause: cause(holder, step, key, order.word()),
        account: key.clone(),
        holder: holder.clone(),
        step,
        order,
        day: day(0),
        at: Timestamp::from_millis(1_515_542_400_000),
        actor: "test".into(),
        reason: String::new(),
    }
}

pub fn grant(quantity: &str, terms: Terms) -> Request {
    let order = Order::Grant { quantity: amount(quantity), terms };
    request(&key(), &holder(HOME, "I1"), 1, Phase::Hold, order)
}

/// The document `name` needs these quantities, items 1, 2, …
pub fn need(name: &str, version: u32, quantities: &[&str]) -> Request {
    let items = (1..).zip(quantities.iter().map(|q| amount(q))).collect();
    let order = Order::Hold { items, unit: None };
    request(&key(), &holder(440_100, name), version, Phase::Hold, order)
}

pub fn commit(name: &str, version: u32) -> Request {
    request(&key(), &holder(440_100, name), version, Phase::Commit, Order::Commit { items: None })
}

pub fn release(name: &str, version: u32) -> Request {
    let order = Order::Release { returns_use: false };
    request(&key(), &holder(440_100, name), version, Phase::Release, order)
}

pub fn codes(outcome: &Outcome) -> Vec<&str> {
    let code = |f: &'_ Failure| f.code.clone();
    match outcome {
        Outcome::Refused { failures } => failures.iter().map(|f| f.code.as_str()).collect(),
        other => panic!("{other:?} {:?}", Vec::<String>::from_iter(None.map(code))),
    }
}
