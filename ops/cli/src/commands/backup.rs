//! `eport backup`: recovery key, backups of registry and platforms, verification, restore to a point, retention.

use crate::args::Global;
use crate::commands::{backup_status, journal};
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::{FederationStatus, from_rfc3339, rfc3339};
use eport_authority::{NodeKey, PublicKey, Unwrap};
use eport_backup::{
    Folder, Heading, Manifest, Problem, Restoration, S3Options, Writer, bucket, open_target, restore,
};
use eport_client::{Client, Method};
use eport_model::codes::{BACKUP_KEY, FILE_UNUSABLE, JOURNAL_CORRUPT, NOT_FOUND, NOT_STORED};
use eport_model::{Coded, Epoch, JournalIndex, Lineage, Position, RegionCode, Timestamp, codec};
use eport_registry::{HolderName, statement};
use eport_store::{ExportManifest, Until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `eport backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BackupCommand,
    /// Address of the store when DIR is s3://BUCKET/PREFIX, in a build with the feature s3
    #[arg(long, global = true, value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// Region name that its signatures carry
    #[arg(long, global = true, value_name = "NAME")]
    pub s3_region: Option<String>,
    /// File with its credentials; without it AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long, global = true, value_name = "FILE")]
    pub s3_credentials: Option<PathBuf>,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum BackupCommand {
    /// Make the federation's recovery key and tell the registry its public half; keep both files offline
    Key {
        /// Key file to write; its secret is written beside it as FILE.secret
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Name of the key
        #[arg(long, default_value = "main")]
        name: String,
    },
    /// Back up the registry and the platforms: what is new since the former backup, or everything
    Create {
        /// Folder of the backups
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Take everything, so that older backups may be pruned
        #[arg(long)]
        full: bool,
        /// Only these platforms: a set of their own, in a folder of their own, for example for a hosted city; repeatable
        #[arg(long = "platform", value_name = "REGION")]
        platforms: Vec<RegionCode>,
        /// Restore it afterwards into a folder that goes away: the automatic test
        #[arg(long, value_name = "KEY_FILE")]
        test: Option<PathBuf>,
    },
    /// Show the backups that nodes make by schedule: the newest, when the next is due, the last restore test, what is wrong
    Status,
    /// List the backups of a folder
    List {
        /// Folder of the backups
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Check every file and the chain of manifests; with the recovery key also restore into a folder that goes away
    Verify {
        /// Folder of the backups
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Recovery key file
        #[arg(long, value_name = "FILE")]
        recovery_key: Option<PathBuf>,
    },
    /// Restore platforms and registry into an empty folder, to the end or to a point in time
    Restore(RestoreArgs),
    /// Remove old backups: full ones beyond those to keep, with all that follow them
    Prune {
        /// Folder of the backups
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Full backups to keep, each with what follows it
        #[arg(long, default_value_t = 3)]
        keep: usize,
        /// Show what would go
        #[arg(long)]
        dry_run: bool,
    },
}

/// Arguments of `eport backup restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// Region codes; all without any
    pub regions: Vec<RegionCode>,
    /// Folder of the backups
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Folder to write, which must be empty
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Recovery key file, or the key file of the node that made the backups
    #[arg(long, value_name = "FILE")]
    pub recovery_key: PathBuf,
    /// Secret of the key file; default FILE.secret
    #[arg(long, value_name = "FILE")]
    pub secret: Option<PathBuf>,
    /// Name of the backup; the newest without it
    #[arg(long, value_name = "NAME")]
    pub backup: Option<String>,
    /// End with this record; one platform only
    #[arg(long, value_name = "EPOCH:INDEX", value_parser = parse_record, conflicts_with = "time")]
    pub at: Option<(Epoch, JournalIndex)>,
    /// End with the last record that is not later
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub time: Option<Timestamp>,
}

