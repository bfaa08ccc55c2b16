//! Steps of a drill about an issuing CA: refused without shares, opened with them, issued under the new epoch, closed again.

use crate::commands::cert::at_primary;
use crate::commands::custody;
use crate::connect::{Access, client_of};
use crate::drill::moving;
use crate::drill::stop::wait_for;
use crate::error::Error;
use crate::output::Out;
use eport_api_types::{CaKeyItem, CertificateRequest, FederationStatus, Page, RevocationRequest};
use eport_client::{Client, Method, Repeat};
use eport_drill::{CustodyFacts, Plan};
use eport_model::codes::{CA_LOCKED, DRILL_FAILED};
use eport_model::{Coded, Epoch, NodeId, RegionCode, epoch_of_serial};
use eport_registry::statement;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long one look at a node's keys may take.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// What a drill knows of the platform's CA.
pub struct CaDrill {
    /// Files of shares.
    pub shares: Vec<PathBuf>,
    /// How nodes are called.
    pub access: Access,
    /// How this program speaks.
    pub out: Out,
}

/// The keys of a platform's CAs as one node has them.
async fn keys(
    access: &Access,
    status: &FederationStatus,
    node: NodeId,
    region: RegionCode,
    out: Out,
) -> Result<Vec<CaKeyItem>, Error> {
    let api = status.nodes.iter().find(|n| n.node == node).and_then(|n| n.api.clone());
    let api = api.ok_or_else(|| Error::coded(DRILL_FAILED, format!("{node} has no address")))?;
    let client = client_of(&Access { apis: vec![api], ..access.clone() }, LOOK_LIMIT, out.lang)?;
    let page: Page<CaKeyItem> = client.get(&format!("/v1/platforms/{region}/ca-keys"), &[]).await?;
    Ok(page.items)
}

/// What a plan rests on: whether the node that would take over has the wrapped key that the registry names, and not the key itself.
pub async fn facts(
    access: &Access,
    status: &FederationStatus,
    plan: &Plan,
    shares: &[PathBuf],
    out: Out,
) -> Result<CustodyFacts, Error> {
    let mut facts = CustodyFacts { shares: shares.len(), ..CustodyFacts::default() };
    let Some(heir) = plan.platforms.first().and_then(|p| p.to) else { return Ok(facts) };
    let found = keys(access, status, heir, plan.region, out).await?;
    if let Some((item, custody)) = found.iter().find_map(|i| Some((i, i.custody.as_ref()?))) {
        facts.threshold = usize::from(custody.threshold);
        facts.kept = custody.kept_here;
        facts.open = item.state == "open";
    }
    Ok(facts)
}

impl CaDrill {
    /// A certificate for nobody: of the drill, for a day.
    async fn order(&self, client: &Client, plan: &Plan) -> Result<Value, Error> {
        let (csr, _) = eport_authority::certificate_request().map_err(custody::refused)?;
        let request = CertificateRequest {
            token: None,
            csr,
            subject: format!("operator/drill-{}", plan.plan_id),
            profile: Some("operator-session".to_owned()),
            platform: Some(plan.region.to_string()),
            days: Some(1),
            dns: Vec::new(),
            addresses: Vec::new(),
        };
        let primary = at_primary(client, plan.region).await?;
        Ok(primary.post::<Value>("/v1/certificates", &request, Repeat::UnlessSent).await?)
    }

    /// The new primary must not be able to issue.
    pub async fn refused(&self, client: &Client, plan: &Plan) -> Result<String, Error> {
        match self.order(client, plan).await {
            Err(error) if error.code() == CA_LOCKED => Ok(format!("refused with {CA_LOCKED}")),
            Err(error) => {
                Err(Error::coded(DRILL_FAILED, format!("refused otherwise: {} {error}", error.code())))
            }
            Ok(issued) => {
                let serial = issued["serial"].as_str().unwrap_or_default();
                revoke(client, serial).await?;
                Err(Error::coded(DRILL_FAILED, "the new primary issued without anybody's share"))
            }
        }
    }

    /// Opens the key with the shares.
    pub async fn unlock(&self, client: &Client, plan: &Plan) -> Result<String, Error> {
        let opened = custody::unlock_at(client, plan.region, &self.shares, None).await?;
        Ok(format!(
            "{} opened in epoch {} with {} shares",
            opened["node"],
            opened["epoch"],
            self.shares.len()
        ))
    }

    /// Issues under the present epoch, which must be above the one before, and revokes what was issued.
    pub async fn issue(
        &self,
        client: &Client,
        plan: &Plan,
        before: Epoch,
    ) -> Result<(String, Instant), Error> {
        let issued = self.order(client, plan).await?;
        let at = Instant::now();
        let serial = issued["serial"].as_str().unwrap_or_default().to_owned();
        revoke(client, &serial).await?;
        let epoch = epoch_of_serial(&serial);
        let now = moving::platform(client, plan.region).await?.epoch;
        if epoch != Some(now) || now <= before {
            let detail =
                format!("serial {serial} carries {epoch:?}; the platform is in {now}, it was in {before}");
            return Err(Error::coded(DRILL_FAILED, detail));
        }
        Ok((format!("{serial} issued in epoch {now} and revoked"), at))
    }

    /// What the shares opened on the standby is closed.
    pub async fn locked(
        &self,
        status: &FederationStatus,
        plan: &Plan,
        until: Instant,
    ) -> Result<String, Error> {
        let heir = plan.platforms.first().and_then(|p| p.to);
        let heir = heir.ok_or_else(|| Error::coded(DRILL_FAILED, "nobody took over"))?;
        wait_for(until, async || {
            let found = keys(&self.access, status, heir, plan.region, self.out).await;
            match found.map_err(|e| e.to_string())?.iter().find(|i| i.state == "open") {
                Some(open) => Err(format!("{} is open on {heir}", open.name)),
                None => Ok(format!("no CA's key of {} is open on {heir}", plan.region)),
            }
        })
        .await
    }
}

async fn revoke(client: &Client, serial: &str) -> Result<(), Error> {
    let reason = "cessation-of-operation: issued by a drill";
    let request = RevocationRequest { reason: reason.to_owned(), unknown: true };
    let path = format!("/v1/certificates/{}/revocation", eport_client::path_segment(serial));
    let statement = statement::revoke(serial, reason);
    let _: Value = client.give(Method::POST, &path, &request, &statement).await?;
    Ok(())
}
