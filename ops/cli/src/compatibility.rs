//! Who talks to whom and who starts on whose disk, for people: made from `eport_model::formats`, which holds the numbers.

use crate::lang::Lang;
use crate::table::Table;
use eport_model::formats::{FORMATS, GATES, Kind, RELEASES, Release, Together, hinders, of, together};
use serde_json::{Value, json};

fn span(oldest: u32, newest: u32) -> String {
    if oldest == newest { newest.to_string() } else { format!("{oldest}–{newest}") }
}

fn words(kinds: &[Kind]) -> Vec<&'static str> {
    kinds.iter().filter_map(|k| of(*k)).map(|f| f.id).collect()
}

/// Everything as one document.
pub fn document(lang: Lang) -> Value {
    let formats: Vec<Value> = FORMATS
        .iter()
        .map(|f| {
            json!({ "format": f.id, "what": lang.pick(f.what), "reads_from": f.oldest, "writes": f.newest,
                "newer": f.newer.to_string(), "older": f.older.to_string() })
        })
        .collect();
    let gates: Vec<Value> =
        GATES.iter().map(|g| json!({ "what": lang.pick(g.what), "record": g.since })).collect();
    let mut pairs = Vec::new();
    for (a, b) in pairs_of() {
        let wire = match together(a, b) {
            Together::Yes(version) => Some(version),
            Together::No => None,
        };
        pairs.push(
            json!({ "from": a.version, "to": b.version, "wire": wire, "hindered_by": words(&hinders(a, b)) }),
        );
    }
    json!({ "version": env!("CARGO_PKG_VERSION"), "formats": formats, "gates": gates, "releases": pairs })
}

fn pairs_of() -> impl Iterator<Item = (&'static Release, &'static Release)> {
    RELEASES.iter().flat_map(|a| RELEASES.iter().map(move |b| (a, b)))
}

/// The tables for a terminal.
pub fn text(lang: Lang) -> String {
    let head = lang.pick((
        ["format", ">reads from", ">writes", "newer", "older", "what"],
        ["格式", ">可读", ">写入", "较新时", "较旧时", "说明"],
    ));
    let mut formats = Table::new(head);
    for f in &FORMATS {
        let (newer, older) = (f.newer.to_string(), f.older.to_string());
        let (oldest, newest) = (f.oldest.to_string(), f.newest.to_string());
        formats.row([f.id.to_owned(), oldest, newest, newer, older, lang.pick(f.what).to_owned()]);
    }
    let mut releases =
        Table::new(lang.pick((
            ["from", "to", "together", "starts on its disk"],
            ["从", "到", "可互通", "可用其磁盘启动"],
        )));
    for (a, b) in pairs_of() {
        releases.row([a.version.to_owned(), b.version.to_owned(), talks(a, b, lang), starts(a, b, lang)]);
    }
    format!("{}\n{}", formats.render(), releases.render())
}

fn talks(a: &Release, b: &Release, lang: Lang) -> String {
    match together(a, b) {
        Together::Yes(version) => lang.pick((format!("wire {version}"), format!("协议 {version}"))),
        Together::No => lang.pick(("no", "否")).to_owned(),
    }
}

fn starts(from: &Release, to: &Release, lang: Lang) -> String {
    match words(&hinders(from, to)) {
        none if none.is_empty() => lang.pick(("yes", "是")).to_owned(),
        kinds => lang.pick((format!("no: {}", kinds.join(", ")), format!("否：{}", kinds.join("、")))),
    }
}

/// The reference page.
pub fn page() -> String {
    let mut out = String::from(
        "# Versions, and who gets along with whom · 版本兼容\n\n\
         Made from `replication/model/src/formats.rs`; `UPDATE=1 cargo test -p eport-cli --test reference` writes it again. \
         `eport release compatibility` prints the same, `GET /v1/version` says what a node reads.\n\n\
         ## What has a form of its own\n\n\
         A number rises when an older program could no longer read what a newer one writes. *Newer* and *older* are the codes with which \
         a form outside of the range is refused; nothing is changed then.\n\n\
         | | what | 说明 | reads | writes | newer | older |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for f in &FORMATS {
        let link = |code: eport_model::Code| format!("[{code}](../errors/{code}.md)");
        let (reads, newer, older) = (span(f.oldest, f.newest), link(f.newer), link(f.older));
        out.push_str(&format!(
            "| `{}` | {} | {} | {reads} | {} | {newer} | {older} |\n",
            f.id, f.what.0, f.what.1, f.newest
        ));
    }
    out.push_str(
        "\n## Gates\n\n\
         What a newer program could write and an older holder could not read is not written before every holder of the platform has told \
         the registry that it reads it (`reads` in `eport status --json`). So nodes are upgraded one after the other, in any order. What \
         a node reads never falls: an older program under the same id is refused by the registry.\n\n\
         | record format | what waits for it | 等待项 |\n| --- | --- | --- |\n",
    );
    for g in &GATES {
        out.push_str(&format!("| {} | {} | {} |\n", g.since, g.what.0, g.what.1));
    }
    out.push_str(
        "\n## Releases\n\n\
         Two nodes work together in the newest wire version that both speak; without one they part with EP1303. A node starts on the \
         disk of another release when every form there lies in the range it reads. *From* wrote the disk, *to* is started on it: a row \
         below the diagonal is a downgrade.\n\n\
         | from | to | together | starts on its disk |\n| --- | --- | --- | --- |\n",
    );
    for (a, b) in pairs_of() {
        let (talks, starts) = (talks(a, b, Lang::En), starts(a, b, Lang::En));
        out.push_str(&format!("| {} | {} | {talks} | {starts} |\n", a.version, b.version));
    }
    out.push_str(
        "\n## The way back\n\n\
         A downgrade over a newer form is refused before anything is opened (EP1103, exit 7). Start the newer program again; or let the \
         node join anew with an empty folder ([recovery](quorum-lost.md) says how copies come back), or restore a \
         [backup](backups.md) that the older program wrote.\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_every_format_and_this_release_with_itself() {
        let all = document(Lang::En);
        assert_eq!(all["formats"].as_array().unwrap().len(), FORMATS.len());
        assert_eq!(all["releases"][0]["hindered_by"], json!([]));
        assert!(all["releases"][0]["wire"].is_u64());
        assert!(text(Lang::Zh).contains("日志记录"));
    }
}
