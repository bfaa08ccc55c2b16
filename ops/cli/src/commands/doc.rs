//! `eport doc`: lodge and read documents.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::files::read_input;
use crate::output::{Out, cell, failure_line};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_client::{Client, Repeat, path_segment};
use eport_model::RegionCode;
use eport_model::codes::{DOCUMENT_MALFORMED, NOT_FOUND};
use serde_json::{Value, json};

/// Documents a batch request carries at most: a few MiB, well below the API's limit.
const BATCH: usize = 1_000;

/// Arguments of `eport doc`.
#[derive(Args, Debug)]
pub struct DocArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DocCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum DocCommand {
    /// Lodge documents; a repeated document gets its first answer again
    Submit {
        /// Files with one JSON document, a JSON array, or a document a line; - for standard input
        #[arg(required = true)]
        files: Vec<String>,
        /// The platform
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: RegionCode,
    },
    /// Show a document with its receipts
    Show {
        /// The document's number
        id: String,
        /// The platform; all are asked when absent
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// List documents
    List(ListArgs),
    /// Say where a consignment stands, by any number of it: bill, container, licence, declaration, voyage, document
    Status {
        /// The number
        number: String,
        /// The platform; all are asked when absent
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// Compare a document with the records that it names, as they are now
    Compare {
        /// The document's number
        id: String,
        /// The platform; all are asked when absent
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// Make documents of the rows of a CSV table by a mapping file; write them, or lodge them
    Map(super::doc_map::MapArgs),
    /// Show who got which part of a document, how far it has come, and every receipt
    Trace {
        /// The document's number
        id: String,
        /// The platform; all are asked when absent
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// Say where a document is, what it waits for, and who must act
    Why {
        /// The document's number
        id: String,
        /// The platform; all are asked when absent
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// Write a file that proves a document: journal verify --evidence checks it without any node
    Evidence(super::evidence::EvidenceArgs),
    /// Erase the content of a document by law, on every copy; digests and the chain stay
    Erase(super::erase::EraseArgs),
}

/// Arguments of `eport doc list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The platform
    #[arg(long, short = 'p', value_name = "REGION")]
    pub platform: RegionCode,
    /// Only this type
    #[arg(long, value_name = "TYPE")]
    pub doc_type: Option<String>,
    /// Only this state
    #[arg(long)]
    pub state: Option<String>,
    /// Only this number of the lodger
    #[arg(long, value_name = "REF")]
    pub client_ref: Option<String>,
    /// Only received at or after this instant, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Print the number of documents only
    #[arg(long, conflicts_with_all = ["client_ref", "since"])]
    pub count: bool,
    /// Most documents to print
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// Runs the group.
pub async fn run(args: DocArgs, global: &Global, out: Out) -> Result<(), Error> {
    // Documents that are only written need no node.
    if let DocCommand::Map(args) = &args.command {
        let client = args.platform.map(|_| connect::client(global)).transpose()?;
        return super::doc_map::run(args, client, out).await;
    }
    let client = connect::client(global)?;
    match args.command {
        DocCommand::Submit { files, platform } => submit(&client, &files, platform, out).await,
        DocCommand::Show { id, platform } => show(&client, &id, platform, out).await,
        DocCommand::Trace { id, platform } => super::exchange::trace(&client, &id, platform, out).await,
        DocCommand::Why { id, platform } => super::exchange::why(&client, &id, platform, out).await,
        DocCommand::Status { number, platform } => {
            super::track::status(&client, &number, platform, out).await
        }
        DocCommand::Compare { id, platform } => super::track::compare(&client, &id, platform, out).await,
        DocCommand::Map(args) => super::doc_map::run(&args, Some(client), out).await,
        DocCommand::List(args) => list(&client, &args, out).await,
        DocCommand::Evidence(args) => super::evidence::run(&client, &args, out).await,
        DocCommand::Erase(args) => super::erase::run(&client, &args, out).await,
    }
}

/// The documents of a file: one JSON value, an array of them, or one a line.
pub fn read_documents(name: &str, bytes: &[u8]) -> Result<Vec<Value>, Error> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Array(items)) => return Ok(items),
        Ok(one) => return Ok(vec![one]),
        Err(_) => {}
    }
    let mut out = Vec::new();
    for (n, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let document = serde_json::from_slice(line);
        out.push(
            document.map_err(|e| Error::coded(DOCUMENT_MALFORMED, format!("{name}, line {}: {e}", n + 1)))?,
        );
    }
    Ok(out)
}

async fn submit(client: &Client, files: &[String], platform: RegionCode, out: Out) -> Result<(), Error> {
    let mut documents = Vec::new();
    for name in files {
        documents.extend(read_documents(name, &read_input(name)?)?);
    }
    if documents.is_empty() {
        return Err(Error::usage("the files hold no document"));
    }
    let platform = platform.to_string();
    if let [one] = documents.as_slice() {
        let (_, answer) = client.lodge(&platform, one, Repeat::Safe).await?;
        out.result(&answer, || accepted_line(&answer));
        return Ok(());
    }
    let mut items = Vec::with_capacity(documents.len());
    for (n, chunk) in documents.chunks(BATCH).enumerate() {
        for mut line in client.lodge_batch(&platform, chunk, Repeat::Safe).await? {
            // The server counts lines within its request; people count through all files.
            line["line"] = json!(n as u64 * BATCH as u64 + line["line"].as_u64().unwrap_or(0));
            items.push(line);
        }
        out.say(
            format!("{} of {} answered", items.len(), documents.len()),
            format!("已答复 {}/{}", items.len(), documents.len()),
        );
    }
    let tally = Tally::of(&items);
    let document = json!({ "items": items, "accepted": tally.accepted, "repeated": tally.repeated,
        "refused": tally.refused, "unknown": tally.unknown, "next_page_token": null });
    out.result(&document, || batch_text(&items, tally, out));
    tally.verdict()
}

/// How the lines of a batch ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: u64,
    repeated: u64,
    refused: u64,
    unknown: u64,
}

impl Tally {
    fn of(items: &[Value]) -> Self {
        let mut tally = Self::default();
        for item in items {
            match item["status"].as_u64().unwrap_or(0) {
                201 => tally.accepted += 1,
                200 => tally.repeated += 1,
                429 | 500.. | 0 => tally.unknown += 1,
                _ => tally.refused += 1,
            }
        }
        tally
    }

