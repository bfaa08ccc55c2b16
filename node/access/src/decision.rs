//! The decision: may this subject do this, here, for this enterprise.

use eport_identity::{RegionCode, Subject};
use eport_model::{Code, Timestamp, codes};
use eport_registry::{DelegatedRight, OperatorRole, Permission as Action, State};
use std::collections::BTreeSet;

/// How the registry knows a subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    /// It does not list it.
    #[default]
    Unlisted,
    /// It lists it.
    Listed,
    /// It lists it as suspended.
    Suspended,
}

/// For whom an agent acts, and what of this was delegated to it here and now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Behalf {
    /// The enterprise.
    pub enterprise: String,
    /// What is delegated.
    pub rights: BTreeSet<DelegatedRight>,
}

/// What the federation knows about the caller and the place, besides the certificate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// The federation runs in `dev` or `demo`.
    pub development: bool,
    /// Operators that the registry does not list may do everything (signatures are optional).
    pub unlisted_operators: bool,
    /// The registry lists the calling node as a member that is neither removed nor revoked. Only meaningful for nodes.
    pub member: bool,
    /// How the registry knows the caller.
    pub standing: Standing,
    /// Roles of the calling operator, for the federation and on the platform concerned.
    pub roles: BTreeSet<OperatorRole>,
    /// Platforms an agency is bound to; empty: none.
    pub places: BTreeSet<RegionCode>,
    /// The platform concerned, where one is.
    pub platform: Option<RegionCode>,
    /// For whom the caller says it acts.
    pub behalf: Option<Behalf>,
    /// Where the caller's certificate counts, when a CA outside the federation vouches for it; `None`: everywhere, it is ours.
    pub vouched_at: Option<BTreeSet<RegionCode>>,
}

/// A granted request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permit {
    /// Without restriction.
    All,
    /// Only what was lodged in the caller's own name, or in the name of the enterprise it acts for.
    OwnOnly,
}

/// Why a request is denied. The reason is a sentence for the caller and gives away nothing about the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// The rule that is missing.
    pub reason: &'static str,
    /// Its code.
    pub code: Code,
}

const fn deny(code: Code, reason: &'static str) -> Result<Permit, Denied> {
    Err(Denied { reason, code })
}

const fn forbidden(reason: &'static str) -> Result<Permit, Denied> {
    deny(codes::FORBIDDEN, reason)
}

/// What the registry says about a caller.
pub fn context(
    state: &State,
    subject: &Subject,
    platform: Option<RegionCode>,
    behalf: Option<&str>,
    now: Timestamp,
) -> Context {
    let user = state.user(subject);
    let mut known = Context {
        development: state.mode().relaxed(),
        unlisted_operators: !state.signatures_required(),
        member: subject.node().is_some_and(|n| state.is_member(n)),
        platform,
        places: user.map(|u| u.platforms.clone()).unwrap_or_default(),
        standing: standing(user.map(|u| u.suspended)),
        ..Context::default()
    };
    if let Subject::Operator(id) = subject {
        known.standing = standing(state.operator(id).map(|o| o.suspended));
        known.roles = state.roles_of(id, platform);
    }
    known.behalf = behalf.map(|enterprise| Behalf {
        enterprise: enterprise.to_owned(),
        rights: platform.map(|region| state.delegated(enterprise, subject, region, now)).unwrap_or_default(),
    });
    known
}

fn standing(suspended: Option<bool>) -> Standing {
    match suspended {
        None => Standing::Unlisted,
        Some(false) => Standing::Listed,
        Some(true) => Standing::Suspended,
    }
}

/// Decides. `Ok` says how far, `Err` says why not.
pub fn decide(subject: &Subject, action: Action, context: &Context) -> Result<Permit, Denied> {
    if context.standing == Standing::Suspended {
        return match subject {
            Subject::Operator(_) => deny(codes::OPERATOR_ROLE, "the operator is suspended"),
            _ => deny(codes::USER_SUSPENDED, "the user is suspended"),
        };
    }
    if let Some(places) = &context.vouched_at {
        vouched(subject, action, places, context.platform)?;
    }
    if let Some(behalf) = &context.behalf {
        return for_another(subject, action, behalf);
    }
    match subject {
        Subject::Node { .. } => node(action, context),
        Subject::Operator(_) => operator(action, context),
        Subject::Enterprise(_) => enterprise(action),
        Subject::Agency { .. } => agency(action, context),
    }
}

