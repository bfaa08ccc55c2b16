//! Code tables in one process: reading a file into a version, looking codes up, searching text.
//!
//! The list of places of the world (`$EPORT_DATA_DIR/un_locode`) where it is there, else rows made here that look like it.

use crate::report::Row;
use crate::suite::push;
use anyhow::{Context, Result, bail, ensure};
use eport_codetables::{Desk, Limits, Options, Query, Repeats, Table, read, read_from};
use eport_spool::{Spool, Spooled};
use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Rows that are made when no data is at hand.
const MADE_ROWS: usize = 1_000_000;
/// Rounds of an import; the median counts.
const ROUNDS: usize = 5;
/// Look-ups of a measure, each a code picked anew.
const LOOKUPS: usize = 200_000;
/// Look-ups that come before: behind them the index of places is made.
const WARM: usize = 100;
/// What people look for: ports, cities, a beginning, a word that stands nowhere.
const QUERIES: [&str; 10] = [
    "guangzhou",
    "shekou",
    "hong kong",
    "rotterdam",
    "san",
    "port of",
    "zürich",
    "kouvola",
    "xx-yy",
    "nan sha",
];
/// Rows of a page of answers.
const PAGE: usize = 100;

/// Reads how many rows a large import shall have: 1 to what an import may have.
pub fn import_rows(text: &str) -> Result<usize> {
    let max = usize::try_from(Limits::default().rows)?;
    let count = text.parse().ok().filter(|n| (1..=max).contains(n));
    count.with_context(|| format!("--import-rows {text}: 1 to {max} are possible"))
}

/// Import, look-up and search; then the import of a file with `import_rows`.
pub fn run(dir: &Path, import_rows: Option<usize>, rows: &mut Vec<Row>) -> Result<()> {
    let (what, file, key) = source()?;
    let mut options = Options::with_key(key);
    options.repeats = Repeats::First;
    let (mut rates, mut yards, mut table) = (Vec::new(), Vec::new(), None);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let parsed = read(&file, &options).context("the file")?;
        let count = parsed.content.rows as f64;
        let opened = parsed.content.open()?;
        rates.push(count / begin.elapsed().as_secs_f64());
        yards.push(count / yardstick(&file).as_secs_f64());
        table = Some(opened);
    }
    let table = table.context("no round")?;
    let (rate, yard) = (median(&mut rates), median(&mut yards));
    push(
        rows,
        Row {
            what: format!("Import of {what}, {} rows: file to opened version, one core", table.len()),
            figure: format!("{rate:.0} rows/s"),
            yardstick: Some(format!("{yard:.0} rows/s read by the crate csv into a map")),
            ratio: Some(rate / yard),
            goal: "≥ 500 000 rows/s".into(),
            met: Some(rate >= 500_000.0),
        },
    );
    lookups(&table, rows);
    searches(&table, rows)?;
    drop(table);
    let full = std::env::var_os("BENCH_FULL").is_some();
    match import_rows {
        Some(count) => memory(dir, &[count], rows),
        None => memory(dir, if full { &[1_000_000, 10_000_000] } else { &[1_000_000] }, rows),
    }
}

/// What the import of large files takes in memory at its highest: told by a process that does nothing else.
fn memory(dir: &Path, sizes: &[usize], rows: &mut Vec<Row>) -> Result<()> {
    for count in sizes {
        let stride = [7_368_787, 7_368_791].into_iter().find(|s| count % s != 0).unwrap_or(1);
        let file = tempfile::Builder::new().prefix("import-").tempfile_in(dir)?;
        let mut out = std::io::BufWriter::new(file.as_file());
        writeln!(out, "code,name,region,country")?;
        for n in 0..*count {
            // Each place once, in no order: whatever is said holds for a file that has to be sorted.
            writeln!(out, "{}", made(n * stride % count))?;
        }
        out.flush()?;
        let len = file.as_file().metadata()?.len();
        let ran = Command::new(std::env::current_exe()?).arg("import-memory").arg(file.path()).output()?;
        ensure!(ran.status.success(), "import-memory: {}", String::from_utf8_lossy(&ran.stderr));
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let mut said = said.split_whitespace().map(str::parse::<f64>);
        let (Some(Ok(peak)), Some(Ok(seconds))) = (said.next(), said.next()) else {
            bail!("import-memory said nothing")
        };
        let ratio = peak / len as f64;
        push(
            rows,
            Row {
                what: format!("Import of {count} rows in no order: memory of the process at its highest"),
                figure: format!(
                    "{:.0} MiB; {:.0} rows/s, {seconds:.1} s from the file on the disk to the content",
                    peak / f64::from(1 << 20),
                    *count as f64 / seconds
                ),
                yardstick: Some(format!("{len} bytes of the file")),
                ratio: Some(ratio),
                goal: "≤ 256 MiB, whatever the file".into(),
                met: Some(peak <= f64::from(256 << 20)),
            },
        );
    }
    Ok(())
}

/// Reads one file as an import does and prints the highest memory in bytes and the seconds.
pub fn import_memory(file: Option<String>) -> Result<()> {
    let file = file.context("a file is needed")?;
    let path = Path::new(&file);
    let source = Spooled::of(path).with_context(|| file.clone())?;
    let spool = Spool::open(path.parent().context("a folder")?, 0)?;
    let begin = Instant::now();
    let parsed = read_from(&source, &Options::with_key(["code"]), &Desk::with(&spool)).context("the file")?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(parsed.content.rows > 0, "an empty table says nothing");
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("VmHWM")?;
    let kib: u64 = line.split_whitespace().next().context("VmHWM")?.parse()?;
    println!("{} {seconds}", kib << 10);
    Ok(())
}

