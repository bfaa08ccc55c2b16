//! Quotas: an operator's command on the version seen; and the least durability of answers, which a policy must be able to keep.

use crate::common;
use common::*;
use eport_model::{Coded, Durability, codes};
use eport_registry::*;

fn set(version: u64, limits: QuotaLimits) -> Op {
    Op::SetQuota { region: region("440300"), version, limits }
}

fn rate(requests_per_s: u32) -> QuotaLimits {
    QuotaLimits { requests_per_s: Some(requests_per_s), ..QuotaLimits::default() }
}

#[test]
fn of_two_operators_who_saw_the_same_quota_one_wins_and_a_move_of_the_platform_disturbs_neither() {
    let mut w = World::with_platform();
    let r = region("440300");
    assert!(w.state.quota_limits(r).is_none() && w.state.quota(r).is_none());
    w.operator(set(0, rate(100))).unwrap();
    assert_eq!(w.operator(set(0, rate(5))).unwrap_err().code(), codes::VERSION_CONFLICT);
    // The placement changes, the quota's version does not.
    let before = w.version();
    w.in_sync_add("gz-a-2").ok();
    let version = w.version();
    w.operator(Op::SetPolicy {
        region: r,
        version,
        policy: policy(DurabilityMode::Sync, 1),
        backups: vec![
            PolicyBackup { node: node("gz-a-1"), role: Role::Sync },
            PolicyBackup { node: node("gz-c-1"), role: Role::Async },
        ],
    })
    .unwrap();
    assert!(w.version() > before);
    w.operator(set(1, QuotaLimits { disk_bytes: Some(1 << 30), ..rate(7) })).unwrap();
    let quota = w.state.quota(r).unwrap();
    assert_eq!((quota.version, quota.limits.burst(), quota.by.as_str()), (2, Some(14), "operator/admin"));
    assert_eq!(State::from_rows(w.stored.clone()).unwrap(), w.state, "the row survives a restart");
    w.operator(set(2, QuotaLimits::default())).unwrap();
    assert!(w.state.quota_limits(r).is_none() && w.state.quota(r).unwrap().version == 3);
}

#[test]
fn a_quota_that_bounds_nothing_sensible_or_comes_from_a_node_is_refused() {
    let mut w = World::with_platform();
    let none = QuotaLimits::default();
    for bad in [
        rate(0),
        rate(1_000_001),
        QuotaLimits { burst: Some(5), ..none },
        QuotaLimits { burst: Some(0), ..rate(5) },
        QuotaLimits { bytes_in_flight: Some(1), ..none },
        QuotaLimits { disk_bytes: Some(1), ..none },
    ] {
        let refused = w.operator(set(0, bad)).unwrap_err();
        assert_eq!(refused.code(), codes::REGISTRY_REFUSED, "{bad:?}");
    }
    let by_node = w.by_node(node("sz-a-1"), set(0, rate(5))).unwrap_err();
    assert_eq!(by_node.code(), codes::NOT_ENTITLED);
    let nowhere = Op::SetQuota { region: region("441900"), version: 0, limits: rate(5) };
    assert_eq!(w.operator(nowhere).unwrap_err().code(), codes::NOT_FOUND);
    assert!(w.state.quota(region("440300")).is_none());
}

#[test]
fn what_is_signed_of_a_quota_names_every_bound_and_the_version() {
    let op = set(3, QuotaLimits { burst: Some(9), bytes_in_flight: Some(1 << 20), ..rate(5) });
    let other = set(3, QuotaLimits { burst: Some(10), bytes_in_flight: Some(1 << 20), ..rate(5) });
    assert_ne!(op.statement().digest(), other.statement().digest());
    assert_ne!(op.statement().digest(), set(4, rate(5)).statement().digest());
    assert!(statement::KINDS.contains(&op.statement().kind()));
}

#[test]
fn min_durability_is_refused_where_the_policy_could_never_keep_it() {
    let mut w = World::with_platform();
    let replicated = |p: Policy| Policy { min_durability: Durability::Replicated, ..p };
    let auto = policy(DurabilityMode::AutoSync, 1);
    for (bad, word) in [
        (replicated(policy(DurabilityMode::Async, 0)), "async"),
        (replicated(Policy { same_site: true, ..policy(DurabilityMode::Sync, 1) }), "same_site"),
        (replicated(Policy { isolation: Isolation::Degrade, ..auto }), "degrade"),
    ] {
        let refused = set_policy(&mut w, bad).unwrap_err();
        assert!(
            matches!(&refused, Refusal::Invalid { field, .. } if field == "min_durability"),
            "{refused:?}"
        );
        assert!(refused.to_string().contains(word), "{refused}");
    }
    for good in [replicated(policy(DurabilityMode::Sync, 1)), replicated(auto)] {
        set_policy(&mut w, good).unwrap();
        assert_eq!(w.placement().policy.min_durability, Durability::Replicated);
    }
    // Only an operator may set it.
    let version = w.version();
    let op = Op::SetPolicy { region: region("440300"), version, policy: auto, backups: backups() };
    assert_eq!(w.by_node(node("sz-a-1"), op).unwrap_err().code(), codes::NOT_ENTITLED);
}

fn backups() -> Vec<PolicyBackup> {
    ["gz-a-1", "gz-c-1"].map(|n| PolicyBackup { node: node(n), role: Role::Sync }).into()
}

fn set_policy(w: &mut World, policy: Policy) -> Result<Outcome, Refusal> {
    let version = w.version();
    w.operator(Op::SetPolicy { region: region("440300"), version, policy, backups: backups() })
}
