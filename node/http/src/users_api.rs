//! Users, roles, delegations.

use crate::Caller;
use crate::auth::need;
use crate::extract::Json;
use crate::operators_api::id_of;
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::{Action, Context, Permit, decide};
use eport_api_types::{
    BindRequest, DelegationEnd, DelegationItem, DelegationRequest, Page, RoleItem, UserItem, UserRequest,
    from_rfc3339, rfc3339,
};
use eport_model::{RegionCode, Subject, Timestamp};
use eport_registry::{
    CommandId, DelegatedRight, Delegation, Mandate, Op, Operator, OperatorRole, State as Registered, User,
    statement::{role_of_word, word_of_role},
};
use std::collections::BTreeSet;

fn operator_item(state: &Registered, o: &Operator) -> UserItem {
    UserItem {
        id: o.id.clone(),
        subject: format!("operator/{}", o.id),
        kind: "operator".into(),
        name: o.name.clone(),
        roles: o.roles.iter().map(|r| word_of_role(*r).to_owned()).collect(),
        platform_roles: state
            .bindings_of(&o.id)
            .map(|b| format!("{}@{}", word_of_role(b.role), b.platform))
            .collect(),
        platforms: Vec::new(),
        suspended: o.suspended,
        since: rfc3339(o.since),
    }
}

fn user_item(u: &User) -> UserItem {
    let kind = if matches!(u.subject, Subject::Agency { .. }) { "agency" } else { "enterprise" };
    UserItem {
        id: u.subject.to_string(),
        subject: u.subject.to_string(),
        kind: kind.into(),
        name: u.name.clone(),
        roles: Vec::new(),
        platform_roles: Vec::new(),
        platforms: u.platforms.iter().map(ToString::to_string).collect(),
        suspended: u.suspended,
        since: rfc3339(u.since),
    }
}

/// `GET /v1/users`: operators first.
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::Inspect, None)?;
    let view = api.registry.state();
    let operators = view.state.operators().map(|o| operator_item(&view.state, o));
    Ok(Answer(Page::whole(operators.chain(view.state.users().map(user_item)).collect())).into_response())
}

fn role(word: &str) -> Result<OperatorRole, ApiError> {
    role_of_word(word).ok_or_else(|| {
        let known: Vec<&str> = OperatorRole::ALL.into_iter().map(word_of_role).collect();
        ApiError::bad(format!("role {word:?} is none of {}", known.join(", ")))
    })
}

fn regions(words: &[String]) -> Result<BTreeSet<RegionCode>, ApiError> {
    words.iter().map(|w| region(w)).collect()
}

fn region(word: &str) -> Result<RegionCode, ApiError> {
    word.parse().map_err(|e: eport_model::ParseError| ApiError::bad(format!("platform: {e}")))
}

/// `PUT /v1/users/{id}`
pub async fn put(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(body): Json<UserRequest>,
) -> Result<Answer<UserItem>, ApiError> {
    need(&api, &caller, Action::AdministerUsers, None)?;
    if id.contains('/') {
        return put_other(&api, &caller, &id, body).await.map(Answer);
    }
    if !body.platforms.is_empty() {
        return Err(ApiError::bad("platforms: an operator has roles on platforms"));
    }
    let operator = Operator {
        id: id.clone(),
        name: body.name,
        roles: body.roles.iter().map(|w| role(w)).collect::<Result<_, _>>()?,
        suspended: body.suspended,
        since: Timestamp::default(),
    };
    propose(&api, command(&api, &caller, "user put", Op::PutOperator(operator))?).await?;
    shown(&api, &id).await.map(Answer)
}

async fn shown(api: &Api, id: &str) -> Result<UserItem, ApiError> {
    let view = api.registry.linearizable(COMMAND_TIMEOUT).await?;
    let found = view.state.operator(id).ok_or_else(|| ApiError::not_found(format!("operator {id}")))?;
    Ok(operator_item(&view.state, found))
}

