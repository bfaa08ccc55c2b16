//! What a plan rests on, asked of the federation.

use crate::connect::Access;
use crate::drill::place::Place;
use crate::drill::{authority, moving, rotation, run::Wish};
use crate::error::Error;
use crate::load::documents::Generator;
use crate::output::Out;
use eport_api_types::{DrillItem, Failure, FederationStatus};
use eport_client::{Client, Repeat};
use eport_drill::{Action, CustodyFacts, Facts, Plan, Script, plan};
use eport_model::RegionCode;
use eport_model::codes::NOT_FOUND;
use serde_json::Value;

/// The federation as it was when the plan was made, and the plan.
pub struct Looked {
    /// The federation.
    pub status: FederationStatus,
    /// Who disturbs.
    pub place: Place,
    /// The plan.
    pub plan: Plan,
}

/// Looks at the federation and plans a drill.
pub async fn look(
    (client, access, out): (&Client, &Access, Out),
    script: &Script,
    wish: &Wish,
) -> Result<Looked, Error> {
    let status = moving::status(client).await?;
    let place = Place::find(status.lineage);
    let region = wish
        .region
        .or_else(|| default_region(&status))
        .ok_or_else(|| Error::usage("name the platform: eport drill run NAME REGION"))?;
    let mut facts = Facts {
        status: &status,
        running: running(client).await?,
        canary_refused: Vec::new(),
        recovery_key: wish.recovery_key.is_some() || place.dir().is_some(),
        hands: place.hands(),
        custody: CustodyFacts::default(),
        isolated: wish.isolated,
        rotation_refused: None,
        limit_s: wish.limit.map(|d| d.as_secs().max(1)),
    };
    if script.rotates() {
        let material = wish.material.as_deref();
        facts.rotation_refused = rotation::obstacle(client, &place, material, status.two_person).await;
    }
    let unknown = || Error::coded(NOT_FOUND, format!("there is no platform {region}"));
    let first = plan(script, region, &facts).ok_or_else(unknown)?;
    for p in &first.platforms {
        facts.canary_refused.extend(refused(client, p.region).await);
    }
    if script.steps.iter().any(|s| s.action == Action::Unlock) {
        facts.custody = authority::facts(access, &status, &first, &wish.shares, out).await?;
    }
    let plan = plan(script, region, &facts).ok_or_else(unknown)?;
    Ok(Looked { status, place, plan })
}

/// The only platform there is, or the province.
fn default_region(status: &FederationStatus) -> Option<RegionCode> {
    match status.platforms.as_slice() {
        [only] => Some(only.region),
        all => all.iter().map(|p| p.region).find(|r| r.is_province()),
    }
}

async fn running(client: &Client) -> Result<Option<String>, Error> {
    let drills = client.list("/v1/drills", &[]).await?;
    let open = drills.into_iter().filter_map(|d| serde_json::from_value::<DrillItem>(d).ok());
    Ok(open.into_iter().find(|d| d.state != "ended").map(|d| format!("{} ({})", d.drill_id, d.name)))
}

/// Why a platform would refuse a canary; `None` when it would not.
async fn refused(client: &Client, region: RegionCode) -> Option<String> {
    let document = Generator::new("DRILL-CHECK").document(1);
    let path = format!("/v1/platforms/{region}/documents:check");
    let judged = client.post::<Value>(&path, &document, Repeat::Safe).await;
    judged.err().map(|e| {
        // The first broken rule says what to do; how many there are does not.
        let failures = e.problem().and_then(|p| p.more.get("failures")).cloned();
        let failures: Vec<Failure> =
            failures.and_then(|f| serde_json::from_value(f).ok()).unwrap_or_default();
        let first = failures.first().map(|f| format!("; {} at {}: {}", f.code, f.path, f.detail));
        format!("{region}: {e}{}", first.unwrap_or_default())
    })
}
