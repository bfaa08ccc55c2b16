//! Client of a node's HTTP API with client certificate.
#![forbid(unsafe_code)]