    /// Refused documents are exit 1; answers that are still open are exit 5: repeat the command.
    fn verdict(self) -> Result<(), Error> {
        match (self.unknown, self.refused) {
            (0, 0) => Ok(()),
            (0, _) => Err(Error::Exit(exit::FAILED)),
            _ => Err(Error::Exit(exit::UNAVAILABLE)),
        }
    }
}

fn accepted_line(a: &Value) -> String {
    let index = a["position"]["index"].as_u64().map_or_else(|| "-".to_owned(), |i| i.to_string());
    format!(
        "{} v{}  {}  {}  record {index}\n",
        cell(a, "doc_id"),
        cell(a, "doc_version"),
        cell(a, "state"),
        cell(a, "durability")
    )
}

fn batch_text(items: &[Value], tally: Tally, out: Out) -> String {
    let mut text = String::new();
    for item in items.iter().filter(|i| !matches!(i["status"].as_u64(), Some(200 | 201))) {
        text.push_str(&format!(
            "line {}: {} {} {}\n",
            cell(item, "line"),
            cell(item, "status"),
            cell(item, "code"),
            cell(item, "detail")
        ));
        for f in item["failures"].as_array().into_iter().flatten() {
            text.push_str(&format!("  - {}\n", failure_line(f)));
        }
    }
    let Tally { accepted, repeated, refused, unknown } = tally;
    text.push_str(&out.lang.pick((
        format!("{accepted} accepted, {repeated} repeated, {refused} refused, {unknown} unanswered\n"),
        format!("受理 {accepted}，重复 {repeated}，拒绝 {refused}，未答复 {unknown}\n"),
    )));
    text
}

async fn show(client: &Client, id: &str, platform: Option<RegionCode>, out: Out) -> Result<(), Error> {
    let regions: Vec<String> = match platform {
        Some(region) => vec![region.to_string()],
        None => client.list("/v1/platforms", &[]).await?.iter().map(|p| cell(p, "region")).collect(),
    };
    for region in &regions {
        let path = format!("/v1/platforms/{region}/documents/{}", path_segment(id));
        let mut document: Value = match client.get(&path, &[]).await {
            Ok(document) => document,
            Err(e) if e.exit() == exit::NOT_FOUND => continue,
            Err(e) => return Err(e.into()),
        };
        let receipts: Value = client.get(&format!("{path}/receipts"), &[]).await?;
        document["receipts"] = receipts.get("items").cloned().unwrap_or(receipts);
        out.result(&document, || document_text(&document));
        return Ok(());
    }
    Err(Error::coded(NOT_FOUND, format!("no document {id} on {}", regions.join(", "))))
}

fn document_text(d: &Value) -> String {
    let mut table = Table::new(["", ""]);
    for name in [
        "doc_id",
        "doc_version",
        "doc_type",
        "client_ref",
        "lodged_by",
        "owner_platform",
        "state",
        "received_at",
        "durability",
    ] {
        table.row([name.to_owned(), cell(d, name)]);
    }
    let mut receipts = Table::new(["receipt", "agency", "kind", "code", "time", "text"]);
    for r in d["receipts"].as_array().into_iter().flatten() {
        receipts.row(["receipt_id", "agency", "kind", "code", "event_time", "text"].map(|k| cell(r, k)));
    }
    let receipts = if receipts.is_empty() { String::new() } else { format!("\n{}", receipts.render()) };
    let mut masked = Table::new(["field not as lodged", "class", "how", "reason"]);
    for m in d["masked"].as_array().into_iter().flatten() {
        masked.row(["path", "class", "how", "reason"].map(|k| cell(m, k)));
    }
    let masked = if masked.is_empty() { String::new() } else { format!("\n{}", masked.render()) };
    format!("{}\n{:#}\n{masked}{receipts}", table.render(), d["body"])
}

async fn list(client: &Client, args: &ListArgs, out: Out) -> Result<(), Error> {
    let base = format!("/v1/platforms/{}/documents", args.platform);
    let filters = [
        ("doc_type", &args.doc_type),
        ("state", &args.state),
        ("client_ref", &args.client_ref),
        ("since", &args.since),
    ];
    let mut query: Vec<(&str, String)> =
        filters.iter().filter_map(|(n, v)| v.as_ref().map(|v| (*n, v.clone()))).collect();
    if args.count {
        let answer: Value = client.get(&format!("{base}:count"), &query).await?;
        out.result(&answer, || format!("{}\n", cell(&answer, "count")));
        return Ok(());
    }
    let mut items: Vec<Value> = Vec::new();
    let mut token = Value::Null;
    query.push(("limit", args.limit.clamp(1, 1_000).to_string()));
    while items.len() < args.limit {
        let mut q = query.clone();
        q.extend(token.as_str().map(|t| ("page_token", t.to_owned())));
        let page: Value = client.get(&base, &q).await?;
        items.extend(page["items"].as_array().cloned().unwrap_or_default());
        token = page["next_page_token"].clone();
        if token.as_str().is_none_or(str::is_empty) {
            break;
        }
    }
    items.truncate(args.limit);
    let document = json!({ "items": items, "next_page_token": token });
    out.result(&document, || {
        let mut table =
            Table::new(["doc_id", ">version", "type", "client_ref", "lodged by", "state", "received"]);
        for d in &items {
            table.row(
                ["doc_id", "doc_version", "doc_type", "client_ref", "lodged_by", "state", "received_at"]
                    .map(|k| cell(d, k)),
            );
        }
        table.render()
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_as_one_value_an_array_or_lines_and_a_bad_line_is_named() {
        assert_eq!(read_documents("a", b"{\"a\":\n1}").unwrap().len(), 1);
        assert_eq!(read_documents("a", b"[{},{}]").unwrap().len(), 2);
        assert_eq!(read_documents("a", b"{}\n\n{}\n{}\n").unwrap().len(), 3);
        let error = read_documents("b.ndjson", b"{}\n{\"x\":}\n").unwrap_err();
        assert!(error.to_string().starts_with("b.ndjson, line 2:"), "{error}");
    }

    #[test]
    fn an_open_answer_weighs_more_than_a_refusal() {
        let lines = |statuses: &[u16]| statuses.iter().map(|s| json!({"status": s})).collect::<Vec<_>>();
        assert!(Tally::of(&lines(&[201, 200])).verdict().is_ok());
        assert_eq!(Tally::of(&lines(&[201, 422])).verdict().unwrap_err().exit(), 1);
        assert_eq!(Tally::of(&lines(&[201, 422, 503])).verdict().unwrap_err().exit(), 5);
    }
}
