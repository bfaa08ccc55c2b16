//! A home, three cities, and a network that delays, doubles, reorders and loses; primaries fall on both sides; links are cut.
//!
//! The oracle is what traders were told: it knows nothing of balances. Always: what was told is never more than was granted and
//! tolerated; after every step the entries of every copy come to its balances and its holds.

use crate::store::*;
use eport_ledger::{
    AccountKey, Amount, Book, Closed, Order, Outcome, Phase, Portion, Request, Sheet, Standing, Terms,
    Verdict, audit, replay,
};
use eport_model::{Digest, Epoch, RegionCode, Timestamp};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub const CITIES: [u32; 3] = [440_100, 440_300, 440_500];
const TOLERANCE: u32 = 500;

#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "a few dozen are under way in a test")]
enum Message {
    Ask(RegionCode, Request),
    Answer(RegionCode, Epoch, Digest, Verdict),
    Recall(RegionCode, Epoch),
    Confirmed(RegionCode, Epoch, Vec<Request>),
}

impl Message {
    fn city(&self) -> RegionCode {
        match self {
            Message::Ask(c, _)
            | Message::Answer(c, ..)
            | Message::Recall(c, _)
            | Message::Confirmed(c, ..) => *c,
        }
    }
}

#[derive(Clone)]
struct Home {
    store: Store,
    book: Book,
    epoch: Epoch,
}

#[derive(Clone, Default)]
struct Doc {
    version: u32,
    quantity: Amount,
    wants: Amount,
    held: bool,
    pending: bool,
    over: bool,
    key: usize,
}

/// What a city has in its journal.
#[derive(Clone, Default)]
struct Records {
    docs: BTreeMap<String, Doc>,
    queue: VecDeque<Request>,
    confirmed: Vec<Request>,
    portions: BTreeMap<Digest, Portion>,
}

struct City {
    region: RegionCode,
    epoch: Epoch,
    /// Since this epoch every move was planned.
    whole_since: Epoch,
    home_epoch: Epoch,
    live: Records,
    copy: Records,
    lost: bool,
}

pub struct World {
    rng: ChaCha8Rng,
    keys: Vec<AccountKey>,
    granted: Vec<Amount>,
    home: Home,
    copy: (Store, Book),
    /// A primary that was replaced and does not know it.
    old: Option<Home>,
    sync: bool,
    cities: Vec<City>,
    cut: BTreeSet<RegionCode>,
    net: Vec<Message>,
    told: BTreeMap<String, (usize, Amount)>,
    pub won: Vec<String>,
    pub refused: Vec<String>,
    names: u32,
    checks: u64,
}

fn epoch(n: u64) -> Epoch {
    Epoch::from_u64(n)
}

