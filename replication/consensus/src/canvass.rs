//! Whether a voter may stand for election: it asks the others before it raises the term. Pure: times are arguments.
//!
//! A voter that hears no leader would otherwise stand again and again, each time in a higher term. While it is cut off nobody
//! learns of that; as soon as it reaches the leader its term deposes one that everybody else hears (Ongaro's dissertation,
//! §9.6). So it asks first, and stands only while a majority consents. Who hears a leader does not consent, nor does a leader
//! that a majority answers, nor who holds a longer log. Consent binds nobody and says nothing of safety: the vote itself
//! decides, by openraft's rules.
//!
//! Always: no question while a leader is heard; one question to a voter at a time, and a pause between two; consent counts for
//! one patience.

use crate::config::Profile;
use crate::types::LogId;
use eport_identity::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What a node knows of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It leads, and a majority answers, or did so within the longest election timeout.
    Leads,
    /// A leader was heard so long ago.
    Heard(Duration),
    /// It knows of no leader: an election is under way, or it leads without a majority.
    Nothing,
}

impl Hearing {
    /// True when an election would do no harm as far as this node knows.
    pub(crate) fn is_silent(self, profile: Profile) -> bool {
        match self {
            Self::Leads => false,
            Self::Heard(age) => age >= profile.election_min(),
            Self::Nothing => true,
        }
    }
}

/// Whether a node consents that another stands, whose log ends at `theirs`.
pub(crate) fn consents(
    hearing: Hearing,
    profile: Profile,
    ours: Option<LogId>,
    theirs: Option<LogId>,
) -> bool {
    hearing.is_silent(profile) && theirs >= ours
}

/// The latest question to one voter.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    open: bool,
}

/// The questions of one voter and what was answered.
#[derive(Debug)]
pub(crate) struct Canvass {
    me: NodeId,
    profile: Profile,
    asked: BTreeMap<NodeId, Asked>,
    consents: BTreeMap<NodeId, Instant>,
}

impl Canvass {
    pub(crate) fn new(me: NodeId, profile: Profile) -> Self {
        Self { me, profile, asked: BTreeMap::new(), consents: BTreeMap::new() }
    }

    /// How long a question waits for its answer, and how long a consent counts.
    pub(crate) fn patience(profile: Profile) -> Duration {
        profile.election_min()
    }

    /// A voter that has answered is asked again after this.
    pub(crate) fn pause(profile: Profile) -> Duration {
        profile.heartbeat() / 2
    }

    /// Whom to ask now: every other voter whose last answer is a pause old, while no leader is heard.
    pub(crate) fn questions(
        &mut self,
        now: Instant,
        hearing: Hearing,
        voters: &[BTreeSet<NodeId>],
    ) -> Vec<NodeId> {
        if !hearing.is_silent(self.profile) {
            self.asked.clear();
            self.consents.clear();
            return Vec::new();
        }
        let patience = Self::patience(self.profile);
        let pause = Self::pause(self.profile);
        self.asked.retain(|_, q| now.duration_since(q.at) < if q.open { patience } else { pause });
        let others: BTreeSet<NodeId> = voters.iter().flatten().copied().filter(|v| *v != self.me).collect();
        let open: Vec<NodeId> = others.into_iter().filter(|v| !self.asked.contains_key(v)).collect();
        self.asked.extend(open.iter().map(|v| (*v, Asked { at: now, open: true })));
        open
    }

    /// A question has come to its end: consent, refusal, or no answer.
    pub(crate) fn answered(&mut self, from: NodeId, consent: bool, now: Instant) {
        // An answer to a question from before a leader was heard counts for nothing.
        match self.asked.get_mut(&from) {
            Some(question) if question.open => question.open = false,
            _ => return,
        }
        if consent {
            self.consents.insert(from, now);
        } else {
            self.consents.remove(&from);
        }
    }

