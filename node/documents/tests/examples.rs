//! Every pack's examples are judged as its folder says: `valid/*.json` pass, `invalid/*.json` name exactly their failures.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use eport_documents::{Document, InForce, Lookup, Packs, Refusal, TableVersion, Tables};
use eport_model::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

struct Fixed(BTreeMap<String, BTreeSet<String>>);

impl Tables for Fixed {
    fn lookup(&self, table: &str, key: &str, at: Timestamp) -> Lookup {
        match self.in_force(table, at) {
            InForce::Version(v) if self.0[table].contains(key) => Lookup::Found(v),
            InForce::Version(v) => Lookup::Missing(v),
            _ => Lookup::NotPublished,
        }
    }
    fn in_force(&self, table: &str, _: Timestamp) -> InForce {
        match self.0.contains_key(table) {
            true => InForce::Version(TableVersion {
                table: format!("440000/{table}").into(),
                version: "v1".into(),
            }),
            false => InForce::NotPublished,
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_examples_of_every_pack_are_judged_as_their_folder_says() {
    let packs = Packs::builtin().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packs");
    let (mut passed, mut refused) = (0, 0);
    for pack in files(&root) {
        let examples = pack.join("examples");
        let tables =
            Fixed(toml::from_str(&std::fs::read_to_string(examples.join("tables.toml")).unwrap()).unwrap());
        for file in files(&examples.join("valid")) {
            let text = std::fs::read(&file).unwrap();
            if let Err(e) = Document::judge(&text, &packs, &tables, Timestamp::from_millis(0)) {
                panic!("{}: {e}: {:?}", file.display(), e.failures());
            }
            passed += 1;
        }
        for file in files(&examples.join("invalid")) {
            let example: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let expected: Vec<(String, String)> =
                serde_json::from_value(example["failures"].clone()).unwrap();
            let text = serde_json::to_vec(&example["document"]).unwrap();
            let Err(Refusal::Rules { failures }) =
                Document::judge(&text, &packs, &tables, Timestamp::from_millis(0))
            else {
                panic!("{} passes", file.display());
            };
            let found: Vec<_> = failures.into_iter().map(|f| (f.path, f.code)).collect();
            assert_eq!(found, expected, "{}", file.display());
            refused += 1;
        }
    }
    assert!(passed >= 9 && refused >= 14, "the folders were read: {passed} pass, {refused} are refused");
}
