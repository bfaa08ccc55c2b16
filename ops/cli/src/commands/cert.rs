//! `eport cert`: certificates of the federation's CAs.

use super::enrol::{self, RenewArgs, TokenArgs};
use super::issue_all::IssueAllArgs;
use crate::args::Global;
use crate::commands::cert_directory::DirectoryOptions;
use crate::connect;
use crate::error::Error;
use crate::files::{read_input, write_new};
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_api_types::{CertificateImport, CertificateRequest, ExamineRequest, RevocationRequest};
use eport_client::{Client, Method, Repeat, path_segment};
use eport_model::{Coded, Distrust, RegionCode, Subject, codes};
use eport_registry::statement;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Arguments of `eport cert`.
#[derive(Args, Debug)]
pub struct CertArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CertCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum CertCommand {
    /// Issue a certificate at the primary of the CA's platform
    Issue(IssueArgs),
    /// Issue many certificates from requests of keys made elsewhere, 256 at a time
    IssueAll(IssueAllArgs),
    /// List the certificates of a platform's CAs, or of one subject at every platform
    List {
        /// The platform; default every platform
        #[arg(long, value_name = "REGION")]
        platform: Option<RegionCode>,
        /// Only this subject's: one subject may have many certificates
        #[arg(long, value_name = "PATH")]
        subject: Option<String>,
    },
    /// Publish the directory of a platform's certificates as a version of its table `certificates`
    Publish {
        /// The platform
        #[arg(long, value_name = "REGION")]
        platform: RegionCode,
        /// When and how
        #[command(flatten)]
        options: DirectoryOptions,
    },
    /// Show one certificate with its chain
    Show {
        /// Serial, hex
        serial: String,
        /// The platform; default every platform is asked
        #[arg(long, value_name = "REGION")]
        platform: Option<RegionCode>,
    },
    /// Revoke a certificate for ever: connections that use it are closed at once
    Revoke {
        /// Serial, hex
        #[arg(required_unless_present_any = ["subject", "spki", "issuer"])]
        serial: Option<String>,
        /// Every valid certificate of this subject
        #[arg(long, value_name = "PATH", conflicts_with = "serial")]
        subject: Option<String>,
        /// Every certificate of this public key (SHA-256 of the SPKI); a CA's key takes everything below it
        #[arg(long, value_name = "SHA256", conflicts_with_all = ["serial", "subject"])]
        spki: Option<eport_model::Digest>,
        /// What this CA (SHA-256 of its key) issued in one epoch, also what no ledger knows
        #[arg(long, value_name = "SHA256", requires = "epoch", conflicts_with_all = ["serial", "subject", "spki"])]
        issuer: Option<eport_model::Digest>,
        /// The epoch
        #[arg(long, value_name = "N", requires = "issuer")]
        epoch: Option<u64>,
        /// Only what was issued after this record of the CA's platform: the last one that the ledger kept
        #[arg(long, value_name = "INDEX", requires = "issuer")]
        after: Option<u64>,
        /// Why: key-compromise, superseded, cessation-of-operation, affiliation-changed, privilege-withdrawn; then free text
        #[arg(long)]
        reason: String,
        /// Revoke also a serial that no ledger knows
        #[arg(long)]
        unknown: bool,
    },
    /// Make a one-time token with which its holder enrols by himself; the text is shown once
    Token(TokenArgs),
    /// List requests for certificates that wait for an operator, or were decided
    Requests {
        /// The platform; default every platform
        #[arg(long, value_name = "REGION")]
        platform: Option<RegionCode>,
        /// Also those that were decided
        #[arg(long)]
        all: bool,
    },
    /// Approve a request: the certificate is issued
    Approve {
        /// The request
        id: String,
    },
    /// Refuse a request
    Deny {
        /// The request
        id: String,
        /// Why; its asker is told
        #[arg(long)]
        reason: String,
    },
    /// Renew a certificate: a new key, made here, and the old one proves who asks
    Renew(RenewArgs),
    /// Show what ends within 90 days, CAs included
    Forecast {
        /// Days to look ahead
        #[arg(long, default_value_t = eport_enrolment::FORECAST_DAYS)]
        days: i64,
    },
    /// Say what a certificate is worth: chain, purposes, subject, revocation; exit 11 when it is worth nothing
    Verify {
        /// The certificate, and what came above it, PEM
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// As of this moment, RFC 3339; default now
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Enter certificates that the CA issued before its ledger began, for example those of init and dev up
    Import {
        /// The CA's platform
        #[arg(long, value_name = "REGION")]
        platform: RegionCode,
        /// Certificate, PEM; give as many as there are
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Arguments of `eport cert issue`.
#[derive(Args, Debug)]
pub struct IssueArgs {
    /// For whom: operator/ID, enterprise/USCC, agency/CODE/gw/N, platform/REGION/node/NODE
    #[arg(long, value_name = "PATH")]
    pub subject: String,
    /// File for the certificate with its CA
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Request of a key made elsewhere, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "key_out")]
    pub csr: Option<PathBuf>,
    /// Make the key here, into this file, mode 0600
    #[arg(long, value_name = "FILE", conflicts_with = "csr")]
    pub key_out: Option<PathBuf>,
    /// Profile; default the usual one of the subject
    #[arg(long)]
    pub profile: Option<String>,
    /// Platform whose CA issues; default a node's home platform, else the province
    #[arg(long, value_name = "REGION")]
    pub platform: Option<RegionCode>,
    /// Days of validity; default what the profile allows
    #[arg(long)]
    pub days: Option<i64>,
    /// Further DNS name of a node; may be given several times
    #[arg(long = "dns", value_name = "NAME")]
    pub dns: Vec<String>,
    /// Further address of a node; may be given several times
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
}

impl IssueArgs {
    /// A certificate of the usual profile for a subject, with a key that is made here.
    pub(crate) fn for_subject(subject: &str, out: PathBuf, key_out: PathBuf) -> Self {
        Self {
            subject: subject.to_owned(),
            out,
            csr: None,
            key_out: Some(key_out),
            profile: None,
            platform: None,
            days: None,
            dns: Vec::new(),
            addresses: Vec::new(),
        }
    }
}

/// Runs the group.
pub async fn run(args: CertArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        CertCommand::Issue(args) => issue(&client, &args, out).await,
        CertCommand::IssueAll(args) => super::issue_all::run(&client, &args, out).await,
        CertCommand::List { platform, subject } => {
            let items = list(&client, platform, subject.as_deref()).await?;
            out.items(&items, || {
                let columns = ["serial", "profile", "subject", "platform", "node", "not_after", "state"];
                let mut table = Table::new(columns);
                for item in &items {
                    table.row(columns.map(|k| cell(item, k)));
                }
                table
            });
            Ok(())
        }
        CertCommand::Publish { platform, options } => {
            super::cert_directory::publish(&client, platform, &options, out).await
        }
        CertCommand::Show { serial, platform } => {
            let found = find(&client, platform, &serial).await?;
            let unknown = || Error::coded(codes::CERT_UNKNOWN, format!("serial {serial}"));
            let item = found.ok_or_else(unknown)?;
            out.result(&item, || {
                let mut table = Table::new(["", ""]);
                for name in [
                    "serial",
                    "profile",
                    "subject",
                    "platform",
                    "not_before",
                    "not_after",
                    "state",
                    "requested_by",
                ] {
                    table.row([name.to_owned(), cell(&item, name)]);
                }
                let chain = item["chain"].as_str().unwrap_or_default();
                format!("{}{chain}", table.render())
            });
            Ok(())
        }
        CertCommand::Revoke { spki: Some(key), reason, .. } => {
            super::distrust::by_rule(&client, Distrust::Key(key), &reason, out).await
        }
        CertCommand::Revoke { issuer: Some(issuer), epoch, after, reason, .. } => {
            super::distrust::by_epoch(&client, (issuer, epoch.unwrap_or(0), after), &reason, out).await
        }
        CertCommand::Revoke { serial, subject, reason, unknown, .. } => {
            let serials = match (&serial, &subject) {
                (Some(serial), _) => vec![serial.clone()],
                (None, Some(subject)) => {
                    let items = list(&client, None, Some(subject)).await?;
                    let valid = items.iter().filter(|i| i["state"] == "valid");
                    valid.filter_map(|i| i["serial"].as_str().map(str::to_owned)).collect()
                }
                (None, None) => return Err(Error::usage("a serial or --subject is needed")),
            };
            if serials.is_empty() {
                return Err(Error::coded(codes::CERT_UNKNOWN, "the subject has no valid certificate"));
            }
            revoke(&client, &serials, &reason, unknown, out).await
        }
        CertCommand::Token(args) => enrol::make_token(&client, &args, out).await,
        CertCommand::Requests { platform, all } => enrol::requests(&client, platform, all, out).await,
        CertCommand::Approve { id } => enrol::decide(&client, &id, None, out).await,
        CertCommand::Deny { id, reason } => enrol::decide(&client, &id, Some(&reason), out).await,
        CertCommand::Renew(args) => enrol::renew(&client, &args, global, out).await,
        CertCommand::Forecast { days } => super::forecast::show(&client, days, out).await,
        CertCommand::Verify { file, at } => verify(&client, &file, at, out).await,
        CertCommand::Import { platform, files } => import(&client, platform, &files, out).await,
    }
}

