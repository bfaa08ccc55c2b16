//! The timeline.

use crate::support::*;
use eport_api_types::{IncidentEvent, IncidentEvents};
use eport_doctor::merge;

fn event(at_ms: i64, source: &str, node: Option<&str>, text: &str) -> IncidentEvent {
    IncidentEvent {
        at: at(at_ms),
        source: source.into(),
        id: "m1".into(),
        event: format!("{source}.seen"),
        node: node.map(|n| n.parse().unwrap()),
        region: Some("440300".parse().unwrap()),
        by: String::new(),
        text: text.into(),
    }
}

fn answer(node: &str, items: Vec<IncidentEvent>) -> IncidentEvents {
    IncidentEvents { node: node.parse().unwrap(), items, truncated: false, withheld: Vec::new() }
}

#[test]
fn what_every_node_tells_of_the_registry_is_there_once_and_all_is_in_order_of_time() {
    let moved = event(NOW_MS + 5, "move", None, "opened");
    let a = answer("gz-a-1", vec![moved.clone(), event(NOW_MS + 9, "state", Some("gz-a-1"), "lost sz-a-1")]);
    let b = answer("gz-c-1", vec![event(NOW_MS, "state", Some("gz-c-1"), "lost sz-a-1"), moved]);
    let line = merge(vec![a, b], vec![("sz-a-1".into(), "refused".into())]);
    let sources: Vec<&str> = line.events.iter().map(|e| e.source.as_str()).collect();
    assert_eq!(sources, ["state", "move", "state"]);
    assert!(line.gaps(false)[0].contains("sz-a-1 gave nothing: refused"));
}

#[test]
fn the_report_says_what_is_missing_and_breaks_at_no_bar_or_line_end() {
    let mut a = answer("gz-a-1", vec![event(NOW_MS, "audit", None, "a | b\nc")]);
    (a.truncated, a.withheld) = (true, vec!["audit".into()]);
    let line = merge(vec![a], Vec::new());
    let text = line.markdown("from", "to", false);
    assert!(
        text.contains("a \\| b c") && text.contains("audit is not shown") && text.contains("shorter one")
    );
    assert!(line.markdown("from", "to", true).starts_with("# 事件时间线"));
    assert_eq!(line.document()["truncated"], true);
}
