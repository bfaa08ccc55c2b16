//! `eport doc map`: rows of a table become documents by a mapping file, written as batch lines or lodged in batches.
//!
//! One batch is in memory at a time. A row that cannot be mapped is told with its line and does not stop the others.

use crate::error::Error;
use crate::exit;
use crate::files::read_input;
use crate::output::{Out, cell};
use clap::Args;
use eport_client::{Client, Repeat};
use eport_mapping::{Bound, Mapping};
use eport_model::RegionCode;
use eport_model::codes::FILE_UNUSABLE;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read, Write};
use std::rc::Rc;

/// Documents of one request.
const BATCH: usize = 1_000;
/// Largest row: a quote that is never closed must not swallow the file.
const ROW_LEN_MAX: usize = 1 << 20;
/// Bad rows that are told one by one; the others are counted.
const TOLD_MAX: usize = 100;

/// Arguments of `eport doc map`.
#[derive(Args, Debug)]
pub struct MapArgs {
    /// The table: CSV with a header; - for standard input
    pub file: String,
    /// The mapping file
    #[arg(long, value_name = "FILE")]
    pub mapping: String,
    /// Lodge the documents on this platform
    #[arg(long, short = 'p', value_name = "REGION", conflicts_with = "out")]
    pub platform: Option<RegionCode>,
    /// Write the documents to this file, one a line; standard output when neither this nor a platform is named
    #[arg(long, value_name = "FILE")]
    pub out: Option<String>,
    /// Most rows to take
    #[arg(long, value_name = "ROWS")]
    pub limit: Option<u64>,
}

/// What came of the rows.
#[derive(Default)]
struct Tally {
    rows: u64,
    mapped: u64,
    accepted: u64,
    repeated: u64,
    refused: u64,
    unknown: u64,
    unmapped: u64,
    /// Reason → how often, and the first line it stands in.
    reasons: BTreeMap<String, (u64, u64)>,
    bad: Vec<Value>,
}

impl Tally {
    fn reason(&mut self, code: &str, line: u64) {
        self.reasons.entry(code.to_owned()).or_insert((0, line)).0 += 1;
    }

    fn bad(&mut self, line: u64, field: &str, column: &str, detail: &str) {
        if self.bad.len() < TOLD_MAX {
            self.bad.push(json!({ "line": line, "field": field, "column": column, "detail": detail }));
        }
    }

    fn answer(&mut self, answer: &Value, line: u64) {
        match answer["status"].as_u64().unwrap_or(0) {
            201 => self.accepted += 1,
            200 => self.repeated += 1,
            429 | 500.. | 0 => self.unknown += 1,
            _ => {
                self.refused += 1;
                let failures: Vec<&Value> = answer["failures"].as_array().into_iter().flatten().collect();
                for f in &failures {
                    self.reason(&format!("{} {}", cell(f, "code"), cell(f, "path")), line);
                }
                if failures.is_empty() {
                    self.reason(&cell(answer, "code"), line);
                }
            }
        }
    }

    fn document(&self) -> Value {
        let reasons = self
            .reasons
            .iter()
            .map(|(reason, (count, first))| json!({ "reason": reason, "count": count, "first_line": first }));
        json!({ "rows": self.rows, "mapped": self.mapped, "accepted": self.accepted, "repeated": self.repeated,
            "refused": self.refused, "unknown": self.unknown, "unmapped": self.unmapped,
            "reasons": reasons.collect::<Vec<_>>(), "bad_rows": self.bad })
    }

    fn text(&self, lodged: bool, out: Out) -> String {
        let mut text = String::new();
        for bad in &self.bad {
            let of = [cell(bad, "line"), cell(bad, "field"), cell(bad, "column"), cell(bad, "detail")];
            text.push_str(&format!("line {}: {} ({}): {}\n", of[0], of[1], of[2], of[3]));
        }
        for (reason, (count, first)) in &self.reasons {
            text.push_str(&out.lang.pick((
                format!("{count:>8}  {reason}, first in line {first}\n"),
                format!("{count:>8}  {reason}，首见于第 {first} 行\n"),
            )));
        }
        let Tally { rows, mapped, accepted, repeated, refused, unknown, unmapped, .. } = self;
        text.push_str(&out.lang.pick((
            format!("{rows} rows: {mapped} mapped, {unmapped} not\n"),
            format!("{rows} 行：映射 {mapped}，未能映射 {unmapped}\n"),
        )));
        if lodged {
            text.push_str(&out.lang.pick((
                format!(
                    "{accepted} accepted, {repeated} repeated, {refused} refused, {unknown} unanswered\n"
                ),
                format!("受理 {accepted}，重复 {repeated}，拒绝 {refused}，未答复 {unknown}\n"),
            )));
        }
        text
    }

