//! Takes secrets out of text before it leaves a node, and again before it goes into a bundle.
//!
//! Rather too much than too little: what stands under a telling name, in a private key's armour, behind `Bearer`, in an address's user
//! part, or looks drawn by chance is removed. Digests (hex, lower case) stay: evidence needs them and they open nothing.

/// What stands in the place of something removed.
pub const REMOVED: &str = "***removed***";

/// Names whose value is a secret, as part of a key in any case.
const NAMES: &[&str] = &[
    "passphrase",
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "cookie",
    "credential",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "private-key",
    "session_key",
    "shares",
];
/// Beginnings of the federation's own tokens: enrolment, session.
const TOKENS: &[&str] = &["ept1.", "eport1."];
/// A run of so many characters of Base64 with both cases and digits was drawn by chance.
const CHANCE_LEN: usize = 40;

/// The text without secrets.
pub fn redact(text: &str) -> String {
    let text = armours(text);
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let line = named(line);
        out.push_str(&words(&line));
    }
    out
}

/// Private keys in PEM, also where a log escaped the line ends. One without an end takes the rest with it.
fn armours(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("-----BEGIN ") {
        let (before, from) = rest.split_at(at);
        let label = from.get(11..).unwrap_or_default();
        let kind = label.split("-----").next().unwrap_or_default();
        out.push_str(before);
        if !kind.contains("PRIVATE") && !kind.contains("SHARE") {
            out.push_str("-----BEGIN ");
            rest = label;
            continue;
        }
        out.push_str(REMOVED);
        let end = from.find("-----END ").and_then(|e| {
            let tail = from.get(e + 9..)?;
            tail.find("-----").map(|close| e + 9 + close + 5)
        });
        rest = end.and_then(|e| from.get(e..)).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Values under telling names: `name = value`, `"name": "value"`, `name=value`, `Name: value`.
fn named(line: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(line.len()), line);
    loop {
        let Some((at, name)) = telling(rest) else {
            out.push_str(rest);
            return out;
        };
        let (before, from) = rest.split_at(at + name);
        out.push_str(before);
        // To the separator: the rest of the name, a closing quote, spaces. Further words in between make it a sentence.
        let gap = from.len() - after_name(from).len();
        let (between, value) = from.split_at(gap);
        if !value.starts_with([':', '=']) {
            out.push_str(between);
            rest = value;
            continue;
        }
        let begin = value.find(|c: char| !" :=\"'\\[".contains(c)).unwrap_or(value.len());
        let (separator, secret) = value.split_at(begin);
        out.push_str(between);
        out.push_str(separator);
        // A value in quotes may hold spaces; one without ends at a space, but a header's value goes to the end of the line.
        let quoted = separator.contains('"') || separator.contains('\'');
        let header = separator.starts_with(": ") && !quoted;
        let list = separator.contains('[');
        let stop: &[char] = match (quoted, header) {
            // A list goes to its end, whatever its members hold.
            _ if list => &[']', '\n', '\r'],
            (true, _) => &['"', '\'', '\n', '\r'],
            (false, true) => &['\n', '\r'],
            (false, false) => &[' ', ',', ';', '&', '}', ')', '\n', '\r', '"'],
        };
        let end = secret.find(|c| stop.contains(&c)).unwrap_or(secret.len());
        if end > 0 {
            out.push_str(REMOVED);
        }
        rest = secret.get(end..).unwrap_or_default();
    }
}

/// What follows a name: its own last letters, quotes and spaces passed over.
fn after_name(from: &str) -> &str {
    from.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        .trim_start_matches(['"', '\'', '\\', ']'])
        .trim_start_matches(' ')
}

/// Where the next telling name begins, and its length.
fn telling(text: &str) -> Option<(usize, usize)> {
    let lower = text.to_ascii_lowercase();
    NAMES.iter().filter_map(|n| lower.find(n).map(|at| (at, n.len()))).min()
}

/// Word by word: bearer tokens, the federation's tokens, users in addresses, what looks drawn by chance.
fn words(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut bearer = false;
    for piece in line.split_inclusive(|c: char| c.is_whitespace() || "\"',;()<>{}".contains(c)) {
        let word = piece.trim_end_matches(|c: char| c.is_whitespace() || "\"',;()<>{}".contains(c));
        let tail = piece.get(word.len()..).unwrap_or_default();
        let own = TOKENS.iter().any(|t| word.contains(t));
        if !word.is_empty() && (bearer || own) {
            out.push_str(REMOVED);
        } else {
            out.push_str(&chance(&user(word)));
        }
        out.push_str(tail);
        if !word.is_empty() {
            bearer = word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic");
        }
    }
    out
}

/// `scheme://user:password@host` without its user part.
fn user(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let host = rest.find('/').unwrap_or(rest.len());
    match rest.get(..host).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://{REMOVED}{}", rest.get(at..).unwrap_or_default()),
        None => word.to_owned(),
    }
}

/// Runs of Base64 that were drawn by chance.
fn chance(word: &str) -> String {
    let base = |c: char| c.is_ascii_alphanumeric() || "+/_=-".contains(c);
    let (mut out, mut run) = (String::with_capacity(word.len()), String::new());
    let flush = |run: &mut String, out: &mut String| {
        out.push_str(if drawn(run) { REMOVED } else { run });
        run.clear();
    };
    for c in word.chars() {
        if base(c) {
            run.push(c);
        } else {
            flush(&mut run, &mut out);
            out.push(c);
        }
    }
    flush(&mut run, &mut out);
    out
}

/// Long, of both cases, with digits in between, and no path: a path has a slash every few letters.
fn drawn(run: &str) -> bool {
    let count = |f: fn(&u8) -> bool| run.bytes().filter(f).count();
    run.len() >= CHANCE_LEN
        && count(u8::is_ascii_uppercase) >= 4
        && count(u8::is_ascii_lowercase) >= 4
        && count(u8::is_ascii_digit) >= 2
        && run.bytes().filter(|b| *b == b'/').count() <= run.len() / 16
}
