//! What breaks, and for how long.

use super::{FAULTS_END_MS, Happens, World};
use eport_catalog::sync::Quarantine;
use rand::Rng;

impl World {
    pub(super) fn crash(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        (n.up, n.running, n.quarantine) = (false, None, Quarantine::default());
        (n.fails, n.pause_until) = (0, 0);
        let ms = self.rng.random_range(100..20_000);
        self.after(ms, Happens::Back { node });
    }

    pub(super) fn fault(&mut self) {
        if self.now >= FAULTS_END_MS {
            for n in &mut self.nodes {
                (n.up, n.disk.full) = (true, false);
            }
            self.cut.clear();
            return;
        }
        let ms = self.rng.random_range(200..4_000);
        self.after(ms, Happens::Fault);
        let node = self.rng.random_range(0..self.nodes.len());
        let lasts = self.rng.random_range(100..30_000);
        match self.rng.random_range(0..4) {
            0 if self.nodes[node].up => {
                if self.nodes[node].running.is_some() {
                    self.hit("catalog.crash_in_fetch");
                }
                self.crash(node);
            }
            1 if node > 0 => {
                self.hit("catalog.disk_full");
                self.nodes[node].disk.full = true;
                self.after(lasts, Happens::Space { node });
            }
            2 if self.sites.len() > 1 => {
                let (a, b) =
                    (self.rng.random_range(0..self.sites.len()), self.rng.random_range(0..self.sites.len()));
                let sites = (a.min(b), a.max(b));
                if a != b && self.cut.insert(sites) {
                    self.hit("catalog.link_cut");
                    self.after(lasts, Happens::Mend { sites });
                }
            }
            // The first node's objects are what the promise stands on.
            3 if node > 0 && !self.nodes[node].disk.objects.is_empty() => {
                self.hit("catalog.lost_object");
                let place = self.rng.random_range(0..self.nodes[node].disk.objects.len());
                let lost = self.nodes[node].disk.objects.keys().nth(place).copied();
                if let Some(lost) = lost {
                    self.nodes[node].disk.lose(&lost);
                }
            }
            _ => {}
        }
    }
}
