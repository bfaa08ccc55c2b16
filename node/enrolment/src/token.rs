//! One-time enrolment tokens: their text, what is kept of them, and whether one may be used.
//!
//! Text: `ept1.REGION.SECRET.ROOT.HOST+HOST…`; SECRET 32 random bytes and ROOT the SHA-256 of the root's public key, both hex;
//! HOST is an API address `host:port`.
//!
//! Always holds: only a digest of the secret is stored, and no error repeats the text; a token that was used is good for the key
//! it was used for and for no other.

use crate::Fault;
use core::net::IpAddr;
use eport_identity::ParseError;
use eport_model::{Digest, RegionCode, Subject, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest text of a token.
pub const TOKEN_TEXT_MAX: usize = 1024;
/// Addresses in a token.
pub const HOSTS_MAX: usize = 8;
/// Longest address in a token: eight of them fit into its text.
const HOST_LEN_MAX: usize = 100;
/// Longest life of a token: three days, for cities that are far away.
pub const TOKEN_LIFE_MAX_MS: i64 = 72 * 3_600_000;
/// Tokens that a platform keeps, used ones included.
pub const TOKENS_MAX: usize = 4_096;
/// How long a token that can no longer be used is still shown.
const KEPT_MS: i64 = 30 * 86_400_000;
const PREFIX: &str = "ept1";

/// A token as its holder has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The platform whose CA it is for.
    pub region: RegionCode,
    /// The secret.
    pub secret: [u8; 32],
    /// SHA-256 of the public key (SPKI) of the federation's root.
    pub root: Digest,
    /// API addresses, `host:port`.
    pub hosts: Vec<String>,
}

impl Token {
    /// What is stored in the place of the secret.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.secret)
    }

    /// The name under which it is kept and listed.
    pub fn id(&self) -> String {
        token_id(&self.digest())
    }
}

/// The name of a token: the beginning of its secret's digest.
pub fn token_id(digest: &Digest) -> String {
    hex::encode(&digest.as_bytes()[..12])
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Token { region, secret, root, hosts } = self;
        write!(f, "{PREFIX}.{region}.{}.{root}.{}", hex::encode(secret), hosts.join("+"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id())
    }
}

impl FromStr for Token {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        // The text is a secret: an error never repeats it.
        let fail = |reason| ParseError { what: "enrolment token", input: "(hidden)".to_owned(), reason };
        if s.len() > TOKEN_TEXT_MAX {
            return Err(fail("it is too long"));
        }
        let parts: Vec<&str> = s.trim().splitn(5, '.').collect();
        let [PREFIX, region, secret, root, hosts] = parts.as_slice() else {
            return Err(fail("it has the form ept1.REGION.SECRET.ROOT.HOSTS"));
        };
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(secret, &mut bytes).map_err(|_| fail("its secret is not 64 hex digits"))?;
        let region = region.parse().map_err(|_| fail("its platform is no region"))?;
        let root = root.parse().map_err(|_| fail("its root is not 64 hex digits"))?;
        let hosts: Vec<String> = hosts.split('+').filter(|h| !h.is_empty()).map(str::to_owned).collect();
        if hosts.len() > HOSTS_MAX || !hosts.iter().all(|h| host_is_plain(h)) {
            return Err(fail("its addresses are not host:port"));
        }
        Ok(Self { region, secret: bytes, root, hosts })
    }
}

/// Whether an address may stand in a token.
pub fn host_is_plain(host: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    host.len() <= HOST_LEN_MAX
        && host.bytes().all(plain)
        && host.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
}

/// How far a token has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TokenState {
    /// Nobody has used it.
    Open,
    /// Used for a key: written in the same record as the intent of the certificate, or as the request that waits.
    Used {
        /// SHA-256 of the key (SPKI) it was used for.
        key: Digest,
        /// When.
        at: Timestamp,
    },
    /// Withdrawn.
    Revoked {
        /// By whom.
        by: String,
        /// When.
        at: Timestamp,
    },
}

/// What a platform keeps of a token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TokenRow {
    /// SHA-256 of the secret.
    pub secret: Digest,
    /// For whom.
    pub subject: Subject,
    /// Profile of the certificate.
    pub profile: String,
    /// Only for this key, where it is known.
    pub key: Option<Digest>,
    /// Days of life of the certificate.
    pub days: Option<i64>,
    /// Further DNS names of a node.
    pub dns: Vec<String>,
    /// Further addresses of a node.
    pub addresses: Vec<IpAddr>,
    /// The request waits for an operator before the certificate is made.
    pub approval: bool,
    /// Last usable instant.
    pub expires: Timestamp,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: Timestamp,
    /// How far it has come.
    pub state: TokenState,
}

