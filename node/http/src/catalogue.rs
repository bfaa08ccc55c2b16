//! Every route of the API in one list: what it is for, who may call it, what it takes. The router is built from handlers
//! named here, `/openapi.json` is built from this list, and a test walks it.

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Anybody, without a certificate (the list of design §8 and nothing else).
    Anybody,
    /// Whoever brings a proof in the request: a one-time token, or the signature of an old key under this very request (design
    /// §8, decision 0028); or a certificate.
    Proof,
    /// A certificate of the federation; `access` decides the rest.
    Certificate,
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// Who may call it.
    pub open: Open,
    /// What it does, one line.
    pub summary: &'static str,
    /// Query parameters.
    pub query: &'static [&'static str],
    /// Media type of the request body; empty when it has none.
    pub body: &'static str,
    /// Media type of the successful answer.
    pub answer: &'static str,
}

const JSON: &str = "application/json";
const PKCS7: &str = "application/pkcs7-mime";

const fn get(path: &'static str, query: &'static [&'static str], summary: &'static str) -> Route {
    Route { method: "get", path, open: Open::Certificate, summary, query, body: "", answer: JSON }
}

const fn post(path: &'static str, body: &'static str, summary: &'static str) -> Route {
    Route { method: "post", path, open: Open::Certificate, summary, query: &[], body, answer: JSON }
}

const fn open(path: &'static str, answer: &'static str, summary: &'static str) -> Route {
    Route { method: "get", path, open: Open::Anybody, summary, query: &[], body: "", answer }
}

/// What a question about clearance timeliness may say.
const STATISTICS: &[&str] = &[
    "platform",
    "direction",
    "duration",
    "month",
    "from",
    "to",
    "by",
    "view",
    "compare",
    "limit",
    "page_token",
    "mode",
    "port",
    "place",
    "district",
    "office",
    "trader",
    "declarant",
    "chapter",
    "trade_mode",
    "declare_mode",
    "inspected",
    "dutiable",
];

/// Every route.
pub const ROUTES: &[Route] = &[
    open("/healthz", "text/plain", "The process runs"),
    open("/readyz", JSON, "The node takes requests; 503 with reasons while it does not"),
    open("/v1/version", JSON, "Versions of software, wire and records"),
    open("/v1/trust-bundle", "application/x-pem-file", "Root and issuing CAs of the federation"),
    open(
        "/v1/crl/{name}",
        "application/pkix-crl",
        "Revocation list of a CA: KEY.crl, or a shard of it: KEY-NofM.crl",
    ),
    Route {
        method: "post",
        path: "/ocsp",
        open: Open::Anybody,
        summary: "State of certificates of the CAs of this node (RFC 6960)",
        query: &[],
        body: "application/ocsp-request",
        answer: "application/ocsp-response",
    },
    get("/metrics", &[], "Prometheus metrics"),
    get("/openapi.json", &[], "This description"),
    get("/docs", &[], "This description for people"),
    get("/v1/federation", &[], "The whole federation: nodes, platforms, tables, warnings"),
    get("/v1/nodes", &[], "Nodes"),
    post("/v1/nodes", JSON, "Add a node that may join: {node, site, region, quic, api}"),
    post(
        "/v1/nodes:join",
        JSON,
        "A node that an operator invited says where it listens, {\"quic\", \"api\"}, and learns whom to dial",
    ),
    post(
        "/v1/nodes/{node}/drain",
        JSON,
        "Let a node give its duties away, or undo it: {\"drain\": true|false}",
    ),
    post(
        "/v1/nodes/{node}/removal",
        JSON,
        "Remove a node for good and revoke its certificate, or tell what stands against it: {\"dry_run\", \"tail_lost\"}",
    ),
    get("/v1/sites", &[], "Sites with what they share and the room they have"),
    Route {
        method: "put",
        path: "/v1/sites/{site}",
        open: Open::Certificate,
        summary: "Add a site, or change its name, labels and room",
        query: &[],
        body: JSON,
        answer: JSON,
    },
    get(
        "/v1/diagnosis",
        &["log"],
        "Facts of this node: reach, clock, disk, certificate, versions; with log=N its newest lines",
    ),
    get(
        "/v1/incident",
        &["from", "to", "platform"],
        "What happened in a span of time, as this node knows it, oldest first",
    ),
    get("/v1/approvals", &[], "Commands that wait, or waited, for a second person"),
    get("/v1/approvals/{id}", &[], "One of them, field by field"),
    post(
        "/v1/approvals/{id}",
        JSON,
        "Approve or reject it: {\"approve\": true|false, \"digest\": what was seen}",
    ),
    get(
        "/v1/audit",
        &["limit", "page_token"],
        "Commands of operators with the persons who signed, newest first",
    ),
    get("/v1/access-log", &["limit", "page_token"], "Decisions of this node about access, newest first"),
    get(
        "/v1/access-log/segments",
        &[],
        "Files of this node's access log, with the heads that were published",
    ),
    Route {
        answer: "text/plain",
        ..get("/v1/access-log/segments/{name}", &[], "One file of this node's access log")
    },
    get("/v1/session", &[], "Who the caller is, with roles and permissions"),
    post("/v1/session", "", "Log in with the certificate of the connection: a token for up to twelve hours"),
    Route {
        method: "delete",
        ..post("/v1/session", "", "Log out: every session under the caller's certificate ends")
    },
    get("/v1/users", &[], "Operators with their roles, agencies and enterprises that are listed"),
    Route {
        method: "put",
        ..post(
            "/v1/users/{id}",
            JSON,
            "Add or change an operator (name, roles, suspended), or enterprise/ID and agency/CODE/gw/N (name, platforms, suspended)",
        )
    },
    Route {
        method: "put",
        ..post("/v1/users/{id}/roles/{role}", JSON, "Give an operator a role: {\"platform\"?: only there}")
    },
    Route {
        method: "delete",
        ..post(
            "/v1/users/{id}/roles/{role}",
            JSON,
            "Take a role away: {\"platform\"?: the one it was given on}",
        )
    },
    get("/v1/roles", &[], "Roles with their permissions and who has them"),
    get("/v1/delegations", &[], "Delegations of enterprises to agents; an enterprise sees its own"),
    post(
        "/v1/delegations",
        JSON,
        "Delegate: {\"enterprise\", \"agent\", \"rights\": [lodge, read], \"platforms\"?, \"from\", \"to\"}",
    ),
    Route {
        method: "delete",
        ..post("/v1/delegations/{id}", JSON, "End a delegation before its time: {\"reason\"}")
    },
    get("/v1/settings", &[], "Settings of the federation"),
    Route {
        method: "put",
        path: "/v1/settings/{name}",
        open: Open::Certificate,
        summary: "Set a setting: {\"value\": text}",
        query: &[],
        body: JSON,
        answer: JSON,
    },
    get("/v1/plan/backups", &[], "Who should back whom, and what the loss of each site and pair costs"),
    get("/v1/drills", &["name", "region", "limit"], "Drills, newest first"),
    post("/v1/drills", JSON, "Begin a drill: the primaries of its platforms now are the state it returns to"),
    get("/v1/drills/{id}", &[], "One drill"),
    post("/v1/drills/{id}/stop", JSON, "Ask a drill to stop: its deadline is now"),
    post("/v1/drills/{id}/end", JSON, "End a drill with its verdict; refused while a platform is not back"),
    get("/v1/drill-schedules", &[], "Schedules of drills with the date the next one is due"),
    Route {
        method: "put",
        path: "/v1/drill-schedules/{region}/{name}",
        open: Open::Certificate,
        summary: "Add or change a schedule: {\"every_days\", \"first\", \"owner\"}",
        query: &[],
        body: JSON,
        answer: JSON,
    },
    Route {
        method: "delete",
        path: "/v1/drill-schedules/{region}/{name}",
        open: Open::Certificate,
        summary: "Remove a schedule",
        query: &[],
        body: "",
        answer: JSON,
    },
    get("/v1/platforms", &[], "Platforms"),
    post("/v1/platforms", JSON, "Create a platform"),
    get("/v1/platforms/{region}", &[], "One platform"),
    Route {
        method: "put",
        path: "/v1/platforms/{region}/policy",
        open: Open::Certificate,
        summary: "Change policy and backups; compare-and-set on the placement version",
        query: &[],
        body: JSON,
        answer: JSON,
    },
    get("/v1/platforms/{region}/quota", &[], "What the platform may take of the nodes that serve it"),
    Route {
        method: "put",
        path: "/v1/platforms/{region}/quota",
        open: Open::Certificate,
        summary: "Set the whole quota; compare-and-set on the quota's version",
        query: &[],
        body: JSON,
        answer: JSON,
    },
    get("/v1/platforms/{region}/usage", &["month"], "Requests, documents and bytes of a month"),
    get("/v1/usage", &["month"], "The same of every platform, for the account; names what is missing"),
    get("/v1/platforms/{region}/moves", &[], "History: epochs and moves, newest first"),
    post("/v1/platforms/{region}/moves", JSON, "Plan or start a move"),
    get("/v1/platforms/{region}/moves/{id}", &[], "One move"),
    post(
        "/v1/platforms/{region}/adopt",
        JSON,
        "Take a surviving journal as the platform's; its last record is the fork point",
    ),
    Route {
        query: &["scrub"],
        ..post(
            "/v1/platforms/{region}/verify",
            "",
            "Compare state digests of all holders at one applied index",
        )
    },
    post("/v1/platforms/{region}/documents", JSON, "Lodge one document"),
    Route {
        method: "post",
        path: "/v1/platforms/{region}/documents:batch",
        open: Open::Certificate,
        summary: "Lodge documents, one a line; one answer line per input line, in order",
        query: &[],
        body: "application/x-ndjson",
        answer: "application/x-ndjson",
    },
    post(
        "/v1/platforms/{region}/documents/{doc_id}/amendments",
        JSON,
        "Lodge the next version of a document: {doc_version, body, function_code}",
    ),
    post(
        "/v1/platforms/{region}/documents/{doc_id}/withdrawal",
        JSON,
        "Ask for the withdrawal of a document: {doc_version}",
    ),
    post("/v1/platforms/{region}/milestones", JSON, "Upload an event of a terminal"),
    post("/v1/platforms/{region}/documents:check", JSON, "Judge a document without lodging it"),
    get(
        "/v1/platforms/{region}/documents",
        &["doc_type", "state", "client_ref", "key", "since", "limit", "page_token", "purpose"],
        "Find documents",
    ),
    get(
        "/v1/platforms/{region}/documents:count",
        &["doc_type", "state", "client_ref", "key", "since"],
        "Count documents",
    ),
    get("/v1/platforms/{region}/documents/{doc_id}", &[], "One document with its content"),
    get("/v1/platforms/{region}/documents/{doc_id}/versions", &[], "Versions of a document"),
    get(
        "/v1/platforms/{region}/documents/{doc_id}/trace",
        &[],
        "Where a document is, who got which part, what it waits for and who must act, in both languages",
    ),
    get("/v1/platforms/{region}/exchange", &[], "Channels, inboxes, dead letters of a platform in short"),
    get(
        "/v1/platforms/{region}/exchange/dead-letters",
        &[],
        "Messages that cannot take effect, and answers that a person must look at",
    ),
    post(
        "/v1/platforms/{region}/exchange/dead-letters/{msg_id}/resend",
        "",
        "Put a dead letter back into the outbox",
    ),
    get("/v1/agencies", &[], "Agencies with their gateways and the platforms they are attached to"),
    get(
        "/v1/agencies/{agency}/inbox",
        &["platform", "after", "limit", "wait"],
        "What waits for an agency, oldest first; waits for the first up to wait seconds. Shows again until it is acknowledged",
    ),
    post(
        "/v1/agencies/{agency}/inbox/{msg_id}/ack",
        "",
        "The agency has what the message carried; repeating it changes nothing. Query: platform; read: what the inbox showed as read",
    ),
    post(
        "/v1/agencies/{agency}/receipts",
        JSON,
        "An agency's answer to a version of a document: {agency_receipt_no, platform, doc_id, doc_version, kind, code, text, event_time}; query platform: where the agency is attached",
    ),
    get("/v1/platforms/{region}/documents/{doc_id}/receipts", &[], "Receipts of a document"),
    get("/v1/platforms/{region}/documents/{doc_id}/bodies", &[], "Bodies of a document by place and digest"),
    get("/v1/platforms/{region}/erasures", &[], "Orders to erase bodies by law, and what became of them"),
    post(
        "/v1/platforms/{region}/erasures",
        JSON,
        "Erase bodies by law; two persons where the federation asks for them",
    ),
    get(
        "/v1/platforms/{region}/events",
        &["after", "limit", "wait", "purpose"],
        "Journal events after an index",
    ),
    get(
        "/v1/core-data",
        &["after", "limit", "wait", "platform", "purpose"],
        "Core data set: accepted facts and milestones of every platform after a token, for a stated purpose",
    ),
    get(
        "/v1/platforms/{region}/core-data",
        &["epoch", "index", "limit", "purpose"],
        "Core data of one platform after a place in its journal",
    ),
    get(
        "/v1/platforms/{region}/consents",
        &["received"],
        "Consents that the party gave, or with received=true those that it was given",
    ),
    post(
        "/v1/platforms/{region}/consents",
        JSON,
        "Let another enterprise see own documents: {\"grantee\", \"classes\", \"purpose\", \"until\", \"from\"?, \"doc_type\"?}",
    ),
    post(
        "/v1/platforms/{region}/consents/{id}/withdrawal",
        JSON,
        "Withdraw a consent; it ends with the answer: {}",
    ),
    get("/v1/platforms/{region}/journal/head", &[], "Position of the last committed record"),
    get(
        "/v1/platforms/{region}/journal/proof",
        &["doc_id", "doc_version", "page_token", "purpose"],
        "Evidence of one document: its record, the chain to the next signed head, who vouches for it",
    ),
    post(
        "/v1/platforms/{region}/journal/signatures",
        "",
        "Have the primary's node vouch for the newest committed record, in the journal itself",
    ),
    Route {
        query: &["from"],
        ..post(
            "/v1/platforms/{region}/journal/exports",
            "",
            "Export the journal from a record on; answers its files",
        )
    },
    Route {
        method: "get",
        path: "/v1/platforms/{region}/journal/exports/{id}/{file}",
        open: Open::Certificate,
        summary: "A file of an export",
        query: &[],
        body: "",
        answer: "application/octet-stream",
    },
    get(
        "/v1/certificates",
        &["platform", "subject", "limit", "page_token"],
        "Certificates that were issued, of all platforms",
    ),
    get("/v1/certificates/{serial}", &["platform"], "One certificate, whichever platform issued it"),
    Route {
        open: Open::Proof,
        ..post(
            "/v1/certificates",
            JSON,
            "Issue a certificate at the primary of the CA's platform: {\"csr\", \"subject\", \"profile\"?, \"platform\"?, \"days\"?}; with a one-time token, at any node: {\"csr\", \"token\"}; in one's own name {\"csr\"} waits for approval (202)",
        )
    },
    Route {
        open: Open::Proof,
        ..post(
            "/v1/platforms/{region}/certificates:enrol",
            JSON,
            "Enrol with a one-time token, {\"csr\", \"token\"}, or with the key of an old certificate, {\"csr\", \"renewal\": {\"certificate\", \"signature\"}}; 202 while it waits for approval",
        )
    },
    get("/v1/trust", &[], "Roots, issuing CAs, who verifies by which bundle, the rotation under way"),
    post(
        "/v1/trust/rotation",
        JSON,
        "A step of the rotation of a root or an issuing CA: {\"step\", \"version\", \"material\"?, \"without\"?, \"force\"?}",
    ),
    post(
        "/v1/certificates:batch",
        JSON,
        "Issue up to 256 certificates at the primary of the CA's platform: {\"platform\", \"requests\": [{\"csr\", \"subject\", \"profile\"?, \"days\"?}]}; each is answered for itself",
    ),
    post(
        "/v1/trust/issuers",
        JSON,
        "Add the issuing CA of a platform that has none: {\"version\", \"certificate\", \"since_epoch\"?}",
    ),
    post(
        "/v1/trust/outside",
        JSON,
        "Register a CA outside the federation: {\"version\", \"certificate\", \"challenge\", \"proof\"}; its scope stands in the challenge that its key signed",
    ),
    post(
        "/v1/trust/outside/{key}/removal",
        JSON,
        "Remove an outside CA and distrust its key for ever: {\"version\", \"reason\"}",
    ),
    Route {
        method: "put",
        path: "/v1/trust/outside/{key}/revocations",
        open: Open::Certificate,
        summary: "Bring the newest revocation list of an outside CA, DER; it proves itself",
        query: &[],
        body: "application/octet-stream",
        answer: JSON,
    },
    get(
        "/v1/platforms/{region}/enrolment-tokens",
        &[],
        "Enrolment tokens of a platform, without their secrets",
    ),
    post(
        "/v1/platforms/{region}/enrolment-tokens",
        JSON,
        "Make a one-time token: {\"subject\", \"profile\"?, \"key\"?, \"days\"?, \"approval\"?, \"ttl_s\"?}; its text is shown once",
    ),
    post("/v1/platforms/{region}/enrolment-tokens/{id}/revocation", "", "Withdraw a token that was not used"),
    get(
        "/v1/platforms/{region}/enrolment-requests",
        &[],
        "Requests for certificates that wait or were decided",
    ),
    post(
        "/v1/platforms/{region}/enrolment-requests/{id}",
        JSON,
        "Decide on a request: {\"approve\": true|false, \"reason\"?}",
    ),
    open("/.well-known/est/cacerts", PKCS7, "CAs of the federation, certs-only (EST, RFC 7030)"),
    Route {
        method: "post",
        path: "/.well-known/est/simpleenroll",
        open: Open::Proof,
        summary: "Enrol by EST: a one-time token as the password of HTTP Basic, or a certificate and approval",
        query: &[],
        body: "application/pkcs10",
        answer: PKCS7,
    },
    Route {
        method: "post",
        path: "/.well-known/est/simplereenroll",
        open: Open::Proof,
        summary: "Renew by EST: with the certificate of the connection, or with eport-renewal, the signature of an old key",
        query: &[],
        body: "application/pkcs10",
        answer: PKCS7,
    },
    post(
        "/v1/certificates:verify",
        JSON,
        "What a certificate is worth: {\"chain\", \"at\"?}: chain, purposes, subject, revocation as of a moment",
    ),
    post(
        "/v1/certificates:import",
        JSON,
        "Take a certificate that a CA issued before its ledger began: {\"platform\", \"certificate\"}",
    ),
    post(
        "/v1/certificates/{serial}/revocation",
        JSON,
        "Revoke a certificate for ever: {\"reason\", \"unknown\"?: also a serial that nobody knows}",
    ),
    post(
        "/v1/certificates:distrust",
        JSON,
        "Take the trust from many certificates for ever: {\"rule\": key/KEY or epoch/ISSUER/N/SECOND, \"reason\"}",
    ),
    get(
        "/v1/platforms/{region}/certificates",
        &["subject", "limit", "page_token"],
        "Certificates of the platform's CAs, of one subject or all",
    ),
    get("/v1/platforms/{region}/certificates/{serial}", &[], "One certificate with its chain"),
    get(
        "/v1/platforms/{region}/ca-keys",
        &[],
        "Keys of the platform's CAs as this node has them: open, locked or absent; who holds shares",
    ),
    post(
        "/v1/platforms/{region}/ca-keys",
        JSON,
        "Keep a CA's wrapped key in the platform's journal: {\"wrapped\"}",
    ),
    Route {
        method: "put",
        path: "/v1/platforms/{region}/ca-keys/{ca}/custody",
        open: Open::Certificate,
        summary: "Say which wrapped key counts and who holds shares of it: {\"kek\", \"wrapped\", \"threshold\", \"holders\"}",
        query: &[],
        body: JSON,
        answer: JSON,
    },
    post(
        "/v1/platforms/{region}/ca-keys:unlock",
        JSON,
        "Open a CA's key at the platform's primary: {\"shares\"} of its wrapped key, or the {\"passphrase\"} of its file",
    ),
    get("/v1/tails", &[], "Diverged tails of the federation with what became of their documents"),
    get("/v1/platforms/{region}/tails", &[], "Diverged tails of a platform"),
    get(
        "/v1/platforms/{region}/tails/{id}",
        &["limit", "page_token"],
        "One tail and its records: present, clean or in conflict",
    ),
    get(
        "/v1/platforms/{region}/tails/{id}/certificates",
        &[],
        "Certificates that were given away in the tail and are in no ledger: adopt (certificates:import) or revoke them",
    ),
    post(
        "/v1/platforms/{region}/tails",
        JSON,
        "Make a tail known that is carried here on a disk: {\"node\", \"fork\", \"last\", \"digest\", \"documents\"}",
    ),
    Route {
        method: "put",
        path: "/v1/platforms/{region}/tails/{id}/content",
        open: Open::Certificate,
        summary: "The next part of its record file, at most 1 MiB; the answer says where to go on",
        query: &["offset", "bytes"],
        body: "application/octet-stream",
        answer: JSON,
    },
    post(
        "/v1/platforms/{region}/tails/{id}/resubmit",
        JSON,
        "Submit its clean documents again: {\"records\": [index…]}; none for all",
    ),
    post(
        "/v1/platforms/{region}/tails/{id}/discard",
        JSON,
        "Discard records, or all that is left: {\"reason\": text, \"records\": [index…]}",
    ),
    get("/v1/platforms/{region}/data-keys", &[], "Data keys of a platform: numbers and holders"),
    post("/v1/platforms/{region}/data-keys", "", "Ask for the next data key; the primary makes it"),
    get(
        "/v1/backups",
        &[],
        "The backups that each node makes by schedule: newest, due, restore test, what is wrong",
    ),
    get("/v1/recovery-keys", &[], "Recovery keys of the federation"),
    post(
        "/v1/recovery-keys",
        JSON,
        "Put a recovery key: {\"name\", \"public\"}; every data key is wrapped for it too",
    ),
    Route {
        method: "get",
        path: "/v1/registry/rows",
        open: Open::Certificate,
        summary: "Every row of the registry as of one command, for backups; its index in X-Registry-Index",
        query: &[],
        body: "",
        answer: "application/octet-stream",
    },
    get("/v1/packs", &["as_of"], "Standards packs in force"),
    get("/v1/packs/{name}", &["as_of"], "One pack: documents, fields, rules, recipients, states"),
    get("/v1/tables", &[], "Tables with their version in force"),
    get("/v1/tables/{name}", &["as_of"], "One table"),
    get("/v1/tables/{name}/rows", &["as_of", "prefix", "q", "limit", "page_token"], "Rows of a table"),
    get("/v1/tables/{name}/rows/{key}", &["as_of"], "One row"),
    get("/v1/tables/{name}/versions", &[], "Versions of a table"),
    get("/v1/tables/{name}/rows/{key}/parents", &["as_of"], "Rows above a row, nearest first"),
    get("/v1/tables/{name}/rows/{key}/children", &["as_of", "limit", "page_token"], "Rows right below a row"),
    get("/v1/tables/{name}/roots", &["as_of", "limit", "page_token"], "Rows without a parent"),
    get("/v1/tables/{name}/diff", &["from", "to", "limit", "page_token"], "Difference of two versions"),
    get("/v1/tables/{name}/changes", &["after", "limit"], "Change feed: what a copy has to take over"),
    get("/v1/tables/{name}/versions/{version}/impact", &[], "What uses codes that a version drops"),
    get("/v1/tables/{name}/late", &[], "Documents judged by a superseded version (W-TABLE-LATE)"),
    get(
        "/v1/platforms/{region}/documents/{doc_id}/comparisons",
        &[],
        "Every comparison of a document with records of others, carried out now",
    ),
    get(
        "/v1/platforms/{region}/consignments/{number}",
        &[],
        "Documents, agencies' answers and milestones of whatever the number names, on one platform",
    ),
    get("/v1/consignments/{number}", &[], "The same on all platforms; those that did not answer are named"),
    get(
        "/v1/statistics/timeliness",
        STATISTICS,
        "Clearance timeliness of one platform, or of all put together from their durations",
    ),
    get(
        "/v1/platforms/{region}/statistics/durations",
        STATISTICS,
        "Durations of a platform's consignments, to be put together with those of others",
    ),
    get(
        "/v1/platforms/{region}/statistics/samples",
        STATISTICS,
        "Consignments of a question, one by one, with milestones and flags",
    ),
    get(
        "/v1/licences/{no}",
        &["account", "platform", "audit"],
        "Balances of the accounts of a number, whichever platform keeps them",
    ),
    get(
        "/v1/licences/{no}/entries",
        &["account", "platform", "limit", "page_token"],
        "Entries of an account, oldest first",
    ),
    get(
        "/v1/platforms/{region}/accounts",
        &["number", "account", "audit"],
        "Accounts that the platform keeps",
    ),
    get(
        "/v1/platforms/{region}/accounts/entries",
        &["number", "account", "after", "limit", "page_token"],
        "Entries of one account that the platform keeps",
    ),
    get(
        "/v1/platforms/{region}/accounts:book",
        &[],
        "Whether the book waits for confirmations; shares of the platform",
    ),
    post("/v1/platforms/{region}/accounts:open", JSON, "Open a book that waits, with the reason"),
    post(
        "/v1/platforms/{region}/accounts:ask",
        JSON,
        "Between platforms: what a document needs of an account",
    ),
    post("/v1/platforms/{region}/accounts:confirmed", JSON, "Between platforms: what a home has confirmed"),
    post(
        "/v1/platforms/{region}/shares",
        JSON,
        "Ask an account's home for a share to reserve from while cut off",
    ),
    post("/v1/platforms/{region}/shares:return", JSON, "Give the rest of a share back"),
    get(
        "/v1/platforms/{region}/documents/{doc_id}/accounts",
        &[],
        "What a document asks of accounts, and what became of it",
    ),
    get("/v1/tables/{name}/status", &[], "Which node holds which version"),
    Route {
        method: "get",
        path: "/v1/tables/{name}/bundle",
        open: Open::Certificate,
        summary: "Versions with content and signatures as one file, for a site without a line",
        query: &["since"],
        body: "",
        answer: "application/octet-stream",
    },
    Route {
        method: "get",
        path: "/v1/catalogs/{name}",
        open: Open::Certificate,
        summary: "The bytes of a pack or directory in force at an instant",
        query: &["as_of"],
        body: "",
        answer: "application/octet-stream",
    },
    get("/v1/catalogs/{name}/versions", &[], "Versions of a pack or directory"),
    Route {
        method: "post",
        path: "/v1/catalogs/{name}/versions",
        open: Open::Certificate,
        summary: "Stage and publish the body as a version of a pack or directory",
        query: &["effective", "version", "note", "force", "dry_run"],
        body: "application/octet-stream",
        answer: JSON,
    },
    Route {
        method: "put",
        path: "/v1/bundles",
        open: Open::Certificate,
        summary: "Take such a file; answers which versions it brought",
        query: &[],
        body: "application/octet-stream",
        answer: JSON,
    },
    post(
        "/v1/tables/{name}/verify",
        "",
        "Look through the catalog objects of this node; what is damaged is fetched again",
    ),
    post("/v1/tables/{name}/rollback", "application/json", "Publish the content of an older version again"),
    post(
        "/v1/tables/{name}/versions/{version}/retirement",
        "application/json",
        "Take back a version that is not in force yet, or give up the content of one that was",
    ),
    post(
        "/v1/tables/{name}/versions",
        "multipart/form-data",
        "Import and publish a version: parts `options` (JSON) and `file`",
    ),
];
