//! Quorum lost: which plans count, who may carry them out, and what the new lineage begins with.
// Tests: an unwrap is an assertion, and they read the real clock.

use crate::common;
use common::*;
use eport_authority::{Authority, CaPurpose, CommandKey, IssuingSpec, Key, LeafNames, Validity};
use eport_model::{
    Coded, Digest, Epoch, EpochHistory, JournalIndex, Lineage, NodeId, Timestamp, TrustDomain, codes,
};
use eport_registry::recover::{Refused, *};
use eport_registry::*;
use eport_signature::{Envelope, Statement, issuer_facts};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};

const TOKEN: &str = "blue-crane-17";

/// Somebody with certificate and key.
struct Signer {
    by: String,
    certificate: Vec<u8>,
    serial: String,
    key: CommandKey,
}

/// A production federation with voters gz-a-1, gz-c-1 and sz-a-1, of which gz-a-1 and gz-c-1 are lost.
struct Office {
    w: World,
    province: Authority,
    start: OffsetDateTime,
    next: Lineage,
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

fn signer(issued: &eport_authority::Issued, by: String) -> Signer {
    Signer {
        by,
        certificate: der(&issued.chain_pem),
        serial: issued.serial.clone(),
        key: CommandKey::from_pem(issued.key_pem.as_ref().unwrap()).unwrap(),
    }
}

impl Office {
    fn new(two_person: bool) -> Self {
        let mut w = World::with_platform();
        let start = OffsetDateTime::from_unix_timestamp(w.now / 1_000).unwrap();
        let domain: TrustDomain = "gd.eport.example".parse().unwrap();
        let root = Authority::create_root("gd", &domain, Validity::days(start, 100)).unwrap();
        let spec = IssuingSpec {
            region: region("440000"),
            purpose: CaPurpose::Any,
            epoch: Epoch::INITIAL,
            loopback: true,
        };
        let province = root.create_issuing(spec, Validity::days(start, 50)).unwrap();
        for authority in [&root, &province] {
            let certificate = der(authority.certificate_pem());
            let facts = issuer_facts(&certificate).unwrap();
            let (key_id, name, platform) = (facts.key_id.to_string(), facts.name, facts.region);
            let state = IssuerState::Active;
            w.operator(Op::PutIssuer(Issuer {
                key_id,
                name,
                platform,
                certificate,
                state,
                since_epoch: eport_model::Epoch::NONE,
            }))
            .unwrap();
        }
        for (id, role) in [("ada", OperatorRole::Administrator), ("bo", OperatorRole::Approver)] {
            let (roles, since) = ([role].into(), Timestamp::default());
            let operator = Operator { id: id.into(), name: id.into(), roles, suspended: false, since };
            w.operator(Op::PutOperator(operator)).unwrap();
        }
        let required = Setting { name: OPERATOR_SIGNATURES.into(), value: "required".into() };
        if two_person {
            w.operator(Op::SetTwoPerson(true)).unwrap();
        }
        // Last: from here on commands of tests would need signatures, and two persons for guards.
        if !two_person {
            w.operator(Op::SetSetting(required)).unwrap();
        }
        Self { w, province, start, next: Lineage::from_bytes([9; 16]) }
    }

    fn person(&self, id: &str) -> Signer {
        let validity = Validity::days(self.start, 30);
        let issued = self.province.issue_operator(id, Key::Generate, Epoch::INITIAL, validity).unwrap();
        signer(&issued, format!("operator/{id}"))
    }

    fn node(&self, id: &str) -> Signer {
        let home = self.w.state.node(node(id)).map_or(region("440000"), |n| n.region);
        let validity = Validity::days(self.start, 30);
        let names = LeafNames::default();
        let issued = self
            .province
            .issue_node(home, node(id), &names, Key::Generate, Epoch::INITIAL, validity)
            .unwrap();
        signer(&issued, format!("platform/{home}/node/{id}"))
    }

