//! The report as Markdown, in both languages side by side.

use crate::{Report, StateRow, Text, Verdict};
use std::fmt::Write;

/// Writes the report. Whatever comes from outside is escaped, so that no name becomes markup.
pub fn markdown(r: &Report) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = head(&mut out, r).and_then(|()| body(&mut out, r));
    out
}

pub(crate) fn verdict_words(verdict: Verdict) -> Text {
    match verdict {
        Verdict::Passed => Text::new("通过", "PASSED"),
        Verdict::Failed => Text::new("未通过", "FAILED"),
        Verdict::Aborted => Text::new("已中止", "ABORTED"),
    }
}

fn head(out: &mut String, r: &Report) -> std::fmt::Result {
    let verdict = verdict_words(r.verdict);
    writeln!(out, "# 演练报告 · Drill report: {} · {}\n", cell(&r.title.zh), cell(&r.title.en))?;
    writeln!(out, "**结论 {} · Verdict {}**\n", verdict.zh, verdict.en)?;
    if let Some(why) = &r.aborted {
        writeln!(out, "{}\n", cell(why))?;
    }
    writeln!(out, "| | |\n| --- | --- |")?;
    for (name, value) in facts(r) {
        writeln!(out, "| {} · {} | {} |", name.zh, name.en, cell(&value))?;
    }
    Ok(())
}

/// What identifies the report.
pub(crate) fn facts(r: &Report) -> Vec<(Text, String)> {
    let dash = |list: &[String]| if list.is_empty() { "-".to_owned() } else { list.join(", ") };
    vec![
        (Text::new("演练", "drill"), format!("{} ({})", r.drill_id, r.name)),
        (Text::new("平台", "platform"), r.region.to_string()),
        (Text::new("联邦", "federation"), format!("{} {}", r.federation, r.lineage)),
        (Text::new("负责人", "owner"), r.operator.clone()),
        (Text::new("开始", "begun"), r.begun.clone()),
        (Text::new("结束", "ended"), r.ended.clone()),
        (Text::new("时限", "deadline"), r.deadline.clone()),
        (Text::new("计划编号", "plan"), r.plan_id.clone()),
        (Text::new("脚本摘要", "script digest"), r.script.clone()),
        (Text::new("扰动对象", "disturbed"), dash(&r.disturbed)),
        (Text::new("软件版本", "software"), dash(&r.versions)),
    ]
}

fn body(out: &mut String, r: &Report) -> std::fmt::Result {
    writeln!(out, "\n## 指标 · Figures\n\n| 指标 | figure | |\n| --- | --- | ---: |")?;
    for (name, value) in r.figures() {
        writeln!(out, "| {} | {} | {} |", name.zh, name.en, cell(&value))?;
    }
    writeln!(
        out,
        "\n## 判定 · Criteria\n\n| 判定项 | criterion | 目标 wanted | 实际 found | |\n| --- | --- | --- | --- | --- |"
    )?;
    for c in &r.criteria {
        let mark = if c.ok { "✓" } else { "✗" };
        writeln!(
            out,
            "| {} | {} | {} | {} | {mark} |",
            c.title.zh,
            c.title.en,
            cell(&c.wanted),
            cell(&c.found)
        )?;
    }
    writeln!(
        out,
        "\n## 步骤 · Steps\n\n| 步骤 step | 开始 started | 秒 s | 结果 result | |\n| --- | --- | ---: | --- | --- |"
    )?;
    for s in &r.steps {
        let mark = if s.ok { "✓" } else { "✗" };
        writeln!(
            out,
            "| {} | {} | {:.3} | {} | {mark} |",
            cell(&s.name),
            cell(&s.started),
            s.seconds,
            cell(&s.result)
        )?;
    }
    if !r.parts.is_empty() {
        writeln!(
            out,
            "\n## 各项演练 · Parts\n\n| 演练 drill | 名称 name | 结论 verdict | 报告摘要 report digest |\n| --- | --- | --- | --- |"
        )?;
        for p in &r.parts {
            let verdict = verdict_words(p.verdict);
            let words = format!("{} {}", verdict.zh, verdict.en);
            writeln!(out, "| {} | {} | {words} | {} |", cell(&p.drill_id), cell(&p.name), cell(&p.report))?;
        }
    }
    if !r.before.is_empty() {
        writeln!(
            out,
            "\n## 起始与结束状态 · Before and after\n\n| 平台 platform | 主节点 primary | 纪元 epoch | 记录 records | 同步备份 in sync |\n| --- | --- | ---: | ---: | --- |"
        )?;
        for (before, after) in r.before.iter().map(|b| (b, r.after.iter().find(|a| a.region == b.region))) {
            row(out, before, after)?;
        }
    }
    let examples = &r.measured.documents.examples;
    if !examples.is_empty() {
        writeln!(out, "\n## 丢失或重复的单证 · Missing or duplicated documents\n")?;
        examples.iter().try_for_each(|e| writeln!(out, "- {}", cell(e)))?;
    }
    Ok(())
}

fn row(out: &mut String, b: &StateRow, a: Option<&StateRow>) -> std::fmt::Result {
    let cells = state_cells(b, a);
    writeln!(out, "| {} |", cells.iter().map(|c| cell(c)).collect::<Vec<_>>().join(" | "))
}

/// Before and after of one platform as cells.
pub(crate) fn state_cells(b: &StateRow, a: Option<&StateRow>) -> [String; 5] {
    let nodes = |s: &StateRow| s.in_sync.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let pair = |of: &dyn Fn(&StateRow) -> String| {
        let (before, after) = (of(b), a.map_or_else(|| "?".to_owned(), of));
        if before == after { before } else { format!("{before} → {after}") }
    };
    [
        b.region.to_string(),
        pair(&|s| s.primary.to_string()),
        pair(&|s| s.epoch.to_string()),
        pair(&|s| s.records.to_string()),
        pair(&nodes),
    ]
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '<' | '[' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
