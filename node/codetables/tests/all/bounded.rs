//! Files larger than what is put in order in memory: the same content, the same report, and what a disk that fails means.

use eport_catalog::{InMemory, Pile, Scratch, Source, TableName};
use eport_codetables::*;
use eport_model::Coded;
use eport_model::codes::{DISK_FULL, STORAGE_FAILED, TABLE_ENCODING};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a run: a few hundred rows of these files.
const RUN: usize = 16 << 10;
const ROWS: u64 = 20_000;

fn options() -> Options {
    Options::with_key(["code"])
}

/// A file whose keys come in no order, with further lines behind.
fn file(behind: &str) -> Vec<u8> {
    let mut file = String::from("code,name\n");
    for n in 0..ROWS {
        let key = n * 7_919 % ROWS;
        file.push_str(&format!("P{key:07},port {key}\n"));
    }
    file.push_str(behind);
    file.into_bytes()
}

fn in_runs(file: &[u8], options: &Options) -> Result<Parsed, Refusal> {
    read_from(&file.to_vec(), options, &Desk { scratch: &InMemory, run_len: RUN })
}

#[test]
fn a_file_that_is_sorted_in_runs_has_the_content_of_one_that_fits() {
    let file = file("");
    let (one, runs) = (read(&file, &options()).unwrap(), in_runs(&file, &options()).unwrap());
    assert_eq!((runs.content.rows, runs.content.root), (ROWS, one.content.root));
    assert_eq!(runs.content.bytes().unwrap(), one.content.bytes().unwrap());
}

/// The first row of the file and its last one lie in different runs.
#[test]
fn a_key_that_stands_again_at_the_other_end_of_the_file_is_judged() {
    let equal = file("P0000000,port 0\nP0000000,port 0\n");
    let parsed = in_runs(&equal, &options()).unwrap();
    assert_eq!((parsed.content.rows, parsed.duplicates_ignored), (ROWS, 2));
    let note = parsed.notes.iter().find(|n| n.kind == NoteKind::DuplicateRow).unwrap();
    assert_eq!((note.line, note.column, note.count), (ROWS + 2, 1, 2), "the first that is left out");

    let differs = file("P0000000,another\nP0007919,port 7919\n");
    let Err(Refusal::Problems { problems, found, .. }) = in_runs(&differs, &options()) else {
        panic!("one key, two rows")
    };
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!((problem.line, problem.column, problem.kind, found), (ROWS + 2, 1, Kind::RepeatedKey, 1));
    assert!(problem.detail.contains("stands in line 2 "), "{}", problem.detail);

    for (repeats, name) in [(Repeats::First, "port 0"), (Repeats::Last, "another")] {
        let content = in_runs(&differs, &Options { repeats, ..options() }).unwrap().content;
        let table = content.open().unwrap();
        assert_eq!((table.len() as u64, table.get_text("P0000000").unwrap().get("name")), (ROWS, Some(name)));
    }
}

#[test]
fn a_fault_in_the_last_row_refuses_the_whole_file_at_its_place() {
    let Err(Refusal::Problems { problems, .. }) = in_runs(&file("P9999999,x,y\n"), &options()) else {
        panic!("it has a fault")
    };
    let places: Vec<_> = problems.iter().map(|p| (p.line, p.column, p.kind)).collect();
    assert_eq!(places, [(ROWS + 2, 12, Kind::RaggedRow)]);
}

/// A scratch with room for so many bytes; counts what it holds now.
struct Small {
    room: usize,
    held: Arc<AtomicUsize>,
}

struct SmallPile {
    bytes: Vec<u8>,
    room: usize,
    held: Arc<AtomicUsize>,
}

impl Scratch for Small {
    fn begin(&self) -> io::Result<Box<dyn Pile>> {
        Ok(Box::new(SmallPile { bytes: Vec::new(), room: self.room, held: self.held.clone() }))
    }
}

