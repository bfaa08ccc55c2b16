//! Which backups stay.
//!
//! Always holds, whatever the settings: the newest stays, and with each that stays everything that restoring it needs.

use crate::schedule::{DAY_MS, ZONE_MS};
use eport_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many are kept. Counted are days and weeks *that have a backup*: a node that stood still for a month loses none by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// The newest so many. At least 1. Default 7.
    pub last: u32,
    /// The newest of each of the last so many days (Asia/Shanghai) that have one. Default 14.
    pub days: u32,
    /// The newest of each of the last so many weeks, Monday to Sunday, that have one. Default 8.
    pub weeks: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { last: 7, days: 14, weeks: 8 }
    }
}

/// A whole backup as its manifest describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its number.
    pub seq: u64,
    /// It needs no former one.
    pub full: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// Why a backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is among the newest.
    Last,
    /// It is the newest of its day.
    Day,
    /// It is the newest of its week.
    Week,
    /// It is the newest that a restore test opened.
    Tested,
    /// Restoring this one needs it.
    Needed(u64),
}

fn day(at: Timestamp) -> i64 {
    at.as_millis().saturating_add(ZONE_MS).div_euclid(DAY_MS)
}

/// Weeks begin on Monday; day 0 was a Thursday.
fn week(at: Timestamp) -> i64 {
    day(at).saturating_add(3).div_euclid(7)
}

/// The backups that stay, each with its first reason. `held` rises by number; `tested` is the newest that passed a restore test.
pub fn keep(held: &[Held], retention: Retention, tested: Option<u64>) -> BTreeMap<u64, Why> {
    let mut kept = BTreeMap::new();
    let (mut days, mut weeks) = (BTreeSet::new(), BTreeSet::new());
    for (age, b) in held.iter().rev().enumerate() {
        let first =
            |seen: &mut BTreeSet<i64>, of: i64, most: u32| seen.len() < most as usize && seen.insert(of);
        let (of_day, of_week) = (
            first(&mut days, day(b.created), retention.days),
            first(&mut weeks, week(b.created), retention.weeks),
        );
        let why = match () {
            () if age < retention.last.max(1) as usize => Why::Last,
            () if of_day => Why::Day,
            () if of_week => Why::Week,
            () if Some(b.seq) == tested => Why::Tested,
            () => continue,
        };
        kept.insert(b.seq, why);
    }
    // What a kept one needs: everything from its full one on. Without a full one nothing before it may go.
    let mut needed_by = None;
    for b in held.iter().rev() {
        let stays = kept.contains_key(&b.seq);
        match needed_by {
            Some(by) if !stays => drop(kept.insert(b.seq, Why::Needed(by))),
            _ => {}
        }
        needed_by = match b.full {
            true => None,
            false if stays => Some(b.seq),
            false => needed_by,
        };
    }
    kept
}

/// The numbers that may go, oldest first.
pub fn expendable(held: &[Held], retention: Retention, tested: Option<u64>) -> Vec<u64> {
    let kept = keep(held, retention, tested);
    held.iter().map(|b| b.seq).filter(|seq| !kept.contains_key(seq)).collect()
}
