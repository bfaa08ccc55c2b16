//! `eport pack`: read, check, test and compare standards packs. Nothing here needs a node, except the list of what one judges by.

use crate::args::Global;
use crate::commands::pack_publish::{PublishOptions, publish};
use crate::connect;
use crate::error::Error;
use crate::exit;
use crate::lang::Lang;
use crate::output::Out;
use crate::table::Table;
use clap::{Args, Subcommand};
use eport_client::path_segment;
use eport_documents::example::{ExampleTables, Folder, run as run_example};
use eport_documents::pack::{PACK_LEN_MAX, PackError, compare, numbered};
use eport_documents::{BUILTIN, Pack, Packs};
use eport_model::codes::{FILE_UNUSABLE, NOT_FOUND, PACK_REFUSED};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most examples of one folder.
const EXAMPLES_MAX: usize = 10_000;

/// Arguments of `eport pack`.
#[derive(Args, Debug)]
pub struct PackArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PackCommand,
}

/// The commands of the group.
#[derive(Subcommand, Debug)]
pub enum PackCommand {
    /// List the packs the node judges by; with --builtin those of this program
    List {
        /// Those of this program, without asking a node
        #[arg(long)]
        builtin: bool,
    },
    /// Show a pack: its documents, fields, rules, recipients, states
    Show {
        /// Name of a pack of this program, or a folder or file
        pack: String,
    },
    /// Check packs and print every problem with file, line and column
    Validate {
        /// Folders or files; default the packs of this program
        packs: Vec<String>,
    },
    /// Judge the example documents that stand beside packs
    Test {
        /// Folders of packs
        #[arg(required = true)]
        folders: Vec<PathBuf>,
    },
    /// Show what differs between two versions and what of it may refuse documents that were right
    Diff {
        /// The version before: a name, folder or file
        before: String,
        /// The version after
        after: String,
    },
    /// Publish packs in the federation, in force from an instant on; the operator signs
    Publish {
        /// Folders or files
        #[arg(required = true)]
        packs: Vec<String>,
        /// When and how
        #[command(flatten)]
        options: PublishOptions,
    },
    /// Retire packs: their documents are accepted no more, and stay readable
    Retire {
        /// Names
        #[arg(required = true)]
        packs: Vec<String>,
        /// When and how
        #[command(flatten)]
        options: PublishOptions,
    },
}

/// Runs the group.
pub async fn run(args: PackArgs, global: &Global, out: Out) -> Result<(), Error> {
    match args.command {
        PackCommand::List { builtin: true } => {
            let packs = builtin().map_err(|e| refused(&e))?;
            let items: Vec<Value> = packs.iter().map(summary).collect();
            out.items(&items, || list_table(&items, out.lang));
            Ok(())
        }
        PackCommand::List { builtin: false } => {
            let items = connect::client(global)?.list("/v1/packs", &[]).await?;
            out.items(&items, || list_table(&items, out.lang));
            Ok(())
        }
        PackCommand::Show { pack } => show(&pack, global, out).await,
        PackCommand::Validate { packs } => validate(&packs, out),
        PackCommand::Test { folders } => test(&folders, out),
        PackCommand::Diff { before, after } => diff(&before, &after, out),
        PackCommand::Publish { packs, options } => {
            let mut files = Vec::with_capacity(packs.len());
            for name in &packs {
                let path = file_of(name);
                files.push((path.display().to_string(), read(&path, PACK_LEN_MAX)?));
            }
            publish(&connect::client(global)?, files, &[], &options, out).await
        }
        PackCommand::Retire { packs, options } => {
            publish(&connect::client(global)?, Vec::new(), &packs, &options, out).await
        }
    }
}

fn builtin() -> Result<Vec<Pack>, PackError> {
    BUILTIN.iter().map(|(name, text)| Pack::parse_file(&format!("{name}/pack.toml"), text)).collect()
}

/// A value as text; nothing for what is not there.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One line of the list.
fn summary(pack: &Pack) -> Value {
    let types: Vec<&str> = pack.documents.iter().map(|d| &*d.doc_type).collect();
    json!({
        "name": &*pack.head.name, "version": &*pack.head.version, "systems": pack.head.systems, "documents": types,
        "title": { "zh": pack.head.title.zh, "en": pack.head.title.en },
    })
}

