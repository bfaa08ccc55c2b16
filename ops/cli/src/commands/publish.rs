//! Publishing a table under the operator's signature.
//!
//! A node reads the file first and says what it found. Then the program reads the file itself: what is signed is the root of
//! the rows on this machine, so no node can publish other rows in the operator's name.

use crate::error::Error;
use eport_catalog::parse_instant;
use eport_client::{Client, Statement, TableFile};
use eport_codetables::{Options, read_csv};
use eport_model::codes::{BAD_REQUEST, TABLE_IMPORT_REFUSED, VERIFY_DIFFERENCE};
use eport_registry::{TableId, statement};
use serde_json::Value;

/// Sends a file: read and compared first, then published under a signature unless it is a dry run.
pub async fn import(client: &Client, table: &str, file: TableFile) -> Result<Value, Error> {
    if file.options["dry_run"] == true {
        return send(client, table, file, None).await;
    }
    let found = send(client, table, asking(&file, "dry_run", true.into()), None).await?;
    if found.get("error").is_some_and(|e| !e.is_null()) {
        return Ok(found);
    }
    let statement = statement_of(&file, &found)?;
    let version = found["version"].clone();
    send(client, table, asking(&file, "version", version), Some(&statement)).await
}

fn asking(file: &TableFile, name: &str, value: Value) -> TableFile {
    let mut file = file.clone();
    file.options[name] = value;
    file
}

/// A refusal is an answer too: the same object with `published: false` and `error`.
async fn send(
    client: &Client,
    table: &str,
    file: TableFile,
    statement: Option<&Statement>,
) -> Result<Value, Error> {
    match client.import_table(table, file, statement).await {
        Err(error) => match error.problem().map(|p| (p.more.clone(), p.code.clone())) {
            Some((more, code)) if more.contains_key("problems") => {
                let mut answer = Value::Object(more);
                answer["published"] = false.into();
                if !code.is_empty() {
                    answer["error"] = code.into();
                }
                Ok(answer)
            }
            _ => Err(error.into()),
        },
        Ok(answer) => Ok(answer),
    }
}

/// What is signed: the rows as they are here, under the name and number that the node found free.
fn statement_of(file: &TableFile, found: &Value) -> Result<Statement, Error> {
    let bad = |detail: String| Error::coded(BAD_REQUEST, detail);
    let name = found["name"].as_str().unwrap_or_default();
    let (owner, short) = name.split_once('/').ok_or_else(|| bad(format!("{name:?} is not OWNER/NAME")))?;
    let owner = owner.parse().map_err(|e: eport_model::ParseError| bad(e.to_string()))?;
    let table = TableId::table(owner, short);
    let parsed = read_csv(&file.content, &options(&file.options)?)
        .map_err(|e| Error::coded(TABLE_IMPORT_REFUSED, e.to_string()))?;
    let content = parsed.content;
    if found["root"] != content.root.to_string() {
        let detail =
            format!("the node found root {} in the file, here it is {}", found["root"], content.root);
        return Err(Error::coded(VERIFY_DIFFERENCE, detail));
    }
    let effective = match file.options["effective"].as_str() {
        Some(text) => Some(parse_instant(text).map_err(|e| bad(format!("effective: {e}")))?),
        None => None,
    };
    let schema = serde_json::to_string(&content.schema).map_err(|e| bad(e.to_string()))?;
    let version = found["version"].as_u64().unwrap_or_default();
    Ok(statement::publish_table(&table, version, content.root, content.rows, effective, &schema))
}

fn options(from: &Value) -> Result<Options, Error> {
    let key = from["key"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut options = Options::with_key(key);
    if let Some(encoding) = from["encoding"].as_str() {
        let parsed = encoding.parse().map_err(|e: eport_model::ParseError| e.to_string());
        options.encoding = parsed.map_err(|e| Error::coded(BAD_REQUEST, e))?;
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(content: &'static str) -> TableFile {
        let options = json!({"key": ["code"], "encoding": "utf-8", "effective": "2018-01-10T08:30:00+08:00"});
        TableFile { file_name: "ports.csv".into(), content: content.as_bytes().into(), options }
    }

    #[test]
    fn what_is_signed_are_the_rows_on_this_machine() {
        let (one, other) = (file("code,name\nCNCAN,Guangzhou\n"), file("code,name\nCNCAN,Canton\n"));
        let root = read_csv(&one.content, &options(&one.options).unwrap()).unwrap().content.root;
        let found = json!({"name": "440000/ports", "version": 3, "root": root.to_string()});
        let statement = statement_of(&one, &found).unwrap();
        assert_eq!((statement.kind(), statement.version()), ("table.publish", Some(3)));
        let fields: std::collections::BTreeMap<_, _> = statement.fields().collect();
        assert_eq!(fields["root"], root.to_string());
        assert_eq!(fields["effective_ms"], "1515544200000");
        // A node that read other rows is caught before anything is signed.
        assert!(statement_of(&other, &found).is_err());
    }
}
