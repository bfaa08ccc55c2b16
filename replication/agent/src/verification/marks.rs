//! Checksum marks: the primary has them written and tells what its rows were, every copy compares.

use super::heads::sign_head;
use super::{Compared, MarkSoft, Scrubs};
use crate::node::Agent;
use crate::platform::Completion;
use crate::{PlatformHandle, StateDigest};
use eport_journal::Outcome;
use eport_model::{Digest, Draft, JournalIndex, Position, RecordKind, RegionCode, Timestamp};
use eport_store::{Mark, Marks};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// Digests that wait for their counterpart; marks come far apart.
const KEPT: usize = 16;
/// How long a mark may take to be committed before it is given up.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// What is known of marks on one copy. The own digest and the told one may come in either order.
#[derive(Debug, Default)]
pub(crate) struct MarkBook {
    own: VecDeque<(JournalIndex, Digest)>,
    told: VecDeque<(JournalIndex, Digest)>,
    soft: MarkSoft,
}

impl MarkBook {
    /// The rows here at a mark.
    pub(crate) fn own(&mut self, index: JournalIndex, digest: Digest, now: Timestamp) -> Option<Compared> {
        note(&mut self.own, index, digest);
        let told = self.told.iter().find(|(at, _)| *at == index).map(|(_, d)| *d)?;
        Some(self.compare(index, digest, told, now))
    }

    /// The primary's rows at a mark.
    pub(crate) fn told(&mut self, index: JournalIndex, digest: Digest, now: Timestamp) -> Option<Compared> {
        note(&mut self.told, index, digest);
        let own = self.own.iter().find(|(at, _)| *at == index).map(|(_, d)| *d)?;
        Some(self.compare(index, own, digest, now))
    }

    fn compare(&mut self, index: JournalIndex, own: Digest, told: Digest, at: Timestamp) -> Compared {
        let compared = Compared { index, equal: own == told, at };
        self.soft.compared = Some(compared);
        self.soft.differences += u64::from(!compared.equal);
        compared
    }

    /// The journal was cut: another record may come to stand where a mark was.
    pub(crate) fn cut(&mut self, last: JournalIndex) {
        for kept in [&mut self.own, &mut self.told] {
            kept.retain(|(index, _)| *index <= last);
        }
    }

    pub(crate) fn soft(&self) -> MarkSoft {
        self.soft
    }
}

fn note(kept: &mut VecDeque<(JournalIndex, Digest)>, index: JournalIndex, digest: Digest) {
    kept.retain(|(at, _)| *at != index);
    kept.push_back((index, digest));
    if kept.len() > KEPT {
        kept.pop_front();
    }
}

/// Passes the digest at each checksum mark to the platform's task, and to the looks what waits for mending.
pub(crate) fn marks_to(
    region: RegionCode,
    done: mpsc::UnboundedSender<Completion>,
    scrubs: Arc<Scrubs>,
) -> Marks {
    Arc::new(move |mark| match mark {
        Mark::Own(Ok(d)) => {
            let _ = done.send(Completion::Digest(StateDigest { index: d.applied.index, digest: d.digest }));
        }
        Mark::Own(Err(error)) => {
            warn!(%region, %error, "rows could not be hashed at a checksum mark: the copy is looked through");
            scrubs.ask(region);
        }
        Mark::Told { index, digest } => {
            let _ = done.send(Completion::Told(StateDigest { index, digest }));
        }
        Mark::Waiting(why) => scrubs.waits(region, Some(why)),
        Mark::GoesOn => scrubs.waits(region, None),
    })
}

/// Looks after the marks of every platform kept here.
pub(super) async fn follow(agent: Agent) {
    let mut hosted = agent.hosted();
    let mut followed: BTreeSet<RegionCode> = BTreeSet::new();
    loop {
        for handle in agent.platforms() {
            if followed.insert(handle.region()) {
                agent.spawn(keep_marks(agent.clone(), handle));
            }
        }
        if hosted.changed().await.is_err() {
            return;
        }
    }
}

