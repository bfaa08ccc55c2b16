//! One drill from its plan to its filed report.
//!
//! Always: the registry knows of the drill, its start state and its deadline before anything is disturbed, and the guard is on duty;
//! whatever happens in a step, the start state is put back before the verdict; the report is written and signed before it is filed.

use crate::connect::{Access, client_of};
use crate::drill::authority::CaDrill;
use crate::drill::canary::{self, Canary, Flock};
use crate::drill::copies::Backups;
use crate::drill::facts::Looked;
use crate::drill::files::{self, ReportFiles};
use crate::drill::guard::Guard;
use crate::drill::isolated::Copies;
use crate::drill::mend::{Close, Debt, close};
use crate::drill::moving;
use crate::drill::steps::Scene;
use crate::drill::stop::Stop;
use crate::error::Error;
use crate::output::Out;
use eport_api_types::{DrillBegin, DrillItem, DrillPlatformRef, FederationStatus, rfc3339};
use eport_client::{Client, Method};
use eport_drill::{
    Canary as Seen, Documents, Ending, FigureRow, Measured, Plan, Report, ReportStep, StateRow, Verdict,
    judge, measure,
};
use eport_model::codes::DRILL_PRECONDITION;
use eport_model::{Coded, RegionCode, Timestamp};
use eport_registry::{DrillFigures, DrillPlatform, DrillVerdict, statement};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long one call may take while things are disturbed.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long canaries may be repeated after a drill until each is answered.
const SETTLE: Duration = Duration::from_secs(75);

/// What the operator wants.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The platform.
    pub region: Option<RegionCode>,
    /// Another bound on the time.
    pub limit: Option<Duration>,
    /// Folder for the report.
    pub to: Option<PathBuf>,
    /// The recovery key of a restore test.
    pub recovery_key: Option<PathBuf>,
    /// The folder of backups of a restore test.
    pub backups: Option<PathBuf>,
    /// Said that the drill is to work on copies.
    pub isolated: bool,
    /// Folder of a new root, for a rotation.
    pub material: Option<PathBuf>,
    /// Shares of the CA that the drill is about.
    pub shares: Vec<PathBuf>,
}

/// A drill that is over.
pub struct Over {
    /// Its report.
    pub report: Report,
    /// Where it is.
    pub files: ReportFiles,
    /// As the registry has it.
    pub item: DrillItem,
}

/// How the steps went.
struct Went {
    steps: Vec<ReportStep>,
    aborted: Option<String>,
}

