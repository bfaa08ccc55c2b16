//! `eport report`: canaries lodged all the time by a client process, and what they say of a month (decision 0051).
//!
//! Always: the figures come from the client's own record and never from a daemon; the record is appended line by line, so it survives
//! restarts of everything; what was not measured is said to be unmeasured.

use crate::args::{Global, parse_duration};
use crate::connect;
use crate::error::Error;
use crate::load::Clock;
use crate::load::documents::Generator;
use crate::output::Out;
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_client::{Client, Repeat};
use eport_model::{Coded as _, RegionCode};
use eport_watch::availability::{Canary, Minutes, Report};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime, Time};

/// A canary without an answer by then has failed: the definition asks for two seconds.
const ANSWER_LIMIT: Duration = Duration::from_millis(2_500);
/// Canaries under way at once; each ends within the limit.
const CANARIES_MAX: usize = 64;
/// A longer line is none of ours.
const LINE_MAX: u64 = 4_096;

/// Arguments of `eport report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    #[command(subcommand)]
    command: ReportCommand,
}

#[derive(Subcommand, Debug)]
enum ReportCommand {
    /// Lodge a canary document at a platform again and again and record each answer, until interrupted
    Canary(CanaryArgs),
    /// Say how available each platform was in a month, from the records of its canaries
    Availability(AvailabilityArgs),
}

#[derive(Args, Debug)]
struct CanaryArgs {
    /// The platform
    #[arg(long, short = 'p', value_name = "REGION")]
    platform: RegionCode,
    /// Folder of the records, one file a platform and month
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Time between two canaries, from 1s to 1m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10s")]
    every: Duration,
    /// End after so many canaries
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Args, Debug)]
struct AvailabilityArgs {
    /// The month, YYYY-MM, in UTC
    #[arg(long, value_name = "MONTH", value_parser = month)]
    month: Date,
    /// Folder of the records
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// One canary in the record.
#[derive(Serialize, Deserialize)]
struct Line {
    region: RegionCode,
    sent_ms: i64,
    took_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// The first day of `YYYY-MM`.
fn month(text: &str) -> Result<Date, String> {
    let bad = || format!("{text:?} is no month: write YYYY-MM");
    let (year, month) = text.split_once('-').filter(|(y, m)| y.len() == 4 && m.len() == 2).ok_or_else(bad)?;
    let number: u8 = month.parse().map_err(|_| bad())?;
    let month = Month::try_from(number).map_err(|_| bad())?;
    Date::from_calendar_date(year.parse().map_err(|_| bad())?, month, 1).map_err(|_| bad())
}

/// Runs the command.
pub async fn run(args: ReportArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        ReportCommand::Canary(args) => canary(args, global, out).await,
        ReportCommand::Availability(args) => availability(&args, out),
    }
}

fn file_of(dir: &Path, region: RegionCode, at: Date) -> PathBuf {
    dir.join(format!("canary-{region}-{:04}-{:02}.jsonl", at.year(), u8::from(at.month())))
}

fn date_of(ms: i64) -> Date {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH).date()
}

