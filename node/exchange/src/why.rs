//! Why a document stands where it stands: where it is, what it waits for, who must act. One pure function of the journal's, the
//! exchange's and the agencies' states; each answer names the record it rests on.

use crate::Source;
use eport_documents::State;
use eport_documents::pack::{AgencyState, Role};
use eport_identity::RegionCode;

/// A sentence in both languages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

fn words(en: impl Into<String>, zh: impl Into<String>) -> Words {
    Words { zh: zh.into(), en: en.into() }
}

/// How far a message has come on its way to an agency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Passage {
    /// It is due when the document reaches this state.
    Later(String),
    /// The agency is attached to no platform.
    Unrouted,
    /// It waits in the outbox.
    Queued,
    /// The way to the agency's platform brings no answer: what the last attempt said.
    Blocked(String),
    /// The agency's platform has it, not yet where a failover keeps it.
    Acknowledged,
    /// It is at the agency's platform.
    Delivered,
    /// It lies in the agency's inbox.
    Inbox,
    /// The agency has acknowledged it.
    Taken,
    /// It is a dead letter: reason code and detail.
    Dead(String, String),
}

/// One agency's side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgencyFacts {
    /// The agency.
    pub agency: String,
    /// What its answer counts for.
    pub role: Role,
    /// What it has done.
    pub state: AgencyState,
    /// The platform it is attached to.
    pub at: Option<RegionCode>,
    /// How far its part has come.
    pub passage: Passage,
    /// The record that shows it: of its last receipt, else of the document.
    pub record: Option<Source>,
    /// Code of a receipt that nobody understands, or that says that the message was not taken.
    pub unclear: Option<String>,
}

/// What is known of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Its state.
    pub state: State,
    /// The platform that owns it.
    pub owner: RegionCode,
    /// The state of its type's own life cycle.
    pub stage: Option<String>,
    /// The record that holds it; `None` for what is not stored.
    pub record: Option<Source>,
    /// False while an answer for it could promise `local` only.
    pub replicated: bool,
    /// Its agencies.
    pub agencies: Vec<AgencyFacts>,
}

/// Who must act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Actor {
    /// Nobody: nothing is waited for.
    Nobody,
    /// The platform, by itself.
    Platform,
    /// Who lodged the document.
    Lodger,
    /// The agency named.
    Agency,
    /// Operators of the platform.
    Operator,
}

impl Actor {
    /// Its name in answers.
    pub const fn word(self) -> &'static str {
        match self {
            Actor::Nobody => "nobody",
            Actor::Platform => "platform",
            Actor::Lodger => "lodger",
            Actor::Agency => "agency",
            Actor::Operator => "operator",
        }
    }
}

/// One answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// The agency it is about, where it is about one.
    pub agency: Option<String>,
    /// Where the document is.
    pub place: Words,
    /// What it waits for.
    pub waits: Words,
    /// Who must act.
    pub actor: Actor,
    /// True when the document cannot go on before.
    pub holds: bool,
    /// The record it rests on.
    pub record: Option<Source>,
}

/// Explains a document: what concerns it as a whole first, then each agency that something is waited for from.
pub fn why(facts: &Facts) -> Vec<Why> {
    let mut out = vec![whole(facts)];
    if facts.record.is_some() && !facts.replicated {
        out.push(Why {
            agency: None,
            place: words("stored on one site", "仅存于一个站点"),
            waits: words("a backup on another site to hold it", "等待另一站点的备份持有"),
            actor: Actor::Operator,
            holds: false,
            record: facts.record,
        });
    }
    let open = !matches!(
        facts.state,
        State::Draft
            | State::Submitted
            | State::Refused
            | State::Discarded
            | State::Withdrawn
            | State::Closed
            | State::Rejected
    );
    if open {
        out.extend(facts.agencies.iter().filter_map(agency));
    }
    out
}

fn whole(facts: &Facts) -> Why {
    let at = facts.owner;
    let rejecting = || -> String {
        let refused = facts.agencies.iter().filter(|a| a.state == AgencyState::Rejected);
        refused.map(|a| a.agency.as_str()).collect::<Vec<_>>().join(", ")
    };
    // A reader who may not know of the other agencies is given its own facts alone.
    let (rejecting, rejecting_zh) = match rejecting() {
        none if none.is_empty() => ("an agency".to_owned(), "机构".to_owned()),
        some => (some.clone(), some),
    };
    let nothing = || words("nothing", "无");
    let (place, waits, actor, holds) = match facts.state {
        State::Draft => (
            words("a draft, not submitted", "草稿，未提交"),
            words("its lodger to submit it", "等待申报人提交"),
            Actor::Lodger,
            true,
        ),
        State::Submitted => (
            words(format!("at platform {at}, being checked"), format!("在平台 {at} 校验中")),
            words("the platform's rules", "等待平台规则校验"),
            Actor::Platform,
            true,
        ),
        State::Refused => (
            words("refused by the platform's rules, not stored", "被平台规则拒绝，未入库"),
            words("a corrected submission under the same key", "等待以同一键更正后重新提交"),
            Actor::Lodger,
            true,
        ),
        State::Checked => (
            words(
                format!("accepted at platform {at}; no agency gets it"),
                format!("平台 {at} 已受理；无接收机构"),
            ),
            nothing(),
            Actor::Nobody,
            false,
        ),
        State::Dispatched => (
            words(
                format!("accepted at platform {at}, on its way to agencies"),
                format!("平台 {at} 已受理，正分发至各机构"),
            ),
            words("the first receipt", "等待首个回执"),
            waiting_actor(facts),
            true,
        ),
        State::InProcess => (
            words("with the agencies", "机构处理中"),
            words("every mandatory agency's acceptance", "等待全部必经机构接受"),
            waiting_actor(facts),
            true,
        ),
        State::Accepted => match &facts.stage {
            Some(stage) => (
                words(
                    format!("accepted by every mandatory agency; stage {stage}"),
                    format!("必经机构均已接受；阶段 {stage}"),
                ),
                nothing(),
                Actor::Nobody,
                false,
            ),
            None => (
                words("accepted by every mandatory agency", "必经机构均已接受"),
                nothing(),
                Actor::Nobody,
                false,
            ),
        },
        State::PartlyRejected => (
            words(format!("refused by {rejecting}"), format!("被 {rejecting_zh} 拒绝")),
            words("a new version that removes the cause", "等待消除原因的新版本"),
            Actor::Lodger,
            true,
        ),
        State::Rejected => (
            words(
                format!("refused by the lead agency {rejecting}"),
                format!("被主管机构 {rejecting_zh} 拒绝"),
            ),
            words("a new version", "等待新版本"),
            Actor::Lodger,
            true,
        ),
        State::Amending => (
            words("a change is asked for", "已申请修改"),
            words("the agencies' answer to the change", "等待机构对修改的答复"),
            waiting_actor(facts),
            true,
        ),
        State::Withdrawing => (
            words("a withdrawal is asked for", "已申请撤回"),
            words("the agencies' answer to the withdrawal", "等待机构对撤回的答复"),
            waiting_actor(facts),
            true,
        ),
        State::Withdrawn => (words("withdrawn", "已撤回"), nothing(), Actor::Nobody, false),
        State::Closed => (words("closed", "已结案"), nothing(), Actor::Nobody, false),
        State::Discarded => {
            (words("a draft that was given up", "已放弃的草稿"), nothing(), Actor::Nobody, false)
        }
    };
    Why { agency: None, place, waits, actor, holds, record: facts.record }
}

