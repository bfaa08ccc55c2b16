//! The checked reference page is what the program says.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[test]
fn the_reference_page_is_in_step_with_the_program() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let page = eport_cli::reference::page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page).unwrap();
        return;
    }
    let checked = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked == page,
        "docs/reference/cli.md is stale: UPDATE=1 cargo test -p eport-cli --test reference"
    );
}
