//! Rules about the life of catalog versions: draft, published, withdrawn or in force, retired.

use super::Decision;
use super::check::{self, JSON_LEN_MAX, invalid};
use crate::rows::Row;
use crate::{
    Command, Draft, Op, Outcome, PublisherProof, Refusal, State, TableId, TableVersion, VersionState,
};
use eport_model::{Digest, Distrust, Timestamp};
use eport_signature::signatory;

pub(super) fn publish(state: &State, c: &Command) -> Decision {
    let Op::PublishTable { table, version, root, rows, effective: asked, schema, report } = &c.op else {
        return Err(Refusal::Rule("not a command about a table".to_owned()));
    };
    check::operator(c)?;
    if !crate::tables::name_is_plain(&table.name) {
        return Err(invalid("table", "1 to 64 of a-z, 0-9 and _ are allowed"));
    }
    check::bounded_to("schema", schema, JSON_LEN_MAX)?;
    check::bounded_to("report", report, JSON_LEN_MAX)?;
    let newest = state.table_newest(table).map_or(0, |v| v.version);
    if *version != newest.saturating_add(1) {
        let object = format!("table {table}");
        return Err(Refusal::VersionConflict { object, named: *version, current: newest });
    }
    let effective = effective_instant(state, c.at, table, *asked)?;
    let row = TableVersion {
        table: table.clone(),
        version: *version,
        root: *root,
        rows: *rows,
        effective,
        schema: schema.clone(),
        report: report.clone(),
        publisher: c.by.clone(),
        published_at: c.at,
        signed: c.proof.clone().map(|proof| PublisherProof { id: c.id, asked: *asked, proof }),
        origin: state.draft(table, root).map(|d| d.by),
        state: VersionState::Published,
    };
    Ok((Outcome::Published { version: *version, effective }, vec![Row::Table(row)]))
}

/// The lead gives every node time to fetch before the switch. Earlier instants are for first versions, for history before
/// the version in force, and for federations without real trade (design §4).
fn effective_instant(
    state: &State,
    now: Timestamp,
    table: &TableId,
    asked: Option<Timestamp>,
) -> Result<Timestamp, Refusal> {
    let earliest = now.plus_millis(state.publish_lead_ms());
    let Some(asked) = asked else { return Ok(earliest) };
    let first = state.table_newest(table).is_none();
    let history = state.table_as_of(table, now).is_some_and(|in_force| asked < in_force.effective);
    if asked >= earliest || first || history || state.mode().relaxed() {
        return Ok(asked);
    }
    Err(Refusal::EffectivePast {
        table: table.to_string(),
        effective_ms: asked.as_millis(),
        earliest_ms: earliest.as_millis(),
    })
}

/// Only a node that has the content asks the others to fetch it; only the next version is worth it.
pub(super) fn stage(state: &State, c: &Command, table: &TableId, version: u64, root: Digest) -> Decision {
    let by = check::member_node(state, c)?;
    if !crate::tables::name_is_plain(&table.name) {
        return Err(invalid("table", "1 to 64 of a-z, 0-9 and _ are allowed"));
    }
    let newest = state.table_newest(table).map_or(0, |v| v.version);
    if version != newest.saturating_add(1) {
        let object = format!("table {table}");
        return Err(Refusal::VersionConflict { object, named: version, current: newest });
    }
    if state.table_versions(table).any(|v| v.root == root && v.keeps_content()) {
        // Every node has it or fetches it already.
        return Ok((Outcome::Done, vec![]));
    }
    let living = |d: &&Draft| c.at.as_millis() - d.at.as_millis() <= crate::DRAFT_LIFE_MS;
    if state.drafts().filter(living).count() >= crate::tables::DRAFTS_MAX {
        return Err(Refusal::Rule("too many drafts wait to be published".to_owned()));
    }
    let draft = Draft { catalog: table.clone(), version, root, by, at: c.at };
    Ok((Outcome::Done, vec![Row::Draft(draft)]))
}

/// A version that is in force stays; one that is not yet is taken back; one that was gives its content up.
pub(super) fn retire(state: &State, c: &Command, table: &TableId, version: u64, reason: &str) -> Decision {
    check::operator(c)?;
    check::bounded("reason", reason)?;
    let Some(found) = state.table_versions(table).find(|v| v.version == version) else {
        return Err(check::not_found("version", format!("{version} of table {table}")));
    };
    if !found.keeps_content() {
        return Ok((Outcome::Done, vec![]));
    }
    if state.table_as_of(table, c.at).is_some_and(|v| v.version == version) {
        return Err(Refusal::Rule(format!("version {version} of table {table} is in force")));
    }
    let (at, why) = (c.at, reason.to_owned());
    let to = if found.effective > c.at {
        VersionState::Withdrawn { at, why }
    } else {
        VersionState::Retired { at, why }
    };
    Ok((Outcome::Done, vec![Row::Table(TableVersion { state: to, ..found.clone() })]))
}

/// Versions that do not take effect because the key that signed them was revoked for compromise before their instant (design §4).
/// Any other reason lets them take effect.
pub(super) fn withdrawn(state: &State, c: &Command, rows: &[Row]) -> Vec<Row> {
    let compromised: Vec<&str> = rows
        .iter()
        .filter_map(|row| match row {
            Row::Revocation(r) if r.reason.to_ascii_lowercase().contains("compromise") => {
                Some(r.serial.as_str())
            }
            _ => None,
        })
        .collect();
    if compromised.is_empty() {
        return Vec::new();
    }
    let pending = state.catalogs().flat_map(|id| state.catalog_versions(id));
    let pending = pending.filter(|v| v.effective > c.at && v.keeps_content());
    let hit = pending.filter_map(|v| {
        let serial = compromised.iter().find(|serial| covers(state, v, serial))?;
        let why = format!("the publisher's certificate is revoked for compromise ({serial})");
        Some(Row::Table(TableVersion { state: VersionState::Withdrawn { at: c.at, why }, ..v.clone() }))
    });
    hit.collect()
}

/// Whether a revocation is about the certificate that signed a version, or about its issuer's.
fn covers(state: &State, version: &TableVersion, serial: &str) -> bool {
    let (Some(signed), Some(federation)) = (&version.signed, state.federation()) else { return false };
    let issuers = state.issuers().map(|i| i.certificate.as_slice());
    let at = version.published_at.as_millis();
    let Ok(who) = signatory(&signed.proof.certificate, issuers, &federation.domain, at) else { return false };
    who.serial == serial
        || who.issuer_serial == serial
        || serial.parse::<Distrust>().is_ok_and(|rule| rule.covers(&who.mark()))
}
