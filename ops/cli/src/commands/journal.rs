//! `eport journal`: verify, export and look at journals.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::FederationStatus;
use eport_client::{Client, path_segment};
use eport_model::codes::{FILE_UNUSABLE, JOURNAL_CORRUPT, NOT_FOUND};
use eport_model::{JournalIndex, Position, RegionCode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `eport journal`.
#[derive(Args, Debug)]
pub struct JournalArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum JournalCommand {
    /// Prove that nothing of a journal is missing or altered, or offline what a file of evidence says of one document
    Verify {
        /// Region code; with --evidence only to compare
        #[arg(required_unless_present = "evidence")]
        region: Option<RegionCode>,
        /// File that doc evidence has written; no node is asked
        #[arg(long, value_name = "FILE", conflicts_with_all = ["offline", "head"])]
        evidence: Option<PathBuf>,
        /// Folder of an export made earlier; no node is asked
        #[arg(long, value_name = "DIR")]
        offline: Option<PathBuf>,
        /// Outside anchor EPOCH:INDEX:DIGEST that proves the end; default the platform's head when online
        #[arg(long, value_name = "POSITION", value_parser = parse_position)]
        head: Option<Position>,
        /// CAs that were trusted when the journal was signed, PEM; default the bundle of the context, for --offline none
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
    /// Have the primary's node vouch for the newest committed record, in the journal itself
    Sign {
        /// Region code
        region: RegionCode,
    },
    /// Copy a journal into a folder that journal verify --offline can read
    Export {
        /// Region code
        region: RegionCode,
        /// Folder to write, which must be empty
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Print the position of the last committed record
    Head {
        /// Region code
        region: RegionCode,
    },
}

/// Reads `EPOCH:INDEX:DIGEST`.
fn parse_position(text: &str) -> Result<Position, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let [epoch, index, digest] = parts.as_slice() else {
        return Err(format!("{text:?} is not EPOCH:INDEX:DIGEST"));
    };
    let number = |s: &str| s.parse::<u64>().map_err(|_| format!("{s:?} is not a number"));
    Ok(Position {
        epoch: eport_model::Epoch::from_u64(number(epoch)?),
        index: JournalIndex::from_u64(number(index)?),
        digest: digest.parse().map_err(|e: eport_model::ParseError| e.to_string())?,
    })
}

/// Runs the group.
pub async fn run(args: JournalArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        JournalCommand::Verify { region, evidence: Some(file), trust, .. } => {
            super::journal_verify::evidence(&file, region, trust, global, out)
        }
        JournalCommand::Verify { region, evidence: None, offline, head, trust } => {
            let region = region.ok_or_else(|| Error::usage("the region code is needed"))?;
            if let Some(dir) = offline {
                return print_report(&verify_folder(&dir, region, head, trust.as_deref())?, out);
            }
            let trust = trust.map_or_else(|| connect::access(global).map(|a| a.ca), Ok)?;
            let client = connect::client(global)?;
            print_report(&verify(&client, region, head, Some(&trust)).await?, out)
        }
        JournalCommand::Sign { region } => {
            let path = format!("/v1/platforms/{region}/journal/signatures");
            let signed: Value = connect::client(global)?.command(&path, json!({})).await?;
            let text = |v: &Value| {
                format!(
                    "{}:{}:{} by record {}\n",
                    cell(v, "epoch"),
                    cell(v, "index"),
                    cell(v, "digest"),
                    cell(v, "record")
                )
            };
            out.result(&signed, || text(&signed));
            Ok(())
        }
        JournalCommand::Export { region, to } => {
            let client = connect::client(global)?;
            let document = export(&client, region, &to).await?;
            out.result(&document, || {
                format!("{region}: records 1..{} in {}\n", cell(&document, "through"), to.display())
            });
            Ok(())
        }
        JournalCommand::Head { region } => {
            let head = head(&connect::client(global)?, region).await?;
            let text =
                |v: &Value| format!("{}:{}:{}\n", cell(v, "epoch"), cell(v, "index"), cell(v, "digest"));
            out.result(&head, || text(&head));
            Ok(())
        }
    }
}

async fn head(client: &Client, region: RegionCode) -> Result<Value, Error> {
    Ok(client.get(&format!("/v1/platforms/{region}/journal/head"), &[]).await?)
}

/// A client of the primary: only its journal is sure to reach the head, and an export lies on the node that made it.
async fn at_primary(client: &Client, region: RegionCode) -> Result<Client, Error> {
    let status = client.get::<FederationStatus>("/v1/federation", &[]).await?;
    let primary = status.platforms.iter().find(|p| p.region == region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| Error::coded(NOT_FOUND, format!("there is no platform {region}")))?;
    let api = status.nodes.iter().find(|n| n.node == primary).and_then(|n| n.api.as_deref());
    Ok(client.only(api.unwrap_or(client.api())))
}

/// Asks the primary for an export and copies its files; the manifest comes last, so an interrupted copy is no export.
async fn export(client: &Client, region: RegionCode, to: &Path) -> Result<Value, Error> {
    export_from(client, region, to, JournalIndex::from_u64(1)).await
}

/// As `export`, from a record on.
pub async fn export_from(
    client: &Client,
    region: RegionCode,
    to: &Path,
    from: JournalIndex,
) -> Result<Value, Error> {
    std::fs::create_dir_all(to).map_err(Error::file(to))?;
    if std::fs::read_dir(to).map_err(Error::file(to))?.next().is_some() {
        return Err(Error::coded(FILE_UNUSABLE, format!("{} is not empty", to.display())));
    }
    export_at(&at_primary(client, region).await?, region, to, from).await
}

/// As `export_from`, of the copy that the one node keeps which this client calls.
pub async fn export_at(
    client: &Client,
    region: RegionCode,
    to: &Path,
    from: JournalIndex,
) -> Result<Value, Error> {
    std::fs::create_dir_all(to).map_err(Error::file(to))?;
    let base = format!("/v1/platforms/{region}/journal/exports");
    let made: Value = client.command(&format!("{base}?from={from}"), json!({})).await?;
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    let mut files: Vec<String> = made["files"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|f| f["name"].as_str().map(str::to_owned))
        .collect();
    files.sort_by_key(|f| f == "manifest.json");
    for name in &files {
        // A name from the network becomes a path only if it is a plain one.
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if !plain || name.starts_with('.') {
            return Err(Error::coded(JOURNAL_CORRUPT, format!("the node names a file {name:?}")));
        }
        let bytes = client.download(&format!("{base}/{}/{}", path_segment(&id), path_segment(name))).await?;
        crate::files::write_atomic(&to.join(name), &bytes)?;
    }
    let mut document = made;
    document["dir"] = to.display().to_string().into();
    Ok(document)
}

/// Exports into a folder that goes away and verifies that. The head is read *before* the export: everything acknowledged
/// up to then must be in it.
pub async fn verify(
    client: &Client,
    region: RegionCode,
    anchor: Option<Position>,
    trust: Option<&Path>,
) -> Result<Value, Error> {
    let anchor = match anchor {
        Some(anchor) => anchor,
        None => {
            let h = head(client, region).await?;
            let text = format!("{}:{}:{}", cell(&h, "epoch"), cell(&h, "index"), cell(&h, "digest"));
            parse_position(&text)
                .map_err(|e| Error::coded(JOURNAL_CORRUPT, format!("head of {region}: {e}")))?
        }
    };
    let dir = tempfile::tempdir().map_err(Error::file(Path::new("temporary folder")))?;
    let folder = dir.path().join("export");
    export(client, region, &folder).await?;
    verify_folder(&folder, region, Some(anchor), trust)
}

/// The report of a folder, which must hold this platform's journal.
fn verify_folder(
    dir: &Path,
    region: RegionCode,
    head: Option<Position>,
    trust: Option<&Path>,
) -> Result<Value, Error> {
    let judge = trust.map(super::journal_heads::judge_with).transpose()?;
    let report = eport_store::verify_export(dir, head, judge)
        .map_err(|e| Error::coded(eport_model::Coded::code(&e), format!("{}: {e}", dir.display())))?;
    let mut document = serde_json::to_value(&report).unwrap_or(Value::Null);
    if let Some(other) = report.region.filter(|r| *r != region) {
        document["ok"] = false.into();
        let detail = format!("the export is of platform {other}");
        let problem = json!({ "index": 0, "kind": "owner", "file": null, "detail": detail });
        if let Some(problems) = document["problems"].as_array_mut() {
            problems.push(problem);
        }
    }
    Ok(document)
}

fn print_report(document: &Value, out: Out) -> Result<(), Error> {
    out.result(document, || verify_text(document, out));
    if document["ok"] == true { Ok(()) } else { Err(Error::Exit(exit::DIFFERENCE)) }
}

fn verify_text(v: &Value, out: Out) -> String {
    let ok = v["ok"] == true;
    let verdict = match (ok, v["end_proven"] == true) {
        (true, true) => ("nothing is missing or altered, the end is proven", "无缺失、无篡改，末尾已证明"),
        (true, false) => (
            "nothing is missing or altered; no anchor proves the end",
            "无缺失、无篡改；末尾没有外部锚点证明",
        ),
        (false, _) => ("the journal does not verify", "日志未通过核验"),
    };
    let head = format!(
        "{}: {} records {}..{}: {}\n",
        cell(v, "region"),
        cell(v, "records"),
        cell(v, "first"),
        cell(v, "last"),
        out.lang.pick(verdict)
    );
    let mut epochs = Table::new([">epoch", ">first", ">last", "primary"]);
    for e in v["epochs"].as_array().into_iter().flatten() {
        epochs.row(["epoch", "first", "last", "primary"].map(|k| cell(e, k)));
    }
    let mut problems = Table::new([">record", "kind", "file", "detail"]);
    for p in v["problems"].as_array().into_iter().flatten() {
        problems.row(["index", "kind", "file", "detail"].map(|k| cell(p, k)));
    }
    head + &signed_text(&v["signed"], out)
        + &epochs.render()
        + &if problems.is_empty() { String::new() } else { problems.render() }
}

fn signed_text(v: &Value, out: Out) -> String {
    let (count, verified) = (v["count"].as_u64().unwrap_or(0), v["verified"].as_u64().unwrap_or(0));
    let last = &v["last"];
    let text = match (count, last.is_object()) {
        (0, _) => return out.lang.pick(("no signed heads\n", "无签名位置\n")).to_owned(),
        (_, false) => out
            .lang
            .pick(("signed heads, signatures not judged (--trust)", "签名位置，未核验签名（--trust）")),
        (_, true) => {
            out.lang.pick(("signed heads hold, the last for record", "签名位置有效，最近一条覆盖记录"))
        }
    };
    match last.is_object() {
        true => format!("{verified} of {count} {text} {} by {}\n", last["covers"]["index"], cell(last, "by")),
        false => format!("{count} {text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_read_as_it_is_printed() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let p = parse_position(&format!("2:17:{digest}")).unwrap();
        assert_eq!((p.epoch.as_u64(), p.index.as_u64(), p.digest.to_string()), (2, 17, digest.to_owned()));
        for bad in ["2:17", "x:17:00", &format!("2:17:{}", &digest[1..])] {
            assert!(parse_position(bad).is_err(), "{bad}");
        }
    }
}
