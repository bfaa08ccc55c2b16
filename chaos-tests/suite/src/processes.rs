//! The processes that commands of a federation have started, found by what their command lines say. A process that ends while it is
//! looked at is not found.

use anyhow::Result;
use eport_cluster::Federation;

/// Processes with this word in their command line and a word that names something below the federation's folder.
pub fn processes(fed: &Federation, word: &str) -> Result<Vec<u32>> {
    let home = fed.home().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<String> =
            line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        if words.iter().any(|w| w == word) && words.iter().any(|w| w.starts_with(&home)) {
            found.push(pid);
        }
    }
    Ok(found)
}
