//! `eport stats`: clearance timeliness (口岸通关时效), as figures and consignment by consignment, on the screen or as CSV.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand, ValueEnum};
use eport_client::Client;
use eport_model::{RegionCode, codes::FILE_UNUSABLE};
use serde_json::Value;
use std::path::PathBuf;

/// Arguments of `eport stats`.
#[derive(Args, Debug)]
pub struct StatsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: StatsCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum StatsCommand {
    /// Show how long clearance took: mean, percentiles, shares within 24 and 48 hours, quality of the data
    Timeliness(TimelinessArgs),
    /// List the consignments of a question, with milestones and flags
    Samples(SamplesArgs),
}

/// Which way goods go.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Way {
    /// Into the country
    Import,
    /// Out of it
    Export,
}

/// A comparison.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Compare {
    /// With the same period of the year before
    Yoy,
    /// With the period of the same length before
    Mom,
}

/// What is asked about.
#[derive(Args, Debug)]
pub struct AskedArgs {
    /// Which way goods go
    #[arg(long, value_enum)]
    pub direction: Way,
    /// The duration: T-ALL, T-DWELL, T-CUS, S1 to S9; default T-ALL
    #[arg(long)]
    pub duration: Option<String>,
    /// A local month, 2018-01; or give --from and --to
    #[arg(long, conflicts_with_all = ["from", "to"], required_unless_present = "from")]
    pub month: Option<String>,
    /// First day
    #[arg(long, value_name = "DATE", requires = "to")]
    pub from: Option<String>,
    /// The day behind the last one
    #[arg(long, value_name = "DATE", requires = "from")]
    pub to: Option<String>,
    /// Only where a dimension has one of these values: mode, port, place, district, office, trader, declarant, chapter,
    /// trade_mode, declare_mode, inspected (y, n), dutiable (y, n)
    #[arg(long, value_name = "DIMENSION=VALUE,VALUE", value_parser = only)]
    pub only: Vec<(String, String)>,
}

