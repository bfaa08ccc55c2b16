//! The starter tables that come with this program.

use crate::error::Error;
use eport_catalog::parse_instant;
use eport_client::TableFile;
use eport_codetables::{Beside, Options, Reading, import};
use eport_model::codes::{FILE_UNUSABLE, TABLE_IMPORT_REFUSED};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

use eport_codetables::embedded;

/// The list as it is written.
#[derive(Deserialize)]
struct List {
    table: Vec<Starter>,
}

/// One table of the set.
#[derive(Clone, Debug, Deserialize)]
pub struct Starter {
    /// Its file.
    pub file: String,
    /// Its name.
    pub name: String,
    /// `province`, or a region.
    pub owner: String,
    /// Columns that make the key.
    pub key: Vec<String>,
    /// Encoding of the file.
    pub encoding: String,
    /// Rules kept with the version.
    #[serde(default)]
    pub rules: eport_codetables::Rules,
    /// Civil date from which it is in force, in Asia/Shanghai.
    pub effective: String,
    /// Its content, filled in from the program.
    #[serde(skip)]
    pub content: &'static [u8],
}

impl Starter {
    /// The table's name for the API: bare for the province's own.
    pub fn table(&self) -> String {
        if self.owner == "province" { self.name.clone() } else { format!("{}/{}", self.owner, self.name) }
    }

    /// The upload of this table.
    pub fn upload(&self, dry_run: bool, force: bool) -> TableFile {
        // China has had one offset and no summer time since 1992; the set only needs a stable instant.
        let effective = format!("{}T00:00:00+08:00", self.effective);
        let options = json!({
            "key": self.key, "encoding": self.encoding, "rules": self.rules, "effective": effective,
            "force": force, "dry_run": dry_run,
        });
        TableFile { file_name: self.file.clone(), content: self.content.into(), options }
    }
}

/// The tables of the set that were read so far, for those that refer to them.
#[derive(Default)]
pub struct Before(BTreeMap<String, Reading>);

impl Before {
    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Reads a table of the set, its references looked up in those before it, and takes it up.
    pub fn check(&mut self, t: &Starter) -> Result<(), Error> {
        let bad = |detail: String| Error::coded(TABLE_IMPORT_REFUSED, format!("{}: {detail}", t.file));
        let mut options = Options::with_key(t.key.clone());
        options.encoding = t.encoding.parse().map_err(|e: eport_model::ParseError| bad(e.to_string()))?;
        options.rules = t.rules.clone();
        let at = parse_instant(&t.effective).map_err(|e| bad(e.to_string()))?;
        let beside = Beside { references: Some(self.0.clone()), ..Beside::default() };
        // The owner plays no part in what is read.
        let name =
            format!("440000/{}", t.name).parse().map_err(|e: eport_model::ParseError| bad(e.to_string()))?;
        let content = import(&name, t.content, &options, beside).outcome.map_err(|e| bad(e.to_string()))?;
        let table = content.open().map_err(|e| bad(e.to_string()))?;
        // Of several versions the newest stands first, and that is the one others refer to.
        self.0.entry(t.name.clone()).or_insert_with(|| Reading::new(table, Arc::new(t.rules.clone()), at));
        Ok(())
    }
}

/// The tables of the set in the order of publication.
pub fn tables() -> Result<Vec<Starter>, Error> {
    let broken =
        |detail: String| Error::coded(FILE_UNUSABLE, format!("the starter set of this program: {detail}"));
    let mut list: List = toml::from_str(embedded::MANIFEST).map_err(|e| broken(e.to_string()))?;
    for t in &mut list.table {
        t.content = embedded::file(&t.file).ok_or_else(|| broken(format!("{} is missing", t.file)))?;
    }
    Ok(list.table)
}

/// The values of a column of a starter table, for documents that must name existing keys.
pub fn column(file: &str, name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(embedded::file(file).unwrap_or_default());
    let mut lines = text.lines();
    let at = lines.next().and_then(|head| head.split(',').position(|c| c == name));
    let Some(at) = at else { return Vec::new() };
    // Only code columns are asked for; they are never quoted and stand before any quoted column.
    lines.filter_map(|l| l.split(',').nth(at)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_in_the_program_is_complete_and_its_instants_are_instants() {
        let tables = tables().unwrap();
        for wanted in ["ports", "divisions", "customs_offices"] {
            assert!(tables.iter().any(|t| t.name == wanted), "{wanted}");
        }
        for t in &tables {
            assert!(!t.content.is_empty() && !t.key.is_empty(), "{}", t.file);
            let effective = t.upload(false, false).options["effective"].as_str().unwrap().to_owned();
            assert!(eport_api_types::from_rfc3339(&effective).is_some(), "{}: {effective}", t.file);
        }
        // Whatever refers to another table finds it before itself, and every code in it.
        let mut before = Before::default();
        tables.iter().for_each(|t| before.check(t).unwrap());
        let referring = tables.iter().filter(|t| t.rules.references().next().is_some());
        let alone = referring.map(|t| Before::default().check(t)).collect::<Vec<_>>();
        assert!(!alone.is_empty() && alone.iter().all(Result::is_err));
        assert!(column("ports.csv", "code").contains(&"CNCAN".to_owned()));
    }
}
