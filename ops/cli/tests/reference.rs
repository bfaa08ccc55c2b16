//! The checked reference page is what the program says.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

/// This crate's folder where the test runs: the compiled-in one may be of another checkout that shares the target folder.
fn here() -> std::path::PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), std::path::PathBuf::from)
}

#[test]
fn the_reference_page_is_in_step_with_the_program() {
    let path = here().join("../../docs/reference/cli.md");
    let page = eport_cli::reference::page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page).unwrap();
        return;
    }
    let checked = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked == page,
        "docs/reference/cli.md is stale: UPDATE=1 cargo test -p eport-cli --test reference"
    );
}

#[derive(serde::Deserialize)]
struct Systems {
    area: Vec<Area>,
}

#[derive(serde::Deserialize)]
struct Area {
    title: String,
    system: Vec<System>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct System {
    id: String,
    zh: String,
    en: String,
    part: Option<String>,
    page: Option<String>,
}

/// Examples of a pack, which are its tests.
fn examples(pack: &std::path::Path) -> usize {
    let folders = std::fs::read_dir(pack.join("examples")).into_iter().flatten().flatten();
    folders.filter_map(|f| std::fs::read_dir(f.path()).ok()).map(Iterator::count).sum()
}

#[test]
fn the_list_of_systems_says_which_pack_carries_each_and_no_pack_names_another() {
    let root = here().join("../..");
    let list: Systems =
        toml::from_str(&std::fs::read_to_string(root.join("node/packs/systems.toml")).unwrap()).unwrap();
    let packs = eport_documents::Packs::builtin().unwrap();
    let mut carried = std::collections::BTreeMap::<String, std::collections::BTreeSet<String>>::new();
    for document in packs.types() {
        for system in &document.pack.systems {
            carried.entry(system.clone()).or_default().insert(document.pack.name.to_string());
        }
    }
    let mut page = String::from(
        "# Business and platform systems\n\n\
         Made from `node/packs/systems.toml` and the packs; `UPDATE=1 cargo test -p eport-cli --test reference` writes it again.\n\
         A pack's examples are its tests. *Missing*: no pack carries it yet.\n",
    );
    let mut known = std::collections::BTreeSet::new();
    let mut rows = String::new();
    for area in &list.area {
        rows.push_str(&format!(
            "\n## {}\n\n| System | | | Carried by |\n| --- | --- | --- | --- |\n",
            area.title
        ));
        for system in &area.system {
            assert!(known.insert(system.id.clone()), "{} twice", system.id);
            let by = match (carried.get(&system.id), &system.part) {
                (Some(packs), _) => packs
                    .iter()
                    .map(|p| {
                        let count = examples(&root.join("node/packs").join(p));
                        format!("pack `{p}` ({count} examples)")
                    })
                    .collect::<Vec<_>>()
                    .join(", "),
                (None, Some(part)) => {
                    let target = system.page.as_deref().unwrap();
                    assert!(root.join("docs/reference").join(target).exists(), "{target} of {}", system.id);
                    format!("the node: [{part}]({target})")
                }
                (None, None) => "missing".to_owned(),
            };
            rows.push_str(&format!("| {} | {} | {} | {by} |\n", system.id, system.zh, system.en));
        }
    }
    let unknown: Vec<_> = carried.keys().filter(|s| !known.contains(*s)).collect();
    assert!(unknown.is_empty(), "packs name systems that the list lacks: {unknown:?}");
    let missing = rows.matches("| missing |").count();
    page.push_str(&format!("{} of {} rows are carried.\n", known.len() - missing, known.len()));
    page.push_str(&rows);
    let path = root.join("docs/reference/systems.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let checked = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked == page,
        "docs/reference/systems.md is stale: UPDATE=1 cargo test -p eport-cli --test reference"
    );
}

/// Compares a generated page with the checked file, or writes it.
fn in_step(name: &str, page: &str) {
    let path = here().join("../../docs/reference").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let checked = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked == page,
        "docs/reference/{name} is stale: UPDATE=1 cargo test -p eport-cli --test reference"
    );
}

#[test]
fn the_pages_of_compatibility_and_compliance_are_in_step_with_their_tables() {
    in_step("compatibility.md", &eport_cli::compatibility::page());
    in_step("compliance.md", &eport_cli::compliance::page().unwrap());
}
