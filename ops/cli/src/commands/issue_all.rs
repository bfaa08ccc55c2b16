//! `eport cert issue-all`: many certificates from requests of keys made elsewhere, a batch a time.

use super::cert::at_primary;
use crate::error::Error;
use crate::files::write_new;
use crate::output::Out;
use crate::table::Table;
use clap::Args;
use eport_api_types::{
    BatchedCertificate, BatchedRequest, CERTIFICATE_BATCH_MAX, CertificateBatch, CertificateBatchAnswer,
};
use eport_authority::REQUEST_LEN_MAX;
use eport_client::{Client, Repeat};
use eport_model::{RegionCode, Subject, codes};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Largest list read.
const LIST_LEN_MAX: u64 = 16 << 20;
/// Characters of the requests of one batch: below what the node takes, whatever the requests hold.
const BATCH_LEN_MAX: usize = 1 << 20;

/// Arguments of `eport cert issue-all`.
#[derive(Args, Debug)]
pub struct IssueAllArgs {
    /// A line for each certificate: SUBJECT, a blank, the file of its request (PEM), as seen from here
    #[arg(long, value_name = "FILE")]
    pub list: PathBuf,
    /// Folder for the certificates, SUBJECT with _ for /, and .crt; must not hold any of them
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Platform whose CA issues
    #[arg(long, value_name = "REGION")]
    pub platform: RegionCode,
    /// Profile; default the usual one of each subject
    #[arg(long)]
    pub profile: Option<String>,
    /// Days of validity; default what the profile allows
    #[arg(long)]
    pub days: Option<i64>,
}

/// Issues them all; exit 4 when one was refused.
pub async fn run(client: &Client, args: &IssueAllArgs, out: Out) -> Result<(), Error> {
    let wanted = requests(args)?;
    std::fs::create_dir_all(&args.out).map_err(Error::file(&args.out))?;
    let node = at_primary(client, args.platform).await?;
    let (mut items, mut refused) = (Vec::new(), 0);
    for batch in batches(wanted) {
        let body = CertificateBatch { platform: args.platform.to_string(), requests: batch };
        // Not twice by itself: what was issued before an answer was lost stands in cert list.
        let answer: CertificateBatchAnswer =
            node.post("/v1/certificates:batch", &body, Repeat::UnlessSent).await?;
        for (asked, made) in body.requests.iter().zip(&answer.items) {
            refused += usize::from(made.status != 201);
            items.push(keep(&args.out, asked, made, &answer)?);
        }
        out.progress(format!("{} of the list are done", items.len()));
    }
    out.items(&items, || {
        let mut table = Table::new(["SUBJECT", "SERIAL", "FILE", "REFUSED"]);
        for item in &items {
            table.row(["subject", "serial", "file", "refused"].map(|k| crate::output::cell(item, k)));
        }
        table
    });
    match refused {
        0 => Ok(()),
        n => Err(Error::coded(codes::ISSUE_REFUSED, format!("{n} of {} were refused", items.len()))),
    }
}

/// The list with the requests it names.
fn requests(args: &IssueAllArgs) -> Result<Vec<BatchedRequest>, Error> {
    let text = String::from_utf8(bounded(&args.list, LIST_LEN_MAX)?);
    let text = text.map_err(|_| Error::usage("--list is not text"))?;
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    let read = lines.map(|(n, line)| {
        let bad = |why: &str| Error::usage(format!("{} line {}: {why}", args.list.display(), n + 1));
        let (subject, file) = line.trim().split_once(' ').ok_or_else(|| bad("SUBJECT FILE is needed"))?;
        subject.parse::<Subject>().map_err(|e| bad(&e.to_string()))?;
        let csr = bounded(Path::new(file.trim()), REQUEST_LEN_MAX as u64)?;
        Ok(BatchedRequest {
            csr: String::from_utf8(csr).map_err(|_| bad("the request is not PEM"))?,
            subject: subject.to_owned(),
            profile: args.profile.clone(),
            days: args.days,
        })
    });
    let read: Vec<BatchedRequest> = read.collect::<Result<_, Error>>()?;
    if read.is_empty() {
        return Err(Error::usage("--list names no request"));
    }
    Ok(read)
}

fn bounded(path: &Path, len_max: u64) -> Result<Vec<u8>, Error> {
    if std::fs::metadata(path).map_err(Error::file(path))?.len() > len_max {
        return Err(Error::coded(codes::FILE_UNUSABLE, format!("{} is too large", path.display())));
    }
    std::fs::read(path).map_err(Error::file(path))
}

/// In their order, as many as one request takes.
fn batches(wanted: Vec<BatchedRequest>) -> Vec<Vec<BatchedRequest>> {
    let (mut all, mut len) = (Vec::<Vec<BatchedRequest>>::new(), 0);
    for request in wanted {
        let size = request.csr.len() + request.subject.len() + 200;
        match all.last_mut().filter(|b| b.len() < CERTIFICATE_BATCH_MAX && len + size <= BATCH_LEN_MAX) {
            Some(batch) => {
                len += size;
                batch.push(request);
            }
            None => {
                len = size;
                all.push(vec![request]);
            }
        }
    }
    all
}

fn keep(
    dir: &Path,
    asked: &BatchedRequest,
    made: &BatchedCertificate,
    answer: &CertificateBatchAnswer,
) -> Result<Value, Error> {
    let Some(certificate) = &made.certificate else {
        let why = made.detail.clone().unwrap_or_default();
        let code = made.code.clone().unwrap_or_default();
        return Ok(json!({ "subject": asked.subject, "refused": format!("{code} {why}") }));
    };
    let above = made.issuer.as_ref().and_then(|key| answer.chains.get(key));
    let file = dir.join(format!("{}.crt", asked.subject.replace('/', "_")));
    write_new(&file, format!("{certificate}{}", above.map_or("", String::as_str)).as_bytes(), false)?;
    Ok(json!({ "subject": asked.subject, "serial": made.serial, "file": file }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_what_one_request_takes_and_keeps_the_order() {
        let of = |n: usize, len: usize| BatchedRequest {
            csr: "x".repeat(len),
            subject: format!("enterprise/{n}"),
            profile: None,
            days: None,
        };
        let sizes = |len: usize, n: usize| -> Vec<usize> {
            batches((0..n).map(|i| of(i, len)).collect()).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(400, 600), [256, 256, 88]);
        assert!(sizes(16 << 10, 300).iter().all(|n| n * (16 << 10) < BATCH_LEN_MAX));
        let all: Vec<String> =
            batches((0..600).map(|i| of(i, 9)).collect()).into_iter().flatten().map(|r| r.subject).collect();
        assert_eq!(all.first().zip(all.last()), Some((&"enterprise/0".into(), &"enterprise/599".into())));
        assert_eq!(all.len(), 600);
    }
}
