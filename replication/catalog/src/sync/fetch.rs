//! One content, from one holder after the other: by row delta or by missing objects, whichever is smaller.

use super::protocol::{Answer, Ask, OBJECTS_MAX, PACKED_LEN_MAX, PART_LEN};
use super::want::Want;
use crate::index::{Child, check_node};
use bytes::Bytes;
use eport_identity::{Digest, NodeId};
use eport_model::{Code, Coded};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long the first holder is given to get it itself, and how long while it says that it is coming, in milliseconds.
const PATIENCE_MS: u64 = 600;
const PATIENCE_COMING_MS: u64 = 15_000;
/// Pause between two questions to a holder that does not have it yet, in milliseconds.
const ASK_AGAIN_MS: u64 = 30;
/// A part of a delta that does not end it has at least so many bytes: nobody is kept busy with crumbs.
const PART_LEN_LEAST: u64 = 64 << 10;

/// Why something cannot be put into its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The bytes are not what they should be.
    Wrong(String),
    /// It cannot be kept here.
    Here(Code, String),
}

/// Where the objects of one content are put.
pub trait Place {
    /// Whether an object is here.
    fn has_object(&self, digest: &Digest) -> bool;
    /// The plain bytes of an object that is here and sound.
    fn object(&self, digest: &Digest) -> Option<Vec<u8>>;
    /// An object that is here belongs to this content too; false when it is not here.
    fn keep(&mut self, digest: &Digest) -> Result<bool, Fault>;
    /// Puts an object as a holder sent it, after proof that it is what `digest` names; answers its plain bytes.
    fn put(&mut self, digest: &Digest, packed: &[u8]) -> Result<Vec<u8>, Fault>;
    /// Rebuilds a content from its base and a packed delta, and lists it. False: the base is not whole, objects are needed.
    fn rebuild(&mut self, base: &Digest, root: &Digest, packed: Vec<u8>) -> Result<bool, Fault>;
    /// Makes what was put durable.
    fn flush(&mut self) -> Result<(), Fault>;
    /// Lists a content whose objects were all put or kept.
    fn install(&mut self, root: &Digest) -> Result<(), Fault>;
}

/// What happens to a fetch.
#[derive(Debug)]
pub enum Event {
    /// It begins.
    Begin,
    /// The holder that was asked answered.
    Answer(Answer),
    /// It sent what is no answer.
    Garbled(String),
    /// It did not answer, or cannot be reached.
    Silent,
    /// The time to wait is over.
    Woke,
}

/// What is to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Ask a holder, and say what became of it.
    Ask(NodeId, Ask),
    /// Wait so many milliseconds.
    Wait(u64),
    /// Nothing: the content is here and listed.
    Whole,
    /// Nothing: no holder gave it, or it cannot be kept here.
    Failed(Option<(Code, String)>),
}

/// A bug to plant (feature `planted-bugs`), so that the simulator can show that it finds it.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A holder with wrong bytes ends the fetch.
    WrongEndsAll,
    /// A holder with wrong bytes is not named.
    WrongUnnamed,
    /// A holder that lacks an object is asked for ever.
    MissingAskedAgain,
    /// A content is listed when its last node has come, before its chunks.
    ListedEarly,
    /// The nearest holder is not waited for.
    Impatient,
}

/// Why a holder did not give a content.
enum Why {
    /// It does not have it, or not all of it, or does not answer.
    Absent,
    /// What it gave is wrong.
    Wrong(String),
    /// It cannot be kept here.
    Here(Code, String),
}

impl From<Fault> for Why {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Wrong(detail) => Why::Wrong(detail),
            Fault::Here(code, detail) => Why::Here(code, detail),
        }
    }
}

/// A node of the index and what its parent says of it.
type Open = (Digest, Option<(u64, Child)>);

/// How far it is with the holder it asks.
enum Stage {
    /// Nobody is asked.
    Idle,
    /// Asked what it costs, since then.
    Offer { since_ms: u64 },
    /// Parts of the delta come.
    Delta { base: Digest, packed: Vec<u8> },
    /// Nodes of one level come.
    Nodes { open: Vec<Open>, found: BTreeMap<Digest, Vec<u8>>, missing: Vec<Digest> },
    /// Chunks below the nodes of one level come; then the nodes below them.
    Chunks { below: Vec<Open>, missing: Vec<Digest> },
}

/// One attempt to fetch a content.
pub struct Fetch {
    want: Want,
    holders: VecDeque<NodeId>,
    node: Option<NodeId>,
    /// The holder asked now is the first one.
    first: bool,
    stage: Stage,
    wrong: VecDeque<(NodeId, String)>,
    #[cfg(feature = "planted-bugs")]
    bug: Option<Bug>,
}

