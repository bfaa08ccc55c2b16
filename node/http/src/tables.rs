//! Code tables as this node can answer them: names and instants from the registry, content from the object store.
//!
//! Always holds: a version is answered from its own content or not at all; a version in force whose content is not here is
//! `NotHere`, never another version. Content is opened at first use and kept while it is used.

use eport_agent::Agent;
use eport_catalog::{ContentError, ContentReader, Key, Source, TableName};
use eport_codetables::{Reading, Rules, Table, TableSchema};
use eport_consensus::Registry;
use eport_documents::{InForce, Lookup, TableRow, TableVersion as Used, Tables};
use eport_model::{Code, Coded, Digest, RegionCode, Timestamp, codes};
use eport_registry::{TableId, TableVersion};
use eport_store::ObjectStore;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Opened tables kept in memory; beyond it, those not asked for last are dropped and opened again when needed.
const OPEN_MAX: usize = 128;
/// Files that come in, are read or wait for it; each is on the disk.
const IMPORTS_WAITING_MAX: usize = 4;

/// Why a table cannot be answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such table, version or key.
    #[error("there is no {0}")]
    NotFound(String),
    /// A version is in force but its content is not on this node.
    #[error("version {version} of {table} is not on this node yet")]
    NotHere {
        /// The table.
        table: String,
        /// The version.
        version: u64,
    },
    /// The version's content was given up.
    #[error("version {version} of {table} is retired")]
    Retired {
        /// The table.
        table: String,
        /// The version.
        version: u64,
    },
    /// The content here does not prove itself.
    #[error("content of {table} version {version}: {source}")]
    Damaged {
        /// The table.
        table: String,
        /// The version.
        version: u64,
        /// What is wrong.
        #[source]
        source: Arc<ContentError>,
    },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Error::NotFound(_) => codes::NOT_FOUND,
            Error::NotHere { .. } => codes::TABLE_NOT_HERE,
            Error::Retired { .. } => codes::TABLE_RETIRED,
            Error::Damaged { .. } => codes::RECORD_DAMAGED,
        }
    }
}

/// One version as lookups need it.
struct Entry {
    version: TableVersion,
    used: Used,
    rules: Arc<Rules>,
}

/// The rules of a version. Text that cannot be read, from a newer release perhaps, says nothing.
fn rules_of(version: &TableVersion) -> Arc<Rules> {
    Arc::new(TableSchema::parse(&version.schema).map(|s| s.rules).unwrap_or_default())
}

/// The registry's tables by every name that documents may use.
#[derive(Default)]
struct Names {
    index: u64,
    /// Versions that bundles brought.
    carried: usize,
    /// Versions in the order in which they take over; the last one at or before an instant is in force.
    by_name: HashMap<String, Arc<Vec<Entry>>>,
}

/// A clock of uses, and each opened table with its last use.
type Opened = (u64, HashMap<Digest, (u64, Table)>);

