//! `eport ca`: ceremonies of the root, offline, and the requests of issuing CAs.

use super::custody::{self, ExportArgs, SealArgs, UnlockArgs};
use super::enrol::{self, TokenArgs};
use super::outside::{self, OutsideArgs};
use super::rotate::{self, AddArgs, RotateArgs};
use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::files::write_new;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_authority::ceremony::{
    self, CONFIG_LEN_MAX, CeremonyConfig, Finding, Folder, OldRoot, Product, Proof, Requests, SHARE_LEN_MAX,
    Share,
};
use eport_authority::{CommandKey, open_key};
use eport_model::{Digest, RegionCode, codes};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Largest certificate, key or request read.
const PEM_LEN_MAX: usize = 64 << 10;
/// Largest trust bundle read.
const BUNDLE_LEN_MAX: usize = 1 << 20;

/// Arguments of `eport ca`.
#[derive(Args, Debug)]
pub struct CaArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CaCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum CaCommand {
    /// Ceremonies of the root: on a machine without network, no node takes part
    Ceremony(CeremonyArgs),
    /// One-time enrolment tokens: make, list, withdraw
    Token(CaTokenArgs),
    /// Show roots, issuing CAs and their ends, who verifies by which bundle, the rotation, the heads of the ledgers
    Status,
    /// Replace a root or an issuing CA, step by step
    Rotate(RotateArgs),
    /// Register the issuing CA of a platform that has none of its purpose, or a CA outside the federation
    Add(AddArgs),
    /// CAs outside the federation: challenge, revocation lists, removal
    Outside(OutsideArgs),
    /// Make the key of an issuing CA on its own node, and the request that travels to the ceremony
    Request {
        /// File for the key, mode 0600; it stays here
        #[arg(long, value_name = "FILE")]
        key_out: PathBuf,
        /// File for the request
        #[arg(long, value_name = "FILE")]
        request_out: PathBuf,
        /// Seal the key under the passphrase in this file; when it is missing one is drawn and written there
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Seal a key that lies in the clear, where it lies
    Seal(SealArgs),
    /// Divide an issuing CA's key among persons: the wrapped key travels with the platform, a quorum of shares opens it
    Export(ExportArgs),
    /// List the keys of issuing CAs as the asked node has them: open, locked or absent; who holds shares
    Keys {
        /// The platform; default every platform
        #[arg(long, value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// Open a CA's key on the node that is primary now, with shares or with the passphrase of its file
    Unlock(UnlockArgs),
}

/// Arguments of `eport ca token`.
#[derive(Args, Debug)]
pub struct CaTokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CaTokenCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum CaTokenCommand {
    /// Make a token; the same as cert token
    Create(TokenArgs),
    /// List tokens without their secrets
    List {
        /// The platform; default every platform
        #[arg(long, value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// Withdraw a token that was not used
    Revoke {
        /// The token's id
        id: String,
    },
}

/// Arguments of `eport ca ceremony`.
#[derive(Args, Debug)]
pub struct CeremonyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CeremonyCommand,
}

/// What a ceremony needs.
#[derive(Args, Debug)]
pub struct PaperArgs {
    /// The paper of the ceremony, TOML
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Folder of the ceremony
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Rehearse with keys that are thrown away: look at every rule, write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The ceremonies.
#[derive(Subcommand, Debug)]
pub enum CeremonyCommand {
    /// Make a root, divide its key among persons, sign issuing CAs
    Begin(PaperArgs),
    /// The same with a root that exists
    Import {
        /// The paper and the folder.
        #[command(flatten)]
        paper: PaperArgs,
        /// Certificate of the root, PEM
        #[arg(long, value_name = "FILE")]
        root_cert: PathBuf,
        /// Its private key, PKCS#8 PEM, mode 0600; destroy it afterwards
        #[arg(long, value_name = "FILE")]
        root_key: PathBuf,
    },
    /// Open the root with shares: new revocation list, new issuing CAs, new shares
    Open {
        /// The paper and the folder.
        #[command(flatten)]
        paper: PaperArgs,
        /// File of a share; give as many as are needed
        #[arg(long = "share", value_name = "FILE", required = true)]
        shares: Vec<PathBuf>,
        /// Divide the key anew: the shares in use today open nothing afterwards
        #[arg(long)]
        divide: bool,
    },
    /// Make a new root beside the old one: each signs the other, every issuing CA is signed again with the key it has
    Rotate {
        /// The paper, and the folder of the new root.
        #[command(flatten)]
        paper: PaperArgs,
        /// Folder of the old root's ceremony
        #[arg(long, value_name = "DIR", requires = "shares", required_unless_present = "old_root_cert")]
        old: Option<PathBuf>,
        /// File of a share of the old root; give as many as are needed
        #[arg(long = "share", value_name = "FILE")]
        shares: Vec<PathBuf>,
        /// Certificate of an old root that never had a ceremony, PEM
        #[arg(long, value_name = "FILE", requires_all = ["old_root_key", "bundle"], conflicts_with = "old")]
        old_root_cert: Option<PathBuf>,
        /// Its private key, PKCS#8 PEM, mode 0600
        #[arg(long, value_name = "FILE")]
        old_root_key: Option<PathBuf>,
        /// Its trust bundle, PEM: the issuing CAs that are signed again
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
    },
    /// Prove a folder against its transcript
    Verify {
        /// Folder of the ceremony
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Fingerprint of the root as known from elsewhere
        #[arg(long, value_name = "SHA256")]
        fingerprint: Option<Digest>,
    },
    /// Sign the transcript as a witness
    Witness {
        /// Folder of the ceremony
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The witness's certificate, PEM
        #[arg(long, value_name = "FILE")]
        witness_cert: PathBuf,
        /// Its private key, PEM, mode 0600
        #[arg(long, value_name = "FILE")]
        witness_key: PathBuf,
    },
}

/// Runs the group.
pub async fn run(args: CaArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        CaCommand::Token(args) => {
            let client = connect::client(global)?;
            match args.command {
                CaTokenCommand::Create(args) => enrol::make_token(&client, &args, out).await,
                CaTokenCommand::List { platform } => enrol::tokens(&client, platform, out).await,
                CaTokenCommand::Revoke { id } => enrol::withdraw(&client, &id, out).await,
            }
        }
        CaCommand::Status => rotate::ca_status(&connect::client(global)?, out).await,
        CaCommand::Rotate(args) => rotate::rotate(&connect::client(global)?, &args, out).await,
        CaCommand::Add(args) => rotate::add(&connect::client(global)?, &args, out).await,
        CaCommand::Outside(args) => outside::run(args, global, out).await,
        CaCommand::Ceremony(args) => run_ceremony(args.command, out),
        CaCommand::Request { key_out, request_out, passphrase_file } => {
            request(&key_out, &request_out, passphrase_file.as_deref(), out)
        }
        CaCommand::Seal(args) => custody::seal(&args, out),
        CaCommand::Export(args) => custody::export(&args, global, out).await,
        CaCommand::Keys { platform } => custody::keys(platform, global, out).await,
        CaCommand::Unlock(args) => custody::unlock(&args, global, out).await,
    }
}

fn refused(error: eport_authority::Error) -> Error {
    let mut detail = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        detail = format!("{detail}: {source}");
    }
    Error::coded(eport_model::Code(error.code()), detail)
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn run_ceremony(command: CeremonyCommand, out: Out) -> Result<(), Error> {
    let guard = eport_authority::guard_memory();
    // Whoever proves or witnesses a folder never holds the root's key.
    let public = matches!(command, CeremonyCommand::Verify { .. } | CeremonyCommand::Witness { .. });
    for why in [guard.locked, guard.undumped].into_iter().filter_map(Result::err).filter(|_| !public) {
        out.say(
            format!("note: the root's key may leave memory: {why}; use a machine without swap"),
            format!("注意：根密钥可能离开内存：{why}；请使用无交换分区的机器"),
        );
    }
    match command {
        CeremonyCommand::Begin(paper) => {
            let (config, requests) = paper.read()?;
            paper.fresh()?;
            let made = ceremony::begin(&config, &requests, now());
            paper.finish(&config, made, "make a new root here?", "在此生成新的根证书？", out)
        }
        CeremonyCommand::Import { paper, root_cert, root_key } => {
            let (config, requests) = paper.read()?;
            paper.fresh()?;
            let cert = text(&root_cert, PEM_LEN_MAX)?;
            let key = open_key(&root_key, &cert).map_err(refused)?;
            let made = ceremony::import(&config, &cert, &key, &requests, now());
            paper.finish(&config, made, "import this root here?", "在此导入该根证书？", out)
        }
        CeremonyCommand::Open { paper, shares, divide } => {
            let (config, requests) = paper.read()?;
            let shares = read_shares(&shares)?;
            let record = Folder::at(&paper.dir).record().map_err(refused)?;
            let made = ceremony::open(record, &shares, &config, &requests, divide, now());
            paper.finish(&config, made, "open the root?", "打开根密钥？", out)
        }
        CeremonyCommand::Rotate { paper, old, shares, old_root_cert, old_root_key, bundle } => {
            let (config, _) = paper.read()?;
            paper.fresh()?;
            let from = match (&old, &old_root_cert, &old_root_key, &bundle) {
                (Some(dir), ..) => {
                    let record = Folder::at(dir).record().map_err(refused)?;
                    OldRoot::Ceremony(Box::new(record), read_shares(&shares)?)
                }
                (None, Some(cert), Some(key), Some(bundle)) => {
                    let certificate = text(cert, PEM_LEN_MAX)?;
                    let key = open_key(key, &certificate).map_err(refused)?;
                    OldRoot::Files { certificate, key, bundle: text(bundle, BUNDLE_LEN_MAX)? }
                }
                _ => {
                    return Err(Error::usage(
                        "--old with --share, or --old-root-cert with its key and --bundle",
                    ));
                }
            };
            let made = ceremony::rotate(from, &config, now()).map_err(refused)?;
            let (en, zh) = ("make a new root beside the old one?", "在旧根旁生成新的根证书？");
            paper.finish(&config, Ok(made.new), en, zh, out)?;
            // The new root's folder stands; the old one's transcript tells of it.
            match (made.old, &old) {
                (Some(product), Some(dir)) if !paper.dry_run => {
                    Folder::at(dir).write(&product).map_err(refused)
                }
                _ => Ok(()),
            }
        }
        CeremonyCommand::Verify { dir, fingerprint } => {
            let proof = Folder::at(dir).verify(fingerprint).map_err(refused)?;
            show_proof(&proof, out)
        }
        CeremonyCommand::Witness { dir, witness_cert, witness_key } => {
            let key = CommandKey::load(&witness_key).map_err(refused)?;
            let cert = text(&witness_cert, PEM_LEN_MAX)?;
            show_proof(&Folder::at(dir).sign(&cert, &key, now()).map_err(refused)?, out)
        }
    }
}

fn read_shares(files: &[PathBuf]) -> Result<Vec<Share>, Error> {
    let shares = files.iter().map(|path| {
        let share = Share::parse(&text(path, SHARE_LEN_MAX)?);
        share.map_err(|e| Error::coded(codes::CA_SHARES, format!("{}: {e}", path.display())))
    });
    shares.collect()
}

impl PaperArgs {
    fn read(&self) -> Result<(CeremonyConfig, Requests), Error> {
        let config = CeremonyConfig::parse(&text(&self.config, CONFIG_LEN_MAX)?).map_err(refused)?;
        let base = self.config.parent().unwrap_or(Path::new("."));
        let names = config.issuing.iter().filter_map(|ca| ca.request.clone());
        let requests = names.map(|name| Ok((name.clone(), text(&base.join(&name), PEM_LEN_MAX)?)));
        let requests = requests.collect::<Result<_, Error>>()?;
        Ok((config, requests))
    }

    /// A first ceremony begins in an empty folder: nothing of another one may lie between its files.
    fn fresh(&self) -> Result<(), Error> {
        if std::fs::read_dir(&self.dir).is_ok_and(|mut d| d.next().is_some()) {
            let detail = format!("{} is not empty", self.dir.display());
            return Err(Error::coded(codes::DEV_DIR_IN_USE, detail));
        }
        Ok(())
    }

    fn finish(
        &self,
        config: &CeremonyConfig,
        made: Result<Product, eport_authority::Error>,
        en: &str,
        zh: &str,
        out: Out,
    ) -> Result<(), Error> {
        let findings = config.lint();
        for finding in &findings {
            out.progress(line(finding));
        }
        let made = made.map_err(refused)?;
        if !self.dry_run {
            out.confirm((en, zh))?;
            Folder::at(&self.dir).write(&made).map_err(refused)?;
        }
        let files: Vec<&str> = made.files.iter().map(|f| f.path.as_str()).collect();
        // The keys of a rehearsal are thrown away: their fingerprints would mislead.
        let real = |text: String| (!self.dry_run).then_some(text);
        let document = json!({
            "dir": self.dir, "written": !self.dry_run, "findings": findings, "files": files,
            "root_fingerprint": real(made.root.to_string()), "head": real(made.head.to_string()),
            "crl_number": made.crl_number, "issuing": made.issuing,
        });
        out.result(&document, || {
            let mut table = Table::new(["", ""]);
            for name in ["dir", "written", "root_fingerprint", "head", "crl_number"] {
                table.row([name.to_owned(), cell(&document, name)]);
            }
            let listed: String = files.iter().map(|f| format!("  {f}\n")).collect();
            format!("{}{listed}", table.render())
        });
        Ok(())
    }
}

fn line(finding: &Finding) -> String {
    let severity = serde_json::to_value(finding.severity).unwrap_or(Value::Null);
    format!("{} {}: {}", severity.as_str().unwrap_or_default(), finding.rule, finding.detail)
}

fn show_proof(proof: &Proof, out: Out) -> Result<(), Error> {
    let mut document = serde_json::to_value(proof).unwrap_or(Value::Null);
    document["ok"] = proof.problems.is_empty().into();
    out.result(&document, || {
        let mut table = Table::new(["", ""]);
        for name in ["root", "ceremonies", "lines", "head", "witnesses", "ok"] {
            table.row([name.to_owned(), cell(&document, name)]);
        }
        let problems: String = proof.problems.iter().map(|p| format!("  - {p}\n")).collect();
        format!("{}{problems}", table.render())
    });
    if proof.problems.is_empty() { Ok(()) } else { Err(Error::Exit(crate::exit::DIFFERENCE)) }
}

fn request(key_out: &Path, request_out: &Path, word: Option<&Path>, out: Out) -> Result<(), Error> {
    let (request, key) = ceremony::ca_request().map_err(refused)?;
    write_new(key_out, key.as_bytes(), true)?;
    if let Some(word) = word {
        custody::seal_key(key_out, word)?;
    }
    write_new(request_out, request.as_bytes(), false)?;
    let document = json!({ "key": key_out, "request": request_out });
    out.result(&document, || format!("{}\n{}\n", cell(&document, "key"), cell(&document, "request")));
    Ok(())
}

fn text(path: &Path, len_max: usize) -> Result<String, Error> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(Error::file(path))?;
    file.take(len_max as u64 + 1).read_to_string(&mut text).map_err(Error::file(path))?;
    if text.len() > len_max {
        return Err(Error::coded(codes::FILE_UNUSABLE, format!("{} is too large", path.display())));
    }
    Ok(text)
}