/// A client that speaks with the primary of a platform alone.
pub(crate) async fn at_primary(client: &Client, region: RegionCode) -> Result<Client, Error> {
    let status = client.status().await?;
    let rows = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    let platform = rows("platforms").into_iter().find(|p| p["region"] == region.to_string());
    let unknown = || Error::coded(codes::NOT_FOUND, format!("the federation has no platform {region}"));
    let primary = platform.ok_or_else(unknown)?["primary"].clone();
    let node = rows("nodes").into_iter().find(|n| n["node"] == primary);
    let api = node.as_ref().and_then(|n| n["api"].as_str()).ok_or_else(unknown)?;
    let url = if api.starts_with("https://") { api.to_owned() } else { format!("https://{api}") };
    Ok(client.only(&url))
}

pub(crate) async fn platforms(client: &Client) -> Result<Vec<String>, Error> {
    let items = client.list("/v1/platforms", &[]).await?;
    Ok(items.iter().filter_map(|p| p["region"].as_str().map(str::to_owned)).collect())
}

pub(crate) async fn list(
    client: &Client,
    platform: Option<RegionCode>,
    subject: Option<&str>,
) -> Result<Vec<Value>, Error> {
    let regions = match platform {
        Some(region) => vec![region.to_string()],
        None => platforms(client).await?,
    };
    let mut query = vec![("limit", "1000".to_owned())];
    query.extend(subject.map(|s| ("subject", s.to_owned())));
    let mut items = Vec::new();
    for region in regions {
        items.extend(client.list(&format!("/v1/platforms/{region}/certificates"), &query).await?);
    }
    Ok(items)
}

