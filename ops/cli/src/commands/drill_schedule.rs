//! `eport drill schedule|calendar`: which drills are to be repeated, and when each is due.

use crate::commands::drill::named;
use crate::drill::run;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::Subcommand;
use eport_api_types::{DrillScheduleItem, DrillScheduleRequest, from_rfc3339, rfc3339};
use eport_client::{Client, Method};
use eport_drill::calendar;
use eport_model::{RegionCode, Timestamp};
use eport_registry::{DrillSchedule, statement};
use serde_json::{Value, json};

/// Commands of `drill schedule`.
#[derive(Subcommand, Debug)]
pub enum ScheduleCommand {
    /// List the schedules
    List,
    /// Add a schedule, or change it
    Add {
        /// Name of the drill
        name: String,
        /// Region code
        region: RegionCode,
        /// Days from one drill to the next
        #[arg(long, value_name = "DAYS")]
        every: u32,
        /// When the first one is due, RFC 3339; default now
        #[arg(long, value_name = "TIME")]
        first: Option<String>,
        /// Who looks after it
        #[arg(long, default_value = "")]
        owner: String,
    },
    /// Remove a schedule
    Remove {
        /// Name of the drill
        name: String,
        /// Region code
        region: RegionCode,
    },
}

/// Lists, adds or removes schedules.
pub async fn schedule(client: &Client, command: Option<ScheduleCommand>, out: Out) -> Result<(), Error> {
    match command {
        None | Some(ScheduleCommand::List) => {
            let items = client.list("/v1/drill-schedules", &[]).await?;
            out.items(&items, || {
                let mut table = Table::new(["name", "region", ">days", "due", "late", "owner"]);
                for s in &items {
                    table.row(["name", "region", "every_days", "due", "is_due", "owner"].map(|k| cell(s, k)));
                }
                table
            });
            Ok(())
        }
        Some(ScheduleCommand::Add { name, region, every, first, owner }) => {
            named(&name)?;
            let first = first.unwrap_or_else(run::now);
            let at = from_rfc3339(&first)
                .ok_or_else(|| Error::usage(format!("{first:?} is no RFC 3339 instant")))?;
            let wanted = DrillSchedule {
                name: name.clone(),
                region,
                every_days: every,
                first: at,
                owner: owner.clone(),
                since: Timestamp::default(),
            };
            let body = DrillScheduleRequest { every_days: every, first: rfc3339(at), owner };
            let path = format!("/v1/drill-schedules/{region}/{name}");
            let statement = statement::drill_schedule(&wanted);
            let done: DrillScheduleItem = client.give(Method::PUT, &path, &body, &statement).await?;
            let document = serde_json::to_value(&done).unwrap_or(Value::Null);
            out.result(&document, || format!("{name} {region}: {}\n", done.due));
            Ok(())
        }
        Some(ScheduleCommand::Remove { name, region }) => {
            let path = format!("/v1/drill-schedules/{region}/{name}");
            let statement = statement::drill_unschedule(region, &name);
            let done: Value = client.give(Method::DELETE, &path, &json!({}), &statement).await?;
            out.result(&done, || format!("{name} {region}: -\n"));
            Ok(())
        }
    }
}

/// The dates of all schedules.
pub async fn show_calendar(client: &Client, days: u32, out: Out) -> Result<(), Error> {
    let items = client.list("/v1/drill-schedules", &[]).await?;
    let schedules: Vec<DrillScheduleItem> =
        items.into_iter().filter_map(|s| serde_json::from_value(s).ok()).collect();
    let now = from_rfc3339(&run::now()).unwrap_or_default();
    let until = now.plus_millis(i64::from(days.min(3_650)) * 86_400_000);
    let dates = calendar(&schedules, now, until);
    let items: Vec<Value> = dates.iter().filter_map(|d| serde_json::to_value(d).ok()).collect();
    out.items(&items, || {
        let mut table = Table::new(["due", "name", "region", "late", "owner"]);
        for d in &items {
            table.row(["due", "name", "region", "late", "owner"].map(|k| cell(d, k)));
        }
        table
    });
    Ok(())
}
