//! Check rules of identifiers, named by packs. Numbers and vectors: domain/documents.md §1.
//!
//! A rule is generic: nothing here knows a document type. Values that differ by country or time are parameters in the pack.

use serde::Deserialize;

/// What a rule found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Domain code; starts with `W-` when the value passes with a warning.
    pub code: &'static str,
    /// What was expected.
    pub detail: &'static str,
}

impl Finding {
    /// True when the value passes all the same.
    pub fn is_warning(&self) -> bool {
        self.code.starts_with("W-")
    }
}

const fn format(detail: &'static str) -> Option<Finding> {
    Some(Finding { code: "E-ID-FORMAT", detail })
}

const fn check(detail: &'static str) -> Option<Finding> {
    Some(Finding { code: "E-ID-CHECK", detail })
}

/// A check rule by its number in the domain's list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum Rule {
    /// Unified social credit code.
    #[serde(rename = "ID-03")]
    CreditCode,
    /// Container number (ISO 6346).
    #[serde(rename = "ID-07")]
    Container,
    /// Ship id: IMO number, `UN` + IMO number, `CN` + 7 digits, MMSI; each may carry `/` + customs office.
    #[serde(rename = "ID-08")]
    Ship,
    /// Transport document number, master and house joined by `*` or `_`.
    #[serde(rename = "ID-10")]
    TransportDocument,
}

/// Parameters of rules, from the pack.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// First three digits that an MMSI may have where a ship id may be one. Empty: any.
    pub mmsi_prefixes: Vec<String>,
}

impl Rule {
    /// Judges a value. `None` passes.
    pub fn judge(self, value: &str, parameters: &Parameters) -> Option<Finding> {
        match self {
            Rule::CreditCode => credit_code(value.as_bytes()),
            Rule::Container => container(value.as_bytes()),
            Rule::Ship => ship(value, parameters),
            Rule::TransportDocument => transport_document(value.as_bytes()),
        }
    }
}

/// ID-03: Σ value · 3^(i−1) mod 31 over 17 characters; the check character completes it to 31. Its organisation code has a
/// check of its own (ID-04).
fn credit_code(value: &[u8]) -> Option<Finding> {
    const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let mut indexes = [0u32; 18];
    if value.len() != indexes.len() {
        return format("18 characters are needed");
    }
    for (slot, b) in indexes.iter_mut().zip(value) {
        match ALPHABET.iter().position(|a| a == b) {
            Some(index) => *slot = index as u32,
            None => return format("only digits and capitals without I, O, S, V, Z are allowed"),
        }
    }
    let (mut sum, mut weight) = (0, 1);
    for index in &indexes[..17] {
        sum += index * weight;
        weight = weight * 3 % 31;
    }
    if (31 - sum % 31) % 31 != indexes[17] {
        return check("the last character does not complete the weighted sum to 31");
    }
    organisation_code(&value[8..17])
}

/// ID-04: weights 3 7 9 10 5 8 4 2; 11 − Σ mod 11; 10 is X, 11 is 0. Only called with nine characters of ID-03.
fn organisation_code(value: &[u8]) -> Option<Finding> {
    const WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = value.iter().zip(WEIGHTS).map(|(b, w)| digit36(*b) * w).sum();
    let expected = match 11 - sum % 11 {
        10 => b'X',
        11 => b'0',
        n => b'0' + n as u8,
    };
    if value[8] == expected {
        None
    } else {
        check("characters 9 to 17 are no organisation code: their check digit differs")
    }
}

fn digit36(b: u8) -> u32 {
    if b.is_ascii_digit() { u32::from(b - b'0') } else { u32::from(b.wrapping_sub(b'A')) + 10 }
}

/// ID-07: letters count 10 to 38 without multiples of 11; Σ value · 2^i mod 11 mod 10 is the check digit.
fn container(value: &[u8]) -> Option<Finding> {
    let shape = value.len() == 11
        && value[..3].iter().all(u8::is_ascii_uppercase)
        && matches!(value[3], b'U' | b'J' | b'Z')
        && value[4..].iter().all(u8::is_ascii_digit);
    if !shape {
        return format("three letters, U, J or Z, and seven digits are needed");
    }
    let values = value[..10].iter().enumerate();
    let sum: u32 = values.map(|(i, b)| u32::from(CONTAINER_VALUES[usize::from(*b)]) << i).sum();
    let rest = sum % 11;
    if rest % 10 != u32::from(value[10] - b'0') {
        return check("the check digit differs");
    }
    (rest == 10).then_some(Finding {
        code: "W-ID-REM10",
        detail: "the remainder is 10, which ISO 6346 asks owners to avoid",
    })
}

static CONTAINER_VALUES: [u8; 256] = container_values();

/// Digits count what they are, letters from 10 on without multiples of 11: A = 10, B = 12, …, L = 23, …, V = 34.
const fn container_values() -> [u8; 256] {
    let mut values = [0; 256];
    let mut digit = 0;
    while digit < 10 {
        values[b'0' as usize + digit] = digit as u8;
        digit += 1;
    }
    let (mut letter, mut value) = (b'A', 10u8);
    while letter <= b'Z' {
        if value.is_multiple_of(11) {
            value += 1;
        }
        values[letter as usize] = value;
        letter += 1;
        value += 1;
    }
    values
}

