//! Looking through the journal's files for damage, and making a damaged file whole again.
//!
//! A file is made whole by writing it anew: frames that can still be read are copied, missing ones come from another holder.
//! Always holds: the new file takes the place of the old one only when every record of it verifies and chains, from the record
//! before it to the record behind it, and is fsynced; a frame is taken for whole only by its checksums, digest and chain; a crash
//! leaves the old file or the new one. An erased body stays erased, whatever another holder has.

use super::files::{self, FRONT, Sealed};
use super::frame::{self, Frames};
use super::{Log, PoisonError};
use crate::{Error, durable, layout};
use eport_model::{JournalIndex, Position, Record, RegionCode};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Records that cannot be read, from the first to the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// First missing record.
    pub from: JournalIndex,
    /// Last missing record.
    pub to: JournalIndex,
}

/// What a look at one file found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileReport {
    /// First record that belongs into the file.
    pub first: u64,
    /// First record behind it.
    pub next: u64,
    /// Bytes looked at.
    pub bytes: u64,
    /// Records that cannot be read or do not verify.
    pub gaps: Vec<Gap>,
    /// The front or the table of places is not what it should be.
    pub frame_of_file: bool,
    /// The last record, where it could be read.
    pub last: Option<Position>,
}

impl FileReport {
    /// True when nothing is wrong with the file.
    pub fn is_whole(&self) -> bool {
        self.gaps.is_empty() && !self.frame_of_file
    }
}

/// One readable frame.
struct Found {
    index: u64,
    at: u64,
    len: u64,
    /// What it says had been fsynced when it was written.
    synced: u64,
}

/// What can be read of a file.
#[derive(Default)]
struct Salvage {
    found: Vec<Found>,
    last: Option<Position>,
    bytes: u64,
}

/// A file of the journal and the records that belong into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// Where the frames of the file that is written to end; `None` for a full file.
    active_end: Option<u64>,
}

impl Place {
    /// True when the file is not written to any more.
    pub(crate) fn is_full(&self) -> bool {
        self.active_end.is_none()
    }
}

/// Reads every frame of `place`, passing over what is none. `pay` is told of the bytes and may end the look.
fn salvage(
    file: &File,
    place: &Place,
    end: u64,
    mut before: Option<Position>,
    pay: &mut dyn FnMut(u64) -> bool,
) -> Option<Salvage> {
    let mut out = Salvage::default();
    let (mut at, mut expected) = (FRONT as u64, place.first);
    while at < end && expected < place.next {
        let mut frames = Frames::new(file, at, end);
        // A part of the disk that cannot be read counts as damage from there on.
        let read = frames.next().unwrap_or(None);
        let mut synced = 0;
        let whole = read.and_then(|(head, bytes)| {
            let fits = (expected..place.next).contains(&head.index);
            let index = JournalIndex::from_u64(head.index);
            synced = head.synced;
            let record = fits.then(|| layout::decode_record(index, bytes).ok()).flatten()?;
            let chained = match &before {
                Some(b) if head.index == expected => record.follows(b).is_ok(),
                _ => true,
            };
            (chained && record.verify().is_ok()).then_some(record)
        });
        let len = frames.at() - at;
        match whole {
            Some(record) => {
                let index = record.index().as_u64();
                out.found.push(Found { index, at, len, synced });
                before = Some(record.position());
                out.last = before;
                expected = index + 1;
                at += len;
            }
            None => match frame::next_head(file, at + 1, end, expected..place.next) {
                Ok(Some(next)) => at = next,
                _ => break,
            },
        }
        if !pay(at - FRONT as u64 - out.bytes) {
            return None;
        }
        out.bytes = at - FRONT as u64;
    }
    if out.found.last().is_none_or(|f| f.index + 1 != place.next) {
        out.last = None;
    }
    Some(out)
}

fn gaps(place: &Place, found: &[Found]) -> Vec<Gap> {
    let mut out = Vec::new();
    let mut expected = place.first;
    let ends = found.iter().map(|f| f.index).chain([place.next]);
    for index in ends {
        if index > expected {
            let at = JournalIndex::from_u64;
            out.push(Gap { from: at(expected), to: at(index - 1) });
        }
        expected = index + 1;
    }
    out
}

