//! Keys of issuing CAs: where they are open, wrapped keys, shares.

use serde::{Deserialize, Serialize};

/// A CA of a platform as the asked node has it. `GET /v1/platforms/{region}/ca-keys`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaKeyItem {
    /// SHA-256 of its public key (SPKI).
    pub ca: String,
    /// Its name for people.
    pub name: String,
    /// Its platform.
    pub platform: String,
    /// The node that answers.
    pub node: String,
    /// `open`, `locked` (sealed here, or wrapped in the journal here), `absent`.
    pub state: String,
    /// `file` or `shares`, while it is open.
    pub opened_by: Option<String>,
    /// Who holds shares of it, as the registry knows it.
    pub custody: Option<CustodyItem>,
    /// Wrapped keys in the journal here, by the id of what wraps them.
    pub wrapped: Vec<String>,
}

/// Who holds shares of a CA's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CustodyItem {
    /// Id of the key that wraps it; shares name it.
    pub kek: String,
    /// SHA-256 of the wrapped key.
    pub wrapped: String,
    /// So many shares open it.
    pub threshold: u8,
    /// Who holds one.
    pub holders: Vec<String>,
    /// Who put it.
    pub by: String,
    /// When.
    pub at: String,
    /// Whether the journal here holds exactly this wrapped key: whoever takes over here can open it.
    pub kept_here: bool,
}

/// `POST /v1/platforms/{region}/ca-keys`: keep a wrapped key in the platform's journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKeyRequest {
    /// The wrapped key, as `eport ca export` wrote it.
    pub wrapped: String,
}

/// `PUT /v1/platforms/{region}/ca-keys/{ca}/custody`: a command of the registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustodyRequest {
    /// Id of the key that wraps it.
    pub kek: String,
    /// SHA-256 of the wrapped key.
    pub wrapped: String,
    /// So many shares open it.
    pub threshold: u8,
    /// Who holds one.
    pub holders: Vec<String>,
}

/// `POST /v1/platforms/{region}/ca-keys:unlock`. The node wipes what it was given when it has answered.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnlockRequest {
    /// Texts of shares.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<String>,
    /// The passphrase of key files that lie on the node sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<String>,
}

impl std::fmt::Debug for UnlockRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} shares", self.shares.len())
    }
}

/// What was opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnlockAnswer {
    /// The node.
    pub node: String,
    /// The platform.
    pub platform: String,
    /// The epoch under which it issues from now on; `None` while the node is not the open primary.
    pub epoch: Option<u64>,
    /// CAs whose keys are open now, by key.
    pub opened: Vec<String>,
}
