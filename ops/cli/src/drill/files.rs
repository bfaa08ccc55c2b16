//! The files of a drill: the report as JSON, Markdown and HTML, and the owner's signature over its digest.

use crate::error::Error;
use crate::files::write_atomic;
use eport_client::{Client, Signed, Statement};
use eport_drill::{Report, html, markdown};
use eport_model::Digest;
use eport_model::codes::{DRILL_FAILED, FILE_UNUSABLE, VERIFY_DIFFERENCE};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Longest report that is read.
const REPORT_LEN_MAX: u64 = 16 << 20;
/// Longest signature file that is read: a certificate of 16 KiB in hex and some words.
const SIGNATURE_LEN_MAX: u64 = 64 << 10;

/// Where the files are.
#[derive(Clone, Debug, Serialize)]
pub struct ReportFiles {
    /// For people.
    pub markdown: PathBuf,
    /// What is signed and filed.
    pub json: PathBuf,
    /// For people, as a page.
    pub html: PathBuf,
    /// The owner's signature; `null` for an owner whose key cannot sign.
    pub signature: Option<PathBuf>,
    /// SHA-256 of the JSON.
    pub digest: Digest,
}

/// The content of a signature file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SignatureFile {
    format: u32,
    drill_id: String,
    report: Digest,
    signed: Signed,
}

/// What is signed: which drill, which report.
fn statement(drill_id: &str, report: Digest) -> Statement {
    Statement::new("drill.report").with("drill", drill_id).with("report", report)
}

/// Writes the report and signs it.
pub async fn write(client: &Client, dir: &Path, report: &Report) -> Result<ReportFiles, Error> {
    let json = report.json();
    let digest = Digest::of(&json);
    let file = |name: &str| dir.join(name);
    write_atomic(&file("report.json"), &json)?;
    write_atomic(&file("report.md"), markdown(report).as_bytes())?;
    write_atomic(&file("report.html"), html(report).as_bytes())?;
    let signature = match client.sign(&statement(&report.drill_id, digest)).await? {
        Some(signed) => {
            let kept = SignatureFile { format: 1, drill_id: report.drill_id.clone(), report: digest, signed };
            let text =
                serde_json::to_vec_pretty(&kept).map_err(|e| Error::coded(DRILL_FAILED, e.to_string()))?;
            write_atomic(&file("report.sig"), &text)?;
            Some(file("report.sig"))
        }
        None => None,
    };
    Ok(ReportFiles {
        markdown: file("report.md"),
        json: file("report.json"),
        html: file("report.html"),
        signature,
        digest,
    })
}

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// The drill.
    pub drill_id: String,
    /// Its script.
    pub name: String,
    /// Its verdict.
    pub verdict: String,
    /// SHA-256 of the report.
    pub report: Digest,
    /// Who signed.
    pub signed_by: String,
    /// Everything holds.
    pub ok: bool,
    /// What does not.
    pub problems: Vec<String>,
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let length = std::fs::metadata(path).map_err(Error::file(path))?.len();
    if length > most {
        return Err(Error::coded(FILE_UNUSABLE, format!("{}: {length} bytes are too long", path.display())));
    }
    std::fs::read(path).map_err(Error::file(path))
}

/// Checks a report against its signature and the issuers of a PEM file. Nothing is asked of the federation.
pub fn verify(report: &Path, ca: &Path) -> Result<Verified, Error> {
    let text = read(report, REPORT_LEN_MAX)?;
    let bad = |what: String| Error::coded(VERIFY_DIFFERENCE, what);
    let content: Report =
        serde_json::from_slice(&text).map_err(|e| bad(format!("{}: {e}", report.display())))?;
    let path = report.with_extension("sig");
    let kept: SignatureFile = serde_json::from_slice(&read(&path, SIGNATURE_LEN_MAX)?)
        .map_err(|e| bad(format!("{}: {e}", path.display())))?;
    let digest = Digest::of(&text);
    let mut problems = Vec::new();
    if kept.report != digest {
        problems.push(format!("the report has digest {digest}, {} was signed", kept.report));
    }
    if kept.drill_id != content.drill_id {
        problems.push(format!("the signature is of drill {}", kept.drill_id));
    }
    if kept.signed.lineage.to_string() != content.lineage {
        problems.push("the signature belongs to another federation".to_owned());
    }
    if let Err(e) = kept.signed.verify(&statement(&content.drill_id, digest), ca) {
        problems.push(e.to_string());
    }
    Ok(Verified {
        drill_id: content.drill_id,
        name: content.name,
        verdict: content.verdict.word().to_owned(),
        report: digest,
        signed_by: kept.signed.by,
        ok: problems.is_empty(),
        problems,
    })
}
