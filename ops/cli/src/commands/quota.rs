//! `eport platform quota|usage`: what a hosted platform may take, and what it has taken.

use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::Args;
use eport_api_types::{QuotaItem, QuotaRequest, UsageReport};
use eport_client::{Client, Method};
use eport_model::{Month, RegionCode};
use eport_registry::{QuotaLimits, statement};
use serde_json::{Value, json};

/// Arguments of `eport platform quota`.
#[derive(Args, Debug)]
pub struct QuotaArgs {
    /// Region code
    pub region: RegionCode,
    /// Requests a second on average, a batch counted once a document; none lifts the bound
    #[arg(long, value_name = "N|none", value_parser = bound_of_requests)]
    pub requests_per_s: Option<Bound<u32>>,
    /// Requests at once; none means two seconds' worth
    #[arg(long, value_name = "N|none", value_parser = bound_of_requests)]
    pub burst: Option<Bound<u32>>,
    /// Bytes of request bodies under way at once on one node, for example 16MiB; none lifts the bound
    #[arg(long, value_name = "SIZE|none", value_parser = bound_of_bytes)]
    pub bytes_in_flight: Option<Bound<u64>>,
    /// Bytes on the primary's disk, for example 20GiB; none lifts the bound
    #[arg(long, value_name = "SIZE|none", value_parser = bound_of_bytes)]
    pub disk_bytes: Option<Bound<u64>>,
    /// Lift every bound
    #[arg(long, conflicts_with_all = ["requests_per_s", "burst", "bytes_in_flight", "disk_bytes"])]
    pub clear: bool,
    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,
}

/// A bound, or that there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound<T> {
    /// At most this.
    At(T),
    /// Whatever comes.
    None,
}

fn bound_of_requests(text: &str) -> Result<Bound<u32>, String> {
    match text {
        "none" => Ok(Bound::None),
        _ => text.parse().map(Bound::At).map_err(|e| format!("{text:?}: {e}")),
    }
}

fn bound_of_bytes(text: &str) -> Result<Bound<u64>, String> {
    match text {
        "none" => Ok(Bound::None),
        _ => bytes(text).map(Bound::At),
    }
}

/// A size: bytes, or a number with KiB, MiB, GiB or TiB.
fn bytes(text: &str) -> Result<u64, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let found = units.iter().find_map(|(unit, shift)| text.strip_suffix(unit).map(|n| (n.trim(), *shift)));
    let (number, shift) = found.unwrap_or((text, 0u32));
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?}: bytes, or a number with KiB, MiB, GiB or TiB"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large"))
}

impl<T: Copy> Bound<T> {
    fn over(asked: Option<Self>, known: Option<T>) -> Option<T> {
        match asked {
            None => known,
            Some(Bound::At(value)) => Some(value),
            Some(Bound::None) => None,
        }
    }
}

/// Shows the quota, or changes what is named of it under the version that was seen.
pub async fn quota(client: &Client, args: &QuotaArgs, out: Out) -> Result<(), Error> {
    let path = format!("/v1/platforms/{}/quota", args.region);
    let known: QuotaItem = client.get(&path, &[]).await?;
    let asks = args.clear
        || args.requests_per_s.is_some()
        || args.burst.is_some()
        || args.bytes_in_flight.is_some()
        || args.disk_bytes.is_some();
    if !asks {
        out.result(&document(&known), || shown(&known));
        return Ok(());
    }
    let limits = wanted(args, &known);
    let then = QuotaItem {
        version: known.version + 1,
        requests_per_s: limits.requests_per_s,
        burst: limits.burst(),
        bytes_in_flight: limits.bytes_in_flight,
        disk_bytes: limits.disk_bytes,
        by: None,
        since: None,
    };
    if args.dry_run {
        let mut planned = document(&then);
        planned["dry_run"] = json!(true);
        out.result(&planned, || compared(&known, &then));
        return Ok(());
    }
    if !out.json {
        out.progress(compared(&known, &then).trim_end());
    }
    out.confirm(("change the quota?", "更改配额？"))?;
    let body = QuotaRequest {
        requests_per_s: limits.requests_per_s,
        burst: limits.burst,
        bytes_in_flight: limits.bytes_in_flight,
        disk_bytes: limits.disk_bytes,
        expected_version: known.version,
    };
    let statement = statement::quota(args.region, known.version, &limits);
    let set: QuotaItem = client.give(Method::PUT, &path, &body, &statement).await?;
    out.result(&document(&set), || shown(&set));
    Ok(())
}

