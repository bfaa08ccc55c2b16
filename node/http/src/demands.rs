//! What each route demands: the permission, and whether a session is enough. The gate asks this list before any handler runs; a
//! route that is not in it is closed to everybody.

use eport_access::Action;

/// How a caller may show who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// A certificate, or a session that was opened with one.
    Either,
    /// The certificate itself: a session may not make sessions, certificates or members.
    Certificate,
}

/// What one route demands.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// HTTP method.
    pub method: &'static str,
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// Any of these; empty: the handler asks for a proof of its own.
    pub any: &'static [Action],
    /// How.
    pub shown: Shown,
}

const fn get(path: &'static str, any: &'static [Action]) -> Demand {
    Demand { method: "get", path, any, shown: Shown::Either }
}

const fn post(path: &'static str, any: &'static [Action]) -> Demand {
    Demand { method: "post", path, any, shown: Shown::Either }
}

const fn put(path: &'static str, any: &'static [Action]) -> Demand {
    Demand { method: "put", path, any, shown: Shown::Either }
}

const fn delete(path: &'static str, any: &'static [Action]) -> Demand {
    Demand { method: "delete", path, any, shown: Shown::Either }
}

/// With the certificate itself.
const fn in_person(demand: Demand) -> Demand {
    Demand { shown: Shown::Certificate, ..demand }
}

const FEDERATION: &[Action] = &[Action::ReadFederation];
const TABLES: &[Action] = &[Action::ReadTables];
const INSPECT: &[Action] = &[Action::Inspect];
const AUDIT: &[Action] = &[Action::ReadAudit];
const PLATFORM: &[Action] = &[Action::AdministerPlatform];
const SYSTEM: &[Action] = &[Action::AdministerNodes];
const RUN: &[Action] = &[Action::AdministerPlatform, Action::AdministerNodes];
const CERTIFICATES: &[Action] = &[Action::AdministerCertificates];
const USERS: &[Action] = &[Action::AdministerUsers];
const DOCUMENTS: &[Action] = &[Action::ListDocuments];
const LODGE: &[Action] = &[Action::LodgeDocument];
const SESSION: &[Action] = &[Action::Session];
const DELEGATE: &[Action] = &[Action::Delegate];
/// Only member nodes, in the name of the platform that they serve.
const NODES: &[Action] = &[Action::Forward];
const ANSWER: &[Action] = &[Action::AnswerDocuments];
const OWN_PROOF: &[Action] = &[];

