//! Rotation of the root and of issuing CAs: the order of its steps, the gate before it counts, what is left of it afterwards.
// Tests: an unwrap is an assertion, and they read the real clock.

use crate::common;
use common::*;
use eport_authority::ceremony::{self, CeremonyConfig, Folder, OldRoot, Pieces};
use eport_authority::{Authority, CaPurpose, IssuingSpec, Validity, certificate_of_pem};
use eport_model::{Coded, Epoch, NodeId, Timestamp, codes};
use eport_registry::*;
use eport_signature::{ca_facts, issuer_facts};
use time::OffsetDateTime;

const DAY_MS: i64 = 86_400_000;
const PAPER: &str = r#"
federation = "gd"
trust_domain = "gd.eport.example"
[shares]
threshold = 2
holders = ["an", "bo", "chen"]
"#;

fn der(pem: &str) -> Vec<u8> {
    certificate_of_pem(pem).unwrap()
}

fn paper() -> CeremonyConfig {
    CeremonyConfig::parse(PAPER).unwrap()
}

/// A federation with a root and two issuing CAs of the province, at the real time: certificates are judged by it.
struct Office {
    w: World,
    root: Authority,
    infra: Authority,
    subject: Authority,
}

fn spec(purpose: CaPurpose) -> IssuingSpec {
    IssuingSpec { region: region("440300"), purpose, epoch: Epoch::from_u64(1), loopback: false }
}

fn put(authority: &Authority) -> Op {
    let certificate = der(authority.certificate_pem());
    let facts = issuer_facts(&certificate).unwrap();
    Op::PutIssuer(Issuer {
        key_id: facts.key_id.to_string(),
        name: facts.name,
        platform: facts.region,
        certificate,
        state: IssuerState::Active,
        since_epoch: Epoch::NONE,
    })
}

impl Office {
    fn new() -> Self {
        let mut w = World::with_platform();
        let now = OffsetDateTime::now_utc();
        w.now = now.unix_timestamp() * 1_000;
        let validity = Validity::days(now, 3_000);
        let root = Authority::create_root("gd", &"gd.eport.example".parse().unwrap(), validity).unwrap();
        let infra = root.create_issuing(spec(CaPurpose::Infra), Validity::days(now, 1_000)).unwrap();
        let subject = root.create_issuing(spec(CaPurpose::Subject), Validity::days(now, 1_000)).unwrap();
        for authority in [&root, &infra, &subject] {
            w.operator(put(authority)).unwrap();
        }
        Self { w, root, infra, subject }
    }

    fn bundle(&self) -> String {
        [&self.root, &self.infra, &self.subject].iter().map(|a| a.certificate_pem()).collect()
    }

    fn pieces(&self) -> Pieces {
        let old = OldRoot::Files {
            certificate: self.root.certificate_pem().to_owned(),
            key: self.root.key().export().unwrap(),
            bundle: self.bundle(),
        };
        let made = ceremony::rotate(old, &paper(), OffsetDateTime::now_utc()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path());
        folder.write(&made.new).unwrap();
        let pieces = folder.pieces().unwrap();
        pieces.prove(self.root.der()).unwrap();
        pieces
    }

    fn step(&mut self, step: RotationStep) -> Result<Outcome, Refusal> {
        let version = self.w.state.trust().changes;
        self.w.operator(Op::Rotate { version, step })
    }

    fn acknowledge(&mut self, but: &[&str]) {
        let version = self.w.state.trust_version();
        for id in ["gz-a-1", "gz-a-2", "gz-c-1", "sz-a-1"] {
            if !but.contains(&id) {
                self.w.by_node(node(id), Op::AckTrust { version }).unwrap();
            }
        }
    }

    fn cross(&mut self) {
        let pieces = self.pieces();
        self.step(RotationStep::Prepare(Box::new(material(&pieces)))).unwrap();
        self.step(RotationStep::Publish).unwrap();
        self.step(RotationStep::Cross).unwrap();
    }

    fn issuer(&self, key_id: &str) -> Issuer {
        self.w.state.issuers().find(|i| i.key_id == key_id).unwrap().clone()
    }
}

fn material(p: &Pieces) -> Material {
    Material {
        root: Some(p.root.clone()),
        list: p.list.clone(),
        list_ends: Timestamp::from_millis(p.list_ends.unix_timestamp() * 1_000),
        new_by_old: p.new_by_old.clone(),
        old_by_new: p.old_by_new.clone(),
        issuing: p.issuing.clone(),
    }
}

