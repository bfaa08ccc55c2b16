//! What a new version of a catalog costs: bytes between two nodes against `zstd --patch-from` of the same run, time and bytes as a
//! table grows, memory of an installed table.

use crate::report::Row;
use crate::suite::push;
use anyhow::{Context, Result, bail, ensure};
use eport_catalog::{Header, Schema, apply_delta, chunks, encode_table, make_delta};
use eport_model::Digest;
use eport_store::{ObjectStore, pack_delta, unpack_delta};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Sizes of the growing table; the last one only with `BENCH_FULL`.
const GROWTH: [u32; 4] = [10_000, 100_000, 1_000_000, 10_000_000];

/// Takes every figure.
pub fn measure(dir: &Path, rows: &mut Vec<Row>) -> Result<()> {
    match std::env::var_os("EPORT_DATA_DIR").map(PathBuf::from) {
        Some(data) => {
            locode(dir, &data, rows)?;
            editions(dir, &data, rows)?;
        }
        None => eprintln!("catalog: EPORT_DATA_DIR is not set; real revisions are left out"),
    }
    growth(dir, rows)
}

/// One holder and one receiver, in folders of their own.
struct Pair {
    _dir: tempfile::TempDir,
    holder: ObjectStore,
    receiver: ObjectStore,
}

/// What travelled and how long it took.
struct Sent {
    wire: u64,
    plain: u64,
    make_s: f64,
    apply_s: f64,
}

impl Pair {
    fn new(dir: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("catalog-").tempdir_in(dir)?;
        let open = |name: &str| ObjectStore::open(&folder.path().join(name));
        let (holder, receiver) = (open("holder")?, open("receiver")?);
        Ok(Self { _dir: folder, holder, receiver })
    }

    /// Puts both versions at the holder and the first at the receiver, which then takes the second by delta.
    fn send(&self, before: &[u8], after: &[u8]) -> Result<Sent> {
        let (from, to) = (self.holder.put(before)?, self.holder.put(after)?);
        self.receiver.put(before)?;
        let begin = Instant::now();
        let delta = make_delta(&self.holder, &from, &to)?;
        let packed = pack_delta(&delta)?;
        let make_s = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let mut batch = self.receiver.batch();
        let unpacked = unpack_delta(&packed, eport_catalog::DELTA_LEN_MAX + 1024)?;
        apply_delta(&self.receiver, &mut batch, (&from, &to), &unpacked)?;
        batch.install(&to)?;
        let apply_s = begin.elapsed().as_secs_f64();
        ensure!(self.receiver.content(&to)? == after, "the receiver has other bytes");
        Ok(Sent { wire: packed.len() as u64, plain: delta.len() as u64, make_s, apply_s })
    }
}

/// Bytes of the objects that the second version adds: what would travel without row deltas.
fn chunk_bytes(store: &ObjectStore, from: &Digest, to: &Digest) -> Result<u64> {
    let have: std::collections::BTreeSet<Digest> = chunks(store, from)?.iter().map(|c| c.digest).collect();
    let fresh = chunks(store, to)?.into_iter().filter(|c| !have.contains(&c.digest));
    Ok(fresh.filter_map(|c| store.packed_len(&c.digest)).sum())
}

/// `zstd -19 --patch-from`, as anybody has it at hand.
fn patch_from(dir: &Path, before: &[u8], after: &[u8]) -> Result<u64> {
    let dir = tempfile::Builder::new().prefix("patch-").tempdir_in(dir)?;
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("before"), before)?;
    std::fs::write(path("after"), after)?;
    let mut patch = std::ffi::OsString::from("--patch-from=");
    patch.push(path("before"));
    let mut zstd = Command::new("zstd");
    zstd.args(["-19", "--long=31", "-q", "-f"]).arg(patch).arg(path("after")).arg("-o").arg(path("patch"));
    let out = zstd.output().context("zstd, the program")?;
    ensure!(out.status.success(), "zstd: {}", String::from_utf8_lossy(&out.stderr));
    Ok(std::fs::metadata(path("patch"))?.len())
}

