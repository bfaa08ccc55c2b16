//! Chunks, index, row delta, routes and garbage collection: what the engine promises, over seeded contents and schedules.

use eport_catalog::*;
use eport_identity::Digest;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// A small generator with a fixed stream: the seed is the whole input of a failure.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Objects in memory, proven when they are read; counts what was put and what was read.
#[derive(Default)]
struct Memory {
    objects: BTreeMap<Digest, Vec<u8>>,
    put: BTreeSet<Digest>,
    kept: u64,
    read: RefCell<u64>,
}

impl ObjectSource for Memory {
    type Error = String;
    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        *self.read.borrow_mut() += 1;
        Ok(self.objects.get(digest).cloned())
    }
}

/// A sink beside the source it shares objects with.
struct Into<'m>(&'m RefCell<Memory>);

impl ObjectSink for Into<'_> {
    type Error = String;
    fn put(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), String> {
        assert_eq!(*digest, Digest::of(bytes));
        let mut memory = self.0.borrow_mut();
        memory.put.insert(*digest);
        memory.objects.insert(*digest, bytes.to_vec());
        Ok(())
    }
    fn keep(&mut self, digest: &Digest) -> Result<bool, String> {
        let mut memory = self.0.borrow_mut();
        memory.kept += 1;
        Ok(memory.objects.contains_key(digest))
    }
}

struct Shared<'m>(&'m RefCell<Memory>);

impl ObjectSource for Shared<'_> {
    type Error = String;
    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        self.0.borrow().get(digest)
    }
}

fn put(memory: &RefCell<Memory>, content: &[u8]) -> Digest {
    store_content(content, &mut Into(memory)).unwrap()
}

fn schema(columns: usize) -> Schema {
    let names: Vec<String> = (0..columns).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Schema::new(&names, &[names[0]]).unwrap()
}

type Rows = BTreeMap<String, Vec<String>>;

fn table(columns: usize, rows: &Rows) -> Vec<u8> {
    let rows =
        rows.iter().map(|(k, v)| std::iter::once(k.clone()).chain(v.iter().cloned()).collect::<Vec<_>>());
    encode_table(&schema(columns), rows).unwrap()
}

fn some_row(dice: &mut Dice, columns: usize) -> Vec<String> {
    (1..columns).map(|_| format!("{:x}", dice.next(1 << 40)).repeat(dice.next(4) as usize)).collect()
}

fn some_rows(dice: &mut Dice, columns: usize, count: u64) -> Rows {
    (0..count).map(|_| (format!("K{:07}", dice.next(10_000_000)), some_row(dice, columns))).collect()
}

fn edit(dice: &mut Dice, columns: usize, rows: &mut Rows, edits: u64) {
    for _ in 0..edits {
        let at = format!("K{:07}", dice.next(10_000_000));
        let near = rows.range(at.clone()..).next().map(|(k, _)| k.clone());
        match (dice.next(4), near) {
            (0, Some(key)) => drop(rows.remove(&key)),
            (1, _) | (_, None) => drop(rows.insert(at, some_row(dice, columns))),
            (2, Some(key)) => rows.get_mut(&key).unwrap()[0] = format!("{}", dice.next(1_000)),
            (_, Some(key)) => drop(rows.insert(key, some_row(dice, columns))),
        }
    }
}

#[test]
fn chunks_are_bounded_joined_they_are_the_content_and_equal_content_has_one_root() {
    for seed in 1..20 {
        let mut dice = Dice(seed);
        let count = dice.next(6_000);
        let content = table(3, &some_rows(&mut dice, 3, count));
        let memory = RefCell::new(Memory::default());
        let root = put(&memory, &content);
        assert_eq!(root_of(&content).unwrap(), root, "seed {seed}");
        let memory = memory.into_inner();
        assert_eq!(join(&memory, &root).unwrap(), content, "seed {seed}");
        let chunks = chunks(&memory, &root).unwrap();
        let rows: u64 = chunks.iter().map(|c| c.rows).sum();
        assert_eq!(rows, Header::read(&content).unwrap().rows());
        for (i, c) in chunks.iter().enumerate().skip(1) {
            let bounds = (CHUNK_LEN_MIN as u64)..(CHUNK_LEN_MAX + 200) as u64;
            assert!(
                bounds.contains(&c.bytes) || i + 1 == chunks.len(),
                "seed {seed}: a chunk of {} bytes",
                c.bytes
            );
        }
    }
    // Content without rows is cut at its bytes, and comes back as well.
    let mut dice = Dice(7);
    let bytes: Vec<u8> = (0..600_000).map(|_| dice.next(256) as u8).collect();
    for len in [0, 1, CHUNK_LEN_MAX, 600_000] {
        let memory = RefCell::new(Memory::default());
        let content = blob(&bytes[..len]);
        let root = put(&memory, &content);
        let joined = join(&memory.into_inner(), &root).unwrap();
        assert_eq!(blob_bytes(&joined), Some(&bytes[..len]));
    }
}

