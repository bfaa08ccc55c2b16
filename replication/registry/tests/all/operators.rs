//! Whose word a command is: signatures, roles, two persons, and the audit of both.
// Tests: an unwrap is an assertion, and they read the real clock.

use crate::common;
use common::*;
use eport_authority::{Authority, CaPurpose, CommandKey, IssuingSpec, Key, Validity};
use eport_model::{Coded, Epoch, RegionCode, Timestamp, TrustDomain, codes};
use eport_registry::*;
use eport_signature::{Envelope, issuer_facts};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::collections::BTreeSet;
use time::{Duration, OffsetDateTime};

mod two_persons;

const DAY_MS: i64 = 86_400_000;

/// An operator with certificate and key.
struct Person {
    by: String,
    certificate: Vec<u8>,
    serial: String,
    key: CommandKey,
}

/// A federation in production with a province CA, a city CA and three listed operators.
struct Office {
    w: World,
    province: Authority,
    city: Authority,
    start: OffsetDateTime,
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

fn issuer(authority: &Authority) -> Op {
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

fn listed(id: &str, roles: &[OperatorRole]) -> Op {
    Op::PutOperator(Operator {
        id: id.into(),
        name: id.into(),
        roles: roles.iter().copied().collect(),
        suspended: false,
        since: Timestamp::default(),
    })
}

fn set(name: &str, value: &str) -> Op {
    Op::SetSetting(Setting { name: name.into(), value: value.into() })
}

fn stop(w: &World, stopped: bool) -> Op {
    Op::SetStopped { region: region("440300"), version: w.version(), stopped }
}

impl Office {
    fn new() -> Self {
        let mut w = World::with_platform();
        let start = OffsetDateTime::from_unix_timestamp(w.now / 1_000).unwrap();
        let domain: TrustDomain = "gd.eport.example".parse().unwrap();
        let root = Authority::create_root("gd", &domain, Validity::days(start, 100)).unwrap();
        let ca = |code: &str| {
            let region: RegionCode = code.parse().unwrap();
            let spec = IssuingSpec { region, purpose: CaPurpose::Any, epoch: Epoch::INITIAL, loopback: true };
            root.create_issuing(spec, Validity::days(start, 50)).unwrap()
        };
        let (province, city) = (ca("440000"), ca("440300"));
        let founding = [
            issuer(&root),
            issuer(&province),
            issuer(&city),
            listed("ada", &[OperatorRole::Administrator]),
            listed("bo", &[OperatorRole::Approver]),
            listed("pub", &[OperatorRole::Publisher]),
            set(OPERATOR_SIGNATURES, "required"),
            Op::SetTwoPerson(true),
        ];
        let last = founding.len() - 1;
        for (n, op) in founding.into_iter().enumerate() {
            if n < last {
                w.operator(op).unwrap();
            }
        }
        let mut office = Self { w, province, city, start };
        office.gives("ada", Op::SetTwoPerson(true)).unwrap();
        office
    }

    fn person(&self, id: &str) -> Person {
        Self::issued(&self.province, self.start, id, 30)
    }

    fn issued(authority: &Authority, start: OffsetDateTime, id: &str, days: i64) -> Person {
        let issued =
            authority.issue_operator(id, Key::Generate, Epoch::INITIAL, Validity::days(start, days)).unwrap();
        Person {
            by: format!("operator/{id}"),
            certificate: der(&issued.chain_pem),
            serial: issued.serial.clone(),
            key: CommandKey::from_pem(issued.key_pem.as_ref().unwrap()).unwrap(),
        }
    }

    /// A node with its certificate; it speaks as a person does.
    fn node(&self, id: &str) -> Person {
        let home = self.w.state.node(node(id)).unwrap().region;
        let names = eport_authority::LeafNames::default();
        let validity = Validity::days(self.start, 30);
        let issued = self
            .province
            .issue_node(home, node(id), &names, Key::Generate, Epoch::INITIAL, validity)
            .unwrap();
        Person {
            by: format!("platform/{home}/node/{id}"),
            certificate: der(&issued.chain_pem),
            serial: issued.serial.clone(),
            key: CommandKey::from_pem(issued.key_pem.as_ref().unwrap()).unwrap(),
        }
    }

    fn signed(&mut self, person: &Person, op: Op) -> Command {
        let mut command = self.w.command(&person.by, op);
        sign(&self.w.state, person, &mut command);
        command
    }

    fn gives(&mut self, id: &str, op: Op) -> Result<Outcome, Refusal> {
        let person = self.person(id);
        self.by(&person, op)
    }

    fn by(&mut self, person: &Person, op: Op) -> Result<Outcome, Refusal> {
        let command = self.signed(person, op);
        self.w.apply(&command)
    }

    fn decide(&mut self, person: &Person, id: CommandId, approve: bool) -> Result<Outcome, Refusal> {
        let digest = self.w.state.approval(id).unwrap().digest;
        self.by(person, Op::DecideApproval { approval: id, digest, approve })
    }
}

fn sign(state: &State, person: &Person, command: &mut Command) {
    let at_ms = command.at.as_millis();
    let lineage = state.federation().unwrap().lineage;
    let envelope = Envelope { lineage, id: command.id.0, by: &person.by, at_ms };
    let signature = person.key.sign(&command.op.statement().bytes(&envelope)).unwrap();
    command.proof = Some(Proof { certificate: person.certificate.clone(), at_ms, signature });
}

fn waiting(outcome: Result<Outcome, Refusal>) -> CommandId {
    match outcome {
        Ok(Outcome::AwaitsApproval { approval, .. }) => approval,
        other => panic!("nothing waits: {other:?}"),
    }
}

fn fault(outcome: Result<Outcome, Refusal>) -> SignatureFault {
    match outcome {
        Err(Refusal::Signature { why, .. }) => why,
        other => panic!("no signature fault: {other:?}"),
    }
}

fn loss(w: &mut World) -> Op {
    Op::ReserveFailover {
        region: region("440300"),
        move_id: eport_model::MoveId(w.id()),
        to: None,
        expected_version: w.version(),
        accept_data_loss: true,
        old_primary: OldPrimary::Stopped,
        deadline: None,
        plan: bare_plan(),
    }
}

#[test]
fn a_command_in_an_operators_name_without_the_operators_signature_is_refused_by_every_node() {
    let mut o = Office::new();
    let before = o.w.state.digest();
    let op = stop(&o.w, true);
    // What a member node can do: bring a command in the operator's name.
    assert_eq!(fault(o.w.operator(op.clone())), SignatureFault::Missing);
    let mallory = Person { by: "operator/ada".into(), ..o.person("mallory") };
    assert_eq!(fault(o.by(&mallory, op.clone())), SignatureFault::Signer, "another's certificate");
    let stranger = World::with_platform();
    let mut foreign = Office { w: stranger, ..Office::new() };
    foreign.w.drawn = 1_000;
    let command = foreign.signed(&foreign.person("ada"), op.clone());
    assert_eq!(fault(o.w.apply(&command)), SignatureFault::Signer, "another federation's CA");
    assert_eq!(o.w.state.digest(), before, "a forged command leaves no trace");
    o.gives("ada", op).unwrap();
}

#[test]
fn a_changed_command_is_refused_and_does_not_use_up_the_id_of_the_true_one() {
    let mut o = Office::new();
    let ada = o.person("ada");
    let command = o.signed(&ada, stop(&o.w, true));
    let changes: [&dyn Fn(&mut Command); 5] = [
        &|c| c.op = Op::SetStopped { region: region("440300"), version: 99, stopped: true },
        &|c| c.op = set("publish_lead_ms", "1"),
        &|c| c.id = CommandId([9; 16]),
        &|c| c.proof.as_mut().unwrap().at_ms += 1,
        &|c| c.proof.as_mut().unwrap().signature[20] ^= 1,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut changed = command.clone();
        change(&mut changed);
        let refusal = o.w.apply(&changed).unwrap_err();
        assert!(matches!(refusal, Refusal::Signature { .. }), "change {n}: {refusal:?}");
    }
    o.w.apply(&command).unwrap();
    assert_eq!(o.w.placement().state, PlacementState::Stopped);
}

#[test]
fn a_repeated_command_is_answered_once_whatever_a_node_adds_to_it_and_stays_used_up() {
    let mut o = Office::new();
    let ada = o.person("ada");
    let op = |w: &mut World, version| Op::OpenSwitchover {
        region: region("440300"),
        move_id: eport_model::MoveId(w.id()),
        kind: MoveKind::Switchover,
        to: node("gz-a-1"),
        within_ms: 60_000,
        expected_version: version,
        plan: bare_plan(),
    };
    let version = o.w.version();
    let asked = op(&mut o.w, version);
    let first = o.signed(&ada, asked);
    let outcome = o.w.apply(&first).unwrap();
    // After a timeout the operator repeats; the node that takes it draws another move id.
    let again = Command { op: op(&mut o.w, version), ..first.clone() };
    assert_eq!(o.w.apply(&again).unwrap(), outcome);
    // Long after the outcome is forgotten the id still serves nothing.
    let step = o.node("sz-a-1");
    for _ in 0..OUTCOMES_KEPT {
        o.by(&step, Op::PublishHeads(vec![])).unwrap();
    }
    assert!(o.w.state.outcome(first.id).is_none());
    assert!(matches!(o.w.apply(&first), Err(Refusal::IdReused(_))));
}

#[test]
fn expiry_is_judged_by_the_time_of_the_log_and_a_signature_lives_five_minutes() {
    let mut o = Office::new();
    let ada = o.person("ada");
    let op = stop(&o.w, true);
    let old = o.signed(&ada, op.clone());
    let late = Command { at: old.at.plus_millis(SIGNATURE_WINDOW_MS + 1), ..old.clone() };
    assert_eq!(fault(o.w.apply(&late)), SignatureFault::Stale);
    let early = Command { at: old.at.plus_millis(-SIGNATURE_WINDOW_MS - 1), ..old };
    assert_eq!(fault(o.w.apply(&early)), SignatureFault::Stale);
    o.w.now += 31 * DAY_MS;
    assert_eq!(fault(o.by(&ada, op.clone())), SignatureFault::Expired);
    let renewed = Office::issued(&o.province, o.start + Duration::days(20), "ada", 20);
    o.by(&renewed, op).unwrap();
}

#[test]
fn a_revoked_certificate_and_one_of_a_revoked_issuer_sign_nothing() {
    let mut o = Office::new();
    let (ada, spare) = (o.person("ada"), o.person("ada"));
    o.by(&spare, Op::Revoke { serial: ada.serial.clone(), reason: "stolen".into() }).unwrap();
    let op = stop(&o.w, true);
    assert_eq!(fault(o.by(&ada, op.clone())), SignatureFault::Revoked);
    let serial = o.province.serial().trim_start_matches("00").to_owned();
    o.by(&spare, Op::Revoke { serial, reason: "CA key lost".into() }).unwrap();
    let refusal = o.by(&spare, op).unwrap_err();
    assert_eq!(refusal.code(), codes::CERT_REVOKED);
}

#[test]
fn roles_come_from_the_registry_and_a_city_ca_speaks_for_its_city_only() {
    let mut o = Office::new();
    let op = stop(&o.w, true);
    for id in ["bo", "pub", "nobody"] {
        assert_eq!(fault(o.gives(id, op.clone())), SignatureFault::Role, "{id}");
    }
    let publish = Op::PublishTable {
        table: "440000/ports".parse().unwrap(),
        version: 1,
        root: eport_model::Digest::ZERO,
        rows: 1,
        effective: None,
        schema: "{}".into(),
        report: "{}".into(),
    };
    o.gives("pub", publish).unwrap();
    let local = Office::issued(&o.city, o.start, "ada", 30);
    assert_eq!(fault(o.by(&local, set("publish_lead_ms", "1"))), SignatureFault::Role);
    o.by(&local, op).unwrap();
}

/// Publishes version `n` of a table, in force in an hour, under one person's certificate.
fn publishes(o: &mut Office, who: &Person, n: u64) -> Result<Outcome, Refusal> {
    let op = Op::PublishTable {
        table: "440000/ports".parse().unwrap(),
        version: n,
        root: eport_model::Digest::of(&n.to_be_bytes()),
        rows: 1,
        effective: Some(Timestamp::from_millis(o.w.now + 3_600_000)),
        schema: "{}".into(),
        report: "{}".into(),
    };
    o.by(who, op)
}

/// As a bundle brings it to a site without a line: the version with its proof, judged by the registry that the receiver has.
#[test]
fn a_publishers_signature_travels_with_its_version_and_holds_for_these_rows_alone() {
    let mut o = Office::new();
    let publisher = o.person("pub");
    publishes(&mut o, &publisher, 1).unwrap();
    let table: eport_registry::TableId = "440000/ports".parse().unwrap();
    let v = o.w.state.table_versions(&table).next().unwrap().clone();
    let signed = v.signed.clone().unwrap();
    let carried = Command {
        id: signed.id,
        by: v.publisher.clone(),
        at: v.published_at,
        reason: String::new(),
        op: Op::PublishTable {
            table: v.table.clone(),
            version: v.version,
            root: v.root,
            rows: v.rows,
            effective: signed.asked,
            schema: v.schema.clone(),
            report: v.report.clone(),
        },
        proof: Some(signed.proof),
    };
    o.w.state.check_signature(&carried).unwrap();
    type Change = fn(&mut Command);
    let other: [(&str, Change); 6] = [
        ("other rows", |c| {
            if let Op::PublishTable { root, .. } = &mut c.op {
                *root = eport_model::Digest::ZERO
            }
        }),
        ("another number of rows", |c| {
            if let Op::PublishTable { rows, .. } = &mut c.op {
                *rows += 1
            }
        }),
        ("another version", |c| {
            if let Op::PublishTable { version, .. } = &mut c.op {
                *version = 9
            }
        }),
        ("another table", |c| {
            if let Op::PublishTable { table, .. } = &mut c.op {
                *table = "440000/packs".parse().unwrap()
            }
        }),
        ("another instant", |c| {
            if let Op::PublishTable { effective, .. } = &mut c.op {
                *effective = None
            }
        }),
        ("nobody's", |c| c.proof = None),
    ];
    for (what, change) in other {
        let mut changed = carried.clone();
        change(&mut changed);
        assert!(o.w.state.check_signature(&changed).is_err(), "{what}");
    }
    let mut stolen = carried.clone();
    stolen.by = "operator/ada".into();
    assert!(o.w.state.check_signature(&stolen).is_err(), "in another's name");
    // Its key is revoked meanwhile: what it signed is not taken from a bundle any more.
    let ada = o.person("ada");
    let serial = publisher.serial.clone();
    o.by(&ada, Op::Revoke { serial, reason: "key-compromise".into() }).unwrap();
    assert!(o.w.state.check_signature(&carried).is_err(), "a revoked publisher");
}

#[test]
fn a_publishers_key_revoked_for_compromise_withdraws_what_is_not_in_force_yet_and_any_other_reason_does_not()
{
    let mut o = Office::new();
    let pub_a = o.person("pub");
    let table: eport_registry::TableId = "440000/ports".parse().unwrap();
    publishes(&mut o, &pub_a, 1).unwrap();
    o.w.now += 3_700_000;
    let (pub_c, pub_d) = (o.person("pub"), o.person("pub"));
    publishes(&mut o, &pub_c, 2).unwrap();
    publishes(&mut o, &pub_d, 3).unwrap();
    let later = Timestamp::from_millis(o.w.now + 7_200_000);
    let ada = o.person("ada");
    // Superseded: the version takes effect all the same.
    o.by(&ada, Op::Revoke { serial: pub_d.serial.clone(), reason: "superseded".into() }).unwrap();
    assert_eq!(o.w.state.table_as_of(&table, later).unwrap().version, 3);
    // Compromised: what its key signed and is not in force yet is as if it had never been.
    o.by(&ada, Op::Revoke { serial: pub_c.serial.clone(), reason: "key-compromise".into() }).unwrap();
    let state = |n: u64| o.w.state.table_versions(&table).find(|v| v.version == n).unwrap().state.clone();
    assert!(matches!(state(2), VersionState::Withdrawn { .. }) && state(3) == VersionState::Published);
    o.by(&ada, Op::Revoke { serial: pub_a.serial.clone(), reason: "key-compromise".into() }).unwrap();
    let first = o.w.state.table_versions(&table).next().unwrap();
    assert_eq!(first.state, VersionState::Published, "a version in force stays");
    assert!(first.signed.is_some(), "what the publisher signed is kept");
    let now = Timestamp::from_millis(o.w.now);
    assert_eq!(o.w.state.table_as_of(&table, now).unwrap().version, 1);
}

#[test]
fn a_suspended_operator_may_nothing_until_the_suspension_ends() {
    let mut o = Office::new();
    let bo = o.person("bo");
    let suspend = |suspended: bool| {
        let Op::PutOperator(operator) = listed("cho", &[OperatorRole::Administrator]) else { panic!() };
        Op::PutOperator(Operator { suspended, ..operator })
    };
    let cho = o.person("cho");
    for (suspended, may) in [(false, true), (true, false), (false, true)] {
        let id = waiting(o.gives("ada", suspend(suspended)));
        o.decide(&bo, id, true).unwrap();
        let done = o.by(&cho, set("publish_lead_ms", "1"));
        assert_eq!(done.is_ok(), may, "{done:?}");
        if !may {
            assert_eq!(fault(done), SignatureFault::Role);
            // Nor is the word of a suspended operator that of a second person.
            let op = loss(&mut o.w);
            let id = waiting(o.gives("ada", op));
            assert_eq!(fault(o.decide(&cho, id, true)), SignatureFault::Role);
        }
    }
}

#[test]
fn steps_of_nodes_need_no_operator_and_grant_none_of_an_operators_rights() {
    let mut o = Office::new();
    let primary = o.node("sz-a-1");
    let heads = Op::PublishHeads(vec![HeadReport { region: region("440300"), position: at(1, 7) }]);
    o.by(&primary, heads).unwrap();
    let op = stop(&o.w, true);
    assert!(matches!(o.by(&primary, op), Err(Refusal::NotEntitled { .. })));
    let digest = eport_model::Digest::ZERO;
    let approve = Op::DecideApproval { approval: CommandId([1; 16]), digest, approve: true };
    assert!(o.by(&primary, approve).is_err());
    assert_eq!(o.w.state.audit().filter(|a| a.first.by.starts_with("platform/")).count(), 0);
}

#[test]
fn a_leader_cannot_write_the_steps_of_another_node() {
    let mut o = Office::new();
    let (primary, backup) = (o.node("sz-a-1"), o.node("gz-a-1"));
    let op = Op::InSyncRemove { region: region("440300"), version: o.w.version(), node: node("gz-a-1") };
    assert_eq!(fault(o.w.by_node(node("sz-a-1"), op.clone())), SignatureFault::Missing);
    let forged = Person { by: primary.by.clone(), ..backup };
    assert_eq!(fault(o.by(&forged, op)), SignatureFault::Signer);
    let backup = o.node("gz-a-1");
    let op = Op::InSyncAdd { region: region("440300"), version: o.w.version(), node: node("gz-a-1") };
    assert!(
        matches!(o.by(&backup, op.clone()), Err(Refusal::NotEntitled { .. })),
        "its own word, but not its duty"
    );
    let mut signed = o.signed(&primary, op);
    signed.op = Op::InSyncAdd { region: region("440300"), version: o.w.version(), node: node("gz-c-1") };
    assert_eq!(fault(o.w.apply(&signed)), SignatureFault::Mismatch);
}

#[test]
fn audit_and_approvals_are_bounded_and_their_rows_are_deleted_too() {
    let mut w = World::founded(Mode::Dev);
    for _ in 0..AUDIT_KEPT + 5 {
        w.operator(set("publish_lead_ms", "5")).unwrap();
    }
    assert_eq!(w.state.audit().count(), AUDIT_KEPT);
    assert_eq!(w.stored.keys().filter(|k| k[0] == 34).count(), AUDIT_KEPT);
}
