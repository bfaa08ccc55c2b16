//! Which nodes should be learners and voters, and what the leader should change next. Pure: a situation in, a step out.
//!
//! Rules (design §3): every member of the federation is at least a learner. With fewer than three members one votes; with
//! three or more, three (or five) vote. With three or more sites they stand on distinct sites as far as possible; before
//! that they are spread, the province holding the majority. A learner votes only when it has caught up. A voter that is
//! dead is replaced by a healthy learner, never just dropped: fewer voters would not make the rest safer. Never two
//! changes at once, and none without a living majority of both the old and the new voters.

use eport_identity::{NodeId, SiteId};
use std::collections::{BTreeMap, BTreeSet};

/// A member of the federation as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub site: SiteId,
    /// Its home is the province's own platform.
    pub province: bool,
    /// It gives its duties away and is not chosen while others can be.
    pub draining: bool,
    /// It has a connection now, or is the leader itself.
    pub connected: bool,
    /// It has been without connection for longer than the limit.
    pub dead: bool,
    /// Its log is near the leader's.
    pub caught_up: bool,
}

/// What the leader knows when it decides.
#[derive(Debug, Clone)]
pub(crate) struct Situation {
    /// The leader.
    pub me: NodeId,
    /// Voters wanted with enough members.
    pub voters_wanted: usize,
    /// Members by the registry, the removed and revoked left out.
    pub members: BTreeMap<NodeId, Member>,
    /// Voters of the current configuration; of the newer one while a change is half done.
    pub voters: BTreeSet<NodeId>,
    /// Voters and learners of the Raft group.
    pub group: BTreeSet<NodeId>,
    /// A change of voters was begun and not finished.
    pub joint: bool,
}

/// One change of the Raft group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    AddLearner(NodeId),
    SetVoters(BTreeSet<NodeId>),
    Remove(NodeId),
}

/// The next change, or `None` when all is as it should be or nothing can be done safely now.
pub(crate) fn next_step(s: &Situation) -> Option<Step> {
    if s.members.is_empty() {
        return None;
    }
    if s.joint {
        return Some(Step::SetVoters(s.voters.clone()));
    }
    if let Some(node) = s.members.keys().find(|n| !s.group.contains(n)) {
        return Some(Step::AddLearner(*node));
    }
    let wanted = wanted_voters(s);
    if wanted != s.voters && majority_lives(s, &wanted) && majority_lives(s, &s.voters) {
        return Some(Step::SetVoters(wanted));
    }
    let gone = s.group.iter().find(|n| !s.members.contains_key(n) && !s.voters.contains(n));
    gone.map(|n| Step::Remove(*n))
}

/// The voters there should be; the present ones while there are too few candidates for better ones.
fn wanted_voters(s: &Situation) -> BTreeSet<NodeId> {
    let count = match s.members.len() {
        0..3 => 1,
        n if n >= s.voters_wanted => s.voters_wanted,
        _ => 3,
    };
    let mut chosen =
        choose(s, count, |n, m| !m.dead && (s.voters.contains(&n) || m.connected && m.caught_up));
    // A dead voter without a healthy substitute stays: it may come back, and the quorum is no worse than before.
    for voter in s.voters.iter().filter(|v| s.members.contains_key(v)) {
        if chosen.len() < count {
            chosen.insert(*voter);
        }
    }
    if chosen.len() == count { chosen } else { s.voters.clone() }
}

/// Picks up to `count` candidates one after the other, each time the one that suits best beside those picked.
fn choose(s: &Situation, count: usize, candidate: impl Fn(NodeId, &Member) -> bool) -> BTreeSet<NodeId> {
    let sites: BTreeSet<SiteId> = s.members.values().map(|m| m.site).collect();
    let province_majority = count / 2 + 1;
    let mut chosen: BTreeSet<NodeId> = BTreeSet::new();
    while chosen.len() < count {
        let picked = |f: &dyn Fn(&Member) -> bool| chosen.iter().filter(|n| f(&s.members[*n])).count();
        let provincial = picked(&|m| m.province);
        let others = chosen.len() - provincial;
        let suits = |n: NodeId, m: &Member| {
            // Under three sites the province keeps the majority, and the rest goes to others as long as there are any.
            let wrong_side = sites.len() < 3
                && if m.province {
                    provincial >= province_majority
                } else {
                    others >= count - province_majority
                };
            let same_site = picked(&|p| p.site == m.site);
            // The leader first: dropping it costs an election. Then voters as they are: every change is a risk.
            (m.draining, wrong_side, same_site, n != s.me, !s.voters.contains(&n), !m.province, n)
        };
        let open = s.members.iter().filter(|(n, m)| !chosen.contains(n) && candidate(**n, m));
        match open.map(|(n, m)| suits(*n, m)).min() {
            Some(best) => chosen.insert(best.6),
            None => break,
        };
    }
    chosen
}