    fn plan(&self, id: &str, last: u64) -> RecoveryPlan {
        let place = |index| LogPlace { term: 3, index };
        RecoveryPlan {
            format: PLAN_FORMAT,
            federation: "gd".into(),
            lineage: self.w.state.federation().unwrap().lineage,
            node: node(id),
            site: "sz-a".parse().unwrap(),
            made_at_ms: Timestamp::from_millis(self.w.now),
            term: 3,
            applied: place(last - 2),
            committed: place(last - 1),
            last: place(last),
            voters: ["gz-a-1", "gz-c-1", "sz-a-1"].map(node).to_vec(),
            state: self.w.state.digest(),
            journals: vec![JournalKept {
                region: region("440300"),
                last: at(1, 40),
                applied: JournalIndex::from_u64(40),
                history: EpochHistory::default(),
                duty: "primary".into(),
            }],
            losses: Vec::new(),
            revocations: Vec::new(),
            token: token_digest(TOKEN),
        }
    }

    fn file(&self, plan: RecoveryPlan) -> PlanFile {
        let by_node = self.signs(&self.node(plan.node.as_str()), &plan, &plan_statement(&plan));
        PlanFile { plan, by_node, endorsed: Vec::new() }
    }

    fn signs(&self, who: &Signer, plan: &RecoveryPlan, statement: &Statement) -> Endorsement {
        let mut id = [0; 16];
        id.copy_from_slice(&plan.digest().as_bytes()[..16]);
        let envelope = Envelope { lineage: plan.lineage, id, by: &who.by, at_ms: self.w.now };
        let signature = who.key.sign(&statement.bytes(&envelope)).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        Endorsement { certificate: hex(&who.certificate), at_ms: self.w.now, signature: hex(&signature) }
    }

    fn applies(&self, who: &Signer, plan: &RecoveryPlan) -> Endorsement {
        let lost = ["gz-a-1", "gz-c-1"].map(node);
        self.signs(who, plan, &apply_statement(plan, self.next, &lost, TailChoice::Commit))
    }

    /// Carried out by ada with everything in order but what the caller changed.
    fn judge(&self, files: &[PlanFile], confirmed: &[&str], token: &str) -> Result<Verdict, Refused> {
        let here = files.first().map_or_else(|| self.plan("sz-a-1", 50), |f| f.plan.clone());
        let by = self.applies(&self.person("ada"), &here);
        self.judge_with(&here, files, confirmed, token, Some(&by))
    }

