//! What a platform has used in a month: the figures of an account.

use crate::platform::Platform;
use crate::{Error, served};
use eport_api_types::PlatformUsage;
use eport_model::{Month, USAGE_KEY, Usage, codec};

/// Largest row that is read.
const USAGE_LEN_MAX: usize = 16 << 10;

impl Platform {
    /// Requests, documents and bytes of a month, as of the applied record. The bytes on disk are those of this node now.
    pub fn usage(&self, month: Month) -> Result<PlatformUsage, Error> {
        let log = &self.inner.log;
        let usage: Usage = match log.get(USAGE_KEY)? {
            Some(row) => codec::decode_with_limit(&row, USAGE_LEN_MAX).map_err(|source| Error::Row {
                key: String::from_utf8_lossy(USAGE_KEY).into_owned(),
                source,
            })?,
            None => Usage::default(),
        };
        let came_in = usage.of(month);
        Ok(PlatformUsage {
            region: log.region(),
            month: month.to_string(),
            requests: served::read(&**log)?.of(month),
            documents: came_in.documents,
            bytes_in: came_in.bytes,
            disk_bytes: log.disk_bytes(),
            copies: Vec::new(),
            through: usage.through.as_u64(),
        })
    }
}
