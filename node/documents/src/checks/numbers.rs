//! Identifiers with check digits, or whose parts mean something.

use super::shapes::fits;
use super::{Finding, Parameters, check, digit36, format};

const fn semantic(detail: &'static str) -> Option<Finding> {
    Some(Finding { code: "E-ID-SEMANTIC", detail })
}

fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(b, w)| u32::from(b.wrapping_sub(b'0')) * w).sum()
}

/// ID-01: office, year, direction 1 or 0 (I or E on centralised lists), sequence.
pub(super) fn declaration(value: &str) -> Option<Finding> {
    const DETAIL: &str = "18 digits with 0, 1, I or E in the ninth place are needed";
    let shape = fits(value, "99999999X999999999", DETAIL);
    if shape.is_none() && !matches!(value.as_bytes()[8], b'0' | b'1' | b'I' | b'E') {
        return format(DETAIL);
    }
    shape
}

/// ID-02: I or E, a year, 13 digits.
pub(super) fn unified(value: &str) -> Option<Finding> {
    const DETAIL: &str = "I or E and 17 digits are needed";
    if value.starts_with(['I', 'E']) { fits(value, "A99999999999999999", DETAIL) } else { format(DETAIL) }
}

/// ID-09: nine digits, the first three of a known country.
pub(super) fn mmsi(value: &str, parameters: &Parameters) -> Option<Finding> {
    let known = &parameters.mmsi_prefixes;
    if let Some(wrong) = fits(value, "999999999", "nine digits are needed") {
        return Some(wrong);
    }
    let here = known.is_empty() || known.iter().any(|p| value.starts_with(p.as_str()));
    if here { None } else { format("the first three digits are those of no known country") }
}

/// ID-11: airline, seven digits, their rest of 7.
pub(super) fn air_waybill(value: &str) -> Option<Finding> {
    if let Some(wrong) = fits(value, "999-99999999", "three digits, a hyphen and eight digits are needed") {
        return Some(wrong);
    }
    let serial = value.as_bytes()[4..11].iter().fold(0u32, |n, b| n * 10 + u32::from(b - b'0'));
    if serial % 7 == u32::from(value.as_bytes()[11] - b'0') { None } else { check("the check digit differs") }
}

/// ID-12: twelve digits by Luhn.
pub(super) fn wagon(value: &str) -> Option<Finding> {
    if let Some(wrong) = fits(value, "999999999999", "12 digits are needed") {
        return Some(wrong);
    }
    let sum: u32 = value
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| u32::from(b - b'0') << (i % 2))
        .map(|n| n / 10 + n % 10)
        .sum();
    if sum.is_multiple_of(10) { None } else { check("the digits are no multiple of 10 by Luhn") }
}

/// ID-15: two letters, eight digits, weights 8 6 4 2 3 5 9 7, the check digit, a country.
pub(super) fn postal_item(value: &str) -> Option<Finding> {
    if let Some(wrong) = fits(value, "AA999999999AA", "two capitals, nine digits and two capitals are needed")
    {
        return Some(wrong);
    }
    let digits = &value.as_bytes()[2..11];
    let expected = match 11 - weighted(&digits[..8], &[8, 6, 4, 2, 3, 5, 9, 7]) % 11 {
        10 => 0,
        11 => 5,
        n => n,
    };
    if expected == u32::from(digits[8] - b'0') { None } else { check("the check digit differs") }
}

/// ID-16: division, birth date, sequence, check character of `10X98765432`.
pub(super) fn resident(value: &str) -> Option<Finding> {
    const DETAIL: &str = "17 digits and a digit or X are needed";
    if let Some(wrong) = fits(value, "99999999999999999X", DETAIL) {
        return Some(wrong);
    }
    let b = value.as_bytes();
    if !(b[17].is_ascii_digit() || b[17] == b'X') {
        return format(DETAIL);
    }
    let born = format!("{}-{}-{}", &value[6..10], &value[10..12], &value[12..14]);
    if eport_expression::parse_date(&born).is_none() {
        return semantic("the birth date does not exist");
    }
    let sum = weighted(&b[..17], &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    if b"10X98765432"[sum as usize % 11] == b[17] { None } else { check("the check character differs") }
}

/// ID-17: a part of a machine readable zone and its check digit: weights 7 3 1.
pub(super) fn travel_document(value: &[u8]) -> Option<Finding> {
    let one = |b: &u8| b.is_ascii_digit() || b.is_ascii_uppercase() || *b == b'<';
    let Some((last, part)) = value.split_last().filter(|(_, p)| (1..=39).contains(&p.len())) else {
        return format("2 to 40 characters are needed");
    };
    if !part.iter().all(one) || !last.is_ascii_digit() {
        return format("digits, capitals and <, and a check digit are needed");
    }
    let count = |b: u8| if b == b'<' { 0 } else { digit36(b) };
    let sum: u32 = part.iter().zip([7, 3, 1].into_iter().cycle()).map(|(b, w)| count(*b) * w).sum();
    if sum % 10 == u32::from(last - b'0') { None } else { check("the check digit differs") }
}

/// ID-22: a declaration number of an import, a separator, the letter of the tax, two digits.
pub(super) fn duty_bill(value: &str) -> Option<Finding> {
    const DETAIL: &str = "a declaration number, - / or *, a capital and two digits are needed";
    let Some((number, rest)) = value.split_at_checked(18) else { return format(DETAIL) };
    if let Some(wrong) = declaration(number) {
        return Some(wrong);
    }
    let tail = rest.strip_prefix(['-', '/', '*']).unwrap_or_default();
    if let Some(wrong) = fits(tail, "A99", DETAIL) {
        return Some(wrong);
    }
    if value.as_bytes()[8] == b'1' { None } else { semantic("only imports have duty bills") }
}

/// ID-23: a declaration number of an export, 0, the item.
pub(super) fn rebate_line(value: &str) -> Option<Finding> {
    const DETAIL: &str = "a declaration number, 0 and two digits are needed";
    let Some((number, rest)) = value.split_at_checked(18) else { return format(DETAIL) };
    let wrong = declaration(number).or_else(|| fits(rest, "099", DETAIL));
    if wrong.is_some() {
        return wrong;
    }
    if matches!(value.as_bytes()[8], b'0' | b'E') { None } else { semantic("only exports have rebate lines") }
}

/// ID-25: inspection office, direction 1 in or 2 out, year, sequence.
pub(super) fn inspection(value: &str) -> Option<Finding> {
    const DETAIL: &str = "15 digits with 1 or 2 in the seventh place are needed";
    let shape = fits(value, "999999999999999", DETAIL);
    if shape.is_none() && !matches!(value.as_bytes()[6], b'1' | b'2') {
        return format(DETAIL);
    }
    shape
}
