//! `eport quorum status`: the voters as a running node knows them.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use serde_json::{Value, json};

pub(super) async fn status(global: &Global, out: Out) -> Result<(), Error> {
    let document = quorum(&connect::client(global)?.status().await?);
    out.result(&document, || text(&document));
    Ok(())
}

/// The part of a status that is about the quorum.
fn quorum(status: &Value) -> Value {
    let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    let voters: Vec<Value> = list("nodes").into_iter().filter(|n| n["voter"] == true).collect();
    let alive = voters.iter().filter(|n| n["state"] == "up" || n["state"] == "draining").count();
    let need = voters.len() / 2 + 1;
    let about = |w: &&Value| ["EP2009", "EP2047", "EP1306"].iter().any(|code| w["code"] == *code);
    let warnings: Vec<Value> = list("warnings").iter().filter(about).cloned().collect();
    json!({
        "lineage": status["lineage"], "lineages": list("lineages"), "leader": status["leader"],
        "term": status["term"], "index": status["index"],
        "voters": voters.iter().map(|n| json!({ "node": n["node"], "site": n["site"], "state": n["state"],
            "last_seen_s": n["last_seen_s"] })).collect::<Vec<_>>(),
        "need": need, "alive": alive, "quorum": alive >= need, "kept_journals": list("kept_journals"),
        "warnings": warnings,
    })
}

fn text(document: &Value) -> String {
    let mut head = Table::new(["", ""]);
    for name in ["lineage", "leader", "term", "index", "need", "alive", "quorum"] {
        head.row([name.to_owned(), cell(document, name)]);
    }
    let mut voters = Table::new(["voter", "site", "state", ">seen s"]);
    for v in document["voters"].as_array().into_iter().flatten() {
        voters.row(["node", "site", "state", "last_seen_s"].map(|k| cell(v, k)));
    }
    let mut out = format!("{}\n{}", head.render(), voters.render());
    for j in document["kept_journals"].as_array().into_iter().flatten() {
        let last = &j["last"];
        let place = format!("record {} of epoch {}", cell(last, "index"), cell(last, "epoch"));
        out.push_str(&format!("kept: {} on {}, {place}\n", cell(j, "region"), cell(j, "node")));
    }
    for w in document["warnings"].as_array().into_iter().flatten() {
        out.push_str(&format!("{} {}\n", cell(w, "code"), cell(w, "text")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_the_voters_that_answer_is_a_quorum_and_less_is_none() {
        let node =
            |name: &str, state: &str, voter: bool| json!({ "node": name, "state": state, "voter": voter });
        let status = |third: &str| {
            json!({ "nodes": [node("a", "up", true), node("b", "down", true), node("c", third, true),
                node("d", "up", false)] })
        };
        let (kept, lost) = (quorum(&status("up")), quorum(&status("down")));
        assert_eq!(
            (kept["need"].clone(), kept["alive"].clone(), kept["quorum"].clone()),
            (2.into(), 2.into(), true.into())
        );
        assert_eq!((lost["alive"].clone(), lost["quorum"].clone()), (1.into(), false.into()));
    }
}
