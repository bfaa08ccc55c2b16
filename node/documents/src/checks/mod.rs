//! Check rules of identifiers, named by packs. Numbers and vectors: domain/documents.md §1.
//!
//! A rule is generic: nothing here knows a document type. Values that differ by country or time are parameters in the pack.

mod numbers;
mod shapes;

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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule(usize);

/// A check: the value and the pack's parameters in, what is wrong out.
type Check = fn(&str, &Parameters) -> Option<Finding>;

impl Rule {
    /// Every rule: its name for packs, and what it does.
    pub const NAMES: &'static [(&'static str, Check)] = &[
        ("ID-01", |v, _| numbers::declaration(v)),
        ("ID-02", |v, _| numbers::unified(v)),
        ("ID-03", |v, _| credit_code(v.as_bytes())),
        ("ID-04", |v, _| organisation(v.as_bytes())),
        ("ID-05", |v, _| shapes::enterprise_code(v)),
        ("ID-06", |v, _| shapes::fits(v, "9999999999", "10 digits are needed")),
        ("ID-07", |v, _| container(v.as_bytes())),
        ("ID-08", ship),
        ("ID-09", numbers::mmsi),
        ("ID-10", |v, _| transport_document(v.as_bytes())),
        ("ID-11", |v, _| numbers::air_waybill(v)),
        ("ID-12", |v, _| numbers::wagon(v)),
        ("ID-13", |v, _| shapes::fits(v, "9999999999999", "13 digits are needed")),
        ("ID-14", |v, _| shapes::plate(v)),
        ("ID-15", |v, _| numbers::postal_item(v)),
        ("ID-16", |v, _| numbers::resident(v)),
        ("ID-17", |v, _| numbers::travel_document(v.as_bytes())),
        ("ID-18", |v, _| shapes::permit(v)),
        ("ID-19", |v, _| shapes::hs_code(v)),
        ("ID-20", |v, _| shapes::handbook(v)),
        ("ID-21", |v, _| {
            shapes::fits(v, "A99XXXXXXXXX9999", "a letter, two digits, nine characters, four digits")
        }),
        ("ID-22", |v, _| numbers::duty_bill(v)),
        ("ID-23", |v, _| numbers::rebate_line(v)),
        ("ID-24", |v, _| shapes::fits(v, "9999999999999999", "16 digits are needed")),
        ("ID-25", |v, _| numbers::inspection(v)),
        ("ID-26", |v, _| shapes::place(v)),
        ("ID-27", |v, _| {
            shapes::fits(v, "99-XX-999999", "two digits, two characters, six digits, with hyphens")
        }),
        ("ID-28", |v, _| shapes::fits(v, "9999", "four digits are needed")),
    ];

    /// The rule of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|(n, _)| *n == name).map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self.0].0
    }

    /// Judges a value. `None` passes.
    pub fn judge(self, value: &str, parameters: &Parameters) -> Option<Finding> {
        Self::NAMES[self.0].1(value, parameters)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(reader)?;
        Rule::named(&name).ok_or_else(|| serde::de::Error::custom(format!("no check rule is named {name:?}")))
    }
}

/// Parameters of rules, from the pack.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// First three digits that an MMSI may have where a ship id may be one. Empty: any.
    pub mmsi_prefixes: Vec<String>,
}

