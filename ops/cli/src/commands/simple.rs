//! Commands that need no federation: explain, completion, version.

use crate::args::{Cli, Global};
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use clap::{Args, CommandFactory};
use eport_model::codes::NOT_FOUND;
use eport_model::{Code, CodeInfo};
use serde_json::{Value, json};
use std::time::Duration;

/// Arguments of `eport explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Code as printed with an error, EPnnnn; all codes when absent
    pub code: Option<String>,
}

/// Arguments of `eport completion`.
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Prints what a code means, in both languages.
pub fn explain(args: &ExplainArgs, out: Out) -> Result<(), Error> {
    let Some(text) = &args.code else {
        let all: Vec<Value> = eport_model::codes::all().map(code_document).collect();
        out.items(&all, || {
            let mut table = crate::table::Table::new(["code", ">exit", "title", "标题"]);
            for i in eport_model::codes::all() {
                table.row([i.code.to_string(), i.exit.to_string(), i.title.0.into(), i.title.1.into()]);
            }
            table
        });
        return Ok(());
    };
    let code: Code = text.parse().map_err(|e: eport_model::ParseError| Error::usage(e.to_string()))?;
    let info =
        code.info().ok_or_else(|| Error::coded(NOT_FOUND, format!("{code} is no code of this version")))?;
    out.result(&code_document(info), || page(info));
    Ok(())
}

fn code_document(i: &CodeInfo) -> Value {
    json!({
        "code": i.code.to_string(), "http": i.http, "exit": i.exit, "retryable": i.retryable,
        "title": {"en": i.title.0, "zh": i.title.1}, "cause": {"en": i.cause.0, "zh": i.cause.1},
        "remedy": {"en": i.remedy.0, "zh": i.remedy.1},
    })
}

fn page(i: &CodeInfo) -> String {
    let retry = if i.retryable { ("yes", "是") } else { ("no", "否") };
    format!(
        "{code}  {}\n  What happened: {}\n  What to do:    {}\n  Retry as it is: {}\n\n\
         {code}  {}\n  原因：{}\n  处理：{}\n  可直接重试：{}\n\nHTTP {} · exit {}\n",
        i.title.0,
        i.cause.0,
        i.remedy.0,
        retry.0,
        i.title.1,
        i.cause.1,
        i.remedy.1,
        retry.1,
        i.http,
        i.exit,
        code = i.code,
    )
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
    fn a_page_says_the_same_in_both_languages() {
        let text = page(eport_model::codes::MOVE_UNSAFE.info().unwrap());
        assert!(text.starts_with("EP2101  A safety check refused the move\n"));
        assert!(text.contains("安全检查拒绝了迁移") && text.ends_with("HTTP 409 · exit 7\n"));
    }

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
