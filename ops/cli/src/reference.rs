//! The reference page of the command line, made from the command tree. A test fails when the checked file is stale.

use crate::args::Cli;
use crate::exit;
use clap::{Command, CommandFactory};

/// The page as Markdown.
pub fn page() -> String {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut out = String::from(
        "# Command line reference\n\nMade from the program; `UPDATE=1 cargo test -p eport-cli --test reference` writes it again.\n\n## Exit codes\n\n| code | meaning | 含义 |\n|---|---|---|\n",
    );
    for (code, en, zh) in exit::TABLE {
        out.push_str(&format!("| {code} | {en} | {zh} |\n"));
    }
    section(&mut root, "eport", &mut out);
    out
}

/// One command with its help, then its visible subcommands.
fn section(command: &mut Command, path: &str, out: &mut String) {
    let help = command.render_long_help().to_string();
    // The global options are the same everywhere: they stand once, at the root.
    let shown =
        if path.contains(' ') { help.split("\nGlobal options:").next().unwrap_or_default() } else { &help };
    let help: Vec<&str> = shown.lines().map(str::trim_end).collect();
    out.push_str(&format!("\n## {path}\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|c| !c.is_hide_set() && c.get_name() != "help")
        .map(|c| c.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(child) = command.find_subcommand_mut(&name) {
            section(child, &format!("{path} {name}"), out);
        }
    }
}
