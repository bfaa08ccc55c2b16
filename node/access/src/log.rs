//! The chain of the access log: what a line is, how lines hang together, how files are checked.
//!
//! A segment is a text file: a header `eport-access-log 1 NODE FIRST PREVIOUS`, then lines `DIGEST JSON`, numbered without gaps.
//! A line's digest covers the digest before it and its own JSON, over segments too. Always: no line can be changed, removed or
//! put in unseen; where the log ends is shown by a published head, not by the file. A flood of equal denials takes few lines:
//! the first at once, then one with a count.

use eport_identity::{Digest, DigestHasher};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Longest line, header included, in bytes.
pub const LINE_LEN_MAX: usize = 8 << 10;
/// Longest text in a line: paths and names come from outside.
const TEXT_LEN_MAX: usize = 256;
const MAGIC: &str = "eport-access-log 1";

/// What a line records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The node began to write.
    Started,
    /// The node stopped in order.
    Stopped,
    /// Something that administers was allowed.
    Allowed,
    /// Something was denied.
    Denied,
    /// Documents, or something made of them, were shown for a purpose.
    Shared,
    /// Documents were asked for, and the rules of sharing did not show them.
    NotShared,
    /// A session began.
    LoggedIn,
    /// The sessions of a certificate were ended.
    LoggedOut,
    /// An identity or a source was locked out.
    LockedOut,
    /// The clock was found set back.
    ClockBehind,
    /// Decisions that could not be written down, with their number.
    Lost,
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Its number; the first of a node is 1.
    pub seq: u64,
    /// When, milliseconds since 1970 by the node's clock.
    pub at_ms: i64,
    /// What.
    pub event: Event,
    /// Who, as in the certificate.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Serial of the certificate.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// How the caller showed who it is: `certificate`, `session`, `forward`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Address of the caller.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// For whom the caller acted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub behalf: String,
    /// Method and path, without the query.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
    /// The permission that was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub permission: String,
    /// Code of the refusal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// Id of the request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// What documents were read for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// The platform whose documents they are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub acting_for: String,
    /// The rules and consents that showed them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules: String,
    /// Classes of the fields that were shown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fields: String,
    /// How many documents were decided about and shown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// How many fields were masked or withheld.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub masked: u64,
    /// How often since the line before of this kind.
    pub times: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Line {
    /// An empty line of an event; number and time are given when it is written.
    pub fn of(event: Event) -> Self {
        let empty = String::new;
        Self {
            seq: 0,
            at_ms: 0,
            event,
            subject: empty(),
            serial: empty(),
            by: empty(),
            source: empty(),
            behalf: empty(),
            request: empty(),
            permission: empty(),
            code: empty(),
            request_id: empty(),
            purpose: empty(),
            acting_for: empty(),
            rules: empty(),
            fields: empty(),
            rows: 0,
            masked: 0,
            times: 1,
        }
    }

    /// Texts from outside are cut, so that a line stays a line.
    fn bounded(mut self) -> Self {
        for text in [
            &mut self.subject,
            &mut self.serial,
            &mut self.by,
            &mut self.source,
            &mut self.behalf,
            &mut self.request,
            &mut self.permission,
            &mut self.code,
            &mut self.request_id,
            &mut self.purpose,
            &mut self.acting_for,
            &mut self.rules,
            &mut self.fields,
        ] {
            if text.chars().any(char::is_control) {
                *text = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            }
            let end = text
                .char_indices()
                .map(|(at, c)| at + c.len_utf8())
                .take_while(|e| *e <= TEXT_LEN_MAX)
                .last();
            text.truncate(end.unwrap_or(0));
        }
        self
    }
}

/// The end of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// Number of the last line; 0 before the first.
    pub seq: u64,
    /// Its digest.
    pub digest: Digest,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.digest)
    }
}

impl FromStr for Head {
    type Err = eport_identity::ParseError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let fail = || eport_identity::ParseError {
            what: "head of an access log",
            input: s.chars().take(100).collect(),
            reason: "NUMBER:DIGEST is needed",
        };
        let (seq, digest) = s.split_once(':').ok_or_else(fail)?;
        Ok(Self { seq: seq.parse().map_err(|_| fail())?, digest: digest.parse().map_err(|_| fail())? })
    }
}

fn digest(previous: &Digest, json: &str) -> Digest {
    let mut hasher = DigestHasher::new();
    hasher.update(MAGIC.as_bytes());
    hasher.update(previous.as_bytes());
    hasher.update(json.as_bytes());
    hasher.finish()
}

/// Name of a segment's file: the number of its first line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SegmentName(pub u64);

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access-{:020}.log", self.0)
    }
}

impl FromStr for SegmentName {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let digits = s.strip_prefix("access-").and_then(|r| r.strip_suffix(".log")).ok_or(())?;
        if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(());
        }
        digits.parse().map(Self).map_err(|_| ())
    }
}