/// What a CA outside vouches for: traders and agencies, at the platforms that it is registered for, and there what they may anyway. Reading
/// what the federation publishes and logging in belong to no platform; a delegation reaches beyond them, so it takes a certificate of ours.
fn vouched(
    subject: &Subject,
    action: Action,
    places: &BTreeSet<RegionCode>,
    here: Option<RegionCode>,
) -> Result<(), Denied> {
    let published = matches!(action, Action::ReadFederation | Action::ReadTables | Action::Session);
    let in_scope = here.is_some_and(|here| places.contains(&here));
    let reason = match subject {
        Subject::Node { .. } | Subject::Operator(_) => "no CA outside vouches for nodes and operators",
        _ if places.is_empty() => "the CA that vouches for the caller was removed",
        _ if published || in_scope => return Ok(()),
        _ => "the CA that vouches for the caller is not registered for this",
    };
    Err(Denied { reason, code: codes::OUTSIDE_SCOPE })
}

/// An agent has what was delegated to it and nothing of its own rights besides.
fn for_another(subject: &Subject, action: Action, behalf: &Behalf) -> Result<Permit, Denied> {
    let right = match action {
        Action::LodgeDocument => DelegatedRight::Lodge,
        Action::ListDocuments => DelegatedRight::Read,
        _ => return deny(codes::DELEGATION_MISSING, "only documents are lodged and read for another"),
    };
    if !matches!(subject, Subject::Enterprise(_)) {
        return deny(codes::DELEGATION_MISSING, "only an enterprise acts for another");
    }
    if behalf.rights.contains(&right) {
        return Ok(Permit::OwnOnly);
    }
    deny(codes::DELEGATION_MISSING, "no delegation of the enterprise covers this here and now")
}

fn node(action: Action, context: &Context) -> Result<Permit, Denied> {
    if !context.member {
        return forbidden("the node is not a member of this federation");
    }
    match action {
        Action::Forward | Action::ReadFederation | Action::ReadTables => Ok(Permit::All),
        Action::LodgeDocument => forbidden("nodes lodge no documents of their own"),
        _ => forbidden("nodes only carry the requests of others and read what the federation publishes"),
    }
}

fn operator(action: Action, context: &Context) -> Result<Permit, Denied> {
    if action == Action::Forward {
        return forbidden("only member nodes forward requests of others");
    }
    if action == Action::LodgeDocument && context.development {
        return Ok(Permit::All);
    }
    let lacks = "no role of the operator permits this here";
    match context.standing {
        Standing::Unlisted if context.unlisted_operators => {
            if OperatorRole::Administrator.permits(action) {
                Ok(Permit::All)
            } else {
                forbidden("the operator lacks the role lodger for this platform")
            }
        }
        // What the federation publishes to everybody who belongs to it.
        Standing::Unlisted if matches!(action, Action::ReadFederation | Action::ReadTables) => {
            Ok(Permit::All)
        }
        Standing::Unlisted => deny(codes::OPERATOR_ROLE, "the registry does not list the operator"),
        _ if context.roles.iter().any(|r| r.permits(action)) => Ok(Permit::All),
        // Listed, but with roles on other platforms only.
        _ if matches!(action, Action::ReadFederation | Action::ReadTables | Action::Session) => {
            Ok(Permit::All)
        }
        _ => deny(codes::OPERATOR_ROLE, lacks),
    }
}

fn enterprise(action: Action) -> Result<Permit, Denied> {
    match action {
        Action::LodgeDocument | Action::ReadFederation | Action::ReadTables | Action::Session => {
            Ok(Permit::All)
        }
        // Of both it has its own only.
        Action::ListDocuments | Action::Delegate => Ok(Permit::OwnOnly),
        Action::ReadEvents => forbidden("enterprises do not follow the events of a platform"),
        Action::Forward => forbidden("only member nodes forward requests of others"),
        _ => forbidden("only operators administer"),
    }
}

