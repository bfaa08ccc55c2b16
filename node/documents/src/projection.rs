//! The part of a document that one recipient gets: a pure function of the body, the type's fields and the recipient.
//!
//! Always: a field that no rule of the pack gives is absent, not empty; two recipients of one document hold different bodies with
//! the same version.

use crate::Field;
use crate::field::Kind;
use crate::json::{JsonError, Node};
use crate::pack::{DocumentType, Recipient};
use crate::relations::Asked;
use crate::tables::Tables;
use eport_expression::Frame;
use eport_model::Timestamp;
use std::borrow::Cow;

/// A body as one recipient gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Projection {
    /// The recipient.
    pub agency: String,
    /// Its part of the body, in the canonical form of RFC 8785.
    pub body: Vec<u8>,
}

impl DocumentType {
    /// The parts that the recipients of a stored document get: `shown` is the whole document as readers are shown it.
    pub fn projections_of(
        &self,
        shown: &[u8],
        tables: &dyn Tables,
        at: Timestamp,
    ) -> Result<Vec<Projection>, JsonError> {
        let root = Node::parse(shown)?;
        let body = match &root {
            Node::Object(members) => members.iter().find(|(k, _)| k == "body").map(|(_, body)| body),
            _ => None,
        };
        Ok(body.map(|body| self.projections(body, tables, at)).unwrap_or_default())
    }

    /// The parts that the recipients of a document get, in the pack's order. `body` is the body of an accepted document; a recipient
    /// that gets nothing of it is left out.
    pub fn projections(&self, body: &Node<'_>, tables: &dyn Tables, at: Timestamp) -> Vec<Projection> {
        let mut asked = Asked::new(self, tables, at);
        let mut out = Vec::with_capacity(self.recipients.len());
        for recipient in &self.recipients {
            let frame = [Frame { value: body, index: 0 }];
            let gets = |when: &eport_expression::Expression| when.holds(&frame, &mut asked) == Ok(true);
            if !recipient.when.as_ref().is_none_or(gets) {
                continue;
            }
            if let Some(part) = part(&self.fields, body, recipient) {
                let mut body = Vec::new();
                part.write_canonical(&mut body);
                out.push(Projection { agency: recipient.agency.clone(), body });
            }
        }
        out
    }
}

fn gets(field: &Field, recipient: &Recipient) -> bool {
    let any = |groups: &std::collections::BTreeSet<char>| {
        // A field of no group goes to every group.
        if field.groups.is_empty() { !groups.is_empty() } else { !field.groups.is_disjoint(groups) }
    };
    any(&recipient.full) || (field.key && any(&recipient.key))
}

fn part<'n>(fields: &[Field], body: &'n Node<'_>, recipient: &Recipient) -> Option<Node<'n>> {
    let Node::Object(members) = body else { return None };
    let mut out = Vec::new();
    for field in fields {
        if let Some((name, value)) = members.iter().find(|(k, _)| *k == field.name)
            && let Some(value) = value_of(field, value, recipient)
        {
            out.push((Cow::Borrowed(name.as_ref()), value));
        }
    }
    (!out.is_empty()).then_some(Node::Object(out))
}

fn value_of<'n>(field: &Field, value: &'n Node<'_>, recipient: &Recipient) -> Option<Node<'n>> {
    match (&field.kind, value) {
        (Kind::Object(fields), value) => part(fields, value, recipient),
        (Kind::List { item, .. }, Node::List(items)) => match &item.kind {
            Kind::Object(_) => {
                let items: Vec<Node<'n>> =
                    items.iter().filter_map(|i| value_of(item, i, recipient)).collect();
                (!items.is_empty()).then_some(Node::List(items))
            }
            _ => gets(field, recipient).then(|| copy(value)),
        },
        _ => gets(field, recipient).then(|| copy(value)),
    }
}

/// A copy that borrows every text. One with an escape stays owned, so that it is written with it.
fn copy<'n>(node: &'n Node<'_>) -> Node<'n> {
    match node {
        Node::Null => Node::Null,
        Node::Bool(b) => Node::Bool(*b),
        Node::Integer(n) => Node::Integer(*n),
        Node::Inexact => Node::Inexact,
        Node::Text(Cow::Borrowed(text)) => Node::Text(Cow::Borrowed(text)),
        Node::Text(Cow::Owned(text)) => Node::Text(Cow::Owned(text.clone())),
        Node::List(items) => Node::List(items.iter().map(copy).collect()),
        Node::Object(members) => {
            Node::Object(members.iter().map(|(k, v)| (Cow::Borrowed(k.as_ref()), copy(v))).collect())
        }
    }
}