/// Carries a plan out.
pub async fn run(access: &Access, looked: &Looked, wish: &Wish, out: Out) -> Result<Over, Error> {
    let (plan, status) = (&looked.plan, &looked.status);
    if !plan.may_run() {
        let why: Vec<&str> =
            plan.preconditions.iter().filter(|c| !c.ok).map(|c| c.detail.pick(false)).collect();
        return Err(Error::coded(DRILL_PRECONDITION, why.join("; ")));
    }
    let all = everywhere(access, status);
    let client = client_of(&all, CALL_LIMIT, out.lang)?;
    let item = begin(&client, plan).await?;
    let begun = Instant::now();
    let limit = Duration::from_secs(plan.limit_s);
    out.say(
        format!("drill {} begins: {}", item.drill_id, plan.title.en),
        format!("演练 {} 开始：{}", item.drill_id, plan.title.zh),
    );
    let stop = Stop::listen(&client, &item.drill_id)?;
    let mut debt = Debt::of(&item, plan, status.lineage, &all.apis);
    if !plan.survivors.is_empty() {
        let dir = folder(looked, wish, &item.drill_id).join("copies");
        debt.copies = Some(std::path::absolute(&dir).map_err(Error::file(&dir))?);
    }
    let times = (begun + limit.mul_f64(0.75), begun + limit);
    // From here on every way out leads past the way back and the end in the registry.
    let prepared = prepare(looked, wish, &item, &all, &debt);
    let (guard, canaries, dir) = match prepared {
        Ok(parts) => parts,
        Err(error) => {
            give_up(&client, &item, &error, times.1).await;
            return Err(error);
        }
    };
    let survivors = client_of(&without(&all, status, plan), CALL_LIMIT, out.lang)?;
    let backups = backups(looked, wish, &dir);
    let clients = (client.clone(), survivors);
    let mut scene = Scene::new(plan, status, &looked.place, clients, canaries, backups, times, out);
    scene.rotation = Some((wish.material.clone(), dir.clone()));
    scene.copies = debt.copies.as_ref().map(|dir| Copies::new(dir, &looked.place, plan, &all)).transpose()?;
    scene.ca = Some(CaDrill { shares: wish.shares.clone(), access: all.clone(), out });
    let mut went = perform(&mut scene, &stop).await;
    scene.close_window();
    let mended = debt.pay(&looked.place, &client, times.1, out).await;
    if let Err(e) = &mended {
        out.progress(format!("{}: {e}", e.code()));
    }
    let in_time = Instant::now() <= times.1;
    let (windows, restored_ms) = (scene.windows.clone(), scene.restored_ms);
    let canaries = std::mem::take(&mut scene.canaries);
    let measured = judge_canaries(&client, canaries, &windows, &item, &flock(&item, plan, &all, &dir)).await;
    let mut measured = measured.unwrap_or_else(|e| {
        let result = e.to_string();
        went.steps.push(ReportStep {
            name: "reconcile".into(),
            started: now(),
            seconds: 0.0,
            result,
            ok: false,
        });
        Measured::default()
    });
    if restored_ms.is_some() {
        measured.rto_ms = restored_ms;
    }
    let ending = Ending { aborted: went.aborted.clone(), restored: mended.is_ok(), in_time };
    let (verdict, criteria) = judge(&plan.objectives, &measured, &went.steps, &ending);
    let mut report = head(looked, &item, verdict, criteria, &went);
    report.set_measured(measured);
    report.after = rows(&moving::status(&client).await?, plan);
    let written = files::write(&client, &dir, &report).await?;
    let ended = end(&client, &report, &written, times.1).await?;
    if mended.is_ok() {
        guard.into_iter().for_each(Guard::release);
    }
    Ok(Over { report, files: written, item: ended })
}

/// Every node's address: a drill must not depend on the one that it disturbs.
pub fn everywhere(access: &Access, status: &FederationStatus) -> Access {
    let mut apis = access.apis.clone();
    for api in status.nodes.iter().filter_map(|n| n.api.clone()) {
        if !apis.contains(&api) {
            apis.push(api);
        }
    }
    Access { apis, ..access.clone() }
}

/// The same without those that are killed, so that no measured time is that of a connection attempt.
fn without(access: &Access, status: &FederationStatus, plan: &Plan) -> Access {
    let dead: Vec<&str> = status
        .nodes
        .iter()
        .filter(|n| plan.victims.contains(&n.node))
        .filter_map(|n| n.api.as_deref())
        .collect();
    let apis: Vec<String> = access.apis.iter().filter(|a| !dead.contains(&a.as_str())).cloned().collect();
    if apis.is_empty() { access.clone() } else { Access { apis, ..access.clone() } }
}

/// Tells the registry: from now on the start state and the deadline are known to everybody.
pub async fn begin(client: &Client, plan: &Plan) -> Result<DrillItem, Error> {
    // A drill that disturbs nothing has nothing to put back.
    let moved = plan.platforms.iter().filter(|p| p.to.is_some() || !plan.disturbs().is_empty());
    let platforms: Vec<DrillPlatform> =
        moved.map(|p| DrillPlatform { region: p.region, version: p.version }).collect();
    let (disturbs, limit_ms) = (plan.disturbs(), plan.limit_s.saturating_mul(1_000));
    let statement =
        statement::begin_drill(&plan.name, plan.region, plan.script, &platforms, &disturbs, limit_ms);
    let body = DrillBegin {
        name: plan.name.clone(),
        region: plan.region,
        script: plan.script,
        platforms: platforms
            .iter()
            .map(|p| DrillPlatformRef { region: p.region, version: p.version })
            .collect(),
        disturbs,
        limit_ms,
    };
    Ok(client.give(Method::POST, "/v1/drills", &body, &statement).await?)
}

