//! Changes of good inputs: in the tree where there is one, in words and numbers of texts, in bytes always.

use crate::der::{Body, Node};
use crate::{Random, Shape, der};

/// Longest input that is made.
pub const INPUT_LEN_MAX: usize = 64 << 10;
/// Numbers at which parsers err.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, i64::MAX as u64, u64::MAX];
/// DER tags worth trying.
const TAGS: [u8; 16] =
    [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x16, 0x17, 0x18, 0x30, 0x31, 0xa0, 0x80];

/// Makes inputs from a corpus.
#[derive(Debug)]
pub struct Mutator<'a> {
    shape: Shape,
    words: &'a [&'a str],
    random: Random,
}

impl<'a> Mutator<'a> {
    /// For inputs of a shape, with the words that their parser knows.
    pub fn new(shape: Shape, words: &'a [&'a str], seed: u64) -> Self {
        Self { shape, words, random: Random::new(seed) }
    }

    /// One more input.
    pub fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut out = self.pick(corpus);
        for _ in 0..=self.random.below(4) {
            out = match self.shape {
                Shape::Der if self.random.chance(70) => self.tree(&out, corpus),
                Shape::Text if self.random.chance(60) => self.text(out),
                _ => self.bytes(out, corpus),
            };
            out.truncate(INPUT_LEN_MAX);
        }
        out
    }

    fn pick(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        corpus.get(self.random.below(corpus.len())).cloned().unwrap_or_default()
    }

    /// Where in `len` bytes something happens; the front is looked at more often.
    fn place(&mut self, len: usize) -> usize {
        let all = self.random.below(len + 1);
        if self.random.chance(30) { all.min(self.random.below(64)) } else { all }
    }

    fn bytes(&mut self, mut out: Vec<u8>, corpus: &[Vec<u8>]) -> Vec<u8> {
        let at = self.place(out.len());
        let end = (at + 1 + self.random.below(32)).min(out.len());
        match self.random.below(9) {
            0 if at < out.len() => out[at] ^= 1 << self.random.below(8),
            1 if at < out.len() => out[at] = self.random.draw() as u8,
            2 => drop(out.drain(at.min(end)..end)),
            3 => {
                let len = 1 + self.random.below(16);
                let new = self.random.bytes(len);
                out.splice(at..at, new);
            }
            4 => {
                let copy = out[at.min(end)..end].repeat(1 + self.random.below(8));
                out.splice(at..at, copy);
            }
            5 => out.truncate(at),
            6 => {
                let edge = EDGES[self.random.below(EDGES.len())];
                let width = [1, 2, 4, 8][self.random.below(4)];
                let bytes = if self.random.chance(50) { edge.to_le_bytes() } else { edge.to_be_bytes() };
                let bytes = if self.random.chance(50) { &bytes[..width] } else { &bytes[8 - width..] };
                let end = (at + width).min(out.len());
                out.splice(at..end, bytes.iter().copied());
            }
            7 => {
                let other = self.pick(corpus);
                let from = self.place(other.len());
                out.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let word = self.word();
                out.splice(at..at, word.into_bytes());
            }
        }
        out
    }

    fn word(&mut self) -> String {
        match self.words.get(self.random.below(self.words.len())) {
            Some(word) => (*word).to_owned(),
            None => EDGES[self.random.below(EDGES.len())].to_string(),
        }
    }

    /// Changes a word, a number or a line.
    fn text(&mut self, out: Vec<u8>) -> Vec<u8> {
        let plain = |b: &u8| b.is_ascii_alphanumeric();
        let at = self.place(out.len());
        let begin = out[..at].iter().rposition(|b| !plain(b)).map_or(0, |i| i + 1);
        let end = at + out[at..].iter().position(|b| !plain(b)).unwrap_or(out.len() - at);
        let mut out = out;
        match self.random.below(6) {
            0 => {
                let word = self.word();
                out.splice(begin..end, word.into_bytes());
            }
            1 => {
                let edge = EDGES[self.random.below(EDGES.len())].to_string();
                out.splice(begin..end, edge.into_bytes());
            }
            2 => {
                let times = 2 + self.random.below(300);
                let copy = out[begin..end].repeat(times);
                out.splice(begin..end, copy);
            }
            3 => {
                let mut lines: Vec<Vec<u8>> = out.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                let (a, b) = (self.random.below(lines.len()), self.random.below(lines.len()));
                match self.random.below(3) {
                    0 => lines.swap(a, b),
                    1 => drop(lines.remove(a)),
                    _ => {
                        let copy = lines[a].clone();
                        lines.insert(b, copy);
                    }
                }
                out = lines.join(&b'\n');
            }
            4 => drop(out.drain(begin..end)),
            _ => {
                let marks = [
                    b'"', b'\\', b',', b';', b'{', b'[', b'.', b'/', b'\r', b'\t', 0, 0xff, 0xef, b'-', b' ',
                ];
                out.insert(at, marks[self.random.below(marks.len())]);
            }
        }
        out
    }

    /// Changes the tree and writes it with lengths that fit; what is no tree is changed as bytes.
    fn tree(&mut self, bytes: &[u8], corpus: &[Vec<u8>]) -> Vec<u8> {
        let Some(mut nodes) = der::read(bytes) else { return self.bytes(bytes.to_vec(), corpus) };
        let other = self.pick(corpus);
        let grafts = der::read(&other).unwrap_or_default();
        let graft = self.any(&grafts);
        let count = count(&nodes);
        let at = self.random.below(count);
        self.change(&mut nodes, at, graft);
        der::write(&nodes)
    }

    fn any(&mut self, nodes: &[Node]) -> Option<Node> {
        let mut at = self.random.below(count(nodes));
        fn find(nodes: &[Node], at: &mut usize) -> Option<Node> {
            for node in nodes {
                if *at == 0 {
                    return Some(node.clone());
                }
                *at -= 1;
                if let Body::Nodes(_, inner) = &node.body
                    && let Some(found) = find(inner, at)
                {
                    return Some(found);
                }
            }
            None
        }
        find(nodes, &mut at)
    }

    /// Changes the element with this number, counted depth first.
    fn change(&mut self, nodes: &mut Vec<Node>, at: usize, graft: Option<Node>) {
        let mut seen = 0;
        for i in 0..nodes.len() {
            let inside = match &nodes[i].body {
                Body::Nodes(_, inner) => count(inner),
                Body::Bytes(_) => 0,
            };
            if seen == at {
                return self.change_here(nodes, i, graft);
            }
            if at <= seen + inside {
                if let Body::Nodes(_, inner) = &mut nodes[i].body {
                    self.change(inner, at - seen - 1, graft);
                }
                return;
            }
            seen += 1 + inside;
        }
    }

    fn change_here(&mut self, nodes: &mut Vec<Node>, i: usize, graft: Option<Node>) {
        match self.random.below(9) {
            0 => drop(nodes.remove(i)),
            1 => {
                let copy = nodes[i].clone();
                nodes.insert(i, copy);
            }
            2 => {
                let j = self.random.below(nodes.len());
                nodes.swap(i, j);
            }
            3 => nodes[i].tag = TAGS[self.random.below(TAGS.len())],
            4 => nodes[i].tag ^= 1 << self.random.below(8),
            5 => nodes.extend(graft),
            6 => {
                if let Some(graft) = graft {
                    nodes[i] = graft;
                }
            }
            7 => {
                let inner = std::mem::replace(&mut nodes[i].body, Body::Bytes(Vec::new()));
                let tag = nodes[i].tag;
                nodes[i] = Node { tag: 0x30, body: Body::Nodes(Vec::new(), vec![Node { tag, body: inner }]) };
            }
            _ => {
                if let Body::Bytes(bytes) = &mut nodes[i].body {
                    let old = std::mem::take(bytes);
                    *bytes = self.bytes(old, &[]);
                }
            }
        }
    }
}

fn count(nodes: &[Node]) -> usize {
    nodes.iter().map(|n| 1 + if let Body::Nodes(_, inner) = &n.body { count(inner) } else { 0 }).sum()
}
