//! `eport quorum recover sign`: the second person's consent, added to the plan file.

use super::SignArgs;
use super::plan::{endorsement, read, text, write};
use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::Out;
use eport_client::{Files, Signer};
use eport_registry::recover::{endorse_statement, signing_id};
use serde_json::json;
use std::path::PathBuf;

/// The operator that the flags, the context or EPORT_DIR name; `None` when nobody is named.
pub(super) fn operator(global: &Global) -> Result<Option<Signer>, Error> {
    let files = match (&global.cert, &global.key) {
        (Some(cert), Some(key)) => {
            Files { cert: cert.clone(), key: PathBuf::from(key), ca: global.ca.clone().unwrap_or_default() }
        }
        _ => match connect::access(global) {
            Ok(access) => Files { cert: access.cert, key: access.key, ca: access.ca },
            Err(_) => return Ok(None),
        },
    };
    Ok(Some(Signer::from_files(&files)?))
}

pub(super) fn sign(args: &SignArgs, global: &Global, out: Out) -> Result<(), Error> {
    let mut file = read(&args.plan)?;
    let signer = operator(global)?
        .ok_or_else(|| Error::usage("nobody is named who could sign: give --cert and --key"))?;
    if !out.json {
        out.progress(text(&super::plan::shown(&file)));
    }
    let (by, node) = (signer.by().to_owned(), file.plan.node);
    out.confirm((
        &format!("{by}: consent to a recovery of the quorum on {node} with this plan?"),
        &format!("{by}：同意按此计划在 {node} 上恢复多数？"),
    ))?;
    let signed =
        signer.detached(file.plan.lineage, signing_id(&file.plan), &endorse_statement(&file.plan))?;
    let fresh = endorsement(&signed);
    file.endorsed.retain(|e| e.certificate != fresh.certificate);
    file.endorsed.push(fresh);
    write(&args.plan, &file)?;
    let document = json!({ "file": args.plan, "by": by, "node": node, "digest": file.plan.digest(),
        "endorsed": file.endorsed.len() });
    out.result(&document, || format!("{}: {by}\n", args.plan.display()));
    Ok(())
}