/// The whole quota as it will be: what is not named stays.
fn wanted(args: &QuotaArgs, known: &QuotaItem) -> QuotaLimits {
    if args.clear {
        return QuotaLimits::default();
    }
    let requests_per_s = Bound::over(args.requests_per_s, known.requests_per_s);
    // A new rate without a burst takes the burst that belongs to it.
    let kept = known.burst.filter(|_| args.requests_per_s.is_none());
    QuotaLimits {
        requests_per_s,
        burst: Bound::over(args.burst, kept).filter(|_| requests_per_s.is_some()),
        bytes_in_flight: Bound::over(args.bytes_in_flight, known.bytes_in_flight),
        disk_bytes: Bound::over(args.disk_bytes, known.disk_bytes),
    }
}

fn document<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

const FIELDS: [&str; 4] = ["requests_per_s", "burst", "bytes_in_flight", "disk_bytes"];

fn shown(quota: &QuotaItem) -> String {
    let quota = document(quota);
    let mut table = Table::new(["", ""]);
    for field in FIELDS.into_iter().chain(["version", "by", "since"]) {
        table.row([field.to_owned(), cell(&quota, field)]);
    }
    table.render()
}

/// The lines of `platform show` about what the platform takes and may take.
pub fn bounds(platform: &Value) -> String {
    let mut table = Table::new(["", ""]);
    table.row(["disk bytes".to_owned(), cell(platform, "disk_bytes")]);
    table.row(["least durability".to_owned(), cell(platform, "min_durability")]);
    if let Some(quota) = platform.get("quota") {
        for field in FIELDS {
            table.row([format!("quota {field}"), cell(quota, field)]);
        }
    }
    table.render()
}

fn compared(known: &QuotaItem, then: &QuotaItem) -> String {
    let (known, then) = (document(known), document(then));
    let mut table = Table::new(["", "now", "then"]);
    for field in FIELDS {
        table.row([field.to_owned(), cell(&known, field), cell(&then, field)]);
    }
    table.render()
}

/// Arguments of `eport platform usage`.
#[derive(Args, Debug)]
pub struct UsageArgs {
    /// Region code; default every platform
    pub region: Option<RegionCode>,
    /// Month, YYYY-MM by the calendar of China; default the current one
    #[arg(long, value_name = "YYYY-MM")]
    pub month: Option<Month>,
    /// Print CSV, for a ledger
    #[arg(long)]
    pub csv: bool,
}

/// Columns of the CSV; new ones are added at the end.
const COLUMNS: [&str; 8] =
    ["region", "month", "requests", "documents", "bytes_in", "disk_bytes", "copies_disk_bytes", "through"];

/// Prints what platforms used. A report that lacks a platform says so and ends with exit 5.
pub async fn usage(client: &Client, args: &UsageArgs, out: Out) -> Result<(), Error> {
    if args.csv && out.json {
        return Err(Error::usage("give --csv or --json"));
    }
    let query: Vec<(&str, String)> = args.month.iter().map(|m| ("month", m.to_string())).collect();
    let report = match args.region {
        Some(region) => {
            let item: eport_api_types::PlatformUsage =
                client.get(&format!("/v1/platforms/{region}/usage"), &query).await?;
            let month = item.month.clone();
            UsageReport { month, items: vec![item], missing: Vec::new(), next_page_token: None }
        }
        None => client.get("/v1/usage", &query).await?,
    };
    if args.csv {
        out.stdout(&csv(&report));
    } else {
        out.result(&document(&report), || table(&report).render());
    }
    for missing in &report.missing {
        out.say(
            format!("! {} is missing: {}", missing.region, missing.reason),
            format!("! 缺少 {}：{}", missing.region, missing.reason),
        );
    }
    if report.missing.is_empty() { Ok(()) } else { Err(Error::Exit(exit::UNAVAILABLE)) }
}

