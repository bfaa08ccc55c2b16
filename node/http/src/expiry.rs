//! Ends of certificates: warnings in the status, alarm metrics, what readiness says ahead of time.
//!
//! Nodes tell each other when their own certificate ends; CAs stand in the registry. What is said here is said before anything
//! stops: a node in the last fifth of its certificate has failed to renew for a fourth of its life.

use crate::federation::Heard;
use crate::sheet::Sheet;
use crate::state::Api;
use eport_api_types::{Warning, rfc3339};
use eport_enrolment::{Ends, soon};
use eport_model::{Timestamp, codes};
use eport_registry::IssuerState;
use eport_watch::metric;

/// A certificate whose end is watched.
struct Watched {
    /// `node` or `ca`.
    kind: &'static str,
    name: String,
    from: i64,
    to: i64,
}

/// Nodes that were heard of, and CAs that issue.
fn watched(api: &Api, heard: &Heard) -> Vec<Watched> {
    let nodes = heard.iter().filter(|(_, (_, soft))| soft.certificate.1 != 0).map(|(node, (_, soft))| {
        Watched { kind: "node", name: node.to_string(), from: soft.certificate.0, to: soft.certificate.1 }
    });
    let mut all: Vec<Watched> = nodes.collect();
    let view = api.registry.state();
    for issuer in view.state.issuers().filter(|i| i.state == IssuerState::Active) {
        let Ok(facts) = eport_authority::facts_of(&issuer.certificate) else { continue };
        let ms = |t: time::OffsetDateTime| t.unix_timestamp().saturating_mul(1_000);
        let (from, to) = (ms(facts.validity.not_before), ms(facts.validity.not_after));
        all.push(Watched { kind: "ca", name: issuer.name.clone(), from, to });
    }
    all
}

fn near(w: &Watched, now: Timestamp) -> bool {
    soon(now.as_millis(), w.from, w.to, w.kind == "ca") != Ends::Far
}

fn text(w: &Watched, chinese: bool) -> String {
    let end = rfc3339(Timestamp::from_millis(w.to));
    match (w.kind, chinese) {
        ("node", false) => format!("the certificate of node {} ends at {end} and was not renewed", w.name),
        ("node", true) => format!("节点 {} 的证书将于 {end} 到期，尚未续期", w.name),
        (_, false) => format!("the CA {} ends at {end}", w.name),
        (_, true) => format!("CA {} 将于 {end} 到期", w.name),
    }
}

fn warning(w: &Watched, chinese: bool) -> Warning {
    Warning { code: codes::CERT_ENDS_SOON.to_string(), text: text(w, chinese) }
}

/// Warnings for the status.
pub(crate) fn warnings(api: &Api, heard: &Heard, chinese: bool) -> Vec<Warning> {
    let now = api.now();
    watched(api, heard).iter().filter(|w| near(w, now)).map(|w| warning(w, chinese)).collect()
}

/// What will make this very node stop: its own certificate, said while it still is ready.
pub(crate) fn own(api: &Api) -> Vec<Warning> {
    let (now, heard) = (api.now(), only_me(api));
    let mine = watched(api, &heard).into_iter().filter(|w| w.kind == "node" && near(w, now));
    mine.map(|w| warning(&w, false)).collect()
}

fn only_me(api: &Api) -> Heard {
    [(api.agent.me(), (std::time::Duration::ZERO, api.agent.soft_state()))].into()
}

/// Gauges: seconds to the end of this node's certificate and of every CA, requests that wait.
pub(crate) fn gauges(api: &Api, sheet: &mut Sheet) {
    let now = api.now();
    let heard = only_me(api);
    for w in watched(api, &heard) {
        let labels = || [w.kind.to_owned(), w.name.clone()];
        let left = w.to.saturating_sub(now.as_millis()).div_euclid(1_000);
        sheet.put_for(&metric::CERT_ENDS, labels(), left);
        sheet.put_for(&metric::CERT_ENDS_SOON, labels(), near(&w, now));
    }
    for handle in api.agent.platforms() {
        let Some(platform) = api.platform(handle.region()).filter(|p| p.issuing_epoch().is_some()) else {
            continue;
        };
        let Ok(rows) = platform.enrolment_requests() else { continue };
        let count = rows.iter().filter(|r| r.word() == "waiting").count();
        sheet.put_for(&metric::CERT_REQUESTS, [handle.region().to_string()], count);
    }
}
