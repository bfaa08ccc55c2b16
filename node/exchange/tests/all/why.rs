//! `doc why` over every state of documents §2.2 and every station of a message.

use eport_documents::State;
use eport_documents::pack::{AgencyState, Role};
use eport_exchange::{Actor, AgencyFacts, Facts, Passage, Source, why};
use eport_model::{Epoch, JournalIndex};

fn record(index: u64) -> Option<Source> {
    Some(Source { epoch: Epoch::INITIAL, index: JournalIndex::from_u64(index) })
}

fn agency(passage: Passage, state: AgencyState) -> AgencyFacts {
    AgencyFacts {
        agency: "CUS".into(),
        role: Role::Lead,
        state,
        at: Some("440000".parse().unwrap()),
        passage,
        record: record(9),
        unclear: None,
    }
}

fn facts(state: State, agencies: Vec<AgencyFacts>) -> Facts {
    let stored = !matches!(state, State::Draft | State::Submitted | State::Refused | State::Discarded);
    Facts {
        state,
        owner: "440100".parse().unwrap(),
        stage: None,
        record: record(7).filter(|_| stored),
        replicated: true,
        agencies,
    }
}

#[test]
fn every_state_says_where_it_is_what_it_waits_for_and_who_must_act() {
    use AgencyState::{Accepted, Queued, Received, Rejected};
    let expected = [
        (State::Draft, Actor::Lodger, true),
        (State::Submitted, Actor::Platform, true),
        (State::Checked, Actor::Nobody, false),
        (State::Dispatched, Actor::Agency, true),
        (State::InProcess, Actor::Agency, true),
        (State::Accepted, Actor::Nobody, false),
        (State::PartlyRejected, Actor::Lodger, true),
        (State::Rejected, Actor::Lodger, true),
        (State::Amending, Actor::Agency, true),
        (State::Withdrawing, Actor::Agency, true),
        (State::Withdrawn, Actor::Nobody, false),
        (State::Closed, Actor::Nobody, false),
        (State::Refused, Actor::Lodger, true),
        (State::Discarded, Actor::Nobody, false),
    ];
    assert_eq!(expected.map(|(state, ..)| state), State::ALL.map(|(state, _)| state), "no state is left out");
    let mut said = std::collections::BTreeSet::new();
    for (state, actor, holds) in expected {
        let agencies = match state {
            State::Dispatched => vec![agency(Passage::Inbox, Queued)],
            State::InProcess | State::Amending | State::Withdrawing => vec![agency(Passage::Taken, Received)],
            State::Accepted => vec![agency(Passage::Taken, Accepted)],
            State::PartlyRejected | State::Rejected => vec![agency(Passage::Taken, Rejected)],
            _ => Vec::new(),
        };
        let facts = facts(state, agencies);
        let all = why(&facts);
        let first = &all[0];
        assert_eq!((first.actor, first.holds, first.record), (actor, holds, facts.record), "{state}");
        for one in &all {
            for words in [&one.place, &one.waits] {
                assert!(!words.en.is_empty() && !words.zh.is_ascii(), "{state}: {words:?}");
            }
        }
        said.insert(first.place.en.clone());
    }
    assert_eq!(said.len(), 14, "each state has words of its own");
}

#[test]
fn every_station_of_a_message_names_who_must_act_and_the_record() {
    use AgencyState::{Accepted, ManualReview, Queued, Received};
    let dead = Passage::Dead("E-XCH-CONTENT".into(), "other content".into());
    for (passage, state, actor) in [
        (Passage::Unrouted, Queued, Some(Actor::Operator)),
        (Passage::Later("RELEASED".into()), Queued, Some(Actor::Platform)),
        (Passage::Queued, Queued, Some(Actor::Platform)),
        (Passage::Blocked("no answer".into()), Queued, Some(Actor::Operator)),
        (Passage::Acknowledged, Queued, Some(Actor::Platform)),
        (Passage::Inbox, Queued, Some(Actor::Agency)),
        (Passage::Delivered, Queued, Some(Actor::Agency)),
        (Passage::Taken, Received, Some(Actor::Agency)),
        (Passage::Taken, ManualReview, Some(Actor::Agency)),
        (Passage::Taken, Accepted, None),
        (dead, Queued, Some(Actor::Operator)),
    ] {
        let all = why(&facts(State::Dispatched, vec![agency(passage.clone(), state)]));
        let one = all.iter().find(|w| w.agency.is_some());
        assert_eq!(one.map(|w| w.actor), actor, "{passage:?}");
        assert_eq!(one.and_then(|w| w.record), actor.and(record(9)), "{passage:?}");
        assert_eq!(all[0].actor, actor.unwrap_or(Actor::Platform), "the whole names the same: {passage:?}");
    }
}

#[test]
fn an_optional_agency_is_told_of_and_holds_nothing() {
    let optional = AgencyFacts { role: Role::Optional, ..agency(Passage::Unrouted, AgencyState::Queued) };
    let all = why(&facts(State::Accepted, vec![optional]));
    assert_eq!((all.len(), all[0].actor, all[1].holds), (2, Actor::Nobody, false));
}

#[test]
fn what_is_on_one_site_only_says_so() {
    let local = Facts { replicated: false, ..facts(State::Checked, Vec::new()) };
    let all = why(&local);
    assert_eq!((all.len(), all[1].actor, all[1].record), (2, Actor::Operator, record(7)));
    let draft = Facts { replicated: false, ..facts(State::Draft, Vec::new()) };
    assert_eq!(why(&draft).len(), 1, "what is not stored is on no site");
}
