//! Controls of classified protection and of the cryptography review as data, what is looked up for them, and the verdict.
//!
//! The list is `compliance/controls.toml`. A test holds every reference in it to this tree; what can be asked of a running federation
//! is asked by `commands::compliance`, and judged here from the answers alone.

use crate::lang::Lang;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The list as it is delivered.
pub const CONTROLS: &str = include_str!("../compliance/controls.toml");

/// A text in both languages.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Text {
    /// In one language.
    pub fn of(&self, lang: Lang) -> &str {
        lang.pick((self.en.as_str(), self.zh.as_str()))
    }
}

/// Which list a control is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Standard {
    /// Classified protection, level 3 (GB/T 22239-2019).
    Mlps3,
    /// Review of cryptography, level 3 (GB/T 39786-2021).
    Crypto3,
}

impl Standard {
    /// Its name.
    pub fn title(self, lang: Lang) -> &'static str {
        lang.pick(match self {
            Standard::Mlps3 => (
                "Classified protection, level 3 (GB/T 22239-2019)",
                "网络安全等级保护三级（GB/T 22239-2019）",
            ),
            Standard::Crypto3 => (
                "Cryptography review, level 3 (GB/T 39786-2021)",
                "密码应用安全性评估三级（GB/T 39786-2021）",
            ),
        })
    }
}

/// What shows that a control is met.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Evidence {
    /// A test of the tree.
    Test {
        /// Its name.
        test: String,
    },
    /// A page of the documentation.
    Page {
        /// Below the root of the tree.
        page: String,
    },
    /// A command.
    Command {
        /// Its words behind `eport`.
        command: String,
    },
    /// A key of eportd's configuration.
    Config {
        /// `section.key`.
        config: String,
    },
    /// A route, and what it has.
    Route {
        /// Its path.
        route: String,
        /// Whether its records count as evidence.
        #[serde(default)]
        records: bool,
    },
    /// A setting of the federation.
    Setting {
        /// Its name.
        setting: String,
        /// What counts while it is not set.
        default: String,
        /// At least.
        #[serde(default)]
        least: Option<u64>,
        /// At most.
        #[serde(default)]
        most: Option<u64>,
    },
    /// A field of the status.
    Status {
        /// Its name.
        status: String,
        /// What it must be.
        is: String,
    },
    /// A warning that must not be there.
    Absent {
        /// Its code.
        absent: String,
    },
}

/// One control.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Stable id.
    pub id: String,
    /// The list it is of.
    pub standard: Standard,
    /// Where it stands there.
    pub clause: String,
    /// Its name.
    pub title: Text,
    /// How it is met.
    pub how: Text,
    /// What remains with the site.
    pub site: Text,
    /// What shows it.
    pub evidence: Vec<Evidence>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    control: Vec<Control>,
}

/// The controls in their order.
pub fn controls() -> Result<Vec<Control>, String> {
    toml::from_str::<File>(CONTROLS).map(|f| f.control).map_err(|e| e.to_string())
}

/// The first page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Records {
    /// How many it has.
    pub count: usize,
    /// Whether there are more.
    pub more: bool,
    /// When the first one was made, where it says so.
    pub newest: Option<String>,
}

impl Records {
    /// Of a page as the API answers it.
    pub fn of(page: &Value) -> Self {
        let items = page["items"].as_array().map_or(&[][..], Vec::as_slice);
        let instant = |item: &Value| {
            let named = ["at", "time", "when", "begun", "created"].iter().find_map(|k| item[*k].as_str());
            named.map(str::to_owned)
        };
        let more = page["next_page_token"].as_str().is_some_and(|t| !t.is_empty());
        Self { count: items.len(), more, newest: items.first().and_then(instant) }
    }

    fn said(&self) -> String {
        let more = if self.more { " or more" } else { "" };
        let newest = self.newest.as_ref().map(|t| format!(", newest {t}")).unwrap_or_default();
        format!("{} records{more}{newest}", self.count)
    }
}

