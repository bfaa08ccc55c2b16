//! The one way from a caller to what it is shown of documents: who asks, what for, and the line of the access log afterwards.
//!
//! What always holds: every handler that shows a document, or something made of one document, gets its scope from [`scope`]; a test of
//! this crate looks through the handlers for other ways. A purpose that is stated is written down with what was shown for it.

use crate::Caller;
use crate::problem::ApiError;
use crate::state::Api;
use axum::http::{HeaderMap, HeaderName, Uri};
use eport_access::{Action, Event, Line};
use eport_model::{RegionCode, Subject, codes};
use eport_platform::{Platform, Scope, Viewer};
use eport_sharing::{Ask, Denied, Purpose, Reader, SharingAction, Who};

/// Says what for.
pub(crate) const PURPOSE: HeaderName = HeaderName::from_static("eport-purpose");
/// Rules and purposes of one line, in characters: a line cuts longer texts.
const WORD_LEN_MAX: usize = 250;

/// What a request says of its purpose.
pub(crate) fn stated(headers: &HeaderMap, uri: &Uri) -> Result<Option<Purpose>, ApiError> {
    let in_header = headers.get(&PURPOSE).map(|v| v.to_str().unwrap_or("?").to_owned());
    let pairs = uri.query().unwrap_or_default().split('&');
    let in_query = pairs.filter_map(|p| p.strip_prefix("purpose=")).next().map(str::to_owned);
    let word = match (in_header, in_query) {
        (Some(header), Some(query)) if header != query => {
            return Err(ApiError::bad("purpose: the header and the query say different ones"));
        }
        (Some(word), _) | (None, Some(word)) => word,
        (None, None) => return Ok(None),
    };
    word.parse().map(Some).map_err(|e: eport_sharing::NoPurpose| ApiError::bad(e.to_string()))
}

/// The reader of a request. In production an agency always says what for: every one of its reads is for a purpose that the law gives
/// it.
pub(crate) fn reader(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    stated: Option<Purpose>,
) -> Result<Reader, ApiError> {
    let subject = caller.subject();
    let subject = subject.ok_or_else(|| ApiError::new(codes::CERT_MISSING, "a certificate is needed"))?;
    let view = api.registry.state();
    // Who looks after a federation of developers is there to look into it, and agencies there clear.
    let implied = match subject {
        _ if !view.state.mode().relaxed() => None,
        Subject::Operator(_) => Some(Purpose::Support),
        Subject::Agency { .. } => Some(Purpose::Clearance),
        _ => None,
    };
    let ask = stated.map_or(Ask::Unstated(implied), Ask::Stated);
    let reader = |who: Who, name: String| Reader {
        who,
        name,
        mandate: caller.behalf.is_some(),
        in_charge: view.state.user(subject).is_some_and(|u| u.platforms.contains(&region)),
        ask,
    };
    Ok(match subject {
        Subject::Agency { .. } if stated.is_none() && implied.is_none() => {
            let detail = "an agency says what it reads for: Eport-Purpose, or purpose= in the query";
            return Err(ApiError::new(codes::PURPOSE_NEEDED, detail));
        }
        Subject::Agency { code, .. } => reader(Who::Agency, code.clone()),
        Subject::Operator(_) | Subject::Node { .. } => reader(Who::Operator, subject.lodger()),
        Subject::Enterprise(_) => reader(Who::Enterprise, caller.lodger().unwrap_or_default()),
    })
}

/// The scope of a reader on a platform. Reads rows: not for async threads.
pub(crate) fn scope(platform: &Platform, reader: Reader, action: SharingAction) -> Result<Scope, ApiError> {
    Ok(Scope::Shared(platform.viewer(reader, action)?))
}

/// A denial as an answer. What is not shared at all looks like what is not there.
pub(crate) fn denied(denied: Denied, what: impl std::fmt::Display) -> ApiError {
    match denied {
        Denied::NotShared => ApiError::not_found(what),
        Denied::PurposeNeeded => ApiError::new(codes::PURPOSE_NEEDED, denied.to_string()),
        Denied::OtherPurpose => ApiError::new(codes::PURPOSE_REFUSED, denied.to_string()),
    }
}

/// The reader may have this document; otherwise the answer says no more than it may.
pub(crate) fn visible(p: &Platform, scope: &Scope, doc_id: &str) -> Result<(), ApiError> {
    p.admitted(scope, doc_id)?.map_err(|why| denied(why, format!("document {doc_id}")))
}

/// The reader is shown fields of a class of this document.
pub(crate) fn shows(p: &Platform, scope: &Scope, doc_id: &str, class: char) -> Result<(), ApiError> {
    let classes = p.classes_shown(scope, doc_id)?;
    let classes = classes.map_err(|why| denied(why, format!("document {doc_id}")))?;
    match classes.contains(&class) {
        true => Ok(()),
        false => Err(ApiError::new(
            codes::PURPOSE_REFUSED,
            format!("class {class} of document {doc_id} is not shared with the reader for this purpose"),
        )),
    }
}

