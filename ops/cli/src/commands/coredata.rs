//! `eport coredata`: the core data set of the province, followed into a file, and its figures against those of the platforms.
//!
//! The file holds facts, one JSON a line, and behind each page a line `{"next": TOKEN}`. What stands behind the last such line was cut by a
//! crash and is asked for again: no fact is left out and none stands twice.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_client::Client;
use eport_model::RegionCode;
use eport_model::codes::FILE_UNUSABLE;
use eport_sharing::Purpose;
use eport_sharing::core_data::{Fact, Figures, Tally, Token};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Longest line of a file.
const LINE_LEN_MAX: u64 = 8 << 20;
/// How long one request waits for something new.
const WAIT_S: u64 = 5;

/// Arguments of `eport coredata`.
#[derive(Args, Debug)]
pub struct CoredataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CoredataCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum CoredataCommand {
    /// Write facts into a file, from where it ends on, until every platform is read to its end
    Follow {
        /// The file, one JSON a line; made where it is absent
        file: PathBuf,
        /// Only this platform
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: Option<RegionCode>,
        /// Go on for so long, also behind the end
        #[arg(long = "for", value_name = "DURATION", value_parser = crate::args::parse_duration)]
        period: Option<Duration>,
        /// Facts of one request at most
        #[arg(long, default_value = "1000")]
        limit: usize,
    },
    /// Add a file up, and compare with what the platforms count themselves; exit 11 when something differs
    Status {
        /// The file
        file: PathBuf,
    },
}

/// Runs the group.
pub async fn run(args: CoredataArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        CoredataCommand::Follow { file, platform, period, limit } => {
            let purpose = global.purpose.unwrap_or(Purpose::Statistics);
            follow(&client.for_purpose(purpose.word()), &file, platform, (period, limit), out).await
        }
        CoredataCommand::Status { file } => status(&client, &file, out).await,
    }
}

/// Calls `each` with the whole lines of a file and where each begins.
fn lines(path: &Path, mut each: impl FnMut(u64, &[u8]) -> Result<(), Error>) -> Result<(), Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::file(path)(e)),
    };
    let mut reader = BufReader::new(file);
    let (mut line, mut at) = (Vec::new(), 0u64);
    loop {
        line.clear();
        let read =
            reader.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut line).map_err(Error::file(path))?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Ok(());
        }
        each(at, &line)?;
        at += read as u64;
    }
}

/// The token that a line says, if it is one of those.
fn token_in(line: &[u8]) -> Option<String> {
    let short = line.starts_with(b"{\"next\":");
    let value: Value = short.then(|| serde_json::from_slice(line).ok()).flatten()?;
    value["next"].as_str().map(str::to_owned)
}

/// Where a file ends: the token of its last whole page, and the bytes up to there.
fn end_of(path: &Path) -> Result<(Token, u64), Error> {
    let mut end = (String::new(), 0);
    lines(path, |at, line| {
        if let Some(token) = token_in(line) {
            end = (token, at + line.len() as u64);
        }
        Ok(())
    })?;
    let token = end.0.parse();
    let damaged = |_| Error::coded(FILE_UNUSABLE, format!("{}: its last token is none", path.display()));
    Ok((token.map_err(damaged)?, end.1))
}

async fn follow(
    client: &Client,
    path: &Path,
    platform: Option<RegionCode>,
    (period, limit): (Option<Duration>, usize),
    out: Out,
) -> Result<(), Error> {
    let (mut token, end) = end_of(path)?;
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
    let mut file = file.map_err(Error::file(path))?;
    let cut = |file: &mut File| -> std::io::Result<()> {
        file.set_len(end)?;
        file.seek(SeekFrom::End(0)).map(drop)
    };
    cut(&mut file).map_err(Error::file(path))?;
    let until = period.map(|p| Instant::now() + p);
    let mut facts = 0u64;
    let page = loop {
        let mut query = vec![("after", token.to_string()), ("limit", limit.to_string())];
        query.extend(platform.map(|p| ("platform", p.to_string())));
        let left = until.map(|u| u.saturating_duration_since(Instant::now()).as_secs());
        query.extend(left.map(|s| ("wait", s.min(WAIT_S).to_string())));
        let page: Value = client.get("/v1/core-data", &query).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let next: Token = cell(&page, "next")
            .parse()
            .map_err(|_| Error::coded(FILE_UNUSABLE, "the node answers with a token that is none"))?;
        if next != token {
            let mut text = Vec::new();
            for item in &items {
                text.extend_from_slice(item.to_string().as_bytes());
                text.push(b'\n');
            }
            text.extend_from_slice(json!({ "next": next.to_string() }).to_string().as_bytes());
            text.push(b'\n');
            file.write_all(&text).and_then(|()| file.sync_data()).map_err(Error::file(path))?;
        }
        facts += items.len() as u64;
        let moved = next != token;
        token = next;
        let over = match until {
            Some(until) => Instant::now() >= until,
            // Nothing followed: every platform that answers is read to its end.
            None => !moved,
        };
        if over {
            break page;
        }
    };
    let troubled = page["platforms"].as_array().is_some_and(|p| p.iter().any(|p| p["trouble"].is_string()));
    let answer =
        json!({ "file": path, "facts": facts, "next": token.to_string(), "platforms": page["platforms"] });
    out.result(&answer, || {
        let mut table = Table::new(["platform", "epoch", "index", "behind", "trouble"]);
        for p in answer["platforms"].as_array().into_iter().flatten() {
            table.row(["platform", "epoch", "index", "behind", "trouble"].map(|k| cell(p, k)));
        }
        format!("{}{facts} {}\n", table.render(), out.lang.pick(("facts", "条事实")))
    });
    if troubled { Err(Error::Exit(exit::UNAVAILABLE)) } else { Ok(()) }
}