/// Code tables of the federation on this node.
pub struct TableService {
    agent: Agent,
    registry: Registry,
    objects: ObjectStore,
    province: RegionCode,
    names: RwLock<Arc<Names>>,
    open: Mutex<Opened>,
    importing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl TableService {
    /// A service; bare names mean `province`'s tables.
    pub fn new(agent: Agent, province: RegionCode) -> Arc<Self> {
        let (registry, objects) = (agent.registry().clone(), agent.objects().clone());
        let (names, open) = (RwLock::default(), Mutex::default());
        let one = |permits| Arc::new(Semaphore::new(permits));
        let (importing, waiting) = (one(1), one(IMPORTS_WAITING_MAX));
        Arc::new(Self { agent, registry, objects, province, names, open, importing, waiting })
    }

    /// A place among the few files that come in or wait to be read. `None` when too many do.
    pub(crate) fn import_place(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.clone().try_acquire_owned().ok()
    }

    /// Waits for the right to read a file; it goes with the work, which goes on when nobody waits for it any more.
    pub(crate) async fn import_turn(&self) -> Option<OwnedSemaphorePermit> {
        self.importing.clone().acquire_owned().await.ok()
    }

    /// The content of a version to be read from the beginning, chunk by chunk; it is never in memory as a whole.
    pub(crate) fn source(&self, version: &TableVersion) -> Result<Arc<dyn Source>, Error> {
        self.is_held(version)?;
        let (objects, root) = (self.objects.clone(), version.root);
        let reader = ContentReader::open(objects.clone(), &root).map_err(|_| Error::Damaged {
            table: version.table.to_string(),
            version: version.version,
            source: Arc::new(ContentError::Missing(root)),
        })?;
        Ok(Arc::new(Stored { len: reader.left(), objects, root }))
    }

    fn is_held(&self, version: &TableVersion) -> Result<(), Error> {
        let (table, number) = (version.table.to_string(), version.version);
        if !version.keeps_content() {
            return Err(Error::Retired { table, version: number });
        }
        match self.objects.has(&version.root) {
            true => Ok(()),
            false => Err(Error::NotHere { table, version: number }),
        }
    }

    /// Reads `OWNER/NAME` or a bare name.
    pub fn resolve(&self, text: &str) -> Result<TableId, Error> {
        let name = TableName::resolve(text, self.province).map_err(|e| Error::NotFound(e.to_string()))?;
        Ok(TableId::table(name.owner(), name.name()))
    }

    /// The versions of a table, newest last: those of the registry, and those a bundle brought that it does not name yet.
    /// An unknown table is an error.
    pub fn versions(&self, id: &TableId) -> Result<Vec<TableVersion>, Error> {
        let mut versions: Vec<TableVersion> =
            self.registry.state().state.table_versions(id).cloned().collect();
        versions.extend(self.agent.carried().into_iter().filter(|v| v.table == *id));
        versions.sort_by_key(|v| v.version);
        if versions.is_empty() { Err(Error::NotFound(format!("table {id}"))) } else { Ok(versions) }
    }

    /// The version in force at an instant.
    pub fn version_at(&self, id: &TableId, at: Timestamp) -> Result<TableVersion, Error> {
        let versions = self.versions(id)?;
        let begun = versions.into_iter().filter(|v| v.effective <= at && !v.is_withdrawn());
        let found = begun.max_by_key(|v| (v.effective, v.version));
        found.ok_or_else(|| Error::NotFound(format!("version of table {id} in force then")))
    }

    /// The content of a version.
    pub fn open(&self, version: &TableVersion) -> Result<Table, Error> {
        let root = version.root;
        if let Some(table) = self.opened(&root) {
            return Ok(table);
        }
        let damaged = |source| Error::Damaged {
            table: version.table.to_string(),
            version: version.version,
            source: Arc::new(source),
        };
        let content = self.content(version)?;
        let table = Table::open(content, root).map_err(damaged)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.1.len() >= OPEN_MAX
            && let Some(oldest) = open.1.iter().min_by_key(|(_, (used, _))| *used).map(|(root, _)| *root)
        {
            open.1.remove(&oldest);
        }
        let tick = open.0;
        open.1.insert(root, (tick, table.clone()));
        Ok(table)
    }

    /// The content of a version as it reads at an instant.
    pub fn reading(&self, version: &TableVersion, at: Timestamp) -> Result<Reading, Error> {
        Ok(Reading::new(self.open(version)?, rules_of(version), at))
    }

    /// The version of a table in force at an instant, by the name that rules and packs use, as it reads then.
    pub fn reading_at(&self, name: &str, at: Timestamp) -> Result<Reading, Error> {
        let version = self.version_at(&self.resolve(name)?, at)?;
        self.reading(&version, at)
    }

    /// The bytes of a version, of a catalog of any kind. Not kept in memory here.
    pub fn content(&self, version: &TableVersion) -> Result<bytes::Bytes, Error> {
        self.is_held(version)?;
        let (table, number) = (version.table.to_string(), version.version);
        // What turns out damaged is given up by the store and fetched again.
        self.objects.content(&version.root).map_err(|_| Error::Damaged {
            table,
            version: number,
            source: Arc::new(ContentError::Missing(version.root)),
        })
    }

    fn opened(&self, root: &Digest) -> Option<Table> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 += 1;
        let tick = open.0;
        let (used, table) = open.1.get_mut(root)?;
        *used = tick;
        Some(table.clone())
    }

    /// The version of a table in force at an instant, and whatever version it has, for packs; cheap.
    pub(crate) fn root_at(&self, table: &str, at: Timestamp) -> Option<TableVersion> {
        self.entry(table, at, |e| e.version.clone())
    }

    /// The digest of the content in force at an instant.
    pub(crate) fn digest_at(&self, table: &str, at: Timestamp) -> Option<Digest> {
        self.entry(table, at, |e| e.version.root)
    }

    /// Every version of a table, in the order in which they take over.
    pub(crate) fn all(&self, table: &str) -> Vec<TableVersion> {
        let names = self.names();
        names.by_name.get(table).map_or_else(Vec::new, |e| e.iter().map(|e| e.version.clone()).collect())
    }