fn list_table(items: &[Value], lang: Lang) -> Table {
    let mut table = Table::new(match lang {
        Lang::En => &["Pack", "Version", "Title", "Systems", "Documents"],
        Lang::Zh => &["标准包", "版本", "名称", "系统", "单证"],
    });
    let joined = |v: &Value| {
        let words = v.as_array().map(Vec::as_slice).unwrap_or_default();
        words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    for item in items {
        let title = lang.pick((plain(&item["title"]["en"]), plain(&item["title"]["zh"])));
        table.row([
            plain(&item["name"]),
            plain(&item["version"]),
            title,
            joined(&item["systems"]),
            joined(&item["documents"]),
        ]);
    }
    table
}

/// The file of a pack: a folder has `pack.toml`.
fn file_of(name: &str) -> PathBuf {
    let path = PathBuf::from(name);
    if path.is_dir() { path.join("pack.toml") } else { path }
}

fn read(path: &Path, limit: usize) -> Result<String, Error> {
    let file = std::fs::File::open(path).map_err(Error::file(path))?;
    let mut text = String::new();
    // One byte more than is allowed, so that a larger file is noticed and never read whole.
    file.take(limit as u64 + 1).read_to_string(&mut text).map_err(Error::file(path))?;
    if text.len() > limit {
        return Err(Error::coded(FILE_UNUSABLE, format!("{}: larger than {limit} bytes", path.display())));
    }
    Ok(text)
}

/// Reads a pack of this program by its name, or a folder or file.
fn open(name: &str) -> Result<Result<Pack, PackError>, Error> {
    if let Some((folder, text)) = BUILTIN.iter().find(|(folder, _)| *folder == name) {
        return Ok(Pack::parse_file(&format!("{folder}/pack.toml"), text));
    }
    let path = file_of(name);
    if !path.exists() {
        let detail = format!("no pack of this program is named {name:?}, and there is no such file");
        return Err(Error::coded(NOT_FOUND, detail));
    }
    let text = read(&path, PACK_LEN_MAX)?;
    Ok(Pack::parse_file(&path.display().to_string(), &text))
}

fn refused(error: &PackError) -> Error {
    let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    Error::coded(PACK_REFUSED, lines.join("\n"))
}

fn good(name: &str) -> Result<Pack, Error> {
    open(name)?.map_err(|e| refused(&e))
}

async fn show(name: &str, global: &Global, out: Out) -> Result<(), Error> {
    let local = BUILTIN.iter().any(|(folder, _)| *folder == name) || file_of(name).exists();
    let described = if local {
        good(name)?.describe()
    } else {
        let path = format!("/v1/packs/{}", path_segment(name));
        connect::client(global)?.get(&path, &[]).await?
    };
    out.result(&described, || people(&described, out.lang));
    Ok(())
}

/// A pack for people: what a document holds and what is asked of it.
fn people(pack: &Value, lang: Lang) -> String {
    let title = |v: &Value| lang.pick((plain(&v["title"]["en"]), plain(&v["title"]["zh"])));
    let mut text = format!("{} {} · {}\n", plain(&pack["name"]), plain(&pack["version"]), title(pack));
    let empty = serde_json::Map::new();
    for (doc_type, document) in pack["documents"].as_object().unwrap_or(&empty) {
        text.push_str(&format!("\n{doc_type} · {}\n", title(document)));
        let mut fields = Table::new(match lang {
            Lang::En => &["Field", "Title", "Type", "Required", "To", "Class", "Table, rule"],
            Lang::Zh => &["字段", "名称", "类型", "必填", "接收", "分级", "码表、规则"],
        });
        for (path, field) in document["fields"].as_object().unwrap_or(&empty) {
            let required = match &field["required"] {
                Value::Bool(true) => "M".to_owned(),
                Value::String(when) => format!("C {when}"),
                _ => "O".to_owned(),
            };
            let checks = [plain(&field["table"]), plain(&field["rule"])];
            let checks: Vec<String> = checks.into_iter().filter(|c| !c.is_empty()).collect();
            let (kind, to, class) = (plain(&field["type"]), plain(&field["to"]), plain(&field["class"]));
            fields.row([path.clone(), title(field), kind, required, to, class, checks.join(", ")]);
        }
        text.push_str(&fields.render());
        let mut rules = Table::new(match lang {
            Lang::En => &["Rule", "Code", "Each", "Must hold", "Where"],
            Lang::Zh => &["规则", "代码", "范围", "须满足", "条件"],
        });
        for (id, rule) in document["rules"].as_object().unwrap_or(&empty) {
            let parts = ["code", "each", "check", "when"].map(|part| plain(&rule[part]));
            let [code, each, check, when] = parts;
            rules.row([id.clone(), code, each, check, when]);
        }
        if !rules.is_empty() {
            text.push('\n');
            text.push_str(&rules.render());
        }
        let mut agencies = Table::new(match lang {
            Lang::En => &["Agency", "Role", "In full", "Key fields", "Where"],
            Lang::Zh => &["单位", "角色", "完整", "关键字段", "条件"],
        });
        for (agency, part) in document["recipients"].as_object().unwrap_or(&empty) {
            let [role, full, key, when] = ["role", "full", "key", "when"].map(|p| plain(&part[p]));
            agencies.row([agency.clone(), role, full, key, when]);
        }
        if !agencies.is_empty() {
            text.push('\n');
            text.push_str(&agencies.render());
        }
    }
    text
}

fn validate(names: &[String], out: Out) -> Result<(), Error> {
    let all: Vec<String> = BUILTIN.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = if names.is_empty() { &all } else { names };
    let (mut packs, mut problems) = (Vec::new(), Vec::new());
    for name in names {
        match open(name)? {
            Ok(pack) => packs.push(pack),
            Err(e) => problems.extend(e.problems),
        }
    }
    let count = packs.len();
    if problems.is_empty()
        && let Err(e) = Packs::new(packs)
    {
        problems.extend(e.problems);
    }
    let listed: Vec<Value> = problems
        .iter()
        .map(|p| {
            json!({ "file": p.file, "line": p.line, "column": p.column, "code": p.code.as_str(), "detail": p.detail })
        })
        .collect();
    let ok = listed.is_empty();
    out.result(&json!({ "ok": ok, "packs": count, "problems": listed }), || {
        let lines: Vec<String> = problems.iter().map(|p| format!("{p}\n")).collect();
        match ok {
            true => format!("{count} {}\n", out.lang.pick(("packs are good", "个标准包无误"))),
            false => lines.concat(),
        }
    });
    if ok { Ok(()) } else { Err(Error::Exit(exit::FAILED)) }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::file(folder))?.path();
        if path.extension().is_some_and(|e| e == "json") {
            files.push(path);
        }
        if files.len() > EXAMPLES_MAX {
            let detail = format!("{}: more than {EXAMPLES_MAX} examples", folder.display());
            return Err(Error::coded(FILE_UNUSABLE, detail));
        }
    }
    files.sort();
    Ok(files)
}

