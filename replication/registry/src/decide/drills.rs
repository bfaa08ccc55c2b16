//! Rules about drills: one at a time, a start state to return to, an end that has returned to it.

use super::Decision;
use super::check::{self, invalid};
use crate::drills::{DISTURBANCES_MAX, EVERY_DAYS_MAX};
use crate::rows::Row;
use crate::{
    Command, CommandId, DRILL_LIMIT_MS, DRILL_PLATFORMS_MAX, DRILL_SCHEDULES_MAX, Drill, DrillFigures,
    DrillPlatform, DrillSchedule, DrillStart, DrillState, DrillVerdict, Op, Outcome, Refusal, State,
};
use eport_model::{Digest, RegionCode};

/// Longest name of a script, in bytes.
const NAME_LEN_MAX: usize = 64;
/// Longest note, in bytes: it travels in every list of drills.
const NOTE_LEN_MAX: usize = 512;

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    match &c.op {
        Op::BeginDrill { name, region, script, platforms, disturbs, limit_ms } => {
            let wanted =
                Wanted { name, region: *region, script: *script, platforms, disturbs, limit_ms: *limit_ms };
            begin(state, c, &wanted)
        }
        Op::StopDrill { drill, reason } => stop(state, c, *drill, reason),
        Op::EndDrill { drill, verdict, figures, report, note, keep } => {
            let end = End { verdict: *verdict, figures, report: *report, note, keep: *keep };
            self::end(state, c, *drill, &end)
        }
        Op::PutDrillSchedule(schedule) => put_schedule(state, c, schedule),
        Op::RemoveDrillSchedule { region, name } => remove_schedule(state, c, *region, name),
        _ => Err(Refusal::Rule("not a command about a drill".to_owned())),
    }
}

struct Wanted<'a> {
    name: &'a str,
    region: RegionCode,
    script: Digest,
    platforms: &'a [DrillPlatform],
    disturbs: &'a [String],
    limit_ms: u64,
}

struct End<'a> {
    verdict: DrillVerdict,
    figures: &'a DrillFigures,
    report: Option<Digest>,
    note: &'a str,
    keep: bool,
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(plain) {
        return Err(invalid("name", "1 to 64 of a-z, 0-9 and - are needed"));
    }
    Ok(())
}

fn begin(state: &State, c: &Command, wanted: &Wanted<'_>) -> Decision {
    check::operator(c)?;
    check_name(wanted.name)?;
    if !DRILL_LIMIT_MS.contains(&wanted.limit_ms) {
        return Err(invalid("limit_ms", "between a second and a day is needed"));
    }
    if wanted.platforms.len() > DRILL_PLATFORMS_MAX || wanted.disturbs.len() > DISTURBANCES_MAX {
        let most = format!("at most {DRILL_PLATFORMS_MAX} platforms and {DISTURBANCES_MAX} disturbances");
        return Err(invalid("platforms", most));
    }
    wanted.disturbs.iter().try_for_each(|d| check::bounded_to("disturbs", d, NAME_LEN_MAX))?;
    if let Some(other) = state.running_drill() {
        return Err(Refusal::DrillUnderWay { drill: other.id, name: other.name.clone() });
    }
    check::placement(state, wanted.region)?;
    let mut start: Vec<DrillStart> = Vec::with_capacity(wanted.platforms.len());
    for p in wanted.platforms {
        let placement = check::at_version(state, p.region, p.version)?;
        check::active(&placement)?;
        if start.iter().any(|s| s.region == p.region) {
            return Err(invalid("platforms", format!("platform {} stands twice", p.region)));
        }
        start.push(DrillStart { region: p.region, primary: placement.primary, epoch: placement.epoch });
    }
    let limit = i64::try_from(wanted.limit_ms).unwrap_or(i64::MAX);
    let drill = Drill {
        id: c.id,
        name: wanted.name.to_owned(),
        region: wanted.region,
        script: wanted.script,
        by: c.by.clone(),
        reason: c.reason.clone(),
        begun: c.at,
        deadline: c.at.plus_millis(limit),
        start,
        disturbs: wanted.disturbs.to_vec(),
        state: DrillState::Running,
        stop: String::new(),
        verdict: None,
        figures: DrillFigures::default(),
        report: None,
        ended: None,
        ended_by: String::new(),
        note: String::new(),
        restored: false,
    };
    Ok((Outcome::Drill { drill: c.id, deadline: drill.deadline }, vec![Row::Drill(drill)]))
}