fn activate(without: &[&str]) -> RotationStep {
    RotationStep::Activate { without: without.iter().map(|n| node(n)).collect::<Vec<NodeId>>() }
}

fn key_of(der: &[u8]) -> String {
    ca_facts(der).unwrap().key_id.to_string()
}

#[test]
fn a_root_is_rotated_step_by_step_and_the_rows_hold_it() {
    let mut o = Office::new();
    let founded = o.w.state.trust();
    assert_eq!((founded.version, founded.roots.len(), founded.issuing.len()), (TRUST_FIRST, 1, 2));
    let pieces = o.pieces();
    let (old, new) = (o.root.spki().to_string(), key_of(&pieces.root));
    o.step(RotationStep::Prepare(Box::new(material(&pieces)))).unwrap();
    assert_eq!(o.w.state.trust_version(), TRUST_FIRST, "nobody trusts what is only prepared");
    o.step(RotationStep::Publish).unwrap();
    let published = o.w.state.trust();
    assert_eq!((published.version, published.roots.len(), published.issuing.len()), (2, 2, 2));
    assert_eq!(key_of(published.active_root().unwrap().1), old, "the new root is not used yet");
    assert_eq!(published.lists.len(), 1, "the new root's list is served from now on");
    assert_eq!(o.issuer(&new).state, IssuerState::Staged);
    o.step(RotationStep::Cross).unwrap();
    let crossed = o.w.state.trust();
    assert_eq!((crossed.version, crossed.issuing.len()), (3, 4));
    let infra = o.infra.spki().to_string();
    let path = crossed.path(&infra);
    assert_eq!(path[0], der(o.infra.certificate_pem()), "the old root is still the one in use");
    assert_eq!(ca_facts(&path[1]).unwrap().key_id.to_string(), old, "and the new one leads to it");
    o.acknowledge(&[]);
    o.step(activate(&[])).unwrap();
    let active = o.w.state.trust();
    assert_eq!(key_of(active.active_root().unwrap().1), new);
    let path = active.path(&infra);
    assert!(
        pieces.issuing.contains(&path[0]) && path[1] == pieces.new_by_old,
        "the new path, and its way to the old root"
    );
    let row = o.issuer(&infra);
    assert!(row.state == IssuerState::Active && pieces.issuing.contains(&row.certificate));
    assert_eq!((o.issuer(&old).state, o.issuer(&new).state), (IssuerState::Retired, IssuerState::Active));
    assert_eq!(active.roots.len(), 2, "both are trusted until the drain is over");
    let early = o.step(RotationStep::Retire { force: None }).unwrap_err();
    assert_eq!(early.code(), codes::DRAIN_NOT_OVER);
    assert!(o.step(RotationStep::Retire { force: Some(" ".into()) }).is_err(), "a reason is a reason");
    o.w.now += 732 * DAY_MS;
    o.step(RotationStep::Retire { force: None }).unwrap();
    let over = o.w.state.trust();
    assert_eq!(over.roots, vec![pieces.root.clone()]);
    assert_eq!(over.tainted, vec![old]);
    assert!(over.issuing.iter().all(|d| pieces.issuing.contains(d)) && over.issuing.len() == 2);
    assert_eq!(
        over.crosses,
        vec![pieces.new_by_old.clone()],
        "a node that was away proves the new root by this"
    );
    assert_eq!(over.path(&infra).len(), 1);
    assert_eq!(State::from_rows(o.w.state.rows()).unwrap(), o.w.state);
    assert_eq!(State::from_rows(o.w.stored.clone()).unwrap(), o.w.state);
}

