//! `eport tail export|import`: a tail that travels on a disk, because its node is removed or will never be reached again.
//!
//! `export` reads the data of a stopped node and changes nothing in it; `import` brings the files to the platform's primary.

use super::quorum::NodeConfig;
use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::Out;
use clap::Args;
use eport_api_types::{Place, TailImport, TailProgress};
use eport_client::{Client, Method, path_segment};
use eport_model::{Coded, EpochHistory, JournalIndex, Position, RegionCode, codes};
use eport_registry::{Tail, TailState, statement};
use eport_store::{Budget, PlatformStore, Shared, TailHead, TailManifest};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Bytes in one request; the server takes no more.
const PART_LEN: u64 = 1 << 20;

/// Arguments of `eport tail export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Platform
    #[arg(value_name = "REGION")]
    region: RegionCode,
    /// Folder of the stopped node with its eportd.toml, or that file
    #[arg(long, value_name = "DIR")]
    offline: PathBuf,
    /// Folder that the files are written to
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Last record that both histories share; without it the federation is asked where they part
    #[arg(long, value_name = "INDEX")]
    after: Option<u64>,
}

fn coded<E: Coded + std::error::Error>(error: E) -> Error {
    Error::coded(error.code(), error.to_string())
}

pub(super) async fn export(args: ExportArgs, global: &Global, out: Out) -> Result<(), Error> {
    let path = if args.offline.is_dir() { args.offline.join("eportd.toml") } else { args.offline };
    let (config, _) = NodeConfig::load(&path)?;
    let data = config.take_directory()?;
    let (region, identity) = (args.region, data.identity());
    let dir = data.platform(region);
    if !dir.exists() {
        let detail = format!("{} holds no journal of platform {region}", config.node.data_dir.display());
        return Err(Error::coded(codes::NOT_FOUND, detail));
    }
    let shared = Shared::new(Budget::default()).map_err(coded)?;
    let (store, at) =
        PlatformStore::open_as_found(&dir, identity.lineage, &identity.ancestors, region, &shared)
            .map_err(coded)?;
    let after = match args.after {
        Some(index) => JournalIndex::from_u64(index),
        None => parted(&connect::client(global)?, region, &at.history, at.last).await?,
    };
    if after >= at.last.index {
        let detail = format!("the journal ends at {}: nothing lies after record {after}", at.last);
        return Err(Error::coded(codes::TAIL_FOREIGN, detail));
    }
    let tail = store.export_tail_of(Some(config.node.id), after, &args.out).map_err(coded)?;
    let documents = tail.documents.iter().filter(|d| d.body.is_some()).count();
    let file = args.out.join(tail.file_name());
    let shown = json!({
        "file": file, "region": region, "node": config.node.id, "fork": tail.after.index, "last": tail.last.index,
        "records": tail.segment.records, "documents": documents, "digest": tail.segment.sha256,
    });
    out.result(&shown, || {
        let (records, file) = (tail.segment.records, file.display());
        out.lang.pick((
            format!("{records} records with {documents} documents exported; bring both files to the federation and give: eport tail import {file}\n"),
            format!("已导出 {records} 条记录，含单证 {documents} 份；请将两个文件带到联邦后执行：eport tail import {file}\n"),
        ))
    });
    Ok(())
}

/// Where the federation went on without this journal: the start of the first epoch that is not in it.
async fn parted(
    client: &Client,
    region: RegionCode,
    own: &EpochHistory,
    last: Position,
) -> Result<JournalIndex, Error> {
    let told: Value = client.get(&format!("/v1/platforms/{region}/moves"), &[]).await?;
    let epochs = told["epochs"].as_array().cloned().unwrap_or_default();
    let newer = epochs.iter().filter(|e| e["epoch"].as_u64() > Some(own.last_epoch().as_u64()));
    let start = newer.filter_map(|e| e["start"].as_u64()).min();
    let start = start.ok_or_else(|| {
        let detail = format!("platform {region} has no epoch after {}: nothing was left behind", last.epoch);
        Error::coded(codes::TAIL_FOREIGN, detail)
    })?;
    Ok(JournalIndex::from_u64(start))
}

fn place(position: &Position) -> Place {
    Place { epoch: position.epoch, index: position.index.as_u64(), digest: position.digest }
}

pub(super) async fn import(client: &Client, file: &Path, out: Out) -> Result<(), Error> {
    let manifest = TailManifest::read(file).map_err(coded)?;
    let head: TailHead = manifest.head();
    let node = manifest.node.ok_or_else(|| {
        Error::usage(format!("{} does not name its node: it was not written by tail export", file.display()))
    })?;
    let documents = manifest.documents.iter().filter(|d| d.body.is_some()).count() as u64;
    let tail = Tail {
        region: head.region,
        epoch: head.last.epoch,
        fork: head.after,
        last: head.last,
        node,
        digest: head.segment.sha256,
        state: if documents > 0 { TailState::Exported } else { TailState::Resolved },
        discarded: Vec::new(),
        at: eport_model::Timestamp::default(),
    };
    let announced = TailImport {
        node,
        fork: place(&head.after),
        last: place(&head.last),
        digest: head.segment.sha256,
        documents,
    };
    let all = format!("/v1/platforms/{}/tails", head.region);
    let mut at: TailProgress =
        client.give(Method::POST, &all, &announced, &statement::record_tail(&tail)).await?;
    let path = format!("{all}/{}/content", path_segment(&at.id));
    while !at.held {
        let bytes = head.read_part(file, at.bytes, PART_LEN).map_err(coded)?;
        if bytes.is_empty() {
            let detail = format!("the record file beside {} ends at byte {}", file.display(), at.bytes);
            return Err(Error::coded(codes::JOURNAL_CORRUPT, detail));
        }
        let (from, query) =
            (at.bytes, [("offset", at.bytes.to_string()), ("bytes", head.segment.bytes.to_string())]);
        at = client.put_bytes(&path, &query, bytes.into()).await?;
        if !at.held && at.bytes <= from {
            let detail = format!("tail {}: nothing is taken beyond byte {from}", at.id);
            return Err(Error::coded(codes::TAIL_NOT_TAKEN, detail));
        }
        out.progress(format!("{} / {}", at.bytes, head.segment.bytes));
    }
    let shown = json!({ "id": at.id, "region": head.region, "node": node, "records": head.segment.records, "documents": documents, "held": true });
    out.result(&shown, || {
        let id = &at.id;
        out.lang.pick((
            format!("tail {id} is held by the primary: {documents} documents. Next: eport tail show {id}\n"),
            format!("尾部 {id} 已由主节点持有：单证 {documents} 份。下一步：eport tail show {id}\n"),
        ))
    });
    Ok(())
}