/// The writing side: gives lines their numbers and digests.
#[derive(Clone, Debug)]
pub struct Log {
    node: String,
    head: Head,
}

impl Log {
    /// Goes on behind a head.
    pub fn new(node: &str, head: Head) -> Self {
        Self { node: node.to_owned(), head }
    }

    /// The end of what was appended.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The first line of a new segment's file.
    pub fn header(&self) -> String {
        format!("{MAGIC} {} {} {}\n", self.node, self.head.seq + 1, self.head.digest)
    }

    /// The text of the next line.
    pub fn append(&mut self, line: Line) -> String {
        let line = Line { seq: self.head.seq + 1, ..line.bounded() };
        // Plain texts and numbers: writing them as JSON cannot fail.
        let json = serde_json::to_string(&line).unwrap_or_default();
        self.head = Head { seq: line.seq, digest: digest(&self.head.digest, &json) };
        format!("{} {json}\n", self.head.digest)
    }
}

/// What is wrong with a log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Problem {
    /// A segment does not begin as one.
    #[error("segment {segment}: the header is not one of an access log")]
    Header {
        /// First line of the segment by its name.
        segment: u64,
    },
    /// The end of one segment and the beginning of the next do not meet.
    #[error("segment {segment} does not follow the line before it: lines are missing or were changed")]
    Gap {
        /// First line of the segment.
        segment: u64,
    },
    /// A line is not what was written.
    #[error("line {seq} was changed, or one before it was taken out")]
    Line {
        /// Number that the line should have.
        seq: u64,
    },
    /// The last line is not whole.
    #[error("the line after {after} is cut")]
    Torn {
        /// Last whole line.
        after: u64,
    },
    /// Lines that were published are not there.
    #[error("the log ends at line {last}, line {anchor} was published")]
    Cut {
        /// Last line.
        last: u64,
        /// Published head.
        anchor: u64,
    },
    /// The published line is another one.
    #[error("line {seq} is not the one that was published")]
    Anchor {
        /// The line.
        seq: u64,
    },
    /// Lines before the first file are not there and one of them was published.
    #[error("the published line {seq} lies before the first line {first}")]
    Before {
        /// The published line.
        seq: u64,
        /// First line.
        first: u64,
    },
}

struct Header {
    first: u64,
    previous: Digest,
}

fn header(line: &[u8]) -> Option<Header> {
    let text = std::str::from_utf8(line).ok()?;
    let mut parts = text.strip_prefix(MAGIC)?.strip_prefix(' ')?.split(' ');
    let (_node, first, previous) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(Header { first, previous })
}

/// The line behind `head`, if these bytes are it.
fn follow(head: Head, bytes: &[u8]) -> Option<(Head, Line)> {
    let text = std::str::from_utf8(bytes).ok().filter(|t| t.len() <= LINE_LEN_MAX)?;
    let (stated, json) = text.split_once(' ')?;
    let made = digest(&head.digest, json);
    let line: Line = serde_json::from_str(json).ok()?;
    (stated == made.to_string() && line.seq == head.seq.checked_add(1)?)
        .then_some((Head { seq: line.seq, digest: made }, line))
}

/// Splits bytes into whole lines and what is left behind the last one.
fn lines(bytes: &[u8]) -> (impl Iterator<Item = &[u8]>, &[u8]) {
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let (whole, rest) = bytes.split_at(end);
    let whole = whole.strip_suffix(b"\n").unwrap_or(whole);
    (whole.split(|b| *b == b'\n').filter(move |_| end > 0), rest)
}

/// What a node finds in its newest segment when it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// End of the chain.
    pub head: Head,
    /// Bytes that are whole lines; what lies behind was never reported as written and goes.
    pub len: u64,
}

/// Reads the newest segment after a start. A line that was cut by a crash is dropped; one that was changed is not hidden.
pub fn recover(segment: SegmentName, bytes: &[u8]) -> Result<Recovered, Problem> {
    let (mut whole, rest) = lines(bytes);
    let head = whole.next().and_then(header).filter(|h| h.first == segment.0);
    let head = head.ok_or(Problem::Header { segment: segment.0 })?;
    let mut at = Head { seq: head.first.saturating_sub(1), digest: head.previous };
    for line in whole {
        at = follow(at, line).ok_or(Problem::Line { seq: at.seq + 1 })?.0;
    }
    Ok(Recovered { head: at, len: (bytes.len() - rest.len()) as u64 })
}

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// First line.
    pub first: u64,
    /// Last line.
    pub last: u64,
    /// Lines.
    pub lines: u64,
    /// The last line that a published head proves; 0 without one.
    pub proven: u64,
    /// What is wrong, in order.
    pub problems: Vec<Problem>,
}

impl Verified {
    /// Nothing is wrong.
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// A published head shows that nothing is missing at the end.
    pub fn end_proven(&self) -> bool {
        self.ok() && self.proven == self.last && self.lines > 0
    }
}

