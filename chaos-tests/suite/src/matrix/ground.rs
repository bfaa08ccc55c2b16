//! The federation that the cells are run in: how a cell begins, and what must hold when it is over.

use super::steps::{Kind, Who};
use crate::{Ledger, Mount, documents, proof_of_equality};
use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, Ran, wait_for};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// The platform that is moved.
pub const R: &str = "440100";
/// Its node at home, which votes.
pub const HOME: &str = "gz-c-1";
/// A host at the province, which does not vote.
pub const HOST: &str = "gz-a-2";
/// Its third holder.
pub const THIRD: &str = "sz-a-1";
/// The node that commands speak with; it keeps no copy of the platform.
pub const ENTRY: &str = "gz-a-1";

/// Documents that only the old primary holds when it comes back.
pub const LOST: usize = 8;
/// Longest wait for the federation to come to rest.
const REST: Duration = Duration::from_secs(120);

/// Who is who in one cell.
#[derive(Clone, Debug)]
pub struct Cast {
    /// Primary before.
    pub old: &'static str,
    /// Primary after, if all goes well.
    pub target: &'static str,
    /// Leader of the registry when the cell begins.
    pub leader: String,
}

impl Cast {
    /// The node of a part; none for the command.
    pub fn node(&self, who: Who) -> Option<&str> {
        match who {
            Who::Cli => None,
            Who::Entry => Some(ENTRY),
            Who::Leader => Some(&self.leader),
            Who::Old => Some(self.old),
            Who::Target => Some(self.target),
        }
    }
}

/// The federation, and what its clients were promised.
pub struct Ground {
    /// The federation.
    pub fed: Federation,
    /// Promises of the platform.
    pub ledger: Ledger,
    /// False where this process may not mount: no disk can be filled.
    pub mounted: bool,
    mounts: Vec<Mount>,
}

impl Drop for Ground {
    fn drop(&mut self) {
        // The processes end before their folders go.
        for node in [HOME, HOST] {
            let _ = self.fed.dev("kill", node);
        }
        self.mounts.clear();
    }
}

impl Ground {
    /// Starts a federation with failpoints; the two nodes that take turns get small file systems of their own.
    pub fn new() -> Result<Self> {
        let fed = Federation::up_armed(&[])?;
        crate::starter(&fed)?;
        let mut ground = Self { fed, ledger: Ledger::default(), mounted: true, mounts: Vec::new() };
        for node in [HOME, HOST] {
            ground.small_disk(node)?;
        }
        ground.ledger.submit(&ground.fed, R, &documents("BASE", 50))?;
        Ok(ground)
    }

    fn small_disk(&mut self, node: &str) -> Result<()> {
        let (data, aside) =
            (self.fed.node_dir(node).join("data"), self.fed.node_dir(node).join("data-aside"));
        self.fed.dev("kill", node)?;
        std::fs::rename(&data, &aside)?;
        std::fs::create_dir(&data)?;
        match Mount::memory("640m", &data)? {
            Some(mount) => {
                let ran =
                    Ran::of(std::process::Command::new("cp").arg("-a").arg(aside.join(".")).arg(&data))?;
                ensure!(ran.code == 0, "{ran:?}");
                self.mounts.push(mount);
            }
            None => {
                std::fs::remove_dir(&data)?;
                std::fs::rename(&aside, &data)?;
                self.mounted = false;
            }
        }
        self.fed.dev("restart", node)
    }

    /// Every process runs, every link is whole, every clock right.
    pub fn heal(&self) -> Result<()> {
        self.fed.eport(&["dev", "heal"])?.expect(0, "dev heal")?;
        for node in self.fed.nodes() {
            self.fed.shift_clock(&node.node, 0)?;
        }
        let status = self.fed.eport(&["dev", "status"])?.ok_json()?;
        for row in status["nodes"].as_array().context("nodes")? {
            let node = row["node"].as_str().context("node")?;
            match row["state"].as_str() {
                Some("paused") => self.fed.dev("resume", node)?,
                Some("running") => {}
                _ => self.fed.dev("restart", node)?,
            }
        }
        Ok(())
    }

