//! What documents ask of accounts, over the platform's own journal: grant, reserve, amend, refuse, delete, repeat, fail over.
// Tests: an unwrap is an assertion, and they read the real clock.

use crate::support::{Fake, Harness, caller, config, primary, restart_with};
use bytes::Bytes;
use eport_documents::pack::Shelf;
use eport_documents::{Pack, Packs, Refusal};
use eport_ledger::{AccountKey, Amount, Closed, Verdict};
use eport_model::{Durability, RegionCode, Timestamp};
use eport_platform::{Move, Platform};
use std::sync::Arc;

/// Two small types: one grants, one reserves of up to three accounts.
const PACK: &str = r#"
format = 2
name = "accounts_test"
version = "1.0.0"
title = { zh = "账册", en = "Accounts" }
systems = ["SYS-08"]
utc_offset_minutes = 480
[codes]
required = "E-R"
unknown = "E-U"
type = "E-T"
length = "E-L"
format = "E-F"
range = "E-G"
decimal = "E-D"
instant = "E-I"
table = "E-B"
function_code = "E-N"
version = "E-V"

[[document]]
doc_type = "permit"
title = { zh = "许可", en = "Permit" }
number_letter = "P"
min_durability = "replicated"
bytes_max = 65536
version_max = 99
client_ref_length_max = 36
function_codes = { first = ["9"], later = ["3", "5"] }
groups = { a = { zh = "全部", en = "All" } }
field = [
  { name = "number", zh = "号", en = "Number", type = "an..20", required = true },
  { name = "quantity", zh = "量", en = "Quantity", type = "dec(19,5)", required = true },
]
[[document.recipient]]
agency = "CUS"
role = "lead"
full = "a"
[[document.ledger]]
name = "permits"
entry = "grant"
account = ["number"]
quantity = "quantity"

[[document]]
doc_type = "usage"
title = { zh = "使用", en = "Usage" }
number_letter = "U"
min_durability = "replicated"
bytes_max = 65536
version_max = 99
client_ref_length_max = 36
function_codes = { first = ["9"], later = ["3", "5"] }
groups = { a = { zh = "全部", en = "All" } }
field = [
  { name = "uses", zh = "使用", en = "Uses", type = "list", required = true, length = [1, 3], field = [
    { name = "number", zh = "号", en = "Number", type = "an..20", required = true },
    { name = "quantity", zh = "量", en = "Quantity", type = "dec(19,5)", required = true },
  ] },
]
[[document.recipient]]
agency = "CUS"
role = "lead"
full = "a"
[[document.state]]
name = "OPEN"
zh = "开"
en = "Open"
start = true
next = ["RELEASED"]
[[document.state]]
name = "RELEASED"
zh = "放行"
en = "Released"
receipts = ["CUS:P"]
[[document.ledger]]
name = "permits"
entry = "reserve"
each = "uses"
account = ["number"]
quantity = "quantity"
commit_on = "RELEASED"
"#;

struct Only(Arc<Packs>);

impl Shelf for Only {
    fn at(&self, _: Timestamp) -> Result<Arc<Packs>, Refusal> {
        Ok(self.0.clone())
    }
    fn types(&self) -> Vec<Arc<str>> {
        Shelf::types(&self.0)
    }
}

fn start(log: Arc<Fake>) -> Harness {
    let packs = Packs::new(vec![Pack::parse(PACK).unwrap()]).unwrap();
    restart_with(log, Arc::new(Only(Arc::new(packs))), config())
}

async fn begun() -> Harness {
    let h = start(Fake::new());
    h.platform.begin_book(true, true, Vec::new()).await.unwrap();
    h
}

fn document(doc_type: &str, reference: &str, version: u32, code: &str, body: &str) -> Bytes {
    format!(
        r#"{{"doc_type":"{doc_type}","doc_version":{version},"client_ref":"{reference}","function_code":"{code}","body":{body}}}"#
    )
    .into()
}

