//! Queries of documents: lists in pages, counts, one document with its versions and receipts.

use crate::keys::{self, decrypt};
use crate::platform::Platform;
use crate::rows::{self, DocumentRow, ReferenceRow};
use crate::token::Token;
use crate::{Error, read};
use bytes::Bytes;
use eport_api_types::{
    BodyItem, DocumentDetail, DocumentItem, DocumentQuery, Page, Receipt, TableUsed, VersionItem,
    from_rfc3339, rfc3339,
};
use eport_documents::{BusinessKey, State};
use eport_envelope::{Blind, KeyRing, Part};
use eport_model::{Durability, Position, Timestamp};
use eport_sharing::SharingAction;

/// What a caller may see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Every document.
    All,
    /// Only documents lodged in this name.
    Own(String),
    /// Only documents of which this agency gets a part; of each only that part and its own receipts.
    Agency(String),
    /// What the rules of sharing let a reader from outside see.
    Shared(crate::Viewer),
}

/// A query with its parameters understood.
struct Filter {
    doc_type: Option<String>,
    state: Option<State>,
    client_ref: Option<String>,
    /// What rows are compared with, made when the platform's keys are at hand.
    blind: Option<Blind>,
    since: Option<Timestamp>,
}

impl Filter {
    fn new(query: &DocumentQuery) -> Result<Self, Error> {
        let state = query.state.as_deref().map(str::parse).transpose();
        let since = query.since.as_deref().map(|s| from_rfc3339(s).ok_or(())).transpose();
        Ok(Self {
            doc_type: query.doc_type.clone(),
            state: state.map_err(|_| Error::Parameter {
                parameter: "state",
                reason: "a document state is expected",
            })?,
            client_ref: query.client_ref.clone(),
            blind: None,
            since: since.map_err(|()| Error::Parameter {
                parameter: "since",
                reason: "an RFC 3339 instant is expected",
            })?,
        })
    }

    fn of_token(token: &Token) -> Result<Self, Error> {
        Ok(Self {
            doc_type: token.doc_type.clone(),
            state: token.state.as_deref().map(str::parse).transpose().map_err(|_| Error::Parameter {
                parameter: "page_token",
                reason: "it is not a token of this list",
            })?,
            client_ref: token.client_ref.clone(),
            blind: None,
            since: token.since.map(Timestamp::from_millis),
        })
    }

    fn token(&self, after: &[u8]) -> String {
        let state = self.state.map(|s| s.to_string());
        let since = self.since.map(Timestamp::as_millis);
        Token::new(self.doc_type.clone(), state, self.client_ref.clone(), since, after.to_vec()).print()
    }

    /// With what is needed to compare client references; without one no key is needed.
    fn keyed(mut self, platform: &Platform) -> Result<Self, Error> {
        if let Some(reference) = &self.client_ref {
            self.blind = Some(keys::blind(&*platform.inner.config.keys.need()?, reference));
        }
        Ok(self)
    }

    /// True when a document passes what the scanned index does not already say.
    fn passes(&self, row: &DocumentRow) -> bool {
        self.doc_type.as_ref().is_none_or(|t| *t == row.doc_type)
            && self.state.is_none_or(|s| s == row.state)
            && self.blind.is_none_or(|r| r == row.blind)
            && self.since.is_none_or(|t| row.received_at >= t)
    }

    /// True when the index alone answers: type and state are its prefix.
    fn is_index_prefix(&self) -> bool {
        self.client_ref.is_none() && self.since.is_none() && (self.state.is_none() || self.doc_type.is_some())
    }
}

/// Rows of one round of a scan.
const ROUND: usize = 512;

impl Platform {
    /// One page of documents. A page may hold fewer items than asked for and still carry a token.
    pub fn list(&self, query: &DocumentQuery, scope: &Scope) -> Result<Page<DocumentItem>, Error> {
        let config = &self.inner.config;
        let limit = query.limit.map_or(config.page_default, |l| l as usize).clamp(1, config.page_max);
        if let Some(key) = &query.key {
            return self.by_key(key, query, scope);
        }
        let token = query.page_token.as_deref().map(Token::parse).transpose()?;
        let filter = match &token {
            Some(token) => Filter::of_token(token)?,
            None => Filter::new(query)?,
        }
        .keyed(self)?;
        let ring = config.keys.need()?;
        let mut items = Vec::new();
        let after = token.map(|t| Bytes::from(t.after));
        let next = self.walk(&filter, scope, after, config.page_rows_max, |id, row| {
            let position = read::position(&*self.inner.log, &row)?;
            items.push(item(&ring, id, row, position)?);
            if let (Some(_), Some(last)) = (scope.agency(), items.last_mut()) {
                last.client_ref = String::new();
            }
            Ok(items.len() < limit)
        })?;
        Ok(Page { items, next_page_token: next.map(|after| filter.token(&after)) })
    }

