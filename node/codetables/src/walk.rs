//! Walks a file of any form record by record, with a part of it in memory.
//!
//! Always: a record is read whole, with what follows it in sight, and exactly once; places are those of the file, wherever the parts
//! were cut. Memory: a piece and the longest record. A workbook is in memory as a whole, under a limit of its own.

use crate::characters::{Judges, Watch};
use crate::format::{At, Format, See, Step, Steps};
use crate::import::Options;
use crate::json_lines::{JsonLines, Names};
use crate::problem::{Findings, Kind, Place};
use crate::scan::{Field, Scanner, Start};
use crate::sheet::{self, Sheet, SheetRows};
use crate::text::Text;
use eport_catalog::Source;
use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes of text that one record may take: a row of 4 MiB in the longest way to write it.
const RECORD_LEN_MAX: usize = 32 << 20;

/// A file whose form is known; it can be walked again and again.
pub(crate) struct File<'s> {
    source: &'s dyn Source,
    options: &'s Options,
    shape: Shape,
}

enum Shape {
    Fields,
    Json(Arc<Names>),
    Sheet(Sheet),
}

/// What the walks have found: characters of the text as a whole, and records. Each has the whole list to fill.
pub(crate) struct Found {
    pub(crate) characters: Findings,
    pub(crate) records: Findings,
    /// Nothing is kept of records that cannot be read: another walk has reported them.
    pub(crate) quiet: bool,
}

impl<'s> File<'s> {
    /// Looks at what has to be known before the first record. `None`: it cannot be read, and `findings` says why.
    pub(crate) fn open(
        source: &'s dyn Source,
        options: &'s Options,
        findings: &mut Findings,
    ) -> io::Result<Option<Self>> {
        let shape = match options.format {
            Format::Csv | Format::Tsv => Shape::Fields,
            Format::Jsonl => Shape::Json(Arc::new(names(source, options)?)),
            Format::Xlsx => {
                if source.len() > sheet::FILE_LEN_MAX {
                    let detail = format!(
                        "a workbook of {} bytes; {} are allowed, save it as CSV",
                        source.len(),
                        sheet::FILE_LEN_MAX
                    );
                    findings.problem(Place { line: 1, column: 1 }, Kind::TooManyBytes, None, detail);
                    return Ok(None);
                }
                let mut bytes = Vec::new();
                source.open()?.take(sheet::FILE_LEN_MAX).read_to_end(&mut bytes)?;
                let Some(sheet) = Sheet::read(&bytes, options, findings) else { return Ok(None) };
                Shape::Sheet(sheet)
            }
        };
        Ok(Some(File { source, options, shape }))
    }

    /// Walks all records until `see` has enough or the list of problems is full. False: nothing of the text could be read.
    pub(crate) fn walk(&self, found: &mut Found, see: &mut See<'_>) -> io::Result<bool> {
        let (options, judges) = (self.options, self.judges());
        match &self.shape {
            Shape::Fields => self.parts(judges, found, see, &|text, line, last| {
                Box::new(Scanner::new(text, line, last, options))
            }),
            Shape::Json(names) if names.names.is_empty() => {
                // No object with a member: faults are found by reading on, an empty file by its caller.
                self.parts(judges, found, &mut |_, _, _, _| ControlFlow::Continue(()), &|text, line, last| {
                    Box::new(JsonLines::new(text, line, last, names.clone(), options))
                })
            }
            Shape::Json(names) => {
                if !json_header(names, &mut found.records, see) {
                    return Ok(true);
                }
                self.parts(judges, found, see, &|text, line, last| {
                    Box::new(JsonLines::new(text, line, last, names.clone(), options))
                })
            }
            Shape::Sheet(sheet) => {
                let mut rows = SheetRows::new(sheet);
                run(&mut rows, found, see);
                Ok(true)
            }
        }
    }

