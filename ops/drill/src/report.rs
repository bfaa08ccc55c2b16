//! The report of a drill: what was planned, done, measured and judged. Its JSON is what is signed and filed.

use crate::{Criterion, Measured, Objectives, Plan, Text, Verdict};
use eport_model::{Epoch, NodeId, RegionCode};
use serde::{Deserialize, Serialize};

/// One step as it went.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ReportStep {
    /// Name of the step.
    pub name: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// What came of it.
    pub result: String,
    /// Whether it ended as stated.
    pub ok: bool,
}

/// A platform before or after.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StateRow {
    /// The platform.
    pub region: RegionCode,
    /// Its primary.
    pub primary: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Records of its journal.
    pub records: u64,
    /// Backups in sync.
    pub in_sync: Vec<NodeId>,
}

/// The documents of a drill, as the contract names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Documents {
    /// Lodged.
    pub submitted: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Acknowledged and found again under their number.
    pub present: u64,
    /// Acknowledged and not found.
    pub missing: u64,
    /// Business keys found more than once.
    pub duplicated: u64,
}

/// A part of a chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FigureRow {
    /// The drill.
    pub drill_id: String,
    /// Name of its script.
    pub name: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// SHA-256 of its report.
    pub report: String,
}

/// The whole report.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Format of the report; 1.
    pub format: u32,
    /// The drill.
    pub drill_id: String,
    /// Name of the script.
    pub name: String,
    /// One line.
    pub title: Text,
    /// SHA-256 of the script.
    pub script: String,
    /// The plan that was carried out.
    pub plan_id: String,
    /// The platform it was about.
    pub region: RegionCode,
    /// Name of the federation.
    pub federation: String,
    /// Its history's id.
    pub lineage: String,
    /// Who owned it.
    pub operator: String,
    /// Software versions of the nodes.
    pub versions: Vec<String>,
    /// When it began, RFC 3339.
    pub begun: String,
    /// When it ended, RFC 3339.
    pub ended: String,
    /// What it was to be over by, RFC 3339.
    pub deadline: String,
    /// What it showed.
    pub verdict: Verdict,
    /// Why it was ended early.
    pub aborted: Option<String>,
    /// Acknowledged records lost.
    pub rpo_records: u64,
    /// Over how many seconds they were acknowledged.
    pub rpo_seconds: f64,
    /// Recovery time, seconds; `null` when nothing was disturbed or writing never came back.
    pub rto_seconds: Option<f64>,
    /// Longest write pause, milliseconds.
    pub write_pause_ms: Option<f64>,
    /// The canary documents.
    pub documents: Documents,
    /// What must come out.
    pub objectives: Objectives,
    /// What came out, criterion by criterion.
    pub criteria: Vec<Criterion>,
    /// What was disturbed.
    pub disturbed: Vec<String>,
    /// The steps.
    pub steps: Vec<ReportStep>,
    /// Everything measured, platform by platform.
    pub measured: Measured,
    /// Platforms before.
    pub before: Vec<StateRow>,
    /// Platforms after.
    pub after: Vec<StateRow>,
    /// The plan as it was shown.
    pub plan: Option<Plan>,
    /// The drills of a chain.
    pub parts: Vec<FigureRow>,
}

impl Report {
    /// The bytes that are signed and filed.
    pub fn json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("a report has only plain fields");
        text.push(b'\n');
        text
    }

    /// Puts what was measured where the contract names it.
    pub fn set_measured(&mut self, measured: Measured) {
        let d = &measured.documents;
        self.documents = Documents {
            submitted: d.submitted,
            acknowledged: d.acknowledged,
            present: d.present,
            missing: d.missing,
            duplicated: d.duplicated,
        };
        self.rpo_records = measured.rpo_records;
        self.rpo_seconds = measured.rpo_ms / 1_000.0;
        self.rto_seconds = measured.rto_ms.map(|ms| ms / 1_000.0);
        self.write_pause_ms = measured.write_pause_ms;
        self.measured = measured;
    }

    /// The figures of the report as rows for people: title, value.
    pub fn figures(&self) -> Vec<(Text, String)> {
        let d = &self.documents;
        let ms = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"));
        let seconds = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |s| format!("{s:.3} s"));
        vec![
            (
                Text::new("丢失记录 RPO", "records lost (RPO)"),
                format!("{} / {:.1} s", self.rpo_records, self.rpo_seconds),
            ),
            (Text::new("恢复时间 RTO", "recovery time (RTO)"), seconds(self.rto_seconds)),
            (Text::new("最长写入停顿", "longest write pause"), ms(self.write_pause_ms)),
            (Text::new("提交的测试单证", "canaries submitted"), d.submitted.to_string()),
            (Text::new("已确认", "acknowledged"), d.acknowledged.to_string()),
            (Text::new("确认后仍在", "acknowledged and present"), d.present.to_string()),
            (Text::new("丢失", "missing"), d.missing.to_string()),
            (Text::new("重复", "duplicated"), d.duplicated.to_string()),
        ]
    }
}
