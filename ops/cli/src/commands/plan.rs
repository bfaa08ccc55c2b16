//! `eport plan`: advice before a disaster.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::lang::Lang;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use serde_json::Value;

/// Arguments of `eport plan`.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PlanCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum PlanCommand {
    /// Say who should back whom, and what the loss of each site and pair of sites costs
    Backups {
        /// Show losses that cost nothing too
        #[arg(long)]
        all: bool,
    },
}

/// Runs the group.
pub async fn run(args: PlanArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    let PlanCommand::Backups { all } = args.command;
    let plan: Value = client.get("/v1/plan/backups", &[]).await?;
    out.result(&plan, || screen(&plan, all, out.lang));
    Ok(())
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The whole answer as text.
fn screen(plan: &Value, all: bool, lang: Lang) -> String {
    let mut parts = vec![backups(list(plan, "platforms"), lang).render()];
    let commands: Vec<String> = list(plan, "platforms")
        .iter()
        .filter_map(|p| p["command"].as_str())
        .map(|c| format!("  {c}\n"))
        .collect();
    if !commands.is_empty() {
        let head = lang.pick(("to carry the proposals out:\n", "执行以上建议：\n"));
        parts.push(format!("{head}{}", commands.concat()));
    }
    let lines: String = list(plan, "losses").iter().filter_map(|l| loss_line(l, all, lang)).collect();
    parts.push(if lines.is_empty() {
        lang.pick(("no loss of one or two sites costs anything\n", "失去任何一个或两个站点都没有损失\n"))
            .to_owned()
    } else {
        lines
    });
    let warnings: String = list(plan, "warnings")
        .iter()
        .map(|w| format!("! {}  {}\n", cell(w, "code"), cell(w, "text")))
        .collect();
    if !warnings.is_empty() {
        parts.push(warnings);
    }
    parts.join("\n")
}

fn backups(platforms: &[Value], lang: Lang) -> Table {
    let mut table = Table::new(lang.pick((
        ["region", "name", "primary", "backups now", "should be", "why"],
        ["地区", "名称", "主节点", "现有备份", "建议备份", "理由"],
    )));
    for p in platforms {
        let name = cell(p, lang.pick(("name_en", "name_zh")));
        let (mut nodes, mut why) = (Vec::new(), Vec::new());
        for b in list(p, "proposed") {
            nodes.push(cell(b, "node"));
            let words = list(b, "reasons").iter().filter_map(Value::as_str).map(|r| reason(r, lang));
            why.push(words.collect::<Vec<_>>().join("+"));
        }
        if p["short"].as_u64().unwrap_or(0) > 0 {
            nodes.push(lang.pick((format!("({} missing)", p["short"]), format!("（缺 {}）", p["short"]))));
        }
        let mark = if p["changed"] == true { "→ " } else { "= " };
        let primary = format!("{} ({})", cell(p, "primary"), cell(p, "site"));
        let proposal = format!("{mark}{}", nodes.join(","));
        table.row([cell(p, "region"), name, primary, cell(p, "current"), proposal, why.join(", ")]);
    }
    table
}

fn reason(word: &str, lang: Lang) -> String {
    match word {
        "kept" => lang.pick(("kept", "保留")).to_owned(),
        "province" => lang.pick(("province", "省级")).to_owned(),
        "city" => lang.pick(("city", "市级")).to_owned(),
        "silent" => lang.pick(("silent now", "目前无应答")).to_owned(),
        other => match other.strip_prefix("shares:") {
            Some(label) => lang.pick((format!("shares {label}"), format!("共用 {label}"))),
            None => other.to_owned(),
        },
    }
}

/// `if SITES burn: …`; `None` where nothing is lost, unless all are wanted.
fn loss_line(loss: &Value, all: bool, lang: Lang) -> Option<String> {
    let worst = loss["worst"].as_str().unwrap_or("");
    let quorum = loss["quorum_lost"] == true;
    // Single sites are always told: they are the question.
    if worst == "nothing" && !quorum && !all && loss["because"] != "site" {
        return None;
    }
    let sites = cell(loss, "sites").replace(',', " + ");
    let because = match loss["because"].as_str().unwrap_or("") {
        "site" | "pair" => String::new(),
        label => format!(" ({label})"),
    };
    let mut said: Vec<String> = Vec::new();
    if quorum {
        said.push(lang.pick(("the registry's quorum", "注册中心多数")).to_owned());
    }
    said.extend(list(loss, "platforms").iter().map(|p| platform(p, lang)));
    if said.is_empty() {
        said.push(lang.pick(("nothing", "无损失")).to_owned());
    }
    let after = loss["worst_after"].as_str().unwrap_or("");
    let tail = if after == worst {
        String::new()
    } else {
        lang.pick((
            format!("  [as proposed: {}]", class(after, lang)),
            format!("  [按建议：{}]", class(after, lang)),
        ))
    };
    let head = lang.pick((
        format!("if {sites}{because} burns you lose: "),
        format!("如果失去 {sites}{because}，损失："),
    ));
    Some(format!("{head}{}{tail}\n", said.join(lang.pick(("; ", "；")))))
}

fn platform(p: &Value, lang: Lang) -> String {
    let what = class(p["class"].as_str().unwrap_or(""), lang);
    let records =
        p["records"].as_u64().map(|n| lang.pick((format!(" ({n} records)"), format!("（{n} 条）"))));
    let service = match p["service"].as_str().unwrap_or("") {
        "fails_over" => lang.pick((", fails over by itself", "，自动切换")),
        "operator" => lang.pick((", waits for platform failover", "，等待 platform failover")),
        "blocked" => lang.pick((", writes wait", "，写入等待")),
        "no_quorum" => lang.pick((", waits for the registry", "，等待注册中心")),
        "local" => lang.pick((", answers local", "，应答仅本地")),
        _ => "",
    };
    format!("{} {what}{}{service}", cell(p, "region"), records.unwrap_or_default())
}

fn class(word: &str, lang: Lang) -> &'static str {
    match word {
        "platform_unavailable" => lang.pick(("unavailable", "不可用")),
        "unreplicated_tail" => lang.pick(("the unreplicated tail", "未复制的尾部")),
        "data_lost" => lang.pick(("everything", "全部数据")),
        _ => lang.pick(("nothing", "无损失")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan() -> Value {
        json!({
            "platforms": [{"region": "440300", "name_zh": "深圳市", "name_en": "Shenzhen", "primary": "sz-a-1",
                "site": "sz-a", "current": [], "proposed": [{"node": "gz-a-1", "site": "gz-a",
                "reasons": ["province", "shares:power=grid-1"]}], "short": 1, "changed": true,
                "command": "eport platform policy 440300 --backup gz-a-1:sync"}],
            "losses": [
                {"sites": ["sz-a"], "because": "site", "quorum_lost": false, "worst": "data_lost",
                 "worst_after": "nothing", "platforms": [{"region": "440300", "class": "data_lost",
                 "class_after": "nothing", "service": "gone", "records": 7, "survivors": []}]},
                {"sites": ["gz-a"], "because": "site", "quorum_lost": false, "worst": "nothing",
                 "worst_after": "nothing", "platforms": []},
                {"sites": ["gz-a", "gz-c"], "because": "pair", "quorum_lost": false, "worst": "nothing",
                 "worst_after": "nothing", "platforms": []}],
            "warnings": [{"code": "EP2151", "text": "weak"}]
        })
    }

    #[test]
    fn every_site_is_told_and_a_pair_only_when_it_costs_something() {
        let text = screen(&plan(), false, Lang::En);
        assert!(
            text.contains("if sz-a burns you lose: 440300 everything (7 records)  [as proposed: nothing]"),
            "{text}"
        );
        assert!(text.contains("if gz-a burns you lose: nothing"), "{text}");
        assert!(!text.contains("gz-a + gz-c") && screen(&plan(), true, Lang::En).contains("gz-a + gz-c"));
        assert!(
            text.contains("→ gz-a-1,(1 missing)") && text.contains("province+shares power=grid-1"),
            "{text}"
        );
        assert!(text.contains("eport platform policy 440300") && text.contains("! EP2151  weak"));
    }

    #[test]
    fn the_same_is_told_in_chinese() {
        let text = screen(&plan(), false, Lang::Zh);
        assert!(text.contains("如果失去 sz-a，损失：440300 全部数据（7 条）"), "{text}");
        assert!(text.contains("深圳市"));
    }
}
