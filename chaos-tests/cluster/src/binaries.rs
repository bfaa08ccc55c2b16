//! Where the binaries are: asked of cargo, never assumed.

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The two binaries under test.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The operators' command line.
    pub eport: PathBuf,
    /// The daemon.
    pub eportd: PathBuf,
}

/// The binaries of this checkout, built with the one profile. `make test` builds them before it runs tests; a test that is
/// started alone builds them here. `EPORT_BIN_DIR` names a folder with binaries to test instead, for example of a release.
pub fn binaries() -> Result<&'static Binaries> {
    static FOUND: OnceLock<Result<Binaries, String>> = OnceLock::new();
    FOUND.get_or_init(|| find().map_err(|e| format!("{e:#}"))).as_ref().map_err(|e| anyhow::anyhow!("{e}"))
}

fn find() -> Result<Binaries> {
    if let Some(dir) = std::env::var_os("EPORT_BIN_DIR") {
        let dir = PathBuf::from(dir);
        let found = Binaries { eport: dir.join("eport"), eportd: dir.join("eportd") };
        ensure!(
            found.eport.exists() && found.eportd.exists(),
            "EPORT_BIN_DIR: no binaries in {}",
            dir.display()
        );
        return Ok(found);
    }
    // Where the test runs: the compiled-in folder may be of another checkout that shares the target folder. Every crate stands two
    // folders below the workspace.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let manifest = here.join("../../Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    // What a test runner tells the test about its own crate; build scripts that look at it would run again, twenty crates with them.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_")) {
            build.env_remove(name);
        }
    }
    let status = build
        // The very command of `make build`: another selection of crates would unify features differently and build twice.
        .args(["build", "-q", "--workspace", "--lib", "--bins", "--manifest-path"])
        .arg(&manifest)
        .status()
        .context("cargo build of the binaries")?;
    ensure!(status.success(), "cargo build of the binaries failed");
    let meta = cargo_metadata::MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
    let dir = meta.target_directory.join("debug");
    let found = Binaries { eport: dir.join("eport").into(), eportd: dir.join("eportd").into() };
    ensure!(found.eport.exists() && found.eportd.exists(), "binaries are not in {dir}");
    Ok(found)
}
