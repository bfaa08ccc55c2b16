//! Bodies for hostile bytes: each gives its input to one parser and what stands behind it, and holds what it says against what it
//! must mean.
//!
//! Always: a body returns for every input, it never panics unless a promise is broken, and equal inputs take the same way. What it
//! returns is a mark of the way it took: the runner keeps inputs with new marks, a coverage-guided fuzzer ignores it. The folder
//! `../fuzz` holds the targets for `cargo fuzz` and the corpora; both run the same bodies.
#![forbid(unsafe_code)]

mod bodies;
mod der;
mod mutate;
mod random;
mod run;
mod seeds;
mod world;

pub use mutate::{INPUT_LEN_MAX, Mutator};
pub use random::Random;
pub use run::{Finding, Report, Until, corpus, once, run};

/// In which language inputs of a target are written: how they are changed without making noise of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// ASN.1 in DER.
    Der,
    /// Text: lines, words, numbers.
    Text,
    /// Anything else.
    Binary,
}

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, also that of its corpus.
    pub name: &'static str,
    /// True for what a certificate authority reads.
    pub of_ca: bool,
    /// How its inputs are written.
    pub shape: Shape,
    /// Words that its parser knows.
    pub words: &'static [&'static str],
    /// Takes an input; answers with a mark of the way it took.
    pub body: fn(&[u8]) -> u64,
    /// Good inputs to begin with, by name.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

/// Every target.
pub fn targets() -> &'static [Target] {
    bodies::TARGETS
}

/// A target by name.
pub fn target(name: &str) -> Option<&'static Target> {
    targets().iter().find(|t| t.name == name)
}
