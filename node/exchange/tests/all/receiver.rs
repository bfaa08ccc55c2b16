//! What a message does, given what is known of its id: every row of the table of design §7.

use eport_exchange::{Entry, Head, Kind, Recipient, Source, Standing, Step, message_id, receive};
use eport_model::{Digest, Epoch, EpochEntry, EpochHistory, JournalIndex, RegionCode};

fn source(epoch: u64, index: u64) -> Source {
    Source { epoch: Epoch::from_u64(epoch), index: JournalIndex::from_u64(index) }
}

fn entry(source: Source, content: &str, standing: Standing) -> Entry {
    Entry { source, digest: Digest::of(content.as_bytes()), standing }
}

fn head(source: Source, content: &str, kind: Kind) -> Head {
    let recipient = Recipient::Agency("CUS".into());
    let id = message_id("440100".parse().unwrap(), "key", &recipient, Kind::Document);
    Head { id, kind, recipient, source, digest: Digest::of(content.as_bytes()) }
}

/// Epoch 2 began at record 50.
fn history() -> EpochHistory {
    let first =
        |epoch, first| EpochEntry { epoch: Epoch::from_u64(epoch), first: JournalIndex::from_u64(first) };
    EpochHistory::from_entries([first(1, 1), first(2, 50)]).unwrap()
}

#[test]
fn an_id_follows_from_its_cause_and_from_nothing_else() {
    let (a, b): (RegionCode, RegionCode) = ("440100".parse().unwrap(), "440300".parse().unwrap());
    let (cus, ciq) = (Recipient::Agency("CUS".into()), Recipient::Agency("CIQ".into()));
    let id = message_id(a, "key", &cus, Kind::Document);
    assert_eq!(id, message_id(a, "key", &cus, Kind::Document));
    for other in [
        message_id(b, "key", &cus, Kind::Document),
        message_id(a, "key2", &cus, Kind::Document),
        message_id(a, "key", &ciq, Kind::Document),
        message_id(a, "key", &cus, Kind::Receipt),
    ] {
        assert_ne!(id, other);
    }
}

#[test]
fn what_a_message_does_follows_from_its_id_its_record_and_the_senders_epochs() {
    use Standing::{Live, Withdrawn};
    let step = |known: Option<(Source, &str, Standing)>, at: Source, content: &str| {
        let known = known.map(|(s, c, standing)| entry(s, c, standing));
        receive(known.as_ref(), &head(at, content, Kind::Document), &history())
    };
    let (kept, lost, new) = (source(1, 40), source(1, 60), source(2, 61));
    assert_eq!(step(None, new, "a"), Step::Deliver);
    assert_eq!(step(Some((kept, "a", Live)), kept, "a"), Step::Duplicate);
    assert_eq!(step(Some((kept, "a", Withdrawn)), kept, "a"), Step::Duplicate);
    assert_eq!(step(Some((kept, "a", Live)), kept, "b"), Step::Dead("E-XCH-CONTENT"));
    // Beyond the fork: it gives way.
    assert_eq!(step(Some((lost, "a", Live)), new, "a"), Step::Moved);
    assert_eq!(step(Some((lost, "a", Live)), new, "b"), Step::Replace);
    // Withdrawn: whatever comes under a higher epoch counts again.
    assert_eq!(step(Some((kept, "a", Withdrawn)), new, "a"), Step::Reinstate);
    assert_eq!(step(Some((lost, "a", Withdrawn)), new, "b"), Step::Reinstate);
    // Every other difference is refused by name.
    assert_eq!(step(Some((kept, "a", Live)), new, "a"), Step::Dead("E-XCH-POSITION"));
    assert_eq!(step(Some((kept, "a", Live)), new, "b"), Step::Dead("E-XCH-CONTENT"));
    assert_eq!(step(Some((new, "a", Live)), kept, "a"), Step::Dead("E-XCH-POSITION"));
}

#[test]
fn a_withdrawal_voids_what_was_lost_and_nothing_else() {
    let step = |known: Option<(Source, Standing)>, at: Source| {
        let known = known.map(|(s, standing)| entry(s, "a", standing));
        receive(known.as_ref(), &head(at, "a", Kind::Withdrawal), &history())
    };
    let (kept, lost, new) = (source(1, 40), source(1, 60), source(2, 61));
    assert_eq!(step(None, lost), Step::Withdraw);
    assert_eq!(step(Some((lost, Standing::Live)), lost), Step::Withdraw);
    assert_eq!(step(Some((lost, Standing::Withdrawn)), lost), Step::Duplicate);
    // It was replaced meanwhile: what stands now is another record's.
    assert_eq!(step(Some((new, Standing::Live)), lost), Step::Duplicate);
    // What the sender still has cannot be withdrawn as lost.
    assert_eq!(step(Some((kept, Standing::Live)), kept), Step::Dead("E-XCH-PRESENT"));
}
