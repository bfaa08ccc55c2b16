//! The house rules as tests: which crate may use which, who owns a heavy library, what a core may never do,
//! and which documents are generated from code.
//!
//! With `UPDATE=1` the generated documents are written instead of compared.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use cargo_metadata::{DependencyKind, Metadata, Package};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From right to left: a folder may use itself and what stands before it.
const FOLDERS: [&str; 5] = ["cert-authority", "replication", "node", "ops", "chaos-tests"];

/// Heavy library → the only crates that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("rocksdb", &["eport-store"]),
    ("quinn", &["eport-transport"]),
    ("openraft", &["eport-consensus"]),
    ("rcgen", &["eport-authority"]),
    ("hpke", &["eport-authority"]),
    ("bincode", &["eport-model"]),
    ("p256", &["eport-signature"]),
    ("clap", &["eport-cli", "eport-server"]),
    ("axum", &["eport-http"]),
    ("rustls-webpki", &["eport-tls"]),
];

/// Libraries with a runtime, a socket, a file or a random source: never in a core.
const NOT_IN_A_CORE: &[&str] = &[
    "tokio",
    "tokio-util",
    "rocksdb",
    "quinn",
    "openraft",
    "hyper",
    "hyper-util",
    "axum",
    "reqwest",
    "rustls",
    "rcgen",
    "clap",
    "rand",
    "tempfile",
    "rustix",
    "fs4",
    "tracing-subscriber",
    "signal-hook",
];

/// Words that a core's code (outside its tests) may not contain.
const NOT_IN_A_CORE_TEXT: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "SystemTime::now",
    "Instant::now",
    "println!",
    "eprintln!",
];

fn root() -> PathBuf {
    // The compiled-in folder may be of another checkout that shares the target folder.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("../..").canonicalize().unwrap()
}

fn metadata() -> Metadata {
    cargo_metadata::MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

fn layer(p: &Package) -> &str {
    p.metadata["eport"]["layer"].as_str().unwrap_or_else(|| panic!("{} has no layer", p.name))
}

fn folder(p: &Package) -> &'static str {
    let path = p.manifest_path.strip_prefix(root()).unwrap().to_string();
    FOLDERS
        .into_iter()
        .find(|f| path.starts_with(f))
        .unwrap_or_else(|| panic!("{path} is in no known folder"))
}

fn rank(p: &Package) -> usize {
    FOLDERS.iter().position(|f| *f == folder(p)).unwrap()
}