    fn verdict(&self) -> Result<(), Error> {
        match (self.unknown, self.refused + self.unmapped) {
            (0, 0) => Ok(()),
            (0, _) => Err(Error::Exit(exit::FAILED)),
            _ => Err(Error::Exit(exit::UNAVAILABLE)),
        }
    }
}

/// Reads no more than is left, so that one row never takes more memory than it may.
struct Limited<R> {
    inner: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        match self.left.get().checked_sub(n) {
            Some(left) => {
                self.left.set(left);
                Ok(n)
            }
            None => Err(io::Error::other(format!(
                "a row is longer than {ROW_LEN_MAX} bytes; is a quote not closed?"
            ))),
        }
    }
}

/// The rows of a table that became documents, a batch at a time.
struct Rows<'m, R> {
    reader: csv::Reader<Limited<R>>,
    left: Rc<Cell<usize>>,
    bound: Bound<'m>,
    limit: u64,
}

impl<R: Read> Rows<'_, R> {
    /// The next documents with the lines they stand in; empty at the end.
    fn batch(&mut self, tally: &mut Tally) -> Result<Vec<(u64, Value)>, Error> {
        let mut out = Vec::new();
        let mut record = csv::StringRecord::new();
        while out.len() < BATCH && tally.rows < self.limit {
            self.left.set(ROW_LEN_MAX);
            let line = self.reader.position().line();
            match self.reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) => {}
                Err(e) if matches!(e.kind(), csv::ErrorKind::Io(_)) => {
                    return Err(Error::coded(FILE_UNUSABLE, format!("line {line}: {e}")));
                }
                Err(e) => {
                    tally.rows += 1;
                    tally.unmapped += 1;
                    tally.reason("row", line);
                    tally.bad(line, "", "", &e.to_string());
                    continue;
                }
            }
            tally.rows += 1;
            // The position before a row is behind the line break of the one before; its own says where it begins.
            let line = record.position().map_or(line, csv::Position::line);
            match self.bound.document(&record.iter().collect::<Vec<_>>()) {
                Ok(document) => out.push((line, document)),
                Err(problems) => {
                    tally.unmapped += 1;
                    for p in problems {
                        tally.reason(&format!("row {}", p.field), line);
                        tally.bad(line, &p.field, &p.column, &p.detail);
                    }
                }
            }
        }
        tally.mapped += out.len() as u64;
        Ok(out)
    }
}

fn rows<'m, R: Read>(source: R, mapping: &'m Mapping, limit: Option<u64>) -> Result<Rows<'m, R>, Error> {
    let unusable = |detail: String| Error::coded(FILE_UNUSABLE, detail);
    let left = Rc::new(Cell::new(ROW_LEN_MAX));
    let limited = Limited { inner: source, left: left.clone() };
    let mut reader = csv::ReaderBuilder::new().buffer_capacity(64 << 10).from_reader(limited);
    let header = reader.headers().map_err(|e| unusable(e.to_string()))?.clone();
    let bound = mapping.bind(&header.iter().collect::<Vec<_>>()).map_err(|e| unusable(e.to_string()))?;
    Ok(Rows { reader, left, bound, limit: limit.unwrap_or(u64::MAX) })
}

fn source(name: &str) -> Result<Box<dyn Read>, Error> {
    match name {
        "-" => Ok(Box::new(io::stdin())),
        file => match std::fs::File::open(file) {
            Ok(file) => Ok(Box::new(file)),
            Err(e) => Err(Error::coded(FILE_UNUSABLE, format!("{file}: {e}"))),
        },
    }
}