fn majority_lives(s: &Situation, voters: &BTreeSet<NodeId>) -> bool {
    let living = voters.iter().filter(|v| s.members.get(v).is_some_and(|m| m.connected && m.caught_up));
    // The leader's own voice counts even when the registry no longer lists it.
    let me = voters.contains(&s.me) && !s.members.contains_key(&s.me);
    living.count() + usize::from(me) > voters.len() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(s: &str) -> NodeId {
        s.parse().unwrap()
    }

    fn ids(names: &[&str]) -> BTreeSet<NodeId> {
        names.iter().map(|n| id(n)).collect()
    }

    /// Members named `SITE-NUMBER`; sites that start with p are the province's. All healthy and in the group.
    fn world(me: &str, names: &[&str], voters: &[&str]) -> Situation {
        let member = |name: &str| Member {
            site: name.split_once('-').unwrap().0.parse().unwrap(),
            province: name.starts_with('p'),
            draining: false,
            connected: true,
            dead: false,
            caught_up: true,
        };
        Situation {
            me: id(me),
            voters_wanted: 3,
            members: names.iter().map(|n| (id(n), member(n))).collect(),
            voters: ids(voters),
            group: ids(names),
            joint: false,
        }
    }

    fn voters(names: &[&str]) -> Option<Step> {
        Some(Step::SetVoters(ids(names)))
    }

    #[test]
    fn a_new_member_becomes_a_learner_first_and_one_at_a_time() {
        let mut s = world("p-1", &["p-1", "p-2", "a-1"], &["p-1"]);
        s.group = ids(&["p-1"]);
        assert_eq!(next_step(&s), Some(Step::AddLearner(id("a-1"))));
        s.group.insert(id("a-1"));
        assert_eq!(next_step(&s), Some(Step::AddLearner(id("p-2"))));
    }

    #[test]
    fn fewer_than_three_members_have_one_voter() {
        assert_eq!(next_step(&world("p-1", &["p-1", "a-1"], &["p-1"])), None);
        assert_eq!(next_step(&world("a-1", &["a-1", "a-2"], &["a-1", "a-2"])), voters(&["a-1"]));
        // Also of one voter the province holds the majority.
        assert_eq!(next_step(&world("a-1", &["p-1", "a-1"], &["p-1", "a-1"])), voters(&["p-1"]));
    }

    #[test]
    fn before_three_sites_the_province_holds_the_majority() {
        let s = world("p-1", &["a-1", "a-2", "p-1", "p-2"], &["p-1"]);
        assert_eq!(next_step(&s), voters(&["p-1", "p-2", "a-1"]));
        let s = world("a-1", &["a-1", "a-2", "p-1", "p-2"], &["a-1"]);
        assert_eq!(next_step(&s), voters(&["p-1", "p-2", "a-1"]));
        let s = world("p-1", &["p-1", "p-2", "p-3"], &["p-1"]);
        assert_eq!(next_step(&s), voters(&["p-1", "p-2", "p-3"]));
    }

    #[test]
    fn with_three_sites_voters_move_to_distinct_sites() {
        let s = world("p-1", &["a-1", "b-1", "p-1", "p-2"], &["p-1", "p-2", "a-1"]);
        assert_eq!(next_step(&s), voters(&["p-1", "a-1", "b-1"]));
        assert_eq!(next_step(&world("p-1", &["a-1", "b-1", "p-1", "p-2"], &["p-1", "a-1", "b-1"])), None);
        // Good voters stay although another choice would be as good.
        assert_eq!(next_step(&world("p-2", &["a-1", "b-1", "p-1", "p-2"], &["p-2", "a-1", "b-1"])), None);
    }

    #[test]
    fn a_learner_that_lags_is_not_promoted_and_nothing_goes_through_two_voters() {
        let mut s = world("p-1", &["p-1", "a-1", "b-1"], &["p-1"]);
        s.members.get_mut(&id("b-1")).unwrap().caught_up = false;
        assert_eq!(next_step(&s), None);
    }

    #[test]
    fn a_dead_voter_is_replaced_when_there_is_a_substitute_and_kept_when_there_is_none() {
        let kill = |s: &mut Situation, n: &str| {
            let m = s.members.get_mut(&id(n)).unwrap();
            (m.connected, m.dead, m.caught_up) = (false, true, false);
        };
        let mut s = world("p-1", &["a-1", "b-1", "p-1", "p-2"], &["p-1", "a-1", "b-1"]);
        kill(&mut s, "b-1");
        assert_eq!(next_step(&s), voters(&["p-1", "a-1", "p-2"]));
        let mut s = world("p-1", &["a-1", "b-1", "p-1"], &["p-1", "a-1", "b-1"]);
        kill(&mut s, "b-1");
        assert_eq!(next_step(&s), None);
        // A second death leaves no majority: no change can be made, and none is tried.
        let mut s = world("p-1", &["a-1", "b-1", "p-1", "p-2"], &["p-1", "a-1", "b-1"]);
        kill(&mut s, "b-1");
        kill(&mut s, "a-1");
        assert_eq!(next_step(&s), None);
    }

    #[test]
    fn a_short_absence_changes_nothing() {
        let mut s = world("p-1", &["a-1", "b-1", "p-1", "p-2"], &["p-1", "a-1", "b-1"]);
        let m = s.members.get_mut(&id("b-1")).unwrap();
        (m.connected, m.caught_up) = (false, false);
        assert_eq!(next_step(&s), None);
    }

    #[test]
    fn a_removed_voter_is_replaced_and_then_taken_out() {
        let mut s = world("p-1", &["a-1", "b-1", "p-1", "p-2"], &["p-1", "a-1", "b-1"]);
        s.members.remove(&id("b-1"));
        assert_eq!(next_step(&s), voters(&["p-1", "a-1", "p-2"]));
        s.voters = ids(&["p-1", "a-1", "p-2"]);
        assert_eq!(next_step(&s), Some(Step::Remove(id("b-1"))));
        s.group.remove(&id("b-1"));
        assert_eq!(next_step(&s), None);
    }

    #[test]
    fn a_half_done_change_is_finished_before_anything_else() {
        let mut s = world("p-1", &["a-1", "b-1", "p-1", "p-2"], &["p-1", "a-1", "b-1"]);
        s.joint = true;
        s.group.remove(&id("p-2"));
        assert_eq!(next_step(&s), voters(&["p-1", "a-1", "b-1"]));
    }

    #[test]
    fn a_draining_voter_gives_way_when_another_can_vote() {
        let mut s = world("p-1", &["a-1", "a-2", "b-1", "p-1"], &["p-1", "a-1", "b-1"]);
        s.members.get_mut(&id("a-1")).unwrap().draining = true;
        assert_eq!(next_step(&s), voters(&["p-1", "a-2", "b-1"]));
        let mut s = world("p-1", &["a-1", "b-1", "p-1"], &["p-1", "a-1", "b-1"]);
        s.members.get_mut(&id("a-1")).unwrap().draining = true;
        assert_eq!(next_step(&s), None);
    }

    #[test]
    fn five_voters_when_asked_for_and_possible() {
        let names = ["a-1", "b-1", "c-1", "d-1", "p-1", "p-2"];
        let mut s = world("p-1", &names, &["p-1", "a-1", "b-1"]);
        s.voters_wanted = 5;
        assert_eq!(next_step(&s), voters(&["p-1", "a-1", "b-1", "c-1", "d-1"]));
        s.members.remove(&id("d-1"));
        s.members.remove(&id("p-2"));
        s.group = s.members.keys().copied().collect();
        assert_eq!(next_step(&s), None);
    }
}
