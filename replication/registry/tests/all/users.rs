//! Users: separated administrators, roles on platforms, delegations, sessions that ended, heads of access logs.

use crate::common;

use common::*;
use eport_model::{Digest, Subject, Timestamp};
use eport_registry::*;
use std::collections::BTreeSet;

const SYSTEM: OperatorRole = OperatorRole::SystemAdministrator;
const SECURITY: OperatorRole = OperatorRole::SecurityAdministrator;
const AUDITOR: OperatorRole = OperatorRole::Auditor;
const ADMINISTRATOR: OperatorRole = OperatorRole::Administrator;

fn listed(id: &str, roles: &[OperatorRole]) -> Op {
    Op::PutOperator(Operator {
        id: id.into(),
        name: String::new(),
        roles: roles.iter().copied().collect(),
        suspended: false,
        since: Timestamp::default(),
    })
}

fn suspended(id: &str) -> Op {
    let Op::PutOperator(o) = listed(id, &[]) else { panic!("it is one") };
    Op::PutOperator(Operator { suspended: true, ..o })
}

fn bind(id: &str, role: OperatorRole, platform: Option<&str>, bound: bool) -> Op {
    Op::BindRole { operator: id.into(), role, platform: platform.map(region), bound }
}

fn set(name: &str, value: &str) -> Op {
    Op::SetSetting(Setting { name: name.into(), value: value.into() })
}

fn by(w: &mut World, who: &str, op: Op) -> Result<Outcome, Refusal> {
    let command = w.command(who, op);
    w.apply(&command)
}

/// The stored rows are the state.
fn whole(w: &World) {
    assert_eq!(State::from_rows(w.stored.iter()).unwrap(), w.state);
}

fn excluded(result: Result<Outcome, Refusal>) {
    assert!(matches!(result, Err(Refusal::Separation { .. })), "{result:?}");
}

/// Three persons, each with one of the separated roles.
fn three(mode: Mode) -> World {
    let mut w = World::with_platform();
    let mut federation = w.state.federation().unwrap().clone();
    federation.mode = mode;
    // The mode is written once, at the founding: here it is put under the test's feet.
    let mut rows = w.stored.clone();
    rows.insert(vec![1], eport_model::codec::encode(&federation));
    w.state = State::from_rows(rows.iter()).unwrap();
    w.stored = rows;
    for (id, role) in [("sys", SYSTEM), ("sec", SECURITY), ("aud", AUDITOR)] {
        w.operator(listed(id, &[role])).unwrap();
    }
    w
}

#[test]
fn nobody_has_two_of_the_three_roles_where_they_are_separated() {
    let mut w = three(Mode::Production);
    assert_eq!(w.state.separation(), Separation::Founding);
    let pairs = [[SYSTEM, SECURITY], [SYSTEM, AUDITOR], [SECURITY, AUDITOR], [ADMINISTRATOR, AUDITOR]];
    for pair in pairs {
        excluded(by(&mut w, "operator/sec", listed("new", &pair)));
    }
    for (id, role) in [("sys", AUDITOR), ("aud", SYSTEM), ("sys", SECURITY), ("sys", ADMINISTRATOR)] {
        excluded(by(&mut w, "operator/sec", bind(id, role, None, true)));
    }
    by(&mut w, "operator/sec", listed("founder", &[ADMINISTRATOR])).unwrap();
    let refused = w.operator(set(ROLE_SEPARATION, "off"));
    assert!(matches!(refused, Err(Refusal::Invalid { .. })), "in production it stays: {refused:?}");
    excluded(by(&mut w, "operator/sec", set(ROLE_SEPARATION, "on")));
    by(&mut w, "operator/sec", suspended("founder")).unwrap();
    by(&mut w, "operator/sec", set(ROLE_SEPARATION, "on")).unwrap();
    assert_eq!(w.state.separation(), Separation::On);
    excluded(by(&mut w, "operator/sec", listed("founder", &[ADMINISTRATOR])));
    by(&mut w, "operator/sec", listed("sys2", &[SYSTEM, OperatorRole::Publisher])).unwrap();
    whole(&w);
}

