//! The demo's report: one table that a manager can read, in Chinese and English side by side. Pure.

use crate::demo::reconcile::{Pause, Reconciliation};
use crate::table::Table;
use serde::Serialize;

/// Everything the demo found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Facts {
    /// Folder of the federation.
    pub dir: String,
    /// Nodes and sites.
    pub nodes: usize,
    /// Platforms.
    pub platforms: usize,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// The moves.
    pub moves: Vec<MoveFacts>,
    /// Verifications of platforms.
    pub verified: Vec<Verified>,
    /// Set when all promises were kept.
    pub passed: bool,
    /// What failed, if anything did.
    pub failure: Option<String>,
}

/// One step of the story.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
    /// What came out, in both languages' digits and names.
    pub result: String,
    /// How long it took.
    pub seconds: f64,
    /// True when it ended as promised.
    pub ok: bool,
}

/// What a client saw of one move.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MoveFacts {
    /// `switchover` or `failover`.
    pub kind: String,
    /// The platform.
    pub region: String,
    /// Its Chinese name.
    pub name_zh: String,
    /// Its English name.
    pub name_en: String,
    /// Primary before.
    pub from: String,
    /// Primary after.
    pub to: String,
    /// Epoch before.
    pub epoch_before: u64,
    /// Epoch after.
    pub epoch_after: u64,
    /// From the log of the client process.
    pub pause: Pause,
    /// How long the command took.
    pub move_ms: f64,
    /// Time from the command to the first acknowledgement in the new epoch; failover only.
    pub command_to_write_ms: Option<f64>,
    /// Promises against holdings.
    pub documents: Reconciliation,
}

/// A platform whose holders were compared and whose journal was verified.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verified {
    /// The platform.
    pub region: String,
    /// Holders with equal digests.
    pub equal: usize,
    /// Holders in all.
    pub holders: usize,
    /// Records of the journal.
    pub records: u64,
    /// The digest chain has no gap and no change, and its end is proven.
    pub chain_ok: bool,
}

impl Facts {
    /// Totals over all moves.
    pub fn documents(&self) -> Reconciliation {
        self.moves.iter().fold(Reconciliation::default(), |sum, m| sum.plus(&m.documents))
    }
}

/// The report as text.
pub fn render(facts: &Facts) -> String {
    let head = format!(
        "\n电子口岸联邦演示报告 · eport demonstration report\n{} 个节点，{} 个平台 · {} nodes, {} platforms\n\n",
        facts.nodes, facts.platforms, facts.nodes, facts.platforms
    );
    let mut parts = vec![head + &steps(facts)];
    if !facts.moves.is_empty() {
        parts.push(figures(facts));
    }
    if !facts.verified.is_empty() {
        parts.push(verified(facts));
    }
    parts.join("\n") + "\n" + &verdict(facts)
}

fn steps(facts: &Facts) -> String {
    let mut table = Table::new([">#", "步骤", "step", "结果 result", ">秒 s", ""]);
    for (n, s) in facts.steps.iter().enumerate() {
        let mark = if s.ok { "✓" } else { "✗" };
        table.row([
            (n + 1).to_string(),
            s.zh.clone(),
            s.en.clone(),
            s.result.clone(),
            format!("{:.1}", s.seconds),
            mark.to_owned(),
        ]);
    }
    table.render()
}

fn figures(facts: &Facts) -> String {
    let mut head = vec!["指标".to_owned(), "figure".to_owned()];
    head.extend(facts.moves.iter().map(|m| match m.kind.as_str() {
        "switchover" => ">计划切换 switchover".to_owned(),
        "failover" => ">故障切换 failover".to_owned(),
        other => format!(">{other}"),
    }));
    let mut table = Table::new(head);
    let mut line = |zh: &str, en: &str, value: &dyn Fn(&MoveFacts) -> String| {
        let cells = [zh.to_owned(), en.to_owned()].into_iter().chain(facts.moves.iter().map(value));
        table.row(cells.collect::<Vec<_>>());
    };
    line("平台", "platform", &|m| format!("{} {} {}", m.region, m.name_zh, m.name_en));
    line("主节点", "primary", &|m| format!("{} → {}", m.from, m.to));
    line("纪元", "epoch", &|m| format!("{} → {}", m.epoch_before, m.epoch_after));
    line("提交单证", "documents submitted", &|m| m.documents.submitted.to_string());
    line("已确认", "acknowledged", &|m| m.documents.acknowledged.to_string());
    line("确认后仍在", "acknowledged and present", &|m| m.documents.present.to_string());
    line("丢失", "lost", &|m| m.documents.missing.to_string());
    line("重复", "duplicated", &|m| m.documents.duplicated.to_string());
    line("命令用时（毫秒）", "command took (ms)", &|m| format!("{:.0}", m.move_ms));
    line("写入停顿（毫秒）", "write pause (ms)", &|m| format!("{:.0}", m.pause.write_pause_ms));
    line("最慢答复（毫秒）", "slowest answer (ms)", &|m| format!("{:.0}", m.pause.slowest_ms));
    line("失败的尝试（均已重试成功）", "failed attempts (all repeated)", &|m| {
        m.pause.failed_attempts.to_string()
    });
    line("命令至首次写入（毫秒）", "command to first write (ms)", &|m| {
        m.command_to_write_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"))
    });
    table.render()
}

