//! Time, publications, nodes, lines and faults of one run.

mod faults;
mod versions;

use super::holder::{Costs, Holder, Manner, wire_len};
use super::place::{Disk, Local, Planted};
use super::{CatalogOptions, CatalogRun, PROMISES, checks};
use crate::Failure;
use bytes::Bytes;
use eport_catalog::sync::{Ask, Event, Fetch, Named, Next, Quarantine, missing};
use eport_catalog::{Member, TableVersion, route, store_content};
use eport_identity::{Digest, NodeId, SiteId};
use eport_model::Timestamp;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use versions::Shelf;

/// Wall clock at the beginning of every run.
const WALL_START: i64 = 1_750_000_000_000;
/// Faults end here at the latest; then everything must arrive within the time behind.
const FAULTS_END_MS: u64 = 120_000;
const HEALED_MS: u64 = 1_800_000;
/// How long a question may stay without an answer, as on a node.
const PART_TIMEOUT_MS: u64 = 20_000;
/// Pause of a node behind a fetch that failed; it doubles four times, as on a node.
const RETRY_MS: u64 = 250;
const LOOK_MS: u64 = 2_000;
const FRESH_MS: u64 = 5_000;
/// Bytes a millisecond over a line between sites.
const LINE_BYTES_MS: u64 = 5_000;
const NAME: &str = "440000/quays";
const TRACE_MAX: usize = 400;

