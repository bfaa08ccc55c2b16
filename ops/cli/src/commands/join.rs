//! `eport node token` and `eport node join`: how a machine becomes a node.
//!
//! Order of joining, each step repeatable: this machine is looked at; the root's fingerprint is compared before anything is sent; the
//! key is made and kept before it is certified; the federation is told of the addresses; the configuration is written last, so its
//! presence means that the node can be started.

use super::enrol::{self, TokenArgs};
use super::preflight::{PreflightFlags, look, settle};
use crate::args::Global;
use crate::dev::settings::{
    FederationSection, ListenSection, NodeFile, NodeSection, RegistrySection, Seed, TlsSection,
};
use crate::error::Error;
use crate::files::write_atomic;
use crate::output::{Out, cell};
use clap::Args;
use eport_api_types::{CertificateRequest, JoinAnswer, JoinRequest};
use eport_client::{Client, Contact, Files, Method, Repeat, Settings, client_config, first_contact};
use eport_enrolment::Token;
use eport_model::{NodeId, RegionCode, SiteId, Timestamp, codes};
use eport_registry::{Invitation, statement};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use time::OffsetDateTime;

/// Arguments of `eport node token`.
#[derive(Args, Debug)]
pub struct NodeTokenArgs {
    /// Site of the new node; it must exist, see site set
    #[arg(long)]
    pub site: SiteId,
    /// Home platform; default that of the site
    #[arg(long, value_name = "REGION")]
    pub region: Option<RegionCode>,
    /// Id of the new node; default the site's next one
    #[arg(long, value_name = "NODE")]
    pub node: Option<NodeId>,
    /// Life of the token, at most 72h
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = crate::args::parse_duration)]
    pub ttl: Duration,
    /// DNS name under which its API is reached; may be given several times
    #[arg(long = "dns", value_name = "NAME")]
    pub dns: Vec<String>,
    /// Address under which its API is reached; may be given several times; default this machine's loopback, where the
    /// federation's own addresses are
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// Let the request wait for an operator before the certificate is made
    #[arg(long)]
    pub approval: bool,
}

/// Arguments of `eport node join`.
#[derive(Args, Debug)]
pub struct JoinArgs {
    /// The token, or @FILE that holds it; asked for on a terminal
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Configuration to write; asked for on a terminal
    #[arg(long, value_name = "FILE")]
    pub config_out: Option<PathBuf>,
    /// Folder for key, certificate and data; default that of the configuration
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Address for other nodes (QUIC)
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7400")]
    pub listen_quic: SocketAddr,
    /// Address of the API
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7443")]
    pub listen_api: SocketAddr,
    /// Address for other nodes as they see it, where that differs
    #[arg(long, value_name = "HOST:PORT")]
    pub public_quic: Option<String>,
    /// Address of the API as others see it, where that differs
    #[arg(long, value_name = "HOST:PORT")]
    pub public_api: Option<String>,
    /// Checks of this machine, and of its clock against that of the federation
    #[command(flatten)]
    pub preflight: PreflightFlags,
}

/// Invites a node and makes its token.
pub(crate) async fn token(args: &NodeTokenArgs, client: &Client, out: Out) -> Result<(), Error> {
    let status = client.status().await?;
    let sites = client.list("/v1/sites", &[]).await?;
    let site = sites.iter().find(|s| s["site"] == args.site.to_string());
    let unknown = || {
        let detail = format!(
            "the federation has no site {}; add it: eport site set {} --region …",
            args.site, args.site
        );
        Error::coded(codes::NOT_FOUND, detail)
    };
    let site = site.ok_or_else(unknown)?;
    let home = site["region"].as_str().and_then(|r| r.parse().ok());
    let region = args.region.or(home).ok_or_else(|| Error::usage("--region is needed"))?;
    let settings = client.list("/v1/settings", &[]).await?;
    let now = Timestamp::from_millis(OffsetDateTime::now_utc().unix_timestamp().saturating_mul(1_000));
    let node = match args.node {
        Some(node) => node,
        None => next_id(args.site, &status, &settings)?,
    };
    let taken = status["nodes"].as_array().is_some_and(|n| n.iter().any(|n| n["node"] == node.to_string()));
    if taken {
        return Err(Error::coded(
            codes::VERSION_CONFLICT,
            format!("{node} is a node already; ids are never used again"),
        ));
    }
    let life_ms = i64::try_from(args.ttl.as_millis()).unwrap_or(i64::MAX);
    let expires = Timestamp::from_millis(now.as_millis().saturating_add(life_ms));
    let invitation = Invitation { site: args.site, region, expires }.setting(node);
    let path = format!("/v1/settings/{}", invitation.name);
    let body = json!({ "value": invitation.value });
    let signed = statement::setting(&invitation.name, &invitation.value);
    let _: Value = client.give(Method::PUT, &path, &body, &signed).await?;
    let loopback = client.api().contains("//127.0.0.1:") || client.api().contains("//localhost:");
    let (mut dns, mut addresses) = (args.dns.clone(), args.addresses.clone());
    if loopback && dns.is_empty() && addresses.is_empty() {
        dns.push("localhost".into());
        addresses.push(IpAddr::from([127, 0, 0, 1]));
    }
    let asked = TokenArgs {
        subject: format!("platform/{region}/node/{node}"),
        profile: None,
        platform: None,
        for_key: None,
        days: None,
        dns,
        addresses,
        approval: args.approval,
        ttl: args.ttl,
    };
    let mut item = enrol::token_item(client, &asked).await?;
    item["node"] = node.to_string().into();
    out.result(&item, || {
        let (token, end) = (cell(&item, "token"), cell(&item, "expires"));
        format!("{token}\n{node}  {end}\n")
    });
    Ok(())
}