/// Looks at one file. `None` when the look was ended.
fn examine(
    dir: &Path,
    region: RegionCode,
    place: &Place,
    before: Option<Position>,
    pay: &mut dyn FnMut(u64) -> bool,
) -> Option<FileReport> {
    let mut report = FileReport { first: place.first, next: place.next, ..FileReport::default() };
    let all_missing = |mut report: FileReport| {
        report.gaps = gaps(place, &[]);
        report.frame_of_file = true;
        Some(report)
    };
    let path = files::path(dir, place.first);
    let Ok(file) = File::open(&path) else {
        // An archive that is away says nothing about its files.
        return if files::is_archived(&path) { None } else { all_missing(report) };
    };
    let Ok(len) = file.metadata().map(|m| m.len()) else { return all_missing(report) };
    let mut found = [0; FRONT];
    let got = frame::read_up_to(&file, &mut found, 0).unwrap_or(0);
    report.frame_of_file = got != FRONT || found != files::front(region, place.first);
    let table = match place.active_end {
        Some(_) => None,
        None => Sealed::read(&file, place.first, len).ok(),
    };
    let end = place.active_end.or(table.map(|(_, end)| end)).unwrap_or(len).min(len);
    let salvage = salvage(&file, place, end, before, pay)?;
    report.bytes = salvage.bytes;
    report.gaps = gaps(place, &salvage.found);
    report.last = salvage.last;
    if place.active_end.is_none() {
        // Only a whole file can tell whether its table leads to its records.
        report.frame_of_file |= match table {
            Some((count, end)) if report.gaps.is_empty() => {
                let offsets: Vec<u32> = salvage.found.iter().map(|f| f.at as u32).collect();
                let wanted = files::table(place.first, &offsets, end);
                let mut there = vec![0; wanted.len()];
                let read = frame::read_up_to(&file, &mut there, end).unwrap_or(0);
                count != place.next - place.first || read != wanted.len() || there != wanted
            }
            Some(_) => false,
            None => true,
        };
    }
    Some(report)
}

/// Writes the file anew beside the old one. Answers it with its last record; nothing is in its place yet.
fn write_anew(
    dir: &Path,
    region: RegionCode,
    place: &Place,
    before: Option<Position>,
    fetched: &BTreeMap<u64, Arc<Record>>,
) -> Result<(durable::Draft, Position), Error> {
    let path = files::path(dir, place.first);
    let old = File::open(&path).ok();
    let len = old.as_ref().and_then(|f| f.metadata().ok()).map_or(0, |m| m.len());
    let end = place.active_end.unwrap_or(len).min(len);
    let kept = match &old {
        Some(old) => salvage(old, place, end, before, &mut |_| true).unwrap_or_default().found,
        None => Vec::new(),
    };
    let mut kept = kept.into_iter().map(|f| (f.index, f)).collect::<BTreeMap<_, _>>();
    let mut draft = durable::Draft::create(&path)?;
    draft.write(&files::front(region, place.first))?;
    let (mut at, mut offsets, mut before) = (FRONT as u64, Vec::new(), before);
    for index in place.first..place.next {
        let damaged = |why: &str| {
            let why = format!("record {index}: {why}");
            Error::damaged(&path, Some(JournalIndex::from_u64(index)), why)
        };
        let bytes = match (kept.remove(&index), &old, fetched.get(&index)) {
            (Some(found), Some(old), _) => {
                let mut bytes = vec![0; found.len as usize];
                let got = frame::read_up_to(old, &mut bytes, found.at);
                let got = got.map_err(|e| Error::io("read journal", &path, e))?;
                bytes.truncate(got);
                bytes
            }
            (_, _, Some(record)) => {
                let mut bytes = Vec::new();
                // Everything before it had been fsynced when it is written here.
                frame::push(record, index - 1, &mut bytes);
                bytes
            }
            _ => return Err(damaged("no other holder has given it")),
        };
        let record = decode(index, &bytes).ok_or_else(|| damaged("its frame cannot be read"))?;
        let fits = before.as_ref().map_or(Ok(()), |b| record.follows(b));
        record.verify().and(fits).map_err(|defect| damaged(&defect.to_string()))?;
        before = Some(record.position());
        offsets.push(u32::try_from(at).map_err(|_| damaged("the file is too long"))?);
        draft.write(&bytes)?;
        at += bytes.len() as u64;
    }
    let last = before.ok_or_else(|| Error::damaged(&path, None, "the file holds no record"))?;
    if place.active_end.is_none() {
        draft.write(&files::table(place.first, &offsets, at))?;
    }
    draft.sync()?;
    Ok((draft, last))
}

