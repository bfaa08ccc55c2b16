//! What an account is: its name, its terms, its balances, what documents hold of it, and its entries.

use crate::{Amount, Holder, Step};
use eport_model::{Digest, Timestamp, codec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use time::Date;

/// Most parts of an account's name.
pub const PARTS_MAX: usize = 6;
/// Longest part, in bytes.
pub const PART_LEN_MAX: usize = 128;
/// What tolerances are counted in: 500 is 5 %.
pub const TERMS_SCALE: u32 = 10_000;

/// The name of an account: the book, and what tells its accounts apart, such as kind, number and line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct AccountKey {
    book: String,
    parts: Vec<String>,
}

/// Why a text names no account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an account is BOOK:PART/PART, with 1 to 6 parts of 1 to 128 bytes and no control characters")]
pub struct KeyError;

/// A name as bytes or a text bring it.
#[derive(Deserialize)]
struct Unchecked {
    book: String,
    parts: Vec<String>,
}

impl TryFrom<Unchecked> for AccountKey {
    type Error = KeyError;
    fn try_from(name: Unchecked) -> Result<Self, KeyError> {
        Self::new(&name.book, name.parts)
    }
}

impl AccountKey {
    /// The account of a book with these parts.
    pub fn new(book: &str, parts: impl IntoIterator<Item = String>) -> Result<Self, KeyError> {
        let parts: Vec<String> = parts.into_iter().take(PARTS_MAX + 1).collect();
        let good = |p: &str| !p.is_empty() && p.len() <= PART_LEN_MAX && !p.chars().any(char::is_control);
        let plain = !book.contains(':') && good(book);
        if !plain || parts.is_empty() || parts.len() > PARTS_MAX || !parts.iter().all(|p| good(p)) {
            return Err(KeyError);
        }
        Ok(Self { book: book.to_owned(), parts })
    }

    /// The book.
    pub fn book(&self) -> &str {
        &self.book
    }

    /// What tells it apart from other accounts of its book.
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// The name as the bytes of a row's key: parts end with a zero byte, which none of them contains.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        for part in std::iter::once(&self.book).chain(&self.parts) {
            out.extend_from_slice(part.as_bytes());
            out.push(0);
        }
        out
    }
}

impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.book)?;
        for (n, part) in self.parts.iter().enumerate() {
            let slash = if n == 0 { "" } else { "/" };
            write!(f, "{slash}{}", part.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

impl FromStr for AccountKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (book, parts) = text.split_once(':').ok_or(KeyError)?;
        Self::new(book, parts.split('/').map(|p| p.replace("~1", "/").replace("~0", "~")))
    }
}

/// Under which conditions an account may be used.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Terms {
    /// By how much a last batch may exceed what is left, in parts of 10 000.
    pub tolerance: u32,
    /// How many documents may use it; `None`: any number. 1 is one batch, one licence.
    pub uses_max: Option<u32>,
    /// First local day on which it may be used.
    pub valid_from: Option<Date>,
    /// Last one.
    pub valid_to: Option<Date>,
    /// The unit of its quantities.
    pub unit: Option<String>,
    /// The enterprise it was granted to, which may read it.
    pub holder: Option<String>,
}

/// Whether an account takes new reserves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It does.
    #[default]
    Active,
    /// Not now.
    Suspended,
    /// Never again. What is held stays until its documents end.
    Revoked,
}

/// An account's balances. `granted` is what was granted and adjusted; see the crate's invariants.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// Its terms.
    pub terms: Terms,
    /// Σ GRANT + Σ ADJUST.
    pub granted: Amount,
    /// Σ GRANT alone: what the granting document says now.
    pub grant: Amount,
    /// Open reserves.
    pub reserved: Amount,
    /// Σ COMMIT.
    pub committed: Amount,
    /// Given away in shares that are not settled.
    pub escrowed: Amount,
    /// Documents with an open reserve or a commit.
    pub uses: u32,
    /// Whether it takes reserves.
    pub standing: Standing,
    /// The document that grants it.
    pub grantor: Option<Holder>,
    /// What that document did last.
    pub step: Step,
    /// How many entries it has.
    pub entries: u64,
    /// Digest of the last one.
    pub last: Digest,
}

