//! Damage is mended with what other holders give: records for a journal that cannot be read, proven by the digest chain.
//!
//! Always holds: records are given to members that the placement names, and only from what is stored here; what comes is taken
//! only by the store, which verifies and chains it (see the store's `log::mend`).

use crate::node::Agent;
use crate::tails::{self, Answer, Ask};
use bytes::Bytes;
use eport_model::{JournalIndex, NodeId, Record, RegionCode, erased_key};
use eport_registry::EraseTarget;
use eport_store::{Gap, PlatformStore};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tracing::{debug, error, info};

/// Bytes of records in one answer; a frame of the purpose holds 4 MiB.
const RECORDS_LEN: usize = 2 << 20;

/// What verification asks of another node.
#[derive(Serialize, Deserialize)]
pub(crate) enum Question {
    /// Records from this one on.
    Records { region: RegionCode, from: JournalIndex },
    /// Look through your copy now.
    Scrub { region: RegionCode },
}

/// What it answers.
#[derive(Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The first of the records asked for.
    Records(Vec<Arc<Record>>),
    /// It looks.
    Begun,
}

impl Agent {
    /// Answers another node's verification.
    pub(crate) async fn answer_verification(self, from: NodeId, question: Question) -> Answer {
        let view = self.registry().state();
        match question {
            Question::Records { region, from: index } => {
                let named = view.state.placement(region).is_some_and(|p| p.names(from));
                let Some(handle) = self.platform(region).filter(|_| named) else {
                    return Answer::NotNow(format!("no records of {region} for {from}"));
                };
                let read = move || handle.store().read(index, RECORDS_LEN);
                match tokio::task::spawn_blocking(read).await {
                    Ok(Ok(records)) => Answer::Verification(Reply::Records(records)),
                    Ok(Err(error)) => Answer::NotNow(error.to_string()),
                    Err(error) => Answer::NotNow(error.to_string()),
                }
            }
            Question::Scrub { region } => match self.scrub_now(region) {
                true => Answer::Verification(Reply::Begun),
                false => Answer::NotNow(format!("{region} is not kept here")),
            },
        }
    }

    /// Asks every holder of a platform to look through its copy now; answers those that do.
    pub async fn scrub_everywhere(&self, region: RegionCode) -> Vec<NodeId> {
        let mut begun = Vec::new();
        if self.scrub_now(region) {
            begun.push(self.me());
        }
        for node in self.other_holders(region) {
            let ask = Ask::Verification(Question::Scrub { region });
            match tails::ask(self.transport(), node, &ask).await {
                Ok(Answer::Verification(Reply::Begun)) => begun.push(node),
                Ok(_) => {}
                Err(error) => debug!(%region, %node, %error, "this holder does not look now"),
            }
        }
        begun
    }

    /// The other nodes that keep this platform and are connected, the primary first.
    fn other_holders(&self, region: RegionCode) -> Vec<NodeId> {
        let view = self.registry().state();
        let Some(placement) = view.state.placement(region) else { return Vec::new() };
        let connected = self.transport().connected().borrow().clone();
        let named = std::iter::once(placement.primary).chain(placement.backups.iter().map(|b| b.node));
        named.filter(|n| *n != self.me() && connected.contains(n)).collect()
    }

    /// The records of these gaps as far as other holders give them. A body that was erased comes without its bytes, whatever the
    /// holder has; one that nobody erased comes whole or not at all.
    pub(super) async fn fetch_records(
        &self,
        region: RegionCode,
        store: Option<&PlatformStore>,
        gaps: &[Gap],
    ) -> Vec<Arc<Record>> {
        let mut out: Vec<Arc<Record>> = Vec::new();
        for gap in gaps {
            let mut next = gap.from;
            for holder in self.other_holders(region) {
                while next <= gap.to {
                    let Some(given) = self.ask_records(region, holder, next).await else { break };
                    let before = next;
                    for record in given.into_iter().filter(|r| r.index() <= gap.to) {
                        // Dense, or of no use. Whether it is the right record, the chain decides.
                        let fits = record.index() == next;
                        let Some(record) =
                            fits.then(|| self.with_its_bodies(region, store, record)).flatten()
                        else {
                            break;
                        };
                        next = next.next();
                        out.push(record);
                    }
                    if next == before {
                        debug!(%region, %holder, at = %next, "this holder's record is of no use");
                        break;
                    }
                }
            }
        }
        out
    }

    /// The record with the bodies that it has to have, by the orders in the registry and the rows here.
    fn with_its_bodies(
        &self,
        region: RegionCode,
        store: Option<&PlatformStore>,
        record: Arc<Record>,
    ) -> Option<Arc<Record>> {
        let view = self.registry().state();
        with_bodies(record, |target| {
            let row = || store.and_then(|s| s.get(&erased_key(target.record, target.body)).ok().flatten());
            view.state.erasure(region, target).is_some()
                || row().is_some_and(|digest| *digest == *target.digest.as_bytes())
        })
    }

