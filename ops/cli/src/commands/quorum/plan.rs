//! `eport quorum recover plan`: what a stopped survivor knows, signed by its node.

use super::PlanArgs;
use super::directory::Survivor;
use crate::error::Error;
use crate::files::write_atomic;
use crate::output::{Out, cell};
use crate::table::Table;
use eport_api_types::rfc3339;
use eport_client::Detached;
use eport_model::{Timestamp, codes};
use eport_registry::recover::{
    Endorsement, PLAN_FILE_LEN_MAX, PlanFile, plan_statement, signing_id, token_digest,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn endorsement(signed: &Detached) -> Endorsement {
    Endorsement {
        certificate: hex::encode(&signed.certificate),
        at_ms: signed.at_ms,
        signature: hex::encode(&signed.signature),
    }
}

/// Reads a plan file, never more than a plan can have.
pub(super) fn read(path: &Path) -> Result<PlanFile, Error> {
    let unusable =
        |detail: String| Error::coded(codes::RECOVERY_PLAN_UNUSABLE, format!("{}: {detail}", path.display()));
    let len = std::fs::metadata(path).map_err(Error::file(path))?.len();
    if len > PLAN_FILE_LEN_MAX {
        return Err(unusable(format!("{len} bytes; a plan has at most {PLAN_FILE_LEN_MAX}")));
    }
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    serde_json::from_slice(&bytes).map_err(|e| unusable(e.to_string()))
}

/// Writes a plan file whole or not at all.
pub(super) fn write(path: &Path, file: &PlanFile) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(file).map_err(|e| Error::usage(e.to_string()))?;
    write_atomic(path, &text)
}

pub(super) fn plan(args: &PlanArgs, out: Out) -> Result<(), Error> {
    let survivor = Survivor::read(&args.config)?;
    let token = token();
    let plan = survivor.plan(now(), token_digest(&token));
    let signed =
        survivor.config.signer()?.detached(plan.lineage, signing_id(&plan), &plan_statement(&plan))?;
    let file = PlanFile { plan, by_node: endorsement(&signed), endorsed: Vec::new() };
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("recover-{}.json", file.plan.node)));
    write(&path, &file)?;
    let mut document = shown(&file);
    document["file"] = json!(path);
    document["token"] = token.clone().into();
    out.result(&document, || {
        let words = (
            format!("\nplan written to {}\ntoken of this plan, shown once: {token}\n", path.display()),
            format!("\n计划已写入 {}\n本计划的令牌（仅显示一次）：{token}\n", path.display()),
        );
        format!("{}{}", text(&document), out.lang.pick(words))
    });
    Ok(())
}

/// Ten random bytes in groups that can be read aloud.
fn token() -> String {
    let bytes: [u8; 10] = rand::random();
    bytes.chunks(2).map(hex::encode).collect::<Vec<_>>().join("-")
}

/// A plan as it is shown.
pub(super) fn shown(file: &PlanFile) -> Value {
    let plan = &file.plan;
    let journals: Vec<Value> = plan
        .journals
        .iter()
        .map(|j| json!({ "region": j.region, "last": j.last, "applied": j.applied, "duty": j.duty }))
        .collect();
    json!({
        "node": plan.node, "site": plan.site, "federation": plan.federation, "lineage": plan.lineage,
        "made_at": rfc3339(plan.made_at_ms), "term": plan.term, "applied": plan.applied, "committed": plan.committed,
        "last": plan.last, "voters": plan.voters, "journals": journals, "losses": plan.losses,
        "revocations": plan.revocations.len(), "endorsed": file.endorsed.len(), "digest": plan.digest(),
    })
}

/// The same for people.
pub(super) fn text(document: &Value) -> String {
    let mut head = Table::new(["", ""]);
    for name in ["node", "site", "federation", "lineage", "made_at", "term", "voters", "endorsed", "digest"] {
        head.row([name.to_owned(), cell(document, name)]);
    }
    for name in ["applied", "committed", "last"] {
        let place = &document[name];
        head.row([name.to_owned(), format!("{} (term {})", cell(place, "index"), cell(place, "term"))]);
    }
    let mut losses = Table::new(["platform", "primary", "kept here", "expected loss", ">published beyond"]);
    for loss in document["losses"].as_array().into_iter().flatten() {
        losses.row(["region", "primary", "kept", "expected", "records_beyond"].map(|k| cell(loss, k)));
    }
    let mut journals = Table::new(["journal", "duty here", ">epoch", ">last record", "digest"]);
    for j in document["journals"].as_array().into_iter().flatten() {
        let last = &j["last"];
        journals.row([
            cell(j, "region"),
            cell(j, "duty"),
            cell(last, "epoch"),
            cell(last, "index"),
            cell(last, "digest"),
        ]);
    }
    format!("{}\n{}\n{}", head.render(), journals.render(), losses.render())
}