impl Account {
    /// Reserved or committed.
    pub fn used(&self) -> Option<Amount> {
        self.reserved.plus(self.committed)
    }

    /// What may still be reserved, before tolerance; below zero after a last batch.
    pub fn rest(&self) -> Option<Amount> {
        self.granted.minus(self.used()?)?.minus(self.escrowed)
    }

    /// The same, never below zero.
    pub fn available(&self) -> Amount {
        self.rest().unwrap_or_default().max(Amount::ZERO)
    }

    /// By how much a last batch went beyond what was granted.
    pub fn over(&self) -> Amount {
        let over = self.used().and_then(|used| used.minus(self.granted));
        over.unwrap_or_default().max(Amount::ZERO)
    }

    /// A licence for one batch, or one that counts its uses, has no shares.
    pub fn counts_uses(&self) -> bool {
        self.terms.uses_max.is_some()
    }
}

/// What one document holds of an account, by item, and the last thing it did there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Hold {
    /// The newest step that took effect.
    pub step: Step,
    /// By item number.
    pub items: BTreeMap<u16, Item>,
    /// It is one of the account's uses.
    pub counted: bool,
}

impl Hold {
    /// What the document uses of the account now.
    pub fn net(&self) -> Option<Amount> {
        self.items.values().try_fold(Amount::ZERO, |sum, i| sum.plus(i.net()?))
    }

    /// What of it is committed, adjusted or not.
    pub fn committed(&self) -> Option<Amount> {
        Amount::sum(self.items.values().map(|i| i.committed))
    }
}

/// One item of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Item {
    /// Open reserve.
    pub reserved: Amount,
    /// Committed.
    pub committed: Amount,
    /// Given back after commitment.
    pub adjusted: Amount,
}

impl Item {
    /// What it uses.
    pub fn net(&self) -> Option<Amount> {
        self.reserved.plus(self.committed)?.minus(self.adjusted)
    }
}

/// Kinds of entries (documents §9.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum EntryKind {
    Grant,
    Reserve,
    Commit,
    Release,
    Adjust,
    Extend,
    Escrow,
    Settle,
    Suspend,
    Resume,
    Revoke,
}

impl EntryKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Grant => "GRANT",
            EntryKind::Reserve => "RESERVE",
            EntryKind::Commit => "COMMIT",
            EntryKind::Release => "RELEASE",
            EntryKind::Adjust => "ADJUST",
            EntryKind::Extend => "EXTEND",
            EntryKind::Escrow => "ESCROW",
            EntryKind::Settle => "SETTLE",
            EntryKind::Suspend => "SUSPEND",
            EntryKind::Resume => "RESUME",
            EntryKind::Revoke => "REVOKE",
        }
    }
}

/// One entry of an account; never changed, chained by digests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// 1, 2, …
    pub no: u64,
    /// Its kind.
    pub kind: EntryKind,
    /// How much; a grant that is lowered has a negative one.
    pub quantity: Amount,
    /// The document, with its version and item.
    pub holder: Holder,
    /// Version of the document.
    pub version: u32,
    /// Its item; 0 where the entry is about the whole.
    pub item: u16,
    /// Who caused it.
    pub actor: String,
    /// The local day it counts for.
    pub day: Date,
    /// Record time.
    pub at: Timestamp,
    /// Why, for people.
    pub reason: String,
    /// The request.
    pub cause: Digest,
    /// Digest of the entry before.
    pub previous: Digest,
}

impl Entry {
    /// The digest that the next entry carries.
    pub fn digest(&self) -> Digest {
        Digest::of(&codec::encode(self))
    }
}
