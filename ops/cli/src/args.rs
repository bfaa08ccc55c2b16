//! The command tree: global flags and the groups of commands. Each group's arguments live with its code.

use crate::commands::{
    access_log, agency, approval, backup, ca, cert, compliance, consent, context, coredata, delegation, demo,
    dev, doc, doctor, drill, exchange, explain, incident, init, journal, licence, man, node, pack, plan,
    platform, quorum, release, report, role, session, simple, site, stats, status, table, tail, user,
};
use crate::lang::Lang;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Operate a federation of electronic-port nodes
#[derive(Parser, Debug)]
#[command(name = "eport", version, propagate_version = false, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 unavailable or timed out, \
                        6 not authorized, 7 refused by a safety check, 10 drill failed, 11 verification found a difference"
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Address of a node's API, https://host:port; with EPORT_DIR it only picks the node
    #[arg(long, global = true, value_name = "URL", env = "EPORT_API", hide_env_values = true)]
    pub api: Option<String>,
    /// Context of the contexts file to use instead of the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Client certificate, PEM
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Private key of the client certificate, PEM, mode 0600; for table import it stands before the word table
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    pub key: Option<String>,
    /// Root and issuing CAs to trust, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Use the session in this file, made by eport login, instead of a certificate
    #[arg(long, global = true, value_name = "FILE", env = "EPORT_SESSION", hide_env_values = true)]
    pub session: Option<PathBuf>,
    /// Lodge and read documents in the name of this enterprise, which delegated it
    #[arg(long, global = true, value_name = "ENTERPRISE")]
    pub acting_for: Option<String>,
    /// What documents are read for, where that must be said: CLEARANCE, RISK, SUPPORT, STATISTICS, …; the access log keeps it
    #[arg(long, global = true, value_name = "PURPOSE", value_parser = parse_purpose)]
    pub purpose: Option<eport_sharing::Purpose>,
    /// Print one JSON document on stdout and nothing else
    #[arg(long, global = true)]
    pub json: bool,
    /// Take every question as answered with yes
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    /// Language of texts for people; default from the locale
    #[arg(long, global = true, value_enum)]
    pub lang: Option<Lang>,
    /// Longest time for the command; default 30s, for dev up and demo 90s
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

impl Global {
    /// The limit of time, with this default.
    pub fn timeout_or(&self, default: Duration) -> Duration {
        self.timeout.unwrap_or(default)
    }

    /// The language for people: the flag, else the locale.
    pub fn language(&self) -> Lang {
        self.lang.unwrap_or_else(|| Lang::from_locale(|name| std::env::var(name).ok()))
    }

    /// The limit of time of ordinary commands.
    pub fn limit(&self) -> Duration {
        self.timeout_or(Duration::from_secs(30))
    }
}

/// The groups of commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show the whole story on this machine: a federation, two moves, nothing lost; prints a report
    Demo(demo::DemoArgs),
    /// Run a local federation of real eportd processes
    Dev(dev::DevArgs),
    /// Found a federation
    Init(init::InitArgs),
    /// Look after nodes
    Node(node::NodeArgs),
    /// Look after sites: what they share and the room they have
    Site(site::SiteArgs),
    /// Get advice: who should back whom, what the loss of a site costs
    Plan(plan::PlanArgs),
    /// Look after platforms and move them
    Platform(platform::PlatformArgs),
    /// Look at the quorum of the registry and recover from its loss
    Quorum(quorum::QuorumArgs),
    /// Show the federation on one screen
    Status(status::StatusArgs),
    /// Decide on records that a failover left behind
    Tail(tail::TailArgs),
    /// Import and read code tables
    Table(table::TableArgs),
    /// Read, check, test and compare standards packs
    Pack(pack::PackArgs),
    /// Lodge and read documents
    Doc(doc::DocArgs),
    /// Show accounts of licences and their entries; ask for shares
    Licence(licence::LicenceArgs),
    /// Show clearance timeliness: figures, and consignments one by one
    Stats(stats::StatsArgs),
    /// Measure availability with canaries and report it by month
    Report(report::ReportArgs),
    /// Look at what platforms send each other and agencies, and send again what could not take effect
    Exchange(exchange::ExchangeArgs),
    /// Attach agencies; be a virtual one
    Agency(agency::AgencyArgs),
    /// Verify, export and look at journals
    Journal(journal::JournalArgs),
    /// Back up registry and platforms, verify and restore
    Backup(backup::BackupArgs),
    /// Bring up the root in a ceremony, open it again, rotate roots and CAs, show them; one-time enrolment tokens
    Ca(ca::CaArgs),
    /// Show whom the federation trusts
    Trust(crate::commands::rotate::TrustArgs),
    /// Issue, renew, list and revoke certificates; tokens, requests that wait, what ends soon
    Cert(cert::CertArgs),
    /// Ask all nodes and say what is wrong, why, who must act and the command to begin with; exit 11 when something is
    Doctor(doctor::DoctorArgs),
    /// Show what happened in a span of time, merged from every node
    Incident(incident::IncidentArgs),
    /// Rehearse losses: plan, run, judge and report drills; history, schedule, calendar
    Drill(drill::DrillArgs),
    /// Look at commands that wait for a second person, approve or reject them
    Approval(approval::ApprovalArgs),
    /// Approve a command as the second person; the same as approval approve
    Approve(approval::ApproveArgs),
    /// Show who did what; the access log of a node: show, export, verify
    Audit(access_log::AuditArgs),
    /// Look after users: operators with their roles, agencies, enterprises
    User(user::UserArgs),
    /// Look at roles and what they permit; give and take them
    Role(role::RoleArgs),
    /// Look after delegations of enterprises to agents
    Delegation(delegation::DelegationArgs),
    /// Let other enterprises see own documents, and withdraw that
    Consent(consent::ConsentArgs),
    /// Follow the core data set: accepted facts and milestones of every platform
    Coredata(coredata::CoredataArgs),
    /// Log in with the certificate: a token for up to twelve hours, kept in a file of mode 0600
    Login(session::LoginArgs),
    /// Log out: every session under the certificate ends on every node
    Logout(session::LogoutArgs),
    /// Show who one is to the federation, with roles and permissions
    Whoami,
    /// Look at and change the settings of the federation
    Setting(user::SettingArgs),
    /// Keep addresses and certificates of federations
    Context(context::ContextArgs),
    /// Sign what a release consists of, and verify programs against it; offline
    Release(release::ReleaseArgs),
    /// Explain an error code, a finding of doctor or a metric, in both languages
    Explain(explain::ExplainArgs),
    /// Print the completion script of a shell
    Completion(simple::CompletionArgs),
    /// Write the man pages of all commands to a folder
    Man(man::ManArgs),
    /// Say how each control of classified protection and of the cryptography review is met, with evidence looked up now
    Compliance(compliance::ComplianceArgs),
    /// Print the version of this program, and of the node if one is reachable
    Version,
    /// Lodge generated documents and log every attempt; used by the demo, by drills and by tests
    #[command(hide = true)]
    Load(crate::load::LoadArgs),
}