/// What a reader was shown, as a line of the access log. What somebody reads of its own, without saying what for, is no line.
pub(crate) fn line(caller: &Caller, request: &str, region: RegionCode, viewer: &Viewer) -> Option<Line> {
    let (tally, reader) = (viewer.tally(), viewer.reader());
    let own_only = tally.purposes.iter().all(|p| p == Purpose::Own.word());
    if !matches!(reader.ask, Ask::Stated(_)) && own_only && tally.denied == 0 {
        return None;
    }
    if tally.shown == 0 && tally.denied == 0 && !matches!(reader.ask, Ask::Stated(_)) {
        return None;
    }
    let words = |set: &std::collections::BTreeSet<String>| {
        let joined = set.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        joined.chars().take(WORD_LEN_MAX).collect::<String>()
    };
    let purpose = match reader.ask {
        Ask::Stated(purpose) => purpose.word().to_owned(),
        _ => words(&tally.purposes),
    };
    let event = if tally.shown == 0 && tally.denied > 0 { Event::NotShared } else { Event::Shared };
    Some(Line {
        subject: caller.name(),
        serial: caller.serial().unwrap_or_default(),
        by: if caller.via.is_some() { "forward" } else { "certificate" }.to_owned(),
        source: caller
            .source
            .map(|s| s.to_string())
            .or(caller.via.map(|n| n.to_string()))
            .unwrap_or_default(),
        behalf: caller.behalf.clone().unwrap_or_default(),
        request: request.to_owned(),
        permission: Action::ListDocuments.word().to_owned(),
        purpose,
        acting_for: region.to_string(),
        rules: words(&tally.rules),
        fields: tally.classes.iter().collect(),
        rows: tally.shown,
        masked: tally.masked,
        code: if event == Event::NotShared { codes::PURPOSE_REFUSED.to_string() } else { String::new() },
        ..Line::of(event)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_is_stated_once_in_the_header_or_the_query_and_is_one_of_the_list() {
        let said = |header: Option<&str>, query: &str| {
            let mut headers = HeaderMap::new();
            if let Some(word) = header {
                headers.insert(PURPOSE, word.parse().unwrap());
            }
            stated(&headers, &format!("/x?{query}").parse().unwrap()).map_err(|e| e.problem.status)
        };
        assert_eq!(said(None, "limit=1"), Ok(None));
        assert_eq!(said(Some("RISK"), ""), Ok(Some(Purpose::Risk)));
        assert_eq!(said(None, "a=b&purpose=TAX"), Ok(Some(Purpose::Tax)));
        assert_eq!(said(Some("TAX"), "purpose=TAX"), Ok(Some(Purpose::Tax)));
        for (header, query) in [(Some("TAX"), "purpose=RISK"), (Some("fun"), ""), (None, "purpose=")] {
            assert_eq!(said(header, query), Err(400), "{header:?} {query}");
        }
    }

    /// Ways to content that pass no viewer, and the files that may use them with the reason.
    const WAYS: &[(&str, &[(&str, &str)])] = &[
        (
            "Scope::All",
            &[(
                "tables_usage.rs",
                "counts uses of a code table; it names documents, and shows nothing in them",
            )],
        ),
        ("Scope::Own", &[("revisions_api.rs", "the lodger's own document, whose next version it hands in")]),
        ("Scope::Agency", &[]),
        (".show(", &[("tables_usage.rs", "see above"), ("revisions_api.rs", "see above")]),
        (".receipts(", &[]),
        (".part_of(", &[]),
        (".projections", &[]),
        (".record_of(", &[("proof_api.rs", "after is_whole: whoever is not shown the whole is refused")]),
        (".consignments(", &[("statistics_api.rs", "figures; samples pass visible one by one")]),
        (".inbox(", &[("agencies_api.rs", "the platform masks what it delivers by the rules of push")]),
        (".core_page(", &[("core_data_api.rs", "takes a viewer")]),
        (".account_entries(", &[("accounts_api.rs", "after found, which asks the granting document")]),
        ("Scope::Shared(", &[("sharing.rs", "here")]),
    ];

    // A test asks cargo where its sources are.
    #[allow(clippy::disallowed_methods)]
    #[test]
    fn no_handler_has_another_way_to_the_content_of_documents() {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let mut faults = Vec::new();
        for entry in std::fs::read_dir(std::path::Path::new(&here).join("src")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.ends_with(".rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (way, allowed) in WAYS {
                let used = code.lines().any(|l| !l.trim_start().starts_with("//") && l.contains(way));
                if used && !allowed.iter().any(|(file, reason)| *file == name && !reason.is_empty()) {
                    faults.push(format!("{name}: {way}"));
                }
            }
        }
        assert!(faults.is_empty(), "ways around the rules of sharing: {faults:#?}");
    }
}
