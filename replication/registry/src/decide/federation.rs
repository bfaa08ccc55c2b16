//! Rules about the federation, its sites and nodes, its issuers and revocations.

use super::Decision;
use super::check::{self, invalid};
use crate::rows::Row;
use crate::{
    Command, Federation, Issuer, Node, NodeChange, NodeState, Op, Outcome, Refusal, Revocation, Setting,
    Site, State,
};
use eport_model::NodeId;

/// Longest certificate in the registry, in bytes.
const CERTIFICATE_LEN_MAX: usize = 16 << 10;

/// Labels of one site.
const LABELS_MAX: usize = 16;
/// Longest value of a label, in bytes.
const LABEL_VALUE_LEN_MAX: usize = 64;

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    match &c.op {
        Op::UpdateNode { node, change } => update_node(state, c, *node, change),
        Op::AddNode(node) if check::operator(c).is_err() => add_invited(state, c, node),
        other => {
            check::operator(c)?;
            match other {
                Op::SetTwoPerson(on) => set_two_person(state, *on),
                Op::SetSetting(setting) => set_setting(state, setting),
                Op::PutSite(site) => put_site(state, site),
                Op::AddNode(node) => add_node(state, c, node),
                Op::SetNodeState { node, state: to } => set_node_state(state, c, *node, *to),
                Op::PutIssuer(issuer) => put_issuer(issuer),
                Op::Revoke { serial, reason } => revoke(state, c, serial, reason),
                _ => Err(Refusal::Rule("not a command about the federation".to_owned())),
            }
        }
    }
}

fn done(rows: Vec<Row>) -> Decision {
    Ok((Outcome::Done, rows))
}

/// The first command. Repeated with the same content it is done already, so a founding that was interrupted may go on.
pub(super) fn found(state: &State, federation: &Federation) -> Decision {
    check::bounded("name", &federation.name)?;
    match &state.federation {
        None => done(vec![Row::Federation(federation.clone())]),
        Some(known) if known == federation => done(vec![]),
        Some(known) => Err(Refusal::AlreadyExists { what: "federation".into(), name: known.name.clone() }),
    }
}

fn set_two_person(state: &State, on: bool) -> Decision {
    let mut federation = state.federation.clone().ok_or(Refusal::NotFounded)?;
    federation.two_person = on;
    done(vec![Row::Federation(federation)])
}

fn set_setting(state: &State, setting: &Setting) -> Decision {
    if !crate::tables::name_is_plain(&setting.name) {
        return Err(invalid("setting", "1 to 64 of a-z, 0-9 and _ are allowed"));
    }
    check::bounded("value", &setting.value)?;
    crate::signed::check_setting(setting)?;
    super::users::check_setting(state, setting)?;
    if setting.name.ends_with("_ms") && setting.value.parse::<u32>().is_err() {
        return Err(invalid("value", "milliseconds from 0 to 4294967295 are needed"));
    }
    done(vec![Row::Setting(setting.clone())])
}

fn put_site(state: &State, site: &Site) -> Decision {
    check::bounded("name", &site.name)?;
    if site.id.is_none() {
        return Err(invalid("site", "a name is needed"));
    }
    if site.labels.len() > LABELS_MAX {
        return Err(invalid("labels", format!("at most {LABELS_MAX} are allowed")));
    }
    for (label, value) in &site.labels {
        if !crate::tables::name_is_plain(label) {
            return Err(invalid("labels", "a label has 1 to 64 of a-z, 0-9 and _"));
        }
        if value.is_empty() || value.len() > LABEL_VALUE_LEN_MAX || value.chars().any(char::is_control) {
            return Err(invalid(
                "labels",
                format!("{label}: a value has 1 to {LABEL_VALUE_LEN_MAX} bytes of text"),
            ));
        }
    }
    match state.site(site.id) {
        Some(known) if known.region != site.region => {
            Err(Refusal::AlreadyExists { what: "site".into(), name: site.id.to_string() })
        }
        _ => done(vec![Row::Site(site.clone())]),
    }
}

fn add_node(state: &State, c: &Command, node: &Node) -> Decision {
    if node.id.is_none() {
        return Err(invalid("node", "an id is needed"));
    }
    check_addr("quic", &node.quic)?;
    check_addr("api", &node.api)?;
    check::bounded("software", &node.software)?;
    check_serial(&node.cert_serial)?;
    state.site(node.site).ok_or_else(|| check::not_found("site", node.site))?;
    if !matches!(node.state, NodeState::Up) {
        return Err(invalid("state", "a node joins as up"));
    }
    let node = Node { joined: c.at, ..node.clone() };
    match state.node(node.id) {
        None => done(vec![Row::Node(node)]),
        Some(known) if Node { joined: c.at, ..known.clone() } == node => done(vec![]),
        Some(_) => Err(Refusal::AlreadyExists { what: "node".into(), name: node.id.to_string() }),
    }
}

/// A member brings a node that an operator invited: exactly that one, at the site and platform of the invitation, in time. The
/// invitation ends with it.
fn add_invited(state: &State, c: &Command, node: &Node) -> Decision {
    check::member_node(state, c)?;
    let invited = state.invitation(node.id).ok_or_else(|| check::not_found("invitation of node", node.id))?;
    let known = state.node(node.id).is_some();
    if !known && c.at > invited.expires {
        return Err(Refusal::Rule(format!("the invitation of node {} has expired", node.id)));
    }
    if (node.site, node.region) != (invited.site, invited.region) {
        return Err(Refusal::Rule(format!(
            "node {} is invited to site {} of platform {}",
            node.id, invited.site, invited.region
        )));
    }
    add_node(state, c, node)
}

