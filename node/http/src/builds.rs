//! Nodes that run another program than their peers: expected in the hours of an upgrade, a question at any other time.

use crate::federation::Heard;
use eport_api_types::Warning;
use eport_model::{NodeId, Software, Stranger, codes, strangers};

/// So many digits of a digest are shown where people compare them.
const SHOWN: usize = 12;

/// Warnings for the status: one a program that is not the usual one.
pub(crate) fn warnings(heard: &Heard, chinese: bool) -> Vec<Warning> {
    let told = heard.iter().map(|(node, (_, soft))| (*node, Software::read(&soft.version)));
    strangers(told).iter().map(|s| warning(s, chinese)).collect()
}

fn warning(s: &Stranger, chinese: bool) -> Warning {
    let nodes = s.nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ");
    let (theirs, usual, count) = (short(&s.software), short(&s.usual), s.usual_nodes);
    let text = if chinese {
        format!("{nodes} 运行的程序为 {theirs}，另有 {count} 个节点运行 {usual}")
    } else {
        format!("{nodes} runs {theirs}, {count} nodes run {usual}")
    };
    Warning { code: codes::BUILD_DIFFERS.to_string(), text }
}

fn short(software: &Software) -> String {
    let digest = software.build.map(|d| d.to_string()).unwrap_or_default();
    format!("{} ({})", software.version, digest.get(..SHOWN).unwrap_or(&digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_model::Digest;

    #[test]
    fn a_node_with_another_program_is_named_with_both_digests() {
        let of = |n: u8| Software { version: "0.1.0".into(), build: Some(Digest::of(&[n])) };
        let node = |id: &str| id.parse::<NodeId>().unwrap();
        let found = strangers([(node("a"), of(1)), (node("b"), of(1)), (node("c"), of(2))]);
        let told = warning(&found[0], false);
        let (usual, other) = (Digest::of(&[1]).to_string(), Digest::of(&[2]).to_string());
        assert_eq!(told.code, "EP1008");
        assert_eq!(
            told.text,
            format!("c runs 0.1.0 ({}), 2 nodes run 0.1.0 ({})", &other[..12], &usual[..12])
        );
        assert!(warning(&found[0], true).text.contains("2 个节点"));
    }
}
