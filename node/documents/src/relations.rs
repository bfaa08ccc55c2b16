//! What holds between the fields of a document: fields that must be there under a condition, and the pack's rules.
//!
//! Runs over the normalised body after every field was judged by itself. A rule that needs a value whose field has failed says
//! nothing: the field's own failure stands already.

use crate::checks::Rule;
use crate::json::Node;
use crate::pack::{DocumentType, Scope};
use crate::tables::{InForce, TableRow, Tables};
use crate::{Failure, TableVersion};
use eport_expression::{Expression, Frame, Host, Source, Stop};
use eport_model::Timestamp;
use std::sync::Arc;

impl<'a> Source<'a> for &'a Node<'a> {
    fn member(self, name: &str) -> Option<Self> {
        match self {
            Node::Object(members) => members.iter().find(|(k, _)| k == name).map(|(_, v)| v),
            _ => None,
        }
    }
    fn items(self) -> Option<usize> {
        match self {
            Node::List(items) => Some(items.len()),
            _ => None,
        }
    }
    fn item(self, n: usize) -> Option<Self> {
        match self {
            Node::List(items) => items.get(n),
            _ => None,
        }
    }
    fn text(self) -> Option<&'a str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }
    fn whole(self) -> Option<i64> {
        match self {
            Node::Integer(n) => Some(*n),
            _ => None,
        }
    }
    fn truth(self) -> Option<bool> {
        match self {
            Node::Bool(b) => Some(*b),
            _ => None,
        }
    }
}

/// What a judgement asks of tables, and what it found out about them.
pub(crate) struct Asked<'j> {
    pub(crate) kind: &'j DocumentType,
    pub(crate) lookups: &'j dyn Tables,
    pub(crate) at: Timestamp,
    pub(crate) seen: Vec<(Arc<str>, InForce)>,
    /// A table whose version in force is not on this node.
    pub(crate) absent: Option<Arc<str>>,
    /// Why a table that a rule asks cannot answer; one reason a table.
    useless: Vec<(Arc<str>, String)>,
    /// Reasons that were told already.
    told: usize,
}

impl<'j> Asked<'j> {
    pub(crate) fn new(kind: &'j DocumentType, lookups: &'j dyn Tables, at: Timestamp) -> Self {
        Self { kind, lookups, at, seen: Vec::new(), absent: None, useless: Vec::new(), told: 0 }
    }

    pub(crate) fn note(&mut self, table: &Arc<str>, state: InForce) {
        if !self.seen.iter().any(|(t, _)| t == table) {
            self.seen.push((table.clone(), state));
        }
    }

    fn useless(&mut self, table: Arc<str>, why: String) {
        if !self.useless.iter().any(|(t, _)| *t == table) {
            self.useless.push((table, why));
        }
    }
}

impl Host for Asked<'_> {
    fn now(&mut self) -> Timestamp {
        self.at
    }

    fn offset_minutes(&self) -> i32 {
        self.kind.pack.utc_offset_minutes
    }

    fn valid(&mut self, rule: &str, text: &str) -> bool {
        let found = Rule::named(rule).and_then(|r| r.judge(text, &self.kind.pack.parameters));
        found.is_none_or(|f| f.is_warning())
    }

    fn row(&mut self, table: &str, keys: &[&str], column: Option<&str>) -> Result<Option<String>, Stop> {
        let name: Arc<str> = match self.seen.iter().find(|(t, _)| **t == *table) {
            Some((name, _)) => name.clone(),
            None => table.into(),
        };
        let used = |asked: &mut Self, version: TableVersion| asked.note(&name, InForce::Version(version));
        match self.lookups.cell(table, keys, column, self.at) {
            TableRow::Found(version, text) => {
                used(self, version);
                Ok(Some(text.unwrap_or_default()))
            }
            TableRow::Missing(version) => {
                used(self, version);
                Ok(None)
            }
            TableRow::Unlike(version) => {
                let why = format!(
                    "version {} of table {table} has not the columns the pack asks for",
                    version.version
                );
                used(self, version);
                self.useless(name, why);
                Err(Stop::Table)
            }
            TableRow::NotPublished => {
                self.note(&name, InForce::NotPublished);
                if !self.kind.pack.optional_tables.iter().any(|t| t == table) {
                    self.useless(name, format!("no version of table {table} is in force"));
                }
                Err(Stop::Table)
            }
            TableRow::NotHere => {
                self.note(&name, InForce::NotHere);
                self.absent = Some(name);
                Err(Stop::Table)
            }
        }
    }
}

