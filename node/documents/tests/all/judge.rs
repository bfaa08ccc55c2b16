//! What a judgement promises beyond the examples: identity of content, versions used, limits.

use eport_documents::{Document, InForce, Lookup, Packs, Refusal, TableRow, TableVersion, Tables};
use eport_model::{Coded, Digest, Timestamp, codes};
use std::cell::Cell;

const CONTRACT: &str = include_str!("../../../packs/arrival_report/examples/valid/contract.json");

/// One table `ports` whose version changes at an instant; `customs_offices` in the given state.
struct Moving {
    from: i64,
    offices: InForce,
    lookups: Cell<usize>,
}

impl Moving {
    fn new(offices: InForce) -> Self {
        Self { from: 1000, offices, lookups: Cell::new(0) }
    }
}

fn version(table: &str, v: &str) -> TableVersion {
    TableVersion { table: format!("440000/{table}").into(), version: v.into() }
}

impl Tables for Moving {
    fn lookup(&self, table: &str, key: &str, at: Timestamp) -> Lookup {
        self.lookups.set(self.lookups.get() + 1);
        match self.in_force(table, at) {
            InForce::Version(v) if key == "CNCAN" || &*v.table == "440000/customs_offices" => {
                Lookup::Found(v)
            }
            InForce::Version(v) => Lookup::Missing(v),
            InForce::NotPublished => Lookup::NotPublished,
            InForce::NotHere => Lookup::NotHere,
        }
    }
    fn cell(&self, table: &str, key: &[&str], _: Option<&str>, at: Timestamp) -> TableRow {
        match self.lookup(table, key[0], at) {
            Lookup::Found(v) => TableRow::Found(v, None),
            Lookup::Missing(v) => TableRow::Missing(v),
            Lookup::NotPublished => TableRow::NotPublished,
            Lookup::NotHere => TableRow::NotHere,
        }
    }
    fn in_force(&self, table: &str, at: Timestamp) -> InForce {
        match table {
            "ports" => InForce::Version(version(table, if at.as_millis() < self.from { "v1" } else { "v2" })),
            _ => self.offices.clone(),
        }
    }
}

fn judge(text: &str, tables: &Moving, at: i64) -> Result<Document, Refusal> {
    Document::judge(text.as_bytes(), &Packs::builtin().unwrap(), tables, Timestamp::from_millis(at))
}

#[test]
fn the_same_content_in_other_spelling_of_json_is_the_same_document_and_other_content_is_not() {
    let tables = Moving::new(InForce::NotPublished);
    let first = judge(CONTRACT, &tables, 0).unwrap();
    let compact =
        serde_json::to_string(&serde_json::from_str::<serde_json::Value>(CONTRACT).unwrap()).unwrap();
    assert_ne!(compact, CONTRACT);
    assert_eq!(judge(&compact, &tables, 0).unwrap().digest, first.digest);
    assert_eq!(first.digest, Digest::of(&first.canonical));
    assert_ne!(judge(&CONTRACT.replace("120", "121"), &tables, 0).unwrap().digest, first.digest);
    assert!(first.normalised.is_none());
}

#[test]
fn normalisation_is_kept_beside_what_was_lodged() {
    let tables = Moving::new(InForce::NotPublished);
    let lodged = CONTRACT.replace("CSQU3054383", "ｃｓｑｕ3054383").replace("\"CNCAN\"", "\" cncan\"");
    let document = judge(&lodged, &tables, 0).unwrap();
    let normalised = String::from_utf8(document.normalised.unwrap()).unwrap();
    assert!(normalised.contains("\"CSQU3054383\"") && normalised.contains("\"CNCAN\""));
    assert!(String::from_utf8(document.canonical).unwrap().contains("ｃｓｑｕ3054383"));
}