/// Every route that is not open to anybody.
pub const DEMANDS: &[Demand] = &[
    get("/metrics", FEDERATION),
    get("/openapi.json", FEDERATION),
    get("/docs", FEDERATION),
    get("/v1/federation", FEDERATION),
    get("/v1/nodes", FEDERATION),
    in_person(post("/v1/nodes", SYSTEM)),
    // An invited node is no member yet: its invitation is what counts.
    in_person(post("/v1/nodes:join", OWN_PROOF)),
    post("/v1/nodes/{node}/drain", SYSTEM),
    in_person(post("/v1/nodes/{node}/removal", SYSTEM)),
    get("/v1/sites", FEDERATION),
    put("/v1/sites/{site}", SYSTEM),
    get("/v1/diagnosis", INSPECT),
    get("/v1/incident", INSPECT),
    get("/v1/approvals", INSPECT),
    get("/v1/approvals/{id}", INSPECT),
    post("/v1/approvals/{id}", &[Action::Approve]),
    get("/v1/audit", AUDIT),
    get("/v1/access-log", AUDIT),
    get("/v1/access-log/segments", AUDIT),
    get("/v1/access-log/segments/{name}", AUDIT),
    in_person(post("/v1/session", SESSION)),
    get("/v1/session", SESSION),
    delete("/v1/session", SESSION),
    get("/v1/users", INSPECT),
    put("/v1/users/{id}", USERS),
    put("/v1/users/{id}/roles/{role}", USERS),
    delete("/v1/users/{id}/roles/{role}", USERS),
    get("/v1/roles", INSPECT),
    get("/v1/delegations", &[Action::Inspect, Action::Delegate]),
    post("/v1/delegations", DELEGATE),
    delete("/v1/delegations/{id}", DELEGATE),
    get("/v1/settings", FEDERATION),
    put("/v1/settings/{name}", &[Action::AdministerNodes, Action::AdministerUsers]),
    get("/v1/plan/backups", FEDERATION),
    get("/v1/drills", FEDERATION),
    post("/v1/drills", PLATFORM),
    get("/v1/drills/{id}", FEDERATION),
    post("/v1/drills/{id}/stop", PLATFORM),
    post("/v1/drills/{id}/end", PLATFORM),
    get("/v1/drill-schedules", FEDERATION),
    put("/v1/drill-schedules/{region}/{name}", PLATFORM),
    delete("/v1/drill-schedules/{region}/{name}", PLATFORM),
    get("/v1/platforms", FEDERATION),
    post("/v1/platforms", SYSTEM),
    get("/v1/platforms/{region}", FEDERATION),
    put("/v1/platforms/{region}/policy", PLATFORM),
    get("/v1/platforms/{region}/quota", FEDERATION),
    put("/v1/platforms/{region}/quota", SYSTEM),
    get("/v1/platforms/{region}/usage", PLATFORM),
    get("/v1/usage", PLATFORM),
    get("/v1/platforms/{region}/moves", FEDERATION),
    post("/v1/platforms/{region}/moves", PLATFORM),
    get("/v1/platforms/{region}/moves/{id}", FEDERATION),
    post("/v1/platforms/{region}/adopt", PLATFORM),
    post("/v1/platforms/{region}/verify", PLATFORM),
    post("/v1/platforms/{region}/documents", LODGE),
    post("/v1/platforms/{region}/documents:batch", LODGE),
    post("/v1/platforms/{region}/documents:check", LODGE),
    get("/v1/platforms/{region}/documents", DOCUMENTS),
    get("/v1/platforms/{region}/documents:count", DOCUMENTS),
    get("/v1/platforms/{region}/documents/{doc_id}", DOCUMENTS),
    get("/v1/platforms/{region}/documents/{doc_id}/versions", DOCUMENTS),
    get("/v1/platforms/{region}/documents/{doc_id}/receipts", DOCUMENTS),
    get("/v1/platforms/{region}/documents/{doc_id}/trace", DOCUMENTS),
    get("/v1/platforms/{region}/documents/{doc_id}/bodies", PLATFORM),
    get("/v1/platforms/{region}/exchange", INSPECT),
    get("/v1/platforms/{region}/exchange/dead-letters", INSPECT),
    post("/v1/platforms/{region}/exchange/dead-letters/{msg_id}/resend", PLATFORM),
    get("/v1/agencies", FEDERATION),
    get("/v1/agencies/{agency}/inbox", ANSWER),
    post("/v1/agencies/{agency}/inbox/{msg_id}/ack", ANSWER),
    post("/v1/agencies/{agency}/receipts", ANSWER),
    get("/v1/platforms/{region}/erasures", PLATFORM),
    post("/v1/platforms/{region}/erasures", PLATFORM),
    get("/v1/platforms/{region}/documents/{doc_id}/accounts", DOCUMENTS),
    post("/v1/platforms/{region}/documents/{doc_id}/amendments", LODGE),
    post("/v1/platforms/{region}/documents/{doc_id}/withdrawal", LODGE),
    post("/v1/platforms/{region}/milestones", LODGE),
    get("/v1/platforms/{region}/documents/{doc_id}/comparisons", DOCUMENTS),
    get("/v1/platforms/{region}/consignments/{number}", DOCUMENTS),
    get("/v1/consignments/{number}", DOCUMENTS),
    get("/v1/statistics/timeliness", DOCUMENTS),
    get("/v1/platforms/{region}/statistics/durations", DOCUMENTS),
    get("/v1/platforms/{region}/statistics/samples", DOCUMENTS),
    get("/v1/licences/{no}", DOCUMENTS),
    get("/v1/licences/{no}/entries", DOCUMENTS),
    get("/v1/platforms/{region}/accounts", DOCUMENTS),
    get("/v1/platforms/{region}/accounts/entries", DOCUMENTS),
    get("/v1/platforms/{region}/accounts:book", INSPECT),
    post("/v1/platforms/{region}/accounts:open", PLATFORM),
    post("/v1/platforms/{region}/accounts:ask", NODES),
    post("/v1/platforms/{region}/accounts:confirmed", NODES),
    post("/v1/platforms/{region}/shares", PLATFORM),
    post("/v1/platforms/{region}/shares:return", PLATFORM),
    get("/v1/platforms/{region}/events", &[Action::ReadEvents]),
    get("/v1/core-data", &[Action::ReadEvents]),
    get("/v1/platforms/{region}/core-data", &[Action::ReadEvents]),
    get("/v1/platforms/{region}/consents", DELEGATE),
    post("/v1/platforms/{region}/consents", DELEGATE),
    post("/v1/platforms/{region}/consents/{id}/withdrawal", DELEGATE),
    get("/v1/platforms/{region}/journal/head", FEDERATION),
    get("/v1/platforms/{region}/journal/proof", DOCUMENTS),
    post("/v1/platforms/{region}/journal/signatures", PLATFORM),
    post("/v1/platforms/{region}/journal/exports", PLATFORM),
    get("/v1/platforms/{region}/journal/exports/{id}/{file}", PLATFORM),
    in_person(get("/v1/platforms/{region}/enrolment-tokens", CERTIFICATES)),
    in_person(post("/v1/platforms/{region}/enrolment-tokens", CERTIFICATES)),
    in_person(post("/v1/platforms/{region}/enrolment-tokens/{id}/revocation", CERTIFICATES)),
    in_person(get("/v1/platforms/{region}/enrolment-requests", CERTIFICATES)),
    in_person(post("/v1/platforms/{region}/enrolment-requests/{id}", CERTIFICATES)),
    get("/v1/trust", FEDERATION),
    in_person(post("/v1/trust/rotation", CERTIFICATES)),
    in_person(post("/v1/trust/issuers", CERTIFICATES)),
    in_person(post("/v1/trust/outside", CERTIFICATES)),
    in_person(post("/v1/trust/outside/{key}/removal", CERTIFICATES)),
    // The list proves itself; who brings it adds nothing.
    put("/v1/trust/outside/{key}/revocations", CERTIFICATES),
    in_person(post("/v1/certificates:batch", CERTIFICATES)),
    post("/v1/certificates:verify", FEDERATION),
    in_person(post("/v1/certificates:distrust", CERTIFICATES)),
    get("/v1/platforms/{region}/ca-keys", INSPECT),
    in_person(post("/v1/platforms/{region}/ca-keys", CERTIFICATES)),
    in_person(put("/v1/platforms/{region}/ca-keys/{ca}/custody", CERTIFICATES)),
    in_person(post("/v1/platforms/{region}/ca-keys:unlock", CERTIFICATES)),
    get("/v1/platforms/{region}/tails/{id}/certificates", INSPECT),
    in_person(post("/v1/certificates:import", CERTIFICATES)),
    in_person(post("/v1/certificates/{serial}/revocation", CERTIFICATES)),
    get("/v1/certificates", INSPECT),
    get("/v1/certificates/{serial}", INSPECT),
    get("/v1/platforms/{region}/certificates", INSPECT),
    get("/v1/platforms/{region}/certificates/{serial}", INSPECT),
    get("/v1/tails", INSPECT),
    get("/v1/platforms/{region}/tails", INSPECT),
    get("/v1/platforms/{region}/tails/{id}", INSPECT),
    post("/v1/platforms/{region}/tails", PLATFORM),
    put("/v1/platforms/{region}/tails/{id}/content", PLATFORM),
    post("/v1/platforms/{region}/tails/{id}/resubmit", PLATFORM),
    post("/v1/platforms/{region}/tails/{id}/discard", PLATFORM),
    get("/v1/platforms/{region}/data-keys", FEDERATION),
    post("/v1/platforms/{region}/data-keys", PLATFORM),
    get("/v1/backups", FEDERATION),
    get("/v1/recovery-keys", FEDERATION),
    in_person(post("/v1/recovery-keys", SYSTEM)),
    in_person(get("/v1/registry/rows", RUN)),
    get("/v1/packs", TABLES),
    get("/v1/packs/{name}", TABLES),
    get("/v1/tables", TABLES),
    get("/v1/tables/{name}", TABLES),
    get("/v1/tables/{name}/rows", TABLES),
    get("/v1/tables/{name}/rows/{key}", TABLES),
    get("/v1/tables/{name}/versions", TABLES),
    get("/v1/tables/{name}/rows/{key}/parents", TABLES),
    get("/v1/tables/{name}/rows/{key}/children", TABLES),
    get("/v1/tables/{name}/roots", TABLES),
    get("/v1/tables/{name}/diff", TABLES),
    get("/v1/tables/{name}/changes", TABLES),
    // They name documents of all lodgers.
    get("/v1/tables/{name}/versions/{version}/impact", &[Action::PublishTable]),
    get("/v1/tables/{name}/late", &[Action::PublishTable]),
    get("/v1/tables/{name}/status", TABLES),
    post("/v1/tables/{name}/versions", &[Action::PublishTable]),
    get("/v1/tables/{name}/bundle", TABLES),
    get("/v1/catalogs/{name}", TABLES),
    get("/v1/catalogs/{name}/versions", TABLES),
    post("/v1/catalogs/{name}/versions", &[Action::PublishTable]),
    put("/v1/bundles", &[Action::PublishTable]),
    post("/v1/tables/{name}/verify", &[Action::PublishTable]),
    post("/v1/tables/{name}/rollback", &[Action::PublishTable]),
    post("/v1/tables/{name}/versions/{version}/retirement", &[Action::PublishTable]),
];