fn verified(facts: &Facts) -> String {
    let mut table =
        Table::new(["平台 platform", ">副本一致 equal replicas", ">记录 records", "摘要链 digest chain"]);
    for v in &facts.verified {
        let chain = if v.chain_ok { "完整 intact" } else { "不符 BROKEN" };
        table.row([
            v.region.clone(),
            format!("{}/{}", v.equal, v.holders),
            v.records.to_string(),
            chain.to_owned(),
        ]);
    }
    table.render()
}

fn verdict(facts: &Facts) -> String {
    let d = facts.documents();
    if facts.passed {
        return format!(
            "结论：通过。已确认 {} = 现存 {}，丢失 {}，重复 {}。\nVerdict: PASSED. acknowledged {} = present {}, lost {}, duplicated {}.\n",
            d.acknowledged,
            d.present,
            d.missing,
            d.duplicated,
            d.acknowledged,
            d.present,
            d.missing,
            d.duplicated
        );
    }
    let why = facts.failure.clone().unwrap_or_else(|| d.examples.join(", "));
    format!("结论：未通过。{why}\nVerdict: FAILED. {why}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::reconcile::{Held, pause, reconcile};
    use crate::load::log;

    /// A client's log as a load writes it: two acknowledgements around a pause of 190 ms, one repetition.
    const LOG: &str = r#"{"line":"start","platform":"440500","rate":100.0,"prefix":"SW","at_ms":1000.0,"pid":7}
{"line":"attempt","number":1,"attempt":1,"client_ref":"SW-0000001","api":"https://127.0.0.1:1","sent_ms":1000.0,"done_ms":1008.0,"outcome":"acknowledged","status":201,"code":null,"detail":null,"doc_id":"E1","durability":"replicated","epoch":1,"index":2}
{"line":"attempt","number":2,"attempt":1,"client_ref":"SW-0000002","api":"https://127.0.0.1:1","sent_ms":1010.0,"done_ms":1090.0,"outcome":"unknown","status":503,"code":"EP3002","detail":"waits","doc_id":null,"durability":null,"epoch":null,"index":null}
{"line":"attempt","number":2,"attempt":2,"client_ref":"SW-0000002","api":"https://127.0.0.1:2","sent_ms":1100.0,"done_ms":1198.0,"outcome":"repeated","status":200,"code":null,"detail":null,"doc_id":"E2","durability":"replicated","epoch":2,"index":5}
{"line":"end","submitted":2,"acknowledged":2,"refused":0,"unanswered":0}
"#;

    fn facts(held: &[(&str, &str)]) -> Facts {
        let lines = log::parse(LOG).unwrap();
        let held: Vec<Held> =
            held.iter().map(|(r, d)| Held { client_ref: (*r).into(), doc_id: (*d).into() }).collect();
        let documents = reconcile(&lines, &held);
        let passed = documents.is_clean();
        Facts {
            dir: "/tmp/x".into(),
            nodes: 4,
            platforms: 4,
            steps: vec![Step {
                zh: "启动联邦".into(),
                en: "start the federation".into(),
                result: "4/4".into(),
                seconds: 2.04,
                ok: true,
            }],
            moves: vec![MoveFacts {
                kind: "switchover".into(),
                region: "440500".into(),
                name_zh: "汕头市".into(),
                name_en: "Shantou".into(),
                from: "gz-a-2".into(),
                to: "sz-a-1".into(),
                epoch_before: 1,
                epoch_after: 2,
                pause: pause(&lines, 1005.0, 1150.0),
                move_ms: 145.0,
                command_to_write_ms: None,
                documents,
            }],
            verified: vec![Verified {
                region: "440500".into(),
                equal: 3,
                holders: 3,
                records: 9,
                chain_ok: true,
            }],
            passed,
            failure: None,
        }
    }

    #[test]
    fn the_report_of_a_kept_promise_says_so_in_both_languages_with_the_numbers_of_the_log() {
        let text = render(&facts(&[("SW-0000001", "E1"), ("SW-0000002", "E2")]));
        assert!(text.contains("结论：通过。已确认 2 = 现存 2，丢失 0，重复 0。"), "{text}");
        assert!(text.contains("Verdict: PASSED. acknowledged 2 = present 2, lost 0, duplicated 0."));
        let pause = text.lines().find(|l| l.contains("write pause (ms)")).unwrap();
        assert!(pause.trim_end().ends_with("190"), "{pause}");
        assert!(text.contains("gz-a-2 → sz-a-1") && text.contains("3/3") && text.contains("完整 intact"));
    }

    #[test]
    fn the_report_of_a_lost_document_names_it_and_fails() {
        let facts = facts(&[("SW-0000001", "E1")]);
        let text = render(&facts);
        assert!(!facts.passed);
        assert!(text.contains("Verdict: FAILED. SW-0000002"), "{text}");
    }
}