fn decode(index: u64, frame: &[u8]) -> Option<Record> {
    let head = frame::Head::decode(frame).filter(|h| h.index == index)?;
    let bytes = frame.get(frame::HEAD..)?;
    let whole = bytes.len() == head.len;
    whole.then(|| layout::decode_record(JournalIndex::from_u64(index), bytes.to_vec().into()).ok()).flatten()
}

/// The first record of a file, as it lies there.
fn first_record(dir: &Path, first: u64) -> Option<Record> {
    let file = File::open(files::path(dir, first)).ok()?;
    let len = file.metadata().ok()?.len();
    let (head, bytes) = Frames::new(&file, FRONT as u64, len).next().ok()??;
    (head.index == first).then(|| layout::decode_record(JournalIndex::from_u64(first), bytes).ok()).flatten()
}

fn check_join(dir: &Path, next: u64, last: &Position) -> Result<(), Error> {
    match first_record(dir, next) {
        // A damaged neighbour is mended next, and is then compared with this one.
        None => Ok(()),
        Some(record) => record.follows(last).map_err(|defect| {
            Error::damaged(dir, Some(record.index()), format!("{defect}, as other holders have it"))
        }),
    }
}

impl Log {
    /// The files as of now, in order.
    pub(crate) fn file_places(&self) -> Vec<Place> {
        let places = self.look();
        let nexts = places.sealed.iter().skip(1).copied().chain([places.active.first]);
        let sealed = places.sealed.iter().zip(nexts);
        let mut out: Vec<Place> =
            sealed.map(|(first, next)| Place { first: *first, next, active_end: None }).collect();
        let active = &places.active;
        out.push(Place { first: active.first, next: active.next(), active_end: Some(active.end) });
        out
    }

    /// Looks at one file. `None` when `pay` ended the look, or the journal was cut meanwhile.
    pub(crate) fn examine(
        &self,
        place: &Place,
        before: Option<Position>,
        pay: &mut dyn FnMut(u64) -> bool,
    ) -> Option<FileReport> {
        let cuts = self.cuts.load(Ordering::SeqCst);
        let report = examine(&self.dir, self.region, place, before, pay)?;
        (self.cuts.load(Ordering::SeqCst) == cuts).then_some(report)
    }

    /// Makes a file whole with records that another holder gave. The file that is written to is ended first; the caller lets
    /// nobody append or cut meanwhile where `first` is that file, and calls `commit` under the same rule.
    pub(crate) fn mend(
        &self,
        first: u64,
        before: Option<Position>,
        fetched: &BTreeMap<u64, Arc<Record>>,
    ) -> Result<Mended, Error> {
        let cuts = self.cuts.load(Ordering::SeqCst);
        let place = self.file_places().into_iter().find(|p| p.first == first);
        let gone = || Error::NoRecord { index: JournalIndex::from_u64(first) };
        let place = place.filter(|p| p.active_end.is_none()).ok_or_else(gone)?;
        let (draft, last) = write_anew(&self.dir, self.region, &place, before, fetched)?;
        check_join(&self.dir, place.next, &last)?;
        Ok(Mended { draft, cuts })
    }

    /// Puts a mended file into its place. False when the journal was cut meanwhile: nothing was changed. Nobody appends, cuts
    /// or erases while it runs.
    pub(crate) fn commit(&self, mended: Mended) -> Result<bool, Error> {
        if self.cuts.load(Ordering::SeqCst) != mended.cuts {
            return Ok(false);
        }
        mended.draft.publish()?;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(true)
    }

    /// Ends the file that is written to when it is the one that begins with `first`. Nobody appends meanwhile.
    pub(crate) fn end_file(&self, first: u64) -> Result<(), Error> {
        let (active, empty) = {
            let places = self.look();
            (places.active.first, places.active.offsets.is_empty())
        };
        if active == first && !empty { self.roll() } else { Ok(()) }
    }
}

/// A file written anew, not in its place yet.
pub(crate) struct Mended {
    draft: durable::Draft,
    cuts: u64,
}

