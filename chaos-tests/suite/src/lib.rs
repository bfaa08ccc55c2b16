//! Scenarios and checkers over real processes, the layering test, proofs of damage.
#![forbid(unsafe_code)]
