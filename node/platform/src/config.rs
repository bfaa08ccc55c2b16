//! Bounds of one platform on one node.

use crate::{Hosting, Keys};
use std::time::Duration;

/// Bounds of one platform on one node. All of them protect this node; none changes what a document means.
#[derive(Clone)]
pub struct Config {
    /// Documents that may wait or be in flight at once. Default 32 768, half of what a replica holds in flight.
    pub documents_max: usize,
    /// Records decided and proposed to the journal at once: some milliseconds of work, during which no other platform of the node
    /// has this processor. Default 128.
    pub group_records_max: usize,
    /// Bytes of documents proposed at once. Default 4 MiB.
    pub group_bytes_max: usize,
    /// How long a caller waits for a commit before the outcome counts as unknown. Default 5 s.
    pub write_timeout: Duration,
    /// How long a request waits while a switchover or an opening holds requests. Default 2 s.
    pub hold_max: Duration,
    /// Documents held at once; more are refused with 503. Default 10 000.
    pub hold_documents_max: usize,
    /// Items of a page when the caller does not say. Default 100.
    pub page_default: usize,
    /// Items of a page at most. Default 1 000.
    pub page_max: usize,
    /// Rows looked at for one page at most; a page that ends early carries a token. Default 20 000.
    pub page_rows_max: usize,
    /// How the node is shared with the other platforms it hosts.
    pub hosting: Hosting,
    /// How often requests served are written when no record carries them. Default one minute.
    pub served_every: Duration,
    /// The platform's keys: bodies and sensitive columns are encrypted, client references and content digests are keyed.
    pub keys: Keys,
    /// Where agencies are attached. Default: nowhere.
    pub routes: crate::SharedRoutes,
}

impl Config {
    /// The defaults with these keys, on a node of its own.
    pub fn with_keys(keys: Keys) -> Self {
        Self {
            documents_max: 32_768,
            group_records_max: 128,
            group_bytes_max: 4 << 20,
            write_timeout: Duration::from_secs(5),
            hold_max: Duration::from_secs(2),
            hold_documents_max: 10_000,
            page_default: 100,
            page_max: 1_000,
            page_rows_max: 20_000,
            hosting: Hosting::new(1),
            served_every: Duration::from_secs(60),
            keys,
            routes: std::sync::Arc::new(crate::Nowhere),
        }
    }
}
