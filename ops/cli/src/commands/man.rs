//! `eport man`: a page for `man` of every command, made from the command tree.

use crate::args::Cli;
use crate::error::Error;
use crate::output::Out;
use clap::{Args, CommandFactory};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `eport man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Folder for the pages; made when missing
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Writes the pages.
pub fn run(args: &ManArgs, out: Out) -> Result<(), Error> {
    std::fs::create_dir_all(&args.dir).map_err(Error::file(&args.dir))?;
    let pages = pages(&args.dir)?;
    out.result(&json!({ "dir": args.dir, "pages": pages }), || {
        format!("{pages} pages in {}\n", args.dir.display())
    });
    Ok(())
}

fn pages(dir: &Path) -> Result<usize, Error> {
    clap_mangen::generate_to(Cli::command(), dir).map_err(Error::file(dir))?;
    Ok(std::fs::read_dir(dir).map_err(Error::file(dir))?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_command_has_a_page_and_hidden_ones_have_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(pages(dir.path()).unwrap() > 100);
        let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        assert!(page("eport.1").contains("Operate a federation"));
        assert!(page("eport-platform-switchover.1").contains("switchover"));
        assert!(page("eport-load.1").is_empty());
    }
}
