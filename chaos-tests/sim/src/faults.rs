//! Faults, each with an end.

use crate::world::{Event, World};
use eport_registry::Isolation;
use rand::Rng;

/// A fault that ends by itself.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Isolate(usize),
    OneWay(usize, usize),
    Split(Vec<usize>),
    Noise,
    SlowDisk(usize),
    RegistryCut(usize),
    LostReplies,
}

impl World {
    /// Something breaks.
    pub(crate) fn fault(&mut self) {
        if self.healing.is_some() {
            return;
        }
        let every = self.profile.fault_every_ms;
        let next = self.rng.random_range(every / 2..every * 2);
        self.after(next, Event::Fault);
        self.copy_disks();
        let node = self.victim();
        let lasts = self.rng.random_range(100..2_500);
        if self.profile.isolation == Isolation::Degrade && self.chance(15) {
            return self.cut_off(node);
        }
        match self.rng.random_range(0..100) {
            0..12 => self.crash(node, lasts),
            12..16 => self.lose_disk(lasts),
            16..22 => self.power_loss(node, lasts),
            22..34 => self.pause(node, lasts),
            34..48 => self.isolate(node, lasts),
            48..58 => self.one_way(node, lasts),
            58..66 => self.split(lasts),
            66..74 => self.noise(lasts),
            74..82 => self.slow_disk(node, lasts),
            82..88 => self.cut_from_registry(node, lasts),
            88..93 => self.outage(lasts),
            93..97 => self.lose_replies(lasts),
            _ => self.break_storage(node),
        }
    }

    /// A site loses its line for longer than a primary waits before it goes on alone.
    fn cut_off(&mut self, node: usize) {
        self.cover.hit("fault.cut_off");
        self.note(|| format!("n{node} loses peers and registry"));
        let lasts = self.rng.random_range(2_500..8_000);
        self.net.isolate(node, true);
        self.registry.cut[node] = true;
        self.after(lasts, Event::EndFault(Fault::RegistryCut(node)));
        self.after(lasts, Event::EndFault(Fault::Isolate(node)));
        if self.chance(50) {
            // The others miss it, now or later: before and after it went on alone.
            let soon = self.rng.random_range(100..5_000);
            self.after(soon, Event::Failover { lossy: false });
        }
    }

    /// Several nodes lose power in the same instant.
    fn power_loss(&mut self, node: usize, lasts: u64) {
        self.cover.hit("fault.power_loss");
        self.struck(node, "power_loss");
        self.crash(node, lasts);
        for other in 0..self.hosts.len() {
            if self.chance(35) {
                let back = self.rng.random_range(50..2_500);
                self.crash(other, back);
            }
        }
    }

    /// The primary more often than others: most rules are about its death.
    fn victim(&mut self) -> usize {
        let primary = self.hosts.iter().position(crate::host::Host::is_primary);
        match primary {
            Some(primary) if self.chance(45) => primary,
            _ => self.rng.random_range(0..self.hosts.len()),
        }
    }

    pub(crate) fn pause(&mut self, node: usize, lasts: u64) {
        if self.hosts[node].is_up() {
            self.cover.hit("fault.pause");
            self.struck(node, "pause");
            self.note(|| format!("n{node} pauses"));
            self.hosts[node].paused = true;
            self.after(lasts, Event::Resume { node });
        }
    }

    pub(crate) fn isolate(&mut self, node: usize, lasts: u64) {
        self.cover.hit("fault.isolate");
        self.struck(node, "isolate");
        self.note(|| format!("n{node} is cut off"));
        self.net.isolate(node, true);
        if self.chance(50) {
            self.registry.cut[node] = true;
            self.after(lasts, Event::EndFault(Fault::RegistryCut(node)));
        }
        self.after(lasts, Event::EndFault(Fault::Isolate(node)));
    }

    fn one_way(&mut self, node: usize, lasts: u64) {
        let other = self.rng.random_range(0..self.hosts.len());
        self.cover.hit("fault.asymmetric");
        self.struck(node, "asymmetric");
        self.note(|| format!("n{node} > n{other} is cut"));
        self.net.set(node, other, true);
        self.after(lasts, Event::EndFault(Fault::OneWay(node, other)));
    }

    fn split(&mut self, lasts: u64) {
        let group: Vec<usize> = (0..self.hosts.len()).filter(|_| self.rng.random_range(0..2) == 0).collect();
        self.cover.hit("fault.split");
        self.note(|| format!("{group:?} is split from the rest"));
        self.split_links(&group, true);
        self.after(lasts, Event::EndFault(Fault::Split(group)));
    }

    fn split_links(&mut self, group: &[usize], cut: bool) {
        for a in 0..self.hosts.len() {
            for b in 0..self.hosts.len() {
                if group.contains(&a) != group.contains(&b) {
                    self.net.set(a, b, cut);
                }
            }
        }
    }

    fn noise(&mut self, lasts: u64) {
        self.all_struck("noise");
        self.net.loss_percent = self.rng.random_range(5..40);
        self.net.dup_percent = self.rng.random_range(5..40);
        self.net.delay_max = self.rng.random_range(20..400);
        self.after(lasts, Event::EndFault(Fault::Noise));
    }

    fn slow_disk(&mut self, node: usize, lasts: u64) {
        self.cover.hit("fault.slow_disk");
        self.struck(node, "slow_disk");
        self.note(|| format!("n{node} has a slow disk"));
        self.hosts[node].slow = true;
        self.after(lasts, Event::EndFault(Fault::SlowDisk(node)));
        if self.chance(40) {
            // The array behind several of them is slow.
            for other in 0..self.hosts.len() {
                self.hosts[other].slow = true;
                self.after(lasts, Event::EndFault(Fault::SlowDisk(other)));
            }
        }
    }

    fn cut_from_registry(&mut self, node: usize, lasts: u64) {
        self.cover.hit("fault.registry_cut");
        self.note(|| format!("n{node} loses the registry"));
        self.registry.cut[node] = true;
        self.after(lasts, Event::EndFault(Fault::RegistryCut(node)));
    }

    fn outage(&mut self, lasts: u64) {
        self.cover.hit("fault.registry_outage");
        self.all_struck("registry_outage");
        self.note(|| format!("registry is down for {lasts}"));
        self.registry.outage_until = self.now + lasts;
    }

    fn lose_replies(&mut self, lasts: u64) {
        self.registry.loses_replies = true;
        self.after(lasts, Event::EndFault(Fault::LostReplies));
    }

    fn break_storage(&mut self, node: usize) {
        if self.hosts[node].is_up() {
            self.hosts[node].storage_fails = true;
        }
    }

    pub(crate) fn end_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Isolate(node) => self.net.isolate(node, false),
            Fault::OneWay(from, to) => self.net.set(from, to, false),
            Fault::Split(group) => self.split_links(&group, false),
            Fault::Noise if self.healing.is_none() => {
                self.net.loss_percent = self.profile.noise_percent;
                self.net.dup_percent = self.profile.noise_percent;
                self.net.delay_max = 20;
            }
            Fault::Noise => {}
            Fault::SlowDisk(node) => self.hosts[node].slow = false,
            Fault::RegistryCut(node) => self.join_registry(node),
            Fault::LostReplies => self.registry.loses_replies = false,
        }
    }

    /// The node reaches the registry again and learns what it missed.
    pub(crate) fn join_registry(&mut self, node: usize) {
        self.registry.cut[node] = false;
        if let Some(view) = self.registry.view.clone() {
            let ms = self.rng.random_range(1..200);
            self.after(ms, Event::View { node, view: Box::new(view) });
        }
    }
}
