//! `eport context`: named federations.

use crate::args::Global;
use crate::contexts::{Context, Contexts};
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Arguments of `eport context`.
#[derive(Args, Debug)]
pub struct ContextArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ContextCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum ContextCommand {
    /// Keep the federation of --api, --cert, --key and --ca (or of EPORT_DIR) under a name and use it
    Add {
        /// The name
        name: String,
        /// Further addresses, tried when the first does not answer
        #[arg(long = "also", value_name = "URL")]
        also: Vec<String>,
    },
    /// Use a context from now on
    Use {
        /// The name
        name: String,
    },
    /// List the contexts
    List,
}

/// Runs the group.
pub fn run(args: ContextArgs, global: &Global, out: Out) -> Result<(), Error> {
    let mut contexts = Contexts::load()?;
    match args.command {
        ContextCommand::Add { name, also } => {
            let access = crate::connect::access(global)?;
            let absolute = |p: &PathBuf| std::path::absolute(p).map_err(Error::file(p));
            let context = Context {
                api: access.apis.iter().cloned().chain(also).collect(),
                cert: absolute(&access.cert)?,
                key: absolute(&access.key)?,
                ca: absolute(&access.ca)?,
            };
            // A context that cannot even be loaded is refused now, not at its first use.
            crate::connect::client_of(&access, global.limit(), out.lang)?;
            contexts.contexts.insert(name.clone(), context);
            contexts.current = Some(name);
            contexts.save()?;
        }
        ContextCommand::Use { name } => {
            contexts.get(&name)?;
            contexts.current = Some(name);
            contexts.save()?;
        }
        ContextCommand::List => {}
    }
    show(&contexts, out);
    Ok(())
}

fn show(contexts: &Contexts, out: Out) {
    let items: Vec<Value> = contexts
        .contexts
        .iter()
        .map(|(name, c)| {
            let current = contexts.current.as_deref() == Some(name);
            json!({ "name": name, "current": current, "api": c.api, "cert": c.cert, "key": c.key, "ca": c.ca })
        })
        .collect();
    out.items(&items, || {
        let mut table = Table::new(["", "name", "api", "cert"]);
        for v in &items {
            let mark = if v["current"] == true { "*" } else { "" };
            table.row([mark.to_owned(), cell(v, "name"), cell(v, "api"), cell(v, "cert")]);
        }
        table
    });
}
