//! One hosted platform: order of rules, group of writes, queries, numbers.
#![forbid(unsafe_code)]