/// A row that looks like one of a list of places.
fn made(n: usize) -> String {
    let (a, b) = (n.wrapping_mul(2_654_435_761) % 1_000_003, n % 26);
    let letter = char::from(b'a' + b as u8);
    format!("P{n:08},Place {letter}{a} 港口{b},R{},C{}", n % 97, n % 249)
}

/// A file without faults, what it is, and its key.
fn source() -> Result<(&'static str, Vec<u8>, Vec<String>)> {
    let Some(dir) = std::env::var_os("EPORT_DATA_DIR") else {
        eprintln!("EPORT_DATA_DIR is not set: rows are made");
        let mut file = String::from("code,name,region,country\n");
        for n in 0..MADE_ROWS {
            file.push_str(&made(n));
            file.push('\n');
        }
        return Ok(("rows made here", file.into_bytes(), vec!["code".into()]));
    };
    let path = Path::new(&dir).join("un_locode/un_locode_latest.csv.gz");
    let out = Command::new("gzip").arg("-dc").arg(&path).output()?;
    let text = String::from_utf8(out.stdout).with_context(|| path.display().to_string())?;
    // Headers of countries have no location, and three names hold control characters: they are no rows.
    let sound = |line: &&str| {
        line.split(',').nth(2).is_some_and(|code| !code.is_empty()) && !line.chars().any(char::is_control)
    };
    let file: String = text.lines().filter(sound).flat_map(|line| [line, "\n"]).collect();
    Ok(("the world's places", file.into_bytes(), vec!["Country".into(), "Location".into()]))
}

fn yardstick(file: &[u8]) -> std::time::Duration {
    let begin = Instant::now();
    let mut map = HashMap::new();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    for record in reader.records().flatten() {
        let key = (record.get(1).unwrap_or("").to_owned(), record.get(2).unwrap_or("").to_owned());
        map.insert(key, record);
    }
    black_box(&map);
    begin.elapsed()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn lookups(table: &Table, rows: &mut Vec<Row>) {
    let keys: Vec<String> =
        (0..table.len()).filter_map(|n| table.row(n)).map(|r| r.key().to_string()).collect();
    let map: HashMap<&str, usize> = keys.iter().enumerate().map(|(n, k)| (k.as_str(), n)).collect();
    let (mut times, mut yards) = (Vec::with_capacity(LOOKUPS), Vec::with_capacity(LOOKUPS));
    let before = table.bytes_in_memory();
    // The index is made by one of the first look-ups: told apart from those that use it.
    let begin = Instant::now();
    for key in keys.iter().take(WARM) {
        black_box(table.get_text(key));
    }
    let made = begin.elapsed();
    let index = table.bytes_in_memory() - before;
    let mut seed = 7usize;
    for _ in 0..LOOKUPS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = keys[(seed >> 33) % keys.len()].as_str();
        let begin = Instant::now();
        black_box(map.get(black_box(key)));
        yards.push(begin.elapsed().as_nanos() as f64);
        let begin = Instant::now();
        black_box(table.get_text(black_box(key)));
        times.push(begin.elapsed().as_nanos() as f64);
    }
    let at = |values: &mut Vec<f64>, share: f64| {
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * share) as usize]
    };
    let (p50, p99, yard) = (at(&mut times, 0.5), at(&mut times, 0.99), at(&mut yards, 0.99));
    push(
        rows,
        Row {
            what: format!(
                "Look-up of a code among {} rows, in process; the index takes {:.1} ms to make and {:.1} bytes a row",
                table.len(),
                made.as_secs_f64() * 1e3,
                index as f64 / table.len() as f64
            ),
            figure: format!("p50 {p50:.0} ns, p99 {p99:.0} ns"),
            yardstick: Some(format!("p99 {yard:.0} ns in a hash map of keys")),
            ratio: Some(p99 / yard),
            goal: "p99 ≤ 1 000 ns".into(),
            met: Some(p99 <= 1_000.0),
        },
    );
}

fn searches(table: &Table, rows: &mut Vec<Row>) -> Result<()> {
    let begin = Instant::now();
    black_box(table.search(&Query::parse("warm")?, None, 1));
    let made = begin.elapsed();
    let (mut times, mut yards) = (Vec::new(), Vec::new());
    for round in 0..200 {
        let text = QUERIES[round % QUERIES.len()];
        let query = Query::parse(text)?;
        let begin = Instant::now();
        black_box(table.search(&query, None, PAGE).rows.len());
        times.push(begin.elapsed().as_secs_f64() * 1e6);
        if round < QUERIES.len() {
            let begin = Instant::now();
            let fits = |row: &_| row_fits(row, text);
            black_box(table.iter().filter(fits).take(PAGE).count());
            yards.push(begin.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    yards.sort_by(f64::total_cmp);
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let yard = yards[yards.len() - 1];
    push(
        rows,
        Row {
            what: format!(
                "Text search among {} rows, {PAGE} answers; the index takes {:.0} ms to make, {:.2} × of the content in memory in all",
                table.len(),
                made.as_secs_f64() * 1e3,
                table.bytes_in_memory() as f64 / table.content().len() as f64
            ),
            figure: format!("p50 {p50:.0} µs, p99 {p99:.0} µs"),
            yardstick: Some(format!("slowest {yard:.0} µs by a look at every row")),
            ratio: Some(p99 / yard),
            goal: "≤ 2 × of the content in memory; p99 ≤ 5 000 µs".into(),
            met: Some(p99 <= 5_000.0 && table.bytes_in_memory() <= 2 * table.content().len()),
        },
    );
    Ok(())
}

fn row_fits(row: &eport_catalog::RowRef<'_>, text: &str) -> bool {
    text.split(' ').all(|word| row.fields().any(|f| f.to_lowercase().contains(word)))
}
