//! Wrong enrolment tokens, counted by the address they come from: five a minute, then the address waits.
//!
//! Always holds: at most `SOURCES_MAX` addresses are remembered; a full memory forgets those whose minute is over, and locks
//! new ones out while there is none.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens an address may bring within `SPAN`.
const WRONG_MAX: u32 = 5;
const SPAN: Duration = Duration::from_secs(60);
const SOURCES_MAX: usize = 4_096;

/// The count.
#[derive(Default)]
pub(crate) struct Lockout(Mutex<BTreeMap<IpAddr, (u32, Instant)>>);

impl Lockout {
    /// Whether an address may try now.
    pub(crate) fn admits(&self, from: Option<IpAddr>, now: Instant) -> bool {
        let Some(from) = from else { return true };
        let wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match wrong.get(&from) {
            Some((count, since)) => *count < WRONG_MAX || now.duration_since(*since) >= SPAN,
            None => wrong.len() < SOURCES_MAX || wrong.values().any(|(_, t)| now.duration_since(*t) >= SPAN),
        }
    }

    /// Counts a wrong token.
    pub(crate) fn wrong(&self, from: Option<IpAddr>, now: Instant) {
        let Some(from) = from else { return };
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, (_, since)| now.duration_since(*since) < SPAN);
        if wrong.len() < SOURCES_MAX || wrong.contains_key(&from) {
            wrong.entry(from).or_insert((0, now)).0 += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;

    #[test]
    fn five_wrong_tokens_lock_an_address_out_for_a_minute_and_no_other() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|t| Some(t.parse::<IpAddr>().unwrap()));
        for _ in 0..WRONG_MAX {
            assert!(lockout.admits(a, now));
            lockout.wrong(a, now);
        }
        assert!(!lockout.admits(a, now) && lockout.admits(b, now));
        assert!(lockout.admits(a, now + SPAN));
        for n in 0..10_000u32 {
            lockout.wrong(Some(IpAddr::from(n.to_be_bytes())), now);
        }
        assert!(lockout.0.lock().unwrap().len() <= SOURCES_MAX);
        assert!(!lockout.admits(Some("fe80::1".parse().unwrap()), now), "no room, no try");
    }
}
