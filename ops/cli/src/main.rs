//! The operators' command line eport.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    // The guard of a drill is a process of its own, and stopped by itself.
    let guard = std::env::args_os().any(|arg| arg == "guard");
    eport_failpoint::enter(if guard { "guard" } else { "eport" });
    eport_cli::run(std::env::args_os().collect()).into()
}