impl Fetch {
    /// Fetches a content from these holders, asked in this order.
    pub fn new(want: Want, holders: impl IntoIterator<Item = NodeId>) -> Self {
        Fetch {
            want,
            holders: holders.into_iter().collect(),
            node: None,
            first: true,
            stage: Stage::Idle,
            wrong: VecDeque::new(),
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// Plants a bug.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: Bug) {
        self.bug = Some(bug);
    }

    /// What is fetched.
    pub fn want(&self) -> &Want {
        &self.want
    }

    /// A holder that gave wrong bytes, and what was wrong with them; each is told once.
    pub fn take_wrong(&mut self) -> Option<(NodeId, String)> {
        self.wrong.pop_front()
    }

    /// Takes an event; answers what is to be done. `now_ms` is of any clock that does not go back.
    pub fn step(&mut self, event: Event, now_ms: u64, place: &mut impl Place) -> Next {
        let mut turn = match event {
            Event::Begin => self.next_holder(now_ms, place),
            Event::Woke => self.ask_offer(),
            Event::Silent => Err(Why::Absent),
            Event::Garbled(detail) => Err(Why::Wrong(detail)),
            Event::Answer(answer) => self.answered(answer, now_ms, place),
        };
        loop {
            let why = match turn {
                Ok(next) => return next,
                Err(why) => why,
            };
            // What came stays, whatever ended it.
            self.stage = Stage::Idle;
            let kept = place.flush();
            match (why, kept) {
                (Why::Here(code, detail), _) | (_, Err(Fault::Here(code, detail))) => {
                    return Next::Failed(Some((code, detail)));
                }
                (Why::Wrong(detail), _) => {
                    #[cfg(feature = "planted-bugs")]
                    match self.bug {
                        Some(Bug::WrongEndsAll) => return Next::Failed(None),
                        Some(Bug::WrongUnnamed) => self.node = None,
                        _ => {}
                    }
                    self.wrong.extend(self.node.map(|node| (node, detail)));
                }
                (Why::Absent, _) => {}
            }
            self.first = false;
            turn = self.next_holder(now_ms, place);
        }
    }

    fn next_holder(&mut self, now_ms: u64, place: &mut impl Place) -> Result<Next, Why> {
        self.node = self.holders.pop_front();
        if self.node.is_none() {
            return Ok(Next::Failed(None));
        }
        // What an earlier attempt left, or damage took, is objects: a delta would bring rows that are here.
        if place.has_object(&self.want.root) {
            return self.open(vec![(self.want.root, None)], place);
        }
        self.stage = Stage::Offer { since_ms: now_ms };
        self.ask_offer()
    }

    fn ask(&self, ask: Ask) -> Result<Next, Why> {
        self.node.map(|node| Next::Ask(node, ask)).ok_or(Why::Absent)
    }

    fn ask_offer(&self) -> Result<Next, Why> {
        self.ask(Ask::Offer { root: self.want.root, base: self.want.base })
    }

    fn answered(&mut self, answer: Answer, now_ms: u64, place: &mut impl Place) -> Result<Next, Why> {
        match (std::mem::replace(&mut self.stage, Stage::Idle), answer) {
            (Stage::Offer { .. }, Answer::Offer { delta, objects }) => match (delta, self.want.base) {
                (Some(delta), Some(base)) if delta <= objects => {
                    self.stage = Stage::Delta { base, packed: Vec::new() };
                    self.ask(Ask::Delta { base, root: self.want.root, offset: 0 })
                }
                _ => self.open(vec![(self.want.root, None)], place),
            },
            (Stage::Offer { since_ms }, answer) => self.wait(since_ms, &answer, now_ms),
            (Stage::Delta { base, packed }, Answer::Part { total, bytes }) => {
                self.part(base, packed, total, &bytes, place)
            }
            (Stage::Nodes { open, mut found, missing }, Answer::Objects(given)) => {
                let missing = self.take(missing, given, place, &mut |digest, bytes| {
                    found.insert(digest, bytes);
                })?;
                self.nodes(open, found, missing, place)
            }
            (Stage::Chunks { below, missing }, Answer::Objects(given)) => {
                let missing = self.take(missing, given, place, &mut |_, _| {})?;
                self.chunks(below, missing, place)
            }
            _ => Err(Why::Absent),
        }
    }

    /// It does not have it. The first holder is waited for: it gets the content itself now.
    fn wait(&mut self, since_ms: u64, answer: &Answer, now_ms: u64) -> Result<Next, Why> {
        #[cfg(feature = "planted-bugs")]
        if self.bug == Some(Bug::Impatient) {
            return Err(Why::Absent);
        }
        let patience = match answer {
            Answer::Coming if self.first => PATIENCE_COMING_MS,
            Answer::Missing if self.first && self.want.fresh => PATIENCE_MS,
            _ => return Err(Why::Absent),
        };
        if now_ms.saturating_sub(since_ms) >= patience {
            return Err(Why::Absent);
        }
        self.stage = Stage::Offer { since_ms };
        Ok(Next::Wait(ASK_AGAIN_MS))
    }

    /// A part of the delta; behind the last one the content is rebuilt.
    fn part(
        &mut self,
        base: Digest,
        mut packed: Vec<u8>,
        total: u64,
        bytes: &[u8],
        place: &mut impl Place,
    ) -> Result<Next, Why> {
        let (have, came) = (packed.len() as u64, bytes.len() as u64);
        let least = total.saturating_sub(have).min(PART_LEN_LEAST.min(PART_LEN));
        if total > PACKED_LEN_MAX || came == 0 || came < least || have + came > total {
            return Err(Why::Wrong(format!("a delta of {total} bytes in parts of {came}")));
        }
        packed.extend_from_slice(bytes);
        let (root, offset) = (self.want.root, packed.len() as u64);
        if offset < total {
            self.stage = Stage::Delta { base, packed };
            return self.ask(Ask::Delta { base, root, offset });
        }
        match place.rebuild(&base, &root, packed)? {
            true => Ok(Next::Whole),
            false => self.open(vec![(root, None)], place),
        }
    }

    /// Takes objects off an answer; answers those still missing. An answer without any of them: this holder does not have the rest.
    fn take(
        &self,
        mut missing: Vec<Digest>,
        given: Vec<(Digest, Bytes)>,
        place: &mut impl Place,
        see: &mut dyn FnMut(Digest, Vec<u8>),
    ) -> Result<Vec<Digest>, Why> {
        let before = missing.len();
        let mut got = BTreeSet::new();
        for (digest, packed) in given {
            if missing.binary_search(&digest).is_err() {
                return Err(Why::Wrong(format!("object {} was not asked for", digest.short())));
            }
            see(digest, place.put(&digest, &packed)?);
            got.insert(digest);
        }
        missing.retain(|d| !got.contains(d));
        #[cfg(feature = "planted-bugs")]
        if self.bug == Some(Bug::MissingAskedAgain) {
            return Ok(missing);
        }
        if missing.len() == before {
            return Err(Why::Absent);
        }
        place.flush()?;
        Ok(missing)
    }

    /// Begins with the nodes of a level: those that are here are read, the others are asked for.
    fn open(&mut self, open: Vec<Open>, place: &mut impl Place) -> Result<Next, Why> {
        let (mut found, mut missing) = (BTreeMap::new(), BTreeSet::new());
        for (digest, _) in &open {
            match place.object(digest) {
                Some(bytes) => {
                    place.keep(digest)?;
                    found.insert(*digest, bytes);
                }
                None => drop(missing.insert(*digest)),
            }
        }
        self.nodes(open, found, missing.into_iter().collect(), place)
    }

    fn nodes(
        &mut self,
        open: Vec<Open>,
        found: BTreeMap<Digest, Vec<u8>>,
        missing: Vec<Digest>,
        place: &mut impl Place,
    ) -> Result<Next, Why> {
        if !missing.is_empty() {
            let asked = Ask::Objects(missing.iter().take(OBJECTS_MAX).copied().collect());
            self.stage = Stage::Nodes { open, found, missing };
            return self.ask(asked);
        }
        let mut children = Vec::new();
        for (digest, parent) in &open {
            let bytes = found.get(digest).ok_or(Why::Absent)?;
            let parent = parent.as_ref().map(|(level, child)| (*level, child));
            // Every object hashes to what its parent says: the tree itself is wrong, whoever sent it.
            let node = check_node(bytes, digest, parent).map_err(|e| Why::Here(e.code(), e.to_string()))?;
            let below = node.level.checked_sub(1);
            children.extend(node.children.into_iter().map(|c| (c.digest, below.map(|level| (level, c)))));
        }
        let (below, chunks): (Vec<Open>, Vec<Open>) = children.into_iter().partition(|(_, p)| p.is_some());
        let mut missing = BTreeSet::new();
        for (digest, _) in chunks {
            if !place.keep(&digest)? {
                missing.insert(digest);
            }
        }
        #[cfg(feature = "planted-bugs")]
        if self.bug == Some(Bug::ListedEarly) && below.is_empty() {
            place.install(&self.want.root)?;
        }
        self.chunks(below, missing.into_iter().collect(), place)
    }

    fn chunks(
        &mut self,
        below: Vec<Open>,
        missing: Vec<Digest>,
        place: &mut impl Place,
    ) -> Result<Next, Why> {
        if !missing.is_empty() {
            let asked = Ask::Objects(missing.iter().take(OBJECTS_MAX).copied().collect());
            self.stage = Stage::Chunks { below, missing };
            return self.ask(asked);
        }
        if below.is_empty() {
            place.install(&self.want.root)?;
            return Ok(Next::Whole);
        }
        self.open(below, place)
    }
}