/// Checks segments, one after the other in the order of their names, against published heads.
#[derive(Clone, Debug)]
pub struct Verifier {
    anchors: BTreeMap<u64, Digest>,
    at: Option<Head>,
    found: Verified,
}

/// Problems that are told; the first ones say enough.
const PROBLEMS_MAX: usize = 100;

impl Verifier {
    /// With the heads that were published.
    pub fn new(anchors: impl IntoIterator<Item = Head>) -> Self {
        let anchors = anchors.into_iter().filter(|a| a.seq > 0).map(|a| (a.seq, a.digest)).collect();
        Self { anchors, at: None, found: Verified::default() }
    }

    fn problem(&mut self, problem: Problem) {
        if self.found.problems.len() < PROBLEMS_MAX {
            self.found.problems.push(problem);
        }
    }

    /// Checks a segment; `each` sees the lines that hold.
    pub fn segment(&mut self, name: SegmentName, bytes: &[u8], mut each: impl FnMut(Line)) {
        let (mut whole, rest) = lines(bytes);
        let Some(head) = whole.next().and_then(header).filter(|h| h.first == name.0) else {
            self.problem(Problem::Header { segment: name.0 });
            return;
        };
        let begins = Head { seq: head.first.saturating_sub(1), digest: head.previous };
        match self.at {
            Some(at) if at != begins => self.problem(Problem::Gap { segment: name.0 }),
            None if (begins.seq == 0) != (begins.digest == Digest::ZERO) => {
                self.problem(Problem::Gap { segment: name.0 });
            }
            None => self.found.first = head.first,
            Some(_) => {}
        }
        let mut at = begins;
        for bytes in whole {
            let Some((next, line)) = follow(at, bytes) else {
                self.problem(Problem::Line { seq: at.seq + 1 });
                // What follows cannot be told from what was made up.
                self.at = Some(at);
                return;
            };
            at = next;
            self.found.lines += 1;
            self.found.last = at.seq;
            match self.anchors.get(&at.seq) {
                Some(published) if *published == at.digest => self.found.proven = at.seq,
                Some(_) => self.problem(Problem::Anchor { seq: at.seq }),
                None => {}
            }
            each(line);
        }
        if !rest.is_empty() {
            self.problem(Problem::Torn { after: at.seq });
        }
        self.at = Some(at);
    }

    /// The verdict.
    pub fn finish(mut self) -> Verified {
        let first = self.found.first;
        if let Some((newest, _)) = self.anchors.last_key_value().map(|(s, d)| (*s, *d)) {
            if newest > self.found.last {
                self.problem(Problem::Cut { last: self.found.last, anchor: newest });
            } else if newest < first {
                self.problem(Problem::Before { seq: newest, first });
            }
        }
        self.found
    }
}

/// Equal denials in a row become one line with a count.
#[derive(Clone, Debug)]
pub struct Coalescer {
    seen: BTreeMap<(Event, String, String, String), Held>,
    max: usize,
}

#[derive(Clone, Debug)]
struct Held {
    since: i64,
    more: u64,
    line: Line,
}

/// Equal denials are counted over this time.
const COALESCE_MS: i64 = 10_000;
/// Different denials that are counted at once.
const COALESCED_MAX: usize = 1_024;

impl Default for Coalescer {
    fn default() -> Self {
        Self { seen: BTreeMap::new(), max: COALESCED_MAX }
    }
}

impl Coalescer {
    /// A denial: answers the line to write now, or `None` when it was counted into one that is written later.
    pub fn note(&mut self, line: Line, now: i64) -> Option<Line> {
        let who = if line.subject.is_empty() { line.source.clone() } else { line.subject.clone() };
        let mut key = (line.event, who, line.permission.clone(), line.code.clone());
        if !self.seen.contains_key(&key) && self.seen.len() >= self.max {
            // Too many different ones: they share one count, by code.
            key = (line.event, String::new(), String::new(), line.code.clone());
        }
        match self.seen.get_mut(&key) {
            Some(held) => {
                held.more = held.more.saturating_add(1);
                held.line = line;
                None
            }
            None => {
                self.seen.insert(key, Held { since: now, more: 0, line: line.clone() });
                Some(line)
            }
        }
    }

    /// The counts whose time is over, as lines to write.
    pub fn due(&mut self, now: i64) -> Vec<Line> {
        let over: Vec<_> = self
            .seen
            .iter()
            // A clock that went back must not hold counts for ever.
            .filter(|(_, h)| !(h.since..h.since + COALESCE_MS).contains(&now))
            .map(|(k, _)| k.clone())
            .collect();
        let over = over.iter().filter_map(|k| self.seen.remove(k)).filter(|h| h.more > 0);
        over.map(|h| Line { times: h.more, ..h.line }).collect()
    }

    /// Every count, at the end.
    pub fn drain(&mut self) -> Vec<Line> {
        self.due(i64::MAX)
    }
}
