//! Putting the start state back: links, processes, primaries, in this order. Every part may be repeated.

use crate::drill::moving;
use crate::drill::place::Place;
use crate::error::Error;
use crate::output::Out;
use eport_api_types::{DrillEnd, DrillItem, DrillNumbers, NodeState, from_rfc3339};
use eport_client::{Client, Method};
use eport_drill::Plan;
use eport_model::codes::NOT_FOUND;
use eport_model::{Coded, Digest, Lineage, NodeId, RegionCode, SiteId};
use eport_registry::{CommandId, DrillFigures, DrillVerdict, statement};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What a drill has to put back. Written down before anything is disturbed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Debt {
    /// The drill.
    pub drill_id: String,
    /// Who served what.
    pub platforms: Vec<(RegionCode, NodeId)>,
    /// Processes that are killed.
    pub victims: Vec<NodeId>,
    /// The link that is cut.
    pub link: Option<(SiteId, SiteId)>,
    /// The federation's history.
    pub lineage: Lineage,
    /// Every node's address.
    pub apis: Vec<String>,
    /// When the drill must be over, milliseconds since 1970.
    pub deadline_ms: i64,
    /// Folder of copies that are taken away, with the processes that run on them.
    #[serde(default)]
    pub copies: Option<std::path::PathBuf>,
    /// A rotation of the root is undone as long as the new one is not in use.
    #[serde(default)]
    pub rotates: bool,
}

impl Debt {
    /// The debt of a plan.
    pub fn of(item: &DrillItem, plan: &Plan, lineage: Lineage, apis: &[String]) -> Self {
        Self {
            drill_id: item.drill_id.clone(),
            platforms: plan.platforms.iter().map(|p| (p.region, p.primary)).collect(),
            victims: plan.victims.clone(),
            link: plan.link,
            lineage,
            apis: apis.to_vec(),
            copies: None,
            rotates: plan.steps.iter().any(|s| s.action == eport_drill::Action::RotatePrepare),
            deadline_ms: from_rfc3339(&item.deadline).map_or(0, |d| d.as_millis()),
        }
    }

    /// Puts everything back that is not. Goes on after an error and reports the first: one thing that stays broken must not
    /// keep the others from being mended.
    pub async fn pay(&self, place: &Place, client: &Client, until: Instant, out: Out) -> Result<(), Error> {
        let mut first = Ok(());
        if let Some(copies) = &self.copies {
            first = first.and(crate::drill::isolated::sweep(copies).await);
        }
        if let Some(link) = self.link {
            first = first.and(place.heal(link, out).await);
        }
        if self.rotates {
            first = first.and(crate::drill::rotation::undo(client).await);
        }
        let gone = self.missing(place, client).await;
        if !gone.is_empty() {
            first = first.and(place.start(&gone, client, until, out).await);
        }
        for (region, home) in &self.platforms {
            match moving::back(client, *region, *home, until, out).await {
                Ok(true) => out.say(format!("{region} is back at {home}"), format!("{region} 已回到 {home}")),
                Ok(false) => {}
                Err(e) => first = first.and(Err(e)),
            }
        }
        first
    }

    /// The victims that do not run: as the machine shows it, elsewhere as the federation does.
    async fn missing(&self, place: &Place, client: &Client) -> Vec<NodeId> {
        if self.victims.is_empty() || matches!(place, Place::Local(_)) {
            return place.exited(&self.victims);
        }
        let Ok(status) = moving::status(client).await else { return self.victims.clone() };
        let down = status.nodes.iter().filter(|n| n.state != NodeState::Up).map(|n| n.node);
        down.filter(|n| self.victims.contains(n)).collect()
    }
}

/// The drill as the registry has it.
pub async fn item(client: &Client, drill_id: &str) -> Result<DrillItem, Error> {
    Ok(client.get(&format!("/v1/drills/{drill_id}"), &[]).await?)
}

/// How a drill is ended.
#[derive(Clone, Debug)]
pub struct Close {
    /// What it showed.
    pub verdict: DrillVerdict,
    /// What was measured.
    pub figures: DrillFigures,
    /// SHA-256 of its report.
    pub report: Option<Digest>,
    /// What is to be said of its end.
    pub note: String,
    /// End it although something is not back.
    pub keep: bool,
}

/// Ends a drill in the registry. One that is over already stays as it ended.
pub async fn close(
    client: &Client,
    drill_id: &str,
    close: &Close,
    until: Instant,
) -> Result<DrillItem, Error> {
    let id: CommandId =
        drill_id.parse().map_err(|e: eport_model::ParseError| Error::coded(NOT_FOUND, e.to_string()))?;
    let note: String = close.note.chars().take(200).collect();
    let f = &close.figures;
    let body = DrillEnd {
        verdict: close.verdict.word().to_owned(),
        figures: DrillNumbers {
            rpo_records: f.rpo_records,
            rpo_ms: f.rpo_ms,
            rto_ms: f.rto_ms,
            write_pause_ms: f.write_pause_ms,
            submitted: f.submitted,
            acknowledged: f.acknowledged,
            present: f.present,
            missing: f.missing,
            duplicated: f.duplicated,
        },
        report: close.report,
        note: note.clone(),
        keep: close.keep,
    };
    let statement = statement::end_drill(id, close.verdict, f, close.report, &note, close.keep);
    loop {
        let path = format!("/v1/drills/{drill_id}/end");
        let error = match client.give::<DrillItem>(Method::POST, &path, &body, &statement).await {
            Ok(item) => return Ok(item),
            Err(error) => error,
        };
        // It may have been ended by this very command, or by the registry's leader after the deadline.
        if let Ok(now) = item(client, drill_id).await
            && now.state == "ended"
        {
            return Ok(now);
        }
        let again = error.may_retry() || error.code() == eport_model::codes::DRILL_AWAY;
        if !again || close.keep || Instant::now() >= until {
            return Err(error.into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