#[test]
fn one_changed_row_makes_one_new_chunk_and_one_path_of_nodes() {
    let mut dice = Dice(11);
    let mut rows = some_rows(&mut dice, 4, 60_000);
    let memory = RefCell::new(Memory::default());
    put(&memory, &table(4, &rows));
    let all = std::mem::take(&mut memory.borrow_mut().put).len();
    assert!(all > 200, "{all} objects");
    let middle = rows.keys().nth(rows.len() / 2).unwrap().clone();
    rows.get_mut(&middle).unwrap()[1] = "another".into();
    put(&memory, &table(4, &rows));
    let before: BTreeSet<Digest> = memory.borrow().objects.keys().copied().collect();
    let _ = before;
    // The second version put everything again; what is new is what the first did not have.
    assert!(memory.borrow().objects.len() - all <= 5, "{} new objects", memory.borrow().objects.len() - all);
}

#[test]
fn a_delta_rebuilds_any_version_from_any_other_and_costs_what_changed() {
    for seed in 1..40 {
        let mut dice = Dice(seed * 7_919);
        let columns = 2 + dice.next(9) as usize;
        let count = dice.next(5_000);
        let mut rows = some_rows(&mut dice, columns, count);
        let before = table(columns, &rows);
        let edits = if dice.next(5) == 0 { 3_000 } else { dice.next(60) };
        edit(&mut dice, columns, &mut rows, edits);
        let after = table(columns, &rows);
        let holder = RefCell::new(Memory::default());
        let (from, to) = (put(&holder, &before), put(&holder, &after));
        let delta = make_delta(&Shared(&holder), &from, &to).unwrap();
        let here = RefCell::new(Memory::default());
        put(&here, &before);
        here.borrow_mut().put.clear();
        apply_delta(&Shared(&here), &mut Into(&here), (&from, &to), &delta).unwrap();
        assert_eq!(join(&here.into_inner(), &to).unwrap(), after, "seed {seed}");
        assert!(
            delta.len() as u64 <= 400 + edits * (columns as u64 * 50 + 20),
            "seed {seed}: {} for {edits}",
            delta.len()
        );
        // And back again.
        let back = make_delta(&Shared(&holder), &to, &from).unwrap();
        let there = RefCell::new(Memory::default());
        put(&there, &after);
        apply_delta(&Shared(&there), &mut Into(&there), (&to, &from), &back).unwrap();
        assert_eq!(join(&there.into_inner(), &from).unwrap(), before, "seed {seed}");
    }
}

#[test]
fn what_a_delta_does_not_touch_is_neither_read_nor_written() {
    let mut dice = Dice(3);
    let mut rows = some_rows(&mut dice, 4, 60_000);
    let before = table(4, &rows);
    edit(&mut dice, 4, &mut rows, 3);
    let after = table(4, &rows);
    let memory = RefCell::new(Memory::default());
    let (from, to) = (put(&memory, &before), put(&memory, &after));
    *memory.borrow_mut().read.borrow_mut() = 0;
    let delta = make_delta(&Shared(&memory), &from, &to).unwrap();
    let read = *memory.borrow().read.borrow();
    let nodes = 2 * (memory.borrow().objects.len() / 50);
    assert!(read < 20 + nodes as u64, "making read {read} objects of {}", memory.borrow().objects.len());
    let here = RefCell::new(Memory::default());
    put(&here, &before);
    here.borrow_mut().put.clear();
    apply_delta(&Shared(&here), &mut Into(&here), (&from, &to), &delta).unwrap();
    let (put, kept) = (here.borrow().put.len(), here.borrow().kept);
    assert!(put < 40 && kept > 150, "{put} written, {kept} taken over");
}

