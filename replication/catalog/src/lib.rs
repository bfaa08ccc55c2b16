//! Versions of published reference data: content objects, roots, as-of choice, difference.
#![forbid(unsafe_code)]
