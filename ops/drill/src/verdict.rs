//! From what was measured to a verdict: every objective is a criterion, and every criterion must hold.

use crate::{Measured, Objectives, ReportStep, Text};
use serde::{Deserialize, Serialize};

/// What a drill showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every criterion holds.
    Passed,
    /// At least one does not.
    Failed,
    /// It was ended before it could show anything.
    Aborted,
}

impl Verdict {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Aborted => "aborted",
        }
    }
}

/// One thing that must hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Criterion {
    /// Stable name.
    pub name: String,
    /// What it is, for people.
    pub title: Text,
    /// What was wanted.
    pub wanted: String,
    /// What was found.
    pub found: String,
    /// Whether it holds.
    pub ok: bool,
}

/// How a drill came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// Why it was ended early; a drill that was ended early is aborted, not judged.
    pub aborted: Option<String>,
    /// Every platform is served by whom it was before.
    pub restored: bool,
    /// It was over before its deadline.
    pub in_time: bool,
}

/// Judges a drill.
pub fn judge(
    objectives: &Objectives,
    measured: &Measured,
    steps: &[ReportStep],
    ending: &Ending,
) -> (Verdict, Vec<Criterion>) {
    let mut out = documents(objectives, measured);
    out.extend(times(objectives, measured));
    let failed: Vec<&str> = steps.iter().filter(|s| !s.ok).map(|s| s.name.as_str()).collect();
    let list = if failed.is_empty() { "-".to_owned() } else { failed.join(", ") };
    out.push(criterion(
        "steps",
        ("每一步都按预期结束", "every step ended as stated"),
        "-",
        &list,
        failed.is_empty() && !steps.is_empty(),
    ));
    let word = |yes: bool| if yes { "yes" } else { "no" };
    out.push(criterion(
        "start_state",
        ("已恢复起始状态", "the start state is back"),
        "yes",
        word(ending.restored),
        ending.restored,
    ));
    out.push(criterion(
        "in_time",
        ("在时限内结束", "over before its deadline"),
        "yes",
        word(ending.in_time),
        ending.in_time,
    ));
    let verdict = match (&ending.aborted, out.iter().all(|c| c.ok)) {
        (Some(_), _) => Verdict::Aborted,
        (None, true) => Verdict::Passed,
        (None, false) => Verdict::Failed,
    };
    (verdict, out)
}

fn criterion(name: &str, title: (&str, &str), wanted: &str, found: &str, ok: bool) -> Criterion {
    let title = Text::new(title.0, title.1);
    Criterion { name: name.to_owned(), title, wanted: wanted.to_owned(), found: found.to_owned(), ok }
}

fn documents(objectives: &Objectives, m: &Measured) -> Vec<Criterion> {
    let d = &m.documents;
    let most = |limit: u64| format!("≤ {limit}");
    vec![
        criterion(
            "canaries",
            ("有已确认的测试单证", "canaries were acknowledged"),
            "≥ 1",
            &d.acknowledged.to_string(),
            d.acknowledged > 0,
        ),
        criterion(
            "rpo_records",
            ("已确认而丢失的记录", "acknowledged records lost"),
            &most(objectives.rpo_records),
            &m.rpo_records.to_string(),
            m.rpo_records <= objectives.rpo_records && d.missing <= objectives.rpo_records,
        ),
        criterion(
            "rpo_seconds",
            ("丢失记录的时间跨度（秒）", "over how many seconds they were acknowledged"),
            &format!("≤ {:.1}", objectives.rpo_seconds),
            &format!("{:.1}", m.rpo_ms / 1_000.0),
            m.rpo_ms <= objectives.rpo_seconds * 1_000.0,
        ),
        criterion(
            "once",
            ("重复的业务键", "business keys found twice"),
            &most(0),
            &d.duplicated.to_string(),
            d.duplicated == 0,
        ),
        criterion(
            "answered",
            ("被拒绝或无答复的测试单证", "canaries refused or left without an answer"),
            &most(0),
            &(d.refused + d.unanswered).to_string(),
            d.refused == 0 && d.unanswered == 0,
        ),
    ]
}

fn times(objectives: &Objectives, m: &Measured) -> Vec<Criterion> {
    let mut out = Vec::new();
    // A limit that could not be measured against is not met.
    if let Some(limit) = objectives.rto_seconds {
        let found = m.rto_ms.map_or_else(|| "-".to_owned(), |ms| format!("{:.3}", ms / 1_000.0));
        let ok = m.rto_ms.is_some_and(|ms| ms <= limit * 1_000.0);
        let title = ("恢复时间（秒）", "recovery time (s)");
        out.push(criterion("rto_seconds", title, &format!("≤ {limit:.1}"), &found, ok));
    }
    if let Some(limit) = objectives.write_pause_ms {
        let found = m.write_pause_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
        let ok = m.write_pause_ms.is_some_and(|ms| ms <= limit) && !m.stopped;
        let title = ("写入停顿（毫秒）", "write pause (ms)");
        out.push(criterion("write_pause_ms", title, &format!("≤ {limit:.0}"), &found, ok));
    }
    out
}
