//! The change feed of a table: what a copy elsewhere has to do to become the version in force, in parts that can be taken up
//! again after any break.
//!
//! A token names what the reader has: nothing, a version, or a version and the changes to the next one up to a key. Versions
//! follow each other in the order in which they take effect, and only those in force by now are given: whoever applies the
//! feed has at every end of a version exactly what the table was. History published later, older than what the reader has,
//! does not concern it. Days that bound rows are data of the rows; their passing is no change.

use eport_catalog::Key;
use eport_model::codes::TABLE_FEED;
use eport_model::{Code, Coded, Timestamp};
use std::fmt;
use std::str::FromStr;

/// Where a reader stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    /// It has all of a version.
    At(u64),
    /// It has a version, none at the very beginning, and the changes to another up to a key.
    Within {
        /// The version it comes from.
        from: Option<u64>,
        /// The version it goes to.
        to: u64,
        /// The last key it has, as text.
        key: String,
    },
}

/// A token that the feed cannot go on from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the feed cannot go on from token {token:?}: {reason}")]
pub struct FeedError {
    /// The token, cut.
    pub token: String,
    /// Why.
    pub reason: &'static str,
}

impl Coded for FeedError {
    fn code(&self) -> Code {
        TABLE_FEED
    }
}

impl FeedError {
    /// An error about a token.
    pub fn new(token: &str, reason: &'static str) -> Self {
        FeedError { token: token.chars().take(128).collect(), reason }
    }
}

impl FromStr for Token {
    type Err = FeedError;
    fn from_str(s: &str) -> Result<Self, FeedError> {
        let bad = || FeedError::new(s, "it is no token of a change feed");
        let Some((versions, key)) = s.split_once('~') else {
            return s.parse().map(Token::At).map_err(|_| bad());
        };
        let (from, to) = versions.split_once('-').ok_or_else(bad)?;
        // Versions count from 1.
        let from = Some(from.parse().map_err(|_| bad())?).filter(|from| *from > 0);
        Ok(Token::Within { from, to: to.parse().map_err(|_| bad())?, key: key.to_owned() })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::At(version) => write!(f, "{version}"),
            Token::Within { from: Some(from), to, key } => write!(f, "{from}-{to}~{key}"),
            Token::Within { from: None, to, key } => write!(f, "0-{to}~{key}"),
        }
    }
}

/// What comes next: the changes between two versions, from behind a key on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leg {
    /// The version that the reader has; none: nothing.
    pub from: Option<u64>,
    /// The version it goes to.
    pub to: u64,
    /// The key to go on behind, as text.
    pub after: Option<String>,
}

/// The next leg of a reader, `None` when it has the version in force. `versions` are number and effective instant.
pub fn next(
    versions: &[(u64, Timestamp)],
    token: Option<&Token>,
    now: Timestamp,
) -> Result<Option<Leg>, FeedError> {
    let mut order: Vec<(Timestamp, u64)> =
        versions.iter().filter(|(_, at)| *at <= now).map(|(n, at)| (*at, *n)).collect();
    order.sort_unstable();
    let known = |n: u64| order.iter().position(|(_, v)| *v == n);
    let gone =
        |token: &Token| FeedError::new(&token.to_string(), "its version is not in force and never was");
    match token {
        None => Ok(order.first().map(|(_, to)| Leg { from: None, to: *to, after: None })),
        Some(token @ Token::At(version)) => {
            let place = known(*version).ok_or_else(|| gone(token))?;
            let to = order.get(place + 1).map(|(_, to)| *to);
            Ok(to.map(|to| Leg { from: Some(*version), to, after: None }))
        }
        Some(token @ Token::Within { from, to, key }) => {
            if known(*to).is_none() || from.is_some_and(|f| known(f).is_none()) {
                return Err(gone(token));
            }
            Ok(Some(Leg { from: *from, to: *to, after: Some(key.clone()) }))
        }
    }
}

impl Leg {
    /// The token behind a key of this leg; at its end that of the version it goes to.
    pub fn token(&self, last: Option<&Key>) -> Token {
        match last {
            Some(key) => Token::Within { from: self.from, to: self.to, key: key.to_string() },
            None => Token::At(self.to),
        }
    }
}
