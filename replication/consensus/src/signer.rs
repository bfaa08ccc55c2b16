//! The signature of this node's own steps. The key stays with its owner; what comes in here is a way to use it.

use crate::clock;
use eport_registry::{Command, Proof, State};
use eport_signature::Envelope;
use std::fmt;
use std::sync::Arc;

/// Signs bytes with the key of the node's certificate: (certificate, signature), both DER; `None` when it cannot.
type Sign = dyn Fn(&[u8]) -> Option<(Vec<u8>, Vec<u8>)> + Send + Sync;

/// Signs what this node proposes in its own name. Cheap to clone.
#[derive(Clone)]
pub struct StepSigner(Arc<Sign>);

impl StepSigner {
    /// A signer from a way to sign bytes with the key of the node's current certificate.
    pub fn new(sign: impl Fn(&[u8]) -> Option<(Vec<u8>, Vec<u8>)> + Send + Sync + 'static) -> Self {
        Self(Arc::new(sign))
    }

    /// Bytes that are no command, signed: certificate and signature, both DER. `None` when the key cannot sign.
    pub fn bytes(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        (self.0)(bytes)
    }

    /// The command with this node's signature, made now: a repeated step is signed afresh.
    pub(crate) fn sign(&self, state: &State, mut command: Command) -> Command {
        let Some(federation) = state.federation() else { return command };
        let at_ms = clock::now().as_millis();
        let envelope = Envelope { lineage: federation.lineage, id: command.id.0, by: &command.by, at_ms };
        let signed = (self.0)(&command.op.statement().bytes(&envelope));
        command.proof = signed.map(|(certificate, signature)| Proof { certificate, at_ms, signature });
        command
    }
}

impl fmt::Debug for StepSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepSigner")
    }
}
