//! Enrolment at the command line: tokens, requests that wait for an operator, renewal of one's own certificate.

use super::cert::{at_primary, at_the_ca, platforms, refused, text};
use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::files::{write_atomic, write_new};
use crate::output::{Out, cell};
use crate::table::Table;
use clap::Args;
use eport_api_types::{EnrolRequest, RenewalProof, RequestDecision, TokenRequest};
use eport_authority::CommandKey;
use eport_client::{Client, Repeat, path_segment};
use eport_enrolment::RENEWAL_CONTEXT;
use eport_model::{Digest, RegionCode, Subject, codes};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `eport cert token` and `eport ca token create`.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// For whom: operator/ID, enterprise/USCC, agency/CODE/gw/N, platform/REGION/node/NODE
    #[arg(long, value_name = "PATH")]
    pub subject: String,
    /// Profile; default the usual one of the subject
    #[arg(long)]
    pub profile: Option<String>,
    /// Platform whose CA issues; default a node's home platform, else the province
    #[arg(long, value_name = "REGION")]
    pub platform: Option<RegionCode>,
    /// Only for this key: SHA-256 of the public key (SPKI)
    #[arg(long = "for-key", value_name = "SHA256")]
    pub for_key: Option<Digest>,
    /// Days of life of the certificate; default what the profile allows
    #[arg(long)]
    pub days: Option<i64>,
    /// Further DNS name of a node; may be given several times
    #[arg(long = "dns", value_name = "NAME")]
    pub dns: Vec<String>,
    /// Further address of a node; may be given several times
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// Let the request wait for an operator before the certificate is made
    #[arg(long)]
    pub approval: bool,
    /// Life of the token, at most 72h
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = crate::args::parse_duration)]
    pub ttl: Duration,
}

/// Arguments of `eport cert renew`.
#[derive(Args, Debug)]
pub struct RenewArgs {
    /// Certificate to renew, PEM; default the one of this command line
    #[arg(long, value_name = "FILE", requires = "old_key")]
    pub old_cert: Option<PathBuf>,
    /// Its private key, PEM, mode 0600
    #[arg(long, value_name = "FILE", requires = "old_cert")]
    pub old_key: Option<PathBuf>,
    /// File for the new certificate with its CA
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// File for the new key, mode 0600; one that exists already is taken: its answer may have been lost
    #[arg(long, value_name = "FILE")]
    pub key_out: PathBuf,
}

/// Makes a token at the first platform whose CA may issue for the subject.
pub(crate) async fn make_token(client: &Client, args: &TokenArgs, out: Out) -> Result<(), Error> {
    let item = token_item(client, args).await?;
    out.result(&item, || {
        let (token, id, end) = (cell(&item, "token"), cell(&item, "id"), cell(&item, "expires"));
        format!("{token}\n{id}  {end}\n")
    });
    Ok(())
}

/// The answer that holds the token's text.
pub(crate) async fn token_item(client: &Client, args: &TokenArgs) -> Result<Value, Error> {
    let subject: Subject = args.subject.parse().map_err(|e| Error::usage(format!("--subject: {e}")))?;
    let request = TokenRequest {
        subject: args.subject.clone(),
        profile: args.profile.clone(),
        key: args.for_key.map(|k| k.to_string()),
        days: args.days,
        dns: args.dns.clone(),
        addresses: args.addresses.clone(),
        approval: args.approval,
        ttl_s: Some(u32::try_from(args.ttl.as_secs()).unwrap_or(u32::MAX)),
    };
    at_the_ca(client, &subject, args.platform, async |at, region| {
        let path = format!("/v1/platforms/{region}/enrolment-tokens");
        at.post::<Value>(&path, &request, Repeat::UnlessSent).await
    })
    .await
}

/// A list of one platform or all, each asked at its primary; one without a primary now is named and left out.
async fn lists(
    client: &Client,
    platform: Option<RegionCode>,
    what: &str,
    out: Out,
) -> Result<Vec<Value>, Error> {
    let regions = match platform {
        Some(region) => vec![region],
        None => platforms(client).await?.iter().filter_map(|r| r.parse().ok()).collect(),
    };
    let mut items = Vec::new();
    for region in regions {
        let listed = async {
            let at = at_primary(client, region).await?;
            at.list(&format!("/v1/platforms/{region}/{what}"), &[]).await.map_err(Error::from)
        };
        match listed.await {
            Ok(found) => items.extend(found),
            Err(error) if platform.is_none() => out.progress(format!("{region}: {error}")),
            Err(error) => return Err(error),
        }
    }
    Ok(items)
}

/// Shows tokens.
pub(crate) async fn tokens(client: &Client, platform: Option<RegionCode>, out: Out) -> Result<(), Error> {
    let items = lists(client, platform, "enrolment-tokens", out).await?;
    out.items(&items, || {
        let columns = ["id", "platform", "subject", "profile", "approval", "expires", "made_by", "state"];
        table(&items, columns)
    });
    Ok(())
}

