//! What a metric is: its unit decides the type and how the name ends.

/// Type of a metric for Prometheus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// May rise and fall.
    Gauge,
    /// Only rises while the process lives.
    Counter,
}

/// What a value counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// 1 for yes, 0 for no.
    Flag,
    /// Things at this moment.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Records of a journal.
    Records,
    /// A place in a log or journal.
    Index,
    /// Things since the process began.
    Total,
    /// Seconds since the process began.
    SecondsTotal,
}

impl Unit {
    /// How a name of this unit ends; nothing where a plain noun stands.
    pub fn suffix(self) -> Option<&'static str> {
        match self {
            Unit::Flag | Unit::Count => None,
            Unit::Seconds => Some("_seconds"),
            Unit::Bytes => Some("_bytes"),
            Unit::Records => Some("_records"),
            Unit::Index => Some("_index"),
            Unit::Total => Some("_total"),
            Unit::SecondsTotal => Some("_seconds_total"),
        }
    }

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Unit::Flag => "0 or 1",
            Unit::Count | Unit::Total => "count",
            Unit::Seconds | Unit::SecondsTotal => "seconds",
            Unit::Bytes => "bytes",
            Unit::Records => "records",
            Unit::Index => "index",
        }
    }

    /// The unit's name in a dashboard of Grafana.
    pub fn grafana(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Bytes => "bytes",
            Unit::Total => "cps",
            Unit::SecondsTotal => "percentunit",
            Unit::Flag | Unit::Count | Unit::Records | Unit::Index => "short",
        }
    }

    /// The type that goes with it.
    pub fn kind(self) -> Kind {
        match self {
            Unit::Total | Unit::SecondsTotal => Kind::Counter,
            _ => Kind::Gauge,
        }
    }
}

/// One metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// Its name as scraped.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Names of its labels, which have few values: never a document number.
    pub labels: &'static [&'static str],
    /// Where in the page and dashboard it stands.
    pub group: &'static str,
    /// What it says, and what a change means.
    pub en: &'static str,
    /// The same in Chinese.
    pub zh: &'static str,
}

impl Metric {
    /// The name without what Prometheus appends to counters.
    pub fn family(&self) -> &'static str {
        match self.unit.kind() {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge => self.name,
        }
    }
}