    /// Waits until the platform is served and every backup that is named is in sync and has everything.
    pub fn at_rest(&self) -> Result<Value> {
        wait_for("rest", REST, || {
            let status = self.fed.status_at(ENTRY).map_err(|e| format!("{e:#}"))?;
            if !status["leader"].is_string() {
                return Err("no leader".into());
            }
            let list = status["platforms"].as_array().cloned().unwrap_or_default();
            let p = list.into_iter().find(|p| p["region"] == R).ok_or("no platform")?;
            let whole =
                |b: &Value| (b["in_sync"] == true || p["durability"] == "async") && b["lag_records"] == 0;
            let level = p["backups"].as_array().is_some_and(|b| b.iter().all(whole));
            if p["state"] == "active" && level { Ok(p) } else { Err(p.to_string()) }
        })
    }

    fn policy(&self, backups: &[&str], durability: &str) -> Result<()> {
        let mut args = vec!["--timeout", "30s", "platform", "policy", R, "--durability", durability];
        if durability == "sync" {
            args.extend(["--k", "1"]);
        }
        backups.iter().for_each(|b| args.extend(["--backup", b]));
        // A backup that comes into sync meanwhile changes the placement: then the rules are looked at again.
        wait_for("the policy", REST, || {
            let ran = self.fed.eport(&args).map_err(|e| format!("{e:#}"))?;
            if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
        })
    }

    /// Brings the platform to a primary with exactly these backups.
    pub fn settle(&self, primary: &str, backups: &[&str], durability: &str) -> Result<()> {
        let mut now = self.at_rest()?;
        if now["primary"] != primary {
            let names = |p: &Value, node: &str| {
                p["backups"].as_array().is_some_and(|b| b.iter().any(|b| b["node"] == node))
            };
            if !names(&now, primary) {
                let others: Vec<&str> =
                    [HOME, HOST, THIRD].into_iter().filter(|n| now["primary"] != *n).collect();
                self.policy(&others, "sync")?;
                now = self.at_rest()?;
                ensure!(names(&now, primary), "{now}");
            }
            wait_for("the platform where the cell begins", REST, || {
                let ran = self
                    .fed
                    .eport(&["platform", "switchover", R, "--to", primary])
                    .map_err(|e| format!("{e:#}"))?;
                let now = self.at_rest().map_err(|e| format!("{e:#}"))?;
                if now["primary"] == primary { Ok(()) } else { Err(format!("{ran:?}, {now}")) }
            })?;
            now = self.at_rest()?;
        }
        let named: Vec<String> = now["backups"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|b| b["node"].as_str().map(str::to_owned))
            .collect();
        let same = named.len() == backups.len() && backups.iter().all(|b| named.iter().any(|n| n == b));
        if !same || now["durability"] != durability {
            self.policy(backups, durability)?;
            wait_for("the backups that were named", REST, || {
                let now = self.at_rest().map_err(|e| format!("{e:#}"))?;
                let count = now["backups"].as_array().map_or(0, Vec::len);
                if count == backups.len() && now["durability"] == durability {
                    Ok(())
                } else {
                    Err(now.to_string())
                }
            })?;
        }
        Ok(())
    }

    /// The leader of the registry as everybody sees it.
    pub fn leader(&self) -> Result<String> {
        let status = self.fed.wait_status(ENTRY, "a leader", |s| s["leader"].is_string())?;
        Ok(status["leader"].as_str().context("leader")?.to_owned())
    }

