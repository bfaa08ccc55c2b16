//! Files larger than a request may be: on the disk of the node, under a limit of their own.

use super::{file, installed};
use anyhow::{Context, Result, ensure};
use eport_cluster::Federation;

/// Before a node starts: small limits, and the beginning of a file that a crash left behind.
pub(super) fn limits_are_narrow_and_a_crash_left_something(fed: &Federation, node: &str) -> Result<()> {
    let config = fed.node_dir(node).join("eportd.toml");
    let text = std::fs::read_to_string(&config)?;
    ensure!(!text.contains("body_mib") && text.contains("[limits]"), "{text}");
    let narrow = "[limits]\nbody_mib = 1\ntable_file_mib = 3\n";
    std::fs::write(&config, text.replace("[limits]\n", narrow))?;
    std::fs::write(imports(fed, node).join(".tmpleft"), b"code,name\nA,")?;
    Ok(())
}

fn imports(fed: &Federation, node: &str) -> std::path::PathBuf {
    fed.node_dir(node).join("data/imports")
}

fn left(fed: &Federation, node: &str) -> Result<usize> {
    Ok(std::fs::read_dir(imports(fed, node)).context("imports")?.count())
}

/// Rows of about a hundred bytes each, not in order, and what comes behind them.
fn rows(count: u64, behind: &str) -> String {
    let row = |n: u64| format!("K{:07},{}\n", n * 7_919 % count, "港口".repeat(15));
    format!("code,name\n{}{behind}", (0..count).map(row).collect::<String>())
}

pub(super) fn a_file_goes_over_the_disk_under_a_limit_of_its_own(fed: &Federation, node: &str) -> Result<()> {
    ensure!(left(fed, node)? == 0, "what a crash left is gone with the next start");
    let import = |name: &str, content: String| -> Result<_> {
        let path = file(fed, name, content)?.to_string_lossy().into_owned();
        fed.eport_at(node, &["table", "import", &path, "--name", "large", "--key", "code"])
    };
    let done = import("large.csv", rows(20_000, "K0000000,another\n"))?.expect(1, "two rows with one key")?;
    let report = done.json()?;
    let problem = &report["problems"][0];
    ensure!(
        (&problem["line"], &problem["column"], &problem["kind"])
            == (&20_002.into(), &1.into(), &"repeated_key".into()),
        "{report}"
    );
    let done = import("large.csv", rows(20_000, ""))?.expect(0, "2 MB where a request may have 1")?.json()?;
    ensure!(done["published"] == true && done["rows"] == 20_000, "{done}");
    installed(fed, "large")?;
    let refused = import("large.csv", rows(60_000, ""))?;
    ensure!(
        refused.code != 0 && refused.stdout.contains("EP6004"),
        "6 MB where a file may have 3: {refused:?}"
    );
    ensure!(left(fed, node)? == 0, "a file stays no longer than it is read");
    what_stands_between_parts_is_bounded(fed)?;
    let pipe = fed.eport_at(node, &["table", "import", "/dev/null", "--name", "large", "--key", "code"])?;
    ensure!(pipe.code != 0 && format!("{pipe:?}").contains("no regular file"), "{pipe:?}");
    Ok(())
}

/// A form whose parts never begin, and one whose part has no end of its heads.
fn what_stands_between_parts_is_bounded(fed: &Federation) -> Result<()> {
    let http = fed.http()?;
    let url = format!("{}/v1/tables/large/versions", fed.api("gz-a-1")?);
    let filling = vec![b'x'; 12 << 20];
    for begins in ["", "--B\r\nX-Head: "] {
        let body = [begins.as_bytes(), &filling].concat();
        let refused = http.send("POST", &url, "multipart/form-data; boundary=B", body)?;
        ensure!(refused.status == 400, "{begins:?}: {} {}", refused.status, refused.text());
        ensure!(refused.text().contains("without the beginning"), "{}", refused.text());
    }
    Ok(())
}