async fn put_other(api: &Api, caller: &Caller, id: &str, body: UserRequest) -> Result<UserItem, ApiError> {
    let subject: Subject = id.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))?;
    if !body.roles.is_empty() {
        return Err(ApiError::bad("roles: only operators have them"));
    }
    let user = User {
        subject: subject.clone(),
        name: body.name,
        platforms: regions(&body.platforms)?,
        suspended: body.suspended,
        by: String::new(),
        since: Timestamp::default(),
    };
    propose(api, command(api, caller, "user put", Op::PutUser(user))?).await?;
    let view = api.registry.linearizable(COMMAND_TIMEOUT).await?;
    view.state.user(&subject).map(user_item).ok_or_else(|| ApiError::not_found(format!("user {id}")))
}

/// `PUT /v1/users/{id}/roles/{role}`
pub async fn bind(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((id, word)): Path<(String, String)>,
    Json(body): Json<BindRequest>,
) -> Result<Answer<UserItem>, ApiError> {
    change_role(&api, &caller, id, &word, body, true).await
}

/// `DELETE /v1/users/{id}/roles/{role}`
pub async fn unbind(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((id, word)): Path<(String, String)>,
    Json(body): Json<BindRequest>,
) -> Result<Answer<UserItem>, ApiError> {
    change_role(&api, &caller, id, &word, body, false).await
}

async fn change_role(
    api: &Api,
    caller: &Caller,
    id: String,
    word: &str,
    body: BindRequest,
    bound: bool,
) -> Result<Answer<UserItem>, ApiError> {
    need(api, caller, Action::AdministerUsers, None)?;
    let platform = body.platform.as_deref().map(region).transpose()?;
    let op = Op::BindRole { operator: id.clone(), role: role(word)?, platform, bound };
    let reason = if bound { "role add" } else { "role remove" };
    propose(api, command(api, caller, reason, op)?).await?;
    shown(api, &id).await.map(Answer)
}

/// `GET /v1/roles`: roles of operators, then what each kind of certificate permits.
pub async fn roles(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::Inspect, None)?;
    let view = api.registry.state();
    let of_role = |r: OperatorRole| {
        let wide =
            view.state.operators().filter(|o| !o.suspended && o.roles.contains(&r)).map(|o| o.id.clone());
        let here =
            view.state.bindings().filter(|b| b.role == r).map(|b| format!("{}@{}", b.operator, b.platform));
        let permissions: BTreeSet<Action> = r.permissions().collect();
        RoleItem {
            role: word_of_role(r).into(),
            kind: "operator".into(),
            permissions: permissions.into_iter().map(|p| p.word().to_owned()).collect(),
            separated: r.is_separated(),
            holders: wide.chain(here).collect(),
        }
    };
    let mut items: Vec<RoleItem> = OperatorRole::ALL.into_iter().map(of_role).collect();
    items.extend(["enterprise", "agent", "agency", "node"].map(of_kind));
    Ok(Answer(Page::whole(items)).into_response())
}

/// What a kind of certificate permits, asked of the very rules that decide.
fn of_kind(kind: &'static str) -> RoleItem {
    // As one that the registry lists: an agency answers nothing otherwise.
    let standing = eport_access::Standing::Listed;
    let mut context = Context { member: true, standing, ..Context::default() };
    let subject = match kind {
        "agency" => Subject::Agency { code: "X".into(), gateway: "1".into() },
        "node" => "platform/440000/node/x".parse().expect("a literal of the grammar"),
        _ => Subject::Enterprise("X".into()),
    };
    if kind == "agent" {
        let rights = [DelegatedRight::Lodge, DelegatedRight::Read].into();
        context.behalf = Some(eport_access::Behalf { enterprise: "Y".into(), rights });
    }
    let may = |a: &&Action| decide(&subject, **a, &context).is_ok();
    RoleItem {
        role: kind.into(),
        kind: kind.into(),
        permissions: Action::ALL.iter().filter(may).map(|a| a.word().to_owned()).collect(),
        separated: false,
        holders: Vec::new(),
    }
}

fn delegation_item(d: &Delegation, now: Timestamp) -> DelegationItem {
    let m = &d.mandate;
    let state = match () {
        () if d.ended.is_some() => "ended",
        () if d.is_over(now) => "over",
        () if now < m.from => "planned",
        () => "active",
    };
    DelegationItem {
        id: d.id.to_string(),
        enterprise: m.enterprise.clone(),
        agent: m.agent.to_string(),
        rights: m.rights.iter().map(|r| r.word().to_owned()).collect(),
        platforms: m.platforms.iter().map(ToString::to_string).collect(),
        from: rfc3339(m.from),
        to: rfc3339(m.to),
        state: state.into(),
        by: d.by.clone(),
        ended: d.ended.as_ref().map(|e| format!("{} at {}: {}", e.by, rfc3339(e.at), e.reason)),
    }
}

