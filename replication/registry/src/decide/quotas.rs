//! Rules about quotas: an operator's command on the version that the operator saw.

use super::Decision;
use super::check::{self, invalid};
use crate::quota::{BYTES_IN_FLIGHT_MIN, DISK_BYTES_MIN, REQUESTS_MAX};
use crate::rows::Row;
use crate::{Command, Outcome, Quota, QuotaLimits, Refusal, State};
use eport_model::RegionCode;

pub(super) fn set(
    state: &State,
    c: &Command,
    region: RegionCode,
    named: u64,
    limits: QuotaLimits,
) -> Decision {
    check::operator(c)?;
    check::placement(state, region)?;
    let current = state.quota(region).map_or(0, |q| q.version);
    if current != named {
        return Err(Refusal::VersionConflict {
            object: format!("quota of platform {region}"),
            named,
            current,
        });
    }
    checked(&limits)?;
    let version = current.saturating_add(1);
    Ok((Outcome::Done, vec![Row::Quota(Quota { region, version, limits, by: c.by.clone(), since: c.at })]))
}

fn checked(limits: &QuotaLimits) -> Result<(), Refusal> {
    let within = |field: &str, value: Option<u64>, low: u64, high: u64| match value {
        Some(v) if !(low..=high).contains(&v) => Err(invalid(field, format!("{low} to {high} are allowed"))),
        _ => Ok(()),
    };
    within("requests_per_s", limits.requests_per_s.map(u64::from), 1, u64::from(REQUESTS_MAX))?;
    within("burst", limits.burst.map(u64::from), 1, u64::from(REQUESTS_MAX))?;
    within("bytes_in_flight", limits.bytes_in_flight, BYTES_IN_FLIGHT_MIN, u64::MAX)?;
    within("disk_bytes", limits.disk_bytes, DISK_BYTES_MIN, u64::MAX)?;
    if limits.burst.is_some() && limits.requests_per_s.is_none() {
        return Err(invalid("burst", "it belongs to requests_per_s, which is not bounded"));
    }
    Ok(())
}
