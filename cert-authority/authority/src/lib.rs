//! Issues certificates with rcgen and keeps private keys at rest.
#![forbid(unsafe_code)]