/// A journal that could not be opened because a file of it is damaged.
pub struct ClosedJournal {
    dir: PathBuf,
    region: RegionCode,
    damaged: Vec<(Place, Option<Position>, FileReport)>,
}

impl ClosedJournal {
    /// Looks through the whole journal in `dir`, a platform's folder that nobody has open. `fsynced` is the last record known to
    /// have been fsynced.
    pub(crate) fn look(dir: &Path, region: RegionCode, fsynced: u64) -> Result<Self, Error> {
        let firsts = files::list(dir)?;
        let mut damaged = Vec::new();
        let mut before = Some(Position::ZERO);
        for place in closed_places(dir, &firsts, fsynced) {
            let report = examine(dir, region, &place, before, &mut |_| true).unwrap_or_default();
            let from = std::mem::replace(&mut before, report.last);
            if !report.is_whole() {
                damaged.push((place, from, report));
            }
        }
        Ok(Self { dir: dir.to_owned(), region, damaged })
    }

    /// Records that another holder must give.
    pub fn gaps(&self) -> Vec<Gap> {
        self.damaged.iter().flat_map(|(_, _, report)| report.gaps.iter().copied()).collect()
    }

    /// True when no file is damaged: whatever keeps the platform from opening lies elsewhere.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty()
    }

    /// Writes the damaged files anew with the records given.
    pub fn mend(&self, records: &[Arc<Record>]) -> Result<(), Error> {
        let fetched: BTreeMap<u64, Arc<Record>> =
            records.iter().map(|r| (r.index().as_u64(), r.clone())).collect();
        let mut former: Option<(u64, Position)> = None;
        for (place, before, _) in &self.damaged {
            // Behind a file that was mended just now its last record is known.
            let before = match former {
                Some((next, last)) if next == place.first => Some(last),
                _ => *before,
            };
            let (draft, last) = write_anew(&self.dir, self.region, place, before, &fetched)?;
            check_join(&self.dir, place.next, &last)?;
            draft.publish()?;
            former = Some((place.next, last));
        }
        Ok(())
    }
}

/// The files that should lie in a folder, also those that are gone.
fn closed_places(dir: &Path, firsts: &[u64], fsynced: u64) -> Vec<Place> {
    let mut out = Vec::new();
    let first = firsts.first().copied().unwrap_or(1);
    if first > 1 {
        out.push(Place { first: 1, next: first, active_end: None });
    }
    for (n, first) in firsts.iter().enumerate() {
        let file = File::open(files::path(dir, *first)).ok();
        let len = file.as_ref().and_then(|f| f.metadata().ok()).map_or(0, |m| m.len());
        let table = file.as_ref().and_then(|f| Sealed::read(f, *first, len).ok());
        match (firsts.get(n + 1), table) {
            (Some(next), Some((count, _))) if first + count < *next => {
                out.push(Place { first: *first, next: first + count, active_end: None });
                out.push(Place { first: first + count, next: *next, active_end: None });
            }
            (Some(next), _) => out.push(Place { first: *first, next: *next, active_end: None }),
            (None, Some((count, _))) => {
                let next = first + count;
                out.push(Place { first: *first, next, active_end: None });
                if fsynced >= next {
                    out.push(Place { first: next, next: fsynced + 1, active_end: Some(u64::MAX) });
                }
            }
            (None, None) => {
                let probe = Place { first: *first, next: u64::MAX, active_end: Some(u64::MAX) };
                let found = file.as_ref().and_then(|f| salvage(f, &probe, len, None, &mut |_| true));
                let found = found.unwrap_or_default().found;
                // What follows the last record that is proven to have been fsynced is kept as far as it is dense: behind that
                // lies the torn end of a crash.
                let proven = found.iter().map(|f| f.synced).chain([fsynced, first - 1]).max().unwrap_or(0);
                let follow = |last: u64, f: &Found| if f.index == last + 1 { f.index } else { last };
                let next = found.iter().fold(proven, follow) + 1;
                out.push(Place { first: *first, next, active_end: Some(u64::MAX) });
            }
        }
    }
    if firsts.is_empty() && fsynced > 0 {
        out.push(Place { first: 1, next: fsynced + 1, active_end: Some(u64::MAX) });
    }
    out
}