#[test]
fn in_dev_one_person_may_be_all_of_them_until_it_is_switched_on() {
    let mut w = three(Mode::Dev);
    assert_eq!(w.state.separation(), Separation::Off);
    w.operator(listed("one", &[SYSTEM, SECURITY, AUDITOR])).unwrap();
    excluded(w.operator(set(ROLE_SEPARATION, "on")));
    w.operator(listed("one", &[SYSTEM])).unwrap();
    w.operator(set(ROLE_SEPARATION, "on")).unwrap();
    excluded(w.operator(listed("one", &[SYSTEM, AUDITOR])));
    w.operator(set(ROLE_SEPARATION, "off")).unwrap();
    w.operator(listed("one", &[SYSTEM, AUDITOR])).unwrap();
    // It cannot begin while one of the three is nobody's.
    let mut w = three(Mode::Dev);
    w.operator(suspended("aud")).unwrap();
    assert!(matches!(w.operator(set(ROLE_SEPARATION, "on")), Err(Refusal::Rule(_))));
}

#[test]
fn each_of_the_three_gives_only_his_own_commands() {
    let mut w = three(Mode::Dev);
    let stop =
        |w: &World, stopped| Op::SetStopped { region: region("440300"), version: w.version(), stopped };
    let drain = Op::SetNodeState { node: node("gz-a-2"), state: NodeState::Draining };
    let revoke = Op::Revoke { serial: "0f".into(), reason: "lost".into() };
    let list = listed("x", &[OperatorRole::Approver]);
    let refused = |r: Result<Outcome, Refusal>| {
        assert!(matches!(r, Err(Refusal::Signature { why: SignatureFault::Role, .. })), "{r:?}");
    };
    for who in ["operator/sec", "operator/aud"] {
        let op = stop(&w, true);
        refused(by(&mut w, who, op));
        refused(by(&mut w, who, drain.clone()));
        refused(by(&mut w, who, set("publish_lead_ms", "1")));
    }
    for who in ["operator/sys", "operator/aud"] {
        refused(by(&mut w, who, revoke.clone()));
        refused(by(&mut w, who, list.clone()));
        refused(by(&mut w, who, set(SESSION_IDLE_MS, "1000")));
        refused(by(&mut w, who, Op::SetTwoPerson(true)));
    }
    let op = stop(&w, true);
    by(&mut w, "operator/sys", op).unwrap();
    by(&mut w, "operator/sys", set("publish_lead_ms", "1")).unwrap();
    by(&mut w, "operator/sec", revoke).unwrap();
    by(&mut w, "operator/sec", list).unwrap();
    by(&mut w, "operator/sec", set(SESSION_IDLE_MS, "1000")).unwrap();
    assert_eq!(w.state.session_idle_ms(), 1_000);
}

#[test]
fn nobody_gives_himself_a_role_and_the_last_who_gives_rights_stays() {
    let mut w = three(Mode::Dev);
    let own = |r: Result<Outcome, Refusal>| assert!(matches!(r, Err(Refusal::OwnRole { .. })), "{r:?}");
    own(by(&mut w, "operator/sec", listed("sec", &[SECURITY, OperatorRole::Publisher])));
    own(by(&mut w, "operator/sec", bind("sec", OperatorRole::Publisher, None, true)));
    own(by(&mut w, "operator/sec", bind("sec", OperatorRole::Lodger, Some("440300"), true)));
    for last in
        [suspended("sec"), listed("sec", &[OperatorRole::Approver]), bind("sec", SECURITY, None, false)]
    {
        assert!(matches!(by(&mut w, "operator/sec", last), Err(Refusal::Rule(_))));
    }
    by(&mut w, "operator/sec", listed("sec2", &[SECURITY])).unwrap();
    by(&mut w, "operator/sec2", suspended("sec")).unwrap();
    own(by(&mut w, "operator/sec2", listed("sec2", &[SECURITY, AUDITOR])));
    assert!(w.state.roles_of("sec", None).is_empty(), "a suspended operator has no role");
    whole(&w);
}