impl Cli {
    /// Parses a command line. `--key` names columns behind `table import` and a file everywhere else, so there the file is
    /// looked for before the word `table` only.
    pub fn read(argv: &[OsString]) -> Result<Self, clap::Error> {
        let mut cli = Self::try_parse_from(argv)?;
        if let Command::Table(table::TableArgs { command: table::TableCommand::Import(_) }) = &cli.command {
            cli.global.key = key_before_table(argv);
        }
        Ok(cli)
    }
}

fn key_before_table(argv: &[OsString]) -> Option<String> {
    let words: Vec<&str> =
        argv.iter().map(|a| a.to_str().unwrap_or("")).take_while(|a| *a != "table").collect();
    let at = words.iter().rposition(|w| *w == "--key" || w.starts_with("--key="))?;
    let value = words[at].strip_prefix("--key=").or_else(|| words.get(at + 1).copied());
    value.map(str::to_owned)
}

/// Reads a purpose of sharing.
pub fn parse_purpose(text: &str) -> Result<eport_sharing::Purpose, String> {
    text.trim().to_ascii_uppercase().parse().map_err(|e: eport_sharing::NoPurpose| e.to_string())
}

/// Reads `500ms`, `30s`, `5m` or `24h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is not a duration like 30s"))?;
    let seconds = match unit {
        "ms" => number / 1_000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return Err(format!("{text:?} needs a unit: ms, s, m or h")),
    };
    // A year is longer than anything this program waits for, and keeps the arithmetic away from overflow.
    if seconds > 0.0 && seconds < 31_536_000.0 {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("{text:?} is not between 0 and a year"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn key_means_columns_behind_table_import_and_a_file_elsewhere() {
        let read = |line: &str| Cli::read(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).unwrap();
        let cli = read("eport --cert c --key k --ca a table import ports.csv --key code,kind");
        assert_eq!(cli.global.key.as_deref(), Some("k"));
        let Command::Table(table::TableArgs { command: table::TableCommand::Import(import) }) = cli.command
        else {
            panic!("table import was meant");
        };
        assert_eq!(import.key, ["code", "kind"]);
        assert_eq!(read("eport table import ports.csv --key code").global.key, None);
        assert_eq!(read("eport status --cert c --key k --ca a").global.key.as_deref(), Some("k"));
        assert_eq!(read("eport table list --cert c --key=k").global.key.as_deref(), Some("k"));
    }

    #[test]
    fn durations_need_a_unit_and_have_bounds() {
        assert_eq!(parse_duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(parse_duration("1.5s").unwrap(), Duration::from_millis(1_500));
        assert_eq!(parse_duration("24h").unwrap(), Duration::from_secs(86_400));
        for bad in ["30", "", "s", "-1s", "0s", "1e99h", "9999999h", "1d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