/// While this node is the open primary: a mark when one is due and something was written since, and after each mark, whoever had
/// it written, what the rows here were at it.
async fn keep_marks(agent: Agent, handle: PlatformHandle) {
    let every = agent.verification().mark_every;
    let mut status = handle.status();
    let (mut quiet, mut told) = (JournalIndex::ZERO, JournalIndex::ZERO);
    let mut due = Instant::now() + every;
    loop {
        let untold =
            |s: &crate::PlatformStatus| s.is_open() && s.state_digest.is_some_and(|d| d.index > told);
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            changed = status.wait_for(untold) => if changed.is_err() { return },
        }
        let now = status.borrow().clone();
        if let Some(digest) = now.state_digest.filter(|d| d.index > told && now.is_open()) {
            told = digest.index;
            let draft = Draft::state_told(digest.index, digest.digest, agent.clock().wall());
            let told = commit(&handle, draft).await;
            // What was looked at is also vouched for; both are our own writing, after which it is quiet.
            let signed = sign_head(&agent, &handle).await.map(|(_, record)| record);
            quiet = signed.or(told).map_or(quiet, |p| p.index);
        }
        if Instant::now() >= due {
            due = Instant::now() + every;
            if now.is_open() && now.last.index > quiet {
                commit(&handle, Draft::bare(RecordKind::ChecksumMark, agent.clock().wall())).await;
            }
        }
    }
}

/// Has a record written; `None` when it was not committed. The next one comes anyway.
pub(super) async fn commit(handle: &PlatformHandle, draft: Draft) -> Option<Position> {
    let pending = handle.propose(vec![draft], None).ok()?.into_iter().next()?;
    match tokio::time::timeout(COMMIT_TIMEOUT, pending.outcome).await {
        Ok(Ok(Outcome::Done { position, .. })) => Some(position),
        other => {
            debug!(region = %handle.region(), ?other, "no record of verification this time");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> JournalIndex {
        JournalIndex::from_u64(n)
    }

    #[test]
    fn a_difference_is_told_whichever_digest_comes_first() {
        let (good, bad, now) = (Digest::of(b"good"), Digest::of(b"bad"), Timestamp::from_millis(7));
        let mut book = MarkBook::default();
        assert_eq!(book.own(at(5), good, now), None);
        assert_eq!(book.told(at(5), good, now), Some(Compared { index: at(5), equal: true, at: now }));
        assert_eq!(book.told(at(9), good, now), None);
        assert_eq!(book.own(at(9), bad, now), Some(Compared { index: at(9), equal: false, at: now }));
        assert_eq!(book.soft().differences, 1);
        assert!(!book.soft().compared.unwrap().equal);
    }

    #[test]
    fn a_mark_that_was_cut_off_is_compared_with_nothing() {
        let (mut book, now) = (MarkBook::default(), Timestamp::default());
        book.own(at(5), Digest::of(b"of a tail"), now);
        book.cut(at(4));
        assert_eq!(book.told(at(5), Digest::of(b"another record"), now), None);
        assert_eq!(book.soft(), MarkSoft::default());
    }

    #[test]
    fn marks_that_are_never_told_do_not_pile_up() {
        let mut book = MarkBook::default();
        for n in 0..1_000 {
            book.own(at(n), Digest::of(b"x"), Timestamp::default());
            book.told(at(n + 5_000), Digest::of(b"x"), Timestamp::default());
        }
        assert_eq!((book.own.len(), book.told.len()), (KEPT, KEPT));
    }

    #[test]
    fn rows_that_cannot_be_hashed_at_a_mark_have_the_copy_looked_through_at_once() {
        let region: RegionCode = "440300".parse().unwrap();
        let (done, mut told) = mpsc::unbounded_channel();
        let scrubs = Arc::<Scrubs>::default();
        let marked = marks_to(region, done, scrubs.clone());
        marked(Mark::Told { index: at(5), digest: Digest::of(b"x") });
        assert!(!scrubs.take_asked(region), "a mark that is told asks for nothing");
        marked(Mark::Own(Err(eport_store::Error::Stopped)));
        assert!(scrubs.take_asked(region) && !scrubs.take_asked(region), "one look");
        assert!(matches!(told.try_recv(), Ok(Completion::Told(_))) && told.try_recv().is_err());
    }
}
