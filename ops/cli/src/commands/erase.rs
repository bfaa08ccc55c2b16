//! `eport doc erase`: the bodies of a document go by law; the journal keeps proving itself.

use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::Args;
use eport_api_types::{BodyItem, EraseBody, EraseRequest};
use eport_client::{Client, Method};
use eport_model::{JournalIndex, RegionCode, codes};
use eport_registry::{EraseTarget, statement};
use serde_json::{Value, json};

/// Arguments of `eport doc erase`.
#[derive(Args, Debug)]
pub struct EraseArgs {
    /// The document's number
    pub id: String,
    /// The platform
    #[arg(long, short = 'p', value_name = "REGION")]
    pub platform: RegionCode,
    /// Why its content goes; kept in the journal for ever
    #[arg(long)]
    pub reason: String,
    /// By what authority: the order of a court, the number of a request; kept in the journal for ever
    #[arg(long)]
    pub authority: String,
    /// Show what would go, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the command: what is signed is every body that was shown, by its digest.
pub async fn run(client: &Client, args: &EraseArgs, out: Out) -> Result<(), Error> {
    for (name, text) in [("--reason", &args.reason), ("--authority", &args.authority)] {
        if text.trim().is_empty() {
            return Err(Error::usage(format!(
                "{name}: what is erased is gone for ever; say why, and by what authority"
            )));
        }
    }
    let region = args.platform;
    let shown = client.list(&format!("/v1/platforms/{region}/documents/{}/bodies", args.id), &[]).await?;
    let bodies = shown.iter().cloned().map(serde_json::from_value::<BodyItem>);
    let bodies: Vec<BodyItem> = bodies
        .collect::<Result<_, _>>()
        .map_err(|e| Error::coded(codes::BAD_REQUEST, format!("the bodies cannot be read: {e}")))?;
    let left: Vec<&BodyItem> = bodies.iter().filter(|b| !b.erased).collect();
    if args.dry_run || left.is_empty() {
        let document =
            json!({ "doc_id": args.id, "region": region, "bodies": shown, "erased": left.is_empty() });
        out.result(&document, || text(&shown));
        return Ok(());
    }
    if !out.json {
        out.progress(text(&shown).trim_end());
    }
    let count = left.len();
    out.confirm((
        &format!("erase these {count} bodies of {}? they are gone for ever, on every copy", args.id),
        &format!("擦除单证 {} 的以上 {count} 份正文？所有副本上都将永久消失", args.id),
    ))?;
    let targets: Vec<EraseTarget> = left
        .iter()
        .map(|b| EraseTarget { record: JournalIndex::from_u64(b.record), body: b.body, digest: b.digest })
        .collect();
    let body = |t: &EraseTarget| EraseBody { record: t.record.as_u64(), body: t.body, digest: t.digest };
    let request = EraseRequest {
        targets: targets.iter().map(body).collect(),
        reason: args.reason.clone(),
        authority: args.authority.clone(),
    };
    let statement = statement::erase(region, &targets, &args.reason, &args.authority);
    let path = format!("/v1/platforms/{region}/erasures");
    let _: Value = client.give(Method::POST, &path, &request, &statement).await?;
    let document = json!({ "doc_id": args.id, "region": region, "bodies": shown, "ordered": count });
    out.result(&document, || {
        out.lang.pick((format!("{count} bodies are erased\n"), format!("已擦除 {count} 份正文\n")))
    });
    Ok(())
}

fn text(bodies: &[Value]) -> String {
    let mut table = Table::new([">version", ">record", ">body", ">bytes", "erased", "digest"]);
    for b in bodies {
        table.row(["doc_version", "record", "body", "bytes", "erased", "digest"].map(|k| cell(b, k)));
    }
    table.render()
}