/// What was asked of the federation; every part is absent where it could not be.
#[derive(Default)]
pub struct Live {
    /// `GET /v1/federation`.
    pub status: Option<Value>,
    /// `GET /v1/settings`.
    pub settings: Option<Vec<Value>>,
    /// Records by route, or why there are none to see.
    pub records: BTreeMap<String, Result<Records, String>>,
    /// The configuration of a node.
    pub config: Option<toml::Table>,
}

/// What an evidence showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Kind of the evidence.
    pub kind: &'static str,
    /// What it names.
    pub name: String,
    /// What was found; `None` where nothing is looked up.
    pub found: Option<String>,
    /// Whether that is as it should be; `None` where nothing is looked up or could be.
    pub holds: Option<bool>,
}

/// The verdict on a control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Everything that was looked up is as it should be.
    Holds,
    /// Something is not.
    Deviates,
    /// Nothing of it could be looked up: tests and pages speak alone.
    NotLookedUp,
}

impl Verdict {
    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Deviates => "deviates",
            Verdict::NotLookedUp => "not_looked_up",
        }
    }

    fn shown(self, lang: Lang) -> &'static str {
        lang.pick(match self {
            Verdict::Holds => ("holds", "符合"),
            Verdict::Deviates => ("deviates", "不符"),
            Verdict::NotLookedUp => ("not looked up", "未查验"),
        })
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Judges one piece of evidence.
pub fn look(evidence: &Evidence, live: &Live) -> Shown {
    let still = |kind, name: &str| Shown { kind, name: name.to_owned(), found: None, holds: None };
    match evidence {
        Evidence::Test { test } => still("test", test),
        Evidence::Page { page } => still("page", page),
        Evidence::Command { command } => still("command", &format!("eport {command}")),
        Evidence::Config { config } => {
            let at = config.split_once('.').zip(live.config.as_ref());
            let value = at.and_then(|((section, key), file)| file.get(section)?.get(key).cloned());
            let found =
                live.config.as_ref().map(|_| value.map_or_else(|| "(default)".to_owned(), |v| v.to_string()));
            Shown { found, ..still("config", config) }
        }
        Evidence::Route { route, records } => {
            let Some(seen) = live.records.get(route).filter(|_| *records) else {
                return still("route", route);
            };
            let found = match seen {
                Ok(seen) => seen.said(),
                Err(why) => why.clone(),
            };
            Shown { found: Some(found), ..still("records", route) }
        }
        Evidence::Setting { setting, default, least, most } => {
            let Some(settings) = &live.settings else { return still("setting", setting) };
            let set = settings.iter().find(|s| s["name"] == **setting).map(|s| word(&s["value"]));
            let text = set.unwrap_or_else(|| default.clone());
            let holds = text
                .parse::<u64>()
                .is_ok_and(|n| least.is_none_or(|l| n >= l) && most.is_none_or(|m| n <= m));
            Shown { found: Some(text), holds: Some(holds), ..still("setting", setting) }
        }
        Evidence::Status { status, is } => {
            let Some(seen) = &live.status else { return still("status", status) };
            let found = word(&seen[status.as_str()]);
            Shown { holds: Some(found == *is), found: Some(found), ..still("status", status) }
        }
        Evidence::Absent { absent } => {
            let Some(seen) = &live.status else { return still("no_warning", absent) };
            let listed = seen["warnings"].as_array().into_iter().flatten();
            let texts: Vec<String> =
                listed.filter(|w| w["code"] == **absent).map(|w| word(&w["text"])).collect();
            Shown {
                holds: Some(texts.is_empty()),
                found: Some(texts.join("; ")),
                ..still("no_warning", absent)
            }
        }
    }
}

/// The verdict on everything that was shown.
pub fn verdict(shown: &[Shown]) -> Verdict {
    let held: Vec<bool> = shown.iter().filter_map(|s| s.holds).collect();
    match held.is_empty() {
        true => Verdict::NotLookedUp,
        false if held.iter().all(|holds| *holds) => Verdict::Holds,
        false => Verdict::Deviates,
    }
}