/// The site's next free id: above every node and every invitation, used or not.
fn next_id(site: SiteId, status: &Value, settings: &[Value]) -> Result<NodeId, Error> {
    let number = |id: &str| id.strip_prefix(&format!("{site}-"))?.parse::<u32>().ok();
    let nodes = status["nodes"].as_array().into_iter().flatten().filter_map(|n| n["node"].as_str());
    let invited = settings.iter().filter_map(|s| s["name"].as_str()?.strip_prefix("invited_"));
    let invited: Vec<String> = invited.map(|name| name.replace('_', "-")).collect();
    let known = nodes.filter_map(number).chain(invited.iter().filter_map(|id| number(id)));
    let next = known.max().unwrap_or(0).saturating_add(1);
    format!("{site}-{next}").parse().map_err(|e| Error::usage(format!("--node is needed: {e}")))
}

/// Joins: see the head of this file.
pub(crate) async fn join(args: &JoinArgs, global: &Global, out: Out) -> Result<(), Error> {
    let (config_out, home) = places(args, out)?;
    let mut facts = look(args.listen_quic, args.listen_api, &home);
    if args.preflight.check && args.token.is_none() {
        return settle(&facts, args.preflight, out).map(drop);
    }
    let text = match &args.token {
        Some(token) => token.clone(),
        None if out.can_ask() => {
            out.enter(("Token, or @FILE that holds it", "令牌，或含有令牌的 @FILE"), None)?
        }
        None => return Err(Error::usage("--token is needed: nobody can be asked here")),
    };
    let text = match text.strip_prefix('@') {
        Some(path) => super::cert::text(Path::new(path))?,
        None => text,
    };
    let token: Token = text.trim().parse().map_err(|e| Error::coded(codes::TOKEN_REFUSED, format!("{e}")))?;
    if config_out.exists() && !args.preflight.check {
        let detail = format!("{} exists already", config_out.display());
        return Err(Error::coded(codes::FILE_UNUSABLE, detail));
    }
    let settings = Settings {
        apis: Vec::new(),
        timeout: global.limit(),
        language: global.language().pick(("en", "zh")),
    };
    let apis: Vec<String> = match &global.api {
        Some(api) => vec![api.clone()],
        None => token.hosts.iter().map(|host| format!("https://{host}")).collect(),
    };
    let (contact, api) = contact(&apis, &token, &settings).await?;
    facts.peer = crate::preflight::peer_clock(&contact.client).await;
    let Some(checks) = settle(&facts, args.preflight, out)? else { return Ok(()) };
    let tls = home.join("tls");
    std::fs::create_dir_all(&tls).map_err(Error::file(&tls))?;
    let trust = tls.join("trust.pem");
    let bundle: String =
        contact.certificates.iter().map(|der| eport_authority::certificate_pem(der)).collect();
    write_atomic(&trust, bundle.as_bytes())?;
    let (cert, key) = (tls.join("node.crt"), tls.join("node.key"));
    if !cert.exists() {
        let csr = enrol::request(&key)?;
        let chain = certified(&contact, csr, &text).await?;
        write_atomic(&cert, chain.as_bytes())?;
    }
    let files = Files { cert: cert.clone(), key: key.clone(), ca: trust.clone() };
    let mine = Client::new(Settings { apis: vec![api], ..settings }, client_config(&files)?)?;
    let quic = args.public_quic.clone().unwrap_or_else(|| args.listen_quic.to_string());
    let at = args.public_api.clone().unwrap_or_else(|| args.listen_api.to_string());
    let joined: JoinAnswer =
        mine.post("/v1/nodes:join", &JoinRequest { quic, api: at }, Repeat::Safe).await?;
    let config = configuration(args, &home, &joined, &contact, TlsSection { cert, key, trust })?;
    write_atomic(&config_out, config.as_bytes())?;
    let document = json!({ "node": joined.node, "site": joined.site, "region": joined.region,
        "federation": joined.federation, "lineage": joined.lineage, "config": config_out, "checks": checks });
    out.result(&document, || {
        let config = cell(&document, "config");
        format!("{}: eportd --config {config}\n", joined.node)
    });
    Ok(())
}

