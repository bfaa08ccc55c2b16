//! Page tokens: opaque, with a version, carrying the whole scan. What a caller may see is never taken from a token.

use crate::Error;
use eport_model::codec;
use serde::{Deserialize, Serialize};

/// Version of the token's layout.
const VERSION: u8 = 1;

/// Longest token. 2 KiB.
const TOKEN_LEN_MAX: usize = 2 << 10;

/// Where a scan goes on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    version: u8,
    pub(crate) doc_type: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) client_ref: Option<String>,
    pub(crate) since: Option<i64>,
    /// Last row looked at.
    pub(crate) after: Vec<u8>,
}

impl Token {
    pub(crate) fn new(
        doc_type: Option<String>,
        state: Option<String>,
        client_ref: Option<String>,
        since: Option<i64>,
        after: Vec<u8>,
    ) -> Self {
        Self { version: VERSION, doc_type, state, client_ref, since, after }
    }

    pub(crate) fn print(&self) -> String {
        hex::encode(codec::encode(self))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = Error::Parameter { parameter: "page_token", reason: "it is not a token of this list" };
        if text.len() > TOKEN_LEN_MAX {
            return Err(wrong);
        }
        let bytes = hex::decode(text).map_err(|_| wrong.clone())?;
        match codec::decode_with_limit::<Token>(&bytes, TOKEN_LEN_MAX) {
            Ok(token) if token.version == VERSION => Ok(token),
            _ => Err(wrong),
        }
    }
}