/// Runs the command; the client is made only when documents are lodged.
pub async fn run(args: &MapArgs, client: Option<Client>, out: Out) -> Result<(), Error> {
    let text = String::from_utf8(read_input(&args.mapping)?)
        .map_err(|_| Error::coded(FILE_UNUSABLE, format!("{}: it is no text", args.mapping)))?;
    let mapping =
        Mapping::parse(&text).map_err(|e| Error::coded(FILE_UNUSABLE, format!("{}: {e}", args.mapping)))?;
    let mut rows = rows(source(&args.file)?, &mapping, args.limit)?;
    let mut tally = Tally::default();
    match (client, args.platform) {
        (Some(client), Some(platform)) => {
            let platform = platform.to_string();
            loop {
                let batch = rows.batch(&mut tally)?;
                if batch.is_empty() {
                    break;
                }
                let (lines, documents): (Vec<u64>, Vec<Value>) = batch.into_iter().unzip();
                let answers = client.lodge_batch(&platform, &documents, Repeat::Safe).await?;
                for (answer, line) in answers.iter().zip(&lines) {
                    tally.answer(answer, *line);
                }
                // A line without an answer is open.
                tally.unknown += lines.len().saturating_sub(answers.len()) as u64;
                out.say(format!("{} rows", tally.rows), format!("{} 行", tally.rows));
            }
            out.result(&tally.document(), || tally.text(true, out));
        }
        _ => write(&mut rows, &mut tally, args.out.as_deref(), out)?,
    }
    tally.verdict()
}

/// Writes the documents, one a line.
fn write(
    rows: &mut Rows<'_, Box<dyn Read>>,
    tally: &mut Tally,
    file: Option<&str>,
    out: Out,
) -> Result<(), Error> {
    let failed = |e: io::Error| Error::coded(FILE_UNUSABLE, e.to_string());
    let mut sink: Box<dyn Write> = match file {
        Some(file) => Box::new(BufWriter::new(std::fs::File::create(file).map_err(failed)?)),
        None if out.json => return Err(Error::usage("--json needs --out FILE or --platform")),
        None => Box::new(BufWriter::new(io::stdout())),
    };
    loop {
        let batch = rows.batch(tally)?;
        if batch.is_empty() {
            break;
        }
        for (_, document) in batch {
            writeln!(sink, "{document}").map_err(failed)?;
        }
    }
    sink.flush().map_err(failed)?;
    match file {
        Some(_) => out.result(&tally.document(), || tally.text(false, out)),
        // Standard output holds the documents.
        None => out.progress(tally.text(false, out).trim_end()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPING: &str = "doc_type = \"d\"\nfunction_code = \"9\"\nclient_ref = { column = \"No\" }\n\
        [[field]]\npath = \"count\"\ncolumn = \"Count\"\nwhole = true\n";

    fn mapped(table: &str) -> (Vec<(u64, Value)>, Tally) {
        let mapping = Mapping::parse(MAPPING).unwrap();
        let mut rows = rows(table.as_bytes(), &mapping, None).unwrap();
        let (mut all, mut tally) = (Vec::new(), Tally::default());
        loop {
            let batch = rows.batch(&mut tally).unwrap();
            if batch.is_empty() {
                return (all, tally);
            }
            all.extend(batch);
        }
    }

    #[test]
    fn bad_rows_are_told_with_their_lines_and_the_others_go_on() {
        let (found, tally) = mapped("No,Count\na,1\nb,x\nc,1,2\n\"d\nd\",4\ne,5\n");
        let lines: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 5, 7]);
        assert_eq!((tally.rows, tally.mapped, tally.unmapped), (5, 3, 2));
        let bad: Vec<u64> = tally.bad.iter().filter_map(|b| b["line"].as_u64()).collect();
        assert_eq!(bad, [3, 4]);
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_swallow_the_file() {
        let mapping = Mapping::parse(MAPPING).unwrap();
        let table = format!("No,Count\n\"{}", "x".repeat(3 << 20));
        let mut rows = rows(table.as_bytes(), &mapping, None).unwrap();
        let error = rows.batch(&mut Tally::default()).unwrap_err().to_string();
        assert!(error.contains("quote"), "{error}");
    }

    #[test]
    fn refusals_are_counted_by_reason_and_an_open_answer_weighs_more() {
        let mut tally = Tally::default();
        let refused = json!({ "status": 422, "failures": [{ "code": "E-X", "path": "/body/a" }] });
        tally.answer(&refused, 2);
        tally.answer(&refused, 3);
        assert_eq!(tally.reasons["E-X /body/a"], (2, 2));
        assert_eq!(tally.verdict().unwrap_err().exit(), exit::FAILED);
        tally.answer(&json!({ "status": 503 }), 4);
        assert_eq!(tally.verdict().unwrap_err().exit(), exit::UNAVAILABLE);
    }
}