fn gunzip(path: &Path) -> Result<Vec<u8>> {
    let out = Command::new("gzip").arg("-dc").arg(path).output().context("gzip, the program")?;
    ensure!(out.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&out.stderr));
    Ok(out.stdout)
}

/// Canonical content of a real file: rows without a key are left out, of repeated keys the first counts.
fn canonical(file: &[u8], key: &[&str]) -> Result<Vec<u8>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let names: Vec<String> =
        reader.headers()?.iter().map(|n| n.trim_start_matches('\u{feff}').to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let schema = Schema::new(&names, key)?;
    let places: Vec<usize> = key.iter().filter_map(|k| schema.column(k)).collect();
    let mut rows: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for record in reader.records() {
        let mut row: Vec<String> = record?.iter().map(str::to_owned).collect();
        row.resize(names.len(), String::new());
        let at: Vec<String> = places.iter().map(|p| row[*p].clone()).collect();
        if at.iter().all(|part| !part.is_empty()) {
            rows.entry(at).or_insert(row);
        }
    }
    Ok(encode_table(&schema, rows.into_values())?)
}

fn locode(dir: &Path, data: &Path, rows: &mut Vec<Row>) -> Result<()> {
    let read = |name: &str| canonical(&gunzip(&data.join("un_locode").join(name))?, &["Country", "Location"]);
    let (before, after) = (read("un_locode_2025-1.csv.gz")?, read("un_locode_latest.csv.gz")?);
    let pair = Pair::new(dir)?;
    let sent = pair.send(&before, &after)?;
    let patch = patch_from(dir, &before, &after)?;
    let (from, to) = (eport_catalog::root_of(&before)?, eport_catalog::root_of(&after)?);
    let objects = chunk_bytes(&pair.holder, &from, &to)?;
    let ratio = sent.wire as f64 / patch as f64;
    push(
        rows,
        Row {
            what: format!(
                "Catalog: the real UN/LOCODE revision on the wire ({} rows)",
                Header::read(&after)?.rows()
            ),
            figure: format!(
                "{} bytes ({} before compression; missing chunks would be {objects}); made in {:.0} ms, applied in {:.0} ms",
                sent.wire,
                sent.plain,
                sent.make_s * 1e3,
                sent.apply_s * 1e3
            ),
            yardstick: Some(format!("{patch} bytes of `zstd -19 --patch-from`")),
            ratio: Some(ratio),
            goal: "≤ 150 %".into(),
            met: Some(ratio <= 1.5),
        },
    );
    // One row in a hundred gets another value.
    let (schema, mut plain) = eport_catalog::decode_table(&before)?;
    let last = schema.columns.len() - 1;
    for (n, row) in plain.iter_mut().enumerate().filter(|(n, _)| n % 100 == 37) {
        row[last] = format!("changed {n}");
    }
    let changed = encode_table(&schema, plain)?;
    let sent = Pair::new(dir)?.send(&before, &changed)?;
    let share = sent.wire as f64 / changed.len() as f64;
    push(
        rows,
        Row {
            what: "Catalog: 1 % of the rows changed, scattered".into(),
            figure: format!("{} bytes", sent.wire),
            yardstick: Some(format!("{} bytes of content", changed.len())),
            ratio: Some(share),
            goal: "≤ 2 %".into(),
            met: Some(share <= 0.02),
        },
    );
    memory(dir, &after, rows)
}

fn editions(dir: &Path, data: &Path, rows: &mut Vec<Row>) -> Result<()> {
    let pair = Pair::new(dir)?;
    let mut before: Option<Vec<u8>> = None;
    let mut listed = Vec::new();
    for year in 2015..=2023 {
        let file = gunzip(&data.join(format!("cn_hs8/zh_hs8_{year}.csv.gz")))?;
        let content = canonical(&file, &["商品编码"])?;
        if let Some(old) = &before {
            let sent = pair.send(old, &content)?;
            let counts = eport_catalog::compare(old, &content, |_| {})?;
            let touched = counts.added + counts.removed + counts.changed;
            listed.push(format!(
                "{year}: {} B / {touched} = {:.1}",
                sent.wire,
                sent.wire as f64 / touched.max(1) as f64
            ));
        }
        before = Some(content);
    }
    push(
        rows,
        Row {
            what: "Catalog: yearly editions of the customs codes, bytes a changed row".into(),
            figure: listed.join("; "),
            yardstick: None,
            ratio: None,
            goal: "recorded".into(),
            met: None,
        },
    );
    Ok(())
}

