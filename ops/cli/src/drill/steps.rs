//! What each step of a drill does, and how it knows that it ended as stated.

use crate::drill::authority::CaDrill;
use crate::drill::canary::Canary;
use crate::drill::copies::{self, Backups};
use crate::drill::isolated::Copies;
use crate::drill::moving;
use crate::drill::place::Place;
use crate::drill::rotation;
use crate::drill::stop::wait_for;
use crate::error::Error;
use crate::load::Clock;
use crate::output::Out;
use eport_api_types::{FederationStatus, PlatformStatus};
use eport_client::{Client, Repeat};
use eport_drill::{Action, Plan, PlanStep, Window};
use eport_model::Position;
use eport_model::codes::{DRILL_FAILED, VERIFY_DIFFERENCE};
use eport_registry::RotationStep;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A backup may be behind by what is lodged in this time and still count as level: canaries never pause.
const LEVEL_SECONDS: f64 = 2.0;

/// A drill under way, as its steps see it.
pub struct Scene<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The federation before anything was disturbed.
    pub before: &'a FederationStatus,
    /// Who disturbs.
    pub place: &'a Place,
    /// Calls any node.
    pub client: Client,
    /// Calls nodes that are not killed.
    pub survivors: Client,
    /// The clients that lodge canaries.
    pub canaries: Vec<Canary>,
    /// Files of a restore test.
    pub backups: Option<Backups>,
    /// Copies of a drill that works on nothing else.
    pub copies: Option<Copies>,
    /// Folder of a new root if one was given, and the drill's own.
    pub rotation: Option<(Option<PathBuf>, PathBuf)>,
    /// The CA that it is about.
    pub ca: Option<CaDrill>,
    /// The clock of the windows; runs like those of the canaries.
    pub clock: Clock,
    /// When the steps must be over, so that time is left for the way back.
    pub until: Instant,
    /// When the link may be cut at the longest.
    pub deadline: Instant,
    /// How this program speaks.
    pub out: Out,
    /// Disturbances so far.
    pub windows: Vec<Window>,
    open: Option<f64>,
    imaged: Vec<(String, Position)>,
    lost_at: Option<Instant>,
    made: Option<(String, Vec<(String, Position)>)>,
    /// How long the restore took, or until the CA issued again, milliseconds.
    pub restored_ms: Option<f64>,
}

