//! `eport demo`: the whole story on this machine.

use crate::args::Global;
use crate::commands::dev::{STOP_PATIENCE, plan};
use crate::demo::report::{Facts, render};
use crate::demo::story::{Settings, Story};
use crate::dev::find_eportd;
use crate::dev::state::{DevState, DirLock};
use crate::dev::up::{self, Blueprint};
use crate::error::Error;
use crate::exit;
use crate::output::Out;
use clap::Args;
use eport_model::RegionCode;
use eport_model::codes::DEMO_FAILED;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments of `eport demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Leave the federation running and its folder in place
    #[arg(long)]
    pub keep: bool,
    /// Folder of the federation; default a temporary one
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Documents a second of each client process
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    /// The daemon; default next to this program
    #[arg(long, value_name = "PATH")]
    pub eportd: Option<PathBuf>,
    /// Write the report to this file too
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// The virtual platform that is moved as planned.
const SWITCHED: &str = "440500";
/// The city platform whose primary is killed.
const FAILED: &str = "440300";

/// Kills what runs when the demo ends in any way but success with `--keep`.
struct Guard {
    state: DevState,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed {
            up::kill_all(&self.state);
        }
    }
}

/// Runs the command.
pub async fn run(args: DemoArgs, global: &Global, out: Out) -> Result<(), Error> {
    let eportd = find_eportd(args.eportd.as_deref())?;
    let temporary = match &args.dir {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("eport-demo-")
                .tempdir()
                .map_err(Error::file(Path::new("/tmp")))?,
        ),
    };
    let dir = match (&args.dir, &temporary) {
        (Some(dir), _) => std::path::absolute(dir).map_err(Error::file(dir))?,
        (None, Some(t)) => t.path().to_owned(),
        (None, None) => return Err(Error::usage("a folder is needed")),
    };
    let lock = DirLock::take(&dir)?;
    let blueprint = Blueprint {
        dir: dir.clone(),
        plan: plan(&[], &[])?,
        mode: "demo",
        profile: "lan",
        eportd,
        direct: true,
    };
    let mut guard = Guard { state: blueprint.build()?, armed: true };
    let settings = Settings { rate: args.rate, limit: global.timeout_or(Duration::from_secs(90)) };
    let (facts, told) = tell(&mut guard.state, settings, out).await;
    if told.is_ok() && args.keep {
        guard.armed = false;
    } else if told.is_ok() {
        up::stop_all(&guard.state, STOP_PATIENCE).await?;
    }
    drop(guard);
    drop(lock);
    let kept = args.keep || told.is_err();
    if let (true, Some(t)) = (kept, temporary) {
        // A failed demo leaves its logs to be read.
        let _ = t.keep();
    }
    publish(&args, &facts, out)?;
    if kept {
        out.say(format!("export EPORT_DIR={}", dir.display()), format!("export EPORT_DIR={}", dir.display()));
    }
    match told {
        Ok(()) => Ok(()),
        Err(error) => {
            out.say(format!("logs: {}/NODE/log", dir.display()), format!("日志：{}/NODE/log", dir.display()));
            Err(if out.json {
                Error::Exit(exit::FAILED)
            } else {
                Error::coded(DEMO_FAILED, error.to_string())
            })
        }
    }
}

/// Tells the story, or ends it at Ctrl-C or TERM.
async fn tell(state: &mut DevState, settings: Settings, out: Out) -> (Facts, Result<(), Error>) {
    let switched: RegionCode = SWITCHED.parse().expect("the literal is a region code");
    let failed: RegionCode = FAILED.parse().expect("the literal is a region code");
    let mut story = Story::new(state, settings, out);
    let told = tokio::select! {
        told = story.tell(switched, failed) => told,
        () = interrupted() => Err(Error::coded(DEMO_FAILED, "interrupted")),
    };
    if let (Err(error), None) = (&told, &story.facts.failure) {
        story.facts.failure = Some(error.to_string());
    }
    (story.facts, told)
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}

fn publish(args: &DemoArgs, facts: &Facts, out: Out) -> Result<(), Error> {
    let text = render(facts);
    if let Some(path) = &args.report {
        crate::files::write_atomic(path, text.as_bytes())?;
    }
    let document = serde_json::to_value(facts).unwrap_or(Value::Null);
    out.result(&document, || text);
    Ok(())
}
