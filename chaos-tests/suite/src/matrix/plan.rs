//! Which cells are run: every step and every fault at least once, and every pair of (move, fault), (move, victim),
//! (fault, victim), (moment, fault) and (moment, victim) that can be.
//!
//! Always: the same list for the same steps and faults; nothing is drawn.

use super::fault::{FAULTS, Fault};
use super::steps::{self, Kind, Moment, Step, Who};
use std::collections::BTreeSet;

/// Whom a fault hits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Victim {
    /// Who stands at the place.
    Here,
    /// Another part of the move.
    Other(Who),
}

/// Every victim.
pub const VICTIMS: [Victim; 5] = [
    Victim::Here,
    Victim::Other(Who::Old),
    Victim::Other(Who::Target),
    Victim::Other(Who::Leader),
    Victim::Other(Who::Cli),
];

/// One cell: a fault while somebody stands at a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cell {
    /// Where.
    pub step: Step,
    /// What.
    pub fault: Fault,
    /// Whom.
    pub victim: Victim,
}

impl Cell {
    /// The part of the move that is hit.
    pub fn hit(&self) -> Who {
        match self.victim {
            Victim::Here => self.step.who,
            Victim::Other(who) => who,
        }
    }

    /// True when this can be: a command has no disk, a dead primary cannot be hit again, a return has no command.
    fn can_be(&self) -> bool {
        let hit = self.hit();
        let named_twice = matches!(self.victim, Victim::Other(who) if who == self.step.who);
        let gone = self.step.kind == Kind::Failover && hit == Who::Old;
        let nobody = self.step.kind == Kind::Return && hit == Who::Cli;
        !named_twice && !gone && !nobody && self.fault.can_hit(hit)
    }

    fn pairs(&self) -> [Pair; 5] {
        let (kind, moment, fault, victim) = (self.step.kind, self.step.moment, self.fault, self.victim);
        [
            Pair::MoveFault(kind, fault),
            Pair::MoveVictim(kind, victim),
            Pair::FaultVictim(fault, victim),
            Pair::MomentFault(moment, fault),
            Pair::MomentVictim(moment, victim),
        ]
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Pair {
    MoveFault(Kind, Fault),
    MoveVictim(Kind, Victim),
    FaultVictim(Fault, Victim),
    MomentFault(Moment, Fault),
    MomentVictim(Moment, Victim),
}

/// Every cell that can be.
pub fn possible() -> Vec<Cell> {
    let mut cells = Vec::new();
    for step in steps::all() {
        for fault in FAULTS {
            cells.extend(VICTIMS.map(|victim| Cell { step, fault, victim }));
        }
    }
    cells.retain(Cell::can_be);
    cells
}

/// The cells that are run, in the order of their moves.
pub fn cover() -> Vec<Cell> {
    let cells = possible();
    let mut open: BTreeSet<Pair> = cells.iter().flat_map(Cell::pairs).collect();
    let mut idle: BTreeSet<Step> = cells.iter().map(|c| c.step).collect();
    let mut chosen = Vec::new();
    while !open.is_empty() || !idle.is_empty() {
        // A step that nobody has come to yet counts as much as everything a cell can cover. The first of the best is taken.
        let worth = |c: &Cell| {
            let new = c.pairs().iter().filter(|p| open.contains(p)).count();
            new + if idle.contains(&c.step) { 6 } else { 0 }
        };
        let mut best: Option<(usize, Cell)> = None;
        for cell in &cells {
            let w = worth(cell);
            if best.is_none_or(|(most, _)| w > most) {
                best = Some((w, *cell));
            }
        }
        let Some((_, cell)) = best else { break };
        cell.pairs().iter().for_each(|p| {
            open.remove(p);
        });
        idle.remove(&cell.step);
        chosen.push(cell);
    }
    chosen.sort();
    chosen
}

/// `kill -9` of whoever stands there, for every step where the cover has another fault: the one that every step must survive.
pub fn kills(chosen: &[Cell]) -> Vec<Cell> {
    let kill = |step| Cell { step, fault: Fault::Kill, victim: Victim::Here };
    steps::all().into_iter().map(kill).filter(|c| c.can_be() && !chosen.contains(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_every_fault_and_every_pair_that_can_be_is_in_the_cover() {
        let (possible, chosen) = (possible(), cover());
        let steps = |cells: &[Cell]| cells.iter().map(|c| c.step).collect::<BTreeSet<_>>();
        let pairs = |cells: &[Cell]| cells.iter().flat_map(Cell::pairs).collect::<BTreeSet<_>>();
        assert_eq!(steps(&possible), steps(&chosen));
        assert_eq!(steps(&chosen).len(), steps::all().len(), "a step that nothing can hit");
        assert_eq!(pairs(&possible), pairs(&chosen));
        assert!(FAULTS.iter().all(|f| chosen.iter().any(|c| c.fault == *f)));
        assert!(
            chosen
                .iter()
                .chain(&kills(&chosen))
                .filter(|c| c.fault == Fault::Kill && c.victim == Victim::Here)
                .count()
                >= 70
        );
        assert!(chosen.len() <= 150, "{} cells do not run within twenty minutes", chosen.len());
        eprintln!("{} of {} cells", chosen.len(), possible.len());
    }
}
