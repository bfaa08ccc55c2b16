//! The certificate authorities of a federation: root, issuing CAs, leaf certificates, and their files.
//!
//! What always holds: a leaf is never a CA and never outlives its CA; names come from the caller (registry or token) and
//! a CSR contributes its public key only; serials are `0x01 ‖ epoch ‖ 96 random bits` and so never repeat, even between
//! two primaries; a key file is written with mode 0600 and refused when anyone else can read it. Validity is given by the
//! caller, so tests can make expired certificates. Verification belongs to `tls`.
#![forbid(unsafe_code)]

mod authority;
pub mod ceremony;
mod command_key;
mod crl;
mod cross;
mod delegate;
mod der;
mod error;
mod facts;
mod files;
mod key;
mod keystore;
mod lint;
mod memory;
mod node_key;
mod ocsp;
mod pkcs7;
mod profile;
mod seal;
mod sealed;
mod serial;
mod spec;
mod wrapped;

pub use authority::{Authority, Issued, IssuingSpec, bundle_pem};
pub use command_key::CommandKey;
pub use crl::{CrlContent, CrlEntry, CrlNumber, Reason, list_of_file, read_crl};
pub use delegate::{DelegateTbs, OcspDelegate};
pub use eport_identity::CaPurpose;
pub use error::Error;
pub use facts::{
    CertificateFacts, ca_of_pem, certificate_of_pem, certificate_pem, certificates_of_pem, facts_of,
    issued_by,
};
pub use files::{KEY_MODE, read_key, write_certificate, write_key};
pub use key::{Key, REQUEST_LEN_MAX, RequestFacts, certificate_request, read_request, request_of_key};
pub use keystore::{KeyAlgorithm, KeyStore, SoftKey};
pub use memory::{MemoryGuard, guard_memory};
pub use node_key::{NodeKey, PUBLIC_KEY_LEN, PublicKey, Unwrap, WRAPPED_LEN, new_data_key, wrap_key};
pub use ocsp::{
    OCSP_ASKED_MAX, OCSP_REQUEST_LEN_MAX, OcspAsked, OcspError, OcspStatus, ocsp_request, read_ocsp_request,
};
pub use pkcs7::{base64_bytes, base64_lines, certs_only, request_of_body};
pub use profile::{LeafNames, LifeDays, NOT_BEFORE_SLACK, Validity};
pub use seal::{PASSPHRASE_LEN_MIN, SALT_LEN, Seal};
pub use sealed::{KeyForm, PASSPHRASE_BESIDE, Passphrase, open_key, read_key_file, seal_in_place};
pub use serial::of as serial_of;
pub use spec::{KeyUse, LeafRequest, Profile, Purpose, Tbs, TbsSpec};
pub use wrapped::{WRAPPED_KEY_LEN_MAX, WrappedKey};

/// A DER structure as PEM.
pub(crate) fn pem_of(label: &str, der: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new(label, der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}
