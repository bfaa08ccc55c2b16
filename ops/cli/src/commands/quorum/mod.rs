//! `eport quorum`: the registry's voters, and what to do when most of them are gone.
//!
//! `status` asks a running node. `recover plan`, `sign` and `apply` work offline on files: a survivor's data directory with
//! eportd stopped, and the plan files. What is decided is `eport_registry::recover`'s business.

mod apply;
mod directory;
mod plan;
mod sign;
mod status;

pub(crate) use directory::{NodeConfig, absent};

use crate::args::Global;
use crate::error::Error;
use crate::output::Out;
use clap::{Args, Subcommand, ValueEnum};
use eport_model::NodeId;
use std::path::PathBuf;

/// Arguments of `eport quorum`.
#[derive(Args, Debug)]
pub struct QuorumArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: QuorumCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum QuorumCommand {
    /// Show the voters, whether they are a majority, and journals that were kept
    Status,
    /// Found a new lineage on a survivor when the quorum is lost for good
    Recover(RecoverArgs),
}

/// Arguments of `eport quorum recover`.
#[derive(Args, Debug)]
pub struct RecoverArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RecoverCommand,
}

/// The steps of a recovery.
#[derive(Subcommand, Debug)]
pub enum RecoverCommand {
    /// Write down what this survivor knows, with eportd stopped; changes nothing and shows a one-shot token
    Plan(PlanArgs),
    /// Sign a plan file as the second person, offline
    Sign(SignArgs),
    /// Found the new lineage on this survivor, with eportd stopped
    Apply(ApplyArgs),
}

/// Arguments of `eport quorum recover plan`.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// Configuration of the survivor's eportd
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// File to write; default recover-NODE.json here
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `eport quorum recover sign`.
#[derive(Args, Debug)]
pub struct SignArgs {
    /// The plan file; the signature is added to it
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
}

/// What becomes of registry entries that this survivor holds without knowing that they were committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Tail {
    /// They count: what may have been answered with success stays
    Commit,
    /// Only what some survivor knows to be committed stays
    Drop,
}

/// Arguments of `eport quorum recover apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// Configuration of this survivor's eportd
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Plan file of a survivor, this one's among them; give every survivor's
    #[arg(long = "plan", value_name = "FILE", required = true, num_args = 1..)]
    pub plans: Vec<PathBuf>,
    /// Registry entries that are not known to be committed: commit or drop
    #[arg(long, value_enum)]
    pub tail: Tail,
    /// The token that was shown when this survivor's plan was made
    #[arg(long)]
    pub token: String,
    /// Lost voters that you have made sure are stopped; every one must be named
    #[arg(long = "confirm-stopped", value_name = "NODE", num_args = 1..)]
    pub confirmed: Vec<NodeId>,
    /// Show what would be done and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the group.
pub async fn run(args: QuorumArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        QuorumCommand::Status => status::status(global, out).await,
        QuorumCommand::Recover(RecoverArgs { command }) => match command {
            RecoverCommand::Plan(args) => plan::plan(&args, out),
            RecoverCommand::Sign(args) => sign::sign(&args, global, out),
            RecoverCommand::Apply(args) => apply::apply(&args, global, out).await,
        },
    }
}