async fn canary(args: CanaryArgs, global: &Global, out: Out) -> Result<(), Error> {
    if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&args.every) {
        return Err(Error::usage("--every is from 1s to 1m: a minute without a canary is unmeasured"));
    }
    std::fs::create_dir_all(&args.dir).map_err(Error::file(&args.dir))?;
    let client = connect::client_of(&connect::access(global)?, ANSWER_LIMIT, global.language())?;
    let clock = Clock::start();
    // Every start has references of its own: what an earlier one lodged is another document.
    let generator = Generator::new(&format!("CANARY-{}", clock.now_ms() as i64));
    mend(&file_of(&args.dir, args.platform, date_of(clock.now_ms() as i64)))?;
    let lodged = async {
        let slots = Arc::new(tokio::sync::Semaphore::new(CANARIES_MAX));
        let (mut tasks, mut ticks) = (tokio::task::JoinSet::new(), tokio::time::interval(args.every));
        let mut number = 0;
        while args.count.is_none_or(|most| number < most) {
            tokio::select! {
                _ = ticks.tick() => {
                    let Ok(slot) = slots.clone().acquire_owned().await else { break };
                    number += 1;
                    let (client, region, document) = (client.clone(), args.platform, generator.document(number));
                    tasks.spawn(async move {
                        let _slot = slot;
                        lodge(client, region, document, clock).await
                    });
                }
                Some(done) = tasks.join_next() => record(&args.dir, done.ok())?,
            }
        }
        while let Some(done) = tasks.join_next().await {
            record(&args.dir, done.ok())?;
        }
        Ok::<u64, Error>(number)
    };
    tokio::select! {
        done = lodged => {
            let count = done?;
            out.result(&json!({ "canaries": count }), || format!("{count}\n"));
            Ok(())
        }
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// One submission; the client goes on at another node when one is gone, within the limit.
async fn lodge(client: Client, region: RegionCode, document: Value, clock: Clock) -> Line {
    let sent_ms = clock.now_ms();
    let platform = region.to_string();
    let call = client.lodge(&platform, &document, Repeat::Safe);
    let answer = tokio::time::timeout(ANSWER_LIMIT, call).await;
    let took = (clock.now_ms() - sent_ms).max(0.0).ceil() as u64;
    let (took_ms, code) = match answer {
        Ok(Ok((200 | 201, _))) => (Some(took), None),
        Ok(Ok((status, _))) => (None, Some(status.to_string())),
        Ok(Err(error)) => (None, Some(error.code().to_string())),
        Err(_) => (None, Some("late".to_owned())),
    };
    Line { region, sent_ms: sent_ms as i64, took_ms, code }
}

/// Ends a line that a killed process left half written, so that the next one stands by itself.
fn mend(path: &Path) -> Result<(), Error> {
    let Ok(mut file) = std::fs::File::options().read(true).append(true).open(path) else { return Ok(()) };
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(-1)).is_ok() {
        file.read_exact(&mut last).map_err(Error::file(path))?;
    }
    if last != *b"\n" {
        file.write_all(b"\n").map_err(Error::file(path))?;
    }
    Ok(())
}

fn record(dir: &Path, line: Option<Line>) -> Result<(), Error> {
    // A task that broke off measured nothing.
    let Some(line) = line else { return Ok(()) };
    let path = file_of(dir, line.region, date_of(line.sent_ms));
    let text = format!("{}\n", serde_json::to_string(&line).unwrap_or_default());
    let mut file =
        std::fs::File::options().create(true).append(true).open(&path).map_err(Error::file(&path))?;
    file.write_all(text.as_bytes()).map_err(Error::file(&path))
}

/// What a record says: minutes by platform, and how many lines could not be read.
fn read(reader: impl BufRead, all: &mut BTreeMap<RegionCode, Minutes>) -> std::io::Result<u64> {
    let (mut reader, mut unreadable, mut bytes) = (reader, 0, Vec::new());
    loop {
        bytes.clear();
        if (&mut reader).take(LINE_MAX).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(unreadable);
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice::<Line>(&bytes) {
            Ok(l) => all.entry(l.region).or_default().add(Canary { sent_ms: l.sent_ms, took_ms: l.took_ms }),
            Err(_) => unreadable += 1,
        }
    }
}

fn availability(args: &AvailabilityArgs, out: Out) -> Result<(), Error> {
    let (mut all, mut unreadable, mut files) = (BTreeMap::new(), 0, 0);
    let ending = format!("-{:04}-{:02}.jsonl", args.month.year(), u8::from(args.month.month()));
    for entry in std::fs::read_dir(&args.dir).map_err(Error::file(&args.dir))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("canary-") && name.ends_with(&ending) {
            let path = entry.path();
            let file = std::fs::File::open(&path).map_err(Error::file(&path))?;
            unreadable += read(BufReader::new(file), &mut all).map_err(Error::file(&path))?;
            files += 1;
        }
    }
    if files == 0 {
        let detail = format!("no record canary-*{ending} in {}", args.dir.display());
        return Err(Error::coded(eport_model::codes::NOT_FOUND, detail));
    }
    let ms =
        |date: Date| (date.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp_nanos() / 1_000_000) as i64;
    let days = i64::from(args.month.month().length(args.month.year()));
    let (from, to) = (ms(args.month), ms(args.month) + days * 86_400_000);
    let now = Clock::start().now_ms() as i64;
    let reports: Vec<(RegionCode, Report)> =
        all.iter().map(|(region, minutes)| (*region, minutes.report(from, to, now))).collect();
    let document = json!({
        "month": format!("{:04}-{:02}", args.month.year(), u8::from(args.month.month())),
        "goal": 0.9995,
        "unreadable_lines": unreadable,
        "platforms": reports.iter().map(|(region, r)| item(*region, r)).collect::<Vec<_>>(),
    });
    out.result(&document, || people(&reports, unreadable, out));
    Ok(())
}

