//! The guard of a drill: a process of its own that puts the start state back when the drill's process is gone.
//!
//! It stands in a process group of its own and holds one end of a pipe whose other end only the drill holds. A word through the
//! pipe releases it; its end without that word means that the drill was killed, and the guard acts at once.

use crate::args::Global;
use crate::connect;
use crate::drill::mend::{Close, Debt, close};
use crate::drill::place::Place;
use crate::error::Error;
use crate::files::write_atomic;
use crate::output::Out;
use eport_model::codes::FILE_UNUSABLE;
use eport_registry::{DrillFigures, DrillVerdict};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The word that releases the guard.
const RELEASE: &[u8] = b"over\n";
/// How long the guard tries beyond the deadline; the registry's leader tries as well from then on.
const BEYOND: Duration = Duration::from_secs(120);
/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// A guard on duty. Dropping it without `release` lets it act.
pub struct Guard {
    child: Child,
}

impl Guard {
    /// Puts a guard on duty. What it owes is written down first.
    pub fn post(dir: &Path, debt: &Debt, access: &connect::Access) -> Result<Self, Error> {
        let note = dir.join("debt.json");
        let text = serde_json::to_vec_pretty(debt).map_err(|e| Error::coded(FILE_UNUSABLE, e.to_string()))?;
        write_atomic(&note, &text)?;
        let log = dir.join("guard.log");
        let file = std::fs::File::create(&log).map_err(Error::file(&log))?;
        let errors = file.try_clone().map_err(Error::file(&log))?;
        let exe = std::env::current_exe().map_err(Error::file(Path::new("this program")))?;
        let mut command = Command::new(&exe);
        command.args(access.flags()).args(["drill", "guard"]).arg(&note);
        let child = command
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(Error::file(&exe))?;
        Ok(Self { child })
    }

    /// The drill put everything back itself.
    pub fn release(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            let _ = pipe.write_all(RELEASE).and_then(|()| pipe.flush());
        }
        let _ = self.child.wait();
    }
}

/// The guard itself.
pub async fn run(note: &Path, global: &Global, out: Out) -> Result<(), Error> {
    let text = std::fs::read(note).map_err(Error::file(note))?;
    let debt: Debt = serde_json::from_slice(&text)
        .map_err(|e| Error::coded(FILE_UNUSABLE, format!("{}: {e}", note.display())))?;
    let said = tokio::task::spawn_blocking(|| {
        let mut said = Vec::new();
        let _ = std::io::stdin().take(64).read_to_end(&mut said);
        said
    });
    if said.await.is_ok_and(|said| said == RELEASE) {
        return Ok(());
    }
    out.progress(format!("the process of drill {} is gone: putting the start state back", debt.drill_id));
    let access = connect::Access { apis: debt.apis.clone(), ..connect::access(global)? };
    let client = connect::client_of(&access, CALL_LIMIT, out.lang)?;
    let left = debt.deadline_ms.saturating_sub(now_ms()).max(0);
    let until = Instant::now() + Duration::from_millis(left.unsigned_abs()) + BEYOND;
    debt.pay(&Place::find(debt.lineage), &client, until, out).await?;
    let end = Close {
        verdict: DrillVerdict::Aborted,
        figures: DrillFigures::default(),
        report: None,
        note: "its process was killed; its guard put the start state back".into(),
        keep: false,
    };
    let ended = close(&client, &debt.drill_id, &end, until).await?;
    out.progress(format!("drill {}: {}", debt.drill_id, ended.note));
    Ok(())
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