#[test]
fn nobody_approves_a_role_for_himself() {
    let mut w = three(Mode::Dev);
    w.operator(listed("bo", &[OperatorRole::Approver])).unwrap();
    w.operator(set(OPERATOR_SIGNATURES, "optional")).unwrap();
    w.operator(Op::SetTwoPerson(true)).unwrap();
    let outcome = by(&mut w, "operator/sec", bind("bo", OperatorRole::Publisher, None, true)).unwrap();
    let Outcome::AwaitsApproval { approval, digest, .. } = outcome else { panic!("{outcome:?}") };
    let decide = Op::DecideApproval { approval, digest, approve: true };
    // Without signatures the two keys cannot be told apart by key, but the persons can.
    let refused = by(&mut w, "operator/bo", decide.clone());
    assert!(matches!(refused, Err(Refusal::OwnRole { .. })), "{refused:?}");
    by(&mut w, "operator/sys", decide).unwrap();
    assert!(w.state.roles_of("bo", None).contains(&OperatorRole::Publisher));
}

#[test]
fn a_role_on_one_platform_counts_there_alone_and_goes_when_it_is_taken() {
    let mut w = three(Mode::Dev);
    let here = OperatorRole::PlatformOperator;
    w.operator(listed("li", &[OperatorRole::Approver])).unwrap();
    let stop =
        |w: &World, stopped| Op::SetStopped { region: region("440300"), version: w.version(), stopped };
    let op = stop(&w, true);
    assert!(by(&mut w, "operator/li", op).is_err());
    assert!(matches!(w.operator(bind("li", AUDITOR, Some("440300"), true)), Err(Refusal::Invalid { .. })));
    assert!(matches!(w.operator(bind("li", here, Some("440900"), true)), Err(Refusal::NotFound { .. })));
    w.operator(bind("li", here, Some("440300"), true)).unwrap();
    assert!(w.state.roles_of("li", Some(region("440300"))).contains(&here));
    assert!(!w.state.roles_of("li", None).contains(&here));
    let op = stop(&w, true);
    by(&mut w, "operator/li", op).unwrap();
    let drain = Op::SetNodeState { node: node("gz-a-2"), state: NodeState::Draining };
    assert!(by(&mut w, "operator/li", drain).is_err());
    whole(&w);
    w.operator(bind("li", here, Some("440300"), false)).unwrap();
    let op = stop(&w, false);
    assert!(by(&mut w, "operator/li", op).is_err());
    assert!(w.stored.keys().all(|k| k[0] != 80), "the row goes");
    assert!(matches!(w.operator(bind("li", here, Some("440300"), false)), Err(Refusal::NotFound { .. })));
    whole(&w);
}

const TRADER: &str = "91440300MA5SZXY00X";
const AGENT: &str = "enterprise/91440100MA5ABCD19J";

fn mandate(w: &World) -> Mandate {
    Mandate {
        enterprise: TRADER.into(),
        agent: AGENT.parse().unwrap(),
        rights: [DelegatedRight::Lodge].into(),
        platforms: [region("440300")].into(),
        from: Timestamp::from_millis(w.now),
        to: Timestamp::from_millis(w.now + 3_600_000),
    }
}

fn covered(w: &World, platform: &str, at: i64) -> BTreeSet<DelegatedRight> {
    w.state.delegated(TRADER, &AGENT.parse().unwrap(), region(platform), Timestamp::from_millis(at))
}

