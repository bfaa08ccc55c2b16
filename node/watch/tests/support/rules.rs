//! The rules file as Prometheus reads it, and what a rule does over time.

use super::promql::{Labels, Query, Samples, seconds};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Seconds between two evaluations.
pub const STEP: f64 = 15.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    pub rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub alert: String,
    pub expr: String,
    #[serde(rename = "for")]
    pub pending: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

impl Rule {
    /// At which evaluations up to `end` the alert fires.
    pub fn firing(&self, samples: &Samples, end: f64) -> Vec<f64> {
        let query = Query::parse(&self.expr).unwrap();
        let pending = seconds(&self.pending).unwrap();
        let mut since: BTreeMap<Labels, f64> = BTreeMap::new();
        let (mut out, mut now) = (Vec::new(), 0.0);
        while now <= end {
            let active = query.at(samples, now);
            since.retain(|labels, _| active.iter().any(|(l, _)| l == labels));
            for (labels, _) in active {
                since.entry(labels).or_insert(now);
            }
            if since.values().any(|from| now - from >= pending) {
                out.push(now);
            }
            now += STEP;
        }
        out
    }
}
