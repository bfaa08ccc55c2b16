//! `eport login`, `logout`, `whoami`: a session instead of the certificate at every call.

use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::Args;
use eport_client::Repeat;
use eport_model::codes::{FILE_UNUSABLE, KEY_EXPOSED};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Arguments of `eport login`.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// File for the token, mode 0600; default session.json beside the contexts file
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

/// Arguments of `eport logout`.
#[derive(Args, Debug)]
pub struct LogoutArgs {
    /// File of the token, which is removed; default as for login
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

/// What the file holds.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// Addresses of nodes.
    pub api: Vec<String>,
    /// Root and issuing CAs to trust, PEM.
    pub ca: PathBuf,
    /// Whose session it is.
    pub subject: String,
    /// Its end.
    pub ends: String,
    /// The token.
    pub token: String,
}

impl Saved {
    /// Reads a session's file, which only its owner may read.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mode = std::fs::metadata(path).map_err(Error::file(path))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let detail = format!("{}: mode {mode:o}; others could use the session", path.display());
            return Err(Error::coded(KEY_EXPOSED, detail));
        }
        let text = std::fs::read(path).map_err(Error::file(path))?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::coded(FILE_UNUSABLE, format!("{}: {e}", path.display())))
    }

    /// Writes it, so that it is never readable by others and never half there.
    pub fn store(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::coded(FILE_UNUSABLE, format!("{}: {e}", path.display())))?;
        if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir).map_err(Error::file(dir))?;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".new{}", std::process::id()));
        let beside = path.with_file_name(name);
        let _ = std::fs::remove_file(&beside);
        crate::files::write_new(&beside, &text, true)?;
        std::fs::rename(&beside, path).map_err(Error::file(path))
    }
}

fn place(to: Option<PathBuf>, global: &Global) -> Result<PathBuf, Error> {
    if let Some(path) = to.or_else(|| global.session.clone()) {
        return Ok(path);
    }
    Ok(crate::contexts::Contexts::path()?.with_file_name("session.json"))
}

/// `eport login`.
pub async fn login(args: LoginArgs, global: &Global, out: Out) -> Result<(), Error> {
    let access = connect::access(global)?;
    let path = place(args.to, global)?;
    let client = connect::by_certificate(global)?;
    let mut answer: Value = client.post("/v1/session", &serde_json::json!({}), Repeat::UnlessSent).await?;
    let token = answer.as_object_mut().and_then(|o| o.remove("token"));
    let token = token.and_then(|t| t.as_str().map(str::to_owned));
    let token = token.ok_or_else(|| Error::coded(FILE_UNUSABLE, "the answer holds no token"))?;
    // Found again from any folder.
    let ca = std::path::absolute(&access.ca).map_err(Error::file(&access.ca))?;
    let (subject, ends) = (cell(&answer, "subject"), cell(&answer, "ends"));
    Saved { api: access.apis, ca, subject, ends, token }.store(&path)?;
    // The token itself is shown nowhere but in the file.
    answer["session"] = path.display().to_string().into();
    out.result(&answer, || text(&answer));
    Ok(())
}

/// `eport logout`: with the session itself where there is one, else with the certificate.
pub async fn logout(args: LogoutArgs, global: &Global, out: Out) -> Result<(), Error> {
    let path = place(args.to, global)?;
    let global = &Global { session: path.exists().then(|| path.clone()), ..global.clone() };
    let answer: Value = connect::client(global)?.delete("/v1/session").await?;
    if path.exists() {
        std::fs::remove_file(&path).map_err(Error::file(&path))?;
    }
    out.result(&answer, || format!("{}\n", cell(&answer, "subject")));
    Ok(())
}

/// `eport whoami`.
pub async fn whoami(global: &Global, out: Out) -> Result<(), Error> {
    let answer: Value = connect::client(global)?.get("/v1/session", &[]).await?;
    out.result(&answer, || text(&answer));
    Ok(())
}

fn text(item: &Value) -> String {
    let mut table = Table::new(["", ""]);
    for name in ["subject", "serial", "by", "roles", "platform_roles", "acts_for", "permissions", "ends", "idle_until", "session"] {
        if item.get(name).is_some() {
            table.row([name.to_owned(), cell(item, name)]);
        }
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_kept_for_its_owner_alone_and_one_that_others_can_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/session.json");
        let saved = Saved {
            api: vec!["https://a:1".into()],
            ca: "ca.pem".into(),
            subject: "operator/li".into(),
            ends: "2026-01-01T00:00:00Z".into(),
            token: "eport1.00".into(),
        };
        saved.store(&path).unwrap();
        saved.store(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Saved::load(&path).unwrap().token, "eport1.00");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Saved::load(&path).is_err());
    }
}