/// `GET /v1/delegations`: an enterprise sees what it gave and what it was given.
pub async fn delegations(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let all = match need(&api, &caller, Action::Inspect, None) {
        Ok(_) => true,
        Err(refused) => match need(&api, &caller, Action::Delegate, None) {
            Ok(permit) => permit == Permit::All,
            Err(_) => return Err(refused),
        },
    };
    let (view, now) = (api.registry.state(), api.now());
    let own = |d: &&Delegation| {
        let me = caller.subject();
        all || me.is_some_and(|s| *s == d.mandate.agent || s.lodger() == d.mandate.enterprise)
    };
    let mut found: Vec<&Delegation> = view.state.delegations().filter(own).collect();
    found.sort_by_key(|d| (d.is_over(now), std::cmp::Reverse(d.since), d.id));
    let items = found.into_iter().map(|d| delegation_item(d, now)).collect();
    Ok(Answer(Page::whole(items)).into_response())
}

fn right(word: &str) -> Result<DelegatedRight, ApiError> {
    let both = [DelegatedRight::Lodge, DelegatedRight::Read];
    let found = both.into_iter().find(|r| r.word() == word);
    found.ok_or_else(|| ApiError::bad(format!("right {word:?} is neither lodge nor read")))
}

/// An operator for anybody, an enterprise for itself.
fn may_give(api: &Api, caller: &Caller, enterprise: &str) -> Result<(), ApiError> {
    match need(api, caller, Action::Delegate, None)? {
        Permit::All => Ok(()),
        Permit::OwnOnly if caller.subject().is_some_and(|s| s.lodger() == enterprise) => Ok(()),
        Permit::OwnOnly => Err(ApiError::forbidden("an enterprise delegates in its own name only")),
    }
}

/// `POST /v1/delegations`
pub async fn delegate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<DelegationRequest>,
) -> Result<Answer<DelegationItem>, ApiError> {
    may_give(&api, &caller, &body.enterprise)?;
    let instant = |what: &str, text: &str| {
        from_rfc3339(text).ok_or_else(|| ApiError::bad(format!("{what}: an RFC 3339 instant is needed")))
    };
    let mandate = Mandate {
        enterprise: body.enterprise,
        agent: body.agent.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))?,
        rights: body.rights.iter().map(|w| right(w)).collect::<Result<_, _>>()?,
        platforms: regions(&body.platforms)?,
        from: instant("from", &body.from)?,
        to: instant("to", &body.to)?,
    };
    let command = command(&api, &caller, "delegation add", Op::AddDelegation(mandate))?;
    let id = command.id;
    propose(&api, command).await?;
    delegation(&api, id).await.map(Answer)
}

async fn delegation(api: &Api, id: CommandId) -> Result<DelegationItem, ApiError> {
    let view = api.registry.linearizable(COMMAND_TIMEOUT).await?;
    let found = view.state.delegation(id).ok_or_else(|| ApiError::not_found(format!("delegation {id}")))?;
    Ok(delegation_item(found, api.now()))
}

/// `DELETE /v1/delegations/{id}`
pub async fn end_delegation(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(body): Json<DelegationEnd>,
) -> Result<Answer<DelegationItem>, ApiError> {
    let id = id_of(&id)?;
    let view = api.registry.state();
    let found = view.state.delegation(id).map(|d| d.mandate.clone());
    // What is another's looks like what is not there.
    let found = found.filter(|m| {
        let agent = caller.subject().is_some_and(|s| *s == m.agent);
        agent || may_give(&api, &caller, &m.enterprise).is_ok()
    });
    if found.is_none() {
        return Err(ApiError::not_found(format!("delegation {id}")));
    }
    let reason = if body.reason.is_empty() { "delegation remove".to_owned() } else { body.reason };
    let op = Op::EndDelegation { delegation: id, reason };
    propose(&api, command(&api, &caller, "delegation remove", op)?).await?;
    delegation(&api, id).await.map(Answer)
}
