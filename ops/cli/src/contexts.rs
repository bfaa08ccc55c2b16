//! The contexts file: named federations with their addresses and certificates.
//!
//! It lies at `EPORT_CONTEXTS`, else `$XDG_CONFIG_HOME/eport/contexts.toml`, else `~/.config/eport/contexts.toml`.

use crate::connect::Access;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The context used when nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Contexts by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One federation as one operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Addresses of nodes.
    pub api: Vec<String>,
    /// Client certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Roots and issuing CAs, PEM.
    pub ca: PathBuf,
}

impl Contexts {
    /// Where the file lies.
    pub fn path() -> Result<PathBuf, Error> {
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        var("EPORT_CONTEXTS")
            .or_else(|| var("XDG_CONFIG_HOME").map(|d| d.join("eport/contexts.toml")))
            .or_else(|| var("HOME").map(|d| d.join(".config/eport/contexts.toml")))
            .ok_or_else(|| {
                Error::usage("neither EPORT_CONTEXTS nor HOME is set: no place for the contexts file")
            })
    }

    /// Reads the file; a missing one is empty.
    pub fn load() -> Result<Self, Error> {
        let path = Self::path()?;
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|e| {
                let detail = format!("{}: {e}", path.display());
                Error::coded(eport_model::codes::FILE_UNUSABLE, detail)
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(Error::file(&path)(e)),
        }
    }

    /// Writes the file, so that a crash leaves the old or the new one.
    pub fn save(&self) -> Result<(), Error> {
        let path = Self::path()?;
        let text = toml::to_string_pretty(self).map_err(|e| {
            Error::coded(eport_model::codes::FILE_UNUSABLE, format!("{}: {e}", path.display()))
        })?;
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(Error::file(dir))?;
        }
        crate::files::write_atomic(&path, text.as_bytes())
    }

    /// The access of a named context.
    pub fn get(&self, name: &str) -> Result<Access, Error> {
        self.contexts.get(name).map(Context::access).ok_or_else(|| {
            let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let detail = format!("no context is named {name:?}; known: {}", known.join(", "));
            Error::coded(eport_model::codes::NOT_FOUND, detail)
        })
    }

    /// The access of the current context, if one is chosen.
    pub fn current(&self) -> Option<Result<Access, Error>> {
        self.current.as_deref().map(|name| self.get(name))
    }
}

impl Context {
    fn access(&self) -> Access {
        Access { apis: self.api.clone(), cert: self.cert.clone(), key: self.key.clone(), ca: self.ca.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_survives_its_file_and_an_unknown_name_is_not_found() {
        let context = Context {
            api: vec!["https://a:1".into(), "https://b:2".into()],
            cert: "c.pem".into(),
            key: "k.pem".into(),
            ca: "ca.pem".into(),
        };
        let file =
            Contexts { current: Some("gd".into()), contexts: BTreeMap::from([("gd".into(), context)]) };
        let again: Contexts = toml::from_str(&toml::to_string_pretty(&file).unwrap()).unwrap();
        assert_eq!(again, file);
        assert_eq!(again.current().unwrap().unwrap().apis.len(), 2);
        assert_eq!(again.get("fj").unwrap_err().exit(), 3);
    }
}
