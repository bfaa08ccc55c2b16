//! `eport drill`: rehearse losses, with plan, canaries, verdict and a signed report; history, schedule, calendar.

use crate::args::{Global, parse_duration};
use crate::commands::drill_schedule::{ScheduleCommand, schedule, show_calendar};
use crate::connect;
use crate::drill::facts::{Looked, look};
use crate::drill::mend::{Close, close, item};
use crate::drill::run::{Over, Wish};
use crate::drill::{chain, files, guard, run};
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::{DrillItem, DrillStop};
use eport_client::{Client, Method};
use eport_drill::{Plan, Script, Verdict, script, scripts};
use eport_model::RegionCode;
use eport_model::codes::{DRILL_CHANGED, DRILL_FAILED, NOT_FOUND};
use eport_registry::{CommandId, DrillFigures, DrillVerdict, statement};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a drill waits for what passes by itself before it is refused.
const SETTLE: Duration = Duration::from_secs(15);

/// Arguments of `eport drill`.
#[derive(Args, Debug)]
pub struct DrillArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DrillCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum DrillCommand {
    /// List the drills there are
    List,
    /// Show what a drill would disturb here and now, and what speaks against it; changes nothing
    Plan {
        /// Name of the drill
        name: String,
        /// Region code; default the province, or the only platform
        region: Option<RegionCode>,
        /// Common flags.
        #[command(flatten)]
        flags: WishArgs,
    },
    /// Run a drill: plan, question, disturbance, way back, verdict, signed report
    Run {
        /// Name of the drill
        name: String,
        /// Region code; default the province, or the only platform
        region: Option<RegionCode>,
        /// Run only if the plan still has this id
        #[arg(long, value_name = "ID")]
        plan: Option<String>,
        /// Only show the plan
        #[arg(long)]
        dry_run: bool,
        /// Common flags.
        #[command(flatten)]
        flags: WishArgs,
    },
    /// Stop a running drill: the start state is put back
    Abort {
        /// Id of the drill
        id: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// End it as it is: platforms stay where they are
        #[arg(long)]
        keep: bool,
    },
    /// Show one drill as the registry keeps it
    Show {
        /// Id of the drill
        id: String,
        /// Verify this report and compare it with the digest in the registry
        #[arg(long, value_name = "FILE")]
        verify: Option<PathBuf>,
    },
    /// Print the report of a drill from its folder
    Report {
        /// Id of the drill
        id: String,
        /// Folder of the reports; default that of the local federation, else eport-drills
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Verify a report (report.json with report.sig beside it) without asking the federation
    Verify {
        /// The report
        file: PathBuf,
    },
    /// List drills that were run, newest first
    History {
        /// Only of this drill
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Only of this platform
        #[arg(long, value_name = "REGION")]
        region: Option<RegionCode>,
    },
    /// List schedules, add or remove one; the metric eport_drill_due_seconds reminds
    Schedule {
        /// What to do; list without it
        #[command(subcommand)]
        command: Option<ScheduleCommand>,
    },
    /// Show when scheduled drills are due
    Calendar {
        /// So many days ahead
        #[arg(long, default_value_t = 365)]
        days: u32,
    },
    /// Put the start state back when the drill's process is gone
    #[command(hide = true)]
    Guard {
        /// What is owed
        note: PathBuf,
    },
}

/// Flags of plan and run.
#[derive(Args, Clone, Debug, Default)]
pub struct WishArgs {
    /// Longest time for the drill, its way back included; default as its script says
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub limit: Option<Duration>,
    /// Folder for the report
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Recovery key of a restore test; a local federation makes one
    #[arg(long, value_name = "FILE")]
    pub recovery_key: Option<PathBuf>,
    /// Folder of backups of a restore test
    #[arg(long, value_name = "DIR")]
    pub backups: Option<PathBuf>,
    /// Work on copies of the nodes' directories only: needed for quorum-loss
    #[arg(long)]
    pub isolated: bool,
    /// Folder of a new root for ca-rotation, from ca ceremony rotate; a local federation makes one
    #[arg(long, value_name = "DIR")]
    pub material: Option<PathBuf>,
    /// File of a share of the CA's key, for ca-loss; give as many as are needed
    #[arg(long = "share", value_name = "FILE")]
    pub shares: Vec<PathBuf>,
}

impl WishArgs {
    fn wish(self, region: Option<RegionCode>) -> Wish {
        Wish {
            region,
            limit: self.limit,
            to: self.to,
            recovery_key: self.recovery_key,
            backups: self.backups,
            isolated: self.isolated,
            material: self.material,
            shares: self.shares,
        }
    }
}

/// Runs the group.
pub async fn run(args: DrillArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        DrillCommand::List => list(out),
        DrillCommand::Plan { name, region, flags } => {
            let (client, access) = (connect::client(global)?, connect::access(global)?);
            let looked = look((&client, &access, out), &named(&name)?, &flags.wish(region)).await?;
            out.result(&plan_document(&looked.plan), || plan_text(&looked.plan, out));
            if looked.plan.may_run() { Ok(()) } else { Err(Error::Exit(exit::CONFLICT)) }
        }
        DrillCommand::Run { name, region, plan, dry_run, flags } => {
            run_one(&name, &flags.wish(region), plan.as_deref(), dry_run, global, out).await
        }
        DrillCommand::Abort { id, reason, keep } => {
            abort(&connect::client(global)?, &id, &reason, keep, out).await
        }
        DrillCommand::Show { id, verify } => show(global, &id, verify.as_deref(), out).await,
        DrillCommand::Report { id, dir } => report(&id, dir, out),
        DrillCommand::Verify { file } => {
            let found = files::verify(&file, &connect::access(global)?.ca)?;
            print_verified(&found, out)
        }
        DrillCommand::History { name, region } => history(&connect::client(global)?, name, region, out).await,
        DrillCommand::Schedule { command } => schedule(&connect::client(global)?, command, out).await,
        DrillCommand::Calendar { days } => show_calendar(&connect::client(global)?, days, out).await,
        DrillCommand::Guard { note } => guard::run(&note, global, out).await,
    }
}

