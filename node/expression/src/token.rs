//! Splits an expression into tokens, each with its place in characters.

use crate::{ErrorCode, ExpressionError, TEXT_LEN_MAX};

/// A token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Token {
    /// A name or a word of the language.
    Name(String),
    /// Digits with at most one point.
    Number(String),
    /// A text between single quotes.
    Text(String),
    /// A sign.
    Sign(&'static str),
    /// Behind the last token.
    End,
}

/// Longer signs first, so that `<=` is not read as `<`.
const SIGNS: [&str; 18] =
    ["??", "==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", ":", ".", "+", "-", "*", "/"];

/// Digits of a number literal at most; what it comes to is bounded separately.
const LITERAL_LEN_MAX: usize = 40;

pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    if text.len() > TEXT_LEN_MAX {
        let detail = format!("{} bytes, {TEXT_LEN_MAX} are allowed", text.len());
        return Err(ExpressionError::new(0, ErrorCode::Size, detail));
    }
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(c) = chars.get(at) {
        if c.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let (token, len) = one(&chars[at..]).map_err(|d| ExpressionError::new(at, ErrorCode::Syntax, d))?;
        out.push((at, token));
        at += len;
    }
    out.push((chars.len(), Token::End));
    Ok(out)
}

fn one(rest: &[char]) -> Result<(Token, usize), String> {
    let run = |from: usize, ok: fn(char) -> bool| from + rest[from..].iter().take_while(|c| ok(**c)).count();
    let first = rest[0];
    if first.is_ascii_lowercase() || first == '_' {
        let len = run(0, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        return Ok((Token::Name(rest[..len].iter().collect()), len));
    }
    if first.is_ascii_digit() {
        let mut len = run(0, |c| c.is_ascii_digit());
        if rest.get(len) == Some(&'.') && rest.get(len + 1).is_some_and(char::is_ascii_digit) {
            len = run(len + 1, |c| c.is_ascii_digit());
        }
        if len > LITERAL_LEN_MAX {
            return Err(format!("a number has at most {LITERAL_LEN_MAX} characters"));
        }
        return Ok((Token::Number(rest[..len].iter().collect()), len));
    }
    if first == '\'' {
        let mut text = String::new();
        let mut at = 1;
        loop {
            match (rest.get(at), rest.get(at + 1)) {
                (Some('\''), Some('\'')) => {
                    text.push('\'');
                    at += 2;
                }
                (Some('\''), _) => return Ok((Token::Text(text), at + 1)),
                (Some(c), _) => {
                    text.push(*c);
                    at += 1;
                }
                (None, _) => return Err("a text has no closing quote".into()),
            }
        }
    }
    for sign in SIGNS {
        if sign.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c)) {
            return Ok((Token::Sign(sign), sign.chars().count()));
        }
    }
    Err(format!("{first:?} means nothing here"))
}
