//! The Grafana dashboard, made from the catalogue: one row a group, one panel a metric. A test fails when the checked file is stale.

use crate::catalogue::METRICS;
use crate::unit::{Kind, Metric, Unit};
use serde_json::{Value, json};

/// Panels side by side, and their size in Grafana's grid of 24 columns.
const COLUMNS: usize = 3;
const WIDTH: usize = 8;
const HEIGHT: usize = 7;

/// What a panel of this metric asks for: the value itself, or how fast a counter rises.
pub fn expression(metric: &Metric) -> String {
    let name = metric.name;
    let chosen = format!("{name}{{job=~\"$job\",instance=~\"$instance\"}}");
    match metric.unit.kind() {
        Kind::Gauge => chosen,
        Kind::Counter => format!("rate({chosen}[5m])"),
    }
}

/// The dashboard as Grafana imports it.
pub fn dashboard() -> Value {
    let (mut panels, mut group, mut column, mut y, mut id) = (Vec::new(), "", 0, 0, 0_usize);
    let mut next = || {
        id += 1;
        id
    };
    for (_, metric) in METRICS {
        if metric.group != group {
            if column > 0 {
                (column, y) = (0, y + HEIGHT);
            }
            group = metric.group;
            panels.push(json!({
                "id": next(), "type": "row", "title": group, "collapsed": false, "panels": [],
                "gridPos": { "x": 0, "y": y, "w": COLUMNS * WIDTH, "h": 1 },
            }));
            y += 1;
        }
        panels.push(panel(metric, next(), (column * WIDTH, y)));
        column += 1;
        if column == COLUMNS {
            (column, y) = (0, y + HEIGHT);
        }
    }
    json!({
        "uid": "eport-node", "title": "eport", "tags": ["eport"], "timezone": "browser", "schemaVersion": 39, "version": 1,
        "editable": true, "refresh": "30s", "time": { "from": "now-6h", "to": "now" },
        "__inputs": [{ "name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus" }],
        "templating": { "list": [variable("job", "eport_ready"), variable("instance", "eport_ready{job=~\"$job\"}")] },
        "panels": panels,
    })
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${DS_PROMETHEUS}" })
}

fn variable(name: &str, of: &str) -> Value {
    json!({
        "name": name, "type": "query", "datasource": source(), "query": format!("label_values({of}, {name})"),
        "refresh": 2, "multi": true, "includeAll": true, "allValue": ".*", "current": { "text": "All", "value": "$__all" },
    })
}

fn panel(metric: &Metric, id: usize, (x, y): (usize, usize)) -> Value {
    let labels: Vec<String> = metric.labels.iter().map(|l| format!("{{{{{l}}}}}")).collect();
    let bounds = match metric.unit {
        Unit::Flag => json!({ "unit": "short", "min": 0, "max": 1 }),
        unit => json!({ "unit": unit.grafana() }),
    };
    json!({
        "id": id, "type": "timeseries", "title": metric.name, "description": format!("{} / {}", metric.en, metric.zh),
        "datasource": source(), "gridPos": { "x": x, "y": y, "w": WIDTH, "h": HEIGHT },
        "fieldConfig": { "defaults": bounds, "overrides": [] },
        "targets": [{
            "refId": "A", "datasource": source(), "expr": expression(metric),
            "legendFormat": format!("{{{{instance}}}} {}", labels.join(" ")).trim_end(),
        }],
    })
}
