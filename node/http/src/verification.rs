//! What verification has shown, for status, warnings and metrics.

use crate::state::Api;
use eport_agent::{PlatformSoft, ScrubSoft, SoftState};
use eport_api_types::{CopyStatus, ScrubStatus, Warning, rfc3339};
use eport_model::{NodeId, RegionCode, codes};
use eport_registry::Placement;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;
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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    region: String,
}

/// Gauges of the copies on this node.
pub(crate) fn metrics(api: &Api, registry: &mut Registry) {
    let family = || Family::<Labels, Gauge>::default();
    let (mark, differences, found, mended, checked, age) =
        (family(), family(), family(), family(), family(), family());
    for handle in api.agent.platforms() {
        let region: RegionCode = handle.region();
        let labels = Labels { region: region.to_string() };
        let set = |f: &Family<Labels, Gauge>, v: u64| {
            f.get_or_create(&labels).set(i64::try_from(v).unwrap_or(i64::MAX));
        };
        let marks = handle.status().borrow().marks;
        set(&mark, marks.compared.map_or(0, |c| c.index.as_u64()));
        set(&differences, marks.differences);
        let Some(s) = api.agent.scrub_state(region) else { continue };
        set(&found, s.found);
        set(&mended, s.mended);
        set(&checked, s.checked_bytes);
        if let Some(finished) = s.finished {
            let ms = api.now().as_millis().saturating_sub(finished.as_millis()).max(0);
            set(&age, u64::try_from(ms / 1_000).unwrap_or(0));
        }
    }
    registry.register("verify_mark_index", "Last checksum mark at which rows here were compared", mark);
    registry.register(
        "verify_differences_total",
        "Marks at which rows here differed from the primary's; any rise means a person must look",
        differences,
    );
    registry.register(
        "scrub_found_total",
        "Damage found in what is stored here; a rise means a bad disk",
        found,
    );
    registry.register(
        "scrub_mended_total",
        "Of the damage found, mended; less than found means work",
        mended,
    );
    registry.register("scrub_checked_bytes", "Bytes looked at in this pass over a copy", checked);
    registry.register("scrub_age_seconds", "Seconds since a copy was looked through as a whole", age);
}