impl TokenRow {
    /// Its name.
    pub fn id(&self) -> String {
        token_id(&self.secret)
    }

    /// Whether it may be used now for a key. The same key may come again: its first answer may have been lost.
    pub fn admits(&self, secret: &Digest, key: &Digest, now: Timestamp) -> Result<(), Fault> {
        let refuse = |why: &str| Err(Fault::Token(why.to_owned()));
        if self.secret != *secret {
            return refuse("is unknown here");
        }
        if self.key.is_some_and(|bound| bound != *key) {
            return refuse("is for another key");
        }
        match &self.state {
            TokenState::Used { key: used, .. } if used == key => Ok(()),
            TokenState::Used { .. } => Err(Fault::Used),
            TokenState::Revoked { .. } => refuse("was withdrawn"),
            TokenState::Open if now > self.expires => refuse("has expired"),
            TokenState::Open => Ok(()),
        }
    }

    /// The word for lists.
    pub fn word(&self, now: Timestamp) -> &'static str {
        match self.state {
            TokenState::Used { .. } => "used",
            TokenState::Revoked { .. } => "revoked",
            TokenState::Open if now > self.expires => "expired",
            TokenState::Open => "open",
        }
    }

    /// True when nobody needs the row any more.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.as_millis().saturating_sub(self.expires.as_millis()) > KEPT_MS
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn token() -> Token {
        let hosts = vec!["127.0.0.1:7443".to_owned(), "[::1]:7444".into(), "n1.gd.eport.example:1".into()];
        Token { region: "440300".parse().unwrap(), secret: [0xab; 32], root: Digest::of(b"root"), hosts }
    }

    #[test]
    fn a_token_survives_its_text_and_its_name_gives_nothing_away() {
        let token = token();
        assert_eq!(token.to_string().parse::<Token>().unwrap(), token);
        assert!(!format!("{token:?}").contains("abab") && !token.id().contains("abab"));
        let bare = Token { hosts: vec![], ..token };
        assert_eq!(bare.to_string().parse::<Token>().unwrap(), bare);
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_repeated() {
        let good = token().to_string();
        for bad in [
            String::new(),
            "ept1".into(),
            good.replace("ept1", "ept2"),
            good.replace("440300", "44030x"),
            good.replacen("ab", "zz", 1),
            format!("{good}+evil"),
            format!("{good}+a b:1"),
            format!("{good}{}", "+h:1".repeat(8)),
            format!("{good}+{}:1", "a".repeat(2_000)),
            "\u{0}".repeat(40),
        ] {
            let error = bad.parse::<Token>().unwrap_err().to_string();
            assert!(!error.contains("ababab"), "{error}");
        }
    }

    fn row() -> TokenRow {
        TokenRow {
            secret: token().digest(),
            subject: "operator/li".parse().unwrap(),
            profile: "operator".into(),
            key: None,
            days: None,
            dns: vec![],
            addresses: vec![],
            approval: false,
            expires: Timestamp::from_millis(1_000),
            made_by: "operator/admin".into(),
            made_at: Timestamp::from_millis(0),
            state: TokenState::Open,
        }
    }

    #[test]
    fn a_token_is_good_for_one_key_until_its_end() {
        let (secret, mine, other) = (token().digest(), Digest::of(b"mine"), Digest::of(b"other"));
        let at = Timestamp::from_millis;
        let mut row = row();
        assert_eq!(row.admits(&secret, &mine, at(1_000)), Ok(()));
        assert!(row.admits(&secret, &mine, at(1_001)).is_err() && row.word(at(1_001)) == "expired");
        assert!(row.admits(&Digest::of(b"x"), &mine, at(0)).is_err());
        row.state = TokenState::Used { key: mine, at: at(5) };
        assert_eq!(row.admits(&secret, &mine, at(9_999)), Ok(()), "a lost answer is asked for again");
        assert_eq!(row.admits(&secret, &other, at(6)), Err(Fault::Used));
        row.state = TokenState::Revoked { by: "operator/admin".into(), at: at(5) };
        assert!(row.admits(&secret, &mine, at(6)).is_err());
        let bound = TokenRow { key: Some(mine), ..self::row() };
        assert!(bound.admits(&secret, &other, at(0)).is_err() && bound.admits(&secret, &mine, at(0)).is_ok());
    }
}