/// Where the configuration and everything else goes.
fn places(args: &JoinArgs, out: Out) -> Result<(PathBuf, PathBuf), Error> {
    let config_out = match &args.config_out {
        Some(path) => path.clone(),
        // Nothing is written: any place of this folder will do.
        None if args.preflight.check => PathBuf::from("eportd.toml"),
        None if out.can_ask() => {
            out.enter(("Configuration to write", "要写入的配置文件"), Some("/etc/eport/eportd.toml"))?
        }
        None => return Err(Error::usage("--config-out is needed: nobody can be asked here")),
    };
    let whole = std::path::absolute(&config_out).map_err(Error::file(&config_out))?;
    let home = match &args.home {
        Some(home) => std::path::absolute(home).map_err(Error::file(home))?,
        None => whole.parent().unwrap_or(Path::new(".")).to_owned(),
    };
    Ok((config_out, home))
}

/// The first address that shows the root of the token. Another root is said at once: it is the reason to stop.
async fn contact(apis: &[String], token: &Token, settings: &Settings) -> Result<(Contact, String), Error> {
    let mut last = Error::usage("the token names no address: give --api");
    for api in apis {
        match first_contact(api, token.root, settings).await {
            Ok(contact) => return Ok((contact, api.clone())),
            Err(error) => {
                use eport_model::Coded as _;
                let error = Error::from(error);
                if error.code() == codes::ROOT_UNEXPECTED {
                    return Err(Error::coded(codes::ROOT_UNEXPECTED, format!("{api}: {error}")));
                }
                last = error;
            }
        }
    }
    Err(last)
}

/// The certificate for the token. The same key again is answered with the same certificate.
async fn certified(contact: &Contact, csr: String, token: &str) -> Result<String, Error> {
    let request = CertificateRequest {
        csr,
        subject: String::new(),
        token: Some(token.trim().to_owned()),
        profile: None,
        platform: None,
        days: None,
        dns: Vec::new(),
        addresses: Vec::new(),
    };
    let item: Value = contact.client.post("/v1/certificates", &request, Repeat::Safe).await?;
    match item["chain"].as_str() {
        Some(chain) => Ok(chain.to_owned()),
        None => {
            let detail = format!(
                "request {} waits; join again with the same token when it is approved",
                cell(&item, "id")
            );
            Err(Error::coded(codes::ENROLMENT_WAITING, detail))
        }
    }
}

fn configuration(
    args: &JoinArgs,
    home: &Path,
    joined: &JoinAnswer,
    contact: &Contact,
    tls: TlsSection,
) -> Result<String, Error> {
    let profile = match joined.registry_profile.as_str() {
        "lan" => "lan",
        "wan" => "wan",
        _ => "default",
    };
    let seed = |s: &eport_api_types::JoinSeed| Some(Seed { node: s.node, quic: s.quic.parse().ok()? });
    let file = NodeFile {
        node: NodeSection {
            id: joined.node,
            site: joined.site,
            region: joined.region,
            data_dir: home.join("data"),
        },
        listen: ListenSection { quic: args.listen_quic, api: args.listen_api, metrics: None },
        tls,
        federation: FederationSection {
            trust_domain: contact.domain.clone(),
            lineage: joined.lineage,
            genesis: None,
            seeds: joined.seeds.iter().filter_map(seed).collect(),
        },
        transport: None,
        registry: RegistrySection { profile },
        ca: None,
        limits: None,
    };
    file.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_id_is_above_every_node_and_every_invitation() {
        let status = json!({ "nodes": [{ "node": "gz-a-1" }, { "node": "gz-a-2" }, { "node": "gz-ab-9" }] });
        let site: SiteId = "gz-a".parse().unwrap();
        assert_eq!(next_id(site, &status, &[]).unwrap().as_str(), "gz-a-3");
        let settings =
            [json!({ "name": "invited_gz_a_6", "value": "" }), json!({ "name": "other", "value": "" })];
        assert_eq!(next_id(site, &status, &settings).unwrap().as_str(), "gz-a-7");
    }
}
