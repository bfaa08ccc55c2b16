//! The fast part of the simulator's promise; `make sim` runs it over thousands of seeds.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use eport_sim::{CATALOG_REQUIRED, CatalogOptions, Coverage, Options, PROMISES, run, run_catalogs};

/// Seeds of the fast suite.
const SEEDS: u64 = 300;

/// Reached by every few seeds; the full list belongs to long runs.
const EXPECTED: &[&str] = &[
    "answer.done_replicated",
    "answer.unknown",
    "failover.commit",
    "fault.crash",
    "fault.isolate",
    "fault.unsynced_lost",
    "message.lower_epoch",
    "move.copy",
    "restart.primary",
    "seal.persisted",
    "switch.commit",
    "tail.exported",
    "tail.rewound",
    "tail.truncated",
    "tail.uploaded",
];

#[test]
fn no_invariant_breaks_over_the_first_seeds() {
    let mut total = Coverage::default();
    for seed in 1..=SEEDS {
        let (coverage, failure) = run(seed, &Options::default());
        total.add(&coverage);
        assert!(
            failure.is_none(),
            "{failure:?}\nREPRODUCE WITH: cargo run -p eport-sim --bin eport-sim -- --seed {seed} --trace"
        );
    }
    for name in EXPECTED {
        assert!(total.count(name) > 0, "{name} was never reached");
    }
}

