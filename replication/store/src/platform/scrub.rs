//! Looking through what is stored for damage, at a pace that the caller sets, and mending the journal's files.
//!
//! Always holds: looking changes nothing; what is read comes from the files and not from a cache of ours; a mended file is
//! proven by the digest chain before it takes its place (see `log::mend`).

use super::rows::{families_of, is_rows};
use super::{Database, PlatformStore, hold};
use crate::Error;
use crate::log::{ClosedJournal, FileReport};
use crate::platform::promise::Promise;
use eport_model::{JournalIndex, Position, Record, RegionCode};
use rocksdb::{IteratorMode, Options, ReadOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// How often tables may go while they are looked at before one is called missing.
const OPEN_TRIES: usize = 5;

/// A file of the journal: its first record, and the first behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScrubPlace {
    /// First record.
    pub first: JournalIndex,
    /// First record behind the file.
    pub next: JournalIndex,
}

/// What a look through the rows found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RowsLook {
    /// Rows that could be read.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What cannot be read, if anything.
    pub damage: Option<String>,
    /// The damage lies in what only this node knows of itself: no journal makes that anew.
    pub of_this_node: bool,
}

/// True for the error of a table that is not there.
fn is_gone(damage: &str) -> bool {
    damage.contains("No such file or directory")
}

impl PlatformStore {
    /// The journal's files, in order.
    pub fn journal_files(&self) -> Vec<ScrubPlace> {
        let at = JournalIndex::from_u64;
        self.0.log.file_places().iter().map(|p| ScrubPlace { first: at(p.first), next: at(p.next) }).collect()
    }

    /// Looks at the file that begins with record `first`: every frame, every digest, the chain. `pay` is told of the bytes and
    /// may end it. `None` when it was ended, or the file is not there any more.
    pub fn examine_file(&self, first: JournalIndex, pay: &mut dyn FnMut(u64) -> bool) -> Option<FileReport> {
        let place = self.0.log.file_places().into_iter().find(|p| p.first == first.as_u64())?;
        self.0.log.examine(&place, self.before(first), pay)
    }

    /// The record before `first`, if it can be read.
    fn before(&self, first: JournalIndex) -> Option<Position> {
        self.position(first.previous()).ok().flatten()
    }

    /// Writes the file that begins with record `first` anew, with the records that another holder gave for those that cannot be
    /// read. False when the journal was cut meanwhile: nothing was changed. The file that is written to is ended first.
    pub fn mend_file(&self, first: JournalIndex, records: &[Arc<Record>]) -> Result<bool, Error> {
        let _mending = hold(&self.0.mending);
        {
            let _append = hold(&self.0.append);
            self.writable()?;
            self.0.log.end_file(first.as_u64()).map_err(|e| self.poisoned(e))?;
        }
        let fetched: BTreeMap<u64, Arc<Record>> =
            records.iter().map(|r| (r.index().as_u64(), r.clone())).collect();
        // Written while the platform goes on; only the change of places keeps others out.
        let mended = self.0.log.mend(first.as_u64(), self.before(first), &fetched)?;
        let _append = hold(&self.0.append);
        self.writable()?;
        self.0.log.commit(mended)
    }

    /// Reads every row from the tables on disk. Rows not yet in tables are in memory and in the journal.
    pub fn examine_rows(&self, pay: &mut dyn FnMut(u64) -> bool) -> Result<Option<RowsLook>, Error> {
        self.flush()?;
        let mut tries = 0;
        loop {
            let look = self.look_at_tables(pay);
            match &look {
                // Merging removes tables while they are looked at: another look. One that is really gone stays so.
                Some(RowsLook { damage: Some(why), .. }) if tries < OPEN_TRIES && is_gone(why) => tries += 1,
                _ => return Ok(look),
            }
        }
    }

    /// `None` when it was ended, or rows were made anew meanwhile.
    fn look_at_tables(&self, pay: &mut dyn FnMut(u64) -> bool) -> Option<RowsLook> {
        let families = families_of(self.path());
        let mut options = Options::default();
        options.set_max_open_files(64);
        // The files are those of the open database: nothing is written, and no lock is taken.
        let db = match Database::open_cf_for_read_only(&options, self.path(), families, false) {
            Ok(db) => db,
            Err(error) => return Some(RowsLook { damage: Some(error.to_string()), ..RowsLook::default() }),
        };
        let mut look = RowsLook::default();
        let current = self.rows_family();
        let mut due = 0;
        for family in families_of(self.path()) {
            // Rows that are made anew just now are of no interest yet, rows that went neither.
            if is_rows(&family) && family != current {
                continue;
            }
            let Some(handle) = db.cf_handle(&family) else { continue };
            let mut options = ReadOptions::default();
            options.set_total_order_seek(true);
            options.fill_cache(false);
            options.set_verify_checksums(true);
            for row in db.iterator_cf_opt(&handle, options, IteratorMode::Start) {
                let (key, value) = match row {
                    Ok(row) => row,
                    Err(error) if self.rows_family() != current => {
                        tracing::debug!(%error, "rows were made anew while they were looked at");
                        return None;
                    }
                    Err(error) => {
                        look.damage = Some(format!("{family}: {error}"));
                        look.of_this_node = !is_rows(&family);
                        break;
                    }
                };
                look.rows += 1;
                due += (key.len() + value.len()) as u64;
                if due >= 1 << 18 {
                    look.bytes += due;
                    if !pay(std::mem::take(&mut due)) {
                        return None;
                    }
                }
            }
            if look.damage.is_some() {
                break;
            }
        }
        look.bytes += due;
        Some(look)
    }

    /// Looks at a journal that cannot be opened.
    pub fn look_at_closed(dir: &Path, region: RegionCode) -> Result<ClosedJournal, Error> {
        let (_, kept) = Promise::open(dir)?;
        ClosedJournal::look(&dir.join(super::open::LOG), region, kept.map_or(0, |k| k.index.as_u64()))
    }
}