#[test]
fn a_damaged_delta_never_panics_and_never_gives_another_root() {
    let mut dice = Dice(5);
    let mut rows = some_rows(&mut dice, 3, 300);
    let before = table(3, &rows);
    edit(&mut dice, 3, &mut rows, 20);
    let after = table(3, &rows);
    let memory = RefCell::new(Memory::default());
    let (from, to) = (put(&memory, &before), put(&memory, &after));
    let delta = make_delta(&Shared(&memory), &from, &to).unwrap();
    for at in 0..delta.len() {
        let mut cut = RefCell::new(Memory::default());
        put(&cut, &before);
        assert!(
            apply_delta(&Shared(&cut), &mut Into(&cut), (&from, &to), &delta[..at]).is_err(),
            "cut at {at}"
        );
        let mut bad = delta.clone();
        bad[at] ^= 1 << dice.next(8);
        let done = apply_delta(&Shared(&cut), &mut Into(&cut), (&from, &to), &bad);
        // A flip that spells the same content in another way does no harm; no other content may come of it.
        if done.is_ok() {
            assert_eq!(join(cut.get_mut(), &to).unwrap(), after, "byte {at}");
        }
    }
    assert!(matches!(
        make_delta(&Shared(&memory), &from, &put(&memory, &table(4, &some_rows(&mut dice, 4, 9)))),
        Err(DeltaError::NotComparable)
    ));
    let blob = put(&memory, &blob(b"a pack"));
    assert!(matches!(make_delta(&Shared(&memory), &blob, &to), Err(DeltaError::NotComparable)));
}

#[test]
fn nodes_that_lie_about_level_or_sizes_and_rows_over_the_limit_are_refused() {
    let mut dice = Dice(9);
    let memory = RefCell::new(Memory::default());
    let root = put(&memory, &table(4, &some_rows(&mut dice, 4, 60_000)));
    let memory = memory.into_inner();
    let top = node_at(&memory, &root, None).unwrap();
    assert!(top.level > 0, "the tree has more than one level");
    let child = top.children[0];
    let bytes = memory.objects[&child.digest].clone();
    assert!(check_node(&bytes, &child.digest, Some((top.level - 1, &child))).is_ok());
    let lie = Child { rows: child.rows + 1, ..child };
    assert!(check_node(&bytes, &child.digest, Some((top.level - 1, &lie))).is_err());
    assert!(check_node(&bytes, &child.digest, Some((top.level, &child))).is_err());
    for at in 0..bytes.len().min(200) {
        assert!(Node::decode(&bytes[..at]).is_none());
    }
    let fields = vec!["x".repeat(1 << 20); 5];
    let long: Vec<&str> = std::iter::once("K").chain(fields.iter().map(String::as_str)).collect();
    assert!(matches!(encode_table(&schema(6), [long]), Err(EncodeError::RowTooLong { .. })));
}

#[test]
fn the_uplink_of_the_first_holder_carries_two_copies_whatever_the_number_of_sites() {
    for sites in [2u32, 5, 22] {
        let members: Vec<Member> = (0..sites)
            .flat_map(|s| (1..=3).map(move |n| (s, n)))
            .map(|(s, n)| Member {
                node: format!("s{s}-{n}").parse().unwrap(),
                site: format!("s{s}").parse().unwrap(),
            })
            .collect();
        let origin = members[0];
        for salt in 0..4u32 {
            let root = Digest::of(&salt.to_be_bytes());
            let (mut from_origin, mut between, mut depth_max) = (0, 0, 0);
            let parents: BTreeMap<_, _> = members
                .iter()
                .map(|m| (m.node, route(m.node, &members, Some(origin.node), &root)[0]))
                .collect();
            for m in members.iter().filter(|m| m.node != origin.node) {
                let order = route(m.node, &members, Some(origin.node), &root);
                assert_eq!(order.len(), members.len() - 1, "everybody else is asked in the end");
                let site = |n| members.iter().find(|o| o.node == n).unwrap().site;
                let parent = order[0];
                between += u32::from(site(parent) != m.site);
                from_origin += u32::from(parent == origin.node && m.site != origin.site);
                let (mut at, mut depth) = (m.node, 0);
                while at != origin.node {
                    at = parents[&at];
                    depth += 1;
                    assert!(depth < 12, "nobody waits for himself");
                }
                depth_max = depth_max.max(depth);
            }
            assert!(from_origin <= 2, "{from_origin} copies over the uplink of the first holder");
            assert_eq!(between, sites - 1, "one copy a site");
            assert!(depth_max <= 2 + sites.ilog2(), "{depth_max} steps");
        }
        // Who knows no origin asks its own site first and then everybody.
        let order = route(members[4].node, &members, None, &Digest::ZERO);
        assert_eq!(order.len(), members.len() - 1);
    }
}