fn broken(e: eport_drill::ScriptError) -> Error {
    Error::coded(DRILL_FAILED, e.to_string())
}

/// A script by its name, or an error that names those there are.
pub(crate) fn named(name: &str) -> Result<Script, Error> {
    script(name).map_err(broken)?.ok_or_else(|| {
        let known: Vec<String> =
            scripts().map(|all| all.into_iter().map(|s| s.name).collect()).unwrap_or_default();
        Error::coded(NOT_FOUND, format!("there is no drill {name:?}; there are {}", known.join(", ")))
    })
}

fn list(out: Out) -> Result<(), Error> {
    let all = scripts().map_err(broken)?;
    let items: Vec<Value> = all
        .iter()
        .map(|s| {
            json!({ "name": s.name, "title": s.title, "purpose": s.purpose, "target": s.target, "limit_s": s.limit_s,
                "objectives": s.objectives, "chain": s.chain, "script": s.digest })
        })
        .collect();
    out.items(&items, || {
        let mut table = Table::new(["name", "", ">limit s", ">RTO s", ">RPO"]);
        for s in &all {
            let rto = s.objectives.rto_seconds.map_or_else(|| "-".to_owned(), |r| format!("{r:.0}"));
            let title = out.lang.pick((s.title.en.clone(), s.title.zh.clone()));
            table.row([
                s.name.clone(),
                title,
                s.limit_s.to_string(),
                rto,
                s.objectives.rpo_records.to_string(),
            ]);
        }
        table
    });
    Ok(())
}

fn plan_document(plan: &Plan) -> Value {
    let mut document = serde_json::to_value(plan).unwrap_or(Value::Null);
    document["may_run"] = plan.may_run().into();
    document["dry_run"] = true.into();
    document
}

