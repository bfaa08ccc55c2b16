//! Drills on a real federation: the shell around `eport_drill`.
//!
//! `run` is one drill from its plan to its filed report; `steps` what each step does; `place` kills, starts and cuts, or tells an
//! operator to; `second` waits for a second person where a command needs one; `mend` puts the start state back; `guard` is a process of its own that does so when the drill's process is gone;
//! `canary` the client whose log the numbers come from; `copies` looks into backups and standbys; `files` writes, signs and
//! checks reports. A drill that cannot even be mended by its guard is ended by the registry's leader after the deadline.

pub mod authority;
pub mod canary;
pub mod chain;
pub mod copies;
pub mod facts;
pub mod files;
pub mod guard;
pub mod isolated;
pub mod mend;
pub mod moving;
pub mod place;
pub mod rotation;
pub mod run;
mod second;
pub mod steps;
pub mod stop;