fn running(state: &State, id: CommandId) -> Result<Drill, Refusal> {
    let drill = state.drill(id).ok_or_else(|| check::not_found("drill", id))?;
    if drill.is_running() {
        return Ok(drill.clone());
    }
    Err(Refusal::Rule(format!("drill {id} is over")))
}

/// The deadline is now: the drill's own process puts the start state back, and if it is gone the registry's leader does.
fn stop(state: &State, c: &Command, id: CommandId, reason: &str) -> Decision {
    check::operator(c)?;
    check::bounded_to("reason", reason, NOTE_LEN_MAX)?;
    let mut drill = running(state, id)?;
    drill.deadline = drill.deadline.min(c.at);
    drill.stop = if reason.is_empty() { format!("stopped by {}", c.by) } else { reason.to_owned() };
    Ok((Outcome::Drill { drill: id, deadline: drill.deadline }, vec![Row::Drill(drill)]))
}

fn end(state: &State, c: &Command, id: CommandId, end: &End<'_>) -> Decision {
    check::bounded_to("note", end.note, NOTE_LEN_MAX)?;
    let mut drill = running(state, id)?;
    if check::operator(c).is_err() {
        check::member_node(state, c)?;
        if !drill.is_overdue(c.at) {
            return Err(Refusal::Rule(format!("drill {id} has time left: its owner ends it")));
        }
        if end.verdict != DrillVerdict::Aborted || end.keep || end.report.is_some() {
            return Err(Refusal::Rule("a node has seen no verdict: it may only abort".to_owned()));
        }
    }
    let away = state.drill_away(&drill);
    if let Some(first) = away.first()
        && !end.keep
    {
        return Err(Refusal::DrillAway { drill: id, region: first.region, primary: first.primary });
    }
    drill.restored = away.is_empty();
    drill.state = DrillState::Ended;
    drill.verdict = Some(end.verdict);
    drill.figures = *end.figures;
    drill.report = end.report;
    drill.ended = Some(c.at);
    drill.ended_by = c.by.clone();
    drill.note = end.note.to_owned();
    Ok((Outcome::Done, vec![Row::Drill(drill)]))
}

fn put_schedule(state: &State, c: &Command, schedule: &DrillSchedule) -> Decision {
    check::operator(c)?;
    check_name(&schedule.name)?;
    check::bounded_to("owner", &schedule.owner, NAME_LEN_MAX)?;
    check::placement(state, schedule.region)?;
    if schedule.every_days == 0 || schedule.every_days > EVERY_DAYS_MAX {
        return Err(invalid("every_days", format!("1 to {EVERY_DAYS_MAX} are allowed")));
    }
    let known = state.drill_schedule(schedule.region, &schedule.name).is_some();
    if !known && state.drill_schedules().count() >= DRILL_SCHEDULES_MAX {
        return Err(Refusal::Rule(format!("{DRILL_SCHEDULES_MAX} schedules are there already")));
    }
    Ok((Outcome::Done, vec![Row::DrillSchedule(DrillSchedule { since: c.at, ..schedule.clone() })]))
}

/// A schedule without an interval is forgotten when the command has been applied (`State::prune`).
fn remove_schedule(state: &State, c: &Command, region: RegionCode, name: &str) -> Decision {
    check::operator(c)?;
    let known = state.drill_schedule(region, name).ok_or_else(|| check::not_found("schedule", name))?;
    Ok((
        Outcome::Done,
        vec![Row::DrillSchedule(DrillSchedule { every_days: 0, since: c.at, ..known.clone() })],
    ))
}