/// A control with what was found.
pub struct Judged {
    /// The control.
    pub control: Control,
    /// Its evidence.
    pub shown: Vec<Shown>,
    /// The verdict.
    pub verdict: Verdict,
}

/// Judges controls of one list, or of all.
pub fn judge(controls: Vec<Control>, standard: Option<Standard>, live: &Live) -> Vec<Judged> {
    let wanted = controls.into_iter().filter(|c| standard.is_none_or(|s| s == c.standard));
    let one = |control: Control| {
        let shown: Vec<Shown> = control.evidence.iter().map(|e| look(e, live)).collect();
        Judged { verdict: verdict(&shown), shown, control }
    };
    wanted.map(one).collect()
}

/// The report as JSON.
pub fn document(judged: &[Judged], federation: &Value, at: &str, lang: Lang) -> Value {
    let count = |v: Verdict| judged.iter().filter(|j| j.verdict == v).count();
    let control = |j: &Judged| {
        let evidence: Vec<Value> = j
            .shown
            .iter()
            .map(|s| json!({ "kind": s.kind, "name": s.name, "found": s.found, "holds": s.holds }))
            .collect();
        let c = &j.control;
        json!({ "id": c.id, "standard": c.standard.title(Lang::En), "clause": c.clause, "title": c.title.of(lang),
            "how": c.how.of(lang), "site": c.site.of(lang), "verdict": j.verdict.word(), "evidence": evidence })
    };
    json!({ "federation": federation, "at": at,
        "summary": { "holds": count(Verdict::Holds), "deviates": count(Verdict::Deviates), "not_looked_up": count(Verdict::NotLookedUp) },
        "controls": judged.iter().map(control).collect::<Vec<_>>() })
}

/// The report as Markdown.
pub fn markdown(judged: &[Judged], federation: &str, at: &str, lang: Lang) -> String {
    let mut out = lang.pick((
        format!("# Compliance report\n\nFederation: {federation} · {at}\n"),
        format!("# 合规报告\n\n联邦：{federation} · {at}\n"),
    ));
    for standard in [Standard::Mlps3, Standard::Crypto3] {
        let of: Vec<&Judged> = judged.iter().filter(|j| j.control.standard == standard).collect();
        if of.is_empty() {
            continue;
        }
        out.push_str(&format!("\n## {}\n", standard.title(lang)));
        for j in of {
            out.push_str(&section(j, lang));
        }
    }
    out
}

fn section(j: &Judged, lang: Lang) -> String {
    let c = &j.control;
    let mut out = format!(
        "\n### {} {} — {}\n\n{}\n\n",
        c.clause,
        c.title.of(lang),
        j.verdict.shown(lang),
        c.how.of(lang)
    );
    for s in &j.shown {
        let mark = match s.holds {
            Some(true) => " ✓",
            Some(false) => " ✗",
            None => "",
        };
        let found = s.found.as_ref().filter(|f| !f.is_empty()).map(|f| format!(": {f}")).unwrap_or_default();
        out.push_str(&format!("- {} `{}`{found}{mark}\n", s.kind, s.name));
    }
    out.push_str(
        &lang.pick((format!("\nSite: {}\n", c.site.of(lang)), format!("\n单位负责：{}\n", c.site.of(lang)))),
    );
    out
}