    /// Records from `from` on, at least the first; `None` when this holder has none to give.
    async fn ask_records(
        &self,
        region: RegionCode,
        holder: NodeId,
        from: JournalIndex,
    ) -> Option<Vec<Arc<Record>>> {
        let ask = Ask::Verification(Question::Records { region, from });
        match tails::ask(self.transport(), holder, &ask).await {
            Ok(Answer::Verification(Reply::Records(records))) => {
                records.first().is_some_and(|r| r.index() == from).then_some(records)
            }
            Ok(_) => None,
            Err(error) => {
                debug!(%region, %holder, %from, %error, "records were not given");
                None
            }
        }
    }

    /// Mends the journals of platforms that could not be opened. True when one was, and can be opened now.
    pub(super) async fn mend_closed(&self, region: RegionCode) -> Mending {
        let dir = self.platform_dir(region);
        let look = tokio::task::spawn_blocking(move || PlatformStore::look_at_closed(&dir, region)).await;
        let closed = match look {
            Ok(Ok(closed)) if closed.is_whole() => return Mending::Elsewhere,
            Ok(Ok(closed)) => closed,
            Ok(Err(error)) => return Mending::Failed(error.to_string()),
            Err(error) => return Mending::Failed(error.to_string()),
        };
        let gaps = closed.gaps();
        error!(%region, ?gaps, code = %eport_model::codes::RECORD_DAMAGED, "a damaged journal is mended");
        let records = self.fetch_records(region, None, &gaps).await;
        let fetched = records.len();
        match tokio::task::spawn_blocking(move || closed.mend(&records)).await {
            Ok(Ok(())) => {
                info!(%region, fetched, "the journal is whole again");
                Mending::Done
            }
            Ok(Err(error)) => Mending::Failed(error.to_string()),
            Err(error) => Mending::Failed(error.to_string()),
        }
    }
}

/// What became of a journal that could not be opened.
pub(super) enum Mending {
    /// It is whole.
    Done,
    /// It was whole before: what keeps the platform from opening lies elsewhere.
    Elsewhere,
    /// Not yet.
    Failed(String),
}

/// The record with none of the bodies that were erased and all others. `None` when one is missing that nobody erased: the chain
/// would not show it.
fn with_bodies(mut record: Arc<Record>, erased: impl Fn(&EraseTarget) -> bool) -> Option<Arc<Record>> {
    let index = record.index();
    for (n, named) in (0u16..).zip(record.header.bodies.clone()) {
        let target = EraseTarget { record: index, body: n, digest: named.digest };
        let body = record.bodies.get(usize::from(n))?;
        match (erased(&target), body.is_empty() && named.len > 0) {
            (false, true) => return None,
            (true, false) => Arc::make_mut(&mut record).bodies[usize::from(n)] = Bytes::new(),
            _ => {}
        }
    }
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_model::{Draft, Epoch, Lineage, Position, RecordKind, Timestamp};

    fn with_two_bodies() -> Arc<Record> {
        let mut draft = Draft::bare(RecordKind::Entry, Timestamp::from_millis(1));
        draft.bodies = vec![Bytes::from_static(b"first"), Bytes::from_static(b"second")];
        let (lineage, region) = (Lineage::from_bytes([7; 16]), "440300".parse().unwrap());
        let before = Position::ZERO;
        Arc::new(Record::seal(draft, lineage, region, Epoch::from_u64(1), &before, Timestamp::default()))
    }

    fn emptied(record: &Arc<Record>, body: usize) -> Arc<Record> {
        let mut record = (**record).clone();
        record.bodies[body] = Bytes::new();
        Arc::new(record)
    }

    #[test]
    fn a_record_that_comes_with_an_emptied_body_that_nobody_ordered_erased_is_refused() {
        let record = with_two_bodies();
        let given = emptied(&record, 1);
        assert!(given.verify().is_ok(), "the chain does not show it");
        assert_eq!(with_bodies(given.clone(), |_| false), None);
        // An order for the other body, or for another record's bytes in this place, changes nothing.
        assert_eq!(with_bodies(given.clone(), |t| t.body == 0), None);
        let digest = record.header.bodies[1].digest;
        assert_eq!(with_bodies(given.clone(), |t| t.body == 1 && t.digest != digest), None);
        assert_eq!(with_bodies(given.clone(), |t| t.body == 1 && t.digest == digest), Some(given));
        assert_eq!(with_bodies(record.clone(), |_| false), Some(record), "a whole one is taken as it is");
    }

    #[test]
    fn a_body_that_was_erased_is_not_taken_from_a_holder_that_still_has_it() {
        let record = with_two_bodies();
        assert_eq!(with_bodies(record.clone(), |t| t.body == 0), Some(emptied(&record, 0)));
    }

    #[test]
    fn a_record_with_fewer_bodies_than_it_names_is_refused() {
        let mut record = (*with_two_bodies()).clone();
        record.bodies.pop();
        assert_eq!(with_bodies(Arc::new(record), |_| false), None);
    }
}
