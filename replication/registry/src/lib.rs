//! The federation state machine: nodes, placements, moves, tables, number blocks.
#![forbid(unsafe_code)]
