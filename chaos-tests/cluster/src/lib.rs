//! Starts, kills, pauses and reads real eportd processes for tests.
#![forbid(unsafe_code)]
