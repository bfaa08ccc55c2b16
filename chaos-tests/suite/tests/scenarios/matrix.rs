//! A small, fixed part of the matrix of steps and faults in the ordinary suite; the whole is `make matrix`.
// Tests: an unwrap is an assertion, and they read the real clock.

use eport_suite::matrix::fault::Fault;
use eport_suite::matrix::steps::{self, Kind, Who};
use eport_suite::matrix::{Cell, Ground, Victim, run};

fn cell(kind: Kind, who: Who, place: &str, fault: Fault, victim: Victim) -> Cell {
    let step = steps::all().into_iter().find(|s| (s.kind, s.who, s.place) == (kind, who, place));
    Cell { step: step.unwrap_or_else(|| panic!("no step {place} of {kind}")), fault, victim }
}

/// Killed between two steps, stopped, cut off: each a step that cannot be hit by luck, and each must be come to.
#[test]
fn processes_that_are_hit_between_two_steps_of_a_move_break_no_promise() {
    let cells = [
        cell(Kind::Switchover, Who::Old, "append.switch_proposed.after", Fault::Kill, Victim::Here),
        cell(Kind::Switchover, Who::Target, "append.epoch_start.after", Fault::Kill, Victim::Here),
        cell(Kind::Switchover, Who::Leader, "raft.CommitSwitch.after", Fault::Kill, Victim::Here),
        cell(Kind::Failover, Who::Target, "seal.after", Fault::Kill, Victim::Here),
        cell(Kind::Failover, Who::Cli, "call.after", Fault::Kill, Victim::Here),
    ];
    let mut ground = Ground::new().unwrap_or_else(|e| panic!("{e:#}"));
    for (n, cell) in cells.iter().enumerate() {
        let outcome = run(&mut ground, cell, n);
        let outcome = outcome.unwrap_or_else(|e| panic!("{cell:?}: {e:#}\n{}", ground.fed.logs()));
        eprintln!("{cell:?} -> {outcome:?}");
        assert!(outcome.reached, "nobody came to {cell:?}: was a place renamed?");
    }
}
