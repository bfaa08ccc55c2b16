//! The screen of `eport status --watch`: one frame as a function of what was heard, the size of the terminal and the language.
//!
//! Always holds: no line is wider than the terminal and no frame higher; what is left out is counted; control characters of what a node
//! sent never reach the terminal. What is wrong and what to do about it stands above everything else.

use crate::commands::status;
use crate::lang::Lang;
use crate::output::cell;
use crate::table::{Table, char_width, one_line, width};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Narrower terminals get fewer columns of the tables.
const WIDE: usize = 110;
/// Certificates shown: those that end first.
const CERTIFICATES: usize = 5;

/// Room for a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Columns.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

impl Size {
    /// Where there is no terminal: everything is shown.
    pub const UNBOUNDED: Self = Self { columns: usize::MAX, rows: usize::MAX };
}

/// What is known when a frame is drawn.
pub struct Snapshot<'a> {
    /// The newest status; nothing before the first answer.
    pub status: Option<&'a Value>,
    /// The node that was asked.
    pub asked: &'a str,
    /// Why the last question had no answer, if it had none.
    pub trouble: Option<&'a str>,
    /// Seconds since the status came.
    pub age_s: u64,
    /// Now.
    pub now: OffsetDateTime,
}

/// The lines of a frame.
pub fn frame(snapshot: &Snapshot<'_>, size: Size, lang: Lang) -> Vec<String> {
    let mut lines = head(snapshot, lang);
    if let Some(status) = snapshot.status {
        let wide = size.columns >= WIDE;
        let parts = [
            warnings(status, size, lang),
            section(platforms(status, wide, lang), lang.pick(("platforms", "平台"))),
            section(lags(status, lang), lang.pick(("backups behind", "落后的备份"))),
            section(moves(status, lang), lang.pick(("moves under way", "进行中的迁移"))),
            section(nodes(status, wide, lang), lang.pick(("nodes", "节点"))),
            section(
                certificates(status, snapshot.now, lang),
                lang.pick(("certificates that end first", "最先到期的证书")),
            ),
            section(tables(status, wide, lang), lang.pick(("code tables", "码表"))),
        ];
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            lines.push(String::new());
            lines.extend(part);
        }
    }
    fit(lines, size, lang)
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn head(s: &Snapshot<'_>, lang: Lang) -> Vec<String> {
    let time = s.now.format(&Rfc3339).unwrap_or_default();
    let time = time.get(..19).unwrap_or_default().replace('T', " ");
    let mut lines = vec![match (s.status, lang) {
        (Some(v), Lang::En) => format!(
            "eport  {}  {}  leader {} (term {})  {time}Z  from {}",
            cell(v, "federation"),
            cell(v, "mode"),
            cell(v, "leader"),
            cell(v, "term"),
            s.asked
        ),
        (Some(v), Lang::Zh) => format!(
            "eport  {}  {}  注册中心主导 {}（任期 {}）  {time}Z  来自 {}",
            cell(v, "federation"),
            cell(v, "mode"),
            cell(v, "leader"),
            cell(v, "term"),
            s.asked
        ),
        (None, _) => format!("eport  {time}Z  {}", s.asked),
    }];
    if let Some(why) = s.trouble {
        lines.push(match (s.status.is_some(), lang) {
            (true, Lang::En) => format!("! no answer ({why}); what follows is {} s old", s.age_s),
            (true, Lang::Zh) => format!("! 无应答（{why}）；以下内容已有 {} 秒", s.age_s),
            (false, Lang::En) => format!("! no answer ({why})"),
            (false, Lang::Zh) => format!("! 无应答（{why}）"),
        });
    }
    lines
}

