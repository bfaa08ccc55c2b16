//! Publishing a table under the operator's signature.
//!
//! A node reads the file first and says what it found. Then the program reads the file itself: what is signed is the root of
//! the rows on this machine, so no node can publish other rows in the operator's name.

use crate::error::Error;
use eport_catalog::parse_instant;
use eport_client::{Client, FileContent, Statement, TableFile};
use eport_codetables::{Desk, Refusal, Request, TableSchema, read, read_from};
use eport_model::codes::{BAD_REQUEST, TABLE_IMPORT_REFUSED, TABLE_MAPPING, VERIFY_DIFFERENCE};
use eport_registry::{TableId, statement};
use eport_spool::{Spool, Spooled};
use serde_json::Value;
use std::path::Path;

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
    let text = found["schema"].as_str().unwrap_or_default();
    let schema = TableSchema::parse(text).map_err(|e| bad(e.to_string()))?;
    let request: Request = serde_json::from_value(file.options.clone()).map_err(|e| bad(e.to_string()))?;
    // Key and rules that nobody states here are those of the version before, as the node has them.
    let options = request
        .options(Some((&schema.schema.key, &schema.rules)))
        .map_err(|e| Error::coded(TABLE_MAPPING, e.to_string()))?;
    let parsed = match &file.content {
        FileContent::Memory(bytes) => read(bytes, &options),
        FileContent::OnDisk(path) => {
            let (source, spool) = (Spooled::of(path).map_err(Error::file(path))?, spool_for(path)?);
            read_from(&source, &options, &Desk::with(&spool))
        }
    };
    let parsed = parsed.map_err(|e| match e {
        Refusal::Storage { code, detail } => Error::coded(code, detail),
        e => Error::coded(TABLE_IMPORT_REFUSED, e.to_string()),
    })?;
    let content = parsed.content;
    if found["root"] != content.root.to_string() {
        let detail =
            format!("the node found root {} in the file, here it is {}", found["root"], content.root);
        return Err(Error::coded(VERIFY_DIFFERENCE, detail));
    }
    if content.schema_text() != text {
        let detail = format!("the node found the schema {text}, here it is {}", content.schema_text());
        return Err(Error::coded(VERIFY_DIFFERENCE, detail));
    }
    let effective = match file.options["effective"].as_str() {
        Some(text) => Some(parse_instant(text).map_err(|e| bad(format!("effective: {e}")))?),
        None => None,
    };
    let version = found["version"].as_u64().unwrap_or_default();
    Ok(statement::publish_table(&table, version, content.root, content.rows, effective, text))
}

/// Rows that are too many for memory wait beside their file, else where the system keeps temporary files.
fn spool_for(path: &Path) -> Result<Spool, Error> {
    let beside = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = Spool::open(beside, 0).and_then(|s| s.file().map(|_| s));
    let temporary = std::env::temp_dir();
    beside.or_else(|_| Spool::open(&temporary, 0)).map_err(Error::file(&temporary))
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_codetables::Options;
    use serde_json::json;

    fn file(content: &'static str) -> TableFile {
        let options = json!({"key": ["code"], "encoding": "utf-8", "effective": "2018-01-10T08:30:00+08:00"});
        TableFile { file_name: "ports.csv".into(), content: content.as_bytes().into(), options }
    }

    #[test]
    fn what_is_signed_are_the_rows_on_this_machine() {
        let (one, other) = (file("code,name\nCNCAN,Guangzhou\n"), file("code,name\nCNCAN,Canton\n"));
        let content = read(b"code,name\nCNCAN,Guangzhou\n", &Options::with_key(["code"])).unwrap().content;
        let (root, schema) = (content.root, content.schema_text());
        let found = json!({"name": "440000/ports", "version": 3, "root": root.to_string(), "schema": schema});
        let statement = statement_of(&one, &found).unwrap();
        assert_eq!((statement.kind(), statement.version()), ("table.publish", Some(3)));
        let fields: std::collections::BTreeMap<_, _> = statement.fields().collect();
        assert_eq!(fields["root"], root.to_string());
        assert_eq!(fields["effective_ms"], "1515544200000");
        // A node that read other rows is caught before anything is signed.
        assert!(statement_of(&other, &found).is_err());
        // So is one that would have other rules signed than those that are stated here.
        let mut ruled = one.clone();
        ruled.options["rules"] = json!({"columns": {"name": {"required": true}}});
        assert!(statement_of(&ruled, &found).is_err());
    }
}