pub(super) struct Found(pub &'static str, pub String);

pub(super) fn wall(now_ms: u64) -> Timestamp {
    Timestamp::from_millis(WALL_START + i64::try_from(now_ms).unwrap_or(0))
}

#[derive(Clone)]
pub(super) struct Published {
    pub version: TableVersion,
    pub at_ms: u64,
    pub effective_ms: u64,
}

struct Node {
    id: NodeId,
    site: SiteId,
    manner: Manner,
    disk: Disk,
    up: bool,
    /// Publications that its registry knows.
    known: usize,
    running: Option<Running>,
    fails: u32,
    pause_until: u64,
    quarantine: Quarantine,
    arrived: BTreeMap<Digest, u64>,
}

struct Running {
    number: u64,
    fetch: Fetch,
    fresh: BTreeMap<Digest, Bytes>,
}

enum Happens {
    Publish,
    Learn { node: usize, known: usize },
    Look { node: usize },
    Question { from: usize, to: usize, number: u64, ask: Ask },
    Told { node: usize, number: u64, event: Event, wrong: Option<NodeId> },
    Fault,
    Back { node: usize },
    Space { node: usize },
    Mend { sites: (usize, usize) },
}

pub(super) struct World {
    seed: u64,
    rng: ChaCha8Rng,
    now: u64,
    made: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Happens>,
    nodes: Vec<Node>,
    sites: Vec<SiteId>,
    cut: BTreeSet<(usize, usize)>,
    plan: Vec<Published>,
    published: usize,
    truth: BTreeMap<Digest, Vec<u8>>,
    library: Disk,
    costs: Costs,
    all: Vec<Digest>,
    calm: bool,
    planted: Planted,
    #[cfg(feature = "planted-bugs")]
    bug: Option<eport_catalog::sync::Bug>,
    /// Bytes of each content that left the first site.
    uplink: BTreeMap<Digest, u64>,
    run: CatalogRun,
    trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, options: &CatalogOptions) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (sites, a_site) =
            options.calm.unwrap_or_else(|| (rng.random_range(2..=9), rng.random_range(1..=3)));
        let names: Vec<SiteId> = (0..sites).filter_map(|s| format!("s{s}-a").parse().ok()).collect();
        let mut nodes = Vec::new();
        for n in 0..sites * a_site {
            let (site, number) = (names[n / a_site], n % a_site + 1);
            let Ok(id) = format!("{site}-{number}").parse::<NodeId>() else { continue };
            let lies = n > 0 && options.calm.is_none() && rng.random_range(0..10) < 3;
            let manner = match lies {
                true => Manner::LIES[rng.random_range(0..Manner::LIES.len())],
                false => Manner::Honest,
            };
            nodes.push(Node {
                id,
                site,
                manner,
                disk: Disk::default(),
                up: true,
                known: 0,
                running: None,
                fails: 0,
                pause_until: 0,
                quarantine: Quarantine::default(),
                arrived: BTreeMap::new(),
            });
        }
        let bug = options.bug.as_deref();
        let planted =
            Planted { unproven: bug == Some("unproven"), listed_first: bug == Some("listed_first") };
        let mut world = World {
            seed,
            rng,
            now: 0,
            made: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            nodes,
            sites: names,
            cut: BTreeSet::new(),
            plan: Vec::new(),
            published: 0,
            truth: BTreeMap::new(),
            library: Disk::default(),
            costs: Costs::default(),
            all: Vec::new(),
            calm: options.calm.is_some(),
            planted,
            #[cfg(feature = "planted-bugs")]
            bug: super::planted(bug),
            uplink: BTreeMap::new(),
            run: CatalogRun::default(),
            trace: options.trace.then(Vec::new),
        };
        world.write_versions();
        world
    }

    pub(super) fn run(mut self) -> CatalogRun {
        for at in self.plan.iter().map(|p| p.at_ms).collect::<Vec<_>>() {
            self.at(at, Happens::Publish);
        }
        for node in 0..self.nodes.len() {
            let at = self.rng.random_range(0..LOOK_MS);
            self.at(at, Happens::Look { node });
        }
        if !self.calm {
            self.at(500, Happens::Fault);
        }
        let failure = self.go().err();
        let copies = self.copies();
        let failure = failure.or_else(|| {
            let dear = self.calm && copies > 2.3;
            dear.then(|| Found(PROMISES[5], format!("{copies:.2} copies left the first site")))
        });
        let mut run = std::mem::take(&mut self.run);
        run.uplink_copies = copies;
        run.slowest_ms = if self.calm { self.slowest() } else { 0 };
        run.failure = failure.map(|Found(invariant, detail)| Failure {
            seed: self.seed,
            at_ms: self.now,
            invariant,
            detail,
            trace: self.trace.take().unwrap_or_default(),
        });
        run
    }

    fn go(&mut self) -> Result<(), Found> {
        while let Some(Reverse((at, id))) = self.queue.pop() {
            self.now = at;
            if at > FAULTS_END_MS + HEALED_MS {
                break;
            }
            if let Some(event) = self.events.remove(&id) {
                self.happens(event)?;
            }
            if self.published == self.plan.len() && self.now > self.faults_end() && self.is_level() {
                break;
            }
        }
        let plan = &self.plan;
        for node in &self.nodes {
            checks::contents(&node.disk, &self.truth)?;
            if let Some(p) = plan.iter().find(|p| !node.disk.roots.contains(&p.version.root)) {
                let detail =
                    format!("version {} is not on {} at {} ms", p.version.version, node.id, self.now);
                return Err(Found(PROMISES[4], detail));
            }
        }
        Ok(())
    }

    fn faults_end(&self) -> u64 {
        if self.calm { 0 } else { FAULTS_END_MS }
    }

    fn is_level(&self) -> bool {
        self.nodes.iter().all(|n| n.disk.roots.len() == self.plan.len())
    }

    /// Whole contents that left the first site, the most of any version.
    fn copies(&self) -> f64 {
        let mut before = None;
        let mut most: f64 = 0.0;
        for p in &self.plan {
            let root = p.version.root;
            let (delta, objects) = self.costs.of(&self.library, before, root);
            let one = delta.map_or(objects, |d| objects.min(d.len() as u64)).max(1);
            most = most.max(self.uplink.get(&root).copied().unwrap_or(0) as f64 / one as f64);
            before = Some(root);
        }
        most
    }

    fn slowest(&self) -> u64 {
        let late = |p: &Published| {
            let of = |n: &Node| n.arrived.get(&p.version.root).map_or(0, |at| at.saturating_sub(p.at_ms));
            self.nodes.iter().map(of).max().unwrap_or(0)
        };
        self.plan.iter().map(late).max().unwrap_or(0)
    }

    fn at(&mut self, at: u64, event: Happens) {
        self.made += 1;
        self.queue.push(Reverse((at.max(self.now), self.made)));
        self.events.insert(self.made, event);
    }

    fn after(&mut self, ms: u64, event: Happens) {
        self.at(self.now + ms, event);
    }

    fn hit(&mut self, name: &'static str) {
        self.run.coverage.hit(name);
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            if trace.len() >= TRACE_MAX {
                trace.remove(0);
            }
            trace.push(format!("{now:>7} {}", line()));
        }
    }

    fn happens(&mut self, event: Happens) -> Result<(), Found> {
        match event {
            Happens::Publish => self.publish(),
            Happens::Learn { node, known } => {
                let n = &mut self.nodes[node];
                n.known = n.known.max(known);
                self.look(node)?;
            }
            Happens::Look { node } => {
                self.after(LOOK_MS, Happens::Look { node });
                self.look(node)?;
            }
            Happens::Question { from, to, number, ask } => self.question(from, to, number, &ask),
            Happens::Told { node, number, event, wrong } => self.told(node, number, event, wrong)?,
            Happens::Fault => self.fault(),
            Happens::Back { node } => self.nodes[node].up = true,
            Happens::Space { node } => self.nodes[node].disk.full = false,
            Happens::Mend { sites } => drop(self.cut.remove(&sites)),
        }
        Ok(())
    }

    /// The next version comes in at the first node, whole, and the registry tells the others.
    fn publish(&mut self) {
        let Some(p) = self.plan.get(self.published).cloned() else { return };
        self.published += 1;
        let first = &mut self.nodes[0];
        // A publisher waits until his node is there.
        first.up = true;
        let _ = store_content(&self.truth[&p.version.root], &mut Shelf(&mut first.disk));
        first.disk.roots.insert(p.version.root);
        for node in 0..self.nodes.len() {
            let far = if self.calm { 5..60 } else { 5..8_000 };
            let ms = self.rng.random_range(far);
            self.after(ms, Happens::Learn { node, known: self.published });
        }
        self.note(|| format!("version {} is published", p.version.version));
    }

    fn site_of(&self, node: usize) -> usize {
        self.sites.iter().position(|s| *s == self.nodes[node].site).unwrap_or(0)
    }

    fn reaches(&self, a: usize, b: usize) -> bool {
        let (x, y) = (self.site_of(a), self.site_of(b));
        self.nodes[a].up && self.nodes[b].up && !self.cut.contains(&(x.min(y), x.max(y)))
    }

    /// A node looks what it lacks, as `eport_agent` does, and answers whoever asks for a row.
    fn look(&mut self, node: usize) -> Result<(), Found> {
        if !self.nodes[node].up {
            return Ok(());
        }
        let n = &self.nodes[node];
        let known = &self.plan[..n.known.min(self.published)];
        if checks::visible(known, &n.disk, self.now)? {
            self.hit("catalog.not_here_answered");
        }
        let n = &self.nodes[node];
        if n.running.is_some() || n.pause_until > self.now {
            return Ok(());
        }
        let first = self.nodes[0].id;
        let known = &self.plan[..n.known.min(self.published)];
        let named: Vec<Named> = known
            .iter()
            .map(|p| Named {
                root: p.version.root,
                origin: Some(first),
                fresh: self.now < p.at_ms + FRESH_MS,
            })
            .collect();
        let Some(want) = missing(&named, |root| n.disk.roots.contains(root)).first().copied() else {
            return Ok(());
        };
        let here = (0..self.nodes.len()).filter(|other| *other == node || self.reaches(node, *other));
        let members: Vec<Member> =
            here.map(|o| Member { node: self.nodes[o].id, site: self.nodes[o].site }).collect();
        let origin = want.origin.filter(|o| members.iter().any(|m| m.node == *o));
        let mut holders = route(n.id, &members, origin, &want.root);
        let asked = holders.len();
        holders.retain(|h| !n.quarantine.holds(*h, NAME, self.now));
        if holders.len() < asked {
            self.hit("catalog.over_quarantine");
        }
        self.made += 1;
        let number = self.made;
        let fetch = Fetch::new(want, holders);
        #[cfg(feature = "planted-bugs")]
        let fetch = {
            let mut fetch = fetch;
            if let Some(bug) = self.bug {
                fetch.plant(bug);
            }
            fetch
        };
        self.nodes[node].running = Some(Running { number, fetch, fresh: BTreeMap::new() });
        self.told(node, number, Event::Begin, None)
    }

    /// A fetch is told something, and does what it decides.
    fn told(&mut self, node: usize, number: u64, event: Event, wrong: Option<NodeId>) -> Result<(), Found> {
        // A process that dies in an install dies in no other place.
        let dies = !self.calm && self.now < FAULTS_END_MS && node > 0 && self.rng.random_range(0..60) == 0;
        let (now, planted) = (self.now, self.planted);
        let n = &mut self.nodes[node];
        let Some(mut running) = n.running.take_if(|r| r.number == number && n.up) else { return Ok(()) };
        let mut place = Local {
            disk: &mut n.disk,
            fresh: &mut running.fresh,
            planted,
            dies,
            died: false,
            by_delta: false,
        };
        let next = running.fetch.step(event, now, &mut place);
        let (died, by_delta) = (place.died, place.by_delta);
        while let Some((who, what)) = running.fetch.take_wrong() {
            self.wrong(node, who, &what)?;
        }
        // A disk that is full says so first.
        if let Some(who) = wrong.filter(|_| !died && !self.nodes[node].disk.full)
            && !self.nodes[node].quarantine.holds(who, NAME, now)
        {
            return Err(Found(PROMISES[6], format!("{who} sent wrong bytes to {}", self.nodes[node].id)));
        }
        let n = &mut self.nodes[node];
        if died {
            self.hit("catalog.crash_in_install");
            self.crash(node);
            return checks::contents(&self.nodes[node].disk, &self.truth);
        }
        let root = running.fetch.want().root;
        match next {
            Next::Ask(who, ask) => {
                n.running = Some(running);
                let Some(to) = self.nodes.iter().position(|o| o.id == who) else { return Ok(()) };
                let ms = self.rng.random_range(1..20);
                self.after(ms, Happens::Question { from: node, to, number, ask });
            }
            Next::Wait(ms) => {
                n.running = Some(running);
                self.hit("catalog.waited");
                self.after(ms, Happens::Told { node, number, event: Event::Woke, wrong: None });
            }
            Next::Whole => {
                n.fails = 0;
                n.arrived.insert(root, now);
                self.hit(if by_delta { "catalog.by_delta" } else { "catalog.by_objects" });
                self.note(|| format!("node {node} has {}", root.short()));
                checks::content(&self.nodes[node].disk, &root, &self.truth)?;
                self.look(node)?;
            }
            Next::Failed(why) => {
                n.pause_until = now + RETRY_MS * (1 << n.fails.min(4));
                n.fails += 1;
                if why.is_some() {
                    self.hit("catalog.here");
                }
                self.note(|| format!("node {node} has not got {}: {why:?}", root.short()));
            }
        }
        Ok(())
    }

    fn wrong(&mut self, node: usize, who: NodeId, what: &str) -> Result<(), Found> {
        let now = self.now;
        self.nodes[node].quarantine.put(who, NAME, now);
        self.hit("catalog.named");
        let manner = self.nodes.iter().find(|n| n.id == who).map(|n| n.manner);
        self.note(|| format!("node {node} names {who}: {what}"));
        match manner {
            Some(manner) if manner.sends_wrong_bytes() => Ok(()),
            _ => Err(Found(PROMISES[3], format!("{who} is {manner:?} and was named: {what}"))),
        }
    }

    fn question(&mut self, from: usize, to: usize, number: u64, ask: &Ask) {
        let silent = |world: &mut Self, ms| {
            world.after(ms, Happens::Told { node: from, number, event: Event::Silent, wrong: None });
        };
        if !self.reaches(from, to) {
            self.hit("catalog.silent");
            return silent(self, 1_000);
        }
        let holder = &self.nodes[to];
        let coming = holder.running.iter().map(|r| r.fetch.want().root).collect();
        let (disk, manner) = (&holder.disk, holder.manner);
        let (all, truth, costs) = (&self.all, &self.library, &self.costs);
        let holder = Holder { disk, manner, coming, all, truth, costs };
        let (answer, lied) = holder.answer(ask, &mut self.rng);
        if lied {
            let word = self.nodes[to].manner.word();
            self.hit(word);
        }
        let Some(event) = answer else { return silent(self, PART_TIMEOUT_MS) };
        let teller = &self.nodes[to];
        let wrong = (lied && teller.manner.gives_itself_away(&event)).then_some(teller.id);
        let (len, far) = (wire_len(&event), self.site_of(from) != self.site_of(to));
        if far && self.site_of(to) == 0 {
            let root = match ask {
                Ask::Offer { root, .. } | Ask::Delta { root, .. } => Some(*root),
                Ask::Objects(_) => self.nodes[from].running.as_ref().map(|r| r.fetch.want().root),
            };
            if let Some(root) = root {
                *self.uplink.entry(root).or_default() += len;
            }
        }
        let ms = self.rng.random_range(1..20) + if far { len / LINE_BYTES_MS } else { 0 };
        self.after(ms, Happens::Told { node: from, number, event, wrong });
    }
}