fn table<const N: usize>(items: &[Value], columns: [&'static str; N]) -> Table {
    let mut table = Table::new(columns);
    for item in items {
        table.row(columns.map(|k| cell(item, k)));
    }
    table
}

/// Finds the platform that keeps a token or a request.
async fn whose(client: &Client, what: &str, id: &str, out: Out) -> Result<RegionCode, Error> {
    let items = lists(client, None, what, out).await?;
    let found = items.iter().find(|i| i["id"] == id).and_then(|i| i["platform"].as_str());
    let unknown = || Error::coded(codes::NOT_FOUND, format!("no platform keeps {id}"));
    found.and_then(|r| r.parse().ok()).ok_or_else(unknown)
}

/// Withdraws a token.
pub(crate) async fn withdraw(client: &Client, id: &str, out: Out) -> Result<(), Error> {
    let region = whose(client, "enrolment-tokens", id, out).await?;
    let at = at_primary(client, region).await?;
    let path = format!("/v1/platforms/{region}/enrolment-tokens/{}/revocation", path_segment(id));
    let item: Value = at.post(&path, &json!({}), Repeat::Safe).await?;
    out.result(&item, || format!("{}: {}\n", cell(&item, "id"), cell(&item, "state")));
    Ok(())
}

/// Shows requests.
pub(crate) async fn requests(
    client: &Client,
    platform: Option<RegionCode>,
    all: bool,
    out: Out,
) -> Result<(), Error> {
    let mut items = lists(client, platform, "enrolment-requests", out).await?;
    items.retain(|i| all || i["state"] == "waiting");
    out.items(&items, || {
        let columns = ["id", "platform", "subject", "profile", "asked_by", "asked_at", "state", "decided_by"];
        table(&items, columns)
    });
    Ok(())
}

/// Approves a request, or refuses it with a reason.
pub(crate) async fn decide(client: &Client, id: &str, deny: Option<&str>, out: Out) -> Result<(), Error> {
    let region = whose(client, "enrolment-requests", id, out).await?;
    let (en, zh) = match deny {
        Some(_) => (format!("refuse request {id}?"), format!("拒绝申请 {id}？")),
        None => (format!("issue the certificate of request {id}?"), format!("签发申请 {id} 的证书？")),
    };
    out.confirm((&en, &zh))?;
    let at = at_primary(client, region).await?;
    let path = format!("/v1/platforms/{region}/enrolment-requests/{}", path_segment(id));
    let decision = RequestDecision { approve: deny.is_none(), reason: deny.map(str::to_owned) };
    let item: Value = at.post(&path, &decision, Repeat::UnlessSent).await?;
    out.result(&item, || format!("{id}: {} {}\n", cell(&item, "state"), cell(&item, "serial")));
    Ok(())
}

/// Renews a certificate by the signature of its key. Works at any node, and for a node also some time after the end.
pub(crate) async fn renew(client: &Client, args: &RenewArgs, global: &Global, out: Out) -> Result<(), Error> {
    let access = connect::access(global)?;
    let cert = args.old_cert.as_ref().unwrap_or(&access.cert);
    let key = args.old_key.as_ref().unwrap_or(&access.key);
    let certificate = text(cert)?;
    let old = CommandKey::load(key).map_err(refused)?;
    let csr = request(&args.key_out)?;
    let der = eport_authority::read_request(&csr).map_err(refused)?.der;
    let signature = old.sign(&[RENEWAL_CONTEXT, &der].concat()).map_err(refused)?;
    let leaf = eport_authority::certificate_of_pem(&certificate).map_err(refused)?;
    let region = issuing_platform(client, &leaf).await?;
    let signature = signature.iter().map(|b| format!("{b:02x}")).collect();
    let renewal = RenewalProof { certificate: eport_authority::certificate_pem(&leaf), signature };
    let body = EnrolRequest { csr, token: None, renewal: Some(renewal) };
    let path = format!("/v1/platforms/{region}/certificates:enrol");
    // The same key again brings the same certificate.
    let item: Value = client.post(&path, &body, Repeat::Safe).await?;
    write_atomic(&args.out, item["chain"].as_str().unwrap_or_default().as_bytes())?;
    out.result(&item, || format!("{}\n{}\n", cell(&item, "serial"), args.out.display()));
    Ok(())
}

/// A request for the key of a file, which is made when it is not there.
pub(crate) fn request(key_file: &std::path::Path) -> Result<String, Error> {
    if key_file.exists() {
        let key = eport_authority::read_key(key_file).map_err(refused)?;
        return eport_authority::request_of_key(&key).map_err(refused);
    }
    let (csr, key) = eport_authority::certificate_request().map_err(refused)?;
    write_new(key_file, key.as_bytes(), true)?;
    Ok(csr)
}

/// The platform whose CA issued a certificate, by the trust bundle.
async fn issuing_platform(client: &Client, leaf: &[u8]) -> Result<RegionCode, Error> {
    let bundle = client.download("/v1/trust-bundle").await?;
    let cas = eport_authority::certificates_of_pem(&bundle).map_err(refused)?;
    let issuer = cas.iter().find(|ca| eport_authority::issued_by(leaf, ca));
    let region = issuer.and_then(|ca| eport_signature::issuer_facts(ca).ok()).and_then(|facts| facts.region);
    region.ok_or_else(|| Error::key("no CA of this federation issued the certificate"))
}