/// What is wrong, each with what to do; at most half of the screen.
fn warnings(status: &Value, size: Size, lang: Lang) -> Vec<String> {
    let all = list(status, "warnings");
    if all.is_empty() {
        return vec![lang.pick(("no warnings", "没有警告")).to_owned()];
    }
    let (room, mut lines) = ((size.rows / 2).max(3), Vec::new());
    for (n, warning) in all.iter().enumerate() {
        let code = cell(warning, "code");
        let mut one = wrap(&format!("! {code}  {}", cell(warning, "text")), "  ", size.columns);
        let info = code.parse::<eport_model::Code>().ok().and_then(|c| c.info());
        if let Some(info) = info {
            one.extend(wrap(&format!("  → {}", lang.pick(info.remedy)), "    ", size.columns));
        }
        if n > 0 && lines.len() + one.len() >= room {
            let left = all.len() - n;
            lines.push(lang.pick((
                format!("! and {left} more: eport status"),
                format!("! 另有 {left} 条：eport status"),
            )));
            break;
        }
        lines.extend(one);
    }
    lines
}

fn section(table: Table, title: &str) -> Vec<String> {
    if table.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("[{title}]")];
    lines.extend(table.render().lines().map(str::to_owned));
    lines
}

fn platforms(status: &Value, wide: bool, lang: Lang) -> Table {
    let all = list(status, "platforms");
    if wide {
        return status::platforms(all, lang);
    }
    let mut table = Table::new(lang.pick((
        ["region", "name", "primary", ">epoch", "state", "now"],
        ["区划", "名称", "主节点", ">纪元", "状态", "当前"],
    )));
    for p in all {
        let name = cell(p, lang.pick(("name_en", "name_zh")));
        let [region, primary, epoch, state, now] =
            ["region", "primary", "epoch", "state", "durability_now"].map(|k| cell(p, k));
        table.row([region, name, primary, epoch, state, now]);
    }
    table
}

fn nodes(status: &Value, wide: bool, lang: Lang) -> Table {
    let all = list(status, "nodes");
    if wide {
        return status::nodes(all, lang);
    }
    let mut table = Table::new(
        lang.pick((["node", "state", ">seen (s)", "voter"], ["节点", "状态", ">最近（秒）", "投票"])),
    );
    for n in all {
        table.row(["node", "state", "last_seen_s", "voter"].map(|k| cell(n, k)));
    }
    table
}

/// Backups that are not in sync or lack something.
fn lags(status: &Value, lang: Lang) -> Table {
    let mut table = Table::new(lang.pick((
        ["region", "backup", ">records", ">seconds", "in sync", "shipping"],
        ["区划", "备份", ">记录", ">秒", "同步", "传送"],
    )));
    for p in list(status, "platforms") {
        for b in list(p, "backups") {
            let behind = b["lag_records"].as_u64().unwrap_or(0) > 0 || b["in_sync"] == Value::Bool(false);
            if behind {
                let shipping = match b.get("bootstrap").filter(|v| !v.is_null()) {
                    Some(taken) => format!("{} {}%", cell(taken, "state"), cell(taken, "percent")),
                    None => cell(&b["slot"], "state"),
                };
                let [node, records, seconds, sync] =
                    ["node", "lag_records", "lag_seconds", "in_sync"].map(|k| cell(b, k));
                table.row([cell(p, "region"), node, records, seconds, sync, shipping]);
            }
        }
    }
    table
}

/// Platforms between two states.
fn moves(status: &Value, lang: Lang) -> Table {
    let mut table = Table::new(
        lang.pick((["region", "state", "primary so far", ">epoch"], ["区划", "状态", "原主节点", ">纪元"])),
    );
    for p in list(status, "platforms") {
        if matches!(p["state"].as_str(), Some("switching" | "recovering")) {
            table.row(["region", "state", "primary", "epoch"].map(|k| cell(p, k)));
        }
    }
    table
}

