//! The support bundle: one archive with everything a supporter needs who cannot reach the site, and no secret.
//!
//! Always holds: every member passes [`redact`] here, whatever it passed before; members and their lengths are bounded.

use crate::{Finding, Gathered, redact};
use serde_json::{Value, json};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Files in one bundle: three for each of a thousand nodes and a few for the whole.
pub const MEMBERS_MAX: usize = 4_096;
/// Bytes of one file; what is longer loses its beginning, the newest lines are the useful ones. 4 MiB.
const MEMBER_LEN_MAX: usize = 4 << 20;

/// What goes into a bundle.
pub struct BundleInput<'a> {
    /// When it was made, RFC 3339.
    pub made: &'a str,
    /// Version of the program that made it.
    pub version: &'a str,
    /// The facts.
    pub gathered: &'a Gathered,
    /// The findings.
    pub findings: &'a [Finding],
    /// Metrics pages by node.
    pub metrics: &'a [(String, String)],
}

/// The files of a bundle, each without secrets.
pub fn members(input: &BundleInput<'_>) -> Vec<(String, String)> {
    let findings: Vec<Value> = input.findings.iter().map(|f| f.document(false)).collect();
    let chinese: Vec<Value> = input.findings.iter().map(|f| f.document(true)).collect();
    let mut facts = serde_json::to_value(input.gathered).unwrap_or_default();
    // The configuration and the log are files of their own.
    for asked in facts["asked"].as_array_mut().into_iter().flatten() {
        if let Some(of_node) = asked["facts"].as_object_mut() {
            of_node.remove("config");
            of_node.remove("log");
        }
    }
    let status = facts.as_object_mut().and_then(|f| f.remove("status")).unwrap_or_default();
    let about = json!({
        "made": input.made, "by": format!("eport {}", input.version), "nodes": input.gathered.asked.len(),
        "findings": findings.len(),
    });
    let mut out = vec![
        ("about.json".to_owned(), pretty(&about)),
        ("findings.json".to_owned(), pretty(&json!({ "items": findings }))),
        ("findings.zh.json".to_owned(), pretty(&json!({ "items": chinese }))),
        ("facts.json".to_owned(), pretty(&facts)),
        ("status.json".to_owned(), pretty(&status)),
    ];
    for f in input.gathered.facts() {
        out.push((format!("nodes/{}/eportd.toml", f.node), f.config.clone()));
        out.push((format!("nodes/{}/log.ndjson", f.node), f.log.join("\n")));
    }
    for (node, page) in input.metrics {
        out.push((format!("nodes/{node}/metrics.txt"), page.clone()));
    }
    out.truncate(MEMBERS_MAX);
    for (_, text) in &mut out {
        *text = redact(tail(text));
    }
    out
}

/// The archive of these files: a ZIP, which every system opens.
pub fn archive(members: &[(String, String)]) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, text) in members {
        writer.start_file(name.as_str(), options)?;
        writer.write_all(text.as_bytes())?;
    }
    Ok(writer.finish()?.into_inner())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(MEMBER_LEN_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or_default()
}
