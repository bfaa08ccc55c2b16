//! Import of code tables from CSV: problems by line and column, schema, lookup.
#![forbid(unsafe_code)]