/// Records that are open while a rule looks at a document: the body, then items of lists.
pub(crate) struct Walk<'w, 'a, 'j> {
    pub(crate) frames: Vec<Frame<&'a Node<'a>>>,
    scope: &'w Scope,
    pub(crate) asked: &'w mut Asked<'j>,
    failures: &'w mut Vec<Failure>,
}

/// Judges the body by the requirements and rules of its type.
pub(crate) fn judge<'a>(body: &'a Node<'a>, asked: &mut Asked<'_>, failures: &mut Vec<Failure>) {
    let kind = asked.kind;
    for requirement in &kind.requirements {
        walk(body, &requirement.scope, asked, failures, &mut |w| {
            let Some((last, before)) = requirement.field.split_last() else { return };
            let Some(record) = w.frames.last().map(|f| f.value) else { return };
            let Some(holder) = before.iter().try_fold(record, |node, name| node.member(name)) else { return };
            if holder.member(last).is_none() && w.holds(&requirement.when) == Some(true) {
                let code = &kind.pack.codes.required;
                w.fail(&requirement.field, code, format!("it is needed where {}", requirement.when.text()));
            }
        });
    }
    for rule in &kind.rules {
        walk(body, &rule.scope, asked, failures, &mut |w| {
            let asked = rule.when.as_ref().is_none_or(|when| w.holds(when) == Some(true));
            if asked && w.holds(&rule.check) == Some(false) {
                w.fail(&rule.at, &rule.code, format!("{}: {}", rule.id, rule.title.en));
            }
            w.tell(&rule.at);
        });
    }
}

/// Visits every record of a scope.
pub(crate) fn walk<'a>(
    body: &'a Node<'a>,
    scope: &Scope,
    asked: &mut Asked<'_>,
    failures: &mut Vec<Failure>,
    visit: &mut dyn FnMut(&mut Walk<'_, 'a, '_>),
) {
    let frames = vec![Frame { value: body, index: 0 }];
    Walk { frames, scope, asked, failures }.level(0, visit);
}

impl<'a> Walk<'_, 'a, '_> {
    /// Goes through the lists from this one on. A list that is longer than its field allows has failed already.
    fn level(&mut self, depth: usize, visit: &mut dyn FnMut(&mut Walk<'_, 'a, '_>)) {
        let Some(list) = self.scope.lists.get(depth) else {
            let mut here = Walk {
                frames: std::mem::take(&mut self.frames),
                scope: self.scope,
                asked: self.asked,
                failures: self.failures,
            };
            visit(&mut here);
            self.frames = here.frames;
            return;
        };
        let Some(record) = self.frames.last().map(|f| f.value) else { return };
        let Some(node) = list.iter().try_fold(record, |node, name| node.member(name)) else { return };
        let items = node.items().unwrap_or(0).min(self.bound(depth));
        for index in 0..items {
            let Some(value) = node.item(index) else { return };
            self.frames.push(Frame { value, index });
            self.level(depth + 1, visit);
            self.frames.pop();
        }
    }

    /// How many items the list may have.
    fn bound(&self, depth: usize) -> usize {
        self.scope.longest.get(depth).copied().unwrap_or(0)
    }

    pub(crate) fn holds(&mut self, expression: &Expression) -> Option<bool> {
        expression.holds(&self.frames, self.asked).ok()
    }

    /// Reports tables that could not answer, once each.
    fn tell(&mut self, at: &[Box<str>]) {
        let new: Vec<String> =
            self.asked.useless[self.asked.told..].iter().map(|(_, why)| why.clone()).collect();
        self.asked.told = self.asked.useless.len();
        let kind = self.asked.kind;
        for why in new {
            self.fail(at, &kind.pack.codes.table, why);
        }
    }

    /// How many failures there are so far.
    pub(crate) fn failed(&self) -> usize {
        self.failures.len()
    }

    /// Takes the failures that came after these.
    pub(crate) fn failures_since(&mut self, before: usize) -> Vec<Failure> {
        self.failures.split_off(before.min(self.failures.len()))
    }

    pub(crate) fn fail(&mut self, at: &[Box<str>], code: &str, detail: String) {
        let mut path = String::from("/body");
        for (list, frame) in self.scope.lists.iter().zip(self.frames.iter().skip(1)) {
            for name in list {
                path.push('/');
                path.push_str(name);
            }
            path.push('/');
            path.push_str(&frame.index.to_string());
        }
        for name in at {
            path.push('/');
            path.push_str(name);
        }
        self.failures.push(Failure { path, code: code.to_owned(), detail });
    }
}