impl<'a> Scene<'a> {
    /// A scene before its first step.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        plan: &'a Plan,
        before: &'a FederationStatus,
        place: &'a Place,
        clients: (Client, Client),
        canaries: Vec<Canary>,
        backups: Option<Backups>,
        times: (Instant, Instant),
        out: Out,
    ) -> Self {
        Self {
            plan,
            before,
            place,
            client: clients.0,
            survivors: clients.1,
            canaries,
            backups,
            copies: None,
            rotation: None,
            ca: None,
            clock: Clock::start(),
            until: times.0,
            deadline: times.1,
            out,
            windows: Vec::new(),
            open: None,
            imaged: Vec::new(),
            lost_at: None,
            made: None,
            restored_ms: None,
        }
    }

    /// Ends a disturbance whose proof never came, so that it counts.
    pub fn close_window(&mut self) {
        if let Some(from_ms) = self.open.take() {
            self.windows.push(Window { from_ms, to_ms: self.clock.now_ms() });
        }
    }

    /// Does one step; answers what came of it.
    pub async fn step(&mut self, step: &PlanStep) -> Result<String, Error> {
        if step.measured {
            self.close_window();
            self.open = Some(self.clock.now_ms());
        }
        match step.action {
            Action::Writes => {
                let seen = self.writes(step.count).await?;
                self.close_window();
                Ok(seen)
            }
            Action::Switchover => self.switchover().await,
            Action::Kill => {
                self.place.kill(&self.plan.victims, &self.survivors, self.until, self.out).await?;
                self.lost_at = Some(Instant::now());
                Ok(format!("killed {}", names(&self.plan.victims)))
            }
            Action::Failover => self.failover().await,
            Action::Start => {
                self.place.start(&self.plan.victims, &self.survivors, self.until, self.out).await?;
                Ok(format!("{} answer again", names(&self.plan.victims)))
            }
            Action::Cut => {
                let link = self.link()?;
                let at_most = self.deadline.saturating_duration_since(Instant::now());
                self.place.cut(link, at_most, self.out).await?;
                Ok(format!("nothing passes between {} and {}", link.0, link.1))
            }
            Action::Behind => self.behind(step.count).await,
            Action::Heal => {
                let link = self.link()?;
                self.place.heal(link, self.out).await?;
                Ok(format!("{} and {} are connected", link.0, link.1))
            }
            Action::Follow => self.follow().await,
            Action::Failback => self.failback().await,
            Action::BackUp => self.back_up().await,
            Action::Restore => self.restore().await,
            Action::Standbys => self.standbys().await,
            Action::Compare => self.compare().await,
            Action::Image => {
                // Acknowledged before the first byte was copied: each must be in the copy.
                self.imaged = self.promised()?;
                self.survivor_holds().await?;
                let said = self.copies()?.image().await?;
                Ok(format!("{said} after {} acknowledged canaries", self.imaged.len()))
            }
            Action::RecoveryPlan => {
                self.lost_at = Some(Instant::now());
                self.copies()?.plan().await
            }
            Action::Recover => self.copies()?.recover().await,
            Action::ServeCopy => self.serve_copy().await,
            Action::RotatePrepare => {
                let (given, dir) = self.rotation.clone().unwrap_or_default();
                let folder = rotation::folder(&self.client, self.place, given.as_deref(), &dir).await?;
                rotation::prepare(&self.client, &folder).await
            }
            Action::RotatePublish => {
                let (client, victims) = (&self.survivors, &self.plan.victims);
                rotation::step(client, RotationStep::Publish).await?;
                rotation::only_behind(client, victims, self.until).await?;
                rotation::step(client, RotationStep::Cross).await?;
                let version = rotation::only_behind(client, victims, self.until).await?;
                Ok(format!("bundle {version} is acknowledged by everybody but {}", names(victims)))
            }
            Action::RotateRefused => rotation::refused(&self.survivors, &self.plan.victims, self.until).await,
            Action::RotateForced => {
                let without = self.plan.victims.clone();
                rotation::step(&self.survivors, RotationStep::Activate { without }).await?;
                Ok(format!("the new root is in use without {}", names(&self.plan.victims)))
            }
            Action::RotateFollowed => {
                let version = rotation::only_behind(&self.client, &[], self.until).await?;
                Ok(format!("every member verifies by bundle {version}"))
            }
            Action::IssueRefused => self.ca()?.refused(&self.survivors, self.plan).await,
            Action::Unlock => self.ca()?.unlock(&self.survivors, self.plan).await,
            Action::Issue => {
                let before = self.platform_before(self.plan.region)?.epoch;
                let (said, at) = self.ca()?.issue(&self.survivors, self.plan, before).await?;
                if let Some(lost) = self.lost_at {
                    let ms = at.saturating_duration_since(lost).as_secs_f64() * 1_000.0;
                    self.restored_ms.get_or_insert(ms);
                }
                Ok(said)
            }
            Action::Locked => self.ca()?.locked(self.before, self.plan, self.until).await,
            Action::Sweep => {
                let copies = self.copies()?;
                copies.end().await?;
                Ok("every copy and its process are gone".to_owned())
            }
        }
    }

    fn link(&self) -> Result<(eport_model::SiteId, eport_model::SiteId), Error> {
        self.plan.link.ok_or_else(|| Error::coded(DRILL_FAILED, "the plan names no link"))
    }

    fn platform_before(&self, region: eport_model::RegionCode) -> Result<&PlatformStatus, Error> {
        let found = self.before.platforms.iter().find(|p| p.region == region);
        found.ok_or_else(|| Error::coded(DRILL_FAILED, format!("platform {region} is not placed")))
    }

    async fn writes(&self, count: u64) -> Result<String, Error> {
        let goals: Vec<u64> = self.canaries.iter().map(|c| c.acknowledged() + count).collect();
        for (canary, goal) in self.canaries.iter().zip(goals) {
            canary.reach(goal, self.until).await?;
        }
        let seen: Vec<String> = self
            .canaries
            .iter()
            .map(|c| format!("{}: {} acknowledged", c.region, c.acknowledged()))
            .collect();
        Ok(seen.join(", "))
    }

    async fn switchover(&self) -> Result<String, Error> {
        let mut done = Vec::new();
        for p in &self.plan.platforms {
            let to = p.to.ok_or_else(|| Error::coded(DRILL_FAILED, format!("{} has no target", p.region)))?;
            let request = moving::planned("switchover", to);
            let moved = moving::carry_out(&self.client, p.region, &request, self.until, self.out).await?;
            done.push(told(p.region, &moved));
        }
        Ok(done.join(", "))
    }

    async fn failover(&self) -> Result<String, Error> {
        let mut done = Vec::new();
        for p in &self.plan.platforms {
            let before = self.platform_before(p.region)?;
            if before.failover == "auto" {
                let by = moving::automatic(&self.survivors, before, self.until).await?;
                done.push(format!("{}: {} → {by} (automatic)", p.region, p.primary));
                continue;
            }
            let request = moving::failover(p.to);
            let moved = moving::carry_out(&self.survivors, p.region, &request, self.until, self.out).await?;
            done.push(told(p.region, &moved));
        }
        Ok(done.join(", "))
    }

    async fn failback(&self) -> Result<String, Error> {
        let mut done = Vec::new();
        for p in &self.plan.platforms {
            moving::back(&self.client, p.region, p.primary, self.until, self.out).await?;
            done.push(format!("{} is at {}", p.region, p.primary));
        }
        Ok(done.join(", "))
    }

    /// Every backup that was there before is in sync again and at most two seconds of canaries behind.
    async fn follow(&self) -> Result<String, Error> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is small and positive"
        )]
        let most = (self.plan.rate * LEVEL_SECONDS).ceil().max(10.0) as u64;
        for p in &self.plan.platforms {
            let before = self.platform_before(p.region)?;
            wait_for(self.until, async || {
                let now = moving::platform(&self.client, p.region).await.map_err(|e| e.to_string())?;
                let expected = before.backups.iter().map(|b| b.node).chain([before.primary]);
                for node in expected.filter(|n| *n != now.primary) {
                    let Some(b) = now.backups.iter().find(|b| b.node == node) else {
                        return Err(format!("{node} is no backup of {}", p.region));
                    };
                    if !(b.in_sync || now.durability == "async") || b.lag_records > most {
                        return Err(format!("{node} lacks {} records of {}", b.lag_records, p.region));
                    }
                }
                Ok(())
            })
            .await?;
        }
        Ok(format!("every backup is in sync, at most {most} records behind"))
    }

    async fn behind(&self, count: u64) -> Result<String, Error> {
        let node =
            self.plan.behind.ok_or_else(|| Error::coded(DRILL_FAILED, "no backup is behind the cut"))?;
        let region = self.plan.region;
        wait_for(self.until, async || {
            let now = moving::platform(&self.client, region).await.map_err(|e| e.to_string())?;
            let lag = now.backups.iter().find(|b| b.node == node).map_or(0, |b| b.lag_records);
            let seen = format!("{node} is {lag} of {count} records behind");
            if lag >= count { Ok(seen) } else { Err(seen) }
        })
        .await
    }

    fn ca(&self) -> Result<&CaDrill, Error> {
        self.ca.as_ref().ok_or_else(|| Error::coded(DRILL_FAILED, "no CA is known"))
    }

    fn copies(&mut self) -> Result<&mut Copies, Error> {
        self.copies.as_mut().ok_or_else(|| Error::coded(DRILL_FAILED, "the plan names no copies"))
    }

    /// Waits until the node that survives in the copy has what was promised: another backup may have acknowledged it.
    async fn survivor_holds(&self) -> Result<(), Error> {
        let newest = self.imaged.iter().map(|(_, at)| at.index.as_u64()).max().unwrap_or(0);
        let (survivor, region) = (self.plan.survivors.first().copied(), self.plan.region);
        wait_for(self.until, async || {
            let now = moving::platform(&self.client, region).await.map_err(|e| e.to_string())?;
            if survivor == Some(now.primary) {
                return Ok(());
            }
            let lag = now.backups.iter().find(|b| Some(b.node) == survivor).map(|b| b.lag_records);
            match lag {
                Some(lag) if now.records.saturating_sub(lag) >= newest => Ok(()),
                lag => Err(format!("the survivor lacks {lag:?} records")),
            }
        })
        .await
    }

    /// The copy serves: a write is taken, and every canary promised before the copy is found by its number.
    async fn serve_copy(&mut self) -> Result<String, Error> {
        let (region, until, wanted) = (self.plan.region, self.until, self.imaged.clone());
        let copies = self.copies()?;
        let epoch = copies.serve(region, until).await?;
        let found = copies.find(region, &wanted, until).await?;
        if let Some(since) = self.lost_at {
            self.restored_ms = Some(since.elapsed().as_secs_f64() * 1_000.0);
        }
        if found != wanted.len() {
            let detail = format!("{found} of {} canaries are in the recovered copy", wanted.len());
            return Err(Error::coded(DRILL_FAILED, detail));
        }
        Ok(format!("serves in epoch {epoch}; {found} of {found} canaries are there"))
    }

    /// For calls that move whole journals.
    fn patient(&self) -> Client {
        let left = self.until.saturating_duration_since(Instant::now());
        self.client.with_timeout(left.max(Duration::from_secs(1)))
    }

    fn promised(&self) -> Result<Vec<(String, Position)>, Error> {
        let mut all = Vec::new();
        for canary in self.canaries.iter().filter(|c| c.region == self.plan.region) {
            all.extend(copies::positions(&canary.lines()?));
        }
        Ok(all)
    }

    fn backups(&self) -> Result<&Backups, Error> {
        self.backups.as_ref().ok_or_else(|| Error::coded(DRILL_FAILED, "no folder for backups is known"))
    }

    /// What was promised before the backup began must be in it.
    async fn back_up(&mut self) -> Result<String, Error> {
        let promised = self.promised()?;
        let (client, local) = (self.patient(), self.place.dir().is_some());
        let name = self.backups()?.make(&client, self.plan.region, local, self.until).await?;
        let count = promised.len();
        let said = format!("backup {name} after {count} acknowledged canaries");
        self.made = Some((name, promised));
        Ok(said)
    }

    async fn restore(&mut self) -> Result<String, Error> {
        let (name, promised) =
            self.made.clone().ok_or_else(|| Error::coded(DRILL_FAILED, "there is no backup to restore"))?;
        let (backups, region, lineage) = (self.backups()?.clone(), self.plan.region, self.before.lineage);
        let begun = Instant::now();
        let count = promised.len();
        let task = tokio::task::spawn_blocking(move || backups.restore(&name, lineage, region, &promised));
        let (found, last) = task.await.map_err(|e| Error::coded(DRILL_FAILED, e.to_string()))??;
        self.restored_ms = Some(begun.elapsed().as_secs_f64() * 1_000.0);
        Ok(format!("{found} of {count} canaries are in the restored journal, which ends at {last}"))
    }

    async fn standbys(&self) -> Result<String, Error> {
        let promised = self.promised()?;
        let status = moving::status(&self.client).await?;
        let platform = status.platforms.iter().find(|p| p.region == self.plan.region);
        let platform = platform.ok_or_else(|| Error::coded(DRILL_FAILED, "the platform is gone"))?;
        // What was promised just now may still be on its way to a standby that is not waited for.
        self.follow().await?;
        let seen = copies::standbys(&self.patient(), &status, platform, &promised).await?;
        Ok(format!("{} hold all {} acknowledged canaries", names(&seen), promised.len()))
    }

    async fn compare(&self) -> Result<String, Error> {
        let mut done = Vec::new();
        let limit = self.until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let client = self.client.with_timeout(limit.min(Duration::from_secs(90)));
        for p in &self.plan.platforms {
            let path = format!("/v1/platforms/{}/verify", p.region);
            let compared: Value = client.post(&path, &json!({}), Repeat::Safe).await?;
            let replicas = compared["replicas"].as_array().cloned().unwrap_or_default();
            let equal = replicas.iter().filter(|r| r["equal"] == true).count();
            if equal != replicas.len() || equal == 0 {
                let detail = format!("{}: {equal} of {} holders are equal", p.region, replicas.len());
                return Err(Error::coded(VERIFY_DIFFERENCE, detail));
            }
            done.push(format!("{}: {equal} of {equal} holders are equal", p.region));
        }
        Ok(done.join(", "))
    }
}

fn told(region: eport_model::RegionCode, moved: &Value) -> String {
    use crate::output::cell;
    format!(
        "{region}: {} → {}, epoch {} → {}",
        cell(moved, "from"),
        cell(moved, "to"),
        cell(moved, "epoch_before"),
        cell(moved, "epoch_after")
    )
}

fn names<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