fn parse_record(text: &str) -> Result<(Epoch, JournalIndex), String> {
    let numbers = text.split_once(':').and_then(|(e, i)| Some((e.parse().ok()?, i.parse().ok()?)));
    let (epoch, index) = numbers.ok_or_else(|| format!("{text:?} is not EPOCH:INDEX"))?;
    Ok((Epoch::from_u64(epoch), JournalIndex::from_u64(index)))
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    from_rfc3339(text).ok_or_else(|| format!("{text:?} is not an RFC 3339 instant"))
}

/// Runs the group.
pub async fn run(args: BackupArgs, global: &Global, out: Out) -> Result<(), Error> {
    let s3 =
        S3Options { endpoint: args.s3_endpoint, region: args.s3_region, credentials: args.s3_credentials };
    match args.command {
        BackupCommand::Status => backup_status::run(&connect::client(global)?, out).await,
        BackupCommand::Key { out: file, name } => {
            make_key(&connect::client(global)?, &file, &name, out).await
        }
        BackupCommand::Create { dir, full, platforms, test } => {
            let client = connect::client(global)?;
            let place = Place { dir: &dir, s3: &s3 };
            let made = create_at(&client, place, full, &platforms).await?;
            let tested = test.map(|key| test_restore(place, &made.name(), &key)).transpose()?;
            let mut document = describe(&made);
            document["dir"] = dir.display().to_string().into();
            document["restore_test"] = json!(tested);
            out.result(&document, || created_text(&document, out));
            tested.map_or(Ok(()), |t| judge(&t))
        }
        BackupCommand::List { dir } => list(Place { dir: &dir, s3: &s3 }, out),
        BackupCommand::Verify { dir, recovery_key } => {
            verify(Place { dir: &dir, s3: &s3 }, recovery_key.as_deref(), out)
        }
        BackupCommand::Restore(args) => run_restore(&args, &s3, out),
        BackupCommand::Prune { dir, keep, dry_run } => {
            let folder = Place { dir: &dir, s3: &s3 }.folder(None)?;
            let removed = folder.prune(keep, dry_run).map_err(coded)?;
            let document = json!({ "dir": dir, "removed": removed, "dry_run": dry_run });
            out.result(&document, || {
                format!("{} {}\n", out.lang.pick(("removed:", "已删除：")), removed.join(" "))
            });
            Ok(())
        }
    }
}

/// Where backups lie, as the operator named it.
#[derive(Clone, Copy)]
struct Place<'a> {
    dir: &'a Path,
    s3: &'a S3Options,
}

impl Place<'_> {
    fn folder(self, lineage: Option<Lineage>) -> Result<Folder, Error> {
        let target = open_target(&self.dir.to_string_lossy(), None, self.s3).map_err(coded)?;
        Folder::open_at(target, lineage).map_err(coded)
    }

    /// A folder for what is under way: beside the backups and not in /tmp, a journal may be larger than what fits there.
    fn temp(self) -> Result<tempfile::TempDir, Error> {
        if bucket(&self.dir.to_string_lossy()).is_some() {
            return tempfile::tempdir().map_err(Error::file(Path::new("temporary folder")));
        }
        std::fs::create_dir_all(self.dir).map_err(Error::file(self.dir))?;
        tempfile::tempdir_in(self.dir).map_err(Error::file(self.dir))
    }
}

fn coded(error: eport_backup::Error) -> Error {
    let mut detail = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        detail = format!("{detail}: {source}");
    }
    Error::coded(error.code(), detail)
}

fn secret_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".secret");
    name.into()
}

fn open_key(file: &Path, secret: Option<&Path>) -> Result<NodeKey, Error> {
    NodeKey::open(file, &secret.map_or_else(|| secret_of(file), Path::to_owned))
        .map_err(|e| Error::coded(BACKUP_KEY, e.to_string()))
}

