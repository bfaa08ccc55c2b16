//! The operators' command line `eport`.
//!
//! `args` is the tree of commands, `commands` what each does, `output` the only place that prints. Errors carry the stable
//! code of what happened and map to the documented exit codes (`exit`).
#![forbid(unsafe_code)]
// A shell: the command line measures waits and reads the environment where it needs them.
#![allow(clippy::disallowed_methods)]

pub mod args;
pub mod commands;
pub mod compatibility;
pub mod compliance;
pub mod connect;
pub mod contexts;
pub mod demo;
pub mod dev;
pub mod drill;
pub mod error;
pub mod exit;
pub mod files;
pub mod lang;
pub mod load;
pub mod output;
pub mod preflight;
pub mod reference;
pub mod regions;
pub mod screen;
pub mod starter;
pub mod table;

use args::{Cli, Command};
use error::Error;
use lang::Lang;
use output::Out;
use std::ffi::OsString;

/// Runs the command line and returns its exit code.
pub fn run(argv: Vec<OsString>) -> u8 {
    let cli = match Cli::read(&argv) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &argv),
    };
    let out = Out { json: cli.global.json, lang: cli.global.language(), yes: cli.global.yes };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli, out)),
        Err(e) => Err(Error::dev(format!("the runtime cannot start: {e}"))),
    };
    match result {
        Ok(()) => exit::DONE,
        Err(error) => {
            out.error(&error);
            error.exit()
        }
    }
}

async fn dispatch(cli: Cli, out: Out) -> Result<(), Error> {
    use commands::{
        access_log, agency, approval, backup, ca, cert, compliance, consent, context, coredata, delegation,
        demo, dev, doc, doctor, drill, exchange, explain, incident, init, journal, licence, man, node, pack,
        plan, platform, quorum, release, report, role, session, simple, site, stats, status, table, tail,
        user,
    };
    let global = &cli.global;
    match cli.command {
        Command::Demo(args) => demo::run(args, global, out).await,
        Command::Dev(args) => dev::run(args, global, out).await,
        Command::Init(args) => init::run(args, global, out).await,
        Command::Node(args) => node::run(args, global, out).await,
        Command::Site(args) => site::run(args, global, out).await,
        Command::Plan(args) => plan::run(args, global, out).await,
        Command::Platform(args) => platform::run(args, global, out).await,
        Command::Quorum(args) => quorum::run(args, global, out).await,
        Command::Status(args) => status::run(args, global, out).await,
        Command::Report(args) => report::run(args, global, out).await,
        Command::Stats(args) => stats::run(args, global, out).await,
        Command::Licence(args) => licence::run(args, global, out).await,
        Command::Tail(args) => tail::run(args, global, out).await,
        Command::Pack(args) => pack::run(args, global, out).await,
        Command::Table(args) => table::run(args, global, out).await,
        Command::Doc(args) => doc::run(args, global, out).await,
        Command::Exchange(args) => exchange::run(args, global, out).await,
        Command::Agency(args) => agency::run(args, global, out).await,
        Command::Journal(args) => journal::run(args, global, out).await,
        Command::Backup(args) => backup::run(args, global, out).await,
        Command::Ca(args) => ca::run(args, global, out).await,
        Command::Trust(args) => commands::rotate::trust(args, global, out).await,
        Command::Cert(args) => cert::run(args, global, out).await,
        Command::Doctor(args) => doctor::run(args, global, out).await,
        Command::Incident(args) => incident::run(args, global, out).await,
        Command::Drill(args) => drill::run(args, global, out).await,
        Command::Approval(args) => approval::run(args, global, out).await,
        Command::Approve(args) => approval::approve(args, global, out).await,
        Command::Audit(args) => access_log::run(args, global, out).await,
        Command::User(args) => user::run(args, global, out).await,
        Command::Role(args) => role::run(args, global, out).await,
        Command::Delegation(args) => delegation::run(args, global, out).await,
        Command::Consent(args) => consent::run(args, global, out).await,
        Command::Coredata(args) => coredata::run(args, global, out).await,
        Command::Login(args) => session::login(args, global, out).await,
        Command::Logout(args) => session::logout(args, global, out).await,
        Command::Whoami => session::whoami(global, out).await,
        Command::Setting(args) => user::setting(args, global, out).await,
        Command::Context(args) => context::run(args, global, out),
        Command::Release(args) => release::run(args, out),
        Command::Explain(args) => explain::run(&args, out),
        Command::Completion(args) => simple::completion(&args, out),
        Command::Man(args) => man::run(&args, out),
        Command::Compliance(args) => compliance::run(args, global, out).await,
        Command::Version => simple::version(global, out).await,
        Command::Load(args) => load::run(args, global, out).await,
    }
}

/// A command line that clap refuses. Help and version are no errors; under `--json` a refusal is a document too.
fn refuse(error: &clap::Error, argv: &[OsString]) -> u8 {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    if matches!(error.kind(), DisplayHelp | DisplayVersion) {
        let _ = error.print();
        return exit::DONE;
    }
    if argv.iter().take_while(|a| *a != "--").any(|a| a == "--json") {
        let text = error.render().to_string();
        let what = text.split("\n\nUsage").next().unwrap_or_default().trim_start_matches("error: ");
        let line = what.split_whitespace().collect::<Vec<_>>().join(" ");
        Out { json: true, lang: Lang::En, yes: false }.error(&Error::usage(line));
    } else {
        let _ = error.print();
    }
    exit::USAGE
}
