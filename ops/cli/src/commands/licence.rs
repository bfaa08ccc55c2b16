//! `eport licence`: accounts of licences and other quantities, their entries, shares for cities that may be cut off.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_client::{Client, Repeat, path_segment};
use eport_model::RegionCode;
use serde_json::{Value, json};

/// Arguments of `eport licence`.
#[derive(Args, Debug)]
pub struct LicenceArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LicenceCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum LicenceCommand {
    /// Show the balances of a number's accounts, whichever platform keeps them
    Show {
        /// Number of the licence, note or bill
        number: String,
        /// Add the entries up again and compare; exit 11 when something differs
        #[arg(long)]
        audit: bool,
    },
    /// List the entries of an account, oldest first
    Entries {
        /// Number of the licence, note or bill
        number: String,
        /// The account, where the number has several
        #[arg(long, value_name = "BOOK:PART/PART")]
        account: Option<String>,
    },
    /// Show what a document asks of accounts and what became of it
    Document {
        /// The document's number
        id: String,
        /// The platform
        #[arg(long, short = 'p', value_name = "REGION")]
        platform: RegionCode,
    },
    /// Show whether a platform's book waits for confirmations, and which shares it has
    Book {
        /// The platform
        platform: RegionCode,
    },
    /// Ask for a share of an account, to reserve from while the platform is cut off
    Share {
        /// The platform that gets the share
        platform: RegionCode,
        /// The account
        #[arg(long, value_name = "BOOK:PART/PART")]
        account: String,
        /// Name of the share; the same name is the same share
        #[arg(long)]
        name: String,
        /// How much
        #[arg(long)]
        quantity: String,
        /// Last day of its use
        #[arg(long, value_name = "DATE")]
        valid_to: String,
    },
    /// Give the rest of a share back
    Return {
        /// The platform that has the share
        platform: RegionCode,
        /// The account
        #[arg(long, value_name = "BOOK:PART/PART")]
        account: String,
    },
    /// Open a book that waits: whoever has not answered has nothing to say
    Open {
        /// The platform
        platform: RegionCode,
        /// Why; kept for ever
        #[arg(long)]
        reason: String,
    },
}

/// Runs the group.
pub async fn run(args: LicenceArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    match args.command {
        LicenceCommand::Show { number, audit } => show(&client, &number, audit, out).await,
        LicenceCommand::Entries { number, account } => {
            let query: Vec<(&str, String)> = account.map(|a| ("account", a)).into_iter().collect();
            let items =
                client.list(&format!("/v1/licences/{}/entries", path_segment(&number)), &query).await?;
            out.items(&items, || entries(&items));
            Ok(())
        }
        LicenceCommand::Document { id, platform } => {
            let path = format!("/v1/platforms/{platform}/documents/{}/accounts", path_segment(&id));
            let shown: Value = client.get(&path, &[]).await?;
            out.result(&shown, || document(&shown));
            Ok(())
        }
        LicenceCommand::Book { platform } => {
            let shown: Value = client.get(&format!("/v1/platforms/{platform}/accounts:book"), &[]).await?;
            out.result(&shown, || book(&shown));
            Ok(())
        }
        LicenceCommand::Share { platform, account, name, quantity, valid_to } => {
            let body =
                json!({ "account": account, "name": name, "quantity": quantity, "valid_to": valid_to });
            tell(&client, &format!("/v1/platforms/{platform}/shares"), &body, Repeat::Safe, out).await
        }
        LicenceCommand::Return { platform, account } => {
            let path = format!("/v1/platforms/{platform}/shares:return");
            tell(&client, &path, &json!({ "account": account }), Repeat::Safe, out).await
        }
        LicenceCommand::Open { platform, reason } => {
            out.confirm((
                &format!("open the book of {platform}? what a platform that is away was confirmed may be granted twice"),
                &format!("开放 {platform} 的账册？未答复平台已获确认的数量可能被重复核注"),
            ))?;
            let path = format!("/v1/platforms/{platform}/accounts:open");
            tell(&client, &path, &json!({ "reason": reason }), Repeat::UnlessSent, out).await
        }
    }
}

async fn tell(client: &Client, path: &str, body: &Value, repeat: Repeat, out: Out) -> Result<(), Error> {
    let answer: Value = client.post(path, body, repeat).await?;
    out.result(&answer, || out.lang.pick(("done\n", "已受理\n")).to_owned());
    Ok(())
}

async fn show(client: &Client, number: &str, audit: bool, out: Out) -> Result<(), Error> {
    let query = [("audit", audit.to_string())];
    let shown: Value = client.get(&format!("/v1/licences/{}", path_segment(number)), &query).await?;
    let items = shown["items"].as_array().cloned().unwrap_or_default();
    out.items(&items, || balances(&items));
    for problem in items.iter().flat_map(|i| i["problems"].as_array().into_iter().flatten()) {
        out.progress(format!("! {}", problem.as_str().unwrap_or_default()));
    }
    let differs = items.iter().any(|i| i["problems"].as_array().is_some_and(|p| !p.is_empty()));
    if differs { Err(Error::Exit(crate::exit::DIFFERENCE)) } else { Ok(()) }
}

fn balances(items: &[Value]) -> Table {
    let columns = [
        "account",
        "platform",
        "standing",
        "granted",
        "reserved",
        "committed",
        "escrowed",
        "available",
        "uses",
        "valid_to",
    ];
    let mut table = Table::new([
        "account",
        "platform",
        "standing",
        ">granted",
        ">reserved",
        ">committed",
        ">escrowed",
        ">available",
        ">uses",
        "valid to",
    ]);
    items.iter().for_each(|i| table.row(columns.map(|c| cell(i, c))));
    table
}

fn entries(items: &[Value]) -> Table {
    let columns = ["entry_no", "kind", "quantity", "document", "doc_version", "item", "day", "at"];
    let mut table = Table::new([">no", "kind", ">quantity", "document", ">version", ">item", "day", "at"]);
    items.iter().for_each(|i| table.row(columns.map(|c| cell(i, c))));
    table
}

fn document(shown: &Value) -> String {
    let accounts = &shown["accounts"];
    let mut table = Table::new(["account", ">items", "unit", "commit on"]);
    for used in accounts["accounts"].as_array().into_iter().flatten() {
        let count = used["items"].as_object().map_or(0, |i| i.len()).to_string();
        let account = [
            used["account"]["book"].as_str().unwrap_or_default().to_owned(),
            used["account"]["parts"].as_array().map_or_else(String::new, |p| {
                p.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("/")
            }),
        ]
        .join(":");
        table.row([account, count, cell(used, "unit"), cell(used, "commit_on")]);
    }
    let mut text = format!("{}  {}\n{}", cell(shown, "doc_id"), cell(accounts, "progress"), table.render());
    for failure in accounts["failures"].as_array().into_iter().flatten() {
        text.push_str(&format!("! {}  {}\n", cell(failure, "code"), cell(failure, "detail")));
    }
    text
}

fn book(shown: &Value) -> String {
    let mut table = Table::new(["share of", "home", ">quantity", ">rest", "valid to", "usable"]);
    for share in shown["shares"].as_array().into_iter().flatten() {
        table.row(["account", "home", "quantity", "rest", "valid_to", "usable"].map(|c| cell(share, c)));
    }
    let head = ["platform", "epoch", "state", "waiting"].map(|c| cell(shown, c)).join("  ");
    format!("{head}\n{}", table.render())
}
