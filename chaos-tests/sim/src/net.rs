//! Links between nodes: delay, loss, duplication, cuts in one or both directions. Reordering comes from delay.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// State of all directed links.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    cut: Vec<Vec<bool>>,
    pub(crate) loss_percent: u32,
    pub(crate) dup_percent: u32,
    pub(crate) delay_max: u64,
}

impl Net {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { cut: vec![vec![false; nodes]; nodes], loss_percent: 0, dup_percent: 0, delay_max: 5 }
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from][to]
    }

    pub(crate) fn set(&mut self, from: usize, to: usize, cut: bool) {
        if from != to {
            self.cut[from][to] = cut;
        }
    }

    /// Cuts or joins one node and all others.
    pub(crate) fn isolate(&mut self, node: usize, cut: bool) {
        for other in 0..self.cut.len() {
            self.set(node, other, cut);
            self.set(other, node, cut);
        }
    }

    /// Both directions work.
    pub(crate) fn connected(&self, a: usize, b: usize) -> bool {
        !self.cut[a][b] && !self.cut[b][a]
    }

    pub(crate) fn heal(&mut self) {
        for row in &mut self.cut {
            row.fill(false);
        }
        self.loss_percent = 0;
        self.dup_percent = 0;
        self.delay_max = 5;
    }

    pub(crate) fn delay(&self, rng: &mut ChaCha8Rng) -> u64 {
        rng.random_range(1..=self.delay_max)
    }

    pub(crate) fn is_lost(&self, rng: &mut ChaCha8Rng) -> bool {
        self.loss_percent > 0 && rng.random_range(0..100) < self.loss_percent
    }

    pub(crate) fn is_doubled(&self, rng: &mut ChaCha8Rng) -> bool {
        self.dup_percent > 0 && rng.random_range(0..100) < self.dup_percent
    }
}