fn sources(p: &Package) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut dirs = vec![p.manifest_path.parent().unwrap().join("src").into_std_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

/// The file without its test module, which by house rule stands last.
fn code_without_tests(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    if path.file_name().is_some_and(|n| n == "tests.rs")
        || path.components().any(|c| c.as_os_str() == "tests")
    {
        return String::new();
    }
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

#[test]
fn folders_and_layers_depend_one_way() {
    let meta = metadata();
    let by_name: BTreeMap<&str, &Package> = meta.packages.iter().map(|p| (p.name.as_str(), p)).collect();
    let mut faults = Vec::new();
    for p in &meta.packages {
        assert!(p.description.as_ref().is_some_and(|d| d.len() > 20), "{} has no purpose", p.name);
        assert!(["core", "shell"].contains(&layer(p)), "{}", p.name);
        for d in p.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            match by_name.get(d.name.as_str()) {
                Some(dep) => {
                    if rank(dep) > rank(p) {
                        faults.push(format!(
                            "{} ({}) uses {} ({})",
                            p.name,
                            folder(p),
                            dep.name,
                            folder(dep)
                        ));
                    }
                    if layer(p) == "core" && layer(dep) != "core" {
                        faults.push(format!("core {} uses shell {}", p.name, dep.name));
                    }
                }
                None if layer(p) == "core" && NOT_IN_A_CORE.contains(&d.name.as_str()) => {
                    faults.push(format!("core {} uses {}", p.name, d.name));
                }
                None => {}
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_heavy_library_has_one_home() {
    let meta = metadata();
    let mut faults = Vec::new();
    for p in &meta.packages {
        for d in p.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            for (library, homes) in HOMES {
                if d.name == *library && !homes.contains(&p.name.as_str()) {
                    faults.push(format!("{} names {library}; its home is {homes:?}", p.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_core_does_no_io_and_nobody_writes_unsafe_code() {
    let meta = metadata();
    let mut faults = Vec::new();
    for p in &meta.packages {
        for t in &p.targets {
            let is_root = t.is_lib() || t.is_bin();
            if is_root && !std::fs::read_to_string(&t.src_path).unwrap().contains("#![forbid(unsafe_code)]") {
                faults.push(format!("{} does not forbid unsafe code", t.src_path));
            }
        }
        for path in sources(p) {
            let code = code_without_tests(&path);
            if layer(p) == "core" {
                for word in NOT_IN_A_CORE_TEXT {
                    if code.contains(word) {
                        faults.push(format!("{}: {word} in a core", path.display()));
                    }
                }
            }
            for word in ["todo!(", "unimplemented!("] {
                if code.contains(word) {
                    faults.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_simulator_drives_the_types_that_the_daemon_links() {
    let meta = metadata();
    let by_name: BTreeMap<&str, &Package> = meta.packages.iter().map(|p| (p.name.as_str(), p)).collect();
    let closure = |from: &str| {
        let (mut seen, mut stack) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(name) = stack.pop() {
            let Some(p) = by_name.get(name.as_str()) else { continue };
            if seen.insert(name) {
                stack.extend(
                    p.dependencies
                        .iter()
                        .filter(|d| d.kind != DependencyKind::Development)
                        .map(|d| d.name.clone()),
                );
            }
        }
        seen
    };
    let (daemon, simulator) = (closure("eport-server"), closure("eport-sim"));
    for core in ["eport-journal", "eport-moves", "eport-registry", "eport-catalog"] {
        assert!(daemon.contains(core) && simulator.contains(core), "{core} is not linked by both");
    }
    // A second implementation would have to define these types again.
    for (word, home) in [
        ("pub struct Replica", "eport-journal"),
        ("pub struct EpochHistory", "eport-model"),
        ("pub fn next_step", "eport-moves"),
        ("pub struct Placement ", "eport-registry"),
        ("pub struct Fetch ", "eport-catalog"),
    ] {
        let owners: Vec<String> = meta
            .packages
            .iter()
            .filter(|p| {
                sources(p).iter().any(|f| {
                    std::fs::read_to_string(f).unwrap().lines().any(|l| {
                        l.trim_start().starts_with(word.trim_end())
                            && !l[l.find(word.trim_end()).unwrap_or(0) + word.trim_end().len()..]
                                .starts_with(|c: char| c.is_alphanumeric() || c == '_')
                    })
                })
            })
            .map(|p| p.name.to_string())
            .collect();
        assert_eq!(owners, [home], "{word}");
    }
}

#[test]
fn every_dependency_is_justified_and_the_top_level_is_the_clients() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    for line in section.lines().filter(|l| l.contains('=') && !l.contains("path = ")) {
        assert!(line.contains(" # "), "no reason given: {line}");
    }
    let allowed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "Makefile",
        "README.md",
        "clippy.toml",
        "deny.toml",
        "rustfmt.toml",
        "docs",
    ]
    .into_iter()
    .chain(FOLDERS)
    .collect();
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || name == "target" || allowed.contains(name.as_str()),
            "{name} at the top level"
        );
    }
}

#[test]
fn every_error_code_has_its_page() {
    let dir = root().join("docs/errors");
    let update = std::env::var_os("UPDATE").is_some();
    let mut expected = BTreeMap::new();
    let mut index = String::from(
        "# Error codes · 错误代码\n\nGenerated from the code table; `make fix` renews it.\n\n| Code | Title | 标题 | HTTP | Exit | Retry |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for i in eport_model::codes::all() {
        let retry = if i.retryable { "yes" } else { "no" };
        index.push_str(&format!(
            "| [{c}]({c}.md) | {} | {} | {} | {} | {retry} |\n",
            i.title.0,
            i.title.1,
            i.http,
            i.exit,
            c = i.code
        ));
        let page = format!(
            "# {} {} · {}\n\nHTTP {} · exit code {} · retry with the same request: {retry}\n\n## What happened\n\n{}\n\n{}\n\n## What to do\n\n{}\n\n{}\n",
            i.code, i.title.0, i.title.1, i.http, i.exit, i.cause.0, i.cause.1, i.remedy.0, i.remedy.1
        );
        expected.insert(format!("{}.md", i.code), page);
    }
    expected.insert("README.md".into(), index);
    if update {
        std::fs::create_dir_all(&dir).unwrap();
        for (name, text) in &expected {
            std::fs::write(dir.join(name), text).unwrap();
        }
    }
    let found: BTreeSet<String> =
        std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected.keys().cloned().collect(), "run `make fix`");
    for (name, text) in expected {
        assert_eq!(
            std::fs::read_to_string(dir.join(&name)).unwrap(),
            text,
            "{name} is not in step, run `make fix`"
        );
    }
}

/// Every Rust file of the workspace's folders.
fn every_source() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = FOLDERS.iter().map(|f| root().join(f)).collect();
    let mut out = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    out
}

/// Functions that are tests or stand in a folder of tests, by name.
fn tests_and_their_steps() -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for path in every_source() {
        let text = std::fs::read_to_string(&path).unwrap();
        let of_tests = path.components().any(|c| c.as_os_str() == "tests");
        let mut marked = false;
        for line in text.lines().map(str::trim_start) {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let line = line.strip_prefix("async ").unwrap_or(line);
            if let Some(rest) = line.strip_prefix("fn ") {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if of_tests || marked {
                    out.insert(name);
                }
            }
            marked = line.starts_with("#[test]")
                || line.starts_with("#[tokio::test")
                || (marked && line.starts_with("#["));
        }
    }
    out
}

#[test]
fn every_threat_names_tests_that_are_there() {
    let text = std::fs::read_to_string(root().join("docs/reference/threats.md")).unwrap();
    let known = tests_and_their_steps();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|l| l.starts_with("| ") && l.as_bytes()[2].is_ascii_digit())
        .map(|l| l.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let numbers: Vec<String> = rows.iter().map(|r| r[0].to_owned()).collect();
    assert_eq!(numbers, (1..=25).map(|n| n.to_string()).collect::<Vec<_>>());
    let mut missing = Vec::new();
    for row in &rows {
        assert_eq!(row.len(), 5, "{row:?}");
        let proofs: Vec<&str> = row[4].split('`').skip(1).step_by(2).collect();
        assert!(!proofs.is_empty(), "threat {} is proven by nothing", row[0]);
        missing
            .extend(proofs.into_iter().filter(|p| !known.contains(*p)).map(|p| format!("{}: {p}", row[0])));
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// Clients that lodge documents of a type somebody has to name: the demo, the load of drills and tests, the canary.
const CLIENTS: &[&str] =
    &["ops/cli/src/load/documents.rs", "ops/cli/src/drill/canary.rs", "ops/cli/src/demo/story.rs"];

/// Names that only packs may know: document types, agencies, rules and tables.
fn words_of_packs() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let add = |words: &mut BTreeSet<String>, of: &serde_json::Value| {
        words.extend(of.as_object().unwrap().keys().cloned());
    };
    for (name, text) in eport_documents::BUILTIN {
        let pack = eport_documents::Pack::parse(text).unwrap_or_else(|e| panic!("{name}: {e}")).describe();
        add(&mut words, &pack["tables"]);
        add(&mut words, &pack["documents"]);
        for document in pack["documents"].as_object().unwrap().values() {
            add(&mut words, &document["recipients"]);
            add(&mut words, &document["cross_checks"]);
            // Several rules of one number are told apart by a point.
            let rules = document["rules"].as_object().unwrap().keys();
            words.extend(rules.map(|r| r.split('.').next().unwrap().to_owned()));
            let fields = document["fields"].as_object().unwrap().values();
            words.extend(fields.filter_map(|f| f["table"].as_str().map(str::to_owned)));
        }
    }
    words
}

#[test]
fn no_document_type_agency_rule_or_table_of_a_pack_stands_in_code() {
    let words = words_of_packs();
    for sample in ["arrival_report", "goods_declaration", "CUS", "GD-R04", "XC-10", "ports", "hs_codes"] {
        assert!(words.contains(sample), "{sample} was read from the packs");
    }
    let mut faults = Vec::new();
    for p in metadata().packages.iter().filter(|p| folder(p) != "chaos-tests") {
        for path in sources(p) {
            let shown = path.strip_prefix(root()).unwrap().display().to_string();
            if CLIENTS.contains(&shown.as_str()) {
                continue;
            }
            let code = code_without_tests(&path);
            for word in words.iter().filter(|w| code.contains(&format!("\"{w}\""))) {
                faults.push(format!("{shown}: {word:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
