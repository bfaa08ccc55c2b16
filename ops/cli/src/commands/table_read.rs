//! `eport table status|versions|find|parents|children|export|changes|impact|late`: looking into a table, and at what depends on it.

use super::table::{as_of_query, path, rows_table};
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use eport_client::{Client, path_segment};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

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

/// `table export`: every row of one version as CSV, page by page into a file that replaces another only when it is whole.
pub async fn export(
    client: &Client,
    name: &str,
    file: &Path,
    as_of: Option<String>,
    out: Out,
) -> Result<(), Error> {
    let document: Value = client.get(&path(name), &as_of_query(as_of.clone())).await?;
    let columns: Vec<&str> =
        document["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let part = file.with_extension("part");
    let failed = |e| Error::file(&part)(e);
    let mut csv = std::io::BufWriter::new(std::fs::File::create(&part).map_err(failed)?);
    writeln!(csv, "{}", line(columns.iter().copied())).map_err(failed)?;
    let (mut rows, mut token) = (0u64, None::<String>);
    loop {
        let mut query = as_of_query(as_of.clone());
        query.push(("limit", "1000".to_owned()));
        query.extend(token.take().map(|t| ("page_token", t)));
        let page: Value = client.get(&format!("{}/rows", path(name)), &query).await?;
        for row in page["items"].as_array().into_iter().flatten() {
            let fields = columns.iter().map(|c| row["fields"][*c].as_str().unwrap_or_default());
            writeln!(csv, "{}", line(fields)).map_err(failed)?;
            rows += 1;
        }
        token = page["next_page_token"].as_str().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    let whole = csv.into_inner().map_err(|e| failed(e.into_error()))?;
    whole.sync_all().map_err(failed)?;
    std::fs::rename(&part, file).map_err(Error::file(file))?;
    let answer = json!({
        "name": document["name"], "version": document["version"], "root": document["root"], "rows": rows,
        "file": file.display().to_string(),
    });
    out.result(&answer, || {
        let (version, file) = (cell(&answer, "version"), file.display());
        out.lang.pick((
            format!("{rows} rows of version {version} in {file}\n"),
            format!("版本 {version} 的 {rows} 行已写入 {file}\n"),
        ))
    });
    Ok(())
}

/// A line of CSV.
fn line<'f>(fields: impl Iterator<Item = &'f str>) -> String {
    let quoted = |f: &str| match f.contains([',', '"', '\n', '\r']) || f.is_empty() {
        // An empty field in quotes, so that a table of one column has no blank line.
        true => format!("\"{}\"", f.replace('"', "\"\"")),
        false => f.to_owned(),
    };
    fields.map(quoted).collect::<Vec<_>>().join(",")
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

/// `table status`
pub async fn status(client: &Client, name: &str, out: Out) -> Result<(), Error> {
    let answer: Value = client.get(&format!("{}/status", path(name)), &[]).await?;
    out.result(&answer, || {
        let mut table = Table::new(["node", ">version", "root", ">bytes", ">seconds"]);
        for n in answer["nodes"].as_array().into_iter().flatten() {
            let root: String = cell(n, "root").chars().take(12).collect();
            table.row([
                cell(n, "node"),
                cell(n, "version"),
                root,
                cell(n, "bytes_fetched"),
                cell(n, "seconds"),
            ]);
        }
        let mut drafts = Table::new([">draft", "root", "by", "since", ">nodes"]);
        for d in answer["drafts"].as_array().into_iter().flatten() {
            let root: String = cell(d, "root").chars().take(12).collect();
            drafts.row([cell(d, "version"), root, cell(d, "by"), cell(d, "since"), cell(d, "staged")]);
        }
        let drafts = if drafts.is_empty() { String::new() } else { drafts.render() };
        format!("{} version {}\n{}{drafts}", cell(&answer, "name"), cell(&answer, "version"), table.render())
    });
    Ok(())
}

/// `table versions`
pub async fn versions(client: &Client, name: &str, out: Out) -> Result<(), Error> {
    let items = client.list(&format!("{}/versions", path(name)), &[]).await?;
    out.items(&items, || {
        let mut table = Table::new([">version", ">rows", "effective", "published", "by", "root"]);
        for v in &items {
            let root: String = cell(v, "root").chars().take(12).collect();
            table.row([
                cell(v, "version"),
                cell(v, "rows"),
                cell(v, "effective"),
                cell(v, "published_at"),
                cell(v, "published_by"),
                root,
            ]);
        }
        table
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::Lang;

    #[test]
    fn an_exported_line_is_read_back_as_the_same_fields() {
        let fields = ["a", "", "x,y", "say \"so\"", "two\nlines", "广州"];
        let file = format!("code,b,c,d,e,f\n{}\n", line(fields.into_iter()));
        let read = eport_codetables::read(file.as_bytes(), &eport_codetables::Options::with_key(["code"]));
        let table = read.unwrap().content.open().unwrap();
        assert_eq!(table.row(0).unwrap().fields().collect::<Vec<_>>(), fields);
    }

    #[test]
    fn uses_of_a_code_are_one_line_with_the_first_places() {
        let uses = json!([{"key": "pc", "kind": "table", "user": "440000/tariff", "field": "unit", "count": 12,
            "places": ["0102", "0103", "0104", "0105"]}]);
        let out = Out { json: false, lang: Lang::En, yes: false };
        let text = uses_text(&uses, out);
        assert!(
            text.contains("440000/tariff") && text.contains("12") && text.contains("0102 0103 0104"),
            "{text}"
        );
        assert!(!text.contains("0105") && uses_text(&json!([]), out).is_empty());
    }
}
