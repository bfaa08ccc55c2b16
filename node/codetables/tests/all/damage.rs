//! The matrix of damages: every kind under its word, at its exact line and column, and nothing half-applied.
#![allow(clippy::type_complexity, reason = "a failed test may panic; tables of cases are types")]

use eport_codetables::*;
use eport_model::Coded;
use eport_model::codes::{TABLE_ENCODING, TABLE_IMPORT_REFUSED};

fn options() -> Options {
    Options::with_key(["code"])
}

/// Line, column and kind of every problem.
fn problems_with(file: &[u8], options: &Options) -> Vec<(u64, u64, Kind)> {
    match read(file, options) {
        Ok(_) => vec![],
        Err(Refusal::Problems { problems, .. }) => {
            problems.iter().map(|p| (p.line, p.column, p.kind)).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

fn problems(file: &str) -> Vec<(u64, u64, Kind)> {
    problems_with(file.as_bytes(), &options())
}

fn notes(file: &[u8]) -> Vec<(NoteKind, u64, u64, u64)> {
    let parsed = read(file, &options()).unwrap();
    parsed.notes.iter().map(|n| (n.kind, n.line, n.column, n.count)).collect()
}

#[test]
fn every_kind_of_damage_is_named_at_its_line_and_column() {
    let cases: &[(&str, &[(u64, u64, Kind)])] = &[
        ("", &[(1, 1, Kind::NoHeader)]),
        ("\n\n", &[(1, 1, Kind::NoHeader)]),
        ("code,name\n", &[(1, 1, Kind::NoRows)]),
        ("\n\ncode,name\n", &[(3, 1, Kind::NoRows)]),
        ("name,x\nA,1\n", &[(1, 1, Kind::MissingKeyColumn)]),
        ("code,,x\nA,1,2\n", &[(1, 6, Kind::EmptyColumnName)]),
        ("code,名称,名称\nA,1,2\n", &[(1, 9, Kind::BadColumnName)]),
        ("code,name\nA\n", &[(2, 1, Kind::RaggedRow)]),
        ("code,name\nA,1,,x\n", &[(2, 6, Kind::RaggedRow)]),
        ("name,code\n广州,\nx,\n", &[(2, 4, Kind::EmptyKey), (3, 3, Kind::EmptyKey)]),
        ("code,name\nＡ１,x\n", &[(2, 1, Kind::FullWidthKey)]),
        ("name,code\n广,\u{3000}1\n", &[(2, 3, Kind::FullWidthKey)]),
        ("name,code\nx, A\n", &[(2, 3, Kind::BlankInKey)]),
        ("code,name\nA\u{A0}B,x\n", &[(2, 1, Kind::BlankInKey)]),
        ("code,name\n1019010.0,x\n", &[(2, 1, Kind::FloatCode)]),
        ("code,name\n1.01E+05,x\n", &[(2, 1, Kind::FloatCode)]),
        ("code,name\n1E+05,x\n", &[(2, 1, Kind::FloatCode)]),
        ("code,name\nA,x\nB,y\nA,z\n", &[(4, 1, Kind::RepeatedKey)]),
        ("code,name\nA,x\0y\n", &[(2, 4, Kind::Nul)]),
        ("code,name\nA,港\u{7}\n", &[(2, 4, Kind::ControlCharacter)]),
        ("code,name\nA,x\u{92}\n", &[(2, 4, Kind::ControlCharacter)]),
        ("code,name\nA,x\ty\n", &[(2, 4, Kind::ControlCharacter)]),
        ("code,name\nA,x\ry\nB,2\n", &[(2, 4, Kind::ControlCharacter)]),
        ("code,name\nA,\u{FFFD}\n", &[(2, 3, Kind::ReplacementCharacter)]),
        ("code,name\nA,x\"y\n", &[(2, 4, Kind::StrayQuote)]),
        ("code,name\nA,\"x\"y\n", &[(2, 6, Kind::TextAfterQuote)]),
        ("code,name\nA,\"x\nB,2\n", &[(2, 3, Kind::UnterminatedQuote)]),
        // The missing end is named where the quote opens, and the lines behind it are still read as lines.
        ("code,name\nA,\"x\nB\nC,\"z\"\n", &[(2, 3, Kind::UnterminatedQuote), (3, 1, Kind::RaggedRow)]),
        // A place behind a line break inside quotes counts the lines as an editor does.
        ("name,code\n\"a\nb\",A B \n", &[(3, 4, Kind::BlankInKey)]),
        ("name,code\n\"a\nb\",A\nc,\n", &[(4, 3, Kind::EmptyKey)]),
    ];
    for (file, expected) in cases {
        assert_eq!(problems(file), *expected, "{file:?}");
    }
}

#[test]
fn limits_are_named_and_do_not_cost_memory() {
    let mut small = options();
    small.limits = Limits { bytes: 60, rows: 2, columns: 3, field_bytes: 8, problems: 1000 };
    let case = |file: &str| problems_with(file.as_bytes(), &small);
    let commas = format!("code,name\n{}\nB\n", ",".repeat(1_999));
    assert_eq!(problems(&commas), [(2, 1, Kind::EmptyKey), (3, 1, Kind::RaggedRow)]);
    let commas = format!("code,name\n{}\nB\n", ",".repeat(100_000));
    assert_eq!(problems(&commas), [(2, 2_001, Kind::TooManyColumns), (3, 1, Kind::RaggedRow)]);
    assert_eq!(case("code,name\nA,123456789\nB,x\n"), [(2, 3, Kind::FieldTooLong)]);
    assert_eq!(case("code,name\nA,\"123456789\"\nB,x\n"), [(2, 3, Kind::FieldTooLong)]);
    assert_eq!(case("code,a,b,c\nA,1,2,3\n"), [(1, 10, Kind::TooManyColumns)]);
    assert_eq!(case("code,name\nA,1\nB,2\nC,3\n"), [(4, 1, Kind::TooManyRows)]);
    assert_eq!(case(&"x".repeat(61)), [(1, 1, Kind::TooManyBytes)]);
    assert_eq!(case("code,name\nA,12345678\nB,\"12345678\"\n"), []);
}

#[test]
fn five_kinds_of_damage_in_one_file_are_all_reported_at_once_in_file_order() {
    let file = "code,name,country\n\
                CNCAN,广州,CN\n\
                CNSHK,蛇口\n\
                ＣＮＳＺＸ,深圳,CN\n\
                1019010.0,?,CN\n\
                CNCAN,Canton,CN\n\
                CNYTN,\"盐田,CN\n\
                CNNSA,南\u{1}沙,CN\n";
    let imported = import(&"440000/ports".parse().unwrap(), file.as_bytes(), &options(), Beside::default());
    let found: Vec<_> = imported.report.problems.iter().map(|p| (p.line, p.column, p.kind.word())).collect();
    assert_eq!(
        found,
        [
            (3, 1, "ragged_row"),
            (4, 1, "full_width_key"),
            (5, 1, "float_code"),
            (6, 1, "repeated_key"),
            (7, 7, "unterminated_quote"),
            (8, 8, "control_character"),
        ]
    );
    let json = serde_json::to_value(&imported.report).unwrap();
    assert_eq!(json["published"], false);
    assert_eq!(json["root"], serde_json::Value::Null);
    assert_eq!(json["error"]["code"], "EP4001");
    assert_eq!(json["problems"][3]["detail"], "the key \"CNCAN\" stands in line 2 with other values");
    assert_eq!(json["problems"][1]["field"], "code");
    assert!(imported.outcome.is_err_and(|e| e.code() == TABLE_IMPORT_REFUSED));
}

#[test]
fn what_is_tolerated_is_noted_and_changes_nothing() {
    let clean = read("code,name\nA,x\nB,\"y\nz\"\n".as_bytes(), &options()).unwrap();
    let messy = "\u{FEFF}code,name,\r\n\r\nA,x,\r\nB,\"y\r\nz\"\r\n   \r\nA,x\r\n";
    let parsed = read(messy.as_bytes(), &options()).unwrap();
    assert_eq!(parsed.content.root, clean.content.root, "the same table, the same root");
    assert_eq!((parsed.content.rows, parsed.duplicates_ignored), (2, 1));
    assert_eq!(
        notes(messy.as_bytes()),
        [
            (NoteKind::ByteOrderMark, 1, 1, 1),
            (NoteKind::CrLf, 1, 11, 6),
            (NoteKind::TrailingColumn, 1, 11, 2),
            (NoteKind::BlankLine, 2, 1, 2),
            (NoteKind::QuotedNewline, 4, 3, 1),
            (NoteKind::DuplicateRow, 7, 1, 1),
        ]
    );
    assert_eq!(notes(b"code\nA\n"), []);
    // Codes that only look like numbers out of a spreadsheet.
    assert_eq!(problems("code,name\n01.10,x\n1E5,y\n0101,z\nE+5,w\n"), []);
}

#[test]
fn a_wrong_encoding_is_refused_with_the_first_bad_byte() {
    let with = |encoding, file: &[u8]| {
        let mut options = options();
        options.encoding = encoding;
        read(file, &options)
    };
    let refused = |encoding, file: &[u8]| match with(encoding, file) {
        Err(Refusal::Problems { first, .. }) => (first.kind, first.offset.unwrap(), first.line, first.column),
        other => panic!("{other:?}"),
    };
    let gb = b"code,name\nA,\xB9\xE3\xD6\xDD\n"; // 广州
    assert_eq!(with(Encoding::Gb18030, gb).unwrap().content.rows, 1);
    assert_eq!(
        with(Encoding::Gb18030, gb).unwrap().content.root,
        with(Encoding::Utf8, "code,name\nA,广州\n".as_bytes()).unwrap().content.root
    );
    assert_eq!(refused(Encoding::Utf8, gb), (Kind::Encoding, 12, 2, 3));
    assert_eq!(with(Encoding::Utf8, gb).unwrap_err().code(), TABLE_ENCODING);
    assert_eq!(refused(Encoding::Gb18030, b"code,name\nA,\xB9\xE3\nB,\xFF\n"), (Kind::Encoding, 17, 3, 3));
    assert_eq!(refused(Encoding::Gb18030, b"code,name\nA,\xB9"), (Kind::Encoding, 12, 2, 3));
    assert_eq!(refused(Encoding::Windows1252, b"code,name\nA,\xE9\x81\n"), (Kind::Encoding, 13, 2, 4));
    assert_eq!(
        with(Encoding::Windows1252, b"code,name\nA,Montr\xE9al\n").unwrap().content.root,
        with(Encoding::Utf8, "code,name\nA,Montréal\n".as_bytes()).unwrap().content.root
    );
    assert_eq!(refused(Encoding::Gb18030, b"\xEF\xBB\xBFcode\nA\n"), (Kind::Encoding, 0, 1, 1));
    assert_eq!(refused(Encoding::Utf8, b"\xFF\xFEc\0o\0"), (Kind::Encoding, 0, 1, 1));
    assert_eq!(refused(Encoding::Utf8, b"\xEF\xBB\xBFcode,n\nA,\xC3\n"), (Kind::Encoding, 12, 2, 3));
    // The rest of the file is checked all the same.
    assert_eq!(
        problems_with(b"code,name\nA,\xFF\nB\n", &options()),
        [(2, 3, Kind::Encoding), (3, 1, Kind::RaggedRow)]
    );
    assert_eq!("GBK".parse::<Encoding>().unwrap(), Encoding::Gb18030);
    assert!("latin-9".parse::<Encoding>().is_err());
}

#[test]
fn every_cut_and_every_flipped_byte_ends_in_a_table_or_in_problems() {
    let file = "code,name\r\n\"A\",\"x \"\"q\"\"\r\ny\"\r\nB,广州,\r\n\r\nC,\r\n".as_bytes();
    assert!(read(file, &options()).is_ok());
    for encoding in [Encoding::Utf8, Encoding::Gb18030, Encoding::Windows1252] {
        let options = Options { encoding, ..options() };
        let check = |bytes: &[u8]| match read(bytes, &options) {
            Ok(parsed) => assert!(parsed.content.rows > 0),
            Err(Refusal::Problems { problems, found, .. }) => {
                assert!(!problems.is_empty() && found >= problems.len() as u64);
                assert!(problems.is_sorted_by_key(|p| (p.line, p.column)));
            }
            Err(other) => panic!("{other}"),
        };
        for at in 0..file.len() {
            check(&file[..at]);
            for value in [0, b'"', b',', b'\n', b'\r', 0x80, 0xFF] {
                let mut bad = file.to_vec();
                bad[at] = value;
                check(&bad);
            }
        }
    }
}

#[test]
fn a_file_of_nothing_but_faults_is_cut_at_the_limit() {
    let mut options = options();
    options.limits.problems = 10;
    let file = format!("code,name\n{}", "A\n".repeat(5_000));
    assert_eq!(problems_with(file.as_bytes(), &options).len(), 10);
    let nul = format!("code,name\n{}", "A,\0\n".repeat(5_000));
    match read(nul.as_bytes(), &options) {
        Err(Refusal::Problems { problems, found, .. }) => assert_eq!((problems.len(), found), (10, 5_000)),
        other => panic!("{other:?}"),
    }
}

/// Files are read in pieces of 1 MiB: whatever lies across two of them is read as if they were one.
#[test]
fn places_are_those_of_the_file_however_it_is_read_in_pieces() {
    let mut file = String::from("code,name\r\n");
    let mut n = 0;
    while file.len() < 3 << 20 {
        file.push_str(&format!("P{n:07},\"港口 \"\"{n}\"\"\nsecond line\"\r\n"));
        n += 1;
    }
    let sound = read(file.as_bytes(), &options()).unwrap();
    assert_eq!(sound.content.rows, n);
    // Two lines a record; the header is the first.
    let line = 2 * n + 2;
    file.push_str("P0000001,another\r\nP9999999,a\u{7f}b\r\nP9999998,x,y,z\r\n\r\nP9999997,\"open\r\n");
    let Err(Refusal::Problems { problems, found, .. }) = read(file.as_bytes(), &options()) else {
        panic!("it has faults")
    };
    let places: Vec<_> = problems.iter().map(|p| (p.line, p.column, p.kind)).collect();
    let wanted = [
        (line, 1, Kind::RepeatedKey),
        (line + 1, 11, Kind::ControlCharacter),
        (line + 2, 12, Kind::RaggedRow),
        (line + 4, 10, Kind::UnterminatedQuote),
    ];
    assert_eq!(places, wanted, "{problems:?}");
    assert_eq!(found, 4);
}