/// Makes a recovery key, or takes the one in the file, and tells the registry its public half. Answers that half in hex.
pub async fn put_key(client: &Client, file: &Path, name: &str) -> Result<String, Error> {
    let secret = secret_of(file);
    // A repeated command goes on with the files of the first.
    let key = NodeKey::open_or_create(file, &secret).map_err(|e| Error::coded(BACKUP_KEY, e.to_string()))?;
    let public: String = key.public().iter().map(|b| format!("{b:02x}")).collect();
    let request = json!({ "name": name, "public": public });
    let statement = statement::put_holder(&HolderName::Recovery(name.to_owned()), &key.public());
    let _: Value = client.give(Method::POST, "/v1/recovery-keys", &request, &statement).await?;
    Ok(public)
}

async fn make_key(client: &Client, file: &Path, name: &str, out: Out) -> Result<(), Error> {
    let (public, secret) = (put_key(client, file, name).await?, secret_of(file));
    let document = json!({ "name": name, "public": public, "file": file, "secret": secret });
    out.result(&document, || {
        let text = (
            "keep both files offline, on different media: together they open every platform",
            "请将两个文件分别离线保存于不同介质：两者合在一起可打开所有平台",
        );
        format!("{}\n{}\n{}\n", file.display(), secret.display(), out.lang.pick(text))
    });
    Ok(())
}

/// The recovery key of the federation; with several, the first by name.
async fn recovery_public(client: &Client) -> Result<PublicKey, Error> {
    let keys = client.list("/v1/recovery-keys", &[]).await?;
    let public = keys.first().and_then(|k| k["public"].as_str()).and_then(|p| p.parse().ok());
    let public: Option<eport_model::Digest> = public;
    let none =
        || Error::coded(BACKUP_KEY, "the federation has no recovery key; make one with eport backup key");
    public.map(|p| *p.as_bytes()).ok_or_else(none)
}

/// Makes a backup: every platform's new records, then the registry.
pub async fn create(client: &Client, dir: &Path, full: bool, only: &[RegionCode]) -> Result<Manifest, Error> {
    create_at(client, Place { dir, s3: &S3Options::default() }, full, only).await
}

async fn create_at(
    client: &Client,
    place: Place<'_>,
    full: bool,
    only: &[RegionCode],
) -> Result<Manifest, Error> {
    let recovery = recovery_public(client).await?;
    let status = client.get::<FederationStatus>("/v1/federation", &[]).await?;
    let folder = place.folder(Some(status.lineage))?;
    let heading = Heading {
        lineage: status.lineage,
        federation: &status.federation,
        recovery,
        maker: None,
        created: Timestamp::from_millis(now_ms()),
        full,
    };
    let mut writer = Writer::begin(&folder, &heading).map_err(coded)?;
    if let Some(unknown) = only.iter().find(|r| status.platforms.iter().all(|p| p.region != **r)) {
        return Err(Error::coded(NOT_FOUND, format!("there is no platform {unknown}")));
    }
    for platform in status.platforms.iter().filter(|p| only.is_empty() || only.contains(&p.region)) {
        let temp = place.temp()?;
        let folder = export(client, &writer, platform.region, temp.path()).await?;
        writer.platform(&folder).map_err(coded)?;
    }
    let (index, rows) = registry_rows(client).await?;
    writer.finish(index, &rows).map_err(coded)
}

/// Exports what follows the former backup; the whole journal where that no longer fits.
async fn export(client: &Client, writer: &Writer, region: RegionCode, temp: &Path) -> Result<PathBuf, Error> {
    let former: Position = writer.continues(region);
    let (next, whole) = (temp.join("next"), temp.join("whole"));
    if former != Position::ZERO {
        match journal::export_from(client, region, &next, former.index.next()).await {
            Ok(_) if writer.fits(&export_manifest(&next)?) => return Ok(next),
            Ok(_) => {}
            // The journal is shorter than the backup: a failover cut a tail off.
            Err(e) if e.code() == NOT_STORED => {}
            Err(e) => return Err(e),
        }
    }
    journal::export_from(client, region, &whole, JournalIndex::from_u64(1)).await?;
    Ok(whole)
}

