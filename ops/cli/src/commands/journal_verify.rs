//! `eport journal verify --evidence`: what a file says of one document, and what of that holds. No node is asked.

use super::journal_heads::Bundle;
use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::table::Table;
use eport_evidence::{Claim, FILE_LEN_MAX, Report, verify_bytes};
use eport_model::RegionCode;
use eport_model::codes::FILE_UNUSABLE;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Verifies a file with the CAs of a bundle: that of `--trust`, else of `--ca`, else of the context.
pub fn evidence(
    file: &Path,
    region: Option<RegionCode>,
    trust: Option<PathBuf>,
    global: &Global,
    out: Out,
) -> Result<(), Error> {
    let trust = trust.or_else(|| global.ca.clone());
    let trust = match trust {
        Some(trust) => trust,
        // Without CAs nothing is proven: whoever made the file could have made all of it.
        None => connect::access(global).map(|a| a.ca).map_err(|_| {
            Error::usage("the CAs of the federation are needed: give --trust, --ca or a context")
        })?,
    };
    let bundle = Bundle::read(&trust)?;
    let mut report = verify_bytes(&read(file)?, &bundle);
    if let Some(region) = region {
        report.expect(region);
    }
    out.result(&document(&report), || text(&report, out));
    if report.ok { Ok(()) } else { Err(Error::Exit(exit::DIFFERENCE)) }
}

/// Reads a file that may be anything, up to the length that evidence may have.
fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let (mut bytes, limit) = (Vec::new(), FILE_LEN_MAX as u64);
    let opened = std::fs::File::open(file).map_err(Error::file(file))?;
    opened.take(limit + 1).read_to_end(&mut bytes).map_err(Error::file(file))?;
    if bytes.len() as u64 > limit {
        let detail = format!("{}: evidence has at most {limit} bytes", file.display());
        return Err(Error::coded(FILE_UNUSABLE, detail));
    }
    Ok(bytes)
}

fn document(report: &Report) -> Value {
    serde_json::to_value(report).unwrap_or_else(|_| json!({ "ok": false }))
}

fn claim(claim: Claim) -> (&'static str, &'static str) {
    match claim {
        Claim::Attestation => (
            "a node of the federation vouches for the record and the statement",
            "联邦节点为该记录与陈述背书",
        ),
        Claim::Record => {
            ("the record took a document under this number and version", "该记录以此编号与版本受理了单证")
        }
        Claim::Document => ("the document is the one that the record took", "单证即该记录所受理的单证"),
        Claim::Chain => {
            ("no record up to the end of the chain is missing or altered", "至链末尾的记录无缺失、无篡改")
        }
        Claim::SignedHead => ("a signed head of the journal covers it", "日志的签名位置已覆盖该记录"),
        Claim::Certificate => (
            "whoever handed it in had a certificate of the federation that was valid then",
            "申报主体当时持有有效的联邦证书",
        ),
        Claim::DeclarantSignature => {
            ("the declarant's own signature: the record holds none", "申报人自身签名：记录中没有")
        }
    }
}

fn text(report: &Report, out: Out) -> String {
    let verdict = match (report.ok, report.end_proven) {
        (true, true) => ("the evidence holds", "证据成立"),
        (true, false) => (
            "the evidence holds by the word of the node that made it; no signed head covers it",
            "证据凭出证节点的背书成立；尚无签名位置覆盖",
        ),
        (false, _) => ("the evidence does not hold", "证据不成立"),
    };
    let value = document(report);
    let mut facts = Table::new(["", ""]);
    for name in ["region", "doc_id", "doc_version", "time", "accepted_at", "caller", "links"] {
        facts.row([name.to_owned(), cell(&value, name)]);
    }
    for name in ["attested", "signed"] {
        if value[name].is_object() {
            facts
                .row([name.to_owned(), format!("{} {}", cell(&value[name], "by"), cell(&value[name], "at"))]);
        }
    }
    let mut claims = Table::new(["", ""]);
    for (mark, list) in
        [(("proven", "已证明"), &report.proven), (("not proven", "未证明"), &report.not_proven)]
    {
        for c in list {
            claims.row([out.lang.pick(mark).to_owned(), out.lang.pick(claim(*c)).to_owned()]);
        }
    }
    let mut certificates = Table::new(["certificate", "holds", "state then", "revoked"]);
    for c in value["certificates"].as_array().into_iter().flatten() {
        certificates.row(["serial", "holds", "state", "revoked_at"].map(|k| cell(c, k)));
    }
    let mut problems = Table::new([">record", "kind", "detail"]);
    for p in value["problems"].as_array().into_iter().flatten() {
        problems.row(["index", "kind", "detail"].map(|k| cell(p, k)));
    }
    let shown = |t: Table| if t.is_empty() { String::new() } else { t.render() };
    format!("{}\n", out.lang.pick(verdict)) + &[facts, claims, certificates, problems].map(shown).concat()
}
