//! From the genesis file to the first commands of a new registry. Every command has an id derived from the lineage and its
//! place, so a founding that was interrupted is repeated without effect.

use crate::Exit;
use crate::config::Config;
use crate::genesis::Genesis;
use eport_model::{Digest, Timestamp, codes};
use eport_registry::{
    Command, CommandId, DurabilityMode, FailoverMode, Federation, Isolation, Issuer, IssuerState, Mode, Node,
    NodeState, OPERATOR_SIGNATURES, Op, Operator, Policy, PolicyBackup, Role, Setting, Site,
};
use std::path::Path;

/// Largest genesis file.
const GENESIS_LEN_MAX: u64 = 4 << 20;

fn invalid(path: &Path, detail: impl std::fmt::Display) -> Exit {
    Exit { code: codes::CONFIG_INVALID, detail: format!("genesis {}: {detail}", path.display()) }
}

/// Reads the genesis file.
pub(crate) fn read(path: &Path) -> Result<Genesis, Exit> {
    let meta = std::fs::metadata(path).map_err(|e| invalid(path, e))?;
    if meta.len() > GENESIS_LEN_MAX {
        return Err(invalid(path, format!("{} bytes; {GENESIS_LEN_MAX} are allowed", meta.len())));
    }
    let text = std::fs::read_to_string(path).map_err(|e| invalid(path, e))?;
    serde_json::from_str(&text).map_err(|e| invalid(path, e))
}

/// The founding commands, in order.
pub(crate) fn commands(
    config: &Config,
    path: &Path,
    genesis: &Genesis,
    now: Timestamp,
) -> Result<Vec<Command>, Exit> {
    let mut ops = vec![Op::Found(Federation {
        name: genesis.name.clone(),
        lineage: config.federation.lineage,
        domain: config.federation.trust_domain.clone(),
        province: config.node.region,
        mode: mode(path, &genesis.mode)?,
        two_person: genesis.mode == "production",
        created: now,
    })];
    let mut sites = std::collections::BTreeMap::new();
    for n in &genesis.nodes {
        sites.entry(n.site).or_insert(n.region);
    }
    ops.extend(sites.into_iter().map(|(id, region)| Op::PutSite(Site::new(id, region, id.to_string()))));
    ops.extend(genesis.nodes.iter().map(|n| {
        Op::AddNode(Node {
            id: n.node,
            site: n.site,
            region: n.region,
            quic: n.quic.to_string(),
            api: n.api.to_string(),
            cert_serial: String::new(),
            state: NodeState::Up,
            software: String::new(),
            incarnation: 0,
            reads: 1,
            joined: now,
        })
    }));
    for p in &genesis.platforms {
        ops.push(Op::CreatePlatform {
            region: p.region,
            name_zh: p.name_zh.clone(),
            name_en: p.name_en.clone(),
            primary: p.primary,
            backups: p.backups.iter().map(|node| PolicyBackup { node: *node, role: Role::Sync }).collect(),
            policy: policy(path, &p.durability, p.k)?,
        });
    }
    ops.extend(issuers(config)?);
    ops.extend(genesis.operators.iter().map(|o| {
        Op::PutOperator(Operator {
            id: o.id.clone(),
            name: o.name.clone(),
            roles: o.roles.iter().copied().collect(),
            suspended: false,
            since: now,
        })
    }));
    // Last of all: from here on an operator's command must be signed.
    let signatures = match (&genesis.operator_signatures, genesis.mode.as_str()) {
        (Some(word), _) => word.as_str(),
        (None, "production") => "required",
        (None, _) => "optional",
    };
    ops.push(Op::SetSetting(Setting { name: OPERATOR_SIGNATURES.into(), value: signatures.into() }));
    let by = founder(config);
    let command = |(n, op): (usize, Op)| Command {
        id: id(config, n),
        by: by.clone(),
        at: now,
        reason: "founding of the federation".into(),
        op,
        proof: None,
    };
    Ok(ops.into_iter().enumerate().map(command).collect())
}

/// The issuers of the founding node's trust bundle: whom the registry believes that an operator is who the certificate says.
fn issuers(config: &Config) -> Result<Vec<Op>, Exit> {
    let path = &config.tls.trust;
    let unusable = |detail: String| Exit {
        code: codes::KEY_UNREADABLE,
        detail: format!("trust bundle {}: {detail}", path.display()),
    };
    let certificates = eport_tls::TrustBundle::certificates(path).map_err(|e| unusable(e.to_string()))?;
    let issuer = |certificate: Vec<u8>| -> Result<Op, Exit> {
        let facts = eport_signature::issuer_facts(&certificate).map_err(|e| unusable(e.to_string()))?;
        Ok(Op::PutIssuer(Issuer {
            key_id: facts.key_id.to_string(),
            name: facts.name,
            platform: facts.region,
            certificate,
            state: IssuerState::Active,
            since_epoch: eport_model::Epoch::NONE,
        }))
    };
    certificates.into_iter().map(issuer).collect()
}

/// The founding operator, in whose name the genesis is applied.
fn founder(config: &Config) -> String {
    format!("operator/founder-{}", config.node.id)
}

fn id(config: &Config, n: usize) -> CommandId {
    let digest = Digest::of(format!("genesis/{}/{n}", config.federation.lineage).as_bytes());
    let mut id = [0u8; 16];
    id.copy_from_slice(&digest.as_bytes()[..16]);
    CommandId(id)
}

fn mode(path: &Path, word: &str) -> Result<Mode, Exit> {
    match word {
        "production" => Ok(Mode::Production),
        "demo" => Ok(Mode::Demo),
        "dev" => Ok(Mode::Dev),
        other => Err(invalid(path, format!("mode {other:?} is none of production, demo, dev"))),
    }
}

fn policy(path: &Path, durability: &str, k: u32) -> Result<Policy, Exit> {
    let (durability, k) = match durability {
        "sync" => (DurabilityMode::Sync, k as usize),
        "auto_sync" => (DurabilityMode::AutoSync, k as usize),
        "async" => (DurabilityMode::Async, 0),
        other => {
            return Err(invalid(path, format!("durability {other:?} is none of sync, auto_sync, async")));
        }
    };
    Ok(Policy {
        durability,
        k,
        isolation: Isolation::Block,
        failover: FailoverMode::Manual,
        same_site: false,
        min_durability: eport_model::Durability::Local,
    })
}
