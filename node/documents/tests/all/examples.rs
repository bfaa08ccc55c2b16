//! Every pack's examples are judged as its folder says.

use eport_documents::Packs;
use eport_documents::example::{ExampleTables, Folder, run};
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_examples_of_every_pack_are_judged_as_their_folder_says() {
    let packs = match Packs::builtin() {
        Ok(packs) => packs,
        Err(e) => panic!("{:#?}", e.problems.iter().map(ToString::to_string).collect::<Vec<_>>()),
    };
    // The compiled-in folder may be of another checkout that shares the target folder.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), std::path::PathBuf::from);
    let root = here.join("../packs");
    let mut wrong = Vec::new();
    for pack in files(&root).into_iter().filter(|f| f.is_dir()) {
        let examples = pack.join("examples");
        let text = std::fs::read_to_string(examples.join("tables.toml")).unwrap();
        let tables = ExampleTables::parse(&text, &packs).unwrap();
        let mut counts = Vec::new();
        for (folder, name) in Folder::ALL {
            let files = files(&examples.join(name));
            counts.push(files.len());
            for file in files {
                if let Err(e) = run(folder, &std::fs::read(&file).unwrap(), &packs, &tables) {
                    wrong.push(format!("{}: {e}", file.strip_prefix(&root).unwrap().display()));
                }
            }
        }
        assert!(counts[0] > 0 && counts[1] > 0, "{} has examples of both kinds: {counts:?}", pack.display());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