#[test]
fn an_enterprise_delegates_in_its_own_name_and_the_delegation_ends_by_itself_or_by_its_word() {
    let mut w = three(Mode::Dev);
    let m = mandate(&w);
    let own = format!("enterprise/{TRADER}");
    for who in [AGENT, "agency/CUS/gw/1", "operator/sys", "operator/aud", "platform/440000/node/gz-a-1"] {
        assert!(by(&mut w, who, Op::AddDelegation(m.clone())).is_err(), "{who}");
    }
    let command = w.command(&own, Op::AddDelegation(m.clone()));
    w.apply(&command).unwrap();
    let (lodge, none) = (BTreeSet::from([DelegatedRight::Lodge]), BTreeSet::new());
    assert_eq!(covered(&w, "440300", w.now), lodge);
    assert_eq!(covered(&w, "440000", w.now), none, "not elsewhere");
    assert_eq!(covered(&w, "440300", m.from.as_millis() - 1), none, "not before");
    assert_eq!(covered(&w, "440300", m.to.as_millis()), none, "not afterwards");
    assert_eq!(w.state.audit().next_back().unwrap().first.by, own, "it is in the audit");
    whole(&w);
    let end = Op::EndDelegation { delegation: command.id, reason: "moved".into() };
    for who in ["enterprise/91440100MA5XXXXXXX", "operator/sys", "agency/CUS/gw/1"] {
        assert!(by(&mut w, who, end.clone()).is_err(), "{who}");
    }
    by(&mut w, &own, end.clone()).unwrap();
    assert_eq!(covered(&w, "440300", w.now), none);
    by(&mut w, "operator/sec", end).unwrap();
    let ended = w.state.delegation(command.id).unwrap().ended.clone().unwrap();
    assert_eq!((ended.by, ended.reason), (own, "moved".to_owned()), "the first end stands");
    whole(&w);
}

#[test]
fn a_wrong_delegation_is_refused_and_a_suspended_party_has_none() {
    let mut w = three(Mode::Dev);
    let good = mandate(&w);
    let own: Subject = format!("enterprise/{TRADER}").parse().unwrap();
    for bad in [
        Mandate { agent: own.clone(), ..good.clone() },
        Mandate { agent: "operator/li".parse().unwrap(), ..good.clone() },
        Mandate { rights: BTreeSet::new(), ..good.clone() },
        Mandate { to: good.from, ..good.clone() },
        Mandate { from: Timestamp::from_millis(1), to: Timestamp::from_millis(2), ..good.clone() },
        Mandate {
            to: Timestamp::from_millis(i64::MAX),
            from: Timestamp::from_millis(i64::MIN),
            ..good.clone()
        },
        Mandate { to: good.from.plus_millis(DELEGATION_LIFE_MAX_MS + 1), ..good.clone() },
        Mandate { platforms: [region("440900")].into(), ..good.clone() },
        Mandate { enterprise: "a/b".into(), ..good.clone() },
    ] {
        assert!(by(&mut w, "operator/sec", Op::AddDelegation(bad.clone())).is_err(), "{bad:?}");
    }
    by(&mut w, "operator/sec", Op::AddDelegation(good.clone())).unwrap();
    let user = |subject: &Subject, suspended| {
        let (name, by) = (String::new(), String::new());
        Op::PutUser(User {
            subject: subject.clone(),
            name,
            platforms: BTreeSet::new(),
            suspended,
            by,
            since: Timestamp::default(),
        })
    };
    by(&mut w, "operator/sec", user(&own, true)).unwrap();
    assert!(covered(&w, "440300", w.now).is_empty());
    assert!(by(&mut w, "operator/sec", Op::AddDelegation(good)).is_err());
    by(&mut w, "operator/sec", user(&own, false)).unwrap();
    assert!(!covered(&w, "440300", w.now).is_empty());
    for nobody in ["operator/li", "platform/440000/node/gz-a-1"] {
        assert!(by(&mut w, "operator/sec", user(&nobody.parse().unwrap(), false)).is_err());
    }
    whole(&w);
}

