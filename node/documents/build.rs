//! Lists the standards packs next to this crate, so that a binary carries them: every folder of `../packs` with a `pack.toml`.

// A build script reads what cargo hands it in the environment.
#![allow(clippy::disallowed_methods)]

use std::{env, fmt::Write as _, fs, path::Path};

fn main() {
    let packs = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../packs");
    println!("cargo:rerun-if-changed={}", packs.display());
    let mut folders: Vec<_> = fs::read_dir(&packs)
        .expect("the packs folder stands beside this crate")
        .flatten()
        .map(|e| e.path())
        .collect();
    folders.sort();
    let mut out = String::from(
        "/// The packs built into the program: folder name and text of `pack.toml`.\npub const BUILTIN: &[(&str, &str)] = &[\n",
    );
    for folder in folders.iter().filter(|f| f.join("pack.toml").is_file()) {
        let file = folder.join("pack.toml");
        println!("cargo:rerun-if-changed={}", file.display());
        let name = folder.file_name().expect("an entry has a name").to_string_lossy();
        writeln!(out, "    ({name:?}, include_str!({:?})),", file.display().to_string())
            .expect("writing to memory cannot fail");
    }
    out.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("builtin.rs"), out)
        .expect("OUT_DIR can be written");
}