/// What a route demands.
pub fn demand(method: &str, path: &str) -> Option<&'static Demand> {
    // HEAD is answered by the handlers of GET.
    let method = if method.eq_ignore_ascii_case("head") { "get" } else { method };
    DEMANDS.iter().find(|d| d.path == path && d.method.eq_ignore_ascii_case(method))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Open, ROUTES};
    use eport_access::{Context, Standing, decide};
    use eport_registry::OperatorRole;

    #[test]
    fn every_route_but_the_open_ones_demands_something_and_nothing_else_is_listed() {
        for route in ROUTES {
            let listed = DEMANDS.iter().filter(|d| d.path == route.path && d.method == route.method).count();
            let expected = usize::from(route.open == Open::Certificate);
            assert_eq!(listed, expected, "{} {}", route.method, route.path);
        }
        for d in DEMANDS {
            assert!(
                ROUTES.iter().any(|r| r.path == d.path && r.method == d.method),
                "{} {}",
                d.method,
                d.path
            );
        }
    }

    #[test]
    fn only_the_join_asks_for_a_proof_of_its_own() {
        let own: Vec<&str> = DEMANDS.iter().filter(|d| d.any.is_empty()).map(|d| d.path).collect();
        assert_eq!(own, ["/v1/nodes:join"]);
    }

    #[test]
    fn a_session_makes_neither_sessions_nor_certificates_nor_members() {
        let person: Vec<String> = DEMANDS
            .iter()
            .filter(|d| d.shown == Shown::Certificate)
            .map(|d| format!("{} {}", d.method, d.path))
            .collect();
        assert_eq!(
            person,
            [
                "post /v1/nodes",
                "post /v1/nodes:join",
                "post /v1/nodes/{node}/removal",
                "post /v1/session",
                "get /v1/platforms/{region}/enrolment-tokens",
                "post /v1/platforms/{region}/enrolment-tokens",
                "post /v1/platforms/{region}/enrolment-tokens/{id}/revocation",
                "get /v1/platforms/{region}/enrolment-requests",
                "post /v1/platforms/{region}/enrolment-requests/{id}",
                "post /v1/trust/rotation",
                "post /v1/trust/issuers",
                "post /v1/trust/outside",
                "post /v1/trust/outside/{key}/removal",
                "post /v1/certificates:batch",
                "post /v1/certificates:distrust",
                "post /v1/platforms/{region}/ca-keys",
                "put /v1/platforms/{region}/ca-keys/{ca}/custody",
                "post /v1/platforms/{region}/ca-keys:unlock",
                "post /v1/certificates:import",
                "post /v1/certificates/{serial}/revocation",
                "post /v1/recovery-keys",
                "get /v1/registry/rows",
            ]
        );
    }

    /// Routes a caller of this kind gets through the gate.
    fn open_to(subject: &str, context: &Context) -> Vec<String> {
        let subject = subject.parse().unwrap();
        let may = |d: &&Demand| d.any.iter().any(|a| decide(&subject, *a, context).is_ok());
        DEMANDS.iter().filter(may).map(|d| format!("{} {}", d.method, d.path)).collect()
    }

    /// Takes a certificate to look at in its body and changes nothing.
    const EXAMINES: &str = "post /v1/certificates:verify";

    #[test]
    fn whoever_is_no_operator_changes_nothing_but_documents_delegations_and_sessions() {
        let context =
            Context { member: true, platform: Some("440300".parse().unwrap()), ..Context::default() };
        for who in ["enterprise/a", "agency/CUS/gw/1", "platform/440300/node/sz-a-1"] {
            let changes: Vec<String> = open_to(who, &context)
                .into_iter()
                .filter(|r| !r.starts_with("get ") && r != EXAMINES)
                .collect();
            for route in changes {
                // A milestone is a document too.
                let fine = route.contains("/documents")
                    || route.ends_with("/milestones")
                    || (route.contains("/agencies/") && who.starts_with("agency/"))
                    || (route.contains("/accounts:") && who.contains("/node/"))
                    || route.contains("/delegations")
                    || route.contains("/consents")
                    || route.contains("/session");
                assert!(fine, "{who}: {route}");
            }
        }
    }

    #[test]
    fn of_the_three_administrators_none_gets_through_to_what_changes_things_for_another() {
        let changes = |role: OperatorRole| -> std::collections::BTreeSet<String> {
            let context = Context { standing: Standing::Listed, roles: [role].into(), ..Context::default() };
            let open = open_to("operator/x", &context).into_iter();
            open.filter(|r| !r.starts_with("get ") && r != EXAMINES)
                .filter(|r| !r.contains("/session") && !r.contains("/approvals"))
                .collect()
        };
        let three =
            [OperatorRole::SystemAdministrator, OperatorRole::SecurityAdministrator, OperatorRole::Auditor];
        let of: Vec<_> = three.into_iter().map(changes).collect();
        assert!(of[2].is_empty(), "an auditor changes nothing: {:?}", of[2]);
        let both: Vec<_> = of[0].intersection(&of[1]).collect();
        // Guarding settings are the security administrator's, the others the system administrator's: the handler tells them apart.
        assert_eq!(both, ["put /v1/settings/{name}"]);
        let audit = |role| {
            let context = Context { standing: Standing::Listed, roles: [role].into(), ..Context::default() };
            open_to("operator/x", &context).iter().any(|r| r.starts_with("get /v1/access-log"))
        };
        assert_eq!(three.map(audit), [false, false, true], "only the auditor reads the access log");
    }
}