fn cells(usage: &eport_api_types::PlatformUsage) -> [String; 8] {
    let copies: u64 = usage.copies.iter().map(|c| c.disk_bytes).sum();
    [
        usage.region.to_string(),
        usage.month.clone(),
        usage.requests.to_string(),
        usage.documents.to_string(),
        usage.bytes_in.to_string(),
        usage.disk_bytes.to_string(),
        copies.to_string(),
        usage.through.to_string(),
    ]
}

/// Plain fields only: numbers, codes and months need no quoting.
fn csv(report: &UsageReport) -> String {
    let lines = report.items.iter().map(|u| cells(u).join(","));
    std::iter::once(COLUMNS.join(",")).chain(lines).map(|line| line + "\r\n").collect()
}

fn table(report: &UsageReport) -> Table {
    let mut table = Table::new([
        "region",
        "month",
        ">requests",
        ">documents",
        ">bytes in",
        ">disk bytes",
        ">with copies",
        ">through",
    ]);
    for usage in &report.items {
        table.row(cells(usage));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_api_types::{CopyUsage, PlatformUsage};

    #[test]
    fn a_size_is_bytes_or_a_number_with_a_unit() {
        for (text, size) in
            [("0", 0), ("4096", 4096), ("16MiB", 16 << 20), ("2 GiB", 2 << 30), ("1TiB", 1 << 40)]
        {
            assert_eq!(bytes(text), Ok(size));
        }
        for bad in ["", "MiB", "-1", "1.5GiB", "1GB", "99999999999TiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(bound_of_bytes("none"), Ok(Bound::None));
        assert!(bound_of_requests("many").is_err());
    }

    #[test]
    fn what_is_not_named_stays_and_a_new_rate_brings_its_own_burst() {
        let known = QuotaItem {
            version: 3,
            requests_per_s: Some(10),
            burst: Some(100),
            disk_bytes: Some(1 << 30),
            ..QuotaItem::default()
        };
        let disk = wanted(&QuotaArgs { disk_bytes: Some(Bound::At(2 << 30)), ..nothing() }, &known);
        assert_eq!((disk.requests_per_s, disk.burst, disk.disk_bytes), (Some(10), Some(100), Some(2 << 30)));
        let rate = wanted(&QuotaArgs { requests_per_s: Some(Bound::At(50)), ..nothing() }, &known);
        assert_eq!((rate.requests_per_s, rate.burst, rate.burst()), (Some(50), None, Some(100)));
        let lifted = wanted(&QuotaArgs { requests_per_s: Some(Bound::None), ..nothing() }, &known);
        assert_eq!((lifted.requests_per_s, lifted.burst, lifted.disk_bytes), (None, None, Some(1 << 30)));
        assert!(wanted(&QuotaArgs { clear: true, ..nothing() }, &known).is_none());
    }

    fn nothing() -> QuotaArgs {
        QuotaArgs {
            region: "440500".parse().unwrap(),
            requests_per_s: None,
            burst: None,
            bytes_in_flight: None,
            disk_bytes: None,
            clear: false,
            dry_run: false,
        }
    }

    #[test]
    fn the_csv_has_one_line_a_platform_and_the_sum_of_its_copies() {
        let copy = |node: &str, disk_bytes| CopyUsage { node: node.parse().unwrap(), disk_bytes };
        let usage = PlatformUsage {
            region: "440500".parse().unwrap(),
            month: "2018-01".into(),
            requests: 12,
            documents: 7,
            bytes_in: 700,
            disk_bytes: 5_000,
            copies: vec![copy("gz-a-1", 5_000), copy("gz-b-1", 4_000)],
            through: 9,
        };
        let report = UsageReport {
            month: "2018-01".into(),
            items: vec![usage],
            missing: vec![],
            next_page_token: None,
        };
        assert_eq!(
            csv(&report),
            "region,month,requests,documents,bytes_in,disk_bytes,copies_disk_bytes,through\r\n440500,2018-01,12,7,700,5000,9000,9\r\n"
        );
    }
}