#[test]
fn one_enterprise_cannot_fill_the_registry_with_delegations() {
    let mut w = three(Mode::Dev);
    let own = format!("enterprise/{TRADER}");
    let mut first = None;
    for _ in 0..DELEGATIONS_MAX {
        let m = mandate(&w);
        let command = w.command(&own, Op::AddDelegation(m));
        w.apply(&command).unwrap();
        first.get_or_insert(command.id);
    }
    let m = mandate(&w);
    assert!(matches!(by(&mut w, &own, Op::AddDelegation(m.clone())), Err(Refusal::Rule(_))));
    let end = Op::EndDelegation { delegation: first.unwrap(), reason: String::new() };
    by(&mut w, &own, end).unwrap();
    by(&mut w, &own, Op::AddDelegation(m)).unwrap();
    assert_eq!(w.state.delegations().count(), DELEGATIONS_MAX);
    assert!(w.state.delegation(first.unwrap()).is_none(), "the ended one made room");
    whole(&w);
}

#[test]
fn a_logout_is_passed_on_by_nodes_alone_and_forgotten_when_no_session_can_live() {
    let mut w = three(Mode::Dev);
    let end = |serial: &str| Op::EndSessions { serial: serial.into() };
    assert!(by(&mut w, "operator/sec", end("0a")).is_err());
    assert!(w.by_node(node("gz-a-1"), end("zz")).is_err());
    w.by_node(node("gz-a-1"), end("0a")).unwrap();
    let before = w.state.sessions_ended("0a").unwrap();
    assert_eq!(before.as_millis(), w.now);
    w.now += SESSION_LIFE_MAX_MS as i64;
    w.by_node(node("gz-a-1"), end("0b")).unwrap();
    assert!(w.state.sessions_ended("0a").is_none() && w.state.sessions_ended("0b").is_some());
    assert_eq!(w.stored.keys().filter(|k| k[0] == 83).count(), 1);
    whole(&w);
}

#[test]
fn the_head_of_an_access_log_only_rises_and_is_its_own_nodes() {
    let mut w = three(Mode::Dev);
    let head = |seq, text: &str| Op::AnchorAccessLog { seq, digest: Digest::of(text.as_bytes()) };
    w.by_node(node("gz-a-1"), head(7, "a")).unwrap();
    w.by_node(node("gz-a-1"), head(7, "a")).unwrap();
    assert!(w.by_node(node("gz-a-1"), head(7, "b")).is_err(), "another line of the same number");
    assert!(w.by_node(node("gz-a-1"), head(6, "c")).is_err(), "a log that was cut");
    assert!(by(&mut w, "operator/aud", head(9, "d")).is_err());
    w.by_node(node("sz-a-1"), head(3, "e")).unwrap();
    w.by_node(node("gz-a-1"), head(8, "f")).unwrap();
    let heads: Vec<(String, u64)> = w.state.access_heads().map(|h| (h.node.to_string(), h.seq)).collect();
    assert_eq!(heads, [("gz-a-1".to_owned(), 8), ("sz-a-1".to_owned(), 3)]);
    whole(&w);
}

#[test]
fn settings_of_access_have_bounds() {
    let mut w = three(Mode::Production);
    for (name, bad, good) in [
        (SESSION_LIFE_MS, "43200001", "3600000"),
        (SESSION_IDLE_MS, "0", "60000"),
        (LOCKOUT_FAILURES, "0", "5"),
        (ACCESS_LOG_DAYS, "30", "200"),
        (ACCESS_LOG_ANCHOR_MS, "1", "60000"),
    ] {
        assert!(matches!(w.operator(set(name, bad)), Err(Refusal::Invalid { .. })), "{name}");
        w.operator(set(name, good)).unwrap();
    }
    assert_eq!(
        (w.state.session_life_ms(), w.state.access_log_days(), w.state.lockout().0),
        (3_600_000, 200, 5)
    );
}
