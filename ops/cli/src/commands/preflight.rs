//! The checks before `init` and `node join`: flags, what is said, when they stop the command.

use crate::error::Error;
use crate::output::Out;
use crate::preflight::{Facts, Level, document, facts, judge, text, worst};
use clap::Args;
use eport_model::codes::PREFLIGHT_FAILED;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

/// Flags of the commands that check a machine first.
#[derive(Args, Clone, Copy, Debug)]
pub struct PreflightFlags {
    /// Only check ports, clock, disk and limits; exit 7 when a node could not run here
    #[arg(long)]
    pub check: bool,
    /// Go on although a check fails: for files that are made for another machine
    #[arg(long, conflicts_with = "check")]
    pub unchecked: bool,
}

/// Looks at this machine.
pub fn look(quic: SocketAddr, api: SocketAddr, dir: &Path) -> Facts {
    facts(quic, api, dir)
}

/// Says what was found. `Ok(Some(_))`: go on, with these findings for the result. `Ok(None)`: only the check was wanted, and it is
/// done. A failure ends the command before anything is written.
pub fn settle(facts: &Facts, flags: PreflightFlags, out: Out) -> Result<Option<Vec<Value>>, Error> {
    let findings = judge(facts);
    let (level, listed) = (worst(&findings), document(&findings, out.lang));
    let failed: Vec<&str> = findings.iter().filter(|f| f.level == Level::Failure).map(|f| f.check).collect();
    if flags.check {
        let answer = json!({ "ok": failed.is_empty(), "level": level.word(), "checks": listed });
        out.result(&answer, || text(&findings, out.lang));
        return if failed.is_empty() { Ok(None) } else { Err(Error::Exit(crate::exit::REFUSED)) };
    }
    if level != Level::Good {
        out.progress(text(&findings, out.lang));
    }
    if failed.is_empty() || flags.unchecked {
        return Ok(Some(listed));
    }
    Err(Error::coded(PREFLIGHT_FAILED, failed.join(", ")))
}