impl World {
    pub fn new(seed: u64, granted: &[&str]) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut store = Store::default();
        let mut keys = Vec::new();
        for (n, quantity) in granted.iter().enumerate() {
            let key: AccountKey = format!("book:18-{n}/1").parse().unwrap();
            let terms = Terms { tolerance: TOLERANCE, ..Terms::default() };
            let order = Order::Grant { quantity: amount(quantity), terms };
            assert!(
                store.ask(&request(&key, &holder(HOME, &format!("I{n}")), 1, Phase::Hold, order)).is_done()
            );
            keys.push(key);
        }
        let book = Book { epoch: epoch(1), recovery: None };
        let city = |r: &u32| City {
            region: region(*r),
            epoch: epoch(1),
            whole_since: epoch(1),
            home_epoch: epoch(1),
            live: Records::default(),
            copy: Records::default(),
            lost: false,
        };
        Self {
            sync: rng.random_bool(0.5),
            rng,
            keys,
            granted: granted.iter().map(|q| amount(q)).collect(),
            copy: (store.clone(), book.clone()),
            home: Home { store, book, epoch: epoch(1) },
            old: None,
            cities: CITIES.iter().map(city).collect(),
            cut: BTreeSet::new(),
            net: Vec::new(),
            told: BTreeMap::new(),
            won: Vec::new(),
            refused: Vec::new(),
            names: 0,
            checks: 0,
        }
    }

    /// A document of a city needs so much of an account.
    pub fn lodge(&mut self, city: usize, key: usize, quantity: Amount) -> String {
        self.names += 1;
        let name = format!("E{}", self.names);
        let c = &mut self.cities[city];
        let order = Order::Hold { items: [(1, quantity)].into(), unit: None };
        let asked = request(
            &self.keys[key],
            &eport_ledger::Holder { platform: c.region, document: name.clone() },
            1,
            Phase::Hold,
            order,
        );
        let doc = Doc { version: 1, wants: quantity, pending: true, key, ..Doc::default() };
        c.live.docs.insert(name.clone(), doc);
        let drawn = c.live.portions.values().find_map(|p| p.draw(c.epoch, &asked).ok());
        match drawn {
            Some(drawn) => {
                c.live.portions.insert(drawn.portion.id, drawn.portion);
                c.live.queue.push_back(drawn.settle);
                let doc = c.live.docs.get_mut(&name).unwrap();
                (doc.held, doc.quantity) = (true, quantity);
                self.told.insert(name.clone(), (key, quantity));
                self.won.push(name.clone());
            }
            None => c.live.queue.push_back(asked),
        }
        name
    }

    pub fn share(&mut self, city: usize, key: usize, quantity: Amount) {
        self.names += 1;
        let c = &mut self.cities[city];
        let order = Order::Escrow { city: c.region, epoch: c.epoch, quantity, valid_to: day(3) };
        let name = format!("share-{}", self.names);
        let holder = eport_ledger::Holder { platform: c.region, document: name };
        c.live.queue.push_back(request(&self.keys[key], &holder, 1, Phase::Hold, order));
    }

    /// The next thing that a document may do, if it has nothing open.
    fn go_on(&mut self, city: usize) {
        let c = &mut self.cities[city];
        let free: Vec<String> = c
            .live
            .docs
            .iter()
            .filter(|(_, d)| d.held && !d.pending && !d.over)
            .map(|(n, _)| n.clone())
            .collect();
        if free.is_empty() {
            return;
        }
        let name = free[self.rng.random_range(0..free.len())].clone();
        let doc = c.live.docs.get_mut(&name).unwrap();
        let holder = eport_ledger::Holder { platform: c.region, document: name.clone() };
        let told = self.told.entry(name).or_insert((doc.key, Amount::ZERO));
        doc.pending = true;
        let asked = match self.rng.random_range(0..4) {
            0 => {
                doc.over = true;
                told.1 = Amount::ZERO;
                let order = Order::Release { returns_use: false };
                request(&self.keys[doc.key], &holder, doc.version, Phase::Release, order)
            }
            1 => {
                doc.over = true;
                request(
                    &self.keys[doc.key],
                    &holder,
                    doc.version,
                    Phase::Commit,
                    Order::Commit { items: None },
                )
            }
            _ => {
                doc.version += 1;
                doc.wants = Amount::whole(self.rng.random_range(0..20));
                told.1 = told.1.min(doc.wants);
                let order = Order::Hold { items: [(1, doc.wants)].into(), unit: None };
                request(&self.keys[doc.key], &holder, doc.version, Phase::Hold, order)
            }
        };
        c.live.queue.push_back(asked);
    }

    /// Each city asks for the first thing in its queue, again and again.
    fn ask(&mut self, city: usize) {
        let c = &self.cities[city];
        if let Some(first) = c.live.queue.front() {
            self.net.push(Message::Ask(c.region, first.clone()));
        }
    }

    fn deliver(&mut self, doubled: bool) {
        if self.net.is_empty() {
            return;
        }
        let n = self.rng.random_range(0..self.net.len());
        if self.cut.contains(&self.net[n].city()) {
            return;
        }
        let message = if doubled { self.net[n].clone() } else { self.net.swap_remove(n) };
        match message {
            Message::Ask(from, request) => self.decide(from, &request),
            Message::Answer(to, by, cause, verdict) => self.hear(to, by, cause, &verdict),
            Message::Recall(to, by) => {
                let c = self.cities.iter_mut().find(|c| c.region == to).unwrap();
                c.home_epoch = c.home_epoch.max(by);
                if by == c.home_epoch {
                    self.net.push(Message::Confirmed(to, by, c.live.confirmed.clone()));
                }
            }
            Message::Confirmed(from, by, requests) => self.recover(from, by, &requests),
        }
    }

    fn decide(&mut self, from: RegionCode, request: &Request) {
        let to_old = self.old.is_some() && self.rng.random_bool(0.5);
        let home = if to_old { self.old.as_mut().unwrap() } else { &mut self.home };
        // Under synchronous durability a primary that was replaced has nobody left who acknowledges.
        if to_old && self.sync {
            return;
        }
        let verdict = home.store.decide(&home.book, home.epoch, request);
        let by = home.epoch;
        if self.sync {
            self.copy = (self.home.store.clone(), self.home.book.clone());
        }
        self.net.push(Message::Answer(from, by, request.cause, verdict));
    }

    fn hear(&mut self, to: RegionCode, by: Epoch, cause: Digest, verdict: &Verdict) {
        let c = self.cities.iter_mut().find(|c| c.region == to).unwrap();
        // Whoever was asked by a newer primary believes no older one.
        if by < c.home_epoch {
            return;
        }
        c.home_epoch = by;
        let Verdict::Decided(outcome) = verdict else { return };
        let Some(first) = c.live.queue.front().filter(|r| r.cause == cause).cloned() else { return };
        c.live.queue.pop_front();
        let mut told = None;
        if outcome.is_done() {
            c.live.confirmed.push(first.clone());
        }
        if let (Order::Escrow { epoch, .. }, true) = (&first.order, outcome.is_done()) {
            let mut portion = Portion::of(&first, region(HOME), None).unwrap();
            if *epoch >= c.whole_since {
                portion.enter(*epoch, c.epoch, true);
            }
            c.live.portions.insert(portion.id, portion);
        }
        if let Some(doc) = c.live.docs.get_mut(&first.holder.document) {
            doc.pending = false;
            match (&first.order, outcome) {
                (Order::Hold { .. }, Outcome::Done { .. }) => {
                    (doc.held, doc.quantity) = (true, doc.wants);
                    told = Some((doc.key, doc.wants));
                }
                (Order::Hold { .. }, _) if doc.version == 1 => {
                    self.refused.push(first.holder.document.clone());
                }
                _ => {}
            }
        }
        // Told only when the city's own copy knows it.
        c.copy = c.live.clone();
        if let Some(told) = told {
            let name = first.holder.document;
            if first.step.version == 1 {
                self.won.push(name.clone());
            }
            self.told.insert(name, told);
        }
    }

    fn recover(&mut self, from: RegionCode, by: Epoch, requests: &[Request]) {
        let home = &mut self.home;
        if by != home.epoch || home.book.recovery.is_none() {
            return;
        }
        for request in requests {
            let mut sheet = Sheet::new(&home.store);
            let verdict = replay(&mut sheet, &home.book, home.epoch, request).unwrap();
            assert!(matches!(verdict, Verdict::Decided(_)), "{verdict:?}");
            let changes = sheet.into_changes();
            home.store.apply(changes);
        }
        home.book.heard(from);
        self.copy = (home.store.clone(), home.book.clone());
    }

    fn recall(&mut self) {
        let waiting = self.home.book.recovery.iter().flat_map(|r| r.waiting.clone());
        let calls: Vec<Message> = waiting.map(|c| Message::Recall(c, self.home.epoch)).collect();
        self.net.extend(calls);
    }

    fn home_moves(&mut self, planned: bool) {
        let owners: Vec<RegionCode> = self.cities.iter().map(|c| c.region).collect();
        let next = self.home.epoch.next();
        if planned {
            self.copy = (self.home.store.clone(), self.home.book.clone());
        } else {
            self.old = Some(self.home.clone());
        }
        let lossless = planned || self.sync;
        let (store, mut book) = self.copy.clone();
        book.enter(next, lossless, owners, Timestamp::default());
        self.home = Home { store, book, epoch: next };
        self.copy = (self.home.store.clone(), self.home.book.clone());
    }

    fn city_moves(&mut self, city: usize, planned: bool) {
        let c = &mut self.cities[city];
        let former = c.epoch;
        c.epoch = former.next();
        if !planned {
            c.lost = true;
            c.live = c.copy.clone();
            c.whole_since = c.epoch;
        }
        for portion in c.live.portions.values_mut() {
            portion.enter(former, c.epoch, planned);
        }
        c.copy = c.live.clone();
    }

    fn close_share(&mut self, city: usize) {
        let c = &mut self.cities[city];
        let portions: Vec<Portion> = c.live.portions.values().cloned().collect();
        for portion in portions {
            let holder =
                eport_ledger::Holder { platform: c.region, document: format!("back-{}", portion.id) };
            let asked =
                request(&portion.account, &holder, 1, Phase::Release, Order::Release { returns_use: false });
            if let Some(drawn) = portion.close(c.epoch, &asked) {
                c.live.portions.insert(drawn.portion.id, drawn.portion);
                c.live.queue.push_back(drawn.settle);
                return;
            }
        }
    }

    /// What nobody wants: loss, repetition, cut links, primaries that fall.
    pub fn trouble(&mut self) {
        let city = self.rng.random_range(0..self.cities.len());
        match self.rng.random_range(0..100) {
            0..40 => self.deliver(false),
            40..50 => self.deliver(true),
            50..75 => self.ask(city),
            75..80 if !self.net.is_empty() => {
                let n = self.rng.random_range(0..self.net.len());
                self.net.swap_remove(n);
            }
            80..84 => drop(self.cut.insert(self.cities[city].region)),
            84..88 => drop(self.cut.remove(&self.cities[city].region)),
            88..92 => self.copy = (self.home.store.clone(), self.home.book.clone()),
            92..93 => self.home_moves(false),
            93..94 => self.home_moves(true),
            94..95 => self.old = None,
            95 => {
                let planned = self.sync || self.rng.random_bool(0.5);
                self.city_moves(city, planned);
            }
            _ => self.recall(),
        }
        self.check();
    }

    /// One step of a busy day.
    pub fn step(&mut self) {
        let (city, key) =
            (self.rng.random_range(0..self.cities.len()), self.rng.random_range(0..self.keys.len()));
        match self.rng.random_range(0..100) {
            0..12 => {
                let quantity = Amount::whole(self.rng.random_range(1..20));
                self.lodge(city, key, quantity);
            }
            12..24 => self.go_on(city),
            24..27 => {
                let quantity = Amount::whole(self.rng.random_range(1..40));
                self.share(city, key, quantity);
            }
            27..29 => self.close_share(city),
            _ => self.trouble(),
        }
        self.check();
    }

    /// Faults are over: everything that was asked is answered.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.old = None;
        for _ in 0..20_000 {
            let quiet =
                self.home.book.recovery.is_none() && self.cities.iter().all(|c| c.live.queue.is_empty());
            if quiet {
                return;
            }
            if self.net.is_empty() {
                (0..self.cities.len()).for_each(|c| self.ask(c));
                self.recall();
            }
            self.deliver(false);
            self.check();
        }
        panic!("the world does not come to rest");
    }

    fn check(&mut self) {
        self.checks += 1;
        for (n, granted) in self.granted.iter().enumerate() {
            let told = Amount::sum(self.told.values().filter(|(k, _)| *k == n).map(|(_, q)| *q)).unwrap();
            assert!(told.within(*granted, TOLERANCE), "account {n}: {told} was told, {granted} granted");
        }
        // Balances at every step; the chain of entries, which is long, at every sixteenth.
        let whole = self.checks.is_multiple_of(16);
        self.sound(&self.home.store, whole);
        self.old.iter().for_each(|old| self.sound(&old.store, whole));
    }

    fn sound(&self, store: &Store, whole: bool) {
        for (n, key) in self.keys.iter().enumerate() {
            let account = store.of(key);
            if whole {
                let sums = audit(account, &store.entries[key]);
                assert!(sums.problems.is_empty(), "{:?}", sums.problems);
            }
            let items =
                || store.holds.iter().filter(|((k, _), _)| k == key).flat_map(|(_, h)| h.items.values());
            assert_eq!(Amount::sum(items().map(|i| i.reserved)).unwrap(), account.reserved);
            assert_eq!(Amount::sum(items().map(|i| i.committed)).unwrap(), account.committed);
            let adjusted = Amount::sum(items().map(|i| i.adjusted)).unwrap();
            assert_eq!(
                self.granted[n].plus(adjusted).unwrap(),
                account.granted,
                "balance = grants − reserves − commits"
            );
            let taken = account.used().unwrap().plus(account.escrowed).unwrap();
            assert!(taken.within(account.granted, TOLERANCE), "{taken} of {}", account.granted);
            assert_eq!(account.standing, Standing::Active, "nobody was overdrawn");
        }
    }

    /// After healing: home and cities agree about every document that was not in a lost tail.
    pub fn agree(&self) {
        for city in self.cities.iter().filter(|c| !c.lost) {
            for (name, doc) in &city.live.docs {
                let at = (
                    self.keys[doc.key].clone(),
                    eport_ledger::Holder { platform: city.region, document: name.clone() },
                );
                let net = self.home.store.holds.get(&at).map_or(Amount::ZERO, |h| h.net().unwrap());
                let told = self.told.get(name).map_or(Amount::ZERO, |(_, q)| *q);
                // An amendment that shrinks and was refused leaves more at home than the trader counts with.
                assert!(net >= told, "{name}: {net} at home, {told} told");
            }
        }
    }

    /// A city lost its tail.
    pub fn forgot(&self) -> bool {
        self.cities.iter().any(|c| c.lost)
    }

    pub fn closed_now(&self) -> Option<Closed> {
        self.home.book.recovery.as_ref().map(|_| Closed::Recovering)
    }
}

fn seeds() -> std::ops::Range<u64> {
    let read = |name: &str, or: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(or);
    let first = read("SEED", 1);
    first..first + read("N", 300)
}

#[test]
fn whatever_fails_nothing_is_overdrawn_and_the_world_comes_to_rest() {
    let mut recovered = 0;
    for seed in seeds() {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(seed, &["100", "60"]);
            let mut waited = false;
            for _ in 0..600 {
                world.step();
                waited |= world.closed_now().is_some();
            }
            world.heal();
            world.agree();
            waited
        });
        match std::panic::catch_unwind(run) {
            Ok(waited) => recovered += u32::from(waited),
            Err(failure) => {
                eprintln!("REPRODUCE WITH: SEED={seed} N=1 cargo test -p eport-ledger --test all world");
                std::panic::resume_unwind(failure);
            }
        }
    }
    assert!(seeds().count() < 100 || recovered > 20, "the runs met a book that waits: {recovered}");
}
