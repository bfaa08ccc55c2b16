//! Seeded world over the real cores: disks that lose, links that drop, processes that die.
#![forbid(unsafe_code)]
