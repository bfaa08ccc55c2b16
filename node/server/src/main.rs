//! The daemon eportd: reads its configuration, starts the engines in order, runs until it is told to stop, drains.
#![forbid(unsafe_code)]

use clap::{Parser, ValueEnum};
use eport_model::Code;
use eport_server::{Exit, config::Config, run};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The electronic-port federation node.
#[derive(Parser)]
#[command(name = "eportd", version)]
struct Args {
    /// Configuration file.
    #[arg(long)]
    config: PathBuf,
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
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => return fail(&Exit::of(&error)),
    };
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
    match runtime.block_on(run(config, args.config, telemetry)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => fail(&exit),
    }
}

/// Prints the coded error for people and scripts, and ends with the documented exit code.
fn fail(exit: &Exit) -> ExitCode {
    tracing::error!(code = %exit.code, detail = %exit.detail, "eportd ends");
    let code: Code = exit.code;
    let (title, remedy, status) = code.info().map_or(("", "", 1), |i| (i.title.0, i.remedy.0, i.exit));
    eprintln!("eportd: {code} {title}: {}\n  {remedy}", exit.detail);
    ExitCode::from(status)
}
