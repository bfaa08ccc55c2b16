//! `eport doc evidence`: one file that proves a document, page by page from the node that has it.

use crate::error::Error;
use crate::files::write_new;
use crate::output::Out;
use clap::Args;
use eport_client::Client;
use eport_evidence::{End, Evidence, FILE_LEN_MAX, LINKS_MAX, Proof};
use eport_model::RegionCode;
use eport_model::codes::{FILE_UNUSABLE, JOURNAL_CORRUPT};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `eport doc evidence`.
#[derive(Args, Debug)]
pub struct EvidenceArgs {
    /// The document's number
    pub id: String,
    /// The platform
    #[arg(long, short = 'p', value_name = "REGION")]
    pub platform: RegionCode,
    /// Version of the document, default the newest
    #[arg(long = "doc-version", value_name = "N")]
    pub version: Option<u32>,
    /// Folder to write into, or the file itself, which must not exist
    #[arg(long, value_name = "DIR|FILE")]
    pub out: PathBuf,
}

/// Runs the command.
pub async fn run(client: &Client, args: &EvidenceArgs, out: Out) -> Result<(), Error> {
    let (evidence, end_proven) = fetch(client, args).await?;
    let bytes = evidence.bytes();
    if bytes.len() > FILE_LEN_MAX {
        let detail = format!("the evidence has {} bytes, a file of it at most {FILE_LEN_MAX}", bytes.len());
        return Err(Error::coded(FILE_UNUSABLE, detail));
    }
    let file = file_of(&args.out, &evidence);
    write_new(&file, &bytes, false)?;
    let statement = &evidence.statement;
    let document = json!({
        "file": file.display().to_string(), "bytes": bytes.len(), "region": statement.region,
        "doc_id": statement.doc_id, "doc_version": statement.doc_version, "end": statement.end,
        "links": evidence.chain.len(), "end_proven": end_proven,
    });
    out.result(&document, || text(&file, &evidence, out));
    Ok(())
}

/// All pages of the evidence.
async fn fetch(client: &Client, args: &EvidenceArgs) -> Result<(Evidence, bool), Error> {
    let path = format!("/v1/platforms/{}/journal/proof", args.platform);
    let mut query = vec![("doc_id", args.id.clone())];
    query.extend(args.version.map(|v| ("doc_version", v.to_string())));
    let first: Proof = client.get(&path, &query).await?;
    let (Some(statement), Some(attestation)) = (first.statement, first.attestation) else {
        return Err(Error::coded(JOURNAL_CORRUPT, "the node answered without a statement"));
    };
    // What follows belongs to the version that the first page is about.
    let mut query = vec![("doc_id", first.doc_id), ("doc_version", first.doc_version.to_string())];
    let (mut chain, mut token) = (first.chain, first.next_page_token);
    while let Some(next) = token {
        query.truncate(2);
        query.push(("page_token", next));
        let page: Proof = client.get(&path, &query).await?;
        if page.record != first.record || page.chain.is_empty() {
            return Err(Error::coded(
                JOURNAL_CORRUPT,
                "the journal changed while its chain was read; ask again",
            ));
        }
        chain.extend(page.chain);
        if chain.len() as u64 > LINKS_MAX {
            return Err(Error::coded(
                JOURNAL_CORRUPT,
                format!("the node sends more than {LINKS_MAX} records"),
            ));
        }
        token = page.next_page_token;
    }
    Ok((Evidence::new(statement, attestation, chain), first.end_proven))
}

/// In a folder under a name of its own. A number from the network becomes a name only if it is a plain one.
fn file_of(out: &Path, evidence: &Evidence) -> PathBuf {
    if !out.is_dir() {
        return out.to_owned();
    }
    let (id, version) = (&evidence.statement.doc_id, evidence.statement.doc_version);
    let plain: String = id.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    out.join(format!("evidence-{plain}-v{version}.json"))
}

fn text(file: &Path, evidence: &Evidence, out: Out) -> String {
    let end = match evidence.statement.end {
        End::SignedHead => ("up to a signed head", "直至签名位置"),
        End::Unsigned => (
            "no signed head has followed yet: repeat it after journal sign",
            "其后尚无签名位置：请在 journal sign 之后重新导出",
        ),
        End::Withheld => (
            "the chain names what others lodged; the node's word stands for it",
            "链中含他人申报信息，未予提供；以节点背书代替",
        ),
    };
    let links = evidence.chain.len();
    out.lang.pick((
        format!("{}: {links} records behind the document's, {}\n", file.display(), end.0),
        format!("{}：该单证记录之后 {links} 条记录，{}\n", file.display(), end.1),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_evidence::{Attestation, Content, Row, Statement};
    use eport_model::{Position, Timestamp};

    #[test]
    fn a_number_from_the_network_leads_out_of_no_folder() {
        let (dir, none) = (tempfile::tempdir().unwrap(), String::new);
        let statement = Statement {
            region: "440300".parse().unwrap(),
            doc_id: "../../E2018/x".to_owned(),
            doc_version: 2,
            record: none(),
            row: Row { key: none(), value: none() },
            document: Content { lodged: None, shown: None, opening: None, erased: true },
            through: Position::ZERO,
            end: End::Withheld,
            head: None,
            certificates: Vec::new(),
        };
        let attestation = Attestation { at: Timestamp::default(), certificate: none(), signature: none() };
        let evidence = Evidence::new(statement, attestation, Vec::new());
        assert_eq!(file_of(dir.path(), &evidence), dir.path().join("evidence-E2018x-v2.json"));
        assert_eq!(file_of(&dir.path().join("mine"), &evidence), dir.path().join("mine"));
    }
}