/// A certificate in the ledger of a platform, or of any.
async fn find(client: &Client, platform: Option<RegionCode>, serial: &str) -> Result<Option<Value>, Error> {
    let regions = match platform {
        Some(region) => vec![region.to_string()],
        None => platforms(client).await?,
    };
    for region in regions {
        let path = format!("/v1/platforms/{region}/certificates/{}", path_segment(serial));
        match client.get::<Value>(&path, &[]).await {
            Ok(item) => return Ok(Some(item)),
            Err(error) => {
                let error = Error::from(error);
                if error.code() != codes::CERT_UNKNOWN {
                    return Err(error);
                }
            }
        }
    }
    Ok(None)
}

async fn issue(client: &Client, args: &IssueArgs, out: Out) -> Result<(), Error> {
    let item = issued(client, args).await?;
    out.result(&item, || format!("{}\n{}\n", cell(&item, "serial"), args.out.display()));
    Ok(())
}

/// Issues a certificate into the files named.
pub(crate) async fn issued(client: &Client, args: &IssueArgs) -> Result<Value, Error> {
    let subject: Subject = args.subject.parse().map_err(|e| Error::usage(format!("--subject: {e}")))?;
    if args.out.exists() {
        let detail = format!("{} exists already", args.out.display());
        return Err(Error::coded(codes::FILE_UNUSABLE, detail));
    }
    let csr = match (&args.csr, &args.key_out) {
        (Some(path), _) => text(path)?,
        (None, Some(path)) => {
            let (request, key) = eport_authority::certificate_request().map_err(refused)?;
            write_new(path, key.as_bytes(), true)?;
            request
        }
        (None, None) => return Err(Error::usage("--csr or --key-out is needed")),
    };
    let item = at_the_ca(client, &subject, args.platform, async |at, region| {
        let request = CertificateRequest {
            token: None,
            csr: csr.clone(),
            subject: args.subject.clone(),
            profile: args.profile.clone(),
            platform: Some(region.to_string()),
            days: args.days,
            dns: args.dns.clone(),
            addresses: args.addresses.clone(),
        };
        at.post::<Value>("/v1/certificates", &request, Repeat::UnlessSent).await
    });
    let item = item.await?;
    write_new(&args.out, item["chain"].as_str().unwrap_or_default().as_bytes(), false)?;
    Ok(item)
}