fn permit(number: &str, version: u32, quantity: &str) -> Bytes {
    let code = if version == 1 { "9" } else { "5" };
    document("permit", number, version, code, &format!(r#"{{"number":"{number}","quantity":"{quantity}"}}"#))
}

fn usage(reference: &str, version: u32, code: &str, uses: &[(&str, &str)]) -> Bytes {
    let uses: Vec<String> =
        uses.iter().map(|(n, q)| format!(r#"{{"number":"{n}","quantity":"{q}"}}"#)).collect();
    document("usage", reference, version, code, &format!(r#"{{"uses":[{}]}}"#, uses.join(",")))
}

fn key(number: &str) -> AccountKey {
    AccountKey::new("permits", [number.to_owned()]).unwrap()
}

/// Works off every duty as the node's keeper does, at this platform alone.
async fn work(platform: &Platform) {
    for duty in platform.duties(None, 1_000).unwrap() {
        loop {
            match platform.next_move(&duty).unwrap() {
                Move::Finish => {
                    assert!(platform.finish(&duty).await);
                    break;
                }
                Move::Wait => break,
                Move::Ask { n, request, undo, .. } => {
                    match platform.ask_own(&duty, n, undo, *request).await.unwrap() {
                        Verdict::Decided(_) => {}
                        Verdict::Closed(_) => break,
                    }
                }
            }
        }
    }
}

async fn lodge(platform: &Platform, raw: Bytes) -> String {
    let answer = platform.submit(&caller(), &raw, None).await;
    let stored = answer.document().unwrap_or_else(|| panic!("{answer:?}")).doc_id.clone();
    work(platform).await;
    stored
}

fn balances(platform: &Platform, number: &str) -> [String; 4] {
    let a = platform.account(&key(number)).unwrap().unwrap();
    let sums = platform.audit_account(&key(number)).unwrap().unwrap();
    assert!(sums.problems.is_empty(), "{:?}", sums.problems);
    [a.granted, a.reserved, a.committed, a.available()].map(|q| q.to_string())
}

fn state(platform: &Platform, doc_id: &str) -> String {
    platform.show(doc_id, None).unwrap().unwrap().item.state
}

#[tokio::test]
async fn a_document_reserves_what_another_granted_and_an_amendment_the_difference() {
    let h = begun().await;
    let p = &h.platform;
    lodge(p, permit("N-10001", 1, "100")).await;
    assert_eq!(balances(p, "N-10001"), ["100", "0", "0", "100"]);
    let id = lodge(p, usage("A", 1, "9", &[("N-10001", "30"), ("N-10001", "10.5")])).await;
    assert_eq!(balances(p, "N-10001"), ["100", "40.5", "0", "59.5"]);
    lodge(p, usage("A", 2, "5", &[("N-10001", "20")])).await;
    assert_eq!(balances(p, "N-10001"), ["100", "20", "0", "80"]);
    assert_ne!(state(p, &id), "REJECTED");
    // Found by its number, and by what its document asks.
    assert_eq!(p.accounts_of("N-10001").unwrap().len(), 1);
    assert_eq!(p.document_accounts(&id).unwrap().unwrap().accounts.len(), 1);
    // The whole is asked to be deleted.
    lodge(p, usage("A", 3, "3", &[("N-10001", "20")])).await;
    assert_eq!(balances(p, "N-10001"), ["100", "0", "0", "100"]);
    assert!(p.duties(None, 10).unwrap().is_empty());
}

#[tokio::test]
async fn a_document_that_one_account_refuses_is_rejected_and_gives_back_what_others_agreed_to() {
    let h = begun().await;
    let p = &h.platform;
    lodge(p, permit("N-10001", 1, "100")).await;
    lodge(p, permit("N-10002", 1, "5")).await;
    let id = lodge(p, usage("A", 1, "9", &[("N-10001", "60"), ("N-10002", "6")])).await;
    assert_eq!(state(p, &id), "REJECTED");
    assert_eq!((balances(p, "N-10001")[1].as_str(), balances(p, "N-10002")[1].as_str()), ("0", "0"));
    let kept = p.document_accounts(&id).unwrap().unwrap();
    assert_eq!(kept.failures.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(), ["E-XC-QTY"]);
    // An amendment that fails leaves what the version before held.
    let id = lodge(p, usage("B", 1, "9", &[("N-10001", "10")])).await;
    lodge(p, usage("B", 2, "5", &[("N-10001", "20"), ("N-10002", "6")])).await;
    assert_eq!(state(p, &id), "REJECTED");
    assert_eq!(balances(p, "N-10001"), ["100", "10", "0", "90"]);
    lodge(p, usage("B", 3, "5", &[("N-10001", "20"), ("N-10002", "5")])).await;
    assert_ne!(state(p, &id), "REJECTED");
    assert_eq!((balances(p, "N-10001")[1].as_str(), balances(p, "N-10002")[1].as_str()), ("20", "5"));
}

#[tokio::test]
async fn of_two_documents_that_race_one_wins_whatever_is_repeated() {
    let h = begun().await;
    let p = &h.platform;
    lodge(p, permit("N-10001", 1, "1")).await;
    let (a, b) = (usage("A", 1, "9", &[("N-10001", "1")]), usage("B", 1, "9", &[("N-10001", "1")]));
    let one = caller();
    let (first, second) = tokio::join!(p.submit(&one, &a, None), p.submit(&one, &b, None));
    let ids = [first, second].map(|answer| answer.document().unwrap().doc_id.clone());
    // Two keepers at once, as around a change of primary.
    tokio::join!(work(p), work(p));
    work(p).await;
    let states: Vec<String> = ids.iter().map(|id| state(p, id)).collect();
    assert_eq!(states.iter().filter(|s| *s == "REJECTED").count(), 1, "{states:?}");
    assert_eq!(balances(p, "N-10001"), ["1", "1", "0", "0"]);
}

/// Every agency answers here.
#[derive(Debug)]
struct Here;

impl eport_platform::Routes for Here {
    fn route(&self, _: &str, _: RegionCode) -> Option<RegionCode> {
        Some(crate::support::region())
    }
}

#[tokio::test]
async fn a_receipt_that_releases_commits_and_what_an_account_refused_stays_rejected() {
    let packs = Packs::new(vec![Pack::parse(PACK).unwrap()]).unwrap();
    let config = eport_platform::Config { routes: Arc::new(Here), ..config() };
    let h = restart_with(Fake::new(), Arc::new(Only(Arc::new(packs))), config);
    let p = &h.platform;
    p.begin_book(true, true, Vec::new()).await.unwrap();
    lodge(p, permit("N-10001", 1, "100")).await;
    let receipt = |doc_id: &str, number: &str| eport_exchange::Receipt {
        agency: "CUS".into(),
        number: number.into(),
        owner: crate::support::region(),
        doc_id: doc_id.into(),
        doc_version: 1,
        kind: eport_exchange::ReceiptKind::Business,
        code: "P".into(),
        text: String::new(),
        event_time: Timestamp::from_millis(crate::support::NOW),
    };
    let id = lodge(p, usage("A", 1, "9", &[("N-10001", "40")])).await;
    p.give_receipt(receipt(&id, "R1"), "gw").await.unwrap();
    work(p).await;
    assert_eq!(balances(p, "N-10001"), ["100", "0", "40", "60"]);
    let refused = lodge(p, usage("B", 1, "9", &[("N-10001", "61")])).await;
    p.give_receipt(receipt(&refused, "R2"), "gw").await.unwrap();
    work(p).await;
    assert_eq!(state(p, &refused), "REJECTED");
    assert_eq!(balances(p, "N-10001"), ["100", "0", "40", "60"]);
}

#[tokio::test]
async fn an_outcome_that_is_not_replicated_is_not_told_and_a_repeat_tells_it() {
    let h = begun().await;
    let p = &h.platform;
    lodge(p, permit("N-10001", 1, "10")).await;
    p.submit(&caller(), &usage("A", 1, "9", &[("N-10001", "10")]), None).await;
    let duty = p.duties(None, 1).unwrap().remove(0);
    let Move::Ask { request, .. } = p.next_move(&duty).unwrap() else { panic!() };
    h.log.journal().durability = Some(Durability::Local);
    assert!(p.ask_account((*request).clone()).await.is_err(), "its answer must promise more");
    assert!(p.ask_account((*request).clone()).await.is_err());
    h.log.journal().durability = Some(Durability::Replicated);
    let told = p.ask_account((*request).clone()).await.unwrap();
    assert!(matches!(told.verdict, Verdict::Decided(ref o) if o.is_done()), "{told:?}");
    assert_eq!(balances(p, "N-10001"), ["10", "10", "0", "0"]);
}

#[tokio::test]
async fn after_a_lossy_takeover_nothing_new_is_reserved_until_the_owner_has_said_what_was_confirmed() {
    let h = begun().await;
    let p = &h.platform;
    lodge(p, permit("N-10001", 1, "10")).await;
    p.submit(&caller(), &usage("A", 1, "9", &[("N-10001", "8")]), None).await;
    let duty = p.duties(None, 1).unwrap().remove(0);
    let Move::Ask { request, .. } = p.next_move(&duty).unwrap() else { panic!() };
    // The reserve is of a document of another platform, and the record that held it is gone.
    let owner: RegionCode = "440100".parse().unwrap();
    let mut elsewhere = (*request).clone();
    elsewhere.holder.platform = owner;
    elsewhere.cause = eport_ledger::cause(&elsewhere.holder, elsewhere.step, &elsewhere.account, "hold");
    h.log.role(primary(2));
    p.begin_book(false, false, vec![owner]).await.unwrap();
    let closed = p.ask_account((*request).clone()).await.unwrap();
    assert_eq!(closed.verdict, Verdict::Closed(Closed::Recovering));
    p.replay_confirmed(vec![elsewhere.clone()]).await.unwrap();
    p.replay_confirmed(vec![elsewhere]).await.unwrap();
    p.owner_heard(owner).await.unwrap();
    assert_eq!(balances(p, "N-10001"), ["10", "8", "0", "2"]);
    work(p).await;
    assert_eq!(balances(p, "N-10001"), ["10", "8", "0", "2"], "nothing of what is left is enough");
    let zero = Amount::ZERO;
    assert_ne!(p.account(&key("N-10001")).unwrap().unwrap().available(), zero);
}

#[tokio::test]
async fn a_share_serves_at_once_and_is_settled_by_a_duty_of_its_own() {
    let h = begun().await;
    let p = &h.platform;
    lodge(p, permit("N-10001", 1, "10")).await;
    let day = time::Date::from_calendar_date(2400, time::Month::January, 1).unwrap();
    // Its own home: the share goes the same way as from elsewhere.
    p.ask_share("s1", key("N-10001"), "6".parse().unwrap(), day, "test").await.unwrap();
    p.ask_share("s1", key("N-10001"), "6".parse().unwrap(), day, "test").await.unwrap();
    work(p).await;
    assert_eq!(p.portions().unwrap()[0].rest.to_string(), "6");
    assert_eq!(balances(p, "N-10001"), ["10", "0", "0", "4"]);
    p.submit(&caller(), &usage("A", 1, "9", &[("N-10001", "5")]), None).await;
    let duty = p.duties(None, 1).unwrap().remove(0);
    let Move::Ask { n, request, first, .. } = p.next_move(&duty).unwrap() else { panic!() };
    assert!(first && p.draw(&duty, n, &request).await.unwrap());
    assert!(!p.draw(&duty, n, &request).await.unwrap(), "a step is drawn once");
    assert_eq!(p.portions().unwrap()[0].rest.to_string(), "1");
    work(p).await;
    work(p).await;
    assert_eq!(balances(p, "N-10001"), ["10", "5", "0", "4"]);
    p.return_share(key("N-10001"), "test").await.unwrap();
    work(p).await;
    assert_eq!(balances(p, "N-10001"), ["10", "5", "0", "5"]);
    assert!(p.portions().unwrap()[0].closed);
    assert!(p.duties(None, 10).unwrap().is_empty());
}
