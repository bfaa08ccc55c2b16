//! Commands that need no federation: completion, version.

use crate::args::{Cli, Global};
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use clap::{Args, CommandFactory};
use serde_json::{Value, json};
use std::time::Duration;

/// Arguments of `eport completion`.
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Prints a completion script. It is a script, so `--json` does not change it.
pub fn completion(args: &CompletionArgs, out: Out) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "eport", &mut script);
    out.stdout(&String::from_utf8_lossy(&script));
    Ok(())
}

/// Prints the own version, and the node's when one is configured and answers.
pub async fn version(global: &Global, out: Out) -> Result<(), Error> {
    let own = json!({ "version": env!("CARGO_PKG_VERSION"), "schema": eport_model::SCHEMA_VERSION });
    let node = match connect::access(global)
        .and_then(|a| connect::client_of(&a, Duration::from_secs(2), out.lang))
    {
        Ok(client) => client.get::<Value>("/v1/version", &[]).await.ok(),
        Err(_) => None,
    };
    let mut document = own;
    document["node"] = node.clone().unwrap_or(Value::Null);
    out.result(&document, || {
        let mut text = format!("eport {}\n", env!("CARGO_PKG_VERSION"));
        if let Some(node) = &node {
            let (version, wire, build) = (cell(node, "version"), cell(node, "wire"), cell(node, "build"));
            text.push_str(&format!("eportd {version} (wire {wire}, program {build})\n"));
        }
        text
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "eport", &mut script);
            let text = String::from_utf8(script).unwrap();
            assert!(text.contains("switchover") && text.contains("import"));
        }
    }
}