#[test]
fn it_is_not_activated_while_a_member_has_not_acknowledged_and_says_who() {
    let mut o = Office::new();
    o.cross();
    o.acknowledge(&["gz-c-1", "sz-a-1"]);
    let refused = o.step(activate(&[])).unwrap_err();
    let Refusal::TrustUnacknowledged { version: 3, nodes } = &refused else { panic!("{refused}") };
    assert_eq!(
        (nodes.as_slice(), refused.code()),
        (&[node("gz-c-1"), node("sz-a-1")][..], codes::TRUST_UNACKNOWLEDGED)
    );
    let refused = o.step(activate(&["sz-a-1"])).unwrap_err();
    assert!(refused.to_string().contains("gz-c-1") && !refused.to_string().contains("sz-a-1"), "{refused}");
    assert!(o.step(activate(&["sz-a-1", "gz-c-1", "nobody"])).is_err(), "only nodes can be left behind");
    // Whoever is no member any more is not waited for.
    o.w.operator(Op::SetNodeState { node: node("gz-a-2"), state: NodeState::Removed }).unwrap();
    o.step(activate(&["gz-c-1", "sz-a-1"])).unwrap();
    let left = o.w.state.trust().rotation.unwrap().without;
    assert_eq!(left, [node("gz-c-1"), node("sz-a-1")], "who was left behind stands in the record");
    // The one that comes back says so, for itself and for no version that is not there.
    let ahead = Op::AckTrust { version: 99 };
    assert!(o.w.by_node(node("sz-a-1"), ahead.clone()).is_err() && o.w.operator(ahead).is_err());
    let version = o.w.state.trust_version();
    o.w.by_node(node("sz-a-1"), Op::AckTrust { version }).unwrap();
    o.w.by_node(node("sz-a-1"), Op::AckTrust { version: 1 }).unwrap();
    assert_eq!(o.w.state.trust_ack(node("sz-a-1")), version);
    assert_eq!(o.w.state.trust_behind(), [node("gz-a-1"), node("gz-c-1")]);
}

#[test]
fn steps_out_of_order_or_on_an_old_version_are_refused() {
    let mut o = Office::new();
    let material = Box::new(material(&o.pieces()));
    for step in [RotationStep::Publish, RotationStep::Cross, activate(&[]), RotationStep::Abort] {
        assert_eq!(o.step(step).unwrap_err().code(), codes::ROTATION_PHASE);
    }
    o.step(RotationStep::Prepare(material.clone())).unwrap();
    let stale = o.w.operator(Op::Rotate { version: 0, step: RotationStep::Publish }).unwrap_err();
    assert_eq!(stale.code(), codes::VERSION_CONFLICT);
    for step in [
        RotationStep::Prepare(material),
        RotationStep::Cross,
        activate(&[]),
        RotationStep::Retire { force: None },
    ] {
        assert_eq!(o.step(step).unwrap_err().code(), codes::ROTATION_PHASE);
    }
    o.step(RotationStep::Publish).unwrap();
    o.acknowledge(&[]);
    assert_eq!(
        o.step(activate(&[])).unwrap_err().code(),
        codes::ROTATION_PHASE,
        "the CAs are not crossed yet"
    );
    o.step(RotationStep::Cross).unwrap();
    o.acknowledge(&[]);
    o.step(activate(&[])).unwrap();
    assert_eq!(o.step(RotationStep::Abort).unwrap_err().code(), codes::ROTATION_PHASE, "it is in use");
    let by_node = Op::Rotate { version: o.w.state.trust().changes, step: RotationStep::Publish };
    assert_eq!(o.w.by_node(node("gz-a-1"), by_node).unwrap_err().code(), codes::NOT_ENTITLED);
}

#[test]
fn an_aborted_rotation_leaves_the_bundle_as_it_was_and_can_be_begun_again() {
    for steps in 0..3 {
        let mut o = Office::new();
        let before = o.w.state.trust();
        let material = Box::new(material(&o.pieces()));
        o.step(RotationStep::Prepare(material.clone())).unwrap();
        for step in [RotationStep::Publish, RotationStep::Cross].into_iter().take(steps) {
            o.step(step).unwrap();
        }
        o.step(RotationStep::Abort).unwrap();
        let after = o.w.state.trust();
        let content = |t: &Trust| (t.roots.clone(), t.issuing.clone(), t.crosses.clone(), t.lists.clone());
        assert_eq!(content(&after), content(&before), "aborted after {steps} steps");
        assert!(after.tainted.is_empty() && after.version > before.version);
        assert_eq!(key_of(after.active_root().unwrap().1), o.root.spki().to_string());
        o.step(RotationStep::Prepare(material)).unwrap();
        o.step(RotationStep::Publish).unwrap();
    }
}