    /// How many documents match.
    pub fn count(&self, query: &DocumentQuery, scope: &Scope) -> Result<u64, Error> {
        if let Some(key) = &query.key {
            return Ok(self.by_key(key, query, scope)?.items.len() as u64);
        }
        let filter = Filter::new(query)?.keyed(self)?;
        let all = *scope == Scope::All || scope.viewer().is_some_and(crate::Viewer::lists_all);
        if all && filter.is_index_prefix() {
            return Ok(self.inner.log.count(&rows::states(filter.doc_type.as_deref(), filter.state))?);
        }
        let mut count = 0;
        self.walk(&filter, scope, None, usize::MAX, |_, _| {
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    }

    fn by_key(&self, key: &str, query: &DocumentQuery, scope: &Scope) -> Result<Page<DocumentItem>, Error> {
        let wrong = |_| Error::Parameter {
            parameter: "key",
            reason: "lodged_by|doc_type|client_ref|doc_version is expected",
        };
        let key: BusinessKey = key.parse().map_err(wrong)?;
        let filter = Filter::new(query)?.keyed(self)?;
        let (log, ring) = (&*self.inner.log, self.inner.config.keys.need()?);
        let reference = rows::reference(&key.lodged_by, &key.doc_type, &keys::blind(&ring, &key.client_ref));
        let Some(value) = log.get(&reference)? else { return Ok(Page::whole(Vec::new())) };
        let named: ReferenceRow = rows::decode(&reference, &value)?;
        let row = read::version(log, &named.doc_id, key.doc_version)?.filter(|r| filter.passes(r));
        let seen = match &row {
            Some(row) => self.sees(scope, &named.doc_id, row)?,
            None => false,
        };
        let Some(row) = row.filter(|_| seen) else { return Ok(Page::whole(Vec::new())) };
        let position = read::position(log, &row)?;
        Ok(Page::whole(vec![item(&ring, &named.doc_id, row, position)?]))
    }

    /// Calls `each` with the matching documents until it answers false. Returns the row to go on after, unless all were seen.
    fn walk(
        &self,
        filter: &Filter,
        scope: &Scope,
        mut after: Option<Bytes>,
        rows_max: usize,
        mut each: impl FnMut(&str, DocumentRow) -> Result<bool, Error>,
    ) -> Result<Option<Bytes>, Error> {
        let log = &*self.inner.log;
        let mut seen = 0;
        for prefix in self.prefixes(filter) {
            if after.as_ref().is_some_and(|a| **a > *prefix && !a.starts_with(&prefix)) {
                continue;
            }
            loop {
                let from = after.as_ref().filter(|a| a.starts_with(&prefix));
                let found = log.scan(&prefix, from.map(|a| &**a), ROUND)?;
                let ended = found.len() < ROUND;
                for (id, key, row) in self.documents(found)? {
                    seen += 1;
                    after = Some(key.clone());
                    if filter.passes(&row) && self.sees(scope, &id, &row)? && !each(&id, row)? {
                        return Ok(Some(key));
                    }
                    if seen >= rows_max {
                        return Ok(Some(key));
                    }
                }
                if ended {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Whether a caller may see a version of a document at all.
    pub(crate) fn sees(&self, scope: &Scope, doc_id: &str, row: &DocumentRow) -> Result<bool, Error> {
        match scope {
            Scope::Shared(viewer) => Ok(self.judged(viewer, doc_id, row, SharingAction::Search)?.is_ok()),
            Scope::All => Ok(true),
            Scope::Own(name) => Ok(row.lodged_by == *name),
            Scope::Agency(code) => self.is_recipient(doc_id, row.doc_version, code),
        }
    }

    /// Whether a caller may see the newest version of a document; what is not there is seen by nobody.
    pub fn visible(&self, scope: &Scope, doc_id: &str) -> Result<bool, Error> {
        match read::newest(&*self.inner.log, doc_id)? {
            Some(row) => self.sees(scope, doc_id, &row),
            None => Ok(false),
        }
    }

    /// One document as a caller may see it: an agency is shown its part and nothing else.
    pub fn show_to(&self, scope: &Scope, doc_id: &str) -> Result<Option<DocumentDetail>, Error> {
        let Some(mut shown) = self.show(doc_id, None)? else { return Ok(None) };
        let row = read::newest(&*self.inner.log, doc_id)?;
        if let (Scope::Shared(viewer), Some(row)) = (scope, &row) {
            self.veil(viewer, doc_id, row, &mut shown)?;
        }
        if let Scope::Agency(code) = scope {
            let part = match row {
                Some(row) => self.part_of(&row, code)?,
                None => None,
            };
            shown.item.client_ref = String::new();
            shown.body = part.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        }
        Ok(Some(shown))
    }

    /// Receipts of a document as a caller may see them: an agency sees its own and the platform's.
    pub fn receipts_to(&self, scope: &Scope, doc_id: &str) -> Result<Vec<Receipt>, Error> {
        let mut all = self.receipts(doc_id)?;
        if let Some(code) = scope.agency() {
            all.retain(|r| r.agency == code || r.agency.starts_with("platform/"));
        }
        Ok(all)
    }

    /// Index prefixes that together hold every match, in key order.
    fn prefixes(&self, filter: &Filter) -> Vec<Bytes> {
        let known = || self.inner.packs.types().into_iter();
        match (&filter.blind, &filter.doc_type) {
            (Some(reference), Some(t)) => vec![rows::references(t, reference)],
            (Some(reference), None) => known().map(|t| rows::references(&t, reference)).collect(),
            (None, Some(t)) => vec![rows::states(Some(t), filter.state)],
            (None, None) if filter.state.is_some() => {
                known().map(|t| rows::states(Some(&*t), filter.state)).collect()
            }
            (None, None) => vec![rows::states(None, None)],
        }
    }

    /// The documents that index rows name, with the index key.
    fn documents(&self, index: Vec<(Bytes, Bytes)>) -> Result<Vec<(String, Bytes, DocumentRow)>, Error> {
        let mut named = Vec::with_capacity(index.len());
        for (key, value) in index {
            let id = match key.starts_with(b"r/") {
                true => Some(rows::decode::<ReferenceRow>(&key, &value)?.doc_id),
                false => rows::doc_id_of_state(&key).map(str::to_owned),
            };
            named.extend(id.map(|id| (id, key)));
        }
        let keys: Vec<Bytes> = named.iter().map(|(id, _)| rows::document(id)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|k| &**k).collect();
        let values = self.inner.log.get_many(&keys)?;
        let mut documents = Vec::with_capacity(named.len());
        for ((id, key), value) in named.into_iter().zip(values) {
            if let Some(value) = value {
                let row = rows::decode(&key, &value)?;
                documents.push((id, key, row));
            }
        }
        Ok(documents)
    }

    /// The number to look a document up by: that of the document itself, or the one that stands for it since a failover left
    /// the record behind which the number was given in.
    pub fn number(&self, doc_id: &str) -> Result<String, Error> {
        let log = &*self.inner.log;
        if log.get(&rows::document(doc_id))?.is_some() {
            return Ok(doc_id.to_owned());
        }
        Ok(read::present_number(log, doc_id)?.unwrap_or_else(|| doc_id.to_owned()))
    }

    /// One document with its content; the newest version unless one is named.
    pub fn show(&self, doc_id: &str, version: Option<u32>) -> Result<Option<DocumentDetail>, Error> {
        let log = &*self.inner.log;
        let row = match version {
            Some(version) => read::version(log, doc_id, version)?,
            None => read::newest(log, doc_id)?,
        };
        let Some(row) = row else { return Ok(None) };
        let record = read::record(log, &row)?;
        let body = match &record {
            Some((header, _)) => log.body(header.index, row.body)?,
            None => None,
        };
        let erased = body.as_ref().is_some_and(|b| b.is_empty());
        let ring = self.inner.config.keys.need()?;
        let part = if row.body == 0 { Part::Request } else { Part::Shown };
        let body =
            body.filter(|b| !b.is_empty()).map(|b| decrypt(&ring, &row.request(), part, &b)).transpose()?;
        let content = body.and_then(|b| serde_json::from_slice::<serde_json::Value>(&b).ok());
        let tables = record.iter().flat_map(|(header, _)| &header.reads).filter_map(|read| {
            let table = read.name.strip_prefix("table:")?.to_owned();
            Some(TableUsed { table, version: read.version.clone() })
        });
        let durability = match log.status().borrow().durability_now {
            "replicated" => Some(Durability::Replicated),
            "local" => Some(Durability::Local),
            _ => None,
        };
        let position =
            record.as_ref().map(|(h, digest)| Position { epoch: h.epoch, index: h.index, digest: *digest });
        Ok(Some(DocumentDetail {
            owner_platform: log.region().to_string(),
            pack_version: row.pack_version.clone(),
            code_table_set: tables.collect(),
            previous_version_hash: row.previous.map(|d| d.to_string()),
            durability,
            erased,
            masked: Vec::new(),
            shared_by: Vec::new(),
            body: content
                .and_then(|mut c| c.get_mut("body").map(serde_json::Value::take))
                .unwrap_or_default(),
            item: item(&ring, doc_id, row, position)?,
        }))
    }

    /// Every version of a document, 1 first; empty when there is none of this number.
    pub fn versions(&self, doc_id: &str) -> Result<Vec<VersionItem>, Error> {
        let log = &*self.inner.log;
        let version = |row: DocumentRow| {
            Ok(VersionItem {
                position: read::position(log, &row)?,
                doc_version: row.doc_version,
                function_code: row.function_code,
                state: row.state.to_string(),
                received_at: rfc3339(row.received_at),
            })
        };
        read::versions(log, doc_id)?.into_iter().map(version).collect()
    }

    /// The bodies of every version of a document, by place and digest; empty when there is none of this number.
    pub fn bodies(&self, doc_id: &str) -> Result<Vec<BodyItem>, Error> {
        let log = &*self.inner.log;
        let mut out = Vec::new();
        for row in read::versions(log, doc_id)? {
            let Some((header, _)) = read::record(log, &row)? else { continue };
            for (n, body) in (0u16..).zip(&header.bodies) {
                out.push(BodyItem {
                    record: header.index.as_u64(),
                    body: n,
                    digest: body.digest,
                    bytes: body.len,
                    doc_version: row.doc_version,
                    erased: body.len > 0 && log.body(header.index, n)?.is_none_or(|b| b.is_empty()),
                });
            }
        }
        Ok(out)
    }

    /// Receipts of a document, oldest first; empty when there is none of this number.
    ///
    /// The platform's own receipt of storage (E1) is a projection of the record that stored the version: the record is its
    /// proof, so a row of its own would only double what each document costs.
    pub fn receipts(&self, doc_id: &str) -> Result<Vec<Receipt>, Error> {
        let log = &*self.inner.log;
        let receipt = |row: DocumentRow| {
            Ok(Receipt {
                receipt_id: format!("{doc_id}-{}-E1", row.doc_version),
                agency: format!("platform/{}", log.region()),
                doc_id: doc_id.to_owned(),
                doc_version: row.doc_version,
                kind: "TECH_ACK".into(),
                code: "E1".into(),
                text: "stored / 已入库".into(),
                event_time: rfc3339(row.received_at),
                received_at: None,
                applied: None,
                note: String::new(),
                position: read::position(log, &row)?,
            })
        };
        let own: Result<Vec<Receipt>, Error> =
            read::versions(log, doc_id)?.into_iter().map(receipt).collect();
        let mut all = own?;
        all.extend(self.receipts_that_came(doc_id)?);
        Ok(all)
    }
}

fn item(
    ring: &KeyRing,
    doc_id: &str,
    row: DocumentRow,
    position: Option<Position>,
) -> Result<DocumentItem, Error> {
    Ok(DocumentItem {
        client_ref: row.open(ring)?.client_ref,
        doc_id: doc_id.to_owned(),
        doc_version: row.doc_version,
        doc_type: row.doc_type,
        lodged_by: row.lodged_by,
        function_code: row.function_code,
        state: row.state.to_string(),
        received_at: rfc3339(row.received_at),
        position,
    })
}