/// One step of the world below: publishers, fetchers and the collector take turns in an order that the seed chooses.
struct World {
    keeper: Keeper,
    objects: BTreeSet<Digest>,
    live: BTreeMap<Digest, BTreeSet<Digest>>,
    under_way: Vec<(Staging, Digest, BTreeSet<Digest>, Vec<Digest>)>,
    /// Roots that the round under way asked for, and how far it has come.
    round: Option<Vec<Digest>>,
    swept: u64,
    found_here: u64,
}

impl World {
    fn check(&self, seed: u64) {
        for (root, needs) in &self.live {
            assert!(needs.is_subset(&self.objects), "seed {seed}: an object of {root} was taken");
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        match dice.next(10) {
            // Somebody begins a content that shares objects with others, alive or not.
            0 => {
                let needs: BTreeSet<Digest> =
                    (0..4).map(|_| Digest::of(&dice.next(24).to_be_bytes())).collect();
                let root = Digest::of(format!("{needs:?}").as_bytes());
                let staging = self.keeper.begin();
                let todo = needs.iter().copied().collect();
                self.under_way.push((staging, root, needs, todo));
            }
            // One object comes, or is found here.
            1..=4 if !self.under_way.is_empty() => {
                let n = dice.next(self.under_way.len() as u64) as usize;
                if let Some(object) = self.under_way[n].3.pop() {
                    self.keeper.touch(self.under_way[n].0, object);
                    self.found_here += u64::from(!self.objects.insert(object));
                } else {
                    // It is complete: the root comes to live, then the staging ends. Now and then it is given up.
                    let (staging, root, needs, _) = self.under_way.remove(n);
                    if dice.next(4) > 0 {
                        self.live.insert(root, needs);
                    }
                    self.keeper.end(staging);
                }
            }
            // A version is retired.
            5 if !self.live.is_empty() => {
                let n = dice.next(self.live.len() as u64) as usize;
                let root = *self.live.keys().nth(n).unwrap();
                self.live.remove(&root);
            }
            // The collector goes one step.
            _ => match self.round.take() {
                None => {
                    assert!(self.keeper.open_round());
                    self.round = Some(self.live.keys().copied().collect());
                }
                Some(mut roots) => match roots.pop() {
                    Some(root) => {
                        // One that was retired meanwhile is still walked: what it names may be gone.
                        for object in self.live.get(&root).into_iter().flatten() {
                            self.keeper.reach(*object);
                        }
                        self.round = Some(roots);
                    }
                    None => {
                        for dead in self.keeper.sweep(self.objects.clone().into_iter()) {
                            self.swept += u64::from(self.objects.remove(&dead));
                        }
                    }
                },
            },
        }
    }
}

#[test]
fn collection_beside_publication_and_fetch_never_takes_what_a_live_version_needs() {
    let (mut swept, mut found_here) = (0, 0);
    for seed in 1..400 {
        let mut dice = Dice(seed);
        let mut world = World {
            keeper: Keeper::default(),
            objects: BTreeSet::new(),
            live: BTreeMap::new(),
            under_way: Vec::new(),
            round: None,
            swept: 0,
            found_here: 0,
        };
        for _ in 0..600 {
            world.step(&mut dice);
            world.check(seed);
        }
        // Liveness: when all is quiet, one round leaves exactly what the living need.
        for (staging, ..) in std::mem::take(&mut world.under_way) {
            world.keeper.end(staging);
        }
        world.keeper.abandon_round();
        assert!(world.keeper.open_round() && !world.keeper.open_round());
        world.live.values().flatten().for_each(|o| {
            world.keeper.reach(*o);
        });
        for dead in world.keeper.sweep(world.objects.clone().into_iter()) {
            world.objects.remove(&dead);
        }
        let needed: BTreeSet<Digest> = world.live.values().flatten().copied().collect();
        assert_eq!(world.objects, needed, "seed {seed}");
        swept += world.swept;
        found_here += world.found_here;
    }
    assert!(
        swept > 1_000 && found_here > 1_000,
        "the world was too quiet: {swept} swept, {found_here} shared"
    );
}
