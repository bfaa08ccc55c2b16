//! `eport audit`: commands with both persons; the access log of a node: show, export, verify offline.

use crate::args::Global;
use crate::commands::approval;
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::files::write_new;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_access::{Head, SegmentName, Verifier};
use eport_client::Client;
use eport_model::codes::FILE_UNUSABLE;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Largest segment that is read.
const SEGMENT_LEN_MAX: u64 = 16 << 20;
/// Name of the file that an export adds.
const MANIFEST: &str = "access-log.json";

/// Arguments of `eport audit`.
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// Lines of commands to show, newest first
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// The access log of a node instead.
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// Show the access log of the node that is asked: what was allowed, what was denied
    Show {
        /// Lines to show, newest first
        #[arg(long, value_name = "N", default_value_t = 50)]
        lines: usize,
    },
    /// Copy the access log of the node that is asked into a folder
    Export {
        /// Folder to write, which must be empty
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Prove that nothing of an exported access log was changed, taken out or cut; no node is asked
    Verify {
        /// Folder of an export
        dir: PathBuf,
        /// A head that was published, NUMBER:DIGEST; default the one that the export found in the registry
        #[arg(long = "head", value_name = "HEAD")]
        heads: Vec<Head>,
    },
}

/// Runs the group.
pub async fn run(args: AuditArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        None => approval::audit(args.limit, global, out).await,
        Some(AuditCommand::Show { lines }) => show(lines, &connect::client(global)?, out).await,
        Some(AuditCommand::Export { to }) => export(&to, &connect::client(global)?, out).await,
        Some(AuditCommand::Verify { dir, heads }) => verify(&dir, heads, out),
    }
}

async fn show(lines: usize, client: &Client, out: Out) -> Result<(), Error> {
    let page: Value = client.get("/v1/access-log", &[("limit", lines.max(1).to_string())]).await?;
    let items = page["items"].as_array().cloned().unwrap_or_default();
    out.items(&items, || {
        let columns = [
            "seq",
            "at",
            "event",
            "subject",
            "source",
            "request",
            "permission",
            "code",
            "purpose",
            "fields",
            "rows",
            "times",
        ];
        let mut table = Table::new(columns);
        for l in &items {
            table.row(columns.map(|k| cell(l, k)));
        }
        table
    });
    Ok(())
}

async fn export(to: &Path, client: &Client, out: Out) -> Result<(), Error> {
    std::fs::create_dir_all(to).map_err(Error::file(to))?;
    if std::fs::read_dir(to).map_err(Error::file(to))?.next().is_some() {
        return Err(Error::coded(FILE_UNUSABLE, format!("{} is not empty", to.display())));
    }
    // All from one node: each writes its own log.
    let client = client.only(client.api());
    let listed: Value = client.get("/v1/access-log/segments", &[]).await?;
    let items = listed["items"].as_array().cloned().unwrap_or_default();
    let mut bytes = 0;
    for item in &items {
        let name: SegmentName = cell(item, "name")
            .parse()
            .map_err(|()| Error::coded(FILE_UNUSABLE, "the node names a file that is none of a log"))?;
        let content = client.download(&format!("/v1/access-log/segments/{name}")).await?;
        bytes += content.len();
        write_new(&to.join(name.to_string()), &content, true)?;
    }
    let manifest =
        json!({ "node": listed["node"], "published": listed["published"], "head": listed["head"] });
    write_new(&to.join(MANIFEST), manifest.to_string().as_bytes(), false)?;
    let answer = json!({ "node": listed["node"], "dir": to, "segments": items.len(), "bytes": bytes,
        "published": listed["published"], "head": listed["head"] });
    out.result(&answer, || format!("{}: {} files in {}\n", cell(&answer, "node"), items.len(), to.display()));
    Ok(())
}

fn verify(dir: &Path, mut heads: Vec<Head>, out: Out) -> Result<(), Error> {
    if heads.is_empty()
        && let Ok(text) = std::fs::read(dir.join(MANIFEST))
    {
        let manifest: Value = serde_json::from_slice(&text)
            .map_err(|e| Error::coded(FILE_UNUSABLE, format!("{MANIFEST}: {e}")))?;
        heads.extend(manifest["published"].as_str().and_then(|h| h.parse::<Head>().ok()));
    }
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::file(dir))? {
        let entry = entry.map_err(Error::file(dir))?;
        if let Some(name) = entry.file_name().to_str().and_then(|n| n.parse::<SegmentName>().ok()) {
            segments.push((name, entry.path()));
        }
    }
    segments.sort_unstable();
    if segments.is_empty() {
        return Err(Error::coded(FILE_UNUSABLE, format!("{} holds no access log", dir.display())));
    }
    let mut verifier = Verifier::new(heads.iter().copied());
    for (name, path) in &segments {
        let len = std::fs::metadata(path).map_err(Error::file(path))?.len();
        if len > SEGMENT_LEN_MAX {
            return Err(Error::coded(FILE_UNUSABLE, format!("{}: {len} bytes are too many", path.display())));
        }
        verifier.segment(*name, &std::fs::read(path).map_err(Error::file(path))?, |_| {});
    }
    let found = verifier.finish();
    let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    let answer = json!({ "ok": found.ok(), "lines": found.lines, "first": found.first, "last": found.last,
        "proven_to": found.proven, "end_proven": found.end_proven(), "problems": problems });
    out.result(&answer, || {
        let mut text = format!(
            "lines {}..{}, proven to {}: {}\n",
            found.first,
            found.last,
            found.proven,
            if found.ok() { "ok" } else { "DIFFERENT" }
        );
        problems.iter().for_each(|p| text += &format!("  {p}\n"));
        text
    });
    if found.ok() { Ok(()) } else { Err(Error::Exit(exit::DIFFERENCE)) }
}