#[test]
fn a_judgement_holds_until_a_table_it_rests_on_has_another_version() {
    let tables = Moving::new(InForce::NotPublished);
    let document = judge(CONTRACT, &tables, 0).unwrap();
    assert_eq!(document.versions().map(|v| v.read().name).collect::<Vec<_>>(), ["table:440000/ports"]);
    let asked = tables.lookups.get();
    assert!(document.holds_at(&tables, Timestamp::from_millis(999)));
    assert!(!document.holds_at(&tables, Timestamp::from_millis(1000)));
    assert_eq!(tables.lookups.get(), asked, "asking whether it holds looks nothing up");
    // A table that was not published then and is published now counts as a change too.
    let published = Moving::new(InForce::Version(version("customs_offices", "v1")));
    assert!(!document.holds_at(&published, Timestamp::from_millis(0)));
}

#[test]
fn a_version_in_force_that_is_not_here_is_never_replaced_by_another() {
    let error = judge(CONTRACT, &Moving::new(InForce::NotHere), 0).unwrap_err();
    assert_eq!(error, Refusal::TableNotHere { table: "customs_offices".into() });
    assert!(error.code().info().unwrap().retryable);
    // Failures that stand whatever the table says are reported first: the lodger can act on them.
    let error = judge(&CONTRACT.replace("120", "0"), &Moving::new(InForce::NotHere), 0).unwrap_err();
    assert_eq!(error.code(), codes::DOCUMENT_REFUSED);
}

#[test]
fn what_is_no_document_is_refused_before_any_rule() {
    let tables = Moving::new(InForce::NotPublished);
    for bad in [
        "",
        "[]",
        "null",
        "{}",
        r#"{"doc_type":1}"#,
        r#"{"doc_type":"arrival_report","doc_type":"arrival_report"}"#,
        "{\"doc_type\"",
    ] {
        assert_eq!(judge(bad, &tables, 0).unwrap_err().code(), codes::DOCUMENT_MALFORMED, "{bad}");
    }
    let unknown = judge(&CONTRACT.replace("arrival_report", "bill_of_dreams"), &tables, 0).unwrap_err();
    assert_eq!(unknown.code(), codes::DOCUMENT_TYPE_UNKNOWN);
    assert_eq!(unknown.failures()[0].path, "/doc_type");
    let large = CONTRACT.replace("COSU6112233440", &"A".repeat(70_000));
    assert!(judge(&large, &tables, 0).unwrap_err().to_string().contains("65536"));
    assert_eq!(tables.lookups.get(), 0);
}

#[test]
fn a_pointer_escapes_the_names_it_shows_and_cuts_long_ones() {
    let tables = Moving::new(InForce::NotPublished);
    let text = CONTRACT.replace("\"packages\"", "\"a/b~c\":1,\"packages\"");
    assert_eq!(judge(&text, &tables, 0).unwrap_err().failures()[0].path, "/body/a~1b~0c");
    let text = CONTRACT.replace("\"packages\"", &format!("\"{}\":1,\"packages\"", "长".repeat(500)));
    assert_eq!(judge(&text, &tables, 0).unwrap_err().failures()[0].path.chars().count(), "/body/".len() + 64);
}

#[test]
fn a_list_beyond_its_limit_fails_once_and_not_item_by_item() {
    let tables = Moving::new(InForce::NotPublished);
    let many = vec!["\"CSQU3054383\""; 1000].join(",");
    let error = judge(&CONTRACT.replace("\"CSQU3054383\"", &many), &tables, 0).unwrap_err();
    assert_eq!(error.failures().len(), 1);
    assert_eq!(error.failures()[0].path, "/body/containers");
}

#[test]
fn cut_or_changed_bytes_never_panic() {
    let tables = Moving::new(InForce::NotPublished);
    let packs = Packs::builtin().unwrap();
    let bytes = CONTRACT.as_bytes();
    for at in 0..bytes.len() {
        let _ = Document::judge(&bytes[..at], &packs, &tables, Timestamp::from_millis(0));
        for value in [0u8, b'"', b'{', b'9', 0xff] {
            let mut changed = bytes.to_vec();
            changed[at] = value;
            let _ = Document::judge(&changed, &packs, &tables, Timestamp::from_millis(i64::MAX));
        }
    }
}