/// Who must act first for the agencies that hold the document back.
fn waiting_actor(facts: &Facts) -> Actor {
    let open = facts.agencies.iter().filter(|a| a.role != Role::Optional).filter_map(agency);
    let actors: Vec<Actor> = open.map(|w| w.actor).collect();
    for first in [Actor::Operator, Actor::Platform, Actor::Agency] {
        if actors.contains(&first) {
            return first;
        }
    }
    Actor::Platform
}

/// What is waited for from one agency; `None` when nothing is.
fn agency(a: &AgencyFacts) -> Option<Why> {
    let name = &a.agency;
    let at = a.at.map_or_else(|| "-".to_owned(), |r| r.to_string());
    let (place, waits, actor) = match &a.passage {
        Passage::Dead(reason, detail) => (
            words(format!("dead letter for {name}: {reason}"), format!("发往 {name} 的死信：{reason}")),
            words(
                format!("the cause to be removed and the message to be sent again ({detail})"),
                format!("等待消除原因并重新发送（{detail}）"),
            ),
            Actor::Operator,
        ),
        Passage::Unrouted => (
            words(
                format!("kept for {name}, which is attached to no platform"),
                format!("为 {name} 保留，该机构未接入任何平台"),
            ),
            words(
                "an operator to attach the agency (eport agency register)",
                "等待操作员接入该机构（eport agency register）",
            ),
            Actor::Operator,
        ),
        Passage::Later(state) => (
            words(format!("kept for {name}"), format!("为 {name} 保留")),
            words(format!("the state {state}"), format!("等待状态 {state}")),
            Actor::Platform,
        ),
        Passage::Queued => (
            words(format!("in the outbox for {name} at {at}"), format!("在发件箱，待发往 {at} 的 {name}")),
            words("its turn", "等待轮到"),
            Actor::Platform,
        ),
        Passage::Blocked(trouble) => (
            words(format!("in the outbox for {name} at {at}"), format!("在发件箱，待发往 {at} 的 {name}")),
            words(format!("platform {at} to answer ({trouble})"), format!("等待平台 {at} 应答（{trouble}）")),
            Actor::Operator,
        ),
        Passage::Acknowledged => (
            words(format!("at platform {at} for {name}"), format!("已到平台 {at}，收件机构 {name}")),
            words(format!("a backup of platform {at} to hold it"), format!("等待平台 {at} 的备份持有")),
            Actor::Platform,
        ),
        _ if a.unclear.is_some() => {
            let code = a.unclear.as_deref().unwrap_or_default();
            (
                words(format!("answered by {name} with {code}"), format!("{name} 以 {code} 答复")),
                words(
                    "a person to look at an answer that the pack does not know",
                    "等待人工处理标准包未定义的答复",
                ),
                Actor::Operator,
            )
        }
        Passage::Inbox => (
            words(
                format!("in the inbox of {name} at platform {at}"),
                format!("在平台 {at} 的 {name} 收件箱"),
            ),
            words(format!("{name} to fetch it"), format!("等待 {name} 取走")),
            Actor::Agency,
        ),
        Passage::Delivered | Passage::Taken => match a.state {
            AgencyState::Accepted | AgencyState::Done | AgencyState::Rejected => return None,
            AgencyState::ManualReview => (
                words(format!("in manual review at {name}"), format!("{name} 人工审核中")),
                words(format!("the decision of {name}"), format!("等待 {name} 决定")),
                Actor::Agency,
            ),
            _ => (
                words(format!("with {name} at platform {at}"), format!("在平台 {at} 的 {name}")),
                words(format!("a receipt of {name}"), format!("等待 {name} 的回执")),
                Actor::Agency,
            ),
        },
    };
    Some(Why {
        agency: Some(name.clone()),
        place,
        waits,
        actor,
        holds: a.role != Role::Optional,
        record: a.record,
    })
}