/// The reference page: the list as it is, nothing looked up, in both languages.
pub fn page() -> Result<String, String> {
    let mut out = String::from(
        "# Controls: classified protection and cryptography review · 等保三级与密评\n\n\
         Made from `ops/cli/compliance/controls.toml`; `UPDATE=1 cargo test -p eport-cli --test reference` writes it again. A test checks that \
         every test, page, command, route, setting and configuration key named here is there. Numbers and names of clauses are as far as \
         known here: the assessor's copy of the standard decides.\n\n\
         ```sh\n\
         eport compliance report                              # looked up in the federation now\n\
         eport compliance report --format markdown --lang zh  # for the file of the assessment\n\
         eport compliance report --config /etc/eport/eportd.toml --strict   # with a node's file; exit 11 when one deviates\n\
         ```\n\n\
         *Holds* says that what was looked up is as it should be, not that an assessor was here; what a site must do itself stands \
         with each control.\n",
    );
    for standard in [Standard::Mlps3, Standard::Crypto3] {
        out.push_str(&format!("\n## {} · {}\n", standard.title(Lang::En), standard.title(Lang::Zh)));
        for c in controls()?.iter().filter(|c| c.standard == standard) {
            out.push_str(&format!(
                "\n### {} {} · {}\n\n{}\n\n{}\n\n",
                c.clause, c.title.zh, c.title.en, c.how.en, c.how.zh
            ));
            for e in &c.evidence {
                let shown = look(e, &Live::default());
                out.push_str(&format!("- {} `{}`\n", shown.kind, shown.name));
            }
            out.push_str(&format!("\nRemains with the site: {} · {}\n", c.site.en, c.site.zh));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Live {
        Live {
            status: Some(
                json!({ "two_person": true, "role_separation": "founding", "operator_signatures": true,
                "warnings": [{ "code": "EP2009", "text": "one site holds two voters" }] }),
            ),
            settings: Some(vec![json!({ "name": "access_log_days", "value": "30" })]),
            records: [(
                "/v1/audit".to_owned(),
                Ok(Records::of(&json!({ "items": [{ "at": "T1" }, {}],
                "next_page_token": "x" }))),
            )]
            .into(),
            config: Some(toml::from_str("[verify]\nscrub_every_s = 60\n").unwrap()),
        }
    }

    fn of<'a>(judged: &'a [Judged], id: &str) -> &'a Judged {
        judged.iter().find(|j| j.control.id == id).unwrap()
    }

    #[test]
    fn what_is_looked_up_decides_and_what_is_not_is_said() {
        let judged = judge(controls().unwrap(), None, &live());
        let audit = of(&judged, "mlps3-audit");
        assert_eq!(audit.verdict, Verdict::Deviates, "thirty days are less than six months");
        assert!(
            audit
                .shown
                .iter()
                .any(|s| s.name == "/v1/audit" && s.found.as_deref() == Some("2 records or more, newest T1"))
        );
        assert_eq!(of(&judged, "mlps3-net-architecture").verdict, Verdict::Deviates);
        assert_eq!(of(&judged, "mlps3-access").verdict, Verdict::Deviates);
        assert_eq!(of(&judged, "mlps3-lockout").verdict, Verdict::Holds, "defaults count");
        assert_eq!(of(&judged, "crypto3-keys").verdict, Verdict::NotLookedUp);
        let integrity = of(&judged, "mlps3-integrity");
        let scrub = integrity.shown.iter().find(|s| s.kind == "config").unwrap();
        assert_eq!((integrity.verdict, scrub.found.as_deref()), (Verdict::Holds, Some("60")));
    }

    #[test]
    fn without_a_federation_nothing_holds_and_the_report_still_stands() {
        let judged = judge(controls().unwrap(), Some(Standard::Crypto3), &Live::default());
        assert!(judged.iter().all(|j| j.verdict == Verdict::NotLookedUp) && judged.len() == 4);
        let all = document(&judged, &Value::Null, "2026-01-01T00:00:00.000Z", Lang::Zh);
        assert_eq!(all["summary"]["not_looked_up"], 4);
        let text = markdown(&judged, "-", "2026-01-01T00:00:00.000Z", Lang::Zh);
        assert!(text.contains("密钥管理") && text.contains("单位负责") && !text.contains("等级保护三级"));
    }

    #[test]
    fn every_control_has_evidence_both_languages_and_an_id_of_its_own() {
        let all = controls().unwrap();
        let ids: std::collections::BTreeSet<&str> = all.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids.len(), all.len());
        for c in &all {
            assert!(!c.evidence.is_empty() && c.clause.starts_with('8'), "{}", c.id);
            for text in [&c.title, &c.how, &c.site] {
                assert!(!text.zh.is_ascii() && text.en.is_ascii(), "{}: {text:?}", c.id);
            }
        }
    }
}
