//! A local federation of real `eportd` processes: made by `dev up` and by the demo.
//!
//! Everything lies in one folder: `dev.json` (what runs), `genesis.json`, `ca/`, `operator/`, and a folder a node with its
//! configuration, certificate, data and log. Processes are detached: they outlive the command that started them.

pub mod certs;
pub mod ports;
pub mod process;
pub mod ready;
pub mod relay;
pub mod settings;
pub mod state;
pub mod topology;
pub mod up;

use crate::error::Error;
use std::path::{Path, PathBuf};

/// Finds the daemon: the given path, else `EPORTD`, else next to this executable.
pub fn find_eportd(given: Option<&Path>) -> Result<PathBuf, Error> {
    let candidates: Vec<PathBuf> = match given {
        Some(path) => vec![path.to_owned()],
        None => {
            let own = std::env::current_exe().ok();
            // Test executables lie one folder below the programs.
            let near = own.iter().flat_map(|p| p.ancestors().skip(1).take(2).map(|d| d.join("eportd")));
            std::env::var_os("EPORTD").map(PathBuf::from).into_iter().chain(near).collect()
        }
    };
    let found = candidates.iter().find(|p| is_executable(p));
    match found {
        Some(path) => std::path::absolute(path).map_err(Error::file(path)),
        None => {
            let tried: Vec<String> = candidates.iter().map(|p| p.display().to_string()).collect();
            Err(Error::coded(eport_model::codes::EPORTD_MISSING, format!("tried {}", tried.join(", "))))
        }
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_is_not_there_is_named_with_every_place_tried() {
        let error = find_eportd(Some(Path::new("/nowhere/eportd"))).unwrap_err();
        assert_eq!(error.exit(), 3);
        assert!(error.to_string().contains("/nowhere/eportd"));
    }
}