#[test]
fn what_does_not_fit_together_is_not_prepared() {
    let mut o = Office::new();
    let (good, other) = (material(&o.pieces()), material(&o.pieces()));
    let (old_root, old_ca) = (o.root.der().to_vec(), o.infra.der().to_vec());
    let mut bad = |what: &str, change: &dyn Fn(&mut Material)| {
        let mut material = good.clone();
        change(&mut material);
        let refused = o.step(RotationStep::Prepare(Box::new(material))).expect_err(what);
        assert_eq!(refused.code(), codes::TRUST_MATERIAL, "{what}: {refused}");
    };
    bad("no revocation list", &|m| m.list.clear());
    bad("a list that has ended", &|m| m.list_ends = Timestamp::from_millis(1));
    bad("a CA is missing", &|m| drop(m.issuing.pop()));
    // Roots of two ceremonies have one name: only the signature, which nodes look at, tells their CAs apart.
    bad("a CA that stays under the old root", &|m| m.issuing[0] = old_ca.clone());
    bad("a cross certificate of another root", &|m| m.new_by_old = other.new_by_old.clone());
    bad("cross certificates the wrong way round", &|m| std::mem::swap(&mut m.new_by_old, &mut m.old_by_new));
    bad("the old root again", &|m| m.root = Some(old_root.clone()));
    bad("an issuing CA as root", &|m| m.root = Some(m.issuing[0].clone()));
    bad("no certificate", &|m| m.root = Some(b"x".to_vec()));
    bad("a certificate without end", &|m| m.root = Some(vec![0x30; 20_000]));
    o.step(RotationStep::Prepare(Box::new(good))).unwrap();
}

#[test]
fn a_revoked_ca_does_not_come_back_under_the_new_root() {
    let mut o = Office::new();
    let pieces = o.pieces();
    // Revoked between the ceremony and the step: by the serial that everybody knows.
    o.step(RotationStep::Prepare(Box::new(material(&pieces)))).unwrap();
    let serial = o.infra.serial().to_owned();
    o.w.operator(Op::Revoke { serial: serial.clone(), reason: "key-compromise".into() }).unwrap();
    let again =
        pieces.issuing.iter().map(|d| ca_facts(d).unwrap()).find(|f| f.key_id == o.infra.spki()).unwrap();
    assert!(o.w.state.revocation(&again.serial).is_some(), "every certificate of its key is revoked with it");
    let refused = o.step(RotationStep::Publish).unwrap_err();
    assert!(refused.to_string().contains("revoked"), "{refused}");
    o.step(RotationStep::Abort).unwrap();
    let refused = o.step(RotationStep::Prepare(Box::new(material(&pieces)))).unwrap_err();
    assert_eq!(refused.code(), codes::TRUST_MATERIAL);
    let rest: Vec<_> =
        pieces.issuing.iter().filter(|d| key_of(d) != o.infra.spki().to_string()).cloned().collect();
    let without = Material { issuing: rest, ..material(&pieces) };
    o.step(RotationStep::Prepare(Box::new(without))).unwrap();
    // And revoked while both stand in the bundle.
    o.step(RotationStep::Publish).unwrap();
    o.step(RotationStep::Cross).unwrap();
    o.w.operator(Op::Revoke { serial: o.subject.serial().to_owned(), reason: "key-compromise".into() })
        .unwrap();
    o.acknowledge(&[]);
    assert_eq!(o.step(activate(&[])).unwrap_err().code(), codes::TRUST_MATERIAL);
}

