//! What evidence of a document is made of: a commitment that its content opens, and the records behind it.

use crate::support;

use eport_envelope::{Opening, commitment};
use eport_model::{Digest, JournalIndex, Position};
use eport_platform::{ChainEnd, DocumentRecord, Platform};
use support::{amendment, caller, config, document, start, stored};

fn of(platform: &Platform, id: &str, version: Option<u32>) -> DocumentRecord {
    platform.record_of(id, version).unwrap().unwrap()
}

fn place(found: &DocumentRecord) -> Position {
    Position { epoch: found.header.epoch, index: found.header.index, digest: found.digest }
}

/// Whether this opening shows that the record took what it took.
fn opens(found: &DocumentRecord, opening: &Opening) -> bool {
    let lodged = Digest::of(found.lodged.as_ref().unwrap().as_bytes());
    let shown = found.shown.as_ref().map(|s| Digest::of(s.as_bytes()));
    found.header.content_commitment() == Some(commitment(opening, &lodged, shown.as_ref()))
}

#[tokio::test]
async fn each_record_commits_to_its_content_and_is_opened_alone() {
    let h = start(config());
    let a = stored(h.platform.submit(&caller(), &document("A"), None).await);
    let b = stored(h.platform.submit(&caller(), &document("B"), None).await);
    stored(h.platform.submit(&caller(), &amendment("A", 2), None).await);
    let (first, second) = (of(&h.platform, &a.doc_id, Some(1)), of(&h.platform, &a.doc_id, None));
    let other = of(&h.platform, &b.doc_id, None);
    assert_eq!((first.doc_version, second.doc_version), (1, 2));
    assert_eq!(place(&first), a.position);
    for found in [&first, &second, &other] {
        assert!(opens(found, &found.opening.unwrap()) && !found.erased);
        assert!(found.header.effects.iter().any(|e| {
            let (key, value) = found.row.clone();
            eport_model::Effect::Put { key, value }.digest() == *e
        }));
    }
    assert!(!opens(&first, &second.opening.unwrap()) && !opens(&other, &first.opening.unwrap()));
    assert!(h.platform.record_of(&a.doc_id, Some(3)).unwrap().is_none());
    assert!(h.platform.record_of("E1", None).unwrap().is_none());
}

#[tokio::test]
async fn the_way_to_the_next_signed_head_is_bounded_and_read_in_pages() {
    let h = start(config());
    let id = stored(h.platform.submit(&caller(), &document("A"), None).await).doc_id;
    for reference in ["B", "C"] {
        stored(h.platform.submit(&caller(), &document(reference), None).await);
    }
    let at = place(&of(&h.platform, &id, None));
    let last = h.log.journal().records.last().unwrap().position();
    assert_eq!(h.platform.chain_end(at, 2).unwrap(), ChainEnd::Unsigned(last));
    assert_eq!(h.platform.chain_end(at, 1).unwrap(), ChainEnd::Far);
    let page = |after: u64, room: usize| {
        let after = JournalIndex::from_u64(after);
        h.platform.headers_between(after, last.index, room, |h| h.index.to_string()).unwrap()
    };
    assert_eq!(page(1, 1), ["2"]);
    assert_eq!(page(1, 100), ["2", "3"]);
    assert_eq!(page(2, 1), ["3"]);
    assert!(page(3, 100).is_empty());
}
