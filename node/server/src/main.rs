//! The daemon eportd: reads its configuration, starts the engines in order, runs until it is told to stop, drains.
#![forbid(unsafe_code)]

use clap::{CommandFactory, Parser, ValueEnum};
use eport_model::Code;
use eport_server::{Exit, config::Config, run};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The electronic-port federation node.
#[derive(Parser)]
#[command(name = "eportd", version)]
struct Args {
    /// Configuration file.
    #[arg(long, required_unless_present_any = ["example_config", "man"])]
    config: Option<PathBuf>,
    /// Look at the configuration file alone: exit 0 when it can be used, else 2 with line and nearest valid key.
    #[arg(long)]
    check: bool,
    /// Print a configuration file with every key and a comment.
    #[arg(long, exclusive = true)]
    example_config: bool,
    /// Print the man page.
    #[arg(long, exclusive = true, hide = true)]
    man: bool,
    /// Log format on standard error.
    #[arg(long, value_enum, default_value = "json")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Pieces of work between two looks at the sockets.
const EVENT_INTERVAL: u32 = 8;

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(path) = args.config else {
        return show(args.man);
    };
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(error) => return fail(&Exit::of(&error)),
    };
    if args.check {
        return ExitCode::SUCCESS;
    }
    eport_failpoint::enter(&config.node.id.to_string());
    let telemetry =
        match eport_server::telemetry::start(&config.log.level, matches!(args.log_format, LogFormat::Json)) {
            Ok(telemetry) => telemetry,
            Err(exit) => return fail(&exit),
        };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Sockets are looked at after so many pieces of work, not after 61: under a flood each piece takes a while, and what another
    // platform's callers send must not wait for that many.
    let runtime = match runtime.enable_all().event_interval(EVENT_INTERVAL).thread_name("eportd").build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(&Exit {
                code: eport_model::codes::STORAGE_FAILED,
                detail: format!("threads cannot start: {error}"),
            });
        }
    };
    match runtime.block_on(run(config, path, telemetry)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => fail(&exit),
    }
}

/// Prints what needs no configuration: the man page, or the example of a configuration file.
fn show(man: bool) -> ExitCode {
    let mut text = Vec::new();
    if man {
        let page = clap_mangen::Man::new(Args::command()).section("8");
        if let Err(error) = page.render(&mut text) {
            return fail(&Exit { code: eport_model::codes::INTERNAL, detail: format!("man page: {error}") });
        }
    } else {
        text.extend_from_slice(eport_server::EXAMPLE.as_bytes());
    }
    // A reader that went away is no failure.
    let _ = std::io::stdout().write_all(&text);
    ExitCode::SUCCESS
}

/// Prints the coded error for people and scripts, and ends with the documented exit code.
fn fail(exit: &Exit) -> ExitCode {
    tracing::error!(code = %exit.code, detail = %exit.detail, "eportd ends");
    let code: Code = exit.code;
    let (title, remedy, status) = code.info().map_or(("", "", 1), |i| (i.title.0, i.remedy.0, i.exit));
    eprintln!("eportd: {code} {title}: {}\n  {remedy}", exit.detail);
    ExitCode::from(status)
}
