//! The table of targets.

mod ca;
mod data;
#[cfg(feature = "files")]
mod files;
mod tokens;
mod wire;

use crate::{Shape, Target, seeds};

const CSR_WORDS: &[&str] =
    &["-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----", "MII", "=", "\n"];
const TOKEN_WORDS: &[&str] = &[
    "ept1",
    "eport1.",
    ".",
    "+",
    ":",
    "v1;",
    "id=",
    "at=",
    "sig=",
    "key/",
    "epoch/",
    "list/",
    "spiffe://",
    "platform",
    "node",
    "operator",
    "agency",
    "gw",
    "enterprise",
    "EPORT SEALED KEY",
    "-----BEGIN",
    "value ",
    "commitment ",
    "holder ",
];
const CSV_WORDS: &[&str] =
    &["code", "name", "\"", "\"\"", ",", "\r\n", "\u{feff}", "港", "\u{fffd}", "1.0", "1E+05", "Ａ"];
const JSON_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "null",
    "true",
    "1e400",
    "-0",
    "0.1",
    "\\u0000",
    "\\ud800",
    "doc_type",
    "containers",
    "body",
    "arrival_report",
    "9007199254740993",
    "\"\"",
    "\u{2028}",
];
const LOG_WORDS: &[&str] = &["eport-access-log 1 ", "{\"event\":", "times", "subject", "\n"];
const PACK_WORDS: &[&str] =
    &["[[document]]", "format = 1", "[", "]", "=", "'''", "\"\"\"", "key", "fields", "table", "kind"];

/// Every target; what a certificate authority reads stands first.
pub(crate) static TARGETS: &[Target] = &[
    Target {
        name: "csr",
        of_ca: true,
        shape: Shape::Der,
        words: CSR_WORDS,
        body: ca::csr,
        seeds: seeds::csr,
    },
    Target {
        name: "certificate",
        of_ca: true,
        shape: Shape::Der,
        words: &[],
        body: ca::certificate,
        seeds: seeds::certificate,
    },
    Target { name: "crl", of_ca: true, shape: Shape::Der, words: &[], body: ca::crl, seeds: seeds::crl },
    Target { name: "ocsp", of_ca: true, shape: Shape::Der, words: &[], body: ca::ocsp, seeds: seeds::ocsp },
    Target {
        name: "token",
        of_ca: true,
        shape: Shape::Text,
        words: TOKEN_WORDS,
        body: tokens::token,
        seeds: seeds::token,
    },
    Target {
        name: "frame",
        of_ca: false,
        shape: Shape::Binary,
        words: &[],
        body: wire::frame,
        seeds: seeds::frame,
    },
    Target {
        name: "hello",
        of_ca: false,
        shape: Shape::Binary,
        words: &[],
        body: wire::hello,
        seeds: seeds::hello,
    },
    Target {
        name: "record",
        of_ca: false,
        shape: Shape::Binary,
        words: &[],
        body: wire::record,
        seeds: seeds::record,
    },
    Target {
        name: "message",
        of_ca: false,
        shape: Shape::Binary,
        words: &[],
        body: wire::message,
        seeds: seeds::message,
    },
    Target {
        name: "csv",
        of_ca: false,
        shape: Shape::Text,
        words: CSV_WORDS,
        body: data::csv,
        seeds: seeds::csv,
    },
    Target {
        name: "document",
        of_ca: false,
        shape: Shape::Text,
        words: JSON_WORDS,
        body: data::document,
        seeds: seeds::document,
    },
    Target {
        name: "pack",
        of_ca: false,
        shape: Shape::Text,
        words: PACK_WORDS,
        body: data::pack,
        seeds: seeds::pack,
    },
    Target {
        name: "access-log",
        of_ca: false,
        shape: Shape::Text,
        words: LOG_WORDS,
        body: tokens::access_log,
        seeds: seeds::access_log,
    },
    #[cfg(feature = "files")]
    Target {
        name: "manifest",
        of_ca: false,
        shape: Shape::Text,
        words: JSON_WORDS,
        body: files::manifest,
        seeds: seeds::manifest,
    },
    #[cfg(feature = "files")]
    Target {
        name: "bundle",
        of_ca: false,
        shape: Shape::Binary,
        words: &[],
        body: files::bundle,
        seeds: seeds::bundle,
    },
];
