//! Lists the packs under `node/packs` so that the daemon carries them; no pack is named in code.

use std::path::PathBuf;

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../packs");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut found: Vec<(String, PathBuf)> = std::fs::read_dir(&root)
        .expect("node/packs exists")
        .flatten()
        .map(|e| (e.file_name().to_string_lossy().into_owned(), e.path().join("pack.toml")))
        .filter(|(_, path)| path.is_file())
        .collect();
    found.sort();
    let mut code =
        String::from("/// Name and text of every built-in pack.\nconst PACKS: &[(&str, &str)] = &[\n");
    for (name, path) in found {
        let path = path.canonicalize().expect("the file was just listed");
        code.push_str(&format!("    ({name:?}, include_str!({:?})),\n", path.display().to_string()));
    }
    code.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("packs.rs");
    std::fs::write(out, code).expect("OUT_DIR is writable");
}
