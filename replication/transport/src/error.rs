//! Failures of a transport: at start, when sending, when requesting, and the last failure of each peer.

use eport_model::{Code, Coded, NodeId, codes};
use eport_wire::{CloseCode, FrameError, HelloError, Mismatch, Purpose};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Why a transport could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The UDP address is in use.
    #[error("UDP address {0} is in use")]
    PortTaken(SocketAddr),
    /// The UDP address cannot be used.
    #[error("opening UDP address {addr}")]
    Socket {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The own certificate names another node.
    #[error("the own certificate is {found}'s; the configuration says {me}")]
    NotMe {
        /// The configured node.
        me: NodeId,
        /// The subject of the certificate.
        found: String,
    },
    /// The TLS setup cannot be built.
    #[error("TLS")]
    Tls(#[from] eport_tls::Error),
    /// A limit is outside what QUIC can express.
    #[error("limit {0} is out of range")]
    Limit(&'static str),
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Error::PortTaken(_) => codes::PORT_TAKEN,
            Error::Socket { .. } | Error::Limit(_) => codes::CONFIG_INVALID,
            Error::NotMe { .. } => codes::PEER_IDENTITY,
            Error::Tls(e) => Code(e.code()),
        }
    }
}

/// Why a message was not queued. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection; for a bulk purpose one is now being dialled.
    #[error("no connection to {0}")]
    NotConnected(NodeId),
    /// The peer reads too slowly.
    #[error("the {purpose} queue to {to} is full")]
    QueueFull {
        /// The peer.
        to: NodeId,
        /// The queue.
        purpose: Purpose,
    },
    /// Longer than its purpose allows.
    #[error(transparent)]
    TooLong(FrameError),
}

impl Coded for SendError {
    fn code(&self) -> Code {
        match self {
            SendError::NotConnected(_) => codes::PEER_UNREACHABLE,
            SendError::QueueFull { .. } => codes::PEER_BUSY,
            SendError::TooLong(e) => e.code(),
        }
    }
}

/// Why a request has no answer. Except for `NotConnected` and `TooLong`, whether it took effect is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No connection; the request was not sent.
    #[error("no connection to {0}")]
    NotConnected(NodeId),
    /// No answer in time.
    #[error("{to} did not answer a {purpose} request within {timeout:?}")]
    Timeout {
        /// The peer.
        to: NodeId,
        /// The purpose.
        purpose: Purpose,
        /// The limit.
        timeout: Duration,
    },
    /// The connection ended, or the peer gave the request up.
    #[error("the {purpose} request to {to} was cut off: {detail}")]
    Lost {
        /// The peer.
        to: NodeId,
        /// The purpose.
        purpose: Purpose,
        /// What happened.
        detail: String,
    },
    /// Longer than its purpose allows; not sent.
    #[error(transparent)]
    TooLong(FrameError),
    /// The answer is not a frame.
    #[error("answer of {to}")]
    BadAnswer {
        /// The peer.
        to: NodeId,
        /// What is wrong with it.
        #[source]
        source: FrameError,
    },
}

impl RequestError {
    /// Whether the same request may succeed later.
    pub fn retryable(&self) -> bool {
        self.code().info().is_some_and(|i| i.retryable)
    }
}

impl Coded for RequestError {
    fn code(&self) -> Code {
        match self {
            RequestError::NotConnected(_) | RequestError::Lost { .. } => codes::PEER_UNREACHABLE,
            RequestError::Timeout { .. } => codes::PEER_TIMEOUT,
            RequestError::TooLong(e) => e.code(),
            RequestError::BadAnswer { source, .. } => source.code(),
        }
    }
}

/// Why the last attempt to reach a peer, or its last connection, ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// What happened, for people.
    pub detail: String,
    /// When.
    pub at: Instant,
}

impl Failure {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), at: Instant::now() }
    }
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetError {
    #[error("dialling: {0}")]
    Dial(#[from] quinn::ConnectError),
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    #[error("certificate: {0}")]
    Certificate(#[from] eport_tls::Refused),
    #[error("{0}")]
    Mismatch(#[from] Mismatch),
    #[error("{0}")]
    Hello(#[from] HelloError),
    #[error("the hello was cut off: {0}")]
    CutOff(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("connection class not known")]
    Class,
    #[error("{0}")]
    NotKept(CloseCode),
}

impl GreetError {
    /// The code with which this side closes.
    pub fn close_code(&self) -> CloseCode {
        match self {
            GreetError::Certificate(eport_tls::Refused::Revoked(_)) => CloseCode::Revoked,
            GreetError::Certificate(eport_tls::Refused::Expired) => CloseCode::Expired,
            GreetError::Certificate(_) => CloseCode::Identity,
            GreetError::Mismatch(m) => m.close_code(),
            GreetError::Class => CloseCode::Class,
            GreetError::NotKept(code) => *code,
            _ => CloseCode::Malformed,
        }
    }

    pub fn failure(&self) -> Failure {
        let code = match self {
            GreetError::Connection(e) => connection_code(e),
            GreetError::Certificate(e) => Code(e.code()),
            GreetError::Mismatch(m) => m.code(),
            GreetError::Hello(e) => e.code(),
            GreetError::Class => codes::WIRE_VERSION,
            GreetError::NotKept(code) => code.error_code(),
            GreetError::Dial(_) | GreetError::CutOff(_) | GreetError::Timeout(_) => codes::PEER_UNREACHABLE,
        };
        Failure::new(code, self.to_string())
    }
}

/// The stable code of a connection's end: the close code the peer gave, or the TLS alert behind it.
pub(crate) fn connection_code(error: &quinn::ConnectionError) -> Code {
    use quinn::ConnectionError as E;
    match error {
        E::ApplicationClosed(close) => CloseCode::from_number(close.error_code.into_inner())
            .map_or(codes::PEER_UNREACHABLE, |c| c.error_code()),
        E::TransportError(e) => alert_code(u64::from(e.code)),
        E::ConnectionClosed(close) => alert_code(u64::from(close.error_code)),
        E::VersionMismatch => codes::WIRE_VERSION,
        _ => codes::PEER_UNREACHABLE,
    }
}

/// QUIC carries TLS alerts as 0x100 + alert (RFC 9001 §4.8).
fn alert_code(code: u64) -> Code {
    match code.checked_sub(0x100) {
        Some(44) => codes::CERT_REVOKED,
        Some(45) => codes::CERT_EXPIRED,
        Some(116) => codes::CERT_MISSING,
        Some(42 | 43 | 46 | 48 | 49 | 51) => codes::CERT_REFUSED,
        Some(70 | 120) => codes::WIRE_VERSION,
        _ => codes::PEER_UNREACHABLE,
    }
}