/// Folder, guard and canaries.
fn prepare(
    looked: &Looked,
    wish: &Wish,
    item: &DrillItem,
    all: &Access,
    debt: &Debt,
) -> Result<(Option<Guard>, Vec<Canary>, PathBuf), Error> {
    let plan = &looked.plan;
    let dir = folder(looked, wish, &item.drill_id);
    std::fs::create_dir_all(&dir).map_err(Error::file(&dir))?;
    let dir = std::path::absolute(&dir).map_err(Error::file(&dir))?;
    let owes = !plan.disturbs().is_empty() || debt.copies.is_some();
    let disturbs = owes || plan.platforms.iter().any(|p| p.to.is_some());
    let guard = if disturbs { Some(Guard::post(&dir, debt, all)?) } else { None };
    let flock = flock(item, plan, all, &dir);
    let canaries: Result<Vec<_>, _> = plan.platforms.iter().map(|p| flock.start(p.region)).collect();
    Ok((guard, canaries?, dir))
}

fn flock(item: &DrillItem, plan: &Plan, all: &Access, dir: &std::path::Path) -> Flock {
    let short: String = item.drill_id.chars().take(12).collect();
    Flock { prefix: format!("DRILL-{short}"), rate: plan.rate, dir: dir.to_owned(), access: all.clone() }
}

/// `--to`, else the local federation's folder, else the current one.
fn folder(looked: &Looked, wish: &Wish, drill_id: &str) -> PathBuf {
    let base = looked.place.dir().map_or_else(|| PathBuf::from("eport-drills"), |d| d.join("drills"));
    wish.to.clone().unwrap_or_else(|| base.join(drill_id))
}

fn backups(looked: &Looked, wish: &Wish, dir: &std::path::Path) -> Option<Backups> {
    let local = looked.place.dir().map(|d| d.join("drills"));
    let key = wish.recovery_key.clone().or_else(|| local.as_ref().map(|d| d.join("recovery.key")))?;
    let folder = wish.backups.clone().or_else(|| local.map(|d| d.join("backups")));
    Some(Backups { dir: folder.unwrap_or_else(|| dir.join("backups")), key })
}

/// A drill that could not even be prepared disturbed nothing.
async fn give_up(client: &Client, item: &DrillItem, error: &Error, until: Instant) {
    let end = Close {
        verdict: DrillVerdict::Aborted,
        figures: DrillFigures::default(),
        report: None,
        note: format!("nothing was disturbed: {error}"),
        keep: false,
    };
    // What fails here is left to the deadline.
    let _ = close(client, &item.drill_id, &end, until).await;
}

/// Goes through the steps until one does not end as stated or somebody wants to stop.
async fn perform(scene: &mut Scene<'_>, stop: &Stop) -> Went {
    let mut went = Went { steps: Vec::new(), aborted: None };
    let plan = scene.plan;
    for step in &plan.steps {
        if let Some(why) = stop.wish() {
            went.aborted = Some(why);
            break;
        }
        scene
            .out
            .say(format!("  {}: {}", step.name, step.does.en), format!("  {}：{}", step.name, step.does.zh));
        let (started, begun) = (now(), Instant::now());
        let left = scene.until.saturating_duration_since(begun).max(Duration::from_millis(1));
        let late = format!("the step did not end in {} s", left.as_secs());
        eport_failpoint::point!("drill.step.before", step.name);
        let result = tokio::select! {
            done = tokio::time::timeout(left + Duration::from_secs(2), scene.step(step)) => Ok(done),
            why = stop.wanted() => Err(why),
        };
        let (ok, result) = match result {
            Ok(Ok(Ok(text))) => (true, text),
            Ok(Ok(Err(error))) => (false, format!("{}: {error}", error.code())),
            Ok(Err(_)) => (false, late),
            Err(why) => {
                went.aborted = Some(why.clone());
                (false, why)
            }
        };
        eport_failpoint::point!("drill.step.after", step.name);
        let seconds = begun.elapsed().as_secs_f64();
        if !ok {
            scene.out.progress(format!("  {}: {result}", step.name));
        }
        went.steps.push(ReportStep { name: step.name.clone(), started, seconds, result, ok });
        if !ok {
            break;
        }
    }
    went
}

