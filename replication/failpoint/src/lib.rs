//! Failpoints: named places in our programs at which a test makes a real process wait, be late, or fail.
//!
//! A place is written `point!("journal.seal.before", region)`: a name, and what it is about. Where a call may fail,
//! `fails!("journal.fsync", region)` is true when a test wants the failure. A test arms a place by a file
//! `DIR/SCOPE/NAME`, where `DIR` is the environment variable `EPORT_FAILPOINTS` and `SCOPE` what the process called itself with
//! [`enter`]. Decision 0021 says why files, and how a build is known to carry none of this.
//!
//! Always holds: without the feature `points`, or without debug assertions (every release profile), both macros expand to nothing
//! and the names are not in the program; with it, a process whose environment does not name a folder pays one atomic read.
#![forbid(unsafe_code)]
// A shell: it reads the environment and waits on the real clock.
#![allow(clippy::disallowed_methods)]

#[cfg(all(feature = "points", debug_assertions))]
mod points;
#[cfg(all(feature = "points", debug_assertions))]
pub use points::{active, enter, fails, label, reach, setting, wall_offset_ms};

/// True when this build carries failpoints.
pub const CARRIED: bool = cfg!(all(feature = "points", debug_assertions));

/// A place at which a test may stop this process: its name, and what it is about (a region, a node, a path).
#[cfg(all(feature = "points", debug_assertions))]
#[macro_export]
macro_rules! point {
    ($name:expr) => {
        $crate::point!($name, "")
    };
    ($name:expr, $about:expr) => {
        if $crate::active() {
            $crate::reach(&$name.to_string(), &$about.to_string());
        }
    };
}

/// A place at which a test may stop this process: nothing in this build.
#[cfg(not(all(feature = "points", debug_assertions)))]
#[macro_export]
macro_rules! point {
    ($name:expr) => {{}};
    ($name:expr, $about:expr) => {{}};
}

/// True when a test wants the call at this place to fail.
#[cfg(all(feature = "points", debug_assertions))]
#[macro_export]
macro_rules! fails {
    ($name:expr, $about:expr) => {
        $crate::active() && $crate::fails(&$name.to_string(), &$about.to_string())
    };
}

/// True when a test wants the call at this place to fail: never in this build.
#[cfg(not(all(feature = "points", debug_assertions)))]
#[macro_export]
macro_rules! fails {
    ($name:expr, $about:expr) => {
        false
    };
}

/// Names this process for the tests that arm its places; nothing in this build.
#[cfg(not(all(feature = "points", debug_assertions)))]
#[inline(always)]
pub fn enter(_scope: &str) {}

/// What a test adds to the wall clock: nothing in this build.
#[cfg(not(all(feature = "points", debug_assertions)))]
#[inline(always)]
pub fn wall_offset_ms() -> i64 {
    0
}

/// The name of a value's variant, for the name of a place: nothing in this build.
#[cfg(not(all(feature = "points", debug_assertions)))]
#[inline(always)]
pub fn label(_value: &impl std::fmt::Debug) -> String {
    String::new()
}

/// What a test makes this process say of itself, for example which formats it reads: nothing in this build.
#[cfg(not(all(feature = "points", debug_assertions)))]
#[inline(always)]
pub fn setting<T: std::str::FromStr>(_name: &str) -> Option<T> {
    None
}