fn export_manifest(dir: &Path) -> Result<ExportManifest, Error> {
    let path = dir.join("manifest.json");
    let text = std::fs::read(&path).map_err(Error::file(&path))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::coded(JOURNAL_CORRUPT, format!("{}: {e}", path.display())))
}

/// The registry's rows and the index of the last command in them. Rows that do not make a state are refused here.
async fn registry_rows(client: &Client) -> Result<(u64, Vec<u8>), Error> {
    let status = client.get::<FederationStatus>("/v1/federation", &[]).await?;
    let bytes = client.download("/v1/registry/rows").await?.to_vec();
    let bad = |e: String| Error::coded(JOURNAL_CORRUPT, format!("rows of the registry: {e}"));
    let rows: Vec<(Vec<u8>, Vec<u8>)> =
        codec::decode_with_limit(&bytes, bytes.len()).map_err(|e| bad(e.to_string()))?;
    eport_registry::State::from_rows(rows).map_err(|e| bad(e.to_string()))?;
    // At least this command is in it: the rows were read later.
    Ok((status.index, bytes))
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn describe(m: &Manifest) -> Value {
    let platform = |p: &eport_backup::PlatformPart| {
        json!({
            "region": p.region, "epoch": p.last.epoch, "last": p.last.index, "digest": p.last.digest,
            "records": p.records, "whole": p.is_whole(),
        })
    };
    json!({
        "backup": m.name(), "created": rfc3339(m.created), "full": m.full, "federation": m.federation,
        "lineage": m.lineage, "bytes": m.bytes(), "registry_index": m.registry_index,
        "platforms": m.platforms.iter().map(platform).collect::<Vec<_>>(),
    })
}

fn created_text(document: &Value, out: Out) -> String {
    let mut table = Table::new(["region", ">records", ">last"]);
    for p in document["platforms"].as_array().into_iter().flatten() {
        table.row(["region", "records", "last"].map(|k| cell(p, k)));
    }
    let kind = if document["full"] == true { ("full", "全量") } else { ("incremental", "增量") };
    format!(
        "{} ({}, {} B)\n{}",
        cell(document, "backup"),
        out.lang.pick(kind),
        cell(document, "bytes"),
        table.render()
    )
}

fn list(place: Place<'_>, out: Out) -> Result<(), Error> {
    let folder = place.folder(None)?;
    let items: Vec<Value> = folder.manifests().map(describe).collect();
    let document = json!({ "items": items, "damaged": folder.damaged(), "next_page_token": null });
    out.result(&document, || {
        let mut table = Table::new(["backup", "created", "full", ">bytes", "platforms"]);
        for item in &items {
            let platforms = item["platforms"].as_array().into_iter().flatten();
            let ends: Vec<String> = platforms
                .map(|p| format!("{}@{}:{}", cell(p, "region"), cell(p, "epoch"), cell(p, "last")))
                .collect();
            let [backup, created, full, bytes] =
                ["backup", "created", "full", "bytes"].map(|k| cell(item, k));
            table.row([backup, created, full, bytes, ends.join(" ")]);
        }
        format!("{}{}", table.render(), problem_lines(folder.damaged()))
    });
    Ok(())
}

fn problem_lines(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{}/{}: {}\n", p.backup, p.file, p.detail)).collect()
}

fn verify(place: Place<'_>, key: Option<&Path>, out: Out) -> Result<(), Error> {
    let folder = place.folder(None)?;
    let newest = folder.find(None).map_err(coded)?.name();
    let problems = folder.verify().map_err(coded)?;
    let tested = match key {
        Some(key) if problems.is_empty() => Some(test_restore(place, &newest, key)?),
        _ => None,
    };
    let readable = tested.as_ref().is_none_or(is_readable);
    let ok = problems.is_empty() && readable;
    let document = json!({
        "dir": place.dir, "backups": folder.manifests().count(), "ok": ok, "problems": problems, "restore_test": tested,
    });
    out.result(&document, || {
        let verdict = match ok {
            true => ("every file is whole and follows the one before", "所有文件完整且前后相接"),
            false => ("the backups do not verify", "备份未通过核验"),
        };
        format!("{}\n{}", out.lang.pick(verdict), problem_lines(&problems))
    });
    if ok { Ok(()) } else { Err(Error::Exit(exit::DIFFERENCE)) }
}

/// Restores platforms of a backup into an empty folder, to the end.
pub fn restore_into(
    dir: &Path,
    backup: &str,
    regions: &[RegionCode],
    key: &Path,
    to: &Path,
) -> Result<Restoration, Error> {
    let folder = Folder::open(dir, None).map_err(coded)?;
    let manifest = folder.find(Some(backup)).map_err(coded)?;
    restore(&folder, manifest, regions, Until::End, &open_key(key, None)?, to).map_err(coded)
}

/// Restores a backup into a folder that goes away.
fn test_restore(place: Place<'_>, backup: &str, key: &Path) -> Result<Restoration, Error> {
    let folder = place.folder(None)?;
    let manifest = folder.find(Some(backup)).map_err(coded)?;
    let temp = place.temp()?;
    let key = open_key(key, None)?;
    restore(&folder, manifest, &[], Until::End, &key, &temp.path().join("test")).map_err(coded)
}

fn is_readable(r: &Restoration) -> bool {
    r.fault().is_none()
}

fn judge(r: &Restoration) -> Result<(), Error> {
    if is_readable(r) { Ok(()) } else { Err(Error::Exit(exit::DIFFERENCE)) }
}

fn run_restore(args: &RestoreArgs, s3: &S3Options, out: Out) -> Result<(), Error> {
    let until = match (args.at, args.time) {
        (Some(_), _) if args.regions.len() != 1 => {
            return Err(Error::usage("--at names a record of one platform: name the platform"));
        }
        (Some((epoch, index)), _) => Until::Record(epoch, index),
        (None, Some(time)) => Until::Time(time),
        (None, None) => Until::End,
    };
    let folder = Place { dir: &args.dir, s3 }.folder(None)?;
    let manifest = folder.find(args.backup.as_deref()).map_err(coded)?;
    let place = folder.target().place("");
    if place.starts_with(&args.to) || args.to.starts_with(&place) {
        return Err(Error::coded(FILE_UNUSABLE, "restore into a folder outside the backups"));
    }
    let key = open_key(&args.recovery_key, args.secret.as_deref())?;
    let made = restore(&folder, manifest, &args.regions, until, &key, &args.to).map_err(coded)?;
    let platform = |p: &eport_backup::RestoredPlatform| {
        json!({
            "region": p.region, "epoch": p.last.epoch, "last": p.last.index, "digest": p.last.digest,
            "time": rfc3339(p.time), "state_digest": p.state_digest, "rows": p.rows, "equal": p.equal, "readable": p.readable,
        })
    };
    let document = json!({
        "backup": made.backup, "to": args.to, "ok": is_readable(&made), "registry": made.registry,
        "platforms": made.platforms.iter().map(platform).collect::<Vec<_>>(),
    });
    out.result(&document, || {
        let mut table = Table::new(["region", ">epoch", ">last", "time", ">rows", "readable"]);
        for p in document["platforms"].as_array().into_iter().flatten() {
            table.row(["region", "epoch", "last", "time", "rows", "readable"].map(|k| cell(p, k)));
        }
        table.render()
    });
    judge(&made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_record_or_an_instant() {
        assert_eq!(parse_record("2:17"), Ok((Epoch::from_u64(2), JournalIndex::from_u64(17))));
        for bad in ["17", "2:", ":1", "a:b", "1:2:3"] {
            assert!(parse_record(bad).is_err(), "{bad}");
        }
        assert!(parse_time("2026-01-01T00:00:00+08:00").is_ok() && parse_time("yesterday").is_err());
    }
}
