//! The starter tables that come with this program.

use crate::error::Error;
use eport_client::TableFile;
use eport_model::codes::FILE_UNUSABLE;
use serde::Deserialize;
use serde_json::json;

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
        assert!(column("ports.csv", "code").contains(&"CNCAN".to_owned()));
    }
}