/// ID-08.
fn ship(value: &str, parameters: &Parameters) -> Option<Finding> {
    let (id, office) = value.split_once('/').map_or((value, None), |(id, office)| (id, Some(office)));
    let digits = |s: &str, n: usize| s.len() == n && s.bytes().all(|b| b.is_ascii_digit());
    if office.is_some_and(|o| !digits(o, 4)) {
        return format("four digits of a customs office are needed behind the stroke");
    }
    if let Some(imo) = id.strip_prefix("UN").or_else(|| digits(id, 7).then_some(id)) {
        return if digits(imo, 7) {
            imo_number(imo.as_bytes())
        } else {
            format("seven digits are needed behind UN")
        };
    }
    if let Some(number) = id.strip_prefix("CN") {
        return if digits(number, 7) { None } else { format("seven digits are needed behind CN") };
    }
    let known = |s: &str| {
        parameters.mmsi_prefixes.is_empty() || parameters.mmsi_prefixes.iter().any(|p| s.starts_with(p))
    };
    if digits(id, 9) && known(id) {
        return None;
    }
    format("UN and an IMO number, CN and seven digits, or an MMSI of a known country is needed")
}

/// Σ d_i · (8 − i) over six digits; the last digit of the sum is the seventh.
fn imo_number(value: &[u8]) -> Option<Finding> {
    let sum: u32 = value[..6].iter().enumerate().map(|(i, b)| u32::from(b - b'0') * (7 - i as u32)).sum();
    if sum % 10 == u32::from(value[6] - b'0') {
        None
    } else {
        check("the check digit of the IMO number differs")
    }
}

/// ID-10: up to 35 of `A-Z0-9/-.`; at most one `*` or `_` between master and house.
fn transport_document(value: &[u8]) -> Option<Finding> {
    if value.is_empty() || value.len() > 35 {
        return format("1 to 35 characters are needed");
    }
    let mut parts = value.split(|b| matches!(b, b'*' | b'_'));
    let plain = |p: &[u8]| {
        !p.is_empty()
            && p.iter()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'/' | b'-' | b'.'))
    };
    if parts.by_ref().take(2).all(plain) && parts.next().is_none() {
        return None;
    }
    format("capitals, digits, / - . are allowed, and one * or _ between master and house number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(rule: Rule, value: &str) -> &'static str {
        let parameters = Parameters { mmsi_prefixes: vec!["412".into(), "477".into()] };
        rule.judge(value, &parameters).map_or("", |f| f.code)
    }

    #[test]
    fn every_published_vector_is_judged_as_published() {
        use Rule::*;
        for (rule, value, expected) in [
            (CreditCode, "91440100MA5ABCD19J", ""),
            (CreditCode, "91440100MA5ABCD19K", "E-ID-CHECK"),
            (CreditCode, "91440100MA5ABCDI9J", "E-ID-FORMAT"),
            (CreditCode, "91440100MA5ABCD19", "E-ID-FORMAT"),
            (Container, "CSQU3054383", ""),
            (Container, "TGHU1000050", "W-ID-REM10"),
            (Container, "CMAU1234567", "E-ID-CHECK"),
            (Container, "CMAU1234564", ""),
            (Container, "YML12345678", "E-ID-FORMAT"),
            (Container, "", "E-ID-FORMAT"),
            (Container, "CSQU305438３", "E-ID-FORMAT"),
            (Ship, "9074729", ""),
            (Ship, "9074728", "E-ID-CHECK"),
            (Ship, "UN9074729", ""),
            (Ship, "UN9074729/5101", ""),
            (Ship, "UN9074729/510", "E-ID-FORMAT"),
            (Ship, "UN907472", "E-ID-FORMAT"),
            (Ship, "CN1234567", ""),
            (Ship, "CN123456", "E-ID-FORMAT"),
            (Ship, "413000001", "E-ID-FORMAT"),
            (Ship, "412000001", ""),
            (Ship, "TITANIC", "E-ID-FORMAT"),
            (TransportDocument, "COSU6112233440*HB01", ""),
            (TransportDocument, "784-12345675_H1", ""),
            (TransportDocument, "COSU6112233440", ""),
            (TransportDocument, "A*B*C", "E-ID-FORMAT"),
            (TransportDocument, "A*", "E-ID-FORMAT"),
            (TransportDocument, "cosu", "E-ID-FORMAT"),
            (TransportDocument, "", "E-ID-FORMAT"),
            (TransportDocument, "123456789012345678901234567890123456", "E-ID-FORMAT"),
        ] {
            assert_eq!(code(rule, value), expected, "{rule:?} {value}");
        }
    }

    #[test]
    fn a_ship_id_without_its_parts_is_refused() {
        for value in ["UNUNUNUNU", "/", "//", "UN/5101", "9074729/", "/5101", "UN", "CN"] {
            assert_eq!(code(Rule::Ship, value), "E-ID-FORMAT", "{value}");
        }
    }

    #[test]
    fn any_bytes_are_judged_without_panic() {
        for rule in [Rule::CreditCode, Rule::Container, Rule::Ship, Rule::TransportDocument] {
            for value in ["\u{0}", "集装箱号码集装箱", "ＵＮ９０７４７２９", "_", "集", "9074729é/5101"]
            {
                assert!(code(rule, value).starts_with("E-"), "{rule:?} {value}");
            }
        }
    }
}