/// Seeds that once failed: a copy became its primary's stream and the rewind that it had interrupted was never finished (two
/// seeds); what a backup had heard before it was in sync was taken for proof; a primary waited for a backup that waited for
/// it; a greeting from before the cut of a new primary's tail counted after it; a disk that had
/// just begun anew was taken in sync; a backup was dropped that alone held, with another, what the registry took for proven;
/// a tail of a later epoch, left behind by a failover, was taken for the best position of an earlier one.
#[test]
fn seeds_that_once_failed_pass() {
    for seed in [18_694, 78_128, 47_426, 99_694, 50_399, 14_436, 6_014_791, 6_015_999, 6_044_401] {
        let failure = run(seed, &Options::default()).1;
        assert!(failure.is_none(), "seed {seed}: {failure:?}");
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    let counts = |seed| run(seed, &Options::default()).0.counts().collect::<Vec<_>>();
    assert_eq!(counts(7), counts(7));
    assert_ne!(counts(7), counts(8));
}

/// Seeds of the fast suite for catalogs.
const CATALOG_SEEDS: u64 = 60;

#[test]
fn catalogs_arrive_whole_whoever_lies_and_whatever_breaks() {
    let mut total = Coverage::default();
    for seed in 1..=CATALOG_SEEDS {
        let done = run_catalogs(seed, &CatalogOptions::default());
        total.add(&done.coverage);
        let command = format!("cargo run -p eport-sim --bin eport-sim -- --catalogs --seed {seed} --trace");
        assert!(done.failure.is_none(), "{:?}\nREPRODUCE WITH: {command}", done.failure);
    }
    for name in CATALOG_REQUIRED {
        assert!(total.count(name) > 0, "{name} was never reached");
    }
    let counts = |seed| run_catalogs(seed, &CatalogOptions::default()).coverage.counts().collect::<Vec<_>>();
    assert_eq!(counts(3), counts(3), "equal seeds give equal runs");
}

#[test]
fn the_first_uplink_carries_about_one_copy_to_two_and_twenty_sites() {
    for (sites, a_site) in [(22, 1), (22, 3), (8, 3)] {
        for seed in 1..=5 {
            let calm = CatalogOptions { calm: Some((sites, a_site)), ..CatalogOptions::default() };
            let done = run_catalogs(seed, &calm);
            assert!(done.failure.is_none(), "{sites} × {a_site}, seed {seed}: {:?}", done.failure);
            assert!(done.uplink_copies <= 2.3 && done.slowest_ms < 3_000, "{done:?}");
        }
    }
}

/// Bugs of a disk need no feature: they are put into the world around the fetch.
#[test]
fn a_disk_that_proves_nothing_or_lists_too_early_is_found() {
    let found = |bug: &str| {
        let options = CatalogOptions { bug: Some(bug.to_owned()), ..CatalogOptions::default() };
        let failure = (1..=CATALOG_SEEDS).find_map(|seed| run_catalogs(seed, &options).failure);
        failure.unwrap_or_else(|| panic!("{bug} was not found")).invariant
    };
    // Wrong bytes that are taken: whoever sent them is not named, or they are found behind the list.
    assert!([PROMISES[0], PROMISES[1], PROMISES[6]].contains(&found("unproven")));
    assert_eq!(found("listed_first"), PROMISES[1]);
}

/// Checks the checker: each bug put in on purpose is found by the invariants that it breaks.
#[cfg(feature = "planted-bugs")]
mod planted {
    use super::{CATALOG_SEEDS, CatalogOptions, Options, PROMISES, run, run_catalogs};

    #[test]
    fn bugs_of_the_fetch_are_found() {
        let found = |bug: &str, calm| {
            let options = CatalogOptions { bug: Some(bug.to_owned()), calm, ..CatalogOptions::default() };
            let failure = (1..=CATALOG_SEEDS).find_map(|seed| run_catalogs(seed, &options).failure);
            failure.unwrap_or_else(|| panic!("{bug} was not found")).invariant
        };
        for bug in ["missing_asked_again", "listed_early"] {
            assert_eq!(found(bug, None), PROMISES[4], "{bug}");
        }
        for bug in ["wrong_ends_all", "wrong_unnamed"] {
            assert_eq!(found(bug, None), PROMISES[6], "{bug}");
        }
        assert_eq!(found("impatient", Some((22, 1))), PROMISES[5]);
    }

    fn found(bug: &str, indirect: bool, within: u64) -> String {
        let options = Options { bug: Some(bug.to_owned()), indirect, ..Options::default() };
        let failure = (1..=within).find_map(|seed| run(seed, &options).1);
        failure.unwrap_or_else(|| panic!("{bug} was not found in {within} seeds")).invariant.to_owned()
    }

    /// Some seed breaks exactly this invariant first.
    fn found_as(bug: &str, invariant: &str, within: u64) {
        let options = Options { bug: Some(bug.to_owned()), ..Options::default() };
        let is = |seed| run(seed, &options).1.is_some_and(|f| f.invariant == invariant);
        assert!((1..=within).any(is), "{bug} never broke {invariant:?} in {within} seeds");
    }

    #[test]
    fn an_acknowledgement_before_the_fsync_is_found_directly_and_by_its_consequences() {
        assert_eq!(found("ack_before_fsync", false, 5), "only fsynced is acknowledged");
        found("ack_before_fsync", true, 10_000);
    }

    #[test]
    fn a_hello_by_index_only_is_found() {
        found("hello_by_index_only", false, 100);
    }

    #[test]
    fn a_report_without_a_seal_is_found() {
        found("no_seal", false, 3_000);
    }

    #[test]
    fn counting_a_backup_that_is_not_recorded_is_found() {
        found("commit_counts_unrecorded", false, 5_000);
    }

    #[test]
    fn going_on_alone_silently_or_too_early_is_found() {
        found_as("silent_degrade", "local only when it is recorded", 500);
        assert_eq!(found("degrade_too_early", false, 10_000), "a proven failover loses no earlier answer");
    }

    #[test]
    fn every_way_to_stretch_a_lease_is_found() {
        let bugs = [
            "lease_checked_before_pause",
            "lease_from_receipt",
            "seal_while_keeping",
            "new_leader_judges_at_once",
            "grants_after_deciding",
        ];
        for bug in bugs {
            assert_eq!(found(bug, false, 20_000), "lease: no answer beside a new primary", "{bug}");
        }
    }

    #[test]
    fn rules_of_handover_and_fencing_are_found_where_they_are_broken() {
        let waits = "unresolved switchover waits for a linearizable read";
        assert_eq!(found("opens_unresolved", false, 3_000), waits);
        assert_eq!(found("resume_on_local_view", false, 5_000), waits);
        assert_eq!(found("inherited_by_count", false, 500), "inherited records commit with EpochStart");
        assert_eq!(found("accepts_lower_epochs", false, 100), "I12 lower epoch changes nothing");
        assert_eq!(found("step_down_ignored", false, 500), "a StepDown stops at once");
    }

    #[test]
    fn a_truncation_before_the_export_is_held_elsewhere_is_found() {
        assert_eq!(found("truncate_before_export", false, 100), "I10 export before truncation");
        assert_eq!(found("truncate_before_upload", false, 100), "I10 export before truncation");
    }

    #[test]
    fn a_disk_that_forgets_and_still_counts_is_found() {
        let lost = "a proven failover loses no earlier answer";
        assert_eq!(found("counts_while_bootstrapping", false, 300), lost);
        found_as("lost_stays_candidate", lost, 5_000);
    }

    #[test]
    fn rows_of_a_tail_that_outlive_it_are_found() {
        assert_eq!(found("whole_before_rewound", false, 20_000), "I11 rows are those of the journal");
    }
}