fn check_addr(field: &str, addr: &str) -> Result<(), Refusal> {
    let good = addr.len() <= 255
        && addr.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if good { Ok(()) } else { Err(invalid(field, "host:port is needed")) }
}

fn check_serial(serial: &str) -> Result<(), Refusal> {
    let good = serial.len() <= 64 && serial.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if good { Ok(()) } else { Err(invalid("serial", "at most 64 lower-case hex digits are allowed")) }
}

fn update_node(state: &State, c: &Command, id: NodeId, change: &NodeChange) -> Decision {
    if check::operator(c).is_err() {
        check::exactly(state, c, id)?;
        if change.cert_serial.is_some() {
            check::operator(c)?;
        }
    }
    let mut node = check::node(state, id)?.clone();
    if node.state == NodeState::Removed {
        return Err(Refusal::Rule(format!("node {id} is removed")));
    }
    if let Some(quic) = &change.quic {
        check_addr("quic", quic)?;
        node.quic = quic.clone();
    }
    if let Some(api) = &change.api {
        check_addr("api", api)?;
        node.api = api.clone();
    }
    if let Some(serial) = &change.cert_serial {
        check_serial(serial)?;
        node.cert_serial = serial.clone();
    }
    if let Some(software) = &change.software {
        check::bounded("software", software)?;
        node.software = software.clone();
    }
    if let Some(incarnation) = change.incarnation {
        if incarnation < node.incarnation {
            return Err(Refusal::Rule(format!(
                "node {id} was seen in incarnation {} already",
                node.incarnation
            )));
        }
        node.incarnation = incarnation;
    }
    if let Some(reads) = change.reads {
        if reads < node.reads {
            return Err(Refusal::Rule(format!(
                "node {id} has read record format {} and reads only {reads} now; start the newer version again",
                node.reads
            )));
        }
        node.reads = reads;
    }
    done(vec![Row::Node(node)])
}

fn set_node_state(state: &State, c: &Command, id: NodeId, to: NodeState) -> Decision {
    let node = check::node(state, id)?;
    if node.state == to {
        return done(vec![]);
    }
    if node.state == NodeState::Removed {
        return Err(Refusal::Rule(format!("node {id} is removed; its id is never used again")));
    }
    match to {
        NodeState::Removed => {
            free_of_duties(state, id)?;
            return removed(state, c, node);
        }
        NodeState::Up if state.revocation(&node.cert_serial).is_some() => {
            return Err(Refusal::Rule(format!(
                "the certificate of node {id} is revoked; give it a new one first"
            )));
        }
        NodeState::Up | NodeState::Draining | NodeState::Revoked => {}
    }
    done(vec![Row::Node(Node { state: to, ..node.clone() })])
}

/// Its certificate goes with it: who finds the disk is nobody.
fn removed(state: &State, c: &Command, node: &Node) -> Decision {
    let gone = Row::Node(Node { state: NodeState::Removed, ..node.clone() });
    if node.cert_serial.is_empty() {
        return done(vec![gone]);
    }
    let (outcome, rows) = revoke(state, c, &node.cert_serial, &format!("node {} was removed", node.id))?;
    let others = rows.into_iter().filter(|r| !matches!(r, Row::Node(n) if n.id == node.id));
    Ok((outcome, others.chain([gone]).collect()))
}

/// A node that goes may hold the last copy of something. That its disk is lost is for an operator to say.
fn free_of_duties(state: &State, node: NodeId) -> Result<(), Refusal> {
    let against = state.removal_obstacles(node).into_iter().filter(|o| !o.may_be_declared_lost());
    let duties: Vec<String> = against.map(|o| o.to_string()).collect();
    match duties.is_empty() {
        true => Ok(()),
        false => Err(Refusal::NodeInUse { node, duty: duties.join("; ") }),
    }
}

fn put_issuer(issuer: &Issuer) -> Decision {
    check_serial(&issuer.key_id)?;
    if issuer.key_id.is_empty() {
        return Err(invalid("key_id", "a key id is needed"));
    }
    check::bounded("name", &issuer.name)?;
    if issuer.certificate.len() > CERTIFICATE_LEN_MAX {
        return Err(invalid("certificate", format!("at most {CERTIFICATE_LEN_MAX} bytes are allowed")));
    }
    done(vec![Row::Issuer(issuer.clone())])
}

/// A revocation is for ever; the node that used the certificate is refused until it has another.
fn revoke(state: &State, c: &Command, serial: &str, reason: &str) -> Decision {
    if super::custody::rule(state, serial)?.is_none() {
        check_serial(serial)?;
    }
    check::bounded("reason", reason)?;
    if serial.is_empty() {
        return Err(invalid("serial", "a serial is needed"));
    }
    if state.revocation(serial).is_some() {
        return done(vec![]);
    }
    let mut serials = super::trust::siblings(state, serial);
    serials.insert(serial.to_owned());
    let fresh = serials.into_iter().filter(|s| state.revocation(s).is_none());
    let mut rows: Vec<Row> = fresh
        .map(|serial| {
            Row::Revocation(Revocation { serial, reason: reason.to_owned(), at: c.at, by: c.by.clone() })
        })
        .collect();
    let users = state.nodes().filter(|n| n.cert_serial == serial && n.is_member());
    rows.extend(users.map(|n| Row::Node(Node { state: NodeState::Revoked, ..n.clone() })));
    done(rows)
}
