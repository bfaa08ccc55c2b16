//! `eport ca rotate`, `eport ca add`, `eport ca status`, `eport trust show`: whom the federation trusts, and how that changes.

use super::outside::{self, Registration};
use crate::args::Global;
use crate::connect::{self, Access};
use crate::error::Error;
use crate::files::write_atomic;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::{IssuerRequest, RotationMaterial, RotationRequest, TrustCa, TrustStatus};
use eport_authority::ceremony::{Folder, Pieces};
use eport_authority::{certificate_of_pem, certificate_pem};
use eport_client::{Client, Method};
use eport_model::{Code, Epoch, NodeId, Timestamp, TrustDomain, codes};
use eport_registry::{Material, RotationStep, statement};
use eport_tls::{Offer, TrustBundle, adopt};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Largest certificate or bundle read.
const PEM_LEN_MAX: u64 = 1 << 20;

/// Arguments of `eport ca rotate`.
#[derive(Args, Debug)]
pub struct RotateArgs {
    /// The step.
    #[command(subcommand)]
    pub step: Step,
}

/// The steps, in order.
#[derive(Subcommand, Debug)]
pub enum Step {
    /// Register what the ceremony made; nobody trusts it yet
    Prepare {
        /// Folder of the new root, from ca ceremony rotate
        #[arg(long, value_name = "DIR", conflicts_with = "issuing", required_unless_present = "issuing")]
        dir: Option<PathBuf>,
        /// Certificate of an issuing CA with a new key, from ca ceremony open
        #[arg(long, value_name = "FILE")]
        issuing: Option<PathBuf>,
    },
    /// Put the new root or CA into the trust bundle beside the old one
    Publish,
    /// Put the re-issued issuing CAs into the bundle; for a root only
    Cross,
    /// Use the new one; refused while a member has not acknowledged the bundle
    Activate {
        /// Leave this member behind knowingly; may be given several times
        #[arg(long = "without", value_name = "NODE")]
        without: Vec<NodeId>,
    },
    /// Take the old one out of the bundle, once nothing under it lives any more
    Retire {
        /// Before the drain is over
        #[arg(long, requires = "reason")]
        force: bool,
        /// Why
        #[arg(long, requires = "force")]
        reason: Option<String>,
    },
    /// Undo the rotation; possible until activate
    Abort,
    /// Show the rotation and who has acknowledged
    Status,
}

/// Arguments of `eport ca add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Certificate of the issuing CA, PEM, from ca ceremony open
    #[arg(long, value_name = "FILE", required_unless_present = "outside")]
    pub certificate: Option<PathBuf>,
    /// Certificate of a CA outside the federation, PEM: an agency's own or that of traders
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["certificate", "since_epoch"],
        requires_all = ["challenge", "proof"]
    )]
    pub outside: Option<PathBuf>,
    /// Its challenge, from ca outside challenge
    #[arg(long, value_name = "FILE", requires = "outside")]
    pub challenge: Option<PathBuf>,
    /// The signature of its key under the challenge, DER
    #[arg(long, value_name = "FILE", requires = "outside")]
    pub proof: Option<PathBuf>,
    /// It issues from this epoch of its platform on; default at once
    #[arg(long, value_name = "EPOCH", default_value_t = 0)]
    pub since_epoch: u64,
}

