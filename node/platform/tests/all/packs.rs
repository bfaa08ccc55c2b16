//! Documents are judged by the packs in force at their record's time, whatever they were judged by when they came.

use crate::support;

use bytes::Bytes;
use eport_documents::pack::Shelf;
use eport_documents::{Pack, Packs, Refusal};
use eport_model::{Timestamp, codes};
use eport_platform::{Config, SubmitAnswer};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use support::{Fake, Harness, NOW, amendment, caller, config, document, restart_with, stored};

const PACK: &str = include_str!("../../../packs/arrival_report/pack.toml");

/// Three sets: the first until `NOW`, one with a narrower field at `NOW + 1`, none of the type from `NOW + 2` on, and from
/// `NOW + 3` on a set that is not on this node.
struct Dated([Arc<Packs>; 3]);

impl Dated {
    fn new() -> Arc<Self> {
        let narrower = PACK.replacen("version = \"1.0.0\"", "version = \"2.0.0\"", 1).replacen(
            "range = [1, 99999999]",
            "range = [1, 120]",
            1,
        );
        let set = |packs: Vec<Pack>| Arc::new(Packs::new(packs).unwrap());
        let read = |text: &str| vec![Pack::parse(text).unwrap()];
        Arc::new(Self([set(read(PACK)), set(read(&narrower)), set(Vec::new())]))
    }
}

impl Shelf for Dated {
    fn at(&self, at: Timestamp) -> Result<Arc<Packs>, Refusal> {
        let n = usize::try_from((at.as_millis() - NOW).max(0)).unwrap();
        self.0.get(n).cloned().ok_or(Refusal::TableNotHere { table: "packs".into() })
    }

    fn types(&self) -> Vec<Arc<str>> {
        Shelf::types(&self.0[0])
    }
}

fn start() -> Harness {
    let config = Config { write_timeout: std::time::Duration::from_secs(10), ..config() };
    restart_with(Fake::new(), Dated::new(), config)
}

fn submit(h: &Harness, raw: Bytes) -> tokio::task::JoinHandle<SubmitAnswer> {
    let platform = h.platform.clone();
    tokio::spawn(async move { platform.submit(&caller(), &raw, None).await })
}

#[tokio::test]
async fn a_pack_that_changes_before_the_record_is_written_judges_the_document_again() {
    let h = start();
    h.log.journal().manual = true;
    let first = submit(&h, document("A"));
    h.log.until_in_flight(1).await;
    // Judged by version 1.0.0, waits behind the first; when it is decided, 2.0.0 is in force.
    let waiting = submit(&h, amendment("A", 2));
    let mark = submit(&h, document("B"));
    h.log.until_in_flight(2).await;
    h.now.store(NOW + 1, Ordering::SeqCst);
    h.log.commit(1);
    assert_eq!(first.await.unwrap().status(), 201);
    let answer = waiting.await.unwrap();
    let SubmitAnswer::Refused { failures, .. } = &answer else { panic!("{answer:?}") };
    assert_eq!((failures[0].path.as_str(), failures[0].code.as_str()), ("/body/packages", "E-DOC-RANGE"));
    h.log.commit(1);
    assert_eq!(mark.await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_document_keeps_the_version_it_was_judged_by_and_stays_readable_when_the_pack_is_retired() {
    let h = start();
    let early = stored(h.platform.submit(&caller(), &document("A"), None).await);
    h.now.store(NOW + 1, Ordering::SeqCst);
    let late = stored(h.platform.submit(&caller(), &document("B"), None).await);
    h.now.store(NOW + 2, Ordering::SeqCst);
    let answer = h.platform.submit(&caller(), &document("C"), None).await;
    assert!(
        matches!(&answer, SubmitAnswer::Refused { code, .. } if *code == codes::DOCUMENT_TYPE_UNKNOWN),
        "{answer:?}"
    );
    let shown = |id: &str| h.platform.show(id, None).unwrap().unwrap().pack_version;
    assert_eq!(shown(&early.doc_id), "arrival_report 1.0.0");
    assert_eq!(shown(&late.doc_id), "arrival_report 2.0.0");
    h.now.store(NOW + 3, Ordering::SeqCst);
    let answer = h.platform.submit(&caller(), &document("D"), None).await;
    assert!(
        matches!(&answer, SubmitAnswer::Unavailable { code, .. } if *code == codes::TABLE_NOT_HERE),
        "{answer:?}"
    );
}