fn plan_text(plan: &Plan, out: Out) -> String {
    let zh = out.lang.pick((false, true));
    let mut text = format!("{} ({}) {}: {}\n", plan.name, plan.plan_id, plan.region, plan.title.pick(zh));
    for (n, s) in plan.steps.iter().enumerate() {
        text.push_str(&format!("  {}. {}: {}\n", n + 1, s.does.pick(zh), s.expect.pick(zh)));
    }
    let mut table = Table::new(["", "", ""]);
    for c in &plan.preconditions {
        let mark = if c.ok { "ok" } else { "FAILS" };
        table.row([format!("  {mark}"), c.name.clone(), c.detail.pick(zh).to_owned()]);
    }
    text.push_str(&table.render());
    let o = &plan.objectives;
    let or = |v: Option<f64>, unit: &str| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.0} {unit}"));
    let disturbs = plan.disturbs().join(", ");
    text.push_str(&out.lang.pick((
        format!(
            "  objectives: RPO {} records, RTO {}, write pause {}; at most {} s\n  disturbs: {disturbs}\n",
            o.rpo_records,
            or(o.rto_seconds, "s"),
            or(o.write_pause_ms, "ms"),
            plan.limit_s
        ),
        format!(
            "  目标：RPO {} 条，RTO {}，写入停顿 {}；最长 {} 秒\n  扰动：{disturbs}\n",
            o.rpo_records,
            or(o.rto_seconds, "s"),
            or(o.write_pause_ms, "ms"),
            plan.limit_s
        ),
    )));
    text
}

async fn run_one(
    name: &str,
    wish: &Wish,
    plan_id: Option<&str>,
    dry_run: bool,
    global: &Global,
    out: Out,
) -> Result<(), Error> {
    let script = named(name)?;
    let (access, client) = (connect::access(global)?, connect::client(global)?);
    let mut looked = look((&client, &access, out), &script, wish).await?;
    if !dry_run && plan_id.is_none() {
        looked = settled((&client, &access, out), &script, wish, looked).await?;
    }
    if let Some(wanted) = plan_id.filter(|id| *id != looked.plan.plan_id) {
        let detail = format!("plan {wanted} was asked for, the plan is {} now", looked.plan.plan_id);
        return Err(Error::coded(DRILL_CHANGED, detail));
    }
    if dry_run {
        out.result(&plan_document(&looked.plan), || plan_text(&looked.plan, out));
        return if looked.plan.may_run() { Ok(()) } else { Err(Error::Exit(exit::CONFLICT)) };
    }
    if !out.json {
        out.progress(plan_text(&looked.plan, out).trim_end());
    }
    if looked.plan.may_run() {
        out.confirm(("carry out this drill?", "执行该演练？"))?;
    }
    let over = carry_out(&access, &script, &looked, wish, out).await?;
    print_over(&over, out)
}

/// Looks again for a moment where only that speaks against the drill which passes by itself: right after a start or a repair.
async fn settled(
    (client, access, out): (&Client, &connect::Access, Out),
    script: &Script,
    wish: &Wish,
    mut looked: Looked,
) -> Result<Looked, Error> {
    let until = Instant::now() + SETTLE;
    if looked.plan.may_settle() {
        let why: Vec<_> = looked.plan.preconditions.iter().filter(|c| !c.ok).map(|c| &c.detail).collect();
        let (zh, en): (Vec<_>, Vec<_>) = why.iter().map(|d| (d.zh.as_str(), d.en.as_str())).unzip();
        out.say(
            format!("not yet: {}; waiting", en.join("; ")),
            format!("尚未就绪：{}；等待中", zh.join("；")),
        );
    }
    while looked.plan.may_settle() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(500)).await;
        looked = look((client, access, out), script, wish).await?;
    }
    Ok(looked)
}

async fn carry_out(
    access: &connect::Access,
    script: &Script,
    looked: &Looked,
    wish: &Wish,
    out: Out,
) -> Result<Over, Error> {
    if script.is_chain() {
        let all = run::everywhere(access, &looked.status);
        return chain::run(&all, script, &looked.plan, wish, out).await;
    }
    run::run(access, looked, wish, out).await
}