/// ID-04: eight of `0-9A-Z` and the check character.
fn organisation(value: &[u8]) -> Option<Finding> {
    let shape = value.len() == 9
        && value[..8].iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        && (value[8].is_ascii_digit() || value[8] == b'X');
    if shape {
        organisation_code(value)
    } else {
        format("eight digits or capitals and a check character are needed")
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

/// ID-04: weights 3 7 9 10 5 8 4 2; 11 − Σ mod 11; 10 is X, 11 is 0. Only called with nine characters that fit.
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

    fn code(rule: &str, value: &str) -> &'static str {
        let parameters = Parameters { mmsi_prefixes: vec!["412".into(), "477".into()] };
        Rule::named(rule).unwrap().judge(value, &parameters).map_or("", |f| f.code)
    }

    #[test]
    fn every_published_vector_is_judged_as_published() {
        const CREDIT: &str = "ID-03";
        for (rule, value, expected) in [
            (CREDIT, "91440100MA5ABCD19J", ""),
            (CREDIT, "91440100MA5ABCD19K", "E-ID-CHECK"),
            (CREDIT, "91440100MA5ABCDI9J", "E-ID-FORMAT"),
            (CREDIT, "91440100MA5ABCD19", "E-ID-FORMAT"),
            ("ID-07", "CSQU3054383", ""),
            ("ID-07", "TGHU1000050", "W-ID-REM10"),
            ("ID-07", "CMAU1234567", "E-ID-CHECK"),
            ("ID-07", "CMAU1234564", ""),
            ("ID-07", "YML12345678", "E-ID-FORMAT"),
            ("ID-07", "", "E-ID-FORMAT"),
            ("ID-07", "CSQU305438３", "E-ID-FORMAT"),
            ("ID-08", "9074729", ""),
            ("ID-08", "9074728", "E-ID-CHECK"),
            ("ID-08", "UN9074729", ""),
            ("ID-08", "UN9074729/5101", ""),
            ("ID-08", "UN9074729/510", "E-ID-FORMAT"),
            ("ID-08", "UN907472", "E-ID-FORMAT"),
            ("ID-08", "CN1234567", ""),
            ("ID-08", "CN123456", "E-ID-FORMAT"),
            ("ID-08", "413000001", "E-ID-FORMAT"),
            ("ID-08", "412000001", ""),
            ("ID-08", "TITANIC", "E-ID-FORMAT"),
            ("ID-10", "COSU6112233440*HB01", ""),
            ("ID-10", "784-12345675_H1", ""),
            ("ID-10", "COSU6112233440", ""),
            ("ID-10", "A*B*C", "E-ID-FORMAT"),
            ("ID-10", "A*", "E-ID-FORMAT"),
            ("ID-10", "cosu", "E-ID-FORMAT"),
            ("ID-10", "", "E-ID-FORMAT"),
            ("ID-10", "123456789012345678901234567890123456", "E-ID-FORMAT"),
            ("ID-01", "520120060500000001", ""),
            ("ID-01", "223320231000000001", ""),
            ("ID-01", "22332023I000000001", ""),
            ("ID-01", "223320232000000001", "E-ID-FORMAT"),
            ("ID-01", "22332023100000001", "E-ID-FORMAT"),
            ("ID-02", "I20220000000000001", ""),
            ("ID-02", "A20220000000000001", "E-ID-FORMAT"),
            ("ID-04", "MA5ABCD19", ""),
            ("ID-04", "MA5ABCD18", "E-ID-CHECK"),
            ("ID-04", "ma5abcd19", "E-ID-FORMAT"),
            ("ID-05", "4404140001", ""),
            ("ID-05", "44O4140001", "E-ID-FORMAT"),
            ("ID-06", "4401000001", ""),
            ("ID-09", "412000001", ""),
            ("ID-09", "413000001", "E-ID-FORMAT"),
            ("ID-11", "784-12345675", ""),
            ("ID-11", "784-12345676", "E-ID-CHECK"),
            ("ID-11", "78412345675", "E-ID-FORMAT"),
            ("ID-12", "218124712173", ""),
            ("ID-12", "218124712174", "E-ID-CHECK"),
            ("ID-13", "1234567890123", ""),
            ("ID-14", "粤Z1234港", ""),
            ("ID-14", "粤ZA12B澳", ""),
            ("ID-14", "粤Z1234台", "E-ID-FORMAT"),
            ("ID-14", "京Z1234港", "E-ID-FORMAT"),
            ("ID-15", "RR473124829CN", ""),
            ("ID-15", "RR473124828CN", "E-ID-CHECK"),
            ("ID-15", "RR000000080CN", ""),
            ("ID-15", "RR000000155CN", ""),
            ("ID-15", "RR47312482CN", "E-ID-FORMAT"),
            ("ID-16", "11010519491231002X", ""),
            ("ID-16", "110105194912310021", "E-ID-CHECK"),
            ("ID-16", "110105190002290021", "E-ID-SEMANTIC"),
            ("ID-16", "11010519491231002x", "E-ID-FORMAT"),
            ("ID-17", "L898902C36", ""),
            ("ID-17", "7408122", ""),
            ("ID-17", "1204159", ""),
            ("ID-17", "1204158", "E-ID-CHECK"),
            ("ID-18", "H12345678", ""),
            ("ID-18", "M1234567890", ""),
            ("ID-18", "12345678", ""),
            ("ID-18", "H123456789", "E-ID-FORMAT"),
            ("ID-19", "8471300000", ""),
            ("ID-19", "7701000000", "E-ID-SEMANTIC"),
            ("ID-19", "9901000000", "E-ID-SEMANTIC"),
            ("ID-19", "0001000000", "E-ID-SEMANTIC"),
            ("ID-19", "84713000", "E-ID-FORMAT"),
            ("ID-20", "B57603100001", ""),
            ("ID-20", "Z57600A00001", ""),
            ("ID-20", "557603100001", "E-ID-FORMAT"),
            ("ID-21", "G18440012345000", "E-ID-FORMAT"),
            ("ID-21", "G184400123450001", ""),
            ("ID-22", "530120181010000123-L01", ""),
            ("ID-22", "530120181010000123*A01", ""),
            ("ID-22", "530120180010000123-L01", "E-ID-SEMANTIC"),
            ("ID-22", "530120181010000123L01", "E-ID-FORMAT"),
            ("ID-23", "510120180000000456001", ""),
            ("ID-23", "510120180000000456101", "E-ID-FORMAT"),
            ("ID-23", "510120181000000456001", "E-ID-SEMANTIC"),
            ("ID-24", "0357606705000001", ""),
            ("ID-25", "442100206000001", ""),
            ("ID-25", "442100306000001", "E-ID-FORMAT"),
            ("ID-26", "CNCAN510001/5101", ""),
            ("ID-26", "CNCAN510001", ""),
            ("ID-26", "CNCAN51000/5101", "E-ID-FORMAT"),
            ("ID-27", "07-AA-101888", ""),
            ("ID-27", "07-AA-10188", "E-ID-FORMAT"),
            ("ID-28", "1203", ""),
        ] {
            assert_eq!(code(rule, value), expected, "{rule} {value}");
        }
    }

    #[test]
    fn a_ship_id_without_its_parts_is_refused() {
        for value in ["UNUNUNUNU", "/", "//", "UN/5101", "9074729/", "/5101", "UN", "CN"] {
            assert_eq!(code("ID-08", value), "E-ID-FORMAT", "{value}");
        }
    }

    #[test]
    fn any_bytes_are_judged_without_panic() {
        for (rule, _) in Rule::NAMES.iter().filter(|(name, _)| *name != "ID-14") {
            for value in ["\u{0}", "集装箱号码集装箱", "ＵＮ９０７４７２９", "_", "集", "9074729é/5101"]
            {
                assert!(code(rule, value).starts_with("E-"), "{rule} {value}");
            }
        }
    }
}
