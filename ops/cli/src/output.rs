//! The only place that prints: results on stdout, progress, warnings and questions on stderr.
//!
//! Under `--json` exactly one document goes to stdout, whatever happens; everything for people is left out there.

use crate::error::Error;
use crate::lang::Lang;
use crate::table::Table;
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// So often a question is asked again. The end of the input is no answer either.
const ATTEMPTS: usize = 5;

/// How a command speaks.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// One JSON document on stdout and nothing else.
    pub json: bool,
    /// Language for people.
    pub lang: Lang,
    /// Take every question as answered with yes.
    pub yes: bool,
}

impl Out {
    /// Prints the result: the document under `--json`, else the text that `people` makes.
    pub fn result(&self, document: &Value, people: impl FnOnce() -> String) {
        if self.json {
            self.stdout(&format!("{document:#}\n"));
        } else {
            self.stdout(&people());
        }
    }

    /// Prints a list `{"items":[…],"next_page_token":null}`, else a table.
    pub fn items(&self, items: &[Value], people: impl FnOnce() -> Table) {
        let document = serde_json::json!({ "items": items, "next_page_token": null });
        self.result(&document, || {
            let table = people();
            if table.is_empty() {
                format!("{}\n", self.lang.pick(("(none)", "（无）")))
            } else {
                table.render()
            }
        });
    }

    /// Text on stdout as it is.
    pub fn stdout(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that went away (`| head`) is no failure of the command.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// A line of progress on stderr.
    pub fn progress(&self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
    }

    /// A line of progress in the chosen language.
    pub fn say(&self, en: impl AsRef<str>, zh: impl AsRef<str>) {
        self.progress(self.lang.pick((en.as_ref(), zh.as_ref())));
    }

    /// Asks before something that cannot be taken back. Without a terminal and without `--yes` it is a usage error.
    pub fn confirm(&self, question: (&str, &str)) -> Result<(), Error> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Error::usage(
                "this command asks before it acts: give --yes when there is no terminal",
            ));
        }
        let answer = self.ask(self.lang.pick(question), " [y/N] ")?;
        match answer.to_ascii_lowercase().as_str() {
            "y" | "yes" | "是" => Ok(()),
            _ => Err(Error::coded(
                eport_model::codes::NOT_CONFIRMED,
                self.lang.pick(("nothing was changed", "未作任何更改")),
            )),
        }
    }

    /// Asks for one of several words. Without a terminal `missing` names the flag that was needed.
    pub fn choose(&self, question: (&str, &str), words: &[&str], missing: &str) -> Result<String, Error> {
        if !std::io::stdin().is_terminal() {
            return Err(Error::usage(missing));
        }
        let answer = self.ask(self.lang.pick(question), &format!(" [{}] ", words.join("|")))?;
        if words.contains(&answer.as_str()) { Ok(answer) } else { Err(Error::usage(missing)) }
    }

    /// True when a person can be asked.
    pub fn can_ask(&self) -> bool {
        !self.json && !self.yes && std::io::stdin().is_terminal()
    }

    /// Asks for a text until one comes that can be used; an empty answer takes the default where there is one.
    pub fn enter<T>(&self, question: (&str, &str), default: Option<&str>) -> Result<T, Error>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let tail = default.map_or_else(|| ": ".to_owned(), |d| format!(" [{d}]: "));
        for _ in 0..ATTEMPTS {
            let answer = self.ask(self.lang.pick(question), &tail)?;
            let answer = if answer.is_empty() { default.unwrap_or_default().to_owned() } else { answer };
            match answer.parse() {
                Ok(read) if !answer.is_empty() => return Ok(read),
                Ok(_) => {}
                Err(error) => self.progress(format!("  {error}")),
            }
        }
        Err(Error::usage(self.lang.pick(("no usable answer came", "没有得到可用的回答"))))
    }

    fn ask(&self, question: &str, tail: &str) -> Result<String, Error> {
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "{question}{tail}").and_then(|()| err.flush());
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(Error::file(std::path::Path::new("stdin")))?;
        Ok(line.trim().to_owned())
    }

    /// Prints an error: the JSON object on stdout under `--json`, else title, detail and hint on stderr.
    pub fn error(&self, error: &Error) {
        if matches!(error, Error::Exit(_)) {
            return;
        }
        if self.json {
            self.stdout(&format!("{:#}\n", error.document(self.lang)));
            return;
        }
        use eport_model::Coded as _;
        let (word, hint_word) = self.lang.pick((("error", "hint"), ("错误", "提示")));
        self.progress(format!("{word} {}: {}", error.code(), self.lang.pick(error.title())));
        let detail = error.to_string();
        if !detail.is_empty() {
            self.progress(format!("  {detail}"));
        }
        for line in failures(error) {
            self.progress(format!("  - {line}"));
        }
        if let Some(hint) = error.hint() {
            self.progress(format!("{hint_word}: {}", self.lang.pick(hint)));
        }
    }
}

/// The failures a refusal lists, one line each.
fn failures(error: &Error) -> Vec<String> {
    let Error::Api(e) = error else { return Vec::new() };
    let listed = e.problem().and_then(|p| p.more.get("failures")).and_then(Value::as_array);
    listed.into_iter().flatten().map(failure_line).collect()
}

/// One failure of a document as a line.
pub fn failure_line(failure: &Value) -> String {
    let text = |name| failure.get(name).and_then(Value::as_str).unwrap_or("");
    format!("{}  {}  {}", text("code"), text("path"), text("detail"))
}

/// A member of an object as a cell: strings as they are, null as `-`, numbers and booleans as JSON.
pub fn cell(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(s)) => s.clone(),
        Some(Value::Bool(b)) => if *b { "yes" } else { "no" }.into(),
        Some(Value::Number(n)) => {
            n.as_f64().filter(|f| f.fract() != 0.0).map_or_else(|| n.to_string(), |f| format!("{f:.1}"))
        }
        Some(Value::Array(a)) => a
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(","),
        Some(other) => other.to_string(),
    }
}