fn grown(count: u32, changed: bool) -> Result<Vec<u8>> {
    let schema = Schema::new(&["code", "name", "unit"], &["code"])?;
    let rows = (0..count).map(|n| {
        let salt = u32::from(changed && n % 100 == 63);
        let value = n.wrapping_mul(2_654_435_761).wrapping_add(salt);
        [format!("C{n:09}"), format!("goods of kind {value:x}"), format!("{}", value % 97)]
    });
    Ok(encode_table(&schema, rows)?)
}

/// A growing table of which always 100 rows change, and of which one in a hundred does.
fn growth(dir: &Path, rows: &mut Vec<Row>) -> Result<()> {
    let full = std::env::var_os("BENCH_FULL").is_some();
    let mut bytes_a_row: Vec<f64> = Vec::new();
    for count in GROWTH.into_iter().take(if full { 4 } else { 3 }) {
        let (before, after) = (grown(count, false)?, grown(count, true)?);
        let begin = Instant::now();
        let sent = Pair::new(dir)?.send(&before, &after)?;
        let all_s = begin.elapsed().as_secs_f64();
        let touched = f64::from(count / 100);
        bytes_a_row.push(sent.wire as f64 / touched);
        let even = bytes_a_row.iter().all(|b| *b <= bytes_a_row[0] * 1.5);
        push(
            rows,
            Row {
                what: format!("Catalog: {count} rows, 1 % changed"),
                figure: format!(
                    "{} bytes, {:.1} a changed row; made in {:.0} ms, applied in {:.0} ms; both versions stored in {:.1} s",
                    sent.wire,
                    sent.wire as f64 / touched,
                    sent.make_s * 1e3,
                    sent.apply_s * 1e3,
                    all_s - sent.make_s - sent.apply_s
                ),
                yardstick: Some(format!("{} bytes of content", after.len())),
                ratio: Some(sent.wire as f64 / after.len() as f64),
                goal: "bytes grow with the change only".into(),
                met: Some(even),
            },
        );
    }
    Ok(())
}

/// What an installed table takes in memory: told by a process that does nothing else.
fn memory(dir: &Path, content: &[u8], rows: &mut Vec<Row>) -> Result<()> {
    let file = tempfile::Builder::new().prefix("table-").tempfile_in(dir)?;
    std::fs::write(file.path(), content)?;
    let out = Command::new(std::env::current_exe()?).arg("table-memory").arg(file.path()).output()?;
    ensure!(out.status.success(), "table-memory: {}", String::from_utf8_lossy(&out.stderr));
    let taken: u64 = String::from_utf8_lossy(&out.stdout).trim().parse()?;
    let ratio = taken as f64 / content.len() as f64;
    push(
        rows,
        Row {
            what: format!("Catalog: memory of an installed table of {} rows", Header::read(content)?.rows()),
            figure: format!("{taken} bytes"),
            yardstick: Some(format!("{} bytes of content", content.len())),
            ratio: Some(ratio),
            goal: "≤ 200 %".into(),
            met: Some(ratio <= 2.0),
        },
    );
    Ok(())
}

/// Opens one table as a node does and prints what that takes.
pub fn table_memory(file: Option<String>) -> Result<()> {
    let file = file.context("a file with canonical content is needed")?;
    let before = resident()?;
    let content = std::fs::read(&file).with_context(|| file.clone())?;
    let root = eport_catalog::root_of(&content)?;
    let table = eport_codetables::Table::open(content.into(), root)?;
    let taken = resident()?.saturating_sub(before);
    ensure!(!table.is_empty(), "an empty table says nothing");
    println!("{taken}");
    Ok(())
}

fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
    match line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()) {
        Some(kib) => Ok(kib << 10),
        None => bail!("VmRSS: {line}"),
    }
}