    fn judge_with(
        &self,
        here: &RecoveryPlan,
        files: &[PlanFile],
        confirmed: &[&str],
        token: &str,
        by: Option<&Endorsement>,
    ) -> Result<Verdict, Refused> {
        let confirmed: Vec<NodeId> = confirmed.iter().map(|n| node(n)).collect();
        let request = Request {
            here,
            files,
            tail: TailChoice::Commit,
            token,
            confirmed: &confirmed,
            lineage: self.next,
            by,
            now: Timestamp::from_millis(self.w.now),
        };
        judge(&self.w.state, &request)
    }
}

const LOST: [&str; 2] = ["gz-a-1", "gz-c-1"];

fn code(result: Result<Verdict, Refused>) -> eport_model::Code {
    result.unwrap_err().code()
}

#[test]
fn the_survivor_with_its_own_plan_every_lost_voter_named_and_the_token_is_taken() {
    let o = Office::new(false);
    let file = o.file(o.plan("sz-a-1", 50));
    let verdict = o.judge(std::slice::from_ref(&file), &LOST, TOKEN).unwrap();
    assert_eq!(verdict.survivors, [node("sz-a-1")]);
    assert_eq!(verdict.lost, LOST.map(node));
    assert_eq!(verdict.log_index, 50, "commit: every entry counts");
    assert_eq!(verdict.persons[0].by, "operator/ada");
    // A learner that survives beside it is a survivor too, and one more node may be known to be stopped.
    let learner = o.file(o.plan("gz-a-2", 49));
    let verdict = o.judge(&[file, learner], &LOST, TOKEN).unwrap();
    assert_eq!(verdict.survivors, [node("gz-a-2"), node("sz-a-1")]);
}

#[test]
fn what_another_survivor_knows_to_be_committed_is_never_dropped() {
    let o = Office::new(false);
    let (own, mut other) = (o.plan("sz-a-1", 50), o.plan("gz-a-2", 45));
    let behind = RecoveryPlan {
        applied: LogPlace { term: 3, index: 30 },
        committed: LogPlace { term: 3, index: 31 },
        ..own.clone()
    };
    other.committed = LogPlace { term: 3, index: 44 };
    let files = [o.file(behind.clone()), o.file(other)];
    let lost = LOST.map(node);
    let by = o.signs(&o.person("ada"), &behind, &apply_statement(&behind, o.next, &lost, TailChoice::Drop));
    let request = Request {
        here: &behind,
        files: &files,
        tail: TailChoice::Drop,
        token: TOKEN,
        confirmed: &lost,
        lineage: o.next,
        by: Some(&by),
        now: Timestamp::from_millis(o.w.now),
    };
    assert_eq!(judge(&o.w.state, &request).unwrap().log_index, 44);
}

#[test]
fn a_voter_that_nobody_confirmed_to_be_stopped_ends_the_recovery() {
    let o = Office::new(false);
    let files = [o.file(o.plan("sz-a-1", 50))];
    match o.judge(&files, &["gz-a-1"], TOKEN) {
        Err(Refused::Unnamed(nodes)) => assert_eq!(nodes, [node("gz-c-1")]),
        other => panic!("{other:?}"),
    }
    let named = |n: &str| o.judge(&files, &["gz-a-1", "gz-c-1", n], TOKEN).unwrap_err();
    assert!(matches!(named("sz-a-1"), Refused::Named { .. }), "a survivor is not stopped for good");
    assert!(matches!(named("xx-9"), Refused::Named { .. }), "a node that never was");
}

#[test]
fn survivors_that_are_a_majority_have_lost_nothing() {
    let o = Office::new(false);
    let files = [o.file(o.plan("sz-a-1", 50)), o.file(o.plan("gz-c-1", 50))];
    assert_eq!(code(o.judge(&files, &["gz-a-1"], TOKEN)), codes::QUORUM_NOT_LOST);
}

#[test]
fn a_survivor_that_knows_less_is_sent_to_the_one_that_knows_more() {
    let o = Office::new(false);
    let files = [o.file(o.plan("sz-a-1", 50)), o.file(o.plan("gz-a-2", 51))];
    match o.judge(&files, &LOST, TOKEN) {
        Err(Refused::NotBest { better, .. }) => assert_eq!(better, node("gz-a-2")),
        other => panic!("{other:?}"),
    }
    // A later term counts more than a longer log.
    let mut newer = o.plan("gz-a-2", 10);
    newer.last = LogPlace { term: 4, index: 10 };
    let files = [o.file(o.plan("sz-a-1", 50)), o.file(newer)];
    assert_eq!(code(o.judge(&files, &LOST, TOKEN)), codes::RECOVERY_NOT_BEST);
}

#[test]
fn a_plan_of_another_federation_or_a_changed_one_is_no_plan() {
    let o = Office::new(false);
    let good = o.file(o.plan("sz-a-1", 50));
    let own = std::slice::from_ref(&good);
    let mut foreign = o.plan("gz-a-2", 49);
    foreign.lineage = Lineage::from_bytes([8; 16]);
    let with = |file: PlanFile| o.judge(&[good.clone(), file], &LOST, TOKEN);
    assert!(matches!(with(o.file(foreign)), Err(Refused::Lineage { .. })));
    // Every field is covered by the node's signature.
    let mut tampered = o.file(o.plan("gz-a-2", 49));
    tampered.plan.last.index = 10;
    assert_eq!(code(with(tampered)), codes::RECOVERY_PLAN_UNUSABLE);
    let mut tampered = o.file(o.plan("gz-a-2", 49));
    tampered.plan.revocations.push(Revocation {
        serial: "01".into(),
        reason: "x".into(),
        at: Timestamp::default(),
        by: "y".into(),
    });
    assert_eq!(code(with(tampered)), codes::RECOVERY_PLAN_UNUSABLE);
    // Signed, but by another node of the federation.
    let mut lent = o.file(o.plan("gz-a-2", 49));
    lent.by_node = o.signs(&o.node("gz-a-1"), &lent.plan, &plan_statement(&lent.plan));
    assert_eq!(code(with(lent)), codes::RECOVERY_PLAN_UNUSABLE);
    let stranger = Office::new(false);
    let mut forged = o.file(o.plan("gz-a-2", 49));
    forged.by_node = stranger.signs(&stranger.node("gz-a-2"), &forged.plan, &plan_statement(&forged.plan));
    assert_eq!(code(with(forged)), codes::RECOVERY_PLAN_UNUSABLE);
    for nonsense in ["", "zz", "00", &"ab".repeat(40_000)] {
        let mut bad = o.file(o.plan("gz-a-2", 49));
        bad.by_node.certificate = nonsense.to_string();
        assert_eq!(code(with(bad)), codes::RECOVERY_PLAN_UNUSABLE);
        let mut bad = o.file(o.plan("gz-a-2", 49));
        bad.by_node.signature = nonsense.to_string();
        assert_eq!(code(with(bad)), codes::RECOVERY_PLAN_UNUSABLE);
    }
    let mut newer = o.plan("gz-a-2", 49);
    newer.format = 9;
    assert_eq!(code(with(o.file(newer))), codes::RECOVERY_PLAN_UNUSABLE);
    assert_eq!(code(o.judge(&[good.clone(), good.clone()], &LOST, TOKEN)), codes::RECOVERY_PLAN_UNUSABLE);
    assert_eq!(code(o.judge(&[], &LOST, TOKEN)), codes::RECOVERY_PLAN_UNUSABLE);
    assert_eq!(code(o.judge(&vec![good.clone(); 65], &LOST, TOKEN)), codes::RECOVERY_PLAN_UNUSABLE);
    assert!(o.judge(own, &LOST, TOKEN).is_ok());
    let only_other = [o.file(o.plan("gz-a-2", 49))];
    let by = o.applies(&o.person("ada"), &good.plan);
    let missing = o.judge_with(&good.plan, &only_other, &LOST, TOKEN, Some(&by));
    assert_eq!(code(missing), codes::RECOVERY_PLAN_UNUSABLE, "the own plan is missing");
}

#[test]
fn a_plan_serves_one_directory_in_one_state_with_its_own_token() {
    let o = Office::new(false);
    let file = o.file(o.plan("sz-a-1", 50));
    let own = std::slice::from_ref(&file);
    assert_eq!(code(o.judge(own, &LOST, "blue-crane-18")), codes::RECOVERY_TOKEN);
    assert_eq!(code(o.judge(own, &LOST, "")), codes::RECOVERY_TOKEN);
    let by = o.applies(&o.person("ada"), &file.plan);
    for changed in [
        RecoveryPlan { last: LogPlace { term: 3, index: 51 }, ..file.plan.clone() },
        RecoveryPlan { state: Digest::of(b"other"), ..file.plan.clone() },
        RecoveryPlan { journals: Vec::new(), ..file.plan.clone() },
    ] {
        let verdict = o.judge_with(&changed, own, &LOST, TOKEN, Some(&by));
        assert_eq!(code(verdict), codes::RECOVERY_PLAN_OVER, "eportd ran in between");
    }
    // After it was carried out the directory belongs to the new lineage and the plan is over.
    let verdict = o.judge(own, &LOST, TOKEN).unwrap();
    let (after, _) = descend(&o.w.state, &descent(&o, &verdict, &[]));
    let here = RecoveryPlan { lineage: o.next, ..file.plan.clone() };
    let request = Request {
        here: &here,
        files: own,
        tail: TailChoice::Commit,
        token: TOKEN,
        confirmed: &LOST.map(node),
        lineage: Lineage::from_bytes([10; 16]),
        by: None,
        now: Timestamp::from_millis(o.w.now),
    };
    assert!(matches!(judge(&after, &request), Err(Refused::Reused { .. })));
}

#[test]
fn who_carries_it_out_signs_and_where_two_are_asked_for_another_person_consents() {
    let o = Office::new(false);
    let file = o.file(o.plan("sz-a-1", 50));
    let own = std::slice::from_ref(&file);
    let judged = |o: &Office, files: &[PlanFile], by: Option<&Endorsement>| {
        o.judge_with(&files[0].plan, files, &LOST, TOKEN, by)
    };
    assert_eq!(code(judged(&o, own, None)), codes::RECOVERY_PERSONS, "signatures are required here");
    for id in ["bo", "nobody"] {
        let by = o.applies(&o.person(id), &file.plan);
        assert_eq!(code(judged(&o, own, Some(&by))), codes::RECOVERY_PERSONS, "{id} is no administrator");
    }
    let other_words = o.signs(
        &o.person("ada"),
        &file.plan,
        &apply_statement(&file.plan, o.next, &[node("gz-a-1")], TailChoice::Commit),
    );
    assert_eq!(code(judged(&o, own, Some(&other_words))), codes::RECOVERY_PERSONS, "other voters were named");

    let o = Office::new(true);
    let (ada, bo) = (o.person("ada"), o.person("bo"));
    let mut file = o.file(o.plan("sz-a-1", 50));
    let by = o.applies(&ada, &file.plan);
    assert_eq!(code(judged(&o, &[file.clone()], Some(&by))), codes::RECOVERY_PERSONS, "one is not two");
    let endorse = |who: &Signer| o.signs(who, &file.plan, &endorse_statement(&file.plan));
    let (same, other) = (endorse(&ada), endorse(&bo));
    file.endorsed = vec![same.clone()];
    assert_eq!(code(judged(&o, &[file.clone()], Some(&by))), codes::RECOVERY_PERSONS, "the same person");
    file.endorsed = vec![Endorsement { signature: other.signature.clone(), ..same }];
    assert_eq!(code(judged(&o, &[file.clone()], Some(&by))), codes::RECOVERY_PERSONS, "another's signature");
    file.endorsed = vec![other.clone()];
    let verdict = judged(&o, &[file.clone()], Some(&by)).unwrap();
    assert_eq!(
        verdict.persons.iter().map(|p| p.by.as_str()).collect::<Vec<_>>(),
        ["operator/ada", "operator/bo"]
    );
    // A certificate that any survivor knows to be revoked consents to nothing.
    let mut knows = o.plan("gz-a-2", 49);
    let (serial, reason) = (bo.serial.clone(), "lost card".to_owned());
    knows.revocations.push(Revocation {
        serial,
        reason,
        at: Timestamp::default(),
        by: "operator/ada".into(),
    });
    let files = [file.clone(), o.file(knows)];
    assert_eq!(code(judged(&o, &files, Some(&by))), codes::RECOVERY_PERSONS, "revoked elsewhere");
    // Signed for this plan, not for the next one.
    let mut again = o.plan("sz-a-1", 50);
    again.token = token_digest("another");
    let mut again = o.file(again);
    again.endorsed = vec![other];
    let by = o.applies(&ada, &again.plan);
    let verdict = o.judge_with(&again.plan, &[again.clone()], &LOST, "another", Some(&by));
    assert_eq!(code(verdict), codes::RECOVERY_PERSONS);
    let late = Duration::days(60).whole_milliseconds() as i64;
    let mut o = o;
    o.w.now += late;
    assert!(judged(&o, &[file], Some(&o.applies(&ada, &again.plan))).is_err(), "certificates expire");
}

fn descent<'a>(o: &Office, verdict: &'a Verdict, journals: &'a [FoundJournal]) -> Descent<'a> {
    Descent {
        lineage: o.next,
        founder: node("sz-a-1"),
        verdict,
        tail: TailChoice::Commit,
        plan: Digest::of(b"plan"),
        plans: vec![Digest::of(b"plan")],
        journals,
        now: Timestamp::from_millis(o.w.now),
    }
}

#[test]
fn the_new_lineage_raises_epochs_and_numbers_ends_memberships_and_serves_what_survived_whole() {
    let mut o = Office::new(false);
    let before = o.w.placement().clone();
    let block = o.w.state.number_blocks(region("440300"), before.epoch)[0];
    // A second platform whose primary is lost; the survivor keeps a copy.
    o.w.state = World::with_platform().state;
    o.w.operator(Op::CreatePlatform {
        region: region("440100"),
        name_zh: "广州".into(),
        name_en: "Guangzhou".into(),
        primary: node("gz-c-1"),
        backups: sync(&["sz-a-1", "gz-a-1"]),
        policy: policy(DurabilityMode::Sync, 1),
    })
    .unwrap();
    let moving = o.w.open("gz-a-1").unwrap();
    let verdict = Verdict {
        survivors: vec![node("sz-a-1")],
        lost: LOST.map(node).to_vec(),
        log_index: 50,
        revocations: vec![Revocation {
            serial: "ab".into(),
            reason: "stolen".into(),
            at: Timestamp::default(),
            by: "operator/ada".into(),
        }],
        persons: Vec::new(),
    };
    let journals = [
        FoundJournal { region: region("440300"), last: at(1, 40) },
        FoundJournal { region: region("440100"), last: at(1, 12) },
    ];
    let (state, fates) = descend(&o.w.state, &descent(&o, &verdict, &journals));

    let own = state.placement(region("440300")).unwrap();
    let raised = Epoch::from_u64(before.last_epoch.as_u64() + EPOCH_RAISE);
    assert_eq!((own.epoch, own.last_epoch, own.start), (raised, raised, at(1, 40)));
    assert_eq!((own.primary, own.state), (node("sz-a-1"), PlacementState::Active));
    assert!(own.backups.is_empty() && own.proven_k == 0 && own.start_k == 0);
    let fresh = state.number_blocks(region("440300"), raised);
    assert!(fresh[0].start >= block.end() + NUMBER_RAISE, "{fresh:?}");
    assert_eq!(state.movement(moving).unwrap().state, MoveState::Aborted);

    let other = state.placement(region("440100")).unwrap();
    assert_eq!((other.state, other.epoch), (PlacementState::Stopped, Epoch::INITIAL), "a person decides");
    assert_eq!(other.last_epoch.as_u64(), 1 + EPOCH_RAISE);
    assert_eq!(other.backups.len(), 1);
    assert!(!other.backups[0].in_sync);
    assert_eq!(state.seal_quorum(other), 1, "no number of answers proves anything: {other:?}");

    let alive: Vec<&str> = state.nodes().filter(|n| n.is_member()).map(|n| n.id.as_str()).collect();
    assert_eq!(alive, ["sz-a-1"]);
    assert!(state.revocation("ab").is_some(), "what any survivor knew is revoked");
    assert_eq!(state.parentage().ancestors, [Lineage::from_bytes([7; 16])]);
    assert_eq!(state.federation().unwrap().lineage, o.next);
    let audit = state.audit().next_back().unwrap();
    assert!(audit.kind == "quorum.recover" && audit.what.contains("lost=gz-a-1,gz-c-1"), "{audit:?}");
    assert!(fates.iter().any(|f| f.region == region("440300") && !f.waits() && f.blocked));
    assert!(fates.iter().any(|f| f.region == region("440100") && f.waits() && f.kept == Some(at(1, 12))));

    // Stored and read back it is the same state, and a second break descends from both.
    let again = State::from_rows(state.rows()).unwrap();
    assert!(again == state, "{again:?}");
    let second = Descent { lineage: Lineage::from_bytes([11; 16]), ..descent(&o, &verdict, &journals) };
    let (state, _) = descend(&state, &second);
    assert_eq!(state.parentage().ancestors, [o.next, Lineage::from_bytes([7; 16])]);
}

#[test]
fn a_surviving_journal_is_adopted_only_where_no_primary_lives_and_its_node_can_open_it() {
    let mut o = Office::new(false);
    o.w.state = World::with_platform().state;
    let (r, sz) = (region("440300"), node("sz-a-1"));
    // The primary's key and the data key made for it.
    let holder = |id: &str, public: u8| {
        Op::PutHolder(Holder {
            name: HolderName::Node(node(id)),
            public: [public; 32],
            at: Timestamp::default(),
        })
    };
    o.w.by_node(sz, holder("sz-a-1", 1)).unwrap();
    let wrap = Wrap { holder: HolderName::Node(sz), public: [1; 32], wrapped: vec![7; 60] };
    let key = Op::PutDataKey { region: r, id: 1, check: Digest::of(b"k"), wraps: vec![wrap] };
    o.w.by_node(sz, key).unwrap();
    let adopt = |w: &mut World, id: &str, start| {
        let version = w.version();
        w.operator(Op::AdoptJournal { region: r, version, node: node(id), start })
    };
    assert!(adopt(&mut o.w, "gz-a-2", at(1, 40)).is_err(), "the primary is a member");
    // The quorum is lost with the primary; gz-a-1 founds, and the old primary's directory joins again as sz-a-9.
    let verdict = Verdict {
        survivors: vec![node("gz-a-1")],
        lost: vec![sz, node("gz-c-1")],
        log_index: 50,
        revocations: Vec::new(),
        persons: Vec::new(),
    };
    let (state, _) = descend(&o.w.state, &Descent { founder: node("gz-a-1"), ..descent(&o, &verdict, &[]) });
    o.w.state = state;
    o.w.operator(Op::AddNode(new_node("sz-a-9", "sz-a", "440300"))).unwrap();
    assert!(adopt(&mut o.w, "sz-a-9", at(1, 40)).is_err(), "its key is not known yet");
    o.w.by_node(node("sz-a-9"), holder("sz-a-9", 2)).unwrap();
    assert!(adopt(&mut o.w, "sz-a-9", at(1, 40)).is_err(), "another key opens nothing");
    o.w.by_node(node("sz-a-9"), holder("sz-a-9", 1)).unwrap();
    assert!(adopt(&mut o.w, "sz-a-9", at(0, 0)).is_err(), "an empty journal is none");
    assert!(adopt(&mut o.w, "sz-a-9", at(3_000_000, 41)).is_err(), "an epoch that never was");
    let version = o.w.version();
    adopt(&mut o.w, "sz-a-9", at(1, 40)).unwrap();
    let placement = o.w.placement().clone();
    assert_eq!((placement.primary, placement.start), (node("sz-a-9"), at(1, 40)));
    assert_eq!(placement.epoch.as_u64(), 2 + EPOCH_RAISE);
    assert_eq!((placement.state, placement.version), (PlacementState::Active, version + 1));
    assert!(o.w.state.can_open(r, node("sz-a-9")), "the copy for the same key counts under the new id");
    assert!(adopt(&mut o.w, "gz-a-1", at(1, 40)).is_err(), "now a primary lives");
}
