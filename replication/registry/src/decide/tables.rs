//! Rules about the publication of tables.

use super::Decision;
use super::check::{self, JSON_LEN_MAX, invalid};
use crate::rows::Row;
use crate::{Command, Op, Outcome, Refusal, State, TableId, TableVersion};
use eport_model::Timestamp;

pub(super) fn publish(state: &State, c: &Command) -> Decision {
    let Op::PublishTable { table, version, root, rows, effective, schema, report } = &c.op else {
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
    let effective = effective_instant(state, c.at, table, *effective)?;
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