/// Adds a file up, in two passes: a later rewind makes earlier facts void.
fn tally_of(path: &Path) -> Result<Tally, Error> {
    let (_, end) = end_of(path)?;
    let mut tally = Tally::default();
    let read = |line: &[u8]| -> Result<Fact, Error> {
        let bad = |e: serde_json::Error| Error::coded(FILE_UNUSABLE, format!("{}: {e}", path.display()));
        serde_json::from_slice(line).map_err(bad)
    };
    for pass in 0..2 {
        lines(path, |at, line| {
            if at >= end || token_in(line).is_some() {
                return Ok(());
            }
            let fact = read(line)?;
            match pass {
                0 => tally.see(&fact),
                _ => tally.count(&fact),
            }
            Ok(())
        })?;
    }
    Ok(tally)
}

async fn status(client: &Client, path: &Path, out: Out) -> Result<(), Error> {
    let (token, _) = end_of(path)?;
    let tally = tally_of(path)?;
    let counts = client.for_purpose(Purpose::Support.word());
    let packs = client.list("/v1/packs", &[]).await?;
    let types: Vec<String> = packs
        .iter()
        .flat_map(|p| p["documents"].as_array().into_iter().flatten())
        .filter_map(|d| d.as_str().map(str::to_owned))
        .collect();
    let (mut items, mut equal, mut cities) = (Vec::new(), tally.repeated == 0, Figures::default());
    for (region, place) in &token.0 {
        let empty = Figures::default();
        let figures = tally.platforms.get(region).unwrap_or(&empty);
        cities.add(figures);
        let mut documents = BTreeMap::new();
        for doc_type in types.iter().chain(figures.documents.keys().filter(|t| !types.contains(*t))) {
            let own = counts.count_documents(&region.to_string(), doc_type).await?;
            let facts = figures.documents.get(doc_type).copied().unwrap_or(0);
            equal &= own == facts;
            if own > 0 || facts > 0 {
                documents.insert(doc_type.clone(), json!({ "facts": facts, "platform": own }));
            }
        }
        items.push(json!({
            "platform": region, "epoch": place.epoch, "index": place.index, "documents": documents,
            "amendments": figures.amendments, "milestones": figures.milestones,
        }));
    }
    let province = tally.whole();
    equal &= province == cities;
    let answer = json!({
        "file": path, "next": token.to_string(), "platforms": items, "province": province, "void": tally.void,
        "repeated": tally.repeated, "equal": equal,
    });
    out.result(&answer, || {
        let mut table = Table::new(["platform", "index", "type", "facts", "platform's own"]);
        for item in &items {
            for (doc_type, counts) in item["documents"].as_object().into_iter().flatten() {
                let words = [cell(item, "platform"), cell(item, "index"), doc_type.clone()];
                let [platform, index, doc_type] = words;
                table.row([platform, index, doc_type, cell(counts, "facts"), cell(counts, "platform")]);
            }
        }
        let verdict = match equal {
            true => out.lang.pick(("equal", "一致")),
            false => out.lang.pick(("different", "不一致")),
        };
        format!("{}{verdict}\n", table.render())
    });
    if equal { Ok(()) } else { Err(Error::Exit(exit::DIFFERENCE)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_last_token_was_cut_and_counts_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("facts");
        assert_eq!(end_of(&path).unwrap(), (Token::default(), 0));
        let fact = |id: &str, index: u64| {
            json!({ "id": id, "platform": "440100", "epoch": 1, "index": index, "time": "", "kind": "document",
                "doc_type": "a", "doc_version": 1 })
            .to_string()
        };
        let whole = format!("{}\n{{\"next\":\"440100-1-7\"}}\n", fact("440100/1/7/0", 7));
        std::fs::write(&path, format!("{whole}{}\n{{\"nex", fact("440100/1/8/0", 8))).unwrap();
        let (token, end) = end_of(&path).unwrap();
        assert_eq!((token.to_string().as_str(), end), ("440100-1-7", whole.len() as u64));
        let tally = tally_of(&path).unwrap();
        assert_eq!((tally.whole().documents["a"], tally.repeated), (1, 0));
    }
}
