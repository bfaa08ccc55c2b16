//! What is delivered: packed from the programs of this build, looked at, damaged, installed below another root.
//!
//! The programs of the workspace carry failpoints and are no release; how they are packed does not depend on that.
// Tests: an unwrap is an assertion.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("../..")
}

fn run(program: impl AsRef<std::ffi::OsStr>, args: &[&str], dir: &Path) -> Result<Output> {
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).env_remove("RELEASE_KEY");
    command.output().with_context(|| format!("{}", program.display()))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn missing(tool: &str) -> bool {
    !Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success())
}

#[test]
fn the_archive_is_whole_signed_and_installs_and_a_flipped_bit_is_refused() {
    if let Some(tool) = ["ar", "tar", "gzip", "sha256sum"].into_iter().find(|t| missing(t)) {
        eprintln!("SKIP packing: {tool} is not installed");
        return;
    }
    let pack = || -> Result<()> {
        let programs = eport_cluster::binaries()?;
        let dir = tempfile::tempdir()?;
        let (bin, out) = (programs.eport.parent().context("folder")?.to_owned(), dir.path().join("out"));
        let packed = run(root().join(".ci/package"), &[&text(&bin), &text(&out)], &root())?;
        let said = String::from_utf8_lossy(&packed.stdout).into_owned();
        ensure!(packed.status.success(), "{said}\n{}", String::from_utf8_lossy(&packed.stderr));
        let pin = said.lines().find_map(|l| l.strip_prefix("pin ")).context("pin")?.to_owned();
        let made = |end: &str| -> Result<PathBuf> {
            let entries = std::fs::read_dir(&out)?.filter_map(Result::ok).map(|e| e.path());
            entries.into_iter().find(|p| text(p).ends_with(end)).with_context(|| end.to_owned())
        };
        let (archive, deb, list) = (made(".tar.gz")?, made(".deb")?, made(".release")?);
        let verify = |file: &Path| -> Result<Option<i32>> {
            let args =
                ["--json", "release", "verify", "--manifest", &text(&list), "--pin", &pin, &text(file)];
            Ok(run(&programs.eport, &args, &out)?.status.code())
        };
        for file in [&archive, &deb] {
            ensure!(verify(file)? == Some(0), "{}", file.display());
            let good = std::fs::read(file)?;
            for at in [0, good.len() / 3, good.len() - 1] {
                let mut bad = good.clone();
                bad[at] ^= 4;
                std::fs::write(file, &bad)?;
                ensure!(verify(file)? == Some(11), "a flipped bit at {at} of {}", file.display());
            }
            std::fs::write(file, &good)?;
        }
        let parts = run("ar", &["t", &text(&deb)], &out)?;
        ensure!(parts.stdout == b"debian-binary\ncontrol.tar.gz\ndata.tar.gz\n", "{parts:?}");
        installs(&archive, &pin, dir.path())
    };
    pack().unwrap_or_else(|e| panic!("{e:#}"));
}

/// Unpacks, installs below a root, and lets the installed programs speak.
fn installs(archive: &Path, pin: &str, dir: &Path) -> Result<()> {
    ensure!(run("tar", &["-xzf", &text(archive), "-C", &text(dir)], dir)?.status.success(), "tar");
    let name = archive.file_name().and_then(|n| n.to_str()).context("name")?;
    let tree = dir.join(name.strip_suffix(".tar.gz").context("name")?);
    let root = dir.join("root");
    let install = |tree: &Path| -> Result<Output> {
        let mut command = Command::new("sh");
        command.arg(tree.join("install.sh")).env("DESTDIR", &root);
        Ok(command.output()?)
    };
    let done = install(&tree)?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let at = |path: &str| root.join(path);
    for path in [
        "usr/lib/systemd/system/eportd.service",
        "usr/share/man/man1/eport-node-join.1",
        "usr/share/man/man8/eportd.8",
        "usr/share/bash-completion/completions/eport",
        "usr/share/doc/eport/eportd.example.toml",
    ] {
        ensure!(std::fs::metadata(at(path))?.len() > 100, "{path}");
    }
    let (eport, list) = (at("usr/bin/eport"), text(&at("usr/lib/eport/eport.release")));
    let (daemon, own) = (text(&at("usr/bin/eportd")), text(&eport));
    let held = run(&eport, &["release", "verify", "--manifest", &list, "--pin", pin, &daemon, &own], dir)?;
    ensure!(held.status.success(), "{held:?}");
    let example = text(&at("usr/share/doc/eport/eportd.example.toml"));
    let checked = run(&daemon, &["--config", &example, "--check"], dir)?;
    ensure!(checked.status.success(), "{checked:?}");
    looks(&eport, dir)?;
    // One bit in the tree, and nothing is installed.
    let page = tree.join("man/eport.1");
    let mut bytes = std::fs::read(&page)?;
    bytes[0] ^= 1;
    std::fs::write(&page, bytes)?;
    ensure!(!install(&tree)?.status.success(), "a damaged tree was installed");
    Ok(())
}

/// The check of a machine by the installed program: a free port, then one that is taken.
fn looks(eport: &Path, dir: &Path) -> Result<()> {
    let held = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = held.local_addr()?.to_string();
    let check = |api: &str| -> Result<(Option<i32>, Value)> {
        let args =
            ["--json", "init", "federation", "--check", "--listen-quic", "127.0.0.1:0", "--listen-api", api];
        let ran = run(eport, &args, dir)?;
        Ok((ran.status.code(), serde_json::from_slice(&ran.stdout)?))
    };
    let (code, found) = check("127.0.0.1:0")?;
    ensure!(code == Some(0) && found["ok"] == true, "{found}");
    let (code, found) = check(&taken)?;
    let port = found["checks"].as_array().and_then(|c| c.iter().find(|c| c["check"] == "port_api")).cloned();
    let port = port.context("port_api")?;
    ensure!(code == Some(7) && port["level"] == "failed" && port["next"].is_string(), "{found}");
    // Without a terminal nobody is asked: all that is missing is named at once.
    let asked = run(eport, &["--json", "init", "federation", "--name", "gd"], dir)?;
    let error: Value = serde_json::from_slice(&asked.stdout)?;
    let detail = error["error"]["detail"].as_str().unwrap_or_default();
    ensure!(
        asked.status.code() == Some(2) && detail.contains("--region, --site, --trust-domain, --dir"),
        "{error}"
    );
    Ok(())
}