fn agency(action: Action, context: &Context) -> Result<Permit, Denied> {
    match action {
        Action::ListDocuments | Action::ReadEvents => match context.platform {
            Some(here) if !context.places.is_empty() && !context.places.contains(&here) => {
                forbidden("the agency reads on other platforms only")
            }
            // Of each document its own part, of events those of its documents.
            _ => Ok(Permit::OwnOnly),
        },
        Action::AnswerDocuments => match context.platform {
            // Only what an operator has listed answers: a certificate alone attaches nobody.
            _ if context.standing != Standing::Listed => forbidden("the registry does not list the agency"),
            Some(here) if !context.places.is_empty() && !context.places.contains(&here) => {
                forbidden("the agency is attached to other platforms only")
            }
            _ => Ok(Permit::OwnOnly),
        },
        Action::ReadFederation | Action::ReadTables | Action::Session => Ok(Permit::All),
        Action::LodgeDocument => forbidden("agencies answer documents, they lodge none"),
        Action::Forward => forbidden("only member nodes forward requests of others"),
        _ => forbidden("only operators administer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: [&str; 4] =
        ["platform/440000/node/gz-a-1", "operator/admin", "enterprise/91440100MA5ABCD19J", "agency/CUS/gw/1"];

    fn known(roles: &[OperatorRole]) -> Context {
        Context {
            member: true,
            standing: Standing::Listed,
            roles: roles.iter().copied().collect(),
            platform: Some("440300".parse().unwrap()),
            ..Context::default()
        }
    }

    /// One letter a subject, in the order of `WHO`: a all, o own only, - denied.
    fn row(action: Action, context: &Context) -> String {
        let letter = |who: &&str| match decide(&who.parse().unwrap(), action, context) {
            Ok(Permit::All) => 'a',
            Ok(Permit::OwnOnly) => 'o',
            Err(Denied { reason, .. }) => {
                assert!(!reason.is_empty());
                '-'
            }
        };
        WHO.iter().map(letter).collect()
    }

    #[test]
    fn every_action_is_decided_for_every_kind_of_subject() {
        let production = known(&[OperatorRole::Administrator]);
        for (action, expected) in Action::ALL.into_iter().zip([
            "--a-", "-aoo", "-a-o", "aaaa", "aaaa", "-a--", "-a--", "-a--", "-a--", "-a--", "-a--", "-a--",
            "-ao-", "-a--", "-aaa", "a---", "---o",
        ]) {
            assert_eq!(row(action, &production), expected, "{action:?}");
        }
    }

    /// The rights of each role, as people read them: one letter a permission in the order of `Action::ALL`.
    #[test]
    fn every_role_has_its_rights_and_no_other() {
        let rights = |role: OperatorRole| -> String {
            let c = known(&[role]);
            let may = |a: &Action| decide(&"operator/x".parse().unwrap(), *a, &c).is_ok();
            Action::ALL.iter().map(|a| if may(a) { 'x' } else { '.' }).collect()
        };
        //            lodge list events fed tables inspect audit publish platform nodes certs users delegate approve session forward answer
        let expected = [
            (OperatorRole::Administrator, ".xxxxxxxxxxxxxx.."),
            (OperatorRole::Approver, "...xxx.......xx.."),
            (OperatorRole::Publisher, "...xxx.x......x.."),
            (OperatorRole::SystemAdministrator, "...xxx..xx...xx.."),
            (OperatorRole::SecurityAdministrator, "...xxx....xxxxx.."),
            (OperatorRole::Auditor, "...xxxx.......x.."),
            (OperatorRole::PlatformOperator, ".xxxxx..x.....x.."),
            (OperatorRole::Lodger, "xx.xxx........x.."),
        ];
        for (role, row) in expected {
            assert_eq!(rights(role), row, "{role:?}");
        }
        // No permission that administers is had by two of the three, the second person's aside.
        let three = OperatorRole::ALL.into_iter().filter(|r| r.is_separated());
        let of: Vec<OperatorRole> = three.collect();
        for action in Action::ALL.into_iter().filter(|a| a.administers() && *a != Action::Approve) {
            assert!(of.iter().filter(|r| r.permits(action)).count() <= 1, "{action:?}");
        }
    }

    #[test]
    fn a_node_that_is_no_member_may_do_nothing() {
        let stranger = Context { development: true, member: false, ..Context::default() };
        for action in Action::ALL {
            assert!(row(action, &stranger).starts_with('-'), "{action:?}");
        }
    }

    #[test]
    fn an_operator_lodges_in_development_or_with_the_role() {
        let dev = Context { development: true, ..known(&[]) };
        assert_eq!(row(Action::LodgeDocument, &dev), "-aa-");
        assert_eq!(row(Action::LodgeDocument, &known(&[OperatorRole::Lodger])), "-aa-");
        assert_eq!(row(Action::LodgeDocument, &known(&[])), "--a-");
    }

    #[test]
    fn an_unlisted_operator_may_all_where_signatures_are_optional_and_else_sees_what_all_see() {
        let may = |unlisted_operators| {
            let c = Context { standing: Standing::Unlisted, unlisted_operators, ..known(&[]) };
            let who = "operator/x".parse().unwrap();
            Action::ALL.into_iter().filter(|a| decide(&who, *a, &c).is_ok()).count()
        };
        assert_eq!((may(true), may(false)), (14, 2));
    }

    #[test]
    fn who_is_suspended_may_nothing() {
        let c = Context {
            standing: Standing::Suspended,
            development: true,
            ..known(&[OperatorRole::Administrator])
        };
        for action in Action::ALL {
            assert_eq!(row(action, &c), "----", "{action:?}");
        }
    }

    #[test]
    fn an_agent_may_what_was_delegated_and_none_of_its_own_rights_in_anothers_name() {
        let acting = |rights: &[DelegatedRight]| Context {
            behalf: Some(Behalf {
                enterprise: "91440300MA5SZXY00X".into(),
                rights: rights.iter().copied().collect(),
            }),
            ..known(&[OperatorRole::Administrator])
        };
        let (lodge, read) = (DelegatedRight::Lodge, DelegatedRight::Read);
        assert_eq!(row(Action::LodgeDocument, &acting(&[lodge])), "--o-");
        assert_eq!(row(Action::ListDocuments, &acting(&[lodge])), "----");
        assert_eq!(row(Action::ListDocuments, &acting(&[read])), "--o-");
        for action in Action::ALL {
            assert_eq!(row(action, &acting(&[])), "----", "{action:?}");
            if !matches!(action, Action::LodgeDocument | Action::ListDocuments) {
                assert_eq!(row(action, &acting(&[lodge, read])), "----", "{action:?}");
            }
        }
    }

    #[test]
    fn what_an_outside_ca_vouches_for_counts_at_its_platforms_only_and_never_for_nodes_and_operators() {
        let at = |vouched: &[&str], here: Option<&str>| Context {
            vouched_at: Some(vouched.iter().map(|p| p.parse().unwrap()).collect()),
            platform: here.map(|p| p.parse().unwrap()),
            ..known(&[OperatorRole::Administrator])
        };
        let published = [Action::ReadFederation, Action::ReadTables, Action::Session];
        for action in Action::ALL {
            let own = row(action, &known(&[OperatorRole::Administrator]));
            // At its platform: what they may anyway, and nodes and operators nothing.
            let expected = format!("--{}", &own[2..]);
            assert_eq!(row(action, &at(&["440300"], Some("440300"))), expected, "{action:?}");
            for elsewhere in [Some("440100"), None] {
                let expected = if published.contains(&action) { &*expected } else { "----" };
                assert_eq!(row(action, &at(&["440300"], elsewhere)), *expected, "{action:?} {elsewhere:?}");
            }
            assert_eq!(row(action, &at(&[], Some("440300"))), "----", "a removed CA: {action:?}");
        }
    }

    #[test]
    fn an_agency_that_nobody_listed_answers_nothing() {
        for standing in [Standing::Unlisted, Standing::Suspended] {
            let c = Context { standing, development: true, ..known(&[]) };
            assert_eq!(row(Action::AnswerDocuments, &c), "----", "{standing:?}");
        }
    }

    #[test]
    fn an_agency_bound_to_platforms_reads_there_only() {
        let here = |places: &[&str]| Context {
            places: places.iter().map(|p| p.parse().unwrap()).collect(),
            ..known(&[])
        };
        for (places, expected) in [(&[][..], 'o'), (&["440300"], 'o'), (&["440100"], '-')] {
            for action in [Action::ListDocuments, Action::ReadEvents, Action::AnswerDocuments] {
                assert!(row(action, &here(places)).ends_with(expected), "{places:?} {action:?}");
            }
        }
    }
}