/// Arguments of `eport trust`.
#[derive(Args, Debug)]
pub struct TrustArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TrustCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum TrustCommand {
    /// Show roots and issuing CAs; write the bundle to a file once it is proven from the one in use
    Show {
        /// File for the bundle, PEM; replaced in one step
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Whom the federation trusts now.
pub async fn status(client: &Client) -> Result<TrustStatus, Error> {
    Ok(client.get("/v1/trust", &[]).await?)
}

fn document(trust: &TrustStatus) -> Value {
    serde_json::to_value(trust).unwrap_or(Value::Null)
}

/// Runs a step.
pub async fn rotate(client: &Client, args: &RotateArgs, out: Out) -> Result<(), Error> {
    let now = status(client).await?;
    let step = match &args.step {
        Step::Status => {
            show_rotation(&now, out);
            return Ok(());
        }
        Step::Prepare { dir: Some(dir), .. } => Given::Root(pieces(dir)?),
        Step::Prepare { issuing: Some(file), .. } => Given::Issuing(certificate(file)?),
        Step::Prepare { .. } => return Err(Error::usage("--dir or --issuing is needed")),
        Step::Publish => Given::Step(RotationStep::Publish),
        Step::Cross => Given::Step(RotationStep::Cross),
        Step::Activate { without } => Given::Step(RotationStep::Activate { without: without.clone() }),
        Step::Retire { reason, .. } => Given::Step(RotationStep::Retire { force: reason.clone() }),
        Step::Abort => Given::Step(RotationStep::Abort),
    };
    if !out.json {
        out.progress(rotation_text(&now).trim_end());
    }
    out.confirm(("take this step?", "执行此步骤？"))?;
    let after = give(client, &now, &step).await?;
    show_rotation(&after, out);
    Ok(())
}

/// A step with what it needs.
pub enum Given {
    /// `prepare` for a new root.
    Root(Box<Pieces>),
    /// `prepare` for an issuing CA with a new key, DER.
    Issuing(Vec<u8>),
    /// Any other step.
    Step(RotationStep),
}

/// What a new root's folder brings in, proven.
pub fn pieces(dir: &Path) -> Result<Box<Pieces>, Error> {
    let read = Folder::at(dir).pieces();
    read.map(Box::new).map_err(|e| Error::coded(Code(e.code()), e.to_string()))
}

/// Gives the step on the version that was seen.
pub async fn give(client: &Client, seen: &TrustStatus, given: &Given) -> Result<TrustStatus, Error> {
    let version = seen.changes;
    let (step, material) = match given {
        Given::Root(pieces) => {
            let (step, sent) = of_pieces(pieces);
            (step, Some(sent))
        }
        Given::Issuing(der) => {
            let material = Material { issuing: vec![der.clone()], ..Material::default() };
            let sent =
                RotationMaterial { issuing: vec![certificate_pem(der)], ..RotationMaterial::default() };
            (RotationStep::Prepare(Box::new(material)), Some(sent))
        }
        Given::Step(step) => (step.clone(), None),
    };
    let mut body =
        RotationRequest { step: step.word().to_owned(), version, material, ..RotationRequest::default() };
    match &step {
        RotationStep::Activate { without } => body.without.clone_from(without),
        RotationStep::Retire { force } => body.force.clone_from(force),
        _ => {}
    }
    let statement = statement::rotate(version, &step);
    Ok(client.give(Method::POST, "/v1/trust/rotation", &body, &statement).await?)
}

fn of_pieces(p: &Pieces) -> (RotationStep, RotationMaterial) {
    let material = Material {
        root: Some(p.root.clone()),
        list: p.list.clone(),
        list_ends: Timestamp::from_millis(p.list_ends.unix_timestamp().saturating_mul(1_000)),
        new_by_old: p.new_by_old.clone(),
        old_by_new: p.old_by_new.clone(),
        issuing: p.issuing.clone(),
    };
    let sent = RotationMaterial {
        root: Some(certificate_pem(&p.root)),
        list: hex::encode(&p.list),
        new_by_old: certificate_pem(&p.new_by_old),
        old_by_new: certificate_pem(&p.old_by_new),
        issuing: p.issuing.iter().map(|der| certificate_pem(der)).collect(),
    };
    (RotationStep::Prepare(Box::new(material)), sent)
}

/// Adds an issuing CA.
pub async fn add(client: &Client, args: &AddArgs, out: Out) -> Result<(), Error> {
    if let (Some(certificate), Some(challenge), Some(proof)) = (&args.outside, &args.challenge, &args.proof) {
        return outside::add(client, &Registration { certificate, challenge, proof }, out).await;
    }
    let file =
        args.certificate.as_deref().ok_or_else(|| Error::usage("--certificate or --outside is needed"))?;
    let now = status(client).await?;
    let der = certificate(file)?;
    let facts = eport_signature::ca_facts(&der)
        .map_err(|e| Error::coded(codes::TRUST_MATERIAL, format!("{}: {e}", file.display())))?;
    out.progress(format!("{}  {}", facts.name, facts.key_id));
    out.confirm(("let this CA issue?", "允许该 CA 签发？"))?;
    let since = Epoch::from_u64(args.since_epoch);
    let body = IssuerRequest {
        version: now.changes,
        certificate: certificate_pem(&der),
        since_epoch: args.since_epoch,
    };
    let statement = statement::add_issuer(now.changes, &der, since);
    let after: TrustStatus = client.give(Method::POST, "/v1/trust/issuers", &body, &statement).await?;
    show(&after, out);
    Ok(())
}

/// Shows everything about the CAs.
pub async fn ca_status(client: &Client, out: Out) -> Result<(), Error> {
    let trust = status(client).await?;
    out.result(&document(&trust), || {
        let mut ledgers = Table::new(["PLATFORM", "EPOCH", "INDEX", "DIGEST"]);
        for l in &trust.ledgers {
            ledgers.row([
                l.region.to_string(),
                l.epoch.to_string(),
                l.index.to_string(),
                short(&l.digest.to_string()),
            ]);
        }
        format!("{}\n{}\n{}", bundle_text(&trust), rotation_text(&trust), ledgers.render())
    });
    Ok(())
}

/// Runs `eport trust`.
pub async fn trust(args: TrustArgs, global: &Global, out: Out) -> Result<(), Error> {
    let TrustCommand::Show { out: file } = args.command;
    let access = connect::access(global)?;
    let client = connect::client(global)?;
    let trust = status(&client).await?;
    if let Some(file) = &file {
        fetch(&client, &access, file).await?;
    }
    let mut document = document(&trust);
    document["written"] = json!(file);
    out.result(&document, || bundle_text(&trust));
    Ok(())
}

/// The trust domain that the bundle in use names.
pub fn domain_of(access: &Access) -> Result<TrustDomain, Error> {
    let failed = |e: eport_tls::Error| Error::coded(Code(e.code()), e.to_string());
    let certificates = TrustBundle::certificates(&access.ca).map_err(failed)?;
    let domain = certificates.iter().find_map(|der| Some(eport_signature::ca_facts(der).ok()?.uri?.0));
    domain.ok_or_else(|| Error::key(format!("{} names no trust domain", access.ca.display())))
}

/// Writes the bundle of the federation, when each of its roots is known here or signed by one that is.
async fn fetch(client: &Client, access: &Access, file: &Path) -> Result<(), Error> {
    let failed = |e: eport_tls::Error| Error::coded(Code(e.code()), e.to_string());
    let known = TrustBundle::from_file(&access.ca, domain_of(access)?).map_err(failed)?;
    let bytes = client.download("/v1/trust-bundle").await?;
    let offer = Offer::from_pem(&bytes).map_err(failed)?;
    let next = adopt(&known, &offer).map_err(failed)?;
    let text: String = next.roots().chain(next.others()).map(certificate_pem).collect();
    write_atomic(file, text.as_bytes())
}

fn show(trust: &TrustStatus, out: Out) {
    out.result(&document(trust), || bundle_text(trust));
}

fn show_rotation(trust: &TrustStatus, out: Out) {
    out.result(&document(trust), || rotation_text(trust));
}

fn short(key: &str) -> String {
    key.chars().take(16).collect()
}

fn bundle_text(trust: &TrustStatus) -> String {
    let mut table = Table::new(["CA", "PLATFORM", "PURPOSE", "STATE", "UNDER", "ENDS", "KEY", "HERE"]);
    for ca in trust.roots.iter().chain(&trust.issuing) {
        table.row(row(ca));
    }
    format!("bundle {}\n{}{}", trust.version, table.render(), outside::text(trust))
}

fn row(ca: &TrustCa) -> [String; 8] {
    let dash = || "-".to_owned();
    [
        ca.name.clone(),
        ca.platform.map_or_else(dash, |p| p.to_string()),
        ca.purpose.clone().unwrap_or_else(|| "root".to_owned()),
        ca.state.clone(),
        ca.under.as_deref().map_or_else(dash, short),
        ca.not_after.clone(),
        short(&ca.key),
        if ca.here { "yes".to_owned() } else { dash() },
    ]
}

fn rotation_text(trust: &TrustStatus) -> String {
    let document = document(trust);
    let mut table = Table::new(["", ""]);
    table.row(["bundle".to_owned(), trust.version.to_string()]);
    let names = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let acknowledged: Vec<NodeId> =
        trust.members.iter().filter(|m| m.acknowledged >= trust.version).map(|m| m.node).collect();
    table.row(["acknowledged".to_owned(), names(&acknowledged)]);
    table
        .row(["not yet".to_owned(), if trust.behind.is_empty() { "-".into() } else { names(&trust.behind) }]);
    match &document["rotation"] {
        Value::Null => table.row(["rotation", "-"]),
        rotation => {
            for name in ["of", "phase", "old", "new", "begun", "by", "activated", "drained"] {
                table.row([name.to_owned(), cell(rotation, name)]);
            }
        }
    }
    table.render()
}

/// Reads the first certificate of a PEM file, DER.
pub fn certificate(path: &Path) -> Result<Vec<u8>, Error> {
    let len = std::fs::metadata(path).map_err(Error::file(path))?.len();
    if len > PEM_LEN_MAX {
        return Err(Error::coded(codes::FILE_UNUSABLE, format!("{} is too large", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
    certificate_of_pem(&text).map_err(|e| Error::coded(Code(e.code()), format!("{}: {e}", path.display())))
}
