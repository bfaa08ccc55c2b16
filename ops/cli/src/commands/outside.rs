//! `eport ca add --outside`, `eport ca outside`: CAs outside the federation, an agency's own or that of traders.

use super::rotate::{certificate, domain_of, status};
use crate::args::Global;
use crate::connect::{self, Access};
use crate::error::Error;
use crate::files::write_new;
use crate::output::Out;
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::{
    FederationStatus, OutsideListTaken, OutsideRemovalRequest, OutsideRequest, TrustStatus,
};
use eport_authority::{certificate_pem, list_of_file};
use eport_client::{Client, Method};
use eport_model::{Digest, OutsideScope, OutsideSubject, RegionCode, codes};
use eport_registry::statement;
use eport_signature::{CHALLENGE_LEN_MAX, Challenge, outside_facts, possession};
use serde_json::json;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Largest proof read: DER of an ECDSA signature.
const PROOF_LEN_MAX: u64 = 256;
/// Largest revocation list read.
const LIST_LEN_MAX: u64 = 4 << 20;

/// Arguments of `eport ca outside`.
#[derive(Args, Debug)]
pub struct OutsideArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: OutsideCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum OutsideCommand {
    /// Write the challenge that the CA's own key must sign: openssl dgst -sha256 -sign CA.key -out proof challenge
    Challenge {
        /// Certificate of the outside CA, PEM; its key is on P-256
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        /// Whom it shall speak for: agency/CODE, enterprise/USCC or enterprise/*; may be given several times
        #[arg(long = "subject", value_name = "SUBJECT", required = true)]
        subjects: Vec<OutsideSubject>,
        /// Where its certificates shall count; may be given several times
        #[arg(long = "platform", value_name = "REGION", required = true)]
        platforms: Vec<RegionCode>,
        /// File for the challenge; good for thirty days
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Bring the CA's newest revocation list, PEM or DER; it proves itself
    Revocations {
        /// SHA-256 of the CA's key
        #[arg(value_name = "KEY")]
        issuer: Digest,
        /// The list
        #[arg(long, value_name = "FILE")]
        list: PathBuf,
    },
    /// Remove the CA and distrust its key for ever: connections and sessions of its certificates end at once
    Remove {
        /// SHA-256 of the CA's key
        #[arg(value_name = "KEY")]
        issuer: Digest,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// Runs the group.
pub async fn run(args: OutsideArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        OutsideCommand::Challenge { certificate, subjects, platforms, out: file } => {
            let scope = OutsideScope::new(subjects, platforms).map_err(|e| Error::usage(e.reason))?;
            challenge(&client, &connect::access(global)?, &certificate, scope, &file, out).await
        }
        OutsideCommand::Revocations { issuer, list } => revocations(&client, issuer, &list, out).await,
        OutsideCommand::Remove { issuer, reason } => remove(&client, issuer, &reason, out).await,
    }
}

fn refuse(detail: impl Into<String>) -> Error {
    Error::coded(codes::OUTSIDE_CA, detail.into())
}

async fn challenge(
    client: &Client,
    access: &Access,
    file: &Path,
    scope: OutsideScope,
    to: &Path,
    out: Out,
) -> Result<(), Error> {
    let facts = outside_facts(&certificate(file)?).map_err(|e| refuse(format!("{}: {e}", file.display())))?;
    let federation: FederationStatus = client.get("/v1/federation", &[]).await?;
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    let challenge = Challenge {
        domain: domain_of(access)?,
        lineage: federation.lineage,
        key: facts.key_id,
        scope,
        made_ms: i64::try_from(now).unwrap_or(i64::MAX),
        nonce: rand::random(),
    };
    write_new(to, challenge.text().as_bytes(), false)?;
    let (name, key) = (facts.name, facts.key_id.to_string());
    let document = json!({ "challenge": to, "name": name, "key": key });
    out.result(&document, || {
        let file = to.display();
        format!("{name}  {key}\nwith the CA's key: openssl dgst -sha256 -sign CA.key -out proof {file}\n")
    });
    Ok(())
}

/// What `eport ca add --outside` is given.
pub struct Registration<'a> {
    /// Certificate of the CA, PEM.
    pub certificate: &'a Path,
    /// The challenge.
    pub challenge: &'a Path,
    /// The signature under it.
    pub proof: &'a Path,
}

/// Registers a CA.
pub async fn add(client: &Client, given: &Registration<'_>, out: Out) -> Result<(), Error> {
    let now = status(client).await?;
    let der = certificate(given.certificate)?;
    let text = String::from_utf8(read(given.challenge, CHALLENGE_LEN_MAX as u64)?);
    let text = text.map_err(|_| refuse(format!("{} is not text", given.challenge.display())))?;
    let proof = read(given.proof, PROOF_LEN_MAX)?;
    let (facts, challenge) =
        possession(&der, &text, &proof).map_err(|e| refuse(format!("the proof fails: {e}")))?;
    let subjects: Vec<String> = challenge.scope.subjects().map(ToString::to_string).collect();
    let platforms: Vec<String> = challenge.scope.platforms().map(|p| p.to_string()).collect();
    out.progress(format!(
        "{}  {}\nfor {}\nat {}",
        facts.name,
        facts.key_id,
        subjects.join(", "),
        platforms.join(", ")
    ));
    out.confirm(("let this CA outside vouch for them?", "允许该外部 CA 为其背书？"))?;
    let body = OutsideRequest {
        version: now.changes,
        certificate: certificate_pem(&der),
        challenge: text.clone(),
        proof: hex::encode(&proof),
    };
    let statement = statement::add_outside(now.changes, &der, &text, &proof);
    let after: TrustStatus = client.give(Method::POST, "/v1/trust/outside", &body, &statement).await?;
    show(&after, out);
    Ok(())
}

async fn revocations(client: &Client, key: Digest, file: &Path, out: Out) -> Result<(), Error> {
    let bytes = read(file, LIST_LEN_MAX)?;
    let der = list_of_file(bytes).map_err(|e| refuse(format!("{}: {e}", file.display())))?;
    let path = format!("/v1/trust/outside/{key}/revocations");
    let taken: OutsideListTaken = client.put_bytes(&path, &[], der.into()).await?;
    out.result(&serde_json::to_value(&taken).unwrap_or_default(), || {
        let mut table = Table::new(["LIST", "NEW", "CERTIFICATES"]);
        table.row([
            taken.number.to_string(),
            if taken.taken { "yes".to_owned() } else { "-".to_owned() },
            taken.entries.to_string(),
        ]);
        table.render()
    });
    Ok(())
}

async fn remove(client: &Client, key: Digest, reason: &str, out: Out) -> Result<(), Error> {
    let now = status(client).await?;
    let known = now.outside.iter().find(|o| o.key == key.to_string());
    let known =
        known.ok_or_else(|| Error::coded(codes::NOT_FOUND, format!("no outside CA has the key {key}")))?;
    out.progress(format!("{}  for {}", known.name, known.subjects.join(", ")));
    out.confirm(("remove it for ever?", "永久移除该外部 CA？"))?;
    let body = OutsideRemovalRequest { version: now.changes, reason: reason.to_owned() };
    let statement = statement::remove_outside(now.changes, key, reason);
    let path = format!("/v1/trust/outside/{key}/removal");
    let after: TrustStatus = client.give(Method::POST, &path, &body, &statement).await?;
    show(&after, out);
    Ok(())
}

fn show(trust: &TrustStatus, out: Out) {
    out.result(&serde_json::to_value(trust).unwrap_or_default(), || text(trust));
}

/// The CAs outside as a table; empty when there are none.
pub fn text(trust: &TrustStatus) -> String {
    if trust.outside.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["OUTSIDE CA", "FOR", "AT", "STATE", "ENDS", "LIST", "KEY"]);
    for ca in &trust.outside {
        let list = match &ca.list {
            None => "none".to_owned(),
            Some(list) if list.over => format!("{} over since {}", list.number, list.next),
            Some(list) => format!("{} until {}", list.number, list.next),
        };
        table.row([
            ca.name.clone(),
            ca.subjects.join(" "),
            ca.platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            ca.state.clone(),
            ca.not_after.clone(),
            list,
            ca.key.clone(),
        ]);
    }
    format!("\n{}", table.render())
}

fn read(path: &Path, len_max: u64) -> Result<Vec<u8>, Error> {
    let len = std::fs::metadata(path).map_err(Error::file(path))?.len();
    if len > len_max {
        return Err(Error::coded(codes::FILE_UNUSABLE, format!("{} is too large", path.display())));
    }
    std::fs::read(path).map_err(Error::file(path))
}
