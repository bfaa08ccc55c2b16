//! What people bring: tables, documents, packs.

use crate::world::Way;
use eport_catalog::TableName;
use eport_codetables::{Beside, Encoding, Format, Options, import, read};
use eport_documents::json::Node;
use eport_documents::{Document, InForce, Lookup, Pack, Packs, Refusal, TableRow, TableVersion, Tables};
use eport_model::Timestamp;
use std::sync::LazyLock;

/// A table file in each encoding: all or nothing, and what was taken is unchanged when it is taken again.
pub(super) fn csv(data: &[u8]) -> u64 {
    let mut way = Way::new();
    for encoding in [Encoding::Utf8, Encoding::Gb18030, Encoding::Windows1252] {
        let mut options = Options { encoding, ..Options::with_key(["code"]) };
        options.limits.rows = 2_000;
        options.limits.columns = 50;
        let Some(parsed) = way.note(read(data, &options)) else { continue };
        let name = TableName::new("440000".parse().expect("a region"), "ports").expect("a name");
        let before = parsed.content.clone().open().expect("content made here");
        let beside = Beside { before: Some(before.source()), ..Beside::default() };
        let again = import(&name, data, &options, beside);
        let content = again.outcome.expect("the same rows are within every guard");
        assert_eq!((content.root, content.rows), (parsed.content.root, parsed.content.rows));
    }
    for format in [Format::Jsonl, Format::Xlsx] {
        let mut options = Options { format, ..Options::with_key(["code"]) };
        options.limits.rows = 2_000;
        options.limits.columns = 50;
        options.limits.bytes = 1 << 20;
        way.note(read(data, &options));
    }
    way.mark()
}

struct Everything;

impl Tables for Everything {
    fn lookup(&self, table: &str, key: &str, at: Timestamp) -> Lookup {
        match (self.in_force(table, at), key.len() % 4) {
            (InForce::Version(version), 1) => Lookup::Missing(version),
            (InForce::Version(version), _) => Lookup::Found(version),
            _ => Lookup::NotPublished,
        }
    }

    fn cell(&self, table: &str, key: &[&str], column: Option<&str>, at: Timestamp) -> TableRow {
        let len: usize = key.iter().map(|part| part.len()).sum();
        match (self.in_force(table, at), len % 4) {
            (InForce::Version(version), 1) => TableRow::Missing(version),
            (InForce::Version(version), 2) => TableRow::Unlike(version),
            (InForce::Version(version), _) => TableRow::Found(version, column.map(str::to_owned)),
            _ => TableRow::NotPublished,
        }
    }

    fn in_force(&self, table: &str, _: Timestamp) -> InForce {
        match table.len() % 5 {
            0 => InForce::NotPublished,
            _ => InForce::Version(TableVersion { table: table.into(), version: "v1".into() }),
        }
    }
}

static PACKS: LazyLock<Packs> = LazyLock::new(|| Packs::builtin().expect("the built-in packs are tested"));

/// A document: its canonical form is its own canonical form, and the verdict is the same for it.
pub(super) fn document(data: &[u8]) -> u64 {
    let mut way = Way::new();
    let canonical = way.note(Node::parse(data)).map(|node| {
        let mut out = Vec::new();
        node.write_canonical(&mut out);
        (out, exact(&node))
    });
    if let Some((canonical, true)) = &canonical {
        let again = Node::parse(canonical).expect("a canonical form is JSON");
        let mut out = Vec::new();
        again.write_canonical(&mut out);
        assert_eq!(&out, canonical);
    }
    match Document::judge(data, &PACKS, &Everything, Timestamp::from_millis(0)) {
        Ok(document) => {
            way.step("good");
            let again = Document::judge(&document.canonical, &PACKS, &Everything, Timestamp::from_millis(0));
            assert_eq!(again.map(|d| d.digest).ok(), Some(document.digest));
        }
        Err(refusal) => step(&refusal, &mut way),
    }
    way.mark()
}

fn step(refusal: &Refusal, way: &mut Way) {
    let _ = way.note(Err::<(), _>(refusal));
}

/// True where nothing was lost in reading.
fn exact(node: &Node<'_>) -> bool {
    match node {
        Node::Inexact => false,
        Node::List(items) => items.iter().all(exact),
        Node::Object(members) => members.iter().all(|(_, node)| exact(node)),
        _ => true,
    }
}

/// A pack.
pub(super) fn pack(data: &[u8]) -> u64 {
    let mut way = Way::new();
    let Some(text) = way.note(std::str::from_utf8(data)) else { return way.mark() };
    if let Some(pack) = way.note(Pack::parse(text)) {
        let _ = way.note(Packs::new([pack]).map(|_| ()));
    }
    way.mark()
}
