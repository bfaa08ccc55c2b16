//! axum routes, problem answers, OpenAPI, forwarding to the primary.
#![forbid(unsafe_code)]