#[test]
fn an_issuing_ca_gets_a_new_key_the_same_way_and_the_old_one_ends_revoked() {
    let mut o = Office::new();
    let now = OffsetDateTime::now_utc();
    let new = o.root.create_issuing(spec(CaPurpose::Infra), Validity::days(now, 1_000)).unwrap();
    let (old_key, new_key) = (o.infra.spki().to_string(), new.spki().to_string());
    let given = |ca: &Authority| {
        RotationStep::Prepare(Box::new(Material { issuing: vec![ca.der().to_vec()], ..Material::default() }))
    };
    let same = given(&o.infra);
    assert!(o.step(same).is_err(), "the key it has is no new one");
    let any = o.root.create_issuing(spec(CaPurpose::Any), Validity::days(now, 1_000)).unwrap();
    assert!(o.step(given(&any)).is_err(), "there is nothing of this purpose to replace");
    o.step(given(&new)).unwrap();
    o.step(RotationStep::Publish).unwrap();
    assert_eq!(o.issuer(&new_key).state, IssuerState::Staged);
    assert_eq!(o.step(RotationStep::Cross).unwrap_err().code(), codes::ROTATION_PHASE);
    assert_eq!(o.step(activate(&[])).unwrap_err().code(), codes::TRUST_UNACKNOWLEDGED);
    o.acknowledge(&[]);
    o.step(activate(&[])).unwrap();
    assert_eq!(
        (o.issuer(&old_key).state, o.issuer(&new_key).state),
        (IssuerState::Retired, IssuerState::Active)
    );
    assert_eq!(o.step(RotationStep::Retire { force: None }).unwrap_err().code(), codes::DRAIN_NOT_OVER);
    o.w.now += 31 * DAY_MS + 1_000;
    o.step(RotationStep::Retire { force: None }).unwrap();
    assert!(o.w.state.revocation(o.infra.serial()).is_some(), "it still stands under a trusted root");
    assert!(o.w.state.trust().issuing.iter().all(|d| key_of(d) != old_key));
}

#[test]
fn a_city_gets_its_own_ca_later() {
    let mut o = Office::new();
    let now = OffsetDateTime::now_utc();
    let any = |r: &str| IssuingSpec { region: region(r), ..spec(CaPurpose::Any) };
    let add = |o: &mut Office, ca: &[u8], since: u64| {
        let (version, certificate) = (o.w.state.trust().changes, ca.to_vec());
        o.w.operator(Op::AddIssuer { version, certificate, since_epoch: Epoch::from_u64(since) })
    };
    let elsewhere = o.root.create_issuing(any("440900"), Validity::days(now, 100)).unwrap();
    assert!(add(&mut o, elsewhere.der(), 0).is_err(), "there is no such platform");
    let city = o.root.create_issuing(any("440300"), Validity::days(now, 100)).unwrap();
    let infra = o.infra.der().to_vec();
    assert!(add(&mut o, &infra, 0).is_err(), "it is there already");
    let second = o.root.create_issuing(spec(CaPurpose::Infra), Validity::days(now, 100)).unwrap();
    let refused = add(&mut o, second.der(), 0).unwrap_err();
    assert!(refused.to_string().contains("rotate"), "{refused}");
    add(&mut o, city.der(), 7).unwrap();
    let row = o.issuer(&city.spki().to_string());
    assert_eq!(
        (row.state, row.since_epoch, row.platform),
        (IssuerState::Active, Epoch::from_u64(7), Some(region("440300")))
    );
    assert_eq!((o.w.state.trust_version(), o.w.state.trust().issuing.len()), (2, 3));
    let stranger =
        Authority::create_root("x", &"gd.eport.example".parse().unwrap(), Validity::days(now, 100)).unwrap();
    let foreign = stranger.create_issuing(any("440300"), Validity::days(now, 90)).unwrap();
    assert!(add(&mut o, foreign.der(), 0).is_err(), "another root's");
}

#[test]
fn two_persons_are_needed_whatever_the_list_says_but_one_may_stop_it() {
    let mut o = Office::new();
    let material = Box::new(material(&o.pieces()));
    for id in ["admin", "second"] {
        let roles = [OperatorRole::Administrator].into();
        let operator =
            Operator { id: id.into(), name: id.into(), roles, suspended: false, since: Timestamp::default() };
        o.w.operator(Op::PutOperator(operator)).unwrap();
    }
    let set = |name: &str, value: &str| Op::SetSetting(Setting { name: name.into(), value: value.into() });
    o.w.operator(set(OPERATOR_SIGNATURES, "optional")).unwrap();
    o.w.operator(Op::SetTwoPerson(true)).unwrap();
    let waits = o.step(RotationStep::Prepare(material)).unwrap();
    let Outcome::AwaitsApproval { approval, digest, .. } = waits else { panic!("{waits:?}") };
    assert!(o.w.state.trust().rotation.is_none());
    let decide = Op::DecideApproval { approval, digest, approve: true };
    let command = o.w.command("operator/second", decide);
    o.w.apply(&command).unwrap();
    assert_eq!(o.w.state.trust().rotation.unwrap().phase, RotationPhase::Prepared);
    o.step(RotationStep::Abort).unwrap();
    assert_eq!(o.w.state.trust().rotation.unwrap().phase, RotationPhase::Aborted);
}
