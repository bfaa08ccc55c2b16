//! The rotation of the root inside a drill: its material, its steps, and the way back while there is one.
//!
//! Always: what is registered was made by a ceremony whose folder is proven; until the new root is in use the rotation can be
//! undone, and the drill undoes it on every way out; afterwards it goes on as any rotation, and only a person retires the old root.

use crate::commands::rotate::{Given, give, pieces, status};
use crate::drill::place::Place;
use crate::drill::stop::wait_for;
use crate::error::Error;
use eport_api_types::TrustStatus;
use eport_authority::ceremony::{self, CeremonyConfig, Folder, OldRoot};
use eport_authority::open_key;
use eport_client::Client;
use eport_model::codes::{DRILL_FAILED, TRUST_UNACKNOWLEDGED};
use eport_model::{Code, Coded, NodeId};
use eport_registry::RotationStep;
use std::path::{Path, PathBuf};
use std::time::Instant;
use time::OffsetDateTime;

/// The paper of a ceremony on a federation of `dev up`, whose root is a file.
const PAPER: &str = r#"
[shares]
threshold = 2
holders = ["first", "second", "third"]
"#;

fn failed(detail: impl Into<String>) -> Error {
    Error::coded(DRILL_FAILED, detail)
}

fn of_authority(error: eport_authority::Error) -> Error {
    Error::coded(Code(error.code()), error.to_string())
}

/// Files of a root whose key lies in a local federation's folder.
fn local_root(place: &Place) -> Option<(PathBuf, PathBuf)> {
    let ca = place.dir()?.join("ca");
    let files = (ca.join("root.crt"), ca.join("root.key"));
    (files.0.exists() && files.1.exists()).then_some(files)
}

/// Why no rotation can begin here; `None` when one can.
pub async fn obstacle(client: &Client, place: &Place, material: Option<&Path>, two: bool) -> Option<String> {
    if two {
        return Some("each step needs two persons: rotate by hand, with eport ca rotate".to_owned());
    }
    let trust = match status(client).await {
        Ok(trust) => trust,
        Err(error) => return Some(error.to_string()),
    };
    let open = trust.rotation.as_ref().filter(|r| r.phase != "retired" && r.phase != "aborted");
    if let Some(open) = open {
        return Some(format!("a rotation is {} already", open.phase));
    }
    if material.is_some() {
        return None;
    }
    let Some((certificate, _)) = local_root(place) else {
        return Some(
            "the folder of a new root is needed: --material DIR (eport ca ceremony rotate)".to_owned(),
        );
    };
    let read = std::fs::read_to_string(&certificate).ok();
    let der = read.and_then(|pem| eport_authority::certificate_of_pem(&pem).ok());
    let key = der.and_then(|der| eport_signature::ca_facts(&der).ok()).map(|f| f.key_id.to_string());
    let active = trust.roots.iter().find(|r| r.state == "active").map(|r| r.key.clone());
    (key != active).then(|| format!("{} is not the root in use: --material DIR", certificate.display()))
}

/// The new root's folder: the given one, else made on the spot from a local federation's root.
pub async fn folder(
    client: &Client,
    place: &Place,
    material: Option<&Path>,
    dir: &Path,
) -> Result<PathBuf, Error> {
    if let Some(given) = material {
        return Ok(given.to_owned());
    }
    let (certificate, key) = local_root(place).ok_or_else(|| failed("no root and no --material is here"))?;
    let bundle = client.download("/v1/trust-bundle").await?;
    let bundle = String::from_utf8(bundle.to_vec()).map_err(|_| failed("the trust bundle is not text"))?;
    let certificate = std::fs::read_to_string(&certificate).map_err(Error::file(&certificate))?;
    let der = eport_authority::certificate_of_pem(&certificate).map_err(of_authority)?;
    let facts = eport_signature::ca_facts(&der).map_err(|e| failed(e.to_string()))?;
    let domain =
        facts.uri.map(|(domain, _)| domain).ok_or_else(|| failed("the root names no trust domain"))?;
    let name = facts.name.split(" root").next().unwrap_or("federation").to_owned();
    let paper = format!("federation = {name:?}\ntrust_domain = \"{domain}\"\n{PAPER}");
    let config = CeremonyConfig::parse(&paper).map_err(of_authority)?;
    let key = open_key(&key, &certificate).map_err(of_authority)?;
    let old = OldRoot::Files { certificate, key, bundle };
    let made = ceremony::rotate(old, &config, OffsetDateTime::now_utc()).map_err(of_authority)?;
    let to = dir.join("root");
    Folder::at(&to).write(&made.new).map_err(of_authority)?;
    Ok(to)
}

/// One step that must succeed.
pub async fn step(client: &Client, step: RotationStep) -> Result<TrustStatus, Error> {
    give(client, &status(client).await?, &Given::Step(step)).await
}

/// Registers what the ceremony made.
pub async fn prepare(client: &Client, folder: &Path) -> Result<String, Error> {
    let given = Given::Root(pieces(folder)?);
    let after = give(client, &status(client).await?, &given).await?;
    let rotation = after.rotation.ok_or_else(|| failed("no rotation is registered"))?;
    Ok(format!("{} → {}", short(&rotation.old), short(&rotation.new)))
}

fn short(key: &str) -> String {
    key.chars().take(16).collect()
}

/// Waits until exactly these members have not acknowledged.
pub async fn only_behind(client: &Client, nodes: &[NodeId], until: Instant) -> Result<u64, Error> {
    wait_for(until, async || {
        let trust = status(client).await.map_err(|e| e.to_string())?;
        let seen = format!("bundle {}: not acknowledged by {:?}", trust.version, trust.behind);
        if trust.behind == nodes { Ok(trust.version) } else { Err(seen) }
    })
    .await
}

/// Tries to use the new root, which must be refused with the names of exactly these members.
pub async fn refused(client: &Client, nodes: &[NodeId], until: Instant) -> Result<String, Error> {
    only_behind(client, nodes, until).await?;
    match step(client, RotationStep::Activate { without: Vec::new() }).await {
        Ok(_) => Err(failed("the new root came into use although a member has not acknowledged")),
        Err(error) if error.code() == TRUST_UNACKNOWLEDGED => {
            let said = error.to_string();
            match nodes.iter().find(|n| !said.contains(n.as_str())) {
                None => Ok(format!("{TRUST_UNACKNOWLEDGED}: {said}")),
                Some(unnamed) => Err(failed(format!("the refusal does not name {unnamed}: {said}"))),
            }
        }
        Err(error) => Err(error),
    }
}

/// Undoes a rotation that is not in use yet. One that is goes on.
pub async fn undo(client: &Client) -> Result<(), Error> {
    let trust = status(client).await?;
    let undone = ["prepared", "published", "crossed"];
    match &trust.rotation {
        Some(r) if undone.contains(&r.phase.as_str()) => {
            give(client, &trust, &Given::Step(RotationStep::Abort)).await.map(|_| ())
        }
        _ => Ok(()),
    }
}