    /// True while a majority, of both configurations during a change, consents. A single voter needs nobody.
    pub(crate) fn may_stand(&self, now: Instant, hearing: Hearing, voters: &[BTreeSet<NodeId>]) -> bool {
        let patience = Self::patience(self.profile);
        let fresh = |v: &NodeId| self.consents.get(v).is_some_and(|at| now.duration_since(*at) <= patience);
        let majority = |set: &BTreeSet<NodeId>| {
            set.iter().filter(|v| **v == self.me || fresh(v)).count() > set.len() / 2
        };
        hearing.is_silent(self.profile) && !voters.is_empty() && voters.iter().all(majority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Peer;
    use openraft::CommittedLeaderId;

    const PROFILE: Profile = Profile::Default;

    fn id(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn set(names: &[&str]) -> BTreeSet<NodeId> {
        names.iter().map(|n| id(n)).collect()
    }

    fn log(term: u64, index: u64) -> Option<LogId> {
        Some(LogId::new(CommittedLeaderId::new(term, Peer(id("p-1"))), index))
    }

    /// A voter of three that hears nobody, and its clock.
    fn silent() -> (Canvass, Vec<BTreeSet<NodeId>>, Instant) {
        (Canvass::new(id("a-1"), PROFILE), vec![set(&["a-1", "b-1", "p-1"])], Instant::now())
    }

    const LONG: Hearing = Hearing::Heard(Duration::from_secs(60));

    #[test]
    fn who_hears_a_leader_or_is_one_or_holds_more_does_not_consent() {
        let same = log(3, 10);
        assert!(consents(LONG, PROFILE, same, same) && consents(Hearing::Nothing, PROFILE, same, log(3, 11)));
        assert!(consents(Hearing::Nothing, PROFILE, None, None), "nodes that hold nothing found a group");
        assert!(!consents(Hearing::Leads, PROFILE, same, same));
        let just_under = PROFILE.election_min() - Duration::from_millis(1);
        assert!(!consents(Hearing::Heard(just_under), PROFILE, same, same));
        assert!(consents(Hearing::Heard(PROFILE.election_min()), PROFILE, same, same));
        // A later term counts more than a higher index, as at the vote.
        assert!(!consents(LONG, PROFILE, same, log(3, 9)) && !consents(LONG, PROFILE, same, log(2, 11)));
        assert!(consents(LONG, PROFILE, same, log(4, 1)) && !consents(LONG, PROFILE, same, None));
    }

    #[test]
    fn a_voter_that_is_cut_off_asks_again_and_again_and_never_stands() {
        let (mut canvass, voters, start) = silent();
        let step = PROFILE.heartbeat() / 2;
        let mut asked = 0;
        for n in 0..200 {
            let now = start + step * n;
            for to in canvass.questions(now, LONG, &voters) {
                asked += 1;
                // One cannot be reached, the other hears the leader.
                canvass.answered(to, false, now + step / 2);
            }
            assert!(!canvass.may_stand(now + step / 2, LONG, &voters), "after {n} steps");
        }
        assert_eq!(asked, 400);
    }

    #[test]
    fn one_consent_of_three_lets_it_stand_for_one_patience_and_a_refusal_takes_it_back() {
        let (mut canvass, voters, now) = silent();
        assert_eq!(canvass.questions(now, LONG, &voters), [id("b-1"), id("p-1")]);
        assert!(!canvass.may_stand(now, LONG, &voters));
        canvass.answered(id("b-1"), true, now);
        let patience = Canvass::patience(PROFILE);
        assert!(canvass.may_stand(now + patience, LONG, &voters));
        assert!(!canvass.may_stand(now + patience + Duration::from_millis(1), LONG, &voters));
        assert_eq!(canvass.questions(now, LONG, &voters), [], "a pause follows an answer");
        let later = now + Canvass::pause(PROFILE);
        assert_eq!(canvass.questions(later, LONG, &voters), [id("b-1")], "the other has not answered yet");
        canvass.answered(id("b-1"), false, later);
        assert!(!canvass.may_stand(later, LONG, &voters));
    }

    #[test]
    fn a_leader_that_is_heard_ends_questions_and_consents() {
        let (mut canvass, voters, now) = silent();
        canvass.questions(now, LONG, &voters);
        canvass.answered(id("b-1"), true, now);
        let fresh = Hearing::Heard(Duration::from_millis(10));
        assert!(!canvass.may_stand(now, fresh, &voters));
        assert_eq!(canvass.questions(now, fresh, &voters), []);
        // The answer that was still under way counts for nothing afterwards.
        canvass.answered(id("p-1"), true, now);
        assert!(!canvass.may_stand(now, LONG, &voters));
    }

    #[test]
    fn a_question_without_answer_is_asked_again_after_its_patience_only() {
        let (mut canvass, voters, now) = silent();
        assert_eq!(canvass.questions(now, LONG, &voters).len(), 2);
        let patience = Canvass::patience(PROFILE);
        assert_eq!(canvass.questions(now + patience - Duration::from_millis(1), LONG, &voters), []);
        assert_eq!(canvass.questions(now + patience, LONG, &voters).len(), 2);
    }

    #[test]
    fn during_a_change_of_voters_both_majorities_consent_and_a_single_voter_needs_nobody() {
        let (mut canvass, old, now) = silent();
        let joint = vec![old[0].clone(), set(&["a-1", "c-1", "d-1"])];
        canvass.questions(now, LONG, &joint);
        canvass.answered(id("b-1"), true, now);
        canvass.answered(id("p-1"), true, now);
        assert!(!canvass.may_stand(now, LONG, &joint));
        canvass.answered(id("d-1"), true, now);
        assert!(canvass.may_stand(now, LONG, &joint));
        let alone = Canvass::new(id("a-1"), PROFILE);
        assert!(alone.may_stand(now, Hearing::Nothing, &[set(&["a-1"])]));
        assert!(!alone.may_stand(now, Hearing::Nothing, &[set(&["b-1"])]), "a learner");
        assert!(!alone.may_stand(now, Hearing::Nothing, &[]), "a node that never joined");
    }
}
