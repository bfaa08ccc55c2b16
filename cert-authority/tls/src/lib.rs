//! rustls configurations and the one verifier every listener and dialler uses.
#![forbid(unsafe_code)]
