//! Why the agent cannot start or carry out what it was asked.

use eport_model::{Code, Coded, RegionCode, codes};

/// An error of the agent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A platform's store could not be opened or failed.
    #[error("store of platform {region}: {source}")]
    Store {
        /// The platform.
        region: RegionCode,
        /// What the store said.
        #[source]
        source: eport_store::Error,
    },
    /// The registry did not carry out a command.
    #[error("registry: {0}")]
    Registry(#[from] eport_consensus::ProposeError),
    /// The platform is not kept on this node.
    #[error("platform {0} is not kept on this node")]
    NotHere(RegionCode),
    /// A peer did not answer as expected.
    #[error("node {node}: {detail}")]
    Peer {
        /// The peer.
        node: eport_model::NodeId,
        /// What happened.
        detail: String,
    },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Error::Store { source, .. } => source.code(),
            Error::Registry(e) => e.code(),
            Error::NotHere(_) => codes::NOT_PRIMARY,
            Error::Peer { .. } => codes::PEER_UNREACHABLE,
        }
    }
}