/// Arguments of `timeliness`.
#[derive(Args, Debug)]
pub struct TimelinessArgs {
    /// The question.
    #[command(flatten)]
    pub asked: AskedArgs,
    /// The platform; default all, put together
    #[arg(long, short = 'p', value_name = "REGION")]
    pub platform: Option<RegionCode>,
    /// Dimensions of a row, at most three, and month
    #[arg(long, value_name = "DIMENSION,DIMENSION")]
    pub by: Option<String>,
    /// Hide what would tell of one enterprise
    #[arg(long)]
    pub public: bool,
    /// Compare the mean
    #[arg(long, value_enum)]
    pub compare: Option<Compare>,
    /// Write the rows to a file as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

/// Arguments of `samples`.
#[derive(Args, Debug)]
pub struct SamplesArgs {
    /// The question.
    #[command(flatten)]
    pub asked: AskedArgs,
    /// The platform
    #[arg(long, short = 'p', value_name = "REGION")]
    pub platform: RegionCode,
    /// Write all of them to a file as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

const DIMENSIONS: [&str; 12] = [
    "mode",
    "port",
    "place",
    "district",
    "office",
    "trader",
    "declarant",
    "chapter",
    "trade_mode",
    "declare_mode",
    "inspected",
    "dutiable",
];

fn only(text: &str) -> Result<(String, String), String> {
    let (name, values) = text.split_once('=').ok_or("DIMENSION=VALUE is needed")?;
    match DIMENSIONS.contains(&name) {
        true => Ok((name.to_owned(), values.to_owned())),
        false => Err(format!("{name} is no dimension; there are {}", DIMENSIONS.join(", "))),
    }
}

fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

impl AskedArgs {
    fn query(self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut query = vec![("direction", word(self.direction))];
        query.extend(self.duration.map(|d| ("duration", d)));
        query.extend(self.month.map(|m| ("month", m)));
        query.extend(self.from.map(|d| ("from", d)));
        query.extend(self.to.map(|d| ("to", d)));
        for (name, values) in self.only {
            let Some(name) = DIMENSIONS.into_iter().find(|d| *d == name) else { continue };
            if query.iter().any(|(known, _)| *known == name) {
                return Err(Error::usage(format!(
                    "--only {name}: give all its values at once, separated by commas"
                )));
            }
            query.push((name, values));
        }
        Ok(query)
    }
}

/// Runs the group.
pub async fn run(args: StatsArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        StatsCommand::Timeliness(args) => timeliness(&client, args, out).await,
        StatsCommand::Samples(args) => samples(&client, args, out).await,
    }
}

async fn timeliness(client: &Client, args: TimelinessArgs, out: Out) -> Result<(), Error> {
    let mut query = args.asked.query()?;
    query.extend(args.platform.map(|p| ("platform", p.to_string())));
    query.extend(args.by.map(|by| ("by", by)));
    query.extend(args.compare.map(|c| ("compare", word(c))));
    if args.public {
        query.push(("view", "public".to_owned()));
    }
    let answer: Value = client.get("/v1/statistics/timeliness", &query).await?;
    if let Some(file) = &args.csv {
        let columns = columns(&answer);
        let rows = items(&answer).map(|item| columns.iter().map(|c| plain(item, c)).collect::<Vec<_>>());
        write_csv(file, &columns, rows)?;
    }
    out.result(&answer, || text(&answer, out));
    Ok(())
}

fn items(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["items"].as_array().into_iter().flatten()
}

/// Dimensions first, then every figure that an item has, in the order of the first item that has most.
fn columns(answer: &Value) -> Vec<String> {
    let by = answer["by"].as_array().into_iter().flatten();
    let mut columns: Vec<String> = by.filter_map(|n| n.as_str().map(str::to_owned)).collect();
    for item in items(answer) {
        for name in item.as_object().into_iter().flat_map(|o| o.keys()) {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
    }
    columns
}

fn write_csv(
    file: &std::path::Path,
    head: &[String],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<(), Error> {
    let failed = |e: csv::Error| Error::coded(FILE_UNUSABLE, format!("{}: {e}", file.display()));
    let mut out = csv::Writer::from_path(file).map_err(failed)?;
    out.write_record(head).map_err(failed)?;
    for row in rows {
        out.write_record(row).map_err(failed)?;
    }
    out.flush().map_err(Error::file(file))
}

fn text(answer: &Value, out: Out) -> String {
    let by: Vec<String> =
        answer["by"].as_array().into_iter().flatten().filter_map(|n| n.as_str().map(str::to_owned)).collect();
    let mut text = out.lang.pick((
        format!(
            "{} {} ({}), {} to {}, hours, {} view, {}\n",
            cell(answer, "direction"),
            cell(answer, "duration"),
            cell(answer, "definition"),
            cell(answer, "from"),
            cell(answer, "to"),
            cell(answer, "view"),
            cell(answer, "data_status")
        ),
        format!(
            "{} {}（{}），{} 至 {}（不含），单位：小时，{} 视图，{}\n",
            cell(answer, "direction"),
            cell(answer, "duration"),
            cell(answer, "definition"),
            cell(answer, "from"),
            cell(answer, "to"),
            cell(answer, "view"),
            cell(answer, "data_status")
        ),
    ));
    let compared = items(answer).any(|i| i.get("base_n").is_some());
    let figures = ["n", "mean", "p50", "p80", "p90", "p95", "within_24h_percent", "within_48h_percent"];
    let heads =
        [">n", ">mean", ">p50", ">p80", ">p90", ">p95", ">≤24h %", ">≤48h %", ">covered %", ">complete %"];
    let mut head: Vec<String> = by.clone();
    head.extend(heads.map(str::to_owned));
    if compared {
        head.extend([">before", ">change %"].map(str::to_owned));
    }
    let mut table = Table::new(head);
    for item in items(answer) {
        let mut row: Vec<String> = by.iter().map(|name| dash(cell(item, name))).collect();
        if item["suppressed"] == true {
            row.push(out.lang.pick(("hidden", "隐藏")).to_owned());
            table.row(row);
            continue;
        }
        row.extend(figures.iter().map(|name| figure(item, name)));
        row.extend(["coverage_percent", "completeness_percent"].map(|name| figure(item, name)));
        if compared {
            row.extend(["base_mean", "mean_change_percent"].map(|name| figure(item, name)));
        }
        table.row(row);
    }
    text.push_str(&table.render());
    for p in answer["platforms"].as_array().into_iter().flatten() {
        let mut line = format!(
            "  {}  {}/{}  {}",
            cell(p, "platform"),
            cell(p, "epoch"),
            cell(p, "index"),
            out.lang.pick((
                format!("{} consignments", cell(p, "consignments")),
                format!("{} 票", cell(p, "consignments"))
            ))
        );
        for (name, en, zh) in [
            ("unread", "documents that cannot be read", "无法读取的单证"),
            ("overfull_keys", "keys with too many events", "事件过多的键"),
            ("events_not_used", "events not used", "未采用的事件"),
        ] {
            if p[name].as_u64().unwrap_or(0) > 0 {
                line.push_str(&format!(", {} {}", cell(p, name), out.lang.pick((en, zh))));
            }
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// A value for a file that programs read: nothing where there is none.
fn plain(item: &Value, name: &str) -> String {
    match &item[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// A figure with its two decimals; nothing where there is none.
fn figure(item: &Value, name: &str) -> String {
    match &item[name] {
        Value::Number(n) if n.is_f64() => format!("{:.2}", n.as_f64().unwrap_or(0.0)),
        Value::Null => "-".to_owned(),
        _ => cell(item, name),
    }
}

async fn samples(client: &Client, args: SamplesArgs, out: Out) -> Result<(), Error> {
    let query = args.asked.query()?;
    let path = format!("/v1/platforms/{}/statistics/samples", args.platform);
    let items = client.list(&path, &query).await?;
    if let Some(file) = &args.csv {
        let (head, rows) = sample_rows(&items);
        write_csv(file, &head, rows.into_iter())?;
    }
    out.items(&items, || {
        let mut table = Table::new(["doc_id", "trader", ">T-ALL s", "milestones", "flags"]);
        for item in &items {
            let codes = item["milestones"].as_object().into_iter().flat_map(|o| o.keys());
            let flags = item["flags"].as_array().into_iter().flatten().filter_map(|f| f.as_str());
            table.row([
                cell(item, "doc_id"),
                cell(&item["dimensions"], "trader"),
                cell(&item["durations_s"], "T-ALL"),
                codes.cloned().collect::<Vec<_>>().join(" "),
                flags.collect::<Vec<_>>().join(" "),
            ]);
        }
        table
    });
    Ok(())
}

/// A column for every dimension, milestone and duration that any of them has.
fn sample_rows(items: &[Value]) -> (Vec<String>, Vec<Vec<String>>) {
    let groups = ["dimensions", "milestones", "durations_s"];
    let names = groups.map(|group| {
        let of = items.iter().flat_map(|i| i[group].as_object().into_iter().flat_map(|o| o.keys().cloned()));
        of.collect::<std::collections::BTreeSet<String>>()
    });
    let mut head = vec!["doc_id".to_owned(), "direction".to_owned()];
    head.extend(names.iter().flatten().cloned());
    head.push("flags".to_owned());
    let rows = items.iter().map(|item| {
        let mut row = vec![plain(item, "doc_id"), plain(item, "direction")];
        for (group, names) in groups.iter().zip(&names) {
            row.extend(names.iter().map(|name| plain(&item[*group], name)));
        }
        let flags = item["flags"].as_array().into_iter().flatten().filter_map(|f| f.as_str());
        row.push(flags.collect::<Vec<_>>().join(" "));
        row
    });
    let rows = rows.collect();
    (head, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_filter_names_a_dimension_and_each_only_once() {
        assert_eq!(only("port=5316,5317").unwrap(), ("port".to_owned(), "5316,5317".to_owned()));
        assert!(only("port").is_err() && only("weather=rain").is_err());
        let asked = AskedArgs {
            direction: Way::Import,
            duration: None,
            month: Some("2018-01".into()),
            from: None,
            to: None,
            only: vec![only("port=1").unwrap(), only("port=2").unwrap()],
        };
        assert!(asked.query().unwrap_err().to_string().contains("all its values at once"));
    }

    #[test]
    fn a_file_has_a_column_for_whatever_any_consignment_has() {
        let (head, rows) = sample_rows(&[
            json!({ "doc_id": "A", "direction": "import", "dimensions": { "port": "5316" },
                "milestones": { "I01": "2018-01-03T08:00:00+08:00" }, "durations_s": {}, "flags": ["MISS-I14"] }),
            json!({ "doc_id": "B", "direction": "import", "dimensions": { "port": "" },
                "milestones": { "I14": "2018-01-04T16:00:00+08:00" }, "durations_s": { "T-ALL": 7 }, "flags": [] }),
        ]);
        assert_eq!(head, ["doc_id", "direction", "port", "I01", "I14", "T-ALL", "flags"]);
        assert_eq!(rows[0], ["A", "import", "5316", "2018-01-03T08:00:00+08:00", "", "", "MISS-I14"]);
        assert_eq!(rows[1][5], "7");
    }
}
