//! Drills: rehearsed losses with a start state, objectives, a verdict and a report. A core: no I/O, no clock.
//!
//! [`Script`] is a drill as data (TOML, embedded); [`plan`] says what it would disturb here and now and what speaks against it;
//! [`measure`] reads the log of the client that lodged canary documents all the while; [`judge`] compares with the stated
//! objectives; [`Report`] is what is signed and filed, as JSON, Markdown and HTML.
//!
//! What always holds: numbers come from the client's log and from what the platform holds afterwards, never from a daemon; a
//! lost canary, a broken objective, a step that did not end as stated or a start state that is not back fails the drill.
#![forbid(unsafe_code)]

mod calendar;
mod html;
pub mod log;
mod markdown;
mod measure;
mod plan;
mod precondition;
pub mod reconcile;
mod report;
mod script;
mod verdict;

pub use calendar::{Due, calendar};
pub use html::html;
pub use markdown::markdown;
pub use measure::{Canary, Measured, PlatformMeasure, Window, measure};
pub use plan::{Plan, PlanPlatform, PlanStep, plan};
pub use precondition::{Condition, CustodyFacts, Facts, Hands};
pub use report::{Documents, FigureRow, Report, ReportStep, StateRow};
pub use script::{Action, Objectives, Script, ScriptError, ScriptStep, Target, Text, script, scripts};
pub use verdict::{Criterion, Ending, Verdict, judge};
