//! What a node says of the program that it runs: the version, and the digest of the program's own file.
//!
//! Both travel as one word in the spelling of semantic versions, `0.1.0+sha256.HEX`, wherever a version travelled before: a node
//! that knows of no digests shows the word as it is, and a word without one is read as a version alone.

use crate::{Digest, NodeId};
use std::collections::BTreeMap;
use std::fmt;

/// Between the version and the digest.
const MARK: &str = "+sha256.";

/// A program: version and digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Software {
    /// Its version.
    pub version: String,
    /// SHA-256 of its file; `None` while it is not known.
    pub build: Option<Digest>,
}

impl Software {
    /// Reads what a node says. Whatever it is, it is a version at least.
    pub fn read(word: &str) -> Self {
        let told = word.split_once(MARK).and_then(|(version, digest)| Some((version, digest.parse().ok()?)));
        match told {
            Some((version, digest)) => Self { version: version.to_owned(), build: Some(digest) },
            None => Self { version: word.to_owned(), build: None },
        }
    }
}

impl fmt::Display for Software {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.build {
            Some(digest) => write!(f, "{}{MARK}{digest}", self.version),
            None => f.write_str(&self.version),
        }
    }
}

/// Nodes that run another program than most.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stranger {
    /// What they run.
    pub software: Software,
    /// The nodes, in order.
    pub nodes: Vec<NodeId>,
    /// What most run.
    pub usual: Software,
    /// How many those are.
    pub usual_nodes: usize,
}

/// Who runs another program than most. Nodes that tell no digest are compared with nobody. Of two programs on equally many nodes
/// the one of the later version is taken as the usual one.
pub fn strangers(told: impl IntoIterator<Item = (NodeId, Software)>) -> Vec<Stranger> {
    let mut by_program: BTreeMap<Software, Vec<NodeId>> = BTreeMap::new();
    for (node, software) in told.into_iter().filter(|(_, s)| s.build.is_some()) {
        by_program.entry(software).or_default().push(node);
    }
    by_program.values_mut().for_each(|nodes| nodes.sort_unstable());
    let usual = by_program.iter().max_by_key(|(software, nodes)| (nodes.len(), *software));
    let Some((usual, usual_nodes)) = usual.map(|(s, n)| (s.clone(), n.len())) else { return Vec::new() };
    let others = by_program.into_iter().filter(|(software, _)| *software != usual);
    others.map(|(software, nodes)| Stranger { software, nodes, usual: usual.clone(), usual_nodes }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(version: &str, n: u8) -> Software {
        Software { version: version.into(), build: Some(Digest::of(&[n])) }
    }

    #[test]
    fn a_word_carries_version_and_digest_and_an_older_word_is_a_version() {
        let known = program("0.1.0", 1);
        assert!(known.to_string().starts_with("0.1.0+sha256."));
        assert_eq!(Software::read(&known.to_string()), known);
        let older = Software { version: "0.1.0".into(), build: None };
        assert_eq!((Software::read("0.1.0"), older.to_string()), (older.clone(), "0.1.0".into()));
        for odd in ["", "0.1.0+sha256.", "0.1.0+sha256.zz", "0.1.0+deb11"] {
            assert_eq!(Software::read(odd), Software { version: odd.into(), build: None });
        }
    }

    #[test]
    fn who_runs_another_program_than_most_is_named_and_who_tells_nothing_is_not() {
        let node = |id: &str| id.parse::<NodeId>().unwrap();
        let told = [
            (node("gz-a-1"), program("0.1.0", 1)),
            (node("gz-c-1"), program("0.1.0", 2)),
            (node("sz-a-1"), program("0.1.0", 1)),
            (node("fs-a-1"), Software::read("0.0.9")),
        ];
        let found = strangers(told.clone());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].nodes.clone(), found[0].usual_nodes), (vec![node("gz-c-1")], 2));
        assert_eq!(found[0].usual, program("0.1.0", 1));
        let alike = told.into_iter().filter(|(n, _)| n.as_str() != "gz-c-1");
        assert!(strangers(alike).is_empty() && strangers([]).is_empty());
        let halfway = [(node("a"), program("0.1.0", 9)), (node("b"), program("0.2.0", 1))];
        assert_eq!(strangers(halfway)[0].nodes, [node("a")]);
    }
}