    /// Whether a version's content can be answered from here.
    fn is_here(&self, root: &Digest) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).1.contains_key(root);
        open || self.objects.has(root)
    }

    /// Names and versions as of the registry index applied now.
    fn names(&self) -> Arc<Names> {
        let (view, carried) = (self.registry.state(), self.agent.carried());
        {
            let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
            if (names.index, names.carried) == (view.index, carried.len()) && view.index > 0 {
                return names.clone();
            }
        }
        let mut by_name = HashMap::new();
        let mut ids: std::collections::BTreeSet<&TableId> = view.state.tables().collect();
        ids.extend(
            carried.iter().map(|v| &v.table).filter(|id| id.kind == eport_registry::CatalogKind::Table),
        );
        for id in ids {
            let mut entries: Vec<Entry> = view
                .state
                .table_versions(id)
                .chain(carried.iter().filter(|v| v.table == *id))
                .filter(|v| !v.is_withdrawn())
                .map(|v| Entry {
                    used: Used {
                        table: Arc::from(id.to_string()),
                        version: Arc::from(format!("{}:{}", v.version, v.root)),
                    },
                    rules: rules_of(v),
                    version: v.clone(),
                })
                .collect();
            entries.sort_by_key(|e| (e.version.effective, e.version.version));
            let entries = Arc::new(entries);
            if id.owner == self.province {
                by_name.insert(id.name.clone(), entries.clone());
            }
            by_name.insert(id.to_string(), entries);
        }
        let fresh = Arc::new(Names { index: view.index, carried: carried.len(), by_name });
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        fresh
    }

    fn entry<T>(&self, table: &str, at: Timestamp, found: impl FnOnce(&Entry) -> T) -> Option<T> {
        let names = self.names();
        let entries = names.by_name.get(table)?;
        let after = entries.partition_point(|e| e.version.effective <= at);
        after.checked_sub(1).and_then(|i| entries.get(i)).map(found)
    }
}

/// A content of the object store.
struct Stored {
    objects: ObjectStore,
    root: Digest,
    len: u64,
}

impl Source for Stored {
    fn len(&self) -> u64 {
        self.len
    }

    fn open(&self) -> std::io::Result<Box<dyn std::io::Read + Send + '_>> {
        let reader = ContentReader::open(self.objects.clone(), &self.root);
        Ok(Box::new(reader.map_err(|e| std::io::Error::other(e.to_string()))?))
    }
}

/// Whether a row of this key counts at an instant.
fn holds(content: &Table, entry: &Entry, key: &str, at: Timestamp) -> bool {
    match entry.rules.has_validity() {
        true => Reading::new(content.clone(), entry.rules.clone(), at).contains(key),
        false => content.contains(key),
    }
}

impl Tables for TableService {
    fn lookup(&self, table: &str, key: &str, at: Timestamp) -> Lookup {
        let judged = self.entry(table, at, |e| match self.open(&e.version) {
            Ok(content) if holds(&content, e, key, at) => Lookup::Found(e.used.clone()),
            Ok(_) => Lookup::Missing(e.used.clone()),
            Err(_) => Lookup::NotHere,
        });
        judged.unwrap_or(Lookup::NotPublished)
    }

    fn cell(&self, table: &str, key: &[&str], column: Option<&str>, at: Timestamp) -> TableRow {
        let judged = self.entry(table, at, |e| match self.open(&e.version) {
            Ok(content) => cell(&content, &e.rules, key, column, at, e.used.clone()),
            Err(_) => TableRow::NotHere,
        });
        judged.unwrap_or(TableRow::NotPublished)
    }

    fn in_force(&self, table: &str, at: Timestamp) -> InForce {
        // Opened content answers by itself: no look at the disk for every document.
        let judged = self.entry(table, at, |e| match self.is_here(&e.version.root) {
            true => InForce::Version(e.used.clone()),
            false => InForce::NotHere,
        });
        judged.unwrap_or(InForce::NotPublished)
    }
}

/// What stands in a row of a version's content.
fn cell(
    content: &Table,
    rules: &Rules,
    key: &[&str],
    column: Option<&str>,
    at: Timestamp,
    used: Used,
) -> TableRow {
    let schema = content.schema();
    let known = column.is_none_or(|c| schema.columns.iter().any(|own| own.name == c));
    if schema.key.len() != key.len() || !known {
        return TableRow::Unlike(used);
    }
    let key = Key(key.iter().map(|part| (*part).to_owned()).collect());
    match (content.get(&key).filter(|row| rules.counts(row, at)), column) {
        (None, _) => TableRow::Missing(used),
        (Some(_), None) => TableRow::Found(used, None),
        (Some(row), Some(column)) => TableRow::Found(used, row.get(column).map(str::to_owned)),
    }
}
