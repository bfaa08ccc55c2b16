//! The exchange: dead letters, messages that do not go, inboxes nobody empties.

use super::minutes_since;
use crate::kinds::{DEAD_LETTERS, INBOX_WAITING, MESSAGES_UNROUTED, OUTBOX_STUCK};
use crate::{Finding, Gathered, Words};
use eport_model::Timestamp;

/// A message goes within a second; what waits longer than this waits for something.
const OUTBOX_MIN: i64 = 10;
/// Agencies answer within a working day.
const INBOX_MIN: i64 = 24 * 60;

pub(super) fn findings(g: &Gathered, now: Timestamp) -> Vec<Finding> {
    let mut out = Vec::new();
    for e in &g.exchange {
        let region = &e.region;
        if e.dead_letters + e.alerts > 0 {
            let cause = Words::new(
                format!("{} dead letters and {} answers wait for a person", e.dead_letters, e.alerts),
                format!("{} 条死信、{} 条回执待人工处理", e.dead_letters, e.alerts),
            );
            let next = format!("eport exchange dead-letters --platform {region}");
            out.push(Finding::of(DEAD_LETTERS, region, cause, next));
        }
        if e.unrouted > 0 {
            let cause = Words::new(
                format!("{} messages are for agencies that are attached nowhere", e.unrouted),
                format!("{} 条消息的接收部门未接入", e.unrouted),
            );
            out.push(Finding::of(MESSAGES_UNROUTED, region, cause, "eport agency list"));
        }
        for c in e.channels.iter().filter(|c| c.rows > 0) {
            let minutes = c.oldest.as_deref().map_or(0, |at| minutes_since(at, now));
            if minutes < OUTBOX_MIN {
                continue;
            }
            let why = c.trouble.as_deref().unwrap_or("-");
            let cause = Words::new(
                format!("{} messages wait, the oldest for {minutes} min: {why}", c.rows),
                format!("{} 条消息待发，最早已等 {minutes} 分钟：{why}", c.rows),
            );
            let next = format!("eport exchange status --platform {region}");
            out.push(Finding::of(OUTBOX_STUCK, format!("{region} → {}", c.to), cause, next));
        }
        for i in e.inboxes.iter().filter(|i| i.waiting > 0) {
            let minutes = i.oldest.as_deref().map_or(0, |at| minutes_since(at, now));
            if minutes < INBOX_MIN {
                continue;
            }
            let cause = Words::new(
                format!("{} messages wait, the oldest for {} h", i.waiting, minutes / 60),
                format!("{} 条消息待取，最早已等 {} 小时", i.waiting, minutes / 60),
            );
            let next = format!("eport exchange status --platform {region}");
            out.push(Finding::of(INBOX_WAITING, format!("{region} {}", i.agency), cause, next));
        }
    }
    out
}
