//! The report as one HTML page without scripts and without anything from elsewhere.

use crate::markdown::{facts, state_cells, verdict_words};
use crate::{Report, Verdict};

const STYLE: &str = "body{font:15px/1.5 system-ui,\"Noto Sans CJK SC\",sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1a1a1a}\
table{border-collapse:collapse;margin:.5rem 0 1.5rem;width:100%}th,td{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}\
th{background:#f3f3f3}.passed{color:#0a6b2d}.failed{color:#a80000}.aborted{color:#8a5a00}";

/// Writes the page. Whatever comes from outside is escaped.
pub fn html(r: &Report) -> String {
    let verdict = verdict_words(r.verdict);
    let class = match r.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Aborted => "aborted",
    };
    let title = format!("{} · {}", r.title.zh, r.title.en);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"zh\"><head><meta charset=\"utf-8\"><title>{t}</title><style>{STYLE}</style></head><body>\n\
         <h1>演练报告 · Drill report</h1>\n<h2>{t}</h2>\n<p class=\"{class}\"><strong>结论 {} · Verdict {}</strong></p>\n",
        verdict.zh,
        verdict.en,
        t = escape(&title),
    );
    if let Some(why) = &r.aborted {
        out.push_str(&format!("<p>{}</p>\n", escape(why)));
    }
    let facts = facts(r).into_iter().map(|(n, v)| vec![format!("{} · {}", n.zh, n.en), v]);
    table(&mut out, &[], facts);
    out.push_str("<h2>指标 · Figures</h2>\n");
    let figures = r.figures().into_iter().map(|(n, v)| vec![n.zh, n.en, v]);
    table(&mut out, &["指标", "figure", ""], figures);
    out.push_str("<h2>判定 · Criteria</h2>\n");
    let criteria = r
        .criteria
        .iter()
        .map(|c| vec![c.title.zh.clone(), c.title.en.clone(), c.wanted.clone(), c.found.clone(), mark(c.ok)]);
    table(&mut out, &["判定项", "criterion", "目标 wanted", "实际 found", ""], criteria);
    out.push_str("<h2>步骤 · Steps</h2>\n");
    let steps = r.steps.iter().map(|s| {
        vec![s.name.clone(), s.started.clone(), format!("{:.3}", s.seconds), s.result.clone(), mark(s.ok)]
    });
    table(&mut out, &["步骤 step", "开始 started", "秒 s", "结果 result", ""], steps);
    if !r.parts.is_empty() {
        out.push_str("<h2>各项演练 · Parts</h2>\n");
        let parts = r.parts.iter().map(|p| {
            let v = verdict_words(p.verdict);
            vec![p.drill_id.clone(), p.name.clone(), format!("{} {}", v.zh, v.en), p.report.clone()]
        });
        table(&mut out, &["演练 drill", "名称 name", "结论 verdict", "报告摘要 report digest"], parts);
    }
    if !r.before.is_empty() {
        out.push_str("<h2>起始与结束状态 · Before and after</h2>\n");
        let rows =
            r.before.iter().map(|b| state_cells(b, r.after.iter().find(|a| a.region == b.region)).to_vec());
        let heads = ["平台 platform", "主节点 primary", "纪元 epoch", "记录 records", "同步备份 in sync"];
        table(&mut out, &heads, rows);
    }
    let examples = &r.measured.documents.examples;
    if !examples.is_empty() {
        out.push_str("<h2>丢失或重复的单证 · Missing or duplicated documents</h2>\n<ul>\n");
        out.extend(examples.iter().map(|e| format!("<li>{}</li>\n", escape(e))));
        out.push_str("</ul>\n");
    }
    out.push_str("</body></html>\n");
    out
}

fn mark(ok: bool) -> String {
    if ok { "✓" } else { "✗" }.to_owned()
}

fn table(out: &mut String, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    out.push_str("<table>\n");
    if !heads.is_empty() {
        let heads: String = heads.iter().map(|h| format!("<th>{}</th>", escape(h))).collect();
        out.push_str(&format!("<tr>{heads}</tr>\n"));
    }
    for row in rows {
        let cells: String = row.iter().map(|c| format!("<td>{}</td>", escape(c))).collect();
        out.push_str(&format!("<tr>{cells}</tr>\n"));
    }
    out.push_str("</table>\n");
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