    /// The same once more, for who has seen what there is to report.
    pub(crate) fn walk_quietly(&self, see: &mut See<'_>) -> io::Result<()> {
        let mut quiet =
            Found { characters: Findings::new(1), records: Findings::new(usize::MAX), quiet: true };
        let mut see = |at: &dyn At, start: Start, fields: &mut Vec<Field<'_>>, found: &mut Findings| {
            found.clear();
            see(at, start, fields, found)
        };
        let file = File { source: self.source, options: self.options, shape: Shape::Fields };
        let options = self.options;
        match &self.shape {
            Shape::Fields => file.parts(None, &mut quiet, &mut see, &|text, line, last| {
                Box::new(Scanner::new(text, line, last, options))
            }),
            Shape::Json(names) => match json_header(names, &mut quiet.records, &mut see) {
                true => file.parts(None, &mut quiet, &mut see, &|text, line, last| {
                    Box::new(JsonLines::new(text, line, last, names.clone(), options))
                }),
                false => Ok(true),
            },
            Shape::Sheet(_) => self.walk(&mut quiet, &mut see),
        }
        .map(|_| ())
    }

    fn judges(&self) -> Option<Judges> {
        // Between the tokens of JSON a tab is a blank.
        let jsonl = self.options.format == Format::Jsonl;
        let delimiter = if jsonl { b'\t' } else { self.options.delimiter };
        Some(Judges { delimiter, controls: !self.options.mapping.drops_controls() })
    }

    fn parts(
        &self,
        judges: Option<Judges>,
        found: &mut Found,
        see: &mut See<'_>,
        begin: &dyn for<'w> Fn(&'w str, u64, bool) -> Box<dyn Steps<'w> + 'w>,
    ) -> io::Result<bool> {
        let mut text = Text::new(self.source.open()?, self.options.encoding, Watch::new(judges));
        let (mut part, mut line) = (String::new(), 1);
        loop {
            let more = text.more(&mut part, &mut found.characters)?;
            if text.is_unreadable() {
                return Ok(false);
            }
            let mut steps = begin(&part, line, !more);
            if run(steps.as_mut(), found, see) {
                return Ok(true);
            }
            let (at, behind) = steps.stand();
            drop(steps);
            part.drain(..at);
            line = behind;
            if part.len() > RECORD_LEN_MAX {
                let detail = format!("more than {RECORD_LEN_MAX} bytes that are one record");
                found.records.problem(Place { line, column: 1 }, Kind::TooManyBytes, None, detail);
                return Ok(true);
            }
        }
    }
}

/// Hands the records of a part to `see`. True: there is nothing more, or nobody wants more.
fn run<'t>(steps: &mut (dyn Steps<'t> + 't), found: &mut Found, see: &mut See<'_>) -> bool {
    let (mut fields, mut step) = (Vec::new(), Findings::new(usize::MAX));
    let (findings, quiet) = (&mut found.records, found.quiet);
    while !findings.is_full() {
        match steps.step(&mut fields, &mut step) {
            Step::Short => return false,
            Step::End => return true,
            Step::Nothing if quiet => step.clear(),
            Step::Nothing => findings.absorb(&mut step),
            Step::Record(start) => {
                findings.absorb(&mut step);
                if see(steps, start, &mut fields, findings).is_break() {
                    return true;
                }
            }
        }
    }
    true
}

/// Hands out the names as the header. True: there are rows to be read, or faults to be found.
fn json_header(names: &Names, findings: &mut Findings, see: &mut See<'_>) -> bool {
    struct Top;
    impl At for Top {
        fn place(&self, _: Start, _: usize) -> Place {
            Place { line: 1, column: 1 }
        }
    }
    let field = |name: &String| Field { text: Cow::Owned(name.clone()), at: 0, number: false };
    let mut fields: Vec<Field<'_>> = names.names.iter().map(field).collect();
    see(&Top, Start { line: 1, at: 0 }, &mut fields, findings).is_continue()
}

/// The names of all lines.
fn names(source: &dyn Source, options: &Options) -> io::Result<Names> {
    let mut text = Text::new(source.open()?, options.encoding, Watch::new(None));
    let (mut part, mut names) = (String::new(), Names::default());
    loop {
        let more = text.more(&mut part, &mut Findings::new(1))?;
        let at = names.collect(&part, !more, options);
        part.drain(..at);
        if !more || part.len() > RECORD_LEN_MAX {
            return Ok(names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of broken lines, walked once more for its good ones.
    #[test]
    fn a_quiet_walk_keeps_nothing_of_what_it_cannot_read() {
        let file = format!("code,name\n{}A,one\n", "a\"b,c\n".repeat(5_000)).into_bytes();
        let options = Options::with_key(["code"]);
        let walked = |quiet: bool| {
            let mut found = Found { characters: Findings::new(1), records: Findings::new(usize::MAX), quiet };
            let file = File { source: &file, options: &options, shape: Shape::Fields };
            let mut rows = 0;
            let mut see = |_: &dyn At, _: Start, _: &mut Vec<Field<'_>>, _: &mut Findings| {
                rows += 1;
                ControlFlow::Continue(())
            };
            file.walk(&mut found, &mut see).unwrap();
            (rows, found.records.problems.len())
        };
        let (loud, quiet) = (walked(false), walked(true));
        assert!(loud.1 > 1_000, "the file has no broken lines: {loud:?}");
        assert_eq!(quiet, (loud.0, 0));
    }
}
