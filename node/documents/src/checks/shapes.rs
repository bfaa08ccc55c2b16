//! Identifiers that have a shape and no check digit.

use super::{Finding, format};

/// Holds a value against a mask: `9` a digit, `A` a capital, `X` either, anything else itself.
pub(super) fn fits(value: &str, mask: &str, detail: &'static str) -> Option<Finding> {
    let one = |b: u8, m: u8| match m {
        b'9' => b.is_ascii_digit(),
        b'A' => b.is_ascii_uppercase(),
        b'X' => b.is_ascii_digit() || b.is_ascii_uppercase(),
        other => b == other,
    };
    let same = value.len() == mask.len() && value.bytes().zip(mask.bytes()).all(|(b, m)| one(b, m));
    if same { None } else { format(detail) }
}

/// ID-05: four digits of a division, six characters.
pub(super) fn enterprise_code(value: &str) -> Option<Finding> {
    fits(value, "9999XXXXXX", "four digits and six digits or capitals are needed")
}

/// ID-14: `粤Z`, four characters, `港` or `澳`.
pub(super) fn plate(value: &str) -> Option<Finding> {
    let inner = value.strip_prefix("粤Z").and_then(|v| v.strip_suffix('港').or_else(|| v.strip_suffix('澳')));
    match inner {
        Some(inner) => fits(inner, "XXXX", "four digits or capitals are needed in the middle"),
        None => format("粤Z, four characters and 港 or 澳 are needed"),
    }
}

/// ID-18: `H` or `M` with 8 or 10 digits, or 8 digits.
pub(super) fn permit(value: &str) -> Option<Finding> {
    let digits = value.strip_prefix(['H', 'M']);
    let length = digits.unwrap_or(value).len();
    let shape = digits.unwrap_or(value).bytes().all(|b| b.is_ascii_digit());
    if shape && (length == 8 || (length == 10 && digits.is_some())) {
        return None;
    }
    format("H or M with 8 or 10 digits, or 8 digits, are needed")
}

/// ID-19: ten digits whose chapter is 01 to 76 or 78 to 98.
pub(super) fn hs_code(value: &str) -> Option<Finding> {
    if let Some(wrong) = fits(value, "9999999999", "10 digits are needed") {
        return Some(wrong);
    }
    match &value[..2] {
        "00" | "77" | "99" => {
            Some(Finding { code: "E-ID-SEMANTIC", detail: "chapters are 01 to 76 and 78 to 98" })
        }
        _ => None,
    }
}

/// ID-20: a type letter, four digits of an office, a year digit, a kind of enterprise or an item, five characters.
pub(super) fn handbook(value: &str) -> Option<Finding> {
    fits(value, "A99999XXXXXX", "a letter, five digits and six digits or capitals are needed")
}

/// ID-26: `CN`, three capitals, six digits; perhaps a stroke and a customs office.
pub(super) fn place(value: &str) -> Option<Finding> {
    const DETAIL: &str = "CN, three capitals, six digits and perhaps / with a customs office are needed";
    match value.split_once('/') {
        Some((place, office)) => fits(place, "CNAAA999999", DETAIL).or_else(|| fits(office, "9999", DETAIL)),
        None => fits(value, "CNAAA999999", DETAIL),
    }
}
