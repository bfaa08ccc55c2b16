//! What verification has shown, for status, warnings and metrics.

use crate::sheet::Sheet;
use crate::state::Api;
use eport_agent::{PlatformSoft, ScrubSoft, SoftState};
use eport_api_types::{CopyStatus, ScrubStatus, Warning, rfc3339};
use eport_model::{NodeId, RegionCode, codes};
use eport_registry::Placement;
use eport_watch::metric;
use std::collections::BTreeMap;
use std::time::Duration;

type Heard = BTreeMap<NodeId, (Duration, SoftState)>;

/// Every copy of a platform that was heard of, the primary's first.
pub(crate) fn copies(p: &Placement, heard: &Heard) -> Vec<CopyStatus> {
    let nodes = std::iter::once(p.primary).chain(p.backups.iter().map(|b| b.node));
    let of = |node: NodeId| {
        let (_, soft) = heard.get(&node)?;
        soft.platforms.iter().find(|s| s.region == p.region).map(|s| copy(node, s))
    };
    nodes.filter_map(of).collect()
}

fn copy(node: NodeId, soft: &PlatformSoft) -> CopyStatus {
    let compared = soft.marks.compared;
    CopyStatus {
        node,
        mark: compared.map(|c| c.index.as_u64()),
        equal: compared.map(|c| c.equal),
        compared: compared.map(|c| rfc3339(c.at)),
        differences: soft.marks.differences,
        scrub: soft.scrub.as_ref().map(scrub),
        archived_files: soft.archive.as_ref().map_or(0, |a| a.files),
        archive_away: soft.archive.as_ref().is_some_and(|a| a.away.is_some()),
    }
}

fn scrub(s: &ScrubSoft) -> ScrubStatus {
    ScrubStatus {
        running: s.running,
        checked_bytes: s.checked_bytes,
        finished: s.finished.map(rfc3339),
        took_s: Duration::from_millis(s.took_ms).as_secs_f64(),
        records: s.records,
        rows: s.rows,
        found: s.found,
        mended: s.mended,
        open: s.open.clone(),
    }
}

/// Damage that is not mended, archives that are away, and rows that differ.
pub(crate) fn warnings(heard: &Heard) -> Vec<Warning> {
    let mut out = Vec::new();
    for (node, (_, soft)) in heard {
        for p in &soft.platforms {
            if let Some(open) = p.scrub.as_ref().and_then(|s| s.open.as_ref()) {
                let text = format!("{node}, {}: {open}", p.region);
                out.push(Warning { code: codes::COPY_DAMAGED.to_string(), text });
            }
            if let Some(file) = p.archive.as_ref().and_then(|a| a.away.as_ref()) {
                let text = format!("{node}, {}: {file} lies in the archive, which is away", p.region);
                out.push(Warning { code: codes::ARCHIVE_AWAY.to_string(), text });
            }
            if let Some(c) = p.marks.compared.filter(|c| !c.equal) {
                let text =
                    format!("{node}, {}: rows at mark {} differ from the primary's", p.region, c.index);
                out.push(Warning { code: codes::STATE_DIFFERS.to_string(), text });
            }
        }
    }
    out
}

/// Gauges of the copies on this node.
pub(crate) fn metrics(api: &Api, sheet: &mut Sheet) {
    for handle in api.agent.platforms() {
        let region: RegionCode = handle.region();
        let label = || [region.to_string()];
        let marks = handle.status().borrow().marks;
        sheet.put_for(&metric::VERIFY_MARK, label(), marks.compared.map_or(0, |c| c.index.as_u64()));
        sheet.put_for(&metric::VERIFY_DIFFERENCES, label(), marks.differences);
        let Some(s) = api.agent.scrub_state(region) else { continue };
        sheet.put_for(&metric::SCRUB_FOUND, label(), s.found);
        sheet.put_for(&metric::SCRUB_MENDED, label(), s.mended);
        sheet.put_for(&metric::SCRUB_CHECKED, label(), s.checked_bytes);
        if let Some(finished) = s.finished {
            let ms = api.now().as_millis().saturating_sub(finished.as_millis()).max(0);
            sheet.put_for(&metric::SCRUB_AGE, label(), ms / 1_000);
        }
    }
}