fn certificates(status: &Value, now: OffsetDateTime, lang: Lang) -> Table {
    let ends = |n: &Value| {
        let end = OffsetDateTime::parse(n["certificate_ends"].as_str()?, &Rfc3339).ok()?;
        Some((end, cell(n, "node")))
    };
    let mut all: Vec<(OffsetDateTime, String)> = list(status, "nodes").iter().filter_map(ends).collect();
    all.sort();
    let mut table = Table::new(lang.pick((["node", "ends", ">days left"], ["节点", "到期", ">剩余天数"])));
    for (end, node) in all.into_iter().take(CERTIFICATES) {
        table.row([node, end.date().to_string(), (end - now).whole_days().to_string()]);
    }
    table
}

fn tables(status: &Value, wide: bool, lang: Lang) -> Table {
    let all = list(status, "tables");
    if wide {
        return status::tables_table(all, lang);
    }
    let mut table = Table::new(lang.pick((["table", ">version", ">nodes"], ["码表", ">版本", ">节点数"])));
    for t in all {
        table.row(["name", "version", "installed_nodes"].map(|k| cell(t, k)));
    }
    table
}

/// A text in lines of at most so many columns; those behind the first begin with `indent`.
fn wrap(text: &str, indent: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut used) = (String::new(), 0);
    // Words of Latin script stay whole; between Chinese characters a line may end anywhere.
    let text = one_line(text);
    for piece in pieces(&text) {
        let takes = width(piece);
        if used + width(piece.trim_end()) > columns && !line.trim().is_empty() {
            lines.push(line.trim_end().to_owned());
            (line, used) = (indent.to_owned(), width(indent));
        }
        line.push_str(piece);
        used += takes;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

fn pieces(text: &str) -> Vec<&str> {
    let (mut out, mut start) = (Vec::new(), 0);
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if c == ' ' || char_width(c) == 2 {
            out.push(&text[start..end]);
            start = end;
        }
    }
    out.push(&text[start..]);
    out
}

/// Cuts lines to the width and the frame to the height, and says how much is not shown.
fn fit(mut lines: Vec<String>, size: Size, lang: Lang) -> Vec<String> {
    if lines.len() > size.rows {
        let left = lines.len() - size.rows.saturating_sub(1);
        lines.truncate(size.rows.saturating_sub(1));
        lines.push(lang.pick((format!("… {left} more lines"), format!("… 另有 {left} 行"))));
    }
    lines.iter().map(|l| cut(&one_line(l), size.columns)).collect()
}

