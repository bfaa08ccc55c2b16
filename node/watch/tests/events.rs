//! What nodes write to their logs: the page of events is what the sources say.
//!
//! An event's name is its message, which is constant; data stands in fields. The page makes a changed name visible where it is reviewed.
// Tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folders whose code runs in `eportd`.
const RUNS: [&str; 3] = ["cert-authority", "replication", "node"];
/// What Rust calls a level, what the JSON line says, and for whom it is.
const LEVELS: [(&str, &str, &str); 3] = [
    ("error", "ERROR", "a person must look"),
    ("warn", "WARN", "worth a look"),
    ("info", "INFO", "the course of things"),
];

fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("../..")
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "tests" | "benches" | "target" | "packs") {
                sources(&path, out);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            out.push(path);
        }
    }
}

/// An event as the source writes it.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Event {
    message: String,
    fields: BTreeSet<String>,
}

/// The macro's arguments from behind its opening parenthesis: string literals and the rest, at depth one.
fn event(rest: &str) -> Option<Event> {
    let (mut depth, mut parts, mut part) = (1, Vec::new(), String::new());
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                part.push('"');
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => {
                            part.push(c);
                            part.extend(chars.next());
                        }
                        '"' => break,
                        _ => part.push(c),
                    }
                }
                part.push('"');
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 1 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
        part.push(c);
    }
    parts.push(part);
    let parts: Vec<&str> = parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()).collect();
    let is_text = |p: &&&str| p.len() > 1 && p.starts_with('"') && p.ends_with('"');
    let message = parts.iter().find(is_text)?.trim_matches('"').to_owned();
    let name = |p: &&str| {
        let name: &str = p.split_once('=').map_or(*p, |(name, _)| name).trim();
        let name = name.trim_start_matches(['%', '?']);
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        (plain && !name.is_empty()).then(|| name.rsplit('.').next().unwrap_or(name).to_owned())
    };
    let fields = parts.iter().take_while(|p| !is_text(p)).filter_map(name).collect();
    Some(Event { message, fields })
}

/// By target and message: levels, and fields.
type Events = BTreeMap<&'static str, BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>>;

fn events() -> Events {
    let mut files = Vec::new();
    for folder in RUNS {
        sources(&root().join(folder), &mut files);
    }
    let mut out = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        // Tests at a file's end write no log of a node.
        let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
        let relative = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let home = relative.split("/src/").next().unwrap().to_owned();
        for (level, _, _) in LEVELS {
            let wanted = format!("{level}!(");
            for (at, _) in text.match_indices(&wanted) {
                let before = text[..at].chars().next_back();
                let line = text[..at].rsplit('\n').next().unwrap_or_default();
                if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') || line.contains("//") {
                    continue;
                }
                let Some(event) = event(&text[at + wanted.len()..]) else { continue };
                let events: &mut BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> =
                    out.entry(level).or_default();
                let entry = events.entry(event.message).or_default();
                entry.0.insert(home.clone());
                entry.1.extend(event.fields);
            }
        }
    }
    out
}

#[test]
fn the_page_of_events_is_what_the_sources_say() {
    let events = events();
    let mut page = String::from(
        "# Events in the log\n\n\
         Made from the sources; `UPDATE=1 cargo test -p eport-watch --test events` writes it again.\n\n\
         `eportd` writes one JSON object a line: `timestamp`, `level`, `target`, `message`, and the fields of the event. The message is constant \
         and is the event's name: search for it, count it, alert on it. What differs stands in fields; `code` is a page of \
         [errors](../errors/README.md). A name that changes changes this page, and release notes name it.\n",
    );
    for (level, said, meaning) in LEVELS {
        page.push_str(&format!("\n## {said}: {meaning}\n\n| message | fields | from |\n|---|---|---|\n"));
        for (message, (homes, fields)) in events.get(level).into_iter().flatten() {
            let list = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(", ");
            let fields = if fields.is_empty() { "-".to_owned() } else { list(fields) };
            page.push_str(&format!("| {} | {fields} | {} |\n", message.replace('|', "\\|"), list(homes)));
        }
    }
    let path = root().join("docs/reference/events.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let checked = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked == page,
        "docs/reference/events.md is stale: UPDATE=1 cargo test -p eport-watch --test events"
    );
}

#[test]
fn a_message_is_constant_so_that_it_can_be_a_name() {
    let events = events();
    assert!(events.values().map(BTreeMap::len).sum::<usize>() > 50, "the sources were not found");
    let all = events.values().flat_map(BTreeMap::keys);
    let built: Vec<&String> = all.filter(|m| m.contains('{') && m.contains('}')).collect();
    assert!(built.is_empty(), "data belongs in fields: {built:#?}");
}

#[test]
fn an_event_is_read_with_its_fields_whatever_stands_in_it() {
    let read = |text: &str| event(text).unwrap();
    let one = read("code = %codes::X, seconds = by / 1_000, %region, ?e, \"a, \\\"b\\\" (c)\"); next(");
    assert_eq!(one.message, "a, \\\"b\\\" (c)");
    assert_eq!(one.fields.into_iter().collect::<Vec<_>>(), ["code", "e", "region", "seconds"]);
    assert_eq!(read("detail = f(a, \"x\"), \"m\")").message, "m");
    assert!(event("no text)").is_none());
}
