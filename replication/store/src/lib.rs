//! RocksDB storage of journals, platform state, registry log and catalog objects.
#![forbid(unsafe_code)]
