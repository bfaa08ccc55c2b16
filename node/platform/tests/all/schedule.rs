//! Random schedules of submissions, commits, lost roles and aborted switchovers. What was answered as stored is there; nothing is there
//! twice; no number is given twice; a key names one content for ever.

use crate::support;

use bytes::Bytes;
use eport_api_types::DocumentQuery;
use eport_platform::{Config, Scope, SubmitAnswer};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::*;

/// A generator whose stream never changes (splitmix64), so that a seed names a schedule.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// One of few references, versions and contents, so that schedules collide.
fn input(dice: &mut Dice) -> (String, Bytes) {
    let (reference, version, variant) = (dice.roll(4), 1 + dice.roll(3) as u32, dice.roll(2));
    let text = match version {
        1 => document(&format!("R-{reference}")),
        n => amendment(&format!("R-{reference}"), n),
    };
    let text = String::from_utf8(text.to_vec()).unwrap().replace("025E", &format!("02{variant}E"));
    (format!("R-{reference}/{version}"), text.into())
}

async fn schedule(seed: u64) -> (usize, usize) {
    let mut dice = Dice(seed);
    let config =
        || Config { write_timeout: Duration::from_secs(30), hold_max: Duration::from_secs(30), ..config() };
    let h = start(config());
    h.log.journal().manual = true;
    h.log.journal().marks = dice.roll(2) == 0;
    let (mut epoch, mut running) = (1, Vec::new());
    for _ in 0..60 {
        match dice.roll(10) {
            0..5 => {
                let (key, raw) = input(&mut dice);
                let platform = h.platform.clone();
                running.push((
                    key,
                    raw.clone(),
                    tokio::spawn(async move { platform.submit(&caller(), &raw, None).await }),
                ));
            }
            5..8 => drop(h.log.commit(dice.roll(6) as usize)),
            8 => {
                epoch += 1;
                h.log.role(eport_journal::Role::Sealed { epoch: eport_model::Epoch::from_u64(epoch) });
                h.log.lose();
                h.log.numbers(vec![(epoch * 1000, 1000)]);
                tokio::time::sleep(Duration::from_millis(1)).await;
                h.log.role(primary(epoch));
            }
            _ => {
                let epoch = eport_model::Epoch::from_u64(epoch);
                h.log.role(eport_journal::Role::Handover { epoch, to: node("sz-a-1") });
                tokio::time::sleep(Duration::from_micros(500)).await;
                h.log.role(eport_journal::Role::Primary { epoch });
            }
        }
        if dice.roll(2) == 0 {
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }
    let log = h.log.clone();
    let committer = tokio::spawn(async move {
        loop {
            log.commit(usize::MAX);
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    });
    let (mut stored_content, mut positions, mut unknown) = (BTreeMap::new(), BTreeMap::new(), 0);
    for (key, raw, task) in running {
        match task.await.unwrap() {
            SubmitAnswer::Accepted(d) | SubmitAnswer::Repeated(d) => {
                let known = stored_content.entry(key.clone()).or_insert_with(|| raw.clone());
                assert_eq!(*known, raw, "seed {seed}: {key} was stored with two contents");
                let position = positions.entry(key.clone()).or_insert(d.position);
                assert_eq!(*position, d.position, "seed {seed}: {key} has two positions");
                let item = h.platform.show(&d.doc_id, Some(d.doc_version)).unwrap().unwrap().item;
                assert_eq!(
                    item.position,
                    Some(d.position),
                    "seed {seed}: {key} was answered and is elsewhere"
                );
            }
            SubmitAnswer::Unavailable { unknown: true, .. } => unknown += 1,
            _ => {}
        }
    }
    committer.abort();
    let all = h.platform.list(&DocumentQuery::default(), &Scope::All).unwrap().items;
    let ids: BTreeSet<_> = all.iter().map(|i| &i.doc_id).collect();
    let references: BTreeSet<_> = all.iter().map(|i| &i.client_ref).collect();
    assert_eq!((ids.len(), references.len()), (all.len(), all.len()), "seed {seed}: a document stands twice");
    let records: Vec<_> = h.log.journal().records.clone();
    let keys: Vec<_> =
        records.iter().filter_map(|r| r.header.request.as_ref()).map(|r| r.id.clone()).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "seed {seed}: a key has two records");
    (stored_content.len(), unknown)
}

#[tokio::test]
async fn whatever_happens_what_was_answered_is_there_once() {
    let (mut stored, mut unknown) = (0, 0);
    for seed in 0..80 {
        let (s, u) = schedule(seed).await;
        stored += s;
        unknown += u;
    }
    assert!(stored > 150 && unknown > 15, "the schedules reach both: {stored} stored, {unknown} unknown");
}
