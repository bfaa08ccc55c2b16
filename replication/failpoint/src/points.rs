//! The failpoints of a build that carries them.
//!
//! An armed place is a file whose first line says what happens, in words: `stop`, `delay MS` or `fail`, and then, in any order,
//! `about=TEXT` (only when it is about this) and `skip=N` (not the first N times). Whoever stops writes `NAME.reached` beside
//! it and goes on when the file is gone or says something else. A file `clock` holds milliseconds that are added to the wall
//! clock. A file `trace` makes every place that is passed be written into it, one a line.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The variable that names the folder.
const VARIABLE: &str = "EPORT_FAILPOINTS";
/// How often a stopped place looks whether it may go on.
const LOOK: Duration = Duration::from_millis(2);
/// How often the clock's file is read.
const CLOCK_MS: u64 = 50;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();
static PASSED: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Names this process: its places are armed in the folder of that name. Later calls change nothing.
pub fn enter(scope: &str) {
    if let Some(dir) = std::env::var_os(VARIABLE).filter(|d| !d.is_empty()) {
        let _ = FOLDER.set(Path::new(&dir).join(scope));
    }
}

/// True when a test may arm places of this process.
#[inline]
pub fn active() -> bool {
    FOLDER.get().is_some()
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Action {
    Stop,
    Delay(u64),
    Fail,
}

/// What a file says; `None` when it is about something else or is not readable as one of these.
fn parse(text: &str, about: &str) -> Option<(Action, u64)> {
    let mut words = text.split_ascii_whitespace();
    let action = match words.next()? {
        "stop" => Action::Stop,
        "fail" => Action::Fail,
        "delay" => Action::Delay(words.next()?.parse().ok()?),
        _ => return None,
    };
    let mut skip = 0;
    for word in words {
        match word.split_once('=')? {
            ("about", wanted) if wanted != about => return None,
            ("skip", n) => skip = n.parse().ok()?,
            _ => {}
        }
    }
    Some((action, skip))
}

/// What is armed for this passage, with the text of the file.
fn armed(name: &str, about: &str) -> Option<(Action, PathBuf, String)> {
    let dir = FOLDER.get().filter(|_| !name.is_empty())?;
    trace(dir, name, about);
    let file = dir.join(name);
    let text = std::fs::read_to_string(&file).ok()?;
    let (action, skip) = parse(&text, about)?;
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    // Counted for this file's text: a test that arms the place anew writes another one.
    let count = passed.entry(format!("{name} {text}")).or_default();
    *count += 1;
    (*count > skip).then_some((action, file, text))
}

fn trace(dir: &Path, name: &str, about: &str) {
    let Ok(mut file) = std::fs::OpenOptions::new().append(true).open(dir.join("trace")) else { return };
    let _ = file.write_all(format!("{name} {about}\n").as_bytes());
}

/// Passes a place: waits there while a test wants it.
pub fn reach(name: &str, about: &str) {
    match armed(name, about) {
        Some((Action::Stop, file, text)) => aside(|| stop(&file, &text)),
        Some((Action::Delay(ms), ..)) => aside(|| std::thread::sleep(Duration::from_millis(ms))),
        Some((Action::Fail, ..)) | None => {}
    }
}

/// True when the call at this place is to fail. It may also be stopped or late there.
pub fn fails(name: &str, about: &str) -> bool {
    match armed(name, about) {
        Some((Action::Fail, file, _)) => {
            let _ = std::fs::write(reached(&file), std::process::id().to_string());
            true
        }
        Some((Action::Stop, file, text)) => {
            aside(|| stop(&file, &text));
            false
        }
        Some((Action::Delay(ms), ..)) => {
            aside(|| std::thread::sleep(Duration::from_millis(ms)));
            false
        }
        None => false,
    }
}

fn reached(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".reached");
    name.into()
}

fn stop(file: &Path, text: &str) {
    let _ = std::fs::write(reached(file), std::process::id().to_string());
    while std::fs::read_to_string(file).is_ok_and(|now| now == text) {
        std::thread::sleep(LOOK);
    }
}

/// Blocks this thread without blocking the runtime's other tasks.
fn aside(wait: impl FnOnce()) {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(wait);
        }
        _ => wait(),
    }
}

/// What a test makes this process say of itself: the content of a file in its folder.
pub fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let dir = FOLDER.get()?;
    std::fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok()
}

/// The name of a value's variant, as `Debug` writes it first; empty while no test can arm a place.
pub fn label(value: &impl std::fmt::Debug) -> String {
    if !active() {
        return String::new();
    }
    let text = format!("{value:?}");
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().to_owned()
}

/// What a test adds to the wall clock of this process, milliseconds.
pub fn wall_offset_ms() -> i64 {
    static OFFSET: AtomicI64 = AtomicI64::new(0);
    static READ: AtomicU64 = AtomicU64::new(0);
    static START: OnceLock<Instant> = OnceLock::new();
    let Some(dir) = FOLDER.get() else { return 0 };
    let now = START.get_or_init(Instant::now).elapsed().as_millis();
    let now = u64::try_from(now).unwrap_or(u64::MAX).saturating_add(CLOCK_MS);
    let last = READ.load(Ordering::Relaxed);
    if now >= last.saturating_add(CLOCK_MS)
        && READ.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        let text = std::fs::read_to_string(dir.join("clock")).unwrap_or_default();
        OFFSET.store(text.trim().parse().unwrap_or(0), Ordering::Relaxed);
    }
    OFFSET.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_happens_where_and_from_which_passage_on() {
        assert_eq!(parse("stop", "440100"), Some((Action::Stop, 0)));
        assert_eq!(parse("delay 30 about=440100 skip=2\n", "440100"), Some((Action::Delay(30), 2)));
        assert_eq!(parse("fail about=440100", "440300"), None, "about something else");
        for bad in ["", "halt", "delay", "delay x", "stop skip=many", "stop once"] {
            assert_eq!(parse(bad, "440100"), None, "{bad:?}");
        }
    }
}