fn print_over(over: &Over, out: Out) -> Result<(), Error> {
    let (r, f) = (&over.report, &over.files);
    let steps: Vec<Value> = r
        .steps
        .iter()
        .map(|s| json!({ "name": s.name, "started": s.started, "seconds": s.seconds, "result": s.result, "ok": s.ok }))
        .collect();
    // What the registry has counts: a drill may have been ended by others before its own process came to it.
    let verdict = over.item.verdict.clone().unwrap_or_else(|| r.verdict.word().to_owned());
    let document = json!({
        "drill_id": r.drill_id, "name": r.name, "region": r.region, "verdict": verdict, "rpo_records": r.rpo_records,
        "rpo_seconds": r.rpo_seconds, "rto_seconds": r.rto_seconds, "write_pause_ms": r.write_pause_ms,
        "documents": r.documents, "steps": steps, "criteria": r.criteria, "aborted": r.aborted, "plan_id": r.plan_id,
        "restored": over.item.restored, "note": over.item.note, "parts": r.parts,
        "report": { "markdown": f.markdown, "json": f.json, "html": f.html, "signature": f.signature, "digest": f.digest },
    });
    out.result(&document, || over_text(over, out));
    match verdict.as_str() {
        "passed" => Ok(()),
        "failed" => Err(Error::Exit(exit::DRILL_FAILED)),
        _ => Err(Error::Exit(exit::FAILED)),
    }
}

fn over_text(over: &Over, out: Out) -> String {
    let (r, zh) = (&over.report, out.lang.pick((false, true)));
    let mut table = Table::new(["", ">"]);
    for (name, value) in r.figures() {
        table.row([name.pick(zh).to_owned(), value]);
    }
    let mut criteria = Table::new(["", "", "", ""]);
    for c in &r.criteria {
        let mark = if c.ok { "ok" } else { "FAILS" };
        criteria.row([mark.to_owned(), c.title.pick(zh).to_owned(), c.wanted.clone(), c.found.clone()]);
    }
    let verdict = match r.verdict {
        Verdict::Passed => out.lang.pick(("PASSED", "通过")),
        Verdict::Failed => out.lang.pick(("FAILED", "未通过")),
        Verdict::Aborted => out.lang.pick(("ABORTED", "已中止")),
    };
    let why = r.aborted.as_ref().map(|w| format!(": {w}")).unwrap_or_default();
    format!(
        "{}{}{} {verdict}{why}\n{}\n",
        table.render(),
        criteria.render(),
        out.lang.pick(("verdict:", "结论：")),
        over.files.markdown.display()
    )
}

fn id_of(text: &str) -> Result<CommandId, Error> {
    text.parse().map_err(|e: eport_model::ParseError| Error::usage(e.to_string()))
}

async fn abort(client: &Client, id: &str, reason: &str, keep: bool, out: Out) -> Result<(), Error> {
    let drill = id_of(id)?;
    out.confirm(if keep {
        ("end this drill and leave the platforms where they are?", "结束该演练并让各平台保持现状？")
    } else {
        ("stop this drill and put the start state back?", "停止该演练并恢复起始状态？")
    })?;
    let now: DrillItem = if keep {
        let note = if reason.is_empty() { "ended as it was".to_owned() } else { reason.to_owned() };
        let end = Close {
            verdict: DrillVerdict::Aborted,
            figures: DrillFigures::default(),
            report: None,
            note,
            keep: true,
        };
        close(client, id, &end, Instant::now()).await?
    } else {
        let statement = statement::stop_drill(drill, reason);
        let body = DrillStop { reason: reason.to_owned() };
        client.give(Method::POST, &format!("/v1/drills/{id}/stop"), &body, &statement).await?
    };
    print_item(&now, out);
    Ok(())
}

