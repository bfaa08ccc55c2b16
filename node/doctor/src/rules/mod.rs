//! The rules, one file a concern. Each looks at the facts and says what is wrong.

mod exchange;
mod links;
mod nodes;
mod persons;
mod platforms;
mod registry;
mod tables;
mod told;

use crate::{Finding, Gathered};
use eport_model::Timestamp;

/// What every rule says.
pub(crate) fn all(g: &Gathered, now: Timestamp) -> Vec<Finding> {
    let mut out = nodes::findings(g, now);
    out.extend(links::findings(g));
    out.extend(registry::findings(g));
    out.extend(platforms::findings(g));
    out.extend(tables::findings(g));
    out.extend(exchange::findings(g, now));
    out.extend(persons::findings(g, now));
    out.extend(told::findings(g, &out));
    out
}

/// Minutes since an instant in RFC 3339; 0 for one that cannot be read or lies ahead.
fn minutes_since(text: &str, now: Timestamp) -> i64 {
    let at = eport_api_types::from_rfc3339(text);
    at.map_or(0, |at| now.as_millis().saturating_sub(at.as_millis()).max(0) / 60_000)
}
