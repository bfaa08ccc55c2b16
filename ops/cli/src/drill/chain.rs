//! A chain: single drills one after the other, each with its own record and report, and a report over all of them.

use crate::connect::{Access, client_of};
use crate::drill::facts::look;
use crate::drill::files;
use crate::drill::moving;
use crate::drill::run::{self, Over, Wish};
use crate::error::Error;
use crate::output::Out;
use eport_drill::{Documents, Ending, Measured, Plan, Report, ReportStep, Script, Verdict, judge, script};
use eport_model::Coded;
use eport_model::codes::{DRILL_FAILED, NOT_FOUND};
use std::time::{Duration, Instant};

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Runs the drills of a chain until one does not pass, then files the report over them.
pub async fn run(access: &Access, chain: &Script, plan: &Plan, wish: &Wish, out: Out) -> Result<Over, Error> {
    let client = client_of(access, CALL_LIMIT, out.lang)?;
    let begun = run::now();
    let (started, mut parts, mut steps) = (Instant::now(), Vec::new(), Vec::new());
    let mut all = Measured::default();
    for name in &chain.chain {
        let missing = || Error::coded(NOT_FOUND, format!("there is no drill {name}"));
        let single =
            script(name).map_err(|e| Error::coded(DRILL_FAILED, e.to_string()))?.ok_or_else(missing)?;
        let (at, since) = (run::now(), Instant::now());
        let wish = Wish { to: wish.to.as_ref().map(|d| d.join(name)), limit: None, ..wish.clone() };
        let done = match look((&client, access, out), &single, &wish).await {
            Ok(looked) => run::run(access, &looked, &wish, out).await,
            Err(error) => Err(error),
        };
        let (ok, result) = match &done {
            Ok(over) => (over.report.verdict == Verdict::Passed, over.report.verdict.word().to_owned()),
            Err(error) => (false, format!("{}: {error}", error.code())),
        };
        steps.push(ReportStep {
            name: name.clone(),
            started: at,
            seconds: since.elapsed().as_secs_f64(),
            result,
            ok,
        });
        if let Ok(over) = &done {
            add(&mut all, &over.report.measured);
            parts.push(run::part(over));
        }
        if !ok {
            break;
        }
    }
    let item = run::begin(&client, plan).await?;
    let in_time = started.elapsed() <= Duration::from_secs(plan.limit_s);
    let ending = Ending { aborted: None, restored: true, in_time };
    let (verdict, criteria) = judge(&plan.objectives, &all, &steps, &ending);
    let status = moving::status(&client).await?;
    let mut report = Report {
        format: 1,
        drill_id: item.drill_id.clone(),
        name: plan.name.clone(),
        title: plan.title.clone(),
        script: plan.script.to_string(),
        plan_id: plan.plan_id.clone(),
        region: plan.region,
        federation: status.federation.clone(),
        lineage: status.lineage.to_string(),
        operator: item.by.clone(),
        versions: Vec::new(),
        begun,
        ended: run::now(),
        deadline: item.deadline.clone(),
        verdict,
        aborted: None,
        rpo_records: 0,
        rpo_seconds: 0.0,
        rto_seconds: None,
        write_pause_ms: None,
        documents: Documents::default(),
        objectives: plan.objectives,
        criteria,
        disturbed: Vec::new(),
        steps,
        measured: Measured::default(),
        before: Vec::new(),
        after: Vec::new(),
        plan: Some(plan.clone()),
        parts,
    };
    report.set_measured(all);
    let base = std::env::var_os("EPORT_DIR")
        .map_or_else(|| "eport-drills".into(), |d| std::path::PathBuf::from(d).join("drills"));
    let dir = wish.to.clone().unwrap_or_else(|| base.join(&item.drill_id));
    std::fs::create_dir_all(&dir).map_err(Error::file(&dir))?;
    let written = files::write(&client, &dir, &report).await?;
    let ended = run::end(&client, &report, &written, Instant::now() + CALL_LIMIT).await?;
    Ok(Over { report, files: written, item: ended })
}

/// The chain's figures: sums of documents, the longest of times.
fn add(all: &mut Measured, one: &Measured) {
    let larger = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    all.documents = std::mem::take(&mut all.documents).plus(&one.documents);
    all.rpo_records += one.rpo_records;
    all.rpo_ms = all.rpo_ms.max(one.rpo_ms);
    all.write_pause_ms = larger(all.write_pause_ms, one.write_pause_ms);
    all.rto_ms = larger(all.rto_ms, one.rto_ms);
    all.stopped |= one.stopped;
    all.platforms.extend(one.platforms.iter().cloned());
}