async fn show(global: &Global, id: &str, verify: Option<&std::path::Path>, out: Out) -> Result<(), Error> {
    id_of(id)?;
    let drill = item(&connect::client(global)?, id).await?;
    let Some(file) = verify else {
        print_item(&drill, out);
        return Ok(());
    };
    let mut found = files::verify(file, &connect::access(global)?.ca)?;
    if found.drill_id != drill.drill_id {
        found.problems.push(format!("the report is of drill {}", found.drill_id));
    }
    match drill.report {
        Some(filed) if filed == found.report => {}
        Some(filed) => found.problems.push(format!("the registry has the digest {filed}")),
        None => found.problems.push("the registry has no report of this drill".to_owned()),
    }
    if found.signed_by != drill.by {
        found.problems.push(format!("{} owned the drill", drill.by));
    }
    found.ok = found.problems.is_empty();
    print_verified(&found, out)
}

fn print_verified(found: &files::Verified, out: Out) -> Result<(), Error> {
    let document = serde_json::to_value(found).unwrap_or(Value::Null);
    out.result(&document, || {
        let verdict = match found.ok {
            true => ("the report is whole and signed by", "报告完整，签名者："),
            false => ("the report does not verify; it names", "报告未通过核验；所称签名者："),
        };
        let problems: String = found.problems.iter().map(|p| format!("  {p}\n")).collect();
        format!(
            "{} ({}): {} {}\n{problems}",
            found.drill_id,
            found.verdict,
            out.lang.pick(verdict),
            found.signed_by
        )
    });
    if found.ok { Ok(()) } else { Err(Error::Exit(exit::DIFFERENCE)) }
}

fn print_item(drill: &DrillItem, out: Out) {
    let document = serde_json::to_value(drill).unwrap_or(Value::Null);
    out.result(&document, || {
        let mut table = Table::new(["", ""]);
        for k in [
            "drill_id", "name", "region", "state", "verdict", "by", "begun", "deadline", "ended", "ended_by",
            "note",
        ] {
            table.row([k.to_owned(), cell(&document, k)]);
        }
        for s in &drill.start {
            table.row(["start".to_owned(), format!("{}: {}, epoch {}", s.region, s.primary, s.epoch)]);
        }
        table.render()
    });
}

fn report(id: &str, dir: Option<PathBuf>, out: Out) -> Result<(), Error> {
    id_of(id)?;
    let local =
        std::env::var_os("EPORT_DIR").filter(|d| !d.is_empty()).map(|d| PathBuf::from(d).join("drills"));
    let dir = dir.or(local).unwrap_or_else(|| "eport-drills".into()).join(id);
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).map_err(Error::file(&path))
    };
    let document: Value = serde_json::from_str(&read("report.json")?)
        .map_err(|e| Error::coded(eport_model::codes::FILE_UNUSABLE, e.to_string()))?;
    let text = read("report.md")?;
    out.result(&document, || text);
    Ok(())
}

async fn history(
    client: &Client,
    name: Option<String>,
    region: Option<RegionCode>,
    out: Out,
) -> Result<(), Error> {
    let mut query: Vec<(&str, String)> = Vec::new();
    query.extend(name.map(|n| ("name", n)));
    query.extend(region.map(|r| ("region", r.to_string())));
    let items = client.list("/v1/drills", &query).await?;
    out.items(&items, || {
        let mut table = Table::new([
            "drill",
            "name",
            "region",
            "begun",
            "state",
            "verdict",
            ">RPO",
            ">RTO ms",
            ">pause ms",
            "by",
        ]);
        for d in &items {
            let f = &d["figures"];
            let [id, name, region, begun, state, verdict, by] =
                ["drill_id", "name", "region", "begun", "state", "verdict", "by"].map(|k| cell(d, k));
            let [rpo, rto, pause] = ["rpo_records", "rto_ms", "write_pause_ms"].map(|k| cell(f, k));
            table.row([id, name, region, begun, state, verdict, rpo, rto, pause, by]);
        }
        table
    });
    Ok(())
}