/// Asks the primaries of the platforms whose CA may speak for a subject, the likeliest first, until one has such a CA: a virtual
/// city is served by the CA of its province. A platform that was named is the only one asked.
pub(crate) async fn at_the_ca(
    client: &Client,
    subject: &Subject,
    named: Option<RegionCode>,
    ask: impl AsyncFn(&Client, RegionCode) -> Result<Value, eport_client::Error>,
) -> Result<Value, Error> {
    let status = client.status().await?;
    let mut last = None;
    for region in candidates(&status, subject, named) {
        let at = at_primary(client, region).await?;
        match ask(&at, region).await.map_err(Error::from) {
            Err(error) if error.code() == codes::CA_NOT_HERE && named.is_none() => last = Some(error),
            done => return done,
        }
    }
    Err(last.unwrap_or_else(|| Error::coded(codes::CA_NOT_HERE, "no platform's CA speaks for the subject")))
}

/// The platforms whose CA may issue for a subject, the likeliest first: the one named, a node's home, the province.
pub(crate) fn candidates(
    status: &Value,
    subject: &Subject,
    named: Option<RegionCode>,
) -> impl Iterator<Item = RegionCode> {
    let listed = status["platforms"].as_array().into_iter().flatten().filter_map(|p| p["region"].as_str());
    let served: Vec<RegionCode> = listed.filter_map(|r| r.parse().ok()).collect();
    let home = match subject {
        Subject::Node { platform, .. } => Some(*platform),
        _ => None,
    };
    let province = served.first().map(|r| r.province());
    let usual = [named, home, home.map(RegionCode::province), province];
    usual.into_iter().flatten().filter(move |r| served.contains(r))
}

async fn revoke(
    client: &Client,
    serials: &[String],
    reason: &str,
    unknown: bool,
    out: Out,
) -> Result<(), Error> {
    let listed = serials.join(", ");
    out.confirm((&format!("revoke {listed} for ever?"), &format!("永久吊销 {listed}？")))?;
    let mut items = Vec::new();
    for serial in serials {
        if !unknown && find(client, None, serial).await?.is_none() && !of_registry(client, serial).await? {
            return Err(Error::coded(codes::CERT_UNKNOWN, format!("serial {serial}")));
        }
        let request = RevocationRequest { reason: reason.to_owned(), unknown: true };
        let path = format!("/v1/certificates/{}/revocation", path_segment(serial));
        let statement = statement::revoke(serial, reason);
        items.push(client.give::<Value>(Method::POST, &path, &request, &statement).await?);
    }
    let document = json!({ "items": items, "next_page_token": null });
    out.result(&document, || {
        items.iter().map(|i| format!("{}: {}\n", cell(i, "serial"), cell(i, "state"))).collect()
    });
    Ok(())
}

/// Serials of CAs stand in no ledger but in the trust bundle.
async fn of_registry(client: &Client, serial: &str) -> Result<bool, Error> {
    let bundle = client.download("/v1/trust-bundle").await?;
    let certificates = eport_authority::certificates_of_pem(&bundle).map_err(refused)?;
    Ok(certificates.iter().any(|der| eport_authority::facts_of(der).is_ok_and(|f| f.serial == serial)))
}

async fn verify(client: &Client, file: &Path, at: Option<String>, out: Out) -> Result<(), Error> {
    let request = ExamineRequest { chain: text(file)?, at };
    let found: Value = client.post("/v1/certificates:verify", &request, Repeat::Safe).await?;
    out.result(&found, || {
        let mut table = Table::new(["", ""]);
        for name in [
            "valid",
            "at",
            "code",
            "reason",
            "subject",
            "serial",
            "purposes",
            "issuer",
            "not_before",
            "not_after",
        ] {
            table.row([name.to_owned(), cell(&found, name)]);
        }
        table.render()
    });
    if found["valid"] == true { Ok(()) } else { Err(Error::Exit(crate::exit::DIFFERENCE)) }
}

async fn import(client: &Client, platform: RegionCode, files: &[PathBuf], out: Out) -> Result<(), Error> {
    let at = at_primary(client, platform).await?;
    let mut items = Vec::new();
    for file in files {
        let request = CertificateImport { platform: platform.to_string(), certificate: text(file)? };
        items.push(at.post::<Value>("/v1/certificates:import", &request, Repeat::Safe).await?);
    }
    let document = json!({ "items": items, "next_page_token": null });
    out.result(&document, || {
        items.iter().map(|i| format!("{}  {}\n", cell(i, "serial"), cell(i, "subject"))).collect()
    });
    Ok(())
}

pub(crate) fn text(path: &Path) -> Result<String, Error> {
    let bytes = read_input(&path.display().to_string())?;
    String::from_utf8(bytes)
        .map_err(|_| Error::coded(codes::FILE_UNUSABLE, format!("{} is not PEM", path.display())))
}

pub(crate) fn refused(error: eport_authority::Error) -> Error {
    Error::coded(eport_model::Code(error.code()), error.to_string())
}
