//! Scenarios over real processes, part by part. One binary: each one links everything again.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod accounts;
mod bootstrap;
mod certificates;
mod cities;
mod custody;
mod doctor;
mod drills;
mod durability;
mod enrolment;
mod exchange;
mod faults;
mod isolated;
mod keep;
mod links;
mod matrix;
mod moves;
mod operators;
mod outside;
mod package;
mod quorum;
mod renewal;
mod rivals;
mod rotate;
mod sharing;
mod statistics;
mod status;
mod tables;
mod tails;
mod twins;
mod upgrade;
mod users;
mod vault;
mod watch;