fn item(region: RegionCode, report: &Report) -> Value {
    let outages = report.outages.iter().map(|o| {
        let at = OffsetDateTime::from_unix_timestamp(o.from_ms.div_euclid(1_000)).ok();
        json!({ "from": at.and_then(|at| at.format(&Rfc3339).ok()), "minutes": o.minutes })
    });
    json!({
        "region": region, "minutes": report.minutes, "good": report.good, "bad": report.bad,
        "unmeasured": report.unmeasured, "canaries": report.canaries, "successes": report.successes,
        "availability": report.availability_ppm().map(|ppm| ppm as f64 / 1e6), "goal_kept": report.keeps_goal(),
        "bad_minutes_left": report.minutes_left(), "outages_total": report.outages_total,
        "outages": outages.collect::<Vec<_>>(),
    })
}

fn people(reports: &[(RegionCode, Report)], unreadable: u64, out: Out) -> String {
    let mut table = Table::new(out.lang.pick((
        ["region", ">available", "goal 99.95 %", ">bad", ">unmeasured", ">minutes", ">left", ">outages"],
        ["区划", ">可用率", "目标 99.95 %", ">不可用分钟", ">未测分钟", ">总分钟", ">余量", ">中断次数"],
    )));
    for (region, r) in reports {
        let share = r.availability_ppm().map(|ppm| format!("{}.{:04} %", ppm / 10_000, ppm % 10_000));
        let kept = match r.keeps_goal() {
            Some(true) => out.lang.pick(("kept", "达到")),
            Some(false) => out.lang.pick(("missed", "未达到")),
            None => "-",
        };
        table.row([
            region.to_string(),
            share.unwrap_or_else(|| "-".to_owned()),
            kept.to_owned(),
            r.bad.to_string(),
            r.unmeasured.to_string(),
            r.minutes.to_string(),
            r.minutes_left().to_string(),
            r.outages_total.to_string(),
        ]);
    }
    let torn = match unreadable {
        0 => String::new(),
        n => out.lang.pick((format!("{n} lines could not be read\n"), format!("{n} 行无法读取\n"))),
    };
    table.render() + &torn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_with_torn_and_foreign_lines_is_read_for_what_it_holds() {
        let text = "{\"region\":\"440300\",\"sent_ms\":60000,\"took_ms\":12}\n\n{\"region\":\"4403\
                    \n{\"region\":\"440300\",\"sent_ms\":60001,\"took_ms\":null,\"code\":\"EP2007\"}\n\u{0}\u{1}\n";
        let mut all = BTreeMap::new();
        let unreadable = read(text.as_bytes(), &mut all).unwrap();
        let report = all.values().next().unwrap().report(60_000, 120_000, 180_000);
        assert_eq!((unreadable, report.canaries, report.successes, report.bad), (2, 2, 1, 1));
    }

    #[test]
    fn a_month_is_four_digits_and_two() {
        assert_eq!(month("2026-11").unwrap().to_string(), "2026-11-01");
        for bad in ["2026-13", "2026-1", "26-01", "2026", "", "2026-00"] {
            assert!(month(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_half_written_line_is_ended_and_a_whole_one_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r");
        for (before, after) in [("{\"a", "{\"a\n"), ("x\n", "x\n"), ("", "")] {
            std::fs::write(&path, before).unwrap();
            mend(&path).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }
}
