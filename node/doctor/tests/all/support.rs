//! A sound federation of three nodes on three sites, to plant faults in.

use eport_api_types::{
    ClassFacts, CodedText, DiskFacts, FederationStatus, NodeFacts, PeerFacts, RegistryFacts, ValidityFacts,
    rfc3339,
};
use eport_doctor::{Asked, Finding, Gathered, examine};
use eport_model::Timestamp;
use serde_json::json;

pub const NOW_MS: i64 = 1_515_544_200_000;
pub const DAY_MS: i64 = 86_400_000;
pub const NODES: [&str; 3] = ["gz-a-1", "gz-c-1", "sz-a-1"];

pub fn now() -> Timestamp {
    Timestamp::from_millis(NOW_MS)
}

pub fn at(ms: i64) -> String {
    rfc3339(Timestamp::from_millis(ms))
}

pub fn facts(node: &str) -> NodeFacts {
    let class = |class: &str| ClassFacts { class: class.into(), took_ms: Some(2.0), fault: None };
    let peers = NODES.iter().filter(|n| **n != node);
    NodeFacts {
        node: node.parse().unwrap(),
        site: Some(node[..4].parse().unwrap()),
        region: "440000".parse().unwrap(),
        version: "0.1.0".into(),
        revision: String::new(),
        wire: (1, 3),
        schema: 7,
        wall: at(NOW_MS + 1),
        busy_ms: 0,
        uptime_s: 60.0,
        ready: true,
        reasons: Vec::new(),
        registry: RegistryFacts {
            index: 40,
            term: 2,
            leader: Some("gz-a-1".parse().unwrap()),
            voters: NODES.iter().map(|n| n.parse().unwrap()).collect(),
            news_s: Some(0.2),
        },
        peers: peers
            .map(|n| PeerFacts { node: n.parse().unwrap(), classes: vec![class("control"), class("bulk")] })
            .collect(),
        disk: DiskFacts {
            free_bytes: Some(200 << 30),
            total_bytes: Some(400 << 30),
            fsync_ms: Some(2.0),
            fault: None,
        },
        certificate: Some(ValidityFacts { from: at(NOW_MS - DAY_MS), to: at(NOW_MS + 29 * DAY_MS) }),
        files_max: Some(65_536),
        clock_back_ms: 0,
        config: String::new(),
        log: Vec::new(),
    }
}

pub fn status() -> FederationStatus {
    let node = |n: &str| json!({"node": n, "site": &n[..4], "state": "up", "last_seen_s": 0.1, "voter": true, "version": "0.1.0"});
    let backup = |n: &str| json!({"node": n, "in_sync": true, "lag_records": 0, "lag_seconds": 0.0});
    let digest = "ab".repeat(32);
    let platform = json!({
        "region": "440300", "name_zh": "深圳市", "name_en": "Shenzhen", "kind": "physical", "primary": "sz-a-1",
        "epoch": 1, "version": 3, "durability": "sync", "durability_now": "replicated", "isolation": "block",
        "failover": "manual", "state": "active", "backups": [backup("gz-a-1"), backup("gz-c-1")], "records": 12,
        "head_digest": digest, "away": false,
    });
    let nodes: Vec<_> = NODES.iter().map(|n| node(n)).collect();
    let status = json!({
        "federation": "gd", "lineage": "00".repeat(16), "leader": "gz-a-1", "term": 2, "mode": "dev",
        "two_person": false, "nodes": nodes, "platforms": [platform],
        "tables": [{"name": "440000/places", "owner": "440000", "version": 1, "rows": 9,
                    "effective": at(NOW_MS - DAY_MS), "installed_nodes": 3}],
        "warnings": [],
    });
    serde_json::from_value(status).unwrap()
}

pub fn asked(node: &str) -> Asked {
    Asked {
        node: node.parse().unwrap(),
        api: format!("https://{node}:8443"),
        sent_ms: NOW_MS,
        took_ms: 2,
        facts: Some(Box::new(facts(node))),
        fault: None,
    }
}

pub fn sound() -> Gathered {
    Gathered {
        asked: NODES.iter().map(|n| asked(n)).collect(),
        status: Some(status()),
        backup_sets: Some(0),
        ..Gathered::default()
    }
}

/// The sound federation with a fault in the facts of one node.
pub fn with_fact(node: usize, plant: impl FnOnce(&mut NodeFacts)) -> Gathered {
    let mut g = sound();
    plant(g.asked[node].facts.as_mut().unwrap());
    g
}

/// The sound federation with a fault in its status.
pub fn with_status(plant: impl FnOnce(&mut FederationStatus)) -> Gathered {
    let mut g = sound();
    plant(g.status.as_mut().unwrap());
    g
}

pub fn silent(g: &mut Gathered, node: usize) {
    g.asked[node].facts = None;
    g.asked[node].fault = Some(CodedText { code: "EP7002".into(), text: "connection refused".into() });
}

pub fn findings(g: &Gathered) -> Vec<Finding> {
    examine(g, now())
}

/// The ids of what is found.
pub fn ids(g: &Gathered) -> Vec<String> {
    findings(g).into_iter().map(|f| f.id).collect()
}

/// The one finding.
pub fn only(g: &Gathered) -> Finding {
    let mut all = findings(g);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.pop().unwrap()
}
