//! Watching over real processes: what nodes say at `/metrics` is the catalogue, the screen goes on when its node dies, and canaries
//! make a report of availability.
// Tests: an unwrap is an assertion, and they read the real clock.

use anyhow::{Context, Result, ensure};
use eport_cluster::{Federation, with_federation};
use eport_watch::{METRICS, Metric, metric as m};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use time::OffsetDateTime;

const CITY: &str = "440300";
/// What this federation has nothing to say of: no scheduled backups and drills, no bound on disk, no agency, no message.
const SILENT: [Metric; 10] = [
    m::BACKUP_AGE,
    m::BACKUP_DUE,
    m::BACKUP_FAILURES,
    m::BACKUPS_KEPT,
    m::RESTORE_TEST_AGE,
    m::RESTORE_TEST_FAILED,
    m::DRILL_DUE,
    m::PLATFORM_DISK_QUOTA,
    m::OUTBOX,
    m::INBOX,
];
/// Said only after the first look through a copy.
const LATER: [Metric; 4] = [m::SCRUB_FOUND, m::SCRUB_MENDED, m::SCRUB_CHECKED, m::SCRUB_AGE];

#[test]
fn what_is_watched_is_what_the_catalogue_says_and_goes_on_when_a_node_dies() {
    let sites = ["--site", "gz-a=440000:1", "--site", "gz-c=440100:1", "--site", "sz-a=440300:1"];
    with_federation(&sites, |fed| {
        fed.eport(&["table", "import", "--starter"])?.expect(0, "starter import")?;
        nodes_say_the_catalogue(fed)?;
        canaries_make_a_report(fed)?;
        the_screen_goes_on_at_another_node(fed)
    });
}

fn nodes_say_the_catalogue(fed: &Federation) -> Result<()> {
    let mut said = BTreeSet::new();
    for node in fed.nodes() {
        let page = fed.http()?.get(&format!("{}/metrics", fed.api(&node.node)?))?.text();
        ensure!(page.ends_with("# EOF\n"), "{page}");
        let values = page.lines().filter(|l| !l.starts_with('#'));
        said.extend(values.filter_map(|l| l.split(['{', ' ']).next()).map(str::to_owned));
        for line in page.lines().filter_map(|l| l.strip_prefix("# TYPE ")) {
            let (family, kind) = line.split_once(' ').context("a type")?;
            let known = METRICS.iter().find(|(_, m)| m.family() == family).context(family.to_owned())?.1;
            ensure!(format!("{:?}", known.unit.kind()).eq_ignore_ascii_case(kind), "{line}");
        }
    }
    let known: BTreeSet<String> = METRICS.iter().map(|(_, m)| m.name.to_owned()).collect();
    let strange: Vec<_> = said.difference(&known).collect();
    ensure!(strange.is_empty(), "not in the catalogue: {strange:?}");
    let may_lack: BTreeSet<&str> = SILENT.iter().chain(&LATER).map(|m| m.name).collect();
    let unsaid: Vec<_> = known.difference(&said).filter(|n| !may_lack.contains(n.as_str())).collect();
    ensure!(unsaid.is_empty(), "no node says {unsaid:?}");
    Ok(())
}

fn canaries_make_a_report(fed: &Federation) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().display().to_string();
    for _ in 0..2 {
        fed.eport(&["report", "canary", "-p", CITY, "--dir", &path, "--every", "1s", "--count", "3"])?
            .expect(0, "canaries")?;
    }
    let now = OffsetDateTime::now_utc();
    let month = format!("{:04}-{:02}", now.year(), u8::from(now.month()));
    let report = fed.eport(&["report", "availability", "--month", &month, "--dir", &path])?.ok_json()?;
    let platform = &report["platforms"][0];
    ensure!(report["unreadable_lines"] == 0 && platform["region"] == CITY, "{report:#}");
    // The minute that runs now is not over: it counts in the next report.
    ensure!(platform["canaries"].as_u64().is_some_and(|n| n <= 6), "{report:#}");
    ensure!(platform["successes"] == platform["canaries"] && platform["bad"] == 0, "{report:#}");
    fed.eport(&["report", "availability", "--month", "1999-01", "--dir", &path])?
        .expect(3, "a month without a record")?;
    Ok(())
}

fn the_screen_goes_on_at_another_node(fed: &Federation) -> Result<()> {
    let first = fed.api("gz-c-1")?.to_owned();
    let args = ["--lang", "en", "--api", &first, "status", "--watch", "--frames", "40", "--every", "500ms"];
    let mut command = fed.command(&args);
    let mut watching = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut shown = BufReader::new(watching.stdout.take().context("its output")?);
    // The node dies once a frame came from it.
    let (mut text, from) = (String::new(), format!("from {first}"));
    while !text.contains(&from) {
        ensure!(shown.read_line(&mut text)? > 0, "it ended: {text}");
    }
    fed.dev("kill", "gz-c-1")?;
    shown.read_to_string(&mut text)?;
    ensure!(watching.wait()?.success(), "{text}");
    let frames = text.lines().filter(|l| l.starts_with("eport  ")).count();
    ensure!(frames == 40, "{frames} frames: {text}");
    ensure!(text.contains(&format!("from {first}")), "the first frames come from the node that was asked");
    let last = text.rsplit("\neport  ").next().context("a frame")?;
    ensure!(
        !last.contains(&format!("from {first}")) && !last.contains("no answer"),
        "the last frame: {last}"
    );
    ensure!(last.contains("gz-c-1") && last.contains("[platforms]") && last.contains("Shenzhen"), "{last}");
    ensure!(!text.contains('\u{1b}'), "a pipe gets no escapes");
    Ok(())
}
