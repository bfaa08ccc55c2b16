//! One scrape: values by metric of the catalogue, written as OpenMetrics text.
//!
//! Always holds: nothing is said that the catalogue lacks; help, type and labels come from there.

use eport_watch::{Kind, METRICS, Metric};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

type Labels = Vec<(&'static str, String)>;
type Gauges<N, A> = Family<Labels, Gauge<N, A>>;

/// A value as it is said: whole numbers stay whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Whole(i64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(v: u64) -> Self {
        Value::Whole(i64::try_from(v).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(v: usize) -> Self {
        Value::from(v as u64)
    }
}

impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Value::Whole(v)
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Value::Whole(i64::from(v))
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Value::Real(v)
    }
}

impl Value {
    fn real(self) -> f64 {
        match self {
            Value::Whole(v) => v as f64,
            Value::Real(v) => v,
        }
    }
}

/// The values of one scrape.
#[derive(Default)]
pub(crate) struct Sheet {
    values: BTreeMap<&'static str, Vec<(Vec<String>, Value)>>,
}

impl Sheet {
    /// Says a value of a metric without labels.
    pub(crate) fn put(&mut self, metric: &Metric, value: impl Into<Value>) {
        self.put_for(metric, [], value);
    }

    /// Says a value of a metric under its labels' values, in the catalogue's order.
    pub(crate) fn put_for<const N: usize>(
        &mut self,
        metric: &Metric,
        labels: [String; N],
        value: impl Into<Value>,
    ) {
        debug_assert_eq!(metric.labels.len(), N, "{}", metric.name);
        self.values.entry(metric.name).or_default().push((labels.to_vec(), value.into()));
    }

    /// The page: every metric with a value, in the catalogue's order.
    pub(crate) fn page(self) -> String {
        let mut registry = Registry::default();
        for (_, metric) in METRICS {
            if let Some(values) = self.values.get(metric.name) {
                register(&mut registry, metric, values);
            }
        }
        let mut text = String::new();
        // Writing into a string fails only when a label cannot be formatted; ours are plain text.
        if encode(&mut text, &registry).is_err() {
            text.push_str("# EOF\n");
        }
        text
    }
}

fn register(registry: &mut Registry, metric: &Metric, values: &[(Vec<String>, Value)]) {
    let labels =
        |given: &[String]| -> Labels { metric.labels.iter().copied().zip(given.iter().cloned()).collect() };
    let whole = values.iter().all(|(_, v)| matches!(v, Value::Whole(_)));
    // The encoder ends the help with a full stop and a counter's name with `_total`.
    match metric.unit.kind() {
        Kind::Gauge if whole => {
            let family: Gauges<i64, std::sync::atomic::AtomicI64> = Family::default();
            for (given, value) in values {
                if let Value::Whole(v) = value {
                    family.get_or_create(&labels(given)).set(*v);
                }
            }
            registry.register(metric.family(), metric.en, family);
        }
        Kind::Gauge => {
            let family: Gauges<f64, AtomicU64> = Family::default();
            for (given, value) in values {
                family.get_or_create(&labels(given)).set(value.real());
            }
            registry.register(metric.family(), metric.en, family);
        }
        Kind::Counter if whole => {
            let family: Family<Labels, Counter> = Family::default();
            for (given, value) in values {
                if let Value::Whole(v) = value {
                    family.get_or_create(&labels(given)).inc_by(u64::try_from(*v).unwrap_or(0));
                }
            }
            registry.register(metric.family(), metric.en, family);
        }
        Kind::Counter => {
            let family: Family<Labels, Counter<f64, AtomicU64>> = Family::default();
            for (given, value) in values {
                family.get_or_create(&labels(given)).inc_by(value.real().max(0.0));
            }
            registry.register(metric.family(), metric.en, family);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_watch::metric;

    #[test]
    fn a_page_says_help_type_and_values_as_the_catalogue_names_them() {
        let mut sheet = Sheet::default();
        sheet.put(&metric::READY, true);
        sheet.put(&metric::DOCUMENTS, 7_u64);
        sheet.put_for(&metric::LAG_SECONDS, ["440300".into(), "gz-a-1".into()], 1.5);
        sheet.put_for(&metric::TURNS_WAITED, ["440300".into()], 0.25);
        let page = sheet.page();
        let lines: Vec<&str> = page.lines().collect();
        for line in [
            "# TYPE eport_ready gauge",
            "eport_ready 1",
            "# TYPE eport_documents_accepted counter",
            "eport_documents_accepted_total 7",
            "eport_backup_lag_seconds{region=\"440300\",backup=\"gz-a-1\"} 1.5",
            "eport_platform_turns_waited_seconds_total{region=\"440300\"} 0.25",
            "# EOF",
        ] {
            assert!(lines.contains(&line), "{line} in\n{page}");
        }
        assert!(page.contains(&format!("# HELP eport_ready {}", metric::READY.en)), "{page}");
        assert!(!page.contains("eport_peers_connected"), "nothing is said without a value");
    }
}
