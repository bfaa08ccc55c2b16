//! The operators' command line eport.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    eport_cli::run(std::env::args_os().collect()).into()
}
