//! `eport table find|parents|children|changes|impact|late`: looking into a table, and at what depends on it.

use super::table::{as_of_query, path, rows_table};
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use eport_client::{Client, path_segment};
use serde_json::{Value, json};

/// Rows with the columns of their table.
async fn print_rows(
    client: &Client,
    name: &str,
    as_of: Option<String>,
    answer: Value,
    out: Out,
) -> Result<(), Error> {
    let document: Value = client.get(&path(name), &as_of_query(as_of)).await?;
    let items = answer["items"].as_array().cloned().unwrap_or_default();
    out.result(&answer, || {
        let more = match answer["next_page_token"].is_string() {
            true => out.lang.pick(("more rows follow\n", "还有更多行\n")),
            false => "",
        };
        rows_table(&document, &items).render() + more
    });
    Ok(())
}

/// `table find`
pub async fn find(
    client: &Client,
    name: &str,
    text: &str,
    as_of: Option<String>,
    limit: u32,
    prefix: bool,
    out: Out,
) -> Result<(), Error> {
    let mut query = as_of_query(as_of.clone());
    query.push((if prefix { "prefix" } else { "q" }, text.to_owned()));
    query.push(("limit", limit.clamp(1, 1_000).to_string()));
    let answer: Value = client.get(&format!("{}/rows", path(name)), &query).await?;
    print_rows(client, name, as_of, answer, out).await
}

/// `table parents`
pub async fn parents(
    client: &Client,
    name: &str,
    key: &str,
    as_of: Option<String>,
    out: Out,
) -> Result<(), Error> {
    let at = format!("{}/rows/{}/parents", path(name), path_segment(key));
    let answer: Value = client.get(&at, &as_of_query(as_of.clone())).await?;
    print_rows(client, name, as_of, answer, out).await
}

/// `table children`
pub async fn children(
    client: &Client,
    name: &str,
    key: Option<&str>,
    as_of: Option<String>,
    out: Out,
) -> Result<(), Error> {
    let at = match key {
        Some(key) => format!("{}/rows/{}/children", path(name), path_segment(key)),
        None => format!("{}/roots", path(name)),
    };
    let items = client.list(&at, &as_of_query(as_of.clone())).await?;
    print_rows(client, name, as_of, json!({ "items": items }), out).await
}

/// `table changes`
pub async fn changes(
    client: &Client,
    name: &str,
    after: Option<String>,
    limit: u32,
    out: Out,
) -> Result<(), Error> {
    let mut query = vec![("limit", limit.to_string())];
    query.extend(after.map(|token| ("after", token)));
    let answer: Value = client.get(&format!("{}/changes", path(name)), &query).await?;
    out.result(&answer, || {
        let mut text = String::new();
        for change in answer["items"].as_array().into_iter().flatten() {
            let mark = match change["op"].as_str() {
                Some("added") => '+',
                Some("removed") => '-',
                _ => '~',
            };
            text.push_str(&format!("{mark} {} ({})\n", cell(change, "key"), cell(change, "version")));
        }
        let next = cell(&answer, "next");
        text + &out.lang.pick((format!("go on with --after {next}\n"), format!("继续：--after {next}\n")))
    });
    Ok(())
}

/// Uses of codes that go, a line each; nothing when there are none.
pub(super) fn uses_text(uses: &Value, out: Out) -> String {
    let mut table = Table::new(out.lang.pick((
        ["code that goes", "used by", "field", ">times", "first places"],
        ["将删除的代码", "使用方", "字段", ">次数", "首批位置"],
    )));
    for used in uses.as_array().into_iter().flatten() {
        let places: Vec<&str> =
            used["places"].as_array().into_iter().flatten().filter_map(Value::as_str).take(3).collect();
        table.row([
            cell(used, "key"),
            cell(used, "user"),
            cell(used, "field"),
            cell(used, "count"),
            places.join(" "),
        ]);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

/// Which platforms were looked at, and how far.
fn looks_text(answer: &Value, out: Out) -> String {
    let mut text = String::new();
    for look in answer["platforms"].as_array().into_iter().flatten() {
        let (region, documents) = (cell(look, "region"), cell(look, "documents"));
        let more = match look["complete"] == true {
            true => "",
            false => out.lang.pick((", there are more", "，未全部查看")),
        };
        text.push_str(&out.lang.pick((
            format!("{region}: {documents} documents looked at{more}\n"),
            format!("{region}：已查看 {documents} 份单证{more}\n"),
        )));
    }
    text
}

/// `table impact`
pub async fn impact(client: &Client, name: &str, version: u64, out: Out) -> Result<(), Error> {
    let answer: Value = client.get(&format!("{}/versions/{version}/impact", path(name)), &[]).await?;
    out.result(&answer, || {
        let (removed, found) = (cell(&answer, "removed"), cell(&answer, "found"));
        let head = out.lang.pick((
            format!("{} version {version} drops {removed} codes; {found} uses\n", cell(&answer, "name")),
            format!("{} 版本 {version} 删除 {removed} 个代码；{found} 处使用\n", cell(&answer, "name")),
        ));
        head + &uses_text(&answer["items"], out) + &looks_text(&answer, out)
    });
    Ok(())
}

/// `table late`
pub async fn late(client: &Client, name: &str, out: Out) -> Result<(), Error> {
    let answer: Value = client.get(&format!("{}/late", path(name)), &[]).await?;
    out.result(&answer, || {
        let mut table = Table::new(out.lang.pick((
            ["document", "platform", "received", ">judged by", ">in force"],
            ["单证", "平台", "收到时间", ">所用版本", ">生效版本"],
        )));
        for d in answer["items"].as_array().into_iter().flatten() {
            table.row(["doc_id", "region", "received_at", "used", "in_force"].map(|k| cell(d, k)));
        }
        table.render() + &looks_text(&answer, out)
    });
    Ok(())
}
