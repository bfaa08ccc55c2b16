//! One table of damages for every form of file (file, kind, line, column), and what mappings and rules make of a file.
#![allow(clippy::type_complexity, reason = "a failed test may panic; tables of cases are types")]

use eport_codetables::*;
use eport_model::Coded;
use eport_model::codes::TABLE_MAPPING;
use std::io::Write;

/// A workbook with one sheet of this XML, made by hand so that it can be damaged.
fn workbook(sheet_data: &str) -> Vec<u8> {
    let parts = [
        ("[Content_Types].xml", r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/></Types>"#.to_owned()),
        ("_rels/.rels", r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#.to_owned()),
        ("xl/workbook.xml", r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Codes" sheetId="1" r:id="rId1"/></sheets></workbook>"#.to_owned()),
        ("xl/_rels/workbook.xml.rels", r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#.to_owned()),
        ("xl/worksheets/sheet1.xml", format!(r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{sheet_data}</sheetData></worksheet>"#)),
    ];
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in parts {
        let how = zip::write::SimpleFileOptions::default();
        zip.start_file(name, how).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Rows of a sheet: `=text` is a text, `#1.0` a number, `!#N/A` an error, an empty string no cell.
fn sheet(rows: &[&[&str]]) -> Vec<u8> {
    let mut xml = String::new();
    for (r, row) in rows.iter().enumerate() {
        xml.push_str(&format!(r#"<row r="{}">"#, r + 1));
        for (c, cell) in row.iter().enumerate() {
            let at = format!("{}{}", char::from(b'A' + c as u8), r + 1);
            xml.push_str(&match cell.split_at_checked(1) {
                Some(("=", text)) => {
                    format!(r#"<c r="{at}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>"#)
                }
                Some(("#", number)) => format!(r#"<c r="{at}"><v>{number}</v></c>"#),
                Some(("!", error)) => format!(r#"<c r="{at}" t="e"><v>{error}</v></c>"#),
                _ => String::new(),
            });
        }
        xml.push_str("</row>");
    }
    workbook(&xml)
}

fn of(format: Format) -> Options {
    let mut options = Options::with_key(["code"]);
    options.set_format(format);
    options
}

fn problems(file: &[u8], options: &Options) -> Vec<(Kind, u64, u64)> {
    match read(file, options) {
        Ok(_) => vec![],
        Err(Refusal::Problems { problems, .. }) => {
            problems.iter().map(|p| (p.kind, p.line, p.column)).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_matrix_of_damaged_files_names_kind_line_and_column_in_every_form() {
    use Format::{Csv, Jsonl, Tsv, Xlsx};
    let cases: Vec<(Format, Vec<u8>, Vec<(Kind, u64, u64)>)> = vec![
        (Csv, b"code,name\nA,\xFF\n".to_vec(), vec![(Kind::Encoding, 2, 3)]),
        (Csv, b"code,name\nA,x\0\n".to_vec(), vec![(Kind::Nul, 2, 4)]),
        (Csv, b"code,name\n1019010.0,x\n".to_vec(), vec![(Kind::FloatCode, 2, 1)]),
        (Csv, "code,name\n０１,x\n".into(), vec![(Kind::FullWidthKey, 2, 1)]),
        (Csv, b"code,name\nA,x\nA,y\n".to_vec(), vec![(Kind::RepeatedKey, 3, 1)]),
        (Tsv, b"code\tname\nA\tx\tz\n".to_vec(), vec![(Kind::RaggedRow, 2, 5)]),
        (Tsv, b"code\tname\nA\t\"x\n".to_vec(), vec![(Kind::UnterminatedQuote, 2, 3)]),
        (Tsv, b"code\tname\n\tx\n".to_vec(), vec![(Kind::EmptyKey, 2, 1)]),
        (Jsonl, b"".to_vec(), vec![(Kind::NoHeader, 1, 1)]),
        (Jsonl, b"[1]\n".to_vec(), vec![(Kind::BadJson, 1, 1)]),
        (Jsonl, b"{\"code\":\"A\"}\n{\"code\":\"B\"\n".to_vec(), vec![(Kind::BadJson, 2, 12)]),
        (Jsonl, b"{\"code\":\"A\"} x\n".to_vec(), vec![(Kind::BadJson, 1, 14)]),
        (Jsonl, b"{\"code\":\"A\",\"n\":{\"x\":1}}\n".to_vec(), vec![(Kind::NestedValue, 1, 17)]),
        (Jsonl, b"{\"code\":\"A\",\"code\":\"B\"}\n".to_vec(), vec![(Kind::BadJson, 1, 13)]),
        (Jsonl, b"{\"code\":1019010}\n".to_vec(), vec![(Kind::NumberCode, 1, 9)]),
        (Jsonl, b"{\"code\":0101}\n".to_vec(), vec![(Kind::BadJson, 1, 9)]),
        (Jsonl, b"{\"code\":\"1019010.0\"}\n".to_vec(), vec![(Kind::FloatCode, 1, 9)]),
        (Jsonl, b"{\"code\":\"A\",\"n\":\"x\\u0000\"}\n".to_vec(), vec![(Kind::Nul, 1, 17)]),
        (Jsonl, b"{\"code\":\"A\",\"n\":\"\\ud800\"}\n".to_vec(), vec![(Kind::BadJson, 1, 17)]),
        (Jsonl, b"{\"code\":\"A\",\"n\":\"x}\n".to_vec(), vec![(Kind::UnterminatedQuote, 1, 17)]),
        (Jsonl, b"{\"name\":\"x\"}\n".to_vec(), vec![(Kind::MissingKeyColumn, 1, 1)]),
        (
            Jsonl,
            b"{\"code\":\"A\",\"n\":\"x\"}\n\n{\"code\":\"A\",\"n\":\"y\"}\n".to_vec(),
            vec![(Kind::RepeatedKey, 3, 9)],
        ),
        (Jsonl, b"{\"code\":\"A\"}\n{\"code\":\"\xFF\"}\n".to_vec(), vec![(Kind::Encoding, 2, 10)]),
        (Xlsx, b"code,name\nA,x\n".to_vec(), vec![(Kind::BadWorkbook, 1, 1)]),
        (Xlsx, workbook(""), vec![(Kind::NoHeader, 1, 1)]),
        (Xlsx, workbook("<row r=\"1\"><c r=\"A1\""), vec![(Kind::BadWorkbook, 1, 1)]),
        (
            Xlsx,
            workbook(
                "<row r=\"2\"><c r=\"A2\"><v>1</v></c></row><row r=\"1\"><c r=\"A1\"><v>1</v></c></row>",
            ),
            vec![(Kind::BadWorkbook, 1, 1)],
        ),
        (Xlsx, sheet(&[&["=code", "=name"], &["#1019010", "=x"]]), vec![(Kind::NumberCode, 2, 1)]),
        (Xlsx, sheet(&[&["=code", "=name"], &["=Ａ", "=x"]]), vec![(Kind::FullWidthKey, 2, 1)]),
        (Xlsx, sheet(&[&["=code", "=name"], &["", "=x"]]), vec![(Kind::EmptyKey, 2, 1)]),
        (Xlsx, sheet(&[&["=code", "=name"], &["=A", "!#N/A"]]), vec![(Kind::CellError, 2, 2)]),
        (Xlsx, sheet(&[&["=code", "=name"], &["=A", "=x", "=y"]]), vec![(Kind::RaggedRow, 2, 3)]),
        (Xlsx, sheet(&[&["", "=code"], &["=A", "=x"]]), vec![(Kind::RaggedRow, 2, 1)]),
        (Xlsx, sheet(&[&["=code", "=n"], &["=A", "=x"], &["=A", "=y"]]), vec![(Kind::RepeatedKey, 3, 1)]),
    ];
    for (format, file, expected) in cases {
        assert_eq!(problems(&file, &of(format)), expected, "{format}: {}", String::from_utf8_lossy(&file));
    }
    let no_sheet = Options { sheet: Some("Other".into()), ..of(Xlsx) };
    assert_eq!(problems(&sheet(&[&["=code"], &["=A"]]), &no_sheet), [(Kind::NoSheet, 1, 1)]);
}

#[test]
fn the_same_rows_have_the_same_root_in_every_form() {
    let csv = read("code,name,n\nA,广州,1.5\nB,\"x\ny\",\n".as_bytes(), &of(Format::Csv)).unwrap().content;
    let forms: [(Format, Vec<u8>); 3] = [
        (Format::Tsv, "code\tname\tn\r\nA\t广州\t1.5\r\nB\t\"x\ny\"\t\r\n".into()),
        (Format::Jsonl, "{\"code\":\"A\",\"name\":\"广\\u5dde\",\"n\":1.5}\n\n{\"name\":\"x\\ny\",\"code\":\"B\",\"n\":null}".into()),
        (Format::Xlsx, sheet(&[&["=code", "=name", "=n"], &["=A", "=广州", "#1.5"], &["=B", "=x\ny"]])),
    ];
    for (format, file) in forms {
        let parsed = read(&file, &of(format)).unwrap_or_else(|e| panic!("{format}: {e}"));
        assert_eq!(parsed.content.root, csv.root, "{format}");
    }
    for name in ["a.TSV", "b.tab", "c.xlsx", "d.ndjson", "e.csv", "noending"] {
        let wanted = [Format::Tsv, Format::Tsv, Format::Xlsx, Format::Jsonl, Format::Csv, Format::Csv];
        let place =
            ["a.TSV", "b.tab", "c.xlsx", "d.ndjson", "e.csv", "noending"].iter().position(|n| *n == name);
        assert_eq!(Format::of_name(name), wanted[place.unwrap()]);
    }
}

#[test]
fn a_workbook_that_unpacks_without_end_is_refused_before_it_is_read() {
    let big =
        format!("<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>{}</t></is></c></row>", " ".repeat(1 << 20));
    let file = workbook(&big);
    assert!(file.len() < 20_000, "it is small as it comes: {}", file.len());
    let mut options = of(Format::Xlsx);
    options.limits.bytes = 1 << 20;
    assert_eq!(problems(&file, &options), [(Kind::TooManyBytes, 1, 1)]);
    options.limits = Limits { rows: 1, ..Limits::default() };
    let three = sheet(&[&["=code"], &["=A"], &["=B"]]);
    assert_eq!(problems(&three, &options), [(Kind::TooManyRows, 3, 1)]);
    // A cell at the far end of a sheet costs nothing.
    let far = workbook(
        "<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>code</t></is></c></row><row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row>",
    );
    assert_eq!(problems(&far, &of(Format::Xlsx)), [(Kind::TooManyColumns, 1_048_576, 16_384)]);
}

#[test]
fn every_cut_and_every_flipped_byte_of_every_form_ends_in_a_table_or_in_problems() {
    let json = "{\"code\":\"A\",\"n\":\"x\\u00e9\"}\r\n{\"code\":\"B\",\"n\":-1.5e3,\"o\":null}\n"
        .as_bytes()
        .to_vec();
    for (format, file) in [(Format::Jsonl, json), (Format::Xlsx, sheet(&[&["=code", "=n"], &["=A", "#1"]]))] {
        let options = of(format);
        assert!(read(&file, &options).is_ok());
        let check = |bytes: &[u8]| match read(bytes, &options) {
            Ok(parsed) => assert!(parsed.content.rows > 0),
            Err(Refusal::Problems { problems, .. }) => assert!(!problems.is_empty()),
            Err(other) => panic!("{other}"),
        };
        for at in 0..file.len() {
            check(&file[..at]);
            for value in [0, b'"', b'{', b'\\', b'\n', 0x80, 0xFF] {
                let mut bad = file.clone();
                bad[at] = value;
                check(&bad);
            }
        }
    }
}

#[test]
fn repeated_keys_are_decided_by_the_stated_rule_and_no_other() {
    let file = b"code,name\nA,1\nB,x\nA,2\nA,2\nA,3\n";
    let with = |repeats| read(file, &Options { repeats, ..of(Format::Csv) });
    assert!(with(Repeats::Refuse).is_err());
    for (rule, value) in [(Repeats::First, "1"), (Repeats::Last, "3")] {
        let parsed = with(rule).unwrap();
        let note = parsed.notes.iter().find(|n| n.kind == NoteKind::RepeatedKey).unwrap();
        assert_eq!((note.line, note.count), (4, 3), "{rule:?}");
        let table = parsed.content.open().unwrap();
        assert_eq!((table.len(), table.get_text("A").unwrap().get("name")), (2, Some(value)), "{rule:?}");
    }
    let equal = read(b"code,name\nA,1\nA,1\n", &of(Format::Csv)).unwrap();
    assert_eq!(equal.duplicates_ignored, 1);
}

const MAPPING: &str = r#"
key = ["code"]
encoding = "gb18030"
unlisted = "refuse"
repeats = "last"
[[column]]
name = "code"
from = ["商品编码", "CODES"]
widths = [8]
[[column]]
name = "name"
from = ["商品名称", "DESCRIPTION"]
[[column]]
name = "note"
optional = true
"#;

#[test]
fn a_mapping_takes_renamed_columns_from_either_name_and_refuses_what_it_does_not_know() {
    let mut options = Options::with_key(["x"]);
    mapping::apply(MAPPING, &mut options).unwrap();
    assert_eq!((options.encoding, options.repeats), (Encoding::Gb18030, Repeats::Last));
    options.encoding = Encoding::Utf8;
    let one = read("商品名称,商品编码\n马,01012100\n".as_bytes(), &options).unwrap().content;
    let other = read("CODES,DESCRIPTION,note\n01012100,马,\n".as_bytes(), &options).unwrap().content;
    assert_eq!(one.root, other.root);
    assert_eq!(
        one.schema.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
        ["code", "name", "note"]
    );
    let wrong = |file: &str| problems(file.as_bytes(), &options);
    assert_eq!(
        wrong("商品编码,名称\n01012100,马\n"),
        [(Kind::MissingColumn, 1, 1), (Kind::UnlistedColumn, 1, 6)]
    );
    assert_eq!(wrong("CODES,商品编码,商品名称\n1,1,x\n")[0], (Kind::BadColumnName, 1, 7));
    // A leading zero that a spreadsheet took: the width says so.
    assert_eq!(
        wrong("CODES,DESCRIPTION\n1012100,马\n010121AB9,x\n"),
        [(Kind::LostZero, 2, 1), (Kind::WrongWidth, 3, 1)]
    );
    for bad in [
        "key = 1",
        "colum = []",
        "encoding = \"latin\"",
        "[[column]]\nname=\"a\"\n[[column]]\nname=\"a\"",
        "delimiter = \"ab\"",
    ] {
        assert_eq!(
            mapping::apply(bad, &mut Options::with_key(["x"])).unwrap_err().code(),
            TABLE_MAPPING,
            "{bad}"
        );
    }
}

#[test]
fn values_parents_days_and_references_are_judged_with_their_places() {
    let mut options = Options::with_key(["code"]);
    let text = "[[column]]\nname=\"unit\"\ntype=\"code\"\nreferences=\"units\"\n[[column]]\nname=\"code\"\n[[column]]\nname=\"up\"\n\
        [[column]]\nname=\"from\"\n[[column]]\nname=\"to\"\n[[column]]\nname=\"n\"\ntype=\"integer\"\nrequired=true\n\
        [hierarchy]\nparent=\"up\"\n[validity]\nfrom=\"from\"\nto=\"to\"\n";
    mapping::apply(text, &mut options).unwrap();
    let file = "code,up,from,to,unit,n\n\
        A,,2018-01-01,,kg,1\n\
        B,A,2018-02-30,,kg,2\n\
        C,Z,2018-01-02,2018-01-01,lb,x\n\
        D,E,,,,3\n\
        E,D,,,,\n";
    let units =
        read(b"code,name\nkg,kilogram\n", &Options::with_key(["code"])).unwrap().content.open().unwrap();
    let at = eport_catalog::parse_instant("2018-01-01").unwrap();
    let units = Reading::new(units, std::sync::Arc::new(Rules::default()), at);
    let run = |references: Vec<(String, Reading)>| {
        let beside = Beside { references: Some(references.into_iter().collect()), ..Beside::default() };
        let imported = import(&"440000/x".parse().unwrap(), file.as_bytes(), &options, beside);
        imported
            .report
            .problems
            .iter()
            .map(|p| (p.kind, p.line, p.column, p.field.clone().unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let of = |kind, line, column, field: &str| (kind, line, column, field.to_owned());
    assert_eq!(
        run(vec![("units".into(), units)]),
        [
            of(Kind::BadDate, 3, 5, "from"),
            of(Kind::UnknownParent, 4, 3, "up"),
            of(Kind::BadValidity, 4, 16, "to"),
            of(Kind::UnknownReference, 4, 27, "unit"),
            of(Kind::BadNumber, 4, 30, "n"),
            of(Kind::UnknownParent, 5, 3, "up"),
            of(Kind::EmptyValue, 6, 8, "n"),
        ],
        "a row with a bad value is not in the table, so D's parent is missing rather than going round"
    );
    assert_eq!(run(vec![])[0], of(Kind::MissingTable, 1, 1, "unit"));
    let round = "code,up,from,to,unit,n\nD,E,,,,3\nE,D,,,,4\nF,F,,,,5\n";
    assert_eq!(
        problems(round.as_bytes(), &options),
        [(Kind::ParentCycle, 2, 3), (Kind::ParentCycle, 3, 3), (Kind::ParentCycle, 4, 3)]
    );
    let mut odd = options.clone();
    odd.rules.hierarchy = Some(Hierarchy { parent: Some("nowhere".into()), ..Hierarchy::default() });
    assert_eq!(problems(round.as_bytes(), &odd), [(Kind::BadRules, 1, 1)]);
}

#[test]
fn control_characters_are_dropped_only_where_the_mapping_says_so_and_are_counted() {
    let with_rule = |format: Format| {
        let mut options = of(format);
        let mapping = "key = [\"code\"]\n[[column]]\nname = \"code\"\n[[column]]\nname = \"name\"\ncontrol_characters = \"drop\"\n";
        mapping::apply(mapping, &mut options).unwrap();
        options
    };
    let sound: [(Format, Vec<u8>); 4] = [
        (Format::Csv, b"code,name,kind\nA1,\"o\x7Fne\x01\",x\nA2,t\xC2\x85wo,y\n".to_vec()),
        (Format::Tsv, b"code\tname\tkind\nA1\to\x7Fne\x01\tx\nA2\tt\xC2\x85wo\ty\n".to_vec()),
        (
            Format::Jsonl,
            b"{\"code\":\"A1\",\"name\":\"o\x7Fne\\u0001\",\"kind\":\"x\"}\n{\"code\":\"A2\",\"name\":\"t\\u0085wo\",\"kind\":\"y\"}\n"
                .to_vec(),
        ),
        (
            Format::Xlsx,
            sheet(&[
                &["=code", "=name", "=kind"],
                &["=A1", "=o\u{7F}ne\u{80}", "=x"],
                &["=A2", "=t\u{85}wo", "=y"],
            ]),
        ),
    ];
    for (format, file) in sound {
        let parsed = read(&file, &with_rule(format)).unwrap_or_else(|e| panic!("{format}: {e}"));
        let note = parsed.notes.iter().find(|n| n.kind == NoteKind::DroppedControl).unwrap();
        let line = if format == Format::Jsonl { 1 } else { 2 };
        assert_eq!((note.count, note.line), (3, line), "{format}");
        let table = parsed.content.open().unwrap();
        let name = |code: &str| table.get_text(code).map(|r| r.field(1).to_owned());
        assert_eq!((name("A1").as_deref(), name("A2").as_deref()), (Some("one"), Some("two")), "{format}");
        assert!(!problems(&file, &of(format)).is_empty(), "{format}: without the rule");
    }
    let bad: [(Format, &[u8], (Kind, u64, u64)); 5] = [
        // Another column, the key, the header, a NUL.
        (Format::Csv, b"code,name,kind\nA1,o\x7Fne,x\x7F\n", (Kind::ControlCharacter, 2, 9)),
        (Format::Csv, b"code,name\nA\x7F1,one\n", (Kind::ControlCharacter, 2, 1)),
        (Format::Csv, b"code,name,ki\x7Fnd\nA1,one,x\n", (Kind::ControlCharacter, 1, 11)),
        (Format::Csv, b"code,name\nA1,o\0ne\n", (Kind::Nul, 2, 5)),
        (
            Format::Jsonl,
            b"{\"code\":\"A1\",\"name\":\"x\",\"kind\":\"\\u0007\"}\n",
            (Kind::ControlCharacter, 1, 32),
        ),
    ];
    for (format, file, wanted) in bad {
        let found = problems(file, &with_rule(format));
        assert_eq!(found, [wanted], "{:?}", String::from_utf8_lossy(file));
    }
}