/// Ends the canaries and compares what they were promised with what is there.
async fn judge_canaries(
    client: &Client,
    canaries: Vec<Canary>,
    windows: &[eport_drill::Window],
    item: &DrillItem,
    flock: &Flock,
) -> Result<Measured, Error> {
    let mut logs = Vec::new();
    for canary in canaries {
        let region = canary.region;
        let lines = canary.finish(SETTLE).await?;
        let held = canary::held(client, region, &lines, &item.by, &flock.prefix_of(region)).await?;
        logs.push((region, lines, held));
    }
    let seen: Vec<Seen<'_>> =
        logs.iter().map(|(region, lines, held)| Seen { region: *region, lines, held }).collect();
    Ok(measure(&seen, windows))
}

fn rows(status: &FederationStatus, plan: &Plan) -> Vec<StateRow> {
    let concerned = |region| plan.platforms.iter().any(|p| p.region == region);
    status
        .platforms
        .iter()
        .filter(|p| concerned(p.region))
        .map(|p| StateRow {
            region: p.region,
            primary: p.primary,
            epoch: p.epoch,
            records: p.records,
            in_sync: p.backups.iter().filter(|b| b.in_sync).map(|b| b.node).collect(),
        })
        .collect()
}

fn head(
    looked: &Looked,
    item: &DrillItem,
    verdict: Verdict,
    criteria: Vec<eport_drill::Criterion>,
    went: &Went,
) -> Report {
    let (plan, status) = (&looked.plan, &looked.status);
    let mut versions: Vec<String> = status.nodes.iter().map(|n| n.version.clone()).collect();
    versions.sort();
    versions.dedup();
    Report {
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
        versions,
        begun: item.begun.clone(),
        ended: now(),
        deadline: item.deadline.clone(),
        verdict,
        aborted: went.aborted.clone(),
        rpo_records: 0,
        rpo_seconds: 0.0,
        rto_seconds: None,
        write_pause_ms: None,
        documents: Documents::default(),
        objectives: plan.objectives,
        criteria,
        disturbed: plan.disturbs(),
        steps: went.steps.clone(),
        measured: Measured::default(),
        before: rows(status, plan),
        after: Vec::new(),
        plan: Some(plan.clone()),
        parts: Vec::new(),
    }
}

/// Files the report.
pub async fn end(
    client: &Client,
    report: &Report,
    written: &ReportFiles,
    until: Instant,
) -> Result<DrillItem, Error> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times of a drill are short and positive"
    )]
    let whole = |ms: f64| ms.round().max(0.0) as u64;
    let d = &report.documents;
    let figures = DrillFigures {
        rpo_records: report.rpo_records,
        rpo_ms: whole(report.rpo_seconds * 1_000.0),
        rto_ms: report.rto_seconds.map(|s| whole(s * 1_000.0)),
        write_pause_ms: report.write_pause_ms.map(whole),
        submitted: d.submitted,
        acknowledged: d.acknowledged,
        present: d.present,
        missing: d.missing,
        duplicated: d.duplicated,
    };
    let verdict = match report.verdict {
        Verdict::Passed => DrillVerdict::Passed,
        Verdict::Failed => DrillVerdict::Failed,
        Verdict::Aborted => DrillVerdict::Aborted,
    };
    let broken: Vec<&str> = report.criteria.iter().filter(|c| !c.ok).map(|c| c.name.as_str()).collect();
    let note = match &report.aborted {
        Some(why) => why.clone(),
        None if broken.is_empty() => "every criterion holds".to_owned(),
        None => format!("not met: {}", broken.join(", ")),
    };
    let end = Close { verdict, figures, report: Some(written.digest), note, keep: false };
    close(client, &report.drill_id, &end, until + CALL_LIMIT).await
}

/// One line of a chain's report.
pub fn part(over: &Over) -> FigureRow {
    FigureRow {
        drill_id: over.report.drill_id.clone(),
        name: over.report.name.clone(),
        verdict: over.report.verdict,
        report: over.files.digest.to_string(),
    }
}

/// Now, as RFC 3339.
pub fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    rfc3339(Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}
