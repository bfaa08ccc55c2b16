//! What differs between two versions of a pack, and whether a document that was good may now be refused.

use super::Pack;
use super::build::version;
use serde_json::{Map, Value};

/// A difference between two versions.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    /// Where, for example `documents/x/fields/y/type`.
    pub path: String,
    /// What stood there before; `null`: nothing.
    pub before: Value,
    /// What stands there now; `null`: nothing.
    pub after: Value,
    /// A document or a receiver that was right may now be wrong.
    pub breaking: bool,
}

/// Everything that differs, in the order of the names.
pub fn compare(before: &Pack, after: &Pack) -> Vec<Difference> {
    let (mut old, mut new) = (before.describe(), after.describe());
    for side in [&mut old, &mut new] {
        if let Some(members) = side.as_object_mut() {
            members.remove("version");
        }
        // What follows from the rest is no difference of its own.
        for document in side["documents"].as_object_mut().into_iter().flat_map(|d| d.values_mut()) {
            document.as_object_mut().map(|d| d.remove("steps_max"));
        }
    }
    let mut out = Vec::new();
    walk(&mut Vec::new(), &old, &new, &mut out);
    out
}

/// Whether the numbers of a new version say what the differences are: a breaking one raises the first, any other the second or
/// third, and no version is used twice.
pub fn numbered(before: &Pack, after: &Pack) -> Result<(), String> {
    let differences = compare(before, after);
    let (Some(old), Some(new)) = (version(&before.head.version), version(&after.head.version)) else {
        return Err("a version is three numbers".into());
    };
    if new <= old && !differences.is_empty() {
        return Err(format!("version {} does not follow {}", after.head.version, before.head.version));
    }
    match differences.iter().find(|d| d.breaking) {
        Some(first) if new.0 == old.0 => Err(format!(
            "{} may refuse what was right; such a version raises its first number: {} follows {}",
            first.path,
            old.0 + 1,
            old.0
        )),
        _ => Ok(()),
    }
}

fn walk(path: &mut Vec<String>, before: &Value, after: &Value, out: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            path.push(name.clone());
            let side = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or(Value::Null);
            walk(path, &side(old), &side(new), out);
            path.pop();
        }
        return;
    }
    let breaking = breaks(path, before, after);
    out.push(Difference { path: path.join("/"), before: before.clone(), after: after.clone(), breaking });
}

/// Judges a difference by its place: `documents/TYPE/PART/NAME/SETTING`.
fn breaks(path: &[String], before: &Value, after: &Value) -> bool {
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["title", ..] | ["systems"] => false,
        // A number or a set may be used either way.
        ["numbers" | "sets" | "tables", ..] => !before.is_null(),
        ["documents", _] => after.is_null(),
        ["documents", _, "fields", _] => after.is_null() || before.is_null() && after["required"] != false,
        ["documents", _, "fields", _, "title" | "key", ..] => false,
        ["documents", _, "fields", _, "required"] => *after != false,
        ["documents", _, "fields", _, "range" | "length"] => narrower(before, after),
        ["documents", _, "fields", _, "values"] => !contains(after, before),
        ["documents", _, "fields", _, "table" | "rule" | "positive"] => !after.is_null(),
        ["documents", _, "fields", _, "type"] => !wider(before.as_str(), after.as_str()),
        ["documents", _, "fields", ..] => true,
        ["documents", _, "rules", _] => after["code"].as_str().is_some_and(|c| c.starts_with("E-")),
        ["documents", _, "rules", _, "title", ..] => false,
        ["documents", _, "rules", ..] => true,
        ["documents", _, "bytes_max" | "version_max" | "client_ref_length_max"] => {
            after.as_u64() < before.as_u64()
        }
        ["documents", _, "function_codes", _] => !contains(after, before),
        ["documents", _, "states", _] => after.is_null(),
        ["documents", _, "states", _, "receipts" | "next"] => !contains(after, before),
        ["documents", _, "recipients", _] => after.is_null(),
        // A new comparison or test may refuse; one that is gone refuses nothing.
        ["documents", _, "cross_checks", ..] => !after.is_null(),
        ["documents", _, "recipients" | "utc_offset_minutes", ..] => true,
        ["utc_offset_minutes"] => true,
        _ => false,
    }
}

fn contains(outer: &Value, inner: &Value) -> bool {
    match (outer.as_array(), inner.as_array()) {
        (Some(outer), Some(inner)) => inner.iter().all(|v| outer.contains(v)),
        // No list of values allows everything.
        _ => outer.is_null(),
    }
}

fn narrower(before: &Value, after: &Value) -> bool {
    let ends = |v: &Value| Some((v.get(0)?.as_i64()?, v.get(1)?.as_i64()?));
    match (ends(before), ends(after)) {
        (Some(old), Some(new)) => new.0 > old.0 || new.1 < old.1,
        _ => true,
    }
}

/// Whether every text of the old type is one of the new type.
fn wider(before: Option<&str>, after: Option<&str>) -> bool {
    let split = |t: &str| {
        let letters = t.bytes().take_while(u8::is_ascii_lowercase).count();
        let (kind, length) = t.split_at(letters);
        let open = length.strip_prefix("..");
        Some((kind.to_owned(), open.is_some(), open.unwrap_or(length).parse::<u32>().ok()?))
    };
    let (Some(old), Some(new)) = (before.and_then(split), after.and_then(split)) else { return false };
    let letters = new.0 == old.0 || new.0 == "an";
    letters && if new.1 { old.2 <= new.2 } else { !old.1 && old.2 == new.2 }
}