fn test(folders: &[PathBuf], out: Out) -> Result<(), Error> {
    let mut packs = Vec::new();
    for folder in folders {
        packs.push(good(&folder.display().to_string())?);
    }
    let packs = Packs::new(packs).map_err(|e| refused(&e))?;
    let (mut count, mut wrong) = (0u32, Vec::new());
    for pack in folders {
        let examples = pack.join("examples");
        let file = examples.join("tables.toml");
        let text = if file.exists() { read(&file, PACK_LEN_MAX)? } else { String::new() };
        let tables = ExampleTables::parse(&text, &packs)
            .map_err(|e| Error::coded(FILE_UNUSABLE, format!("{}: {e}", file.display())))?;
        for (folder, name) in Folder::ALL {
            for file in entries(&examples.join(name))? {
                count += 1;
                let text = read(&file, eport_documents::DOCUMENT_LEN_MAX * 2)?;
                if let Err(detail) = run_example(folder, text.as_bytes(), &packs, &tables) {
                    wrong.push(
                        json!({ "file": file.display().to_string(), "code": "P-EXAMPLE", "detail": detail }),
                    );
                }
            }
        }
    }
    let ok = wrong.is_empty() && count > 0;
    out.result(&json!({ "ok": ok, "examples": count, "wrong": wrong }), || {
        let lines = wrong.iter().map(|w| format!("{}: {}\n", plain(&w["file"]), plain(&w["detail"])));
        let lines: String = lines.collect();
        let told = out.lang.pick(("examples judged, otherwise than they say:", "个示例已判定，与预期不符："));
        format!("{lines}{count} {told} {}\n", wrong.len())
    });
    if ok { Ok(()) } else { Err(Error::Exit(exit::FAILED)) }
}

fn diff(before: &str, after: &str, out: Out) -> Result<(), Error> {
    let (old, new) = (good(before)?, good(after)?);
    let differences = compare(&old, &new);
    let numbering = numbered(&old, &new);
    let listed: Vec<Value> = differences
        .iter()
        .map(|d| json!({ "path": d.path, "before": d.before, "after": d.after, "breaking": d.breaking }))
        .collect();
    let breaking = differences.iter().any(|d| d.breaking);
    let document = json!({
        "before": &*old.head.version, "after": &*new.head.version, "breaking": breaking, "differences": listed,
        "numbering": numbering.as_ref().err(),
    });
    out.result(&document, || {
        let short = |v: &Value| {
            let text = if v.is_null() { String::new() } else { plain(v) };
            text.chars().take(60).collect::<String>()
        };
        let mut table = Table::new(match out.lang {
            Lang::En => &["Where", "Before", "After", "May refuse"],
            Lang::Zh => &["位置", "原", "现", "可能拒绝"],
        });
        for d in &differences {
            let mark = if d.breaking { "!" } else { "" };
            table.row([d.path.clone(), short(&d.before), short(&d.after), mark.to_owned()]);
        }
        let note = numbering.err().map(|n| format!("{n}\n")).unwrap_or_default();
        match table.is_empty() {
            true => format!("{}\n", out.lang.pick(("(no difference)", "（无差异）"))),
            false => format!("{}{note}", table.render()),
        }
    });
    Ok(())
}
