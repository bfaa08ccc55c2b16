//! `eport quorum recover apply`: a new lineage on this survivor.
//!
//! Order: everything is read and judged; the new registry is written into a folder of its own and synced; then the directory's
//! identity is replaced in one durable write. Before that write the directory belongs to the old lineage and nothing has
//! happened; after it the next start of eportd leads the new one. The old registry's folder is never touched. What an attempt
//! left that was cut short before its identity is removed by the next one.

use super::directory::{Survivor, coded};
use super::plan::{endorsement, now, read};
use super::sign::operator;
use super::{ApplyArgs, Tail};
use crate::args::Global;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use eport_model::{Digest, Lineage, NodeId};
use eport_registry::State;
use eport_registry::recover::{
    Descent, EPOCH_RAISE, NUMBER_RAISE, PlanFile, PlatformFate, Request, TailChoice, Verdict,
    apply_statement, descend, judge, signing_id, voters_without_plan,
};
use eport_store::RegistryStore;
use serde_json::{Value, json};

pub(super) async fn apply(args: &ApplyArgs, global: &Global, out: Out) -> Result<(), Error> {
    let mut survivor = Survivor::read(&args.config)?;
    let files = args.plans.iter().map(|p| read(p)).collect::<Result<Vec<_>, _>>()?;
    let lineage = Lineage::from_bytes(rand::random());
    let now = now();
    let here = survivor.plan(now, Digest::ZERO);
    let tail = match args.tail {
        Tail::Commit => TailChoice::Commit,
        Tail::Drop => TailChoice::Drop,
    };
    let own = files.iter().find(|f| f.plan.node == here.node);
    let survivors: Vec<NodeId> = files.iter().map(|f| f.plan.node).collect();
    let by = match (operator(global)?, own) {
        (Some(signer), Some(own)) => {
            let lost = voters_without_plan(&own.plan, &survivors);
            let statement = apply_statement(&own.plan, lineage, &lost, tail);
            Some(endorsement(&signer.detached(own.plan.lineage, signing_id(&own.plan), &statement)?))
        }
        _ => None,
    };
    let request = Request {
        here: &here,
        files: &files,
        tail,
        token: &args.token,
        confirmed: &args.confirmed,
        lineage,
        by: by.as_ref(),
        now,
    };
    let verdict = judge(&survivor.found.state, &request).map_err(coded)?;
    let journals = survivor.ends();
    let descent = Descent {
        lineage,
        founder: here.node,
        verdict: &verdict,
        tail,
        plan: own.map(|f| f.plan.digest()).unwrap_or_default(),
        plans: digests(&files),
        journals: &journals,
        now,
    };
    let (state, fates) = descend(&survivor.found.state_through(verdict.log_index), &descent);
    let mut document = shown(&survivor, &verdict, lineage, &fates);
    document["dry_run"] = args.dry_run.into();
    if args.dry_run {
        out.result(&document, || text(&document));
        return Ok(());
    }
    if !out.json {
        out.progress(text(&document));
    }
    out.confirm((
        &format!("found lineage {lineage} on {}? The old lineage can never come back beside it", here.node),
        &format!("在 {} 上建立谱系 {lineage}？旧谱系此后不得与之并存", here.node),
    ))?;
    found(&mut survivor, &state, lineage, verdict.log_index).await?;
    document["done"] = true.into();
    out.result(&document, || next_steps(&document));
    Ok(())
}

/// Writes the new registry, then the identity.
async fn found(survivor: &mut Survivor, state: &State, lineage: Lineage, index: u64) -> Result<(), Error> {
    let node = survivor.config.node.id;
    let term = survivor.found.term.max(survivor.found.last.term);
    eport_failpoint::point!("recover.registry.before", node);
    survivor.data.clear_unfounded().map_err(coded)?;
    {
        let dir = survivor.data.registry_of(lineage);
        let store = RegistryStore::open(&dir).map_err(coded)?;
        eport_consensus::recover::refound(&store, node, state, term, index).await.map_err(coded)?;
    }
    eport_failpoint::point!("recover.registry.after", node);
    let ancestors = state.parentage().ancestors;
    survivor.data.descend(lineage, &ancestors, node).map_err(coded)?;
    eport_failpoint::point!("recover.identity.after", node);
    Ok(())
}

fn digests(files: &[PlanFile]) -> Vec<Digest> {
    let mut files: Vec<&PlanFile> = files.iter().collect();
    files.sort_by_key(|f| f.plan.node);
    files.into_iter().map(|f| f.plan.digest()).collect()
}

fn shown(survivor: &Survivor, verdict: &Verdict, lineage: Lineage, fates: &[PlatformFate]) -> Value {
    let found = &survivor.found;
    let platforms: Vec<Value> = fates
        .iter()
        .map(|f| {
            let state = match (f.waits(), f.blocked) {
                (true, _) => "waits for adopt",
                (false, true) => "active, writes wait for backups",
                (false, false) => "active",
            };
            json!({ "region": f.region, "old_primary": f.old_primary, "epoch_before": f.epoch_before,
                "epoch_after": f.epoch_after, "kept": f.kept, "state": state })
        })
        .collect();
    json!({
        "lineage": lineage, "parent": survivor.data.identity().lineage, "node": survivor.config.node.id,
        "survivors": verdict.survivors, "lost": verdict.lost, "log_index": verdict.log_index,
        "entries_not_known_committed": found.last.index.saturating_sub(found.committed.index),
        "epochs_raised_by": EPOCH_RAISE, "numbers_raised_by": NUMBER_RAISE,
        "revocations": verdict.revocations.len(),
        "persons": verdict.persons.iter().map(|p| &p.by).collect::<Vec<_>>(),
        "platforms": platforms, "done": false,
    })
}

fn text(document: &Value) -> String {
    let mut head = Table::new(["", ""]);
    let names = [
        "lineage",
        "parent",
        "node",
        "survivors",
        "lost",
        "log_index",
        "entries_not_known_committed",
        "epochs_raised_by",
        "numbers_raised_by",
        "revocations",
        "persons",
    ];
    for name in names {
        head.row([name.to_owned(), cell(document, name)]);
    }
    let mut table = Table::new(["platform", "old primary", ">epoch", ">then", "state"]);
    for p in document["platforms"].as_array().into_iter().flatten() {
        table.row(["region", "old_primary", "epoch_before", "epoch_after", "state"].map(|k| cell(p, k)));
    }
    format!("{}\n{}", head.render(), table.render())
}

/// What a tired person types next.
fn next_steps(document: &Value) -> String {
    let mut out = format!(
        "lineage {} founded; start eportd on {}\n",
        cell(document, "lineage"),
        cell(document, "node")
    );
    for p in document["platforms"].as_array().into_iter().flatten() {
        let (region, state) = (cell(p, "region"), cell(p, "state"));
        if state.starts_with("waits") {
            out.push_str(&format!("  eport platform adopt {region} --node NODE\n"));
        } else if state.contains("wait for backups") {
            out.push_str(&format!(
                "  eport platform policy {region} --durability auto_sync    until backups have joined\n"
            ));
        }
    }
    out.push_str("every other node joins again: eport node rejoin --keep-journals\n");
    out
}