    /// Prepares the state that a move of this kind begins in.
    pub fn stage(&mut self, kind: Kind) -> Result<Cast> {
        let (old, target) = match kind {
            Kind::Switchover | Kind::Demote => (HOME, HOST),
            Kind::Failover | Kind::Promote | Kind::Return => (HOST, HOME),
        };
        match kind {
            Kind::Switchover | Kind::Failover => self.settle(old, &[target, THIRD], "sync")?,
            Kind::Promote | Kind::Demote => self.settle(old, &[THIRD], "sync")?,
            Kind::Return => {
                self.settle(old, &[target, THIRD], "sync")?;
                self.diverge(old, target)?;
            }
        }
        if kind == Kind::Failover {
            self.fed.dev("kill", old)?;
        }
        Ok(Cast { old, target, leader: self.leader()? })
    }

    /// The old primary holds records that nobody else has, and is replaced; it stands still.
    fn diverge(&mut self, old: &str, target: &str) -> Result<()> {
        self.settle(old, &[target, THIRD], "async")?;
        self.fed.dev("kill", target)?;
        self.fed.dev("kill", THIRD)?;
        let tail = documents(&format!("LOST{}", self.ledger.len()), LOST);
        let file = self.fed.scratch().join("tail.ndjson");
        std::fs::write(&file, crate::lines(&tail))?;
        let path = file.to_string_lossy().into_owned();
        let said = self
            .fed
            .eport_at(old, &["--timeout", "30s", "doc", "submit", &path, "--platform", R])?
            .ok_json()?;
        let local = |i: &Value| i["status"] == 201 && i["durability"] == "local";
        ensure!(said["items"].as_array().is_some_and(|l| l.iter().all(local)), "{said}");
        self.fed.dev("pause", old)?;
        self.fed.dev("restart", target)?;
        self.fed.dev("restart", THIRD)?;
        self.leader()?;
        let args =
            ["platform", "failover", R, "--to", target, "--old-primary", "unreachable", "--accept-data-loss"];
        let moved = self.fed.eport_at(ENTRY, &args)?.expect(0, "failover")?.json()?;
        ensure!(moved["state"] == "done", "{moved}");
        // What is answered from here on by the new primary is replicated; the old one does not know yet.
        self.policy(&[old, THIRD], "sync")
    }

    /// One primary an epoch, the same at every node that answers.
    pub fn one_primary_an_epoch(&self) -> Result<()> {
        let mut primaries: BTreeMap<u64, String> = BTreeMap::new();
        for node in self.fed.nodes() {
            for m in self.fed.history_at(&node.node, R)?.iter().filter(|m| m["state"] == "done") {
                let epoch = m["epoch_after"].as_u64().with_context(|| m.to_string())?;
                let to = m["to"].as_str().unwrap_or_default().to_owned();
                let earlier = primaries.insert(epoch, to.clone());
                ensure!(earlier.as_deref().is_none_or(|e| e == to), "epoch {epoch} has {earlier:?} and {to}");
            }
        }
        Ok(())
    }

    /// What a tail left for a person is decided, so that the next cell begins clean.
    pub fn clear_tails(&self) -> Result<()> {
        let listed = self.fed.eport(&["tail", "list"])?.ok_json()?;
        for tail in listed["items"].as_array().into_iter().flatten() {
            if let Some(id) = tail["id"].as_str().filter(|_| tail["state"] != "resolved") {
                // Already decided is fine.
                let _ = self.fed.eport(&["tail", "discard", id, "--reason", "the cell is over"])?;
            }
        }
        Ok(())
    }

    /// How many documents the recorded tails of a node name.
    pub fn tails_of(&self, node: &str) -> Result<u64> {
        let listed = self.fed.eport(&["tail", "list"])?.ok_json()?;
        let items = listed["items"].as_array().context("items")?;
        let mine = items.iter().filter(|t| t["region"] == R && t["node"] == node);
        Ok(mine.map(|t| t["documents"]["total"].as_u64().unwrap_or(0)).sum())
    }

    /// Equal copies, every promise kept.
    pub fn check(&self) -> Result<()> {
        let p = self.at_rest()?;
        let holders = 1 + p["backups"].as_array().map_or(0, Vec::len);
        proof_of_equality(&self.fed, R, holders)?;
        self.ledger.check(&self.fed, R, false)?;
        self.one_primary_an_epoch()
    }
}
