//! Pure planning of platform moves: observed and intent to plan, checks, next step.
#![forbid(unsafe_code)]