impl Write for SmallPile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len() > self.room {
            self.held.fetch_sub(bytes.len(), Ordering::Relaxed);
            return Err(io::Error::new(ErrorKind::StorageFull, "no room"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SmallPile {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl Pile for SmallPile {
    fn end(self: Box<Self>) -> io::Result<Arc<dyn Source>> {
        Ok(Arc::new(*self))
    }
}

impl Source for SmallPile {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.bytes.as_slice()))
    }
}

#[test]
fn a_scratch_that_is_full_is_said_under_its_code_and_nothing_stays_in_it() {
    let (file, held) = (file(""), Arc::new(AtomicUsize::new(0)));
    // For no row at all; for some runs; for all runs, but not for what comes of them.
    for room in [0, 100_000, 2 * file.len()] {
        let scratch = Small { room, held: held.clone() };
        let refused = read_from(&file, &options(), &Desk { scratch: &scratch, run_len: RUN }).unwrap_err();
        assert_eq!(refused.code(), DISK_FULL, "room {room}: {refused}");
        assert_eq!(held.load(Ordering::Relaxed), 0, "room {room}");
    }
    let scratch = Small { room: 3 * file.len(), held: held.clone() };
    let parsed = read_from(&file, &options(), &Desk { scratch: &scratch, run_len: RUN }).unwrap();
    let rows_only = parsed.content.body.len() as usize;
    assert!(held.load(Ordering::Relaxed) <= rows_only, "the runs are given up, the content stays");
    drop(parsed);
    assert_eq!(held.load(Ordering::Relaxed), 0);
}

/// A file of which the disk gives only the beginning.
struct Failing(Vec<u8>);

impl Source for Failing {
    fn len(&self) -> u64 {
        2 * self.0.len() as u64
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.0.as_slice().chain(Broken)))
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("a block cannot be read"))
    }
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_is_no_shorter_table() {
    let refused = read_from(&Failing(file("")), &options(), &Desk::default()).unwrap_err();
    assert_eq!(refused.code(), STORAGE_FAILED, "{refused}");
}

/// A byte that does not fit is told first, however many other characters stand before it.
#[test]
fn a_bad_byte_behind_a_full_list_of_other_characters_is_what_the_refusal_says() {
    for before in ["a\0b,c\n", "a\u{FFFD}b,c\n"] {
        let mut file = format!("code,name\n{}", before.repeat(1_100)).into_bytes();
        file.resize(1 << 20, b'x');
        file.extend_from_slice(b"\nend,\xFF\n");
        let refused = read_from(&file, &options(), &Desk::default()).unwrap_err();
        assert_eq!(refused.code(), TABLE_ENCODING, "{refused}");
        let Refusal::Problems { first, .. } = refused else { panic!("{refused}") };
        assert_eq!((first.kind, first.offset), (Kind::Encoding, Some((1 << 20) + 5)), "{first:?}");
    }
}

/// The last piece of this file is empty.
#[test]
fn a_file_that_ends_with_a_piece_is_looked_at_to_its_end() {
    let mut file = b"code,name\nA,one\nA,two\nB,\0\n".to_vec();
    while file.len() < (1 << 20) - 64 {
        let row = format!("K{:08},filler of a row\n", file.len());
        file.extend_from_slice(row.as_bytes());
    }
    let rest = (1 << 20) - file.len();
    file.extend_from_slice(format!("Z,{}\n", "z".repeat(rest - 3)).as_bytes());
    assert_eq!(file.len(), 1 << 20);
    let Err(Refusal::Problems { problems, .. }) = read_from(&file, &options(), &Desk::default()) else {
        panic!("it has faults")
    };
    let kinds: Vec<_> = problems.iter().map(|p| (p.line, p.kind)).collect();
    assert_eq!(kinds, [(3, Kind::RepeatedKey), (4, Kind::Nul)]);
}

#[test]
fn names_of_json_members_that_are_too_long_are_told_at_their_line_and_not_kept() {
    let long = "n".repeat(300);
    let file = format!("{{\"code\":\"A\",\"name\":\"one\"}}\n{{\"code\":\"B\",\"{long}\":\"two\"}}\n");
    let mut options = options();
    options.format = Format::Jsonl;
    let Err(Refusal::Problems { problems, .. }) = read(file.as_bytes(), &options) else {
        panic!("a long name")
    };
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!((problem.line, problem.column, problem.kind), (2, 13, Kind::BadColumnName), "{problem:?}");
}

#[test]
fn a_report_shows_the_beginning_of_long_values_and_no_more_than_it_may() {
    let file = |mark: &str| -> Vec<u8> {
        let row = |n: u32| format!("K{n:04},{}{mark}\n", "值".repeat(20_000));
        format!("code,name\n{}", (0..300).map(row).collect::<String>()).into_bytes()
    };
    let table = TableName::new("440000".parse().unwrap(), "long").unwrap();
    let before = read(&file("a"), &options()).unwrap().content;
    let beside = Beside { before: Some(before.body), ..Beside::default() };
    let forced = Options { force: true, ..options() };
    let report = import_from(&table, &file("b"), &forced, beside, &Desk::default()).report;
    assert_eq!((report.changed, report.difference.changed.len()), (300, 300));
    for changed in &report.difference.changed {
        let (old, new) = &changed.fields["name"];
        assert!([old, new].into_iter().flatten().all(|v| v.len() <= 260 && v.ends_with('…')), "{changed:?}");
    }
}
