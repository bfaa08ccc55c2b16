//! Document envelope, standards packs, field checks, idempotency key.
#![forbid(unsafe_code)]
