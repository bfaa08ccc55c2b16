//! The encodings that a file may be declared to have.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An encoding a file may be declared to have.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8, with or without a byte-order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// GB 18030, which contains GBK and GB 2312.
    #[serde(rename = "gb18030")]
    Gb18030,
    /// Windows code page 1252.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

impl FromStr for Encoding {
    type Err = eport_identity::ParseError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Ok(Encoding::Utf8),
            "gb18030" | "gbk" | "gb2312" => Ok(Encoding::Gb18030),
            "windows-1252" | "cp1252" => Ok(Encoding::Windows1252),
            _ => Err(eport_identity::ParseError {
                what: "encoding",
                input: s.chars().take(64).collect(),
                reason: "utf-8, gb18030 or windows-1252 is needed",
            }),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Gb18030 => "gb18030",
            Encoding::Windows1252 => "windows-1252",
        })
    }
}