fn cut(line: &str, columns: usize) -> String {
    if width(line) <= columns {
        return line.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in line.chars() {
        used += char_width(c);
        if used + 1 > columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status() -> Value {
        json!({
            "federation": "gd", "leader": "gz-a-1", "term": 3, "mode": "production",
            "nodes": [
                {"node": "gz-a-1", "site": "gz-a", "state": "up", "last_seen_s": 0.0, "voter": true, "version": "0.1.0",
                 "certificate_ends": "2026-12-27T00:00:00Z"},
                {"node": "sz-a-1", "site": "sz-a", "state": "down", "last_seen_s": 41.0, "voter": false, "version": "0.1.0",
                 "certificate_ends": "2026-12-01T12:00:00Z"}],
            "platforms": [
                {"region": "440000", "name_zh": "广东省", "name_en": "Guangdong", "kind": "physical", "primary": "gz-a-1",
                 "epoch": 1, "state": "active", "durability": "sync", "durability_now": "replicated", "records": 9,
                 "head_digest": "ba7816bf8f01cfea", "away": false,
                 "backups": [{"node": "sz-a-1", "in_sync": false, "lag_records": 7, "lag_seconds": 12.5, "slot": {"state": "kept"}}]},
                {"region": "440300", "name_zh": "深圳市", "name_en": "Shenzhen", "kind": "physical", "primary": "sz-a-1",
                 "epoch": 2, "state": "recovering", "durability": "sync", "durability_now": "blocked", "records": 12,
                 "head_digest": "00", "away": false, "backups": []}],
            "tables": [{"name": "440000/ports", "version": 2, "rows": 100, "effective": "2026-01-01T00:00:00Z", "installed_nodes": 1}],
            "warnings": [{"code": "EP4167", "text": "the clock of sz-a-1 was set back by 9 s\u{1b}[2J"}],
        })
    }

    fn drawn(columns: usize, rows: usize, lang: Lang, trouble: Option<&str>) -> Vec<String> {
        let status = status();
        let now = OffsetDateTime::from_unix_timestamp(1_795_737_600).unwrap();
        let snapshot =
            Snapshot { status: Some(&status), asked: "https://gz-a-1:8443", trouble, age_s: 4, now };
        frame(&snapshot, Size { columns, rows }, lang)
    }

    #[test]
    fn a_narrow_screen_shows_what_is_wrong_first_and_everything_that_needs_a_look() {
        let text = drawn(72, 60, Lang::En, None).join("\n");
        let wanted = "\
eport  gd  production  leader gz-a-1 (term 3)  2026-11-27 00:00:00Z  fr…

! EP4167  the clock of sz-a-1 was set back by 9 s [2J
  → Correct the clock. If the earlier time was the wrong one, stop the
    node and run eport node clock accept.

[platforms]
region  name       primary  epoch  state       now
440000  Guangdong  gz-a-1       1  active      replicated
440300  Shenzhen   sz-a-1       2  recovering  blocked

[backups behind]
region  backup  records  seconds  in sync  shipping
440000  sz-a-1        7     12.5  no       kept

[moves under way]
region  state       primary so far  epoch
440300  recovering  sz-a-1              2

[nodes]
node    state  seen (s)  voter
gz-a-1  up          0.0  yes
sz-a-1  down       41.0  no

[certificates that end first]
node    ends        days left
sz-a-1  2026-12-01          4
gz-a-1  2026-12-27         30

[code tables]
table         version  nodes
440000/ports        2      1";
        assert_eq!(text, wanted);
    }

    #[test]
    fn the_same_in_chinese_with_every_line_inside_the_terminal() {
        let lines = drawn(60, 60, Lang::Zh, Some("连接被拒绝"));
        assert!(lines[0].starts_with("eport  gd  production  注册中心主导 gz-a-1（任期 3）"), "{lines:#?}");
        assert_eq!(lines[1], "! 无应答（连接被拒绝）；以下内容已有 4 秒");
        assert!(lines.iter().any(|l| l.starts_with("  → 请校正时钟。")), "{lines:#?}");
        assert!(
            lines.iter().any(|l| l == "[落后的备份]") && lines.iter().any(|l| l.contains("深圳市")),
            "{lines:#?}"
        );
        assert!(lines.iter().all(|l| width(l) <= 60), "{lines:#?}");
    }

    #[test]
    fn no_size_breaks_a_frame_and_what_is_left_out_is_counted() {
        for columns in [1, 2, 20, 80, 200] {
            for rows in [1, 2, 10, 24, 100] {
                for lang in [Lang::En, Lang::Zh] {
                    let lines = drawn(columns, rows, lang, Some("gone"));
                    assert!(lines.len() <= rows, "{columns}x{rows}: {}", lines.len());
                    assert!(lines.iter().all(|l| width(l) <= columns), "{columns}x{rows}: {lines:#?}");
                    assert!(!lines.iter().any(|l| l.contains('\u{1b}')), "an escape reaches the terminal");
                }
            }
        }
        assert!(drawn(80, 10, Lang::En, None)[9].starts_with("… "), "the rest is counted");
    }

    #[test]
    fn before_the_first_answer_it_says_why_there_is_none() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let snapshot = Snapshot { status: None, asked: "https://a", trouble: Some("refused"), age_s: 0, now };
        let lines = frame(&snapshot, Size::UNBOUNDED, Lang::En);
        assert_eq!(lines, ["eport  1970-01-01 00:00:00Z  https://a", "! no answer (refused)"]);
    }
}
