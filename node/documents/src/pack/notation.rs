//! The notation of field types: `an..35`, `an18`, `n4`, `a2`, `dec(19,5)`, `int`, `date`, `instant`, `flag`, `list`, `object`,
//! and `id` for a text that its check rule bounds.

use crate::field::Characters;

/// A type as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notation {
    Text { min: usize, max: usize, characters: Characters },
    Identifier,
    Integer,
    Decimal { whole: usize, fraction: usize },
    Date,
    Instant,
    Flag,
    List,
    Object,
}

/// Longest text a field may have.
const TEXT_MAX: usize = 65_536;

impl Notation {
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        match text {
            "id" => return Ok(Notation::Identifier),
            "int" => return Ok(Notation::Integer),
            "date" => return Ok(Notation::Date),
            "instant" => return Ok(Notation::Instant),
            "flag" => return Ok(Notation::Flag),
            "list" => return Ok(Notation::List),
            "object" => return Ok(Notation::Object),
            _ => {}
        }
        if let Some(inside) = text.strip_prefix("dec(").and_then(|t| t.strip_suffix(')')) {
            return decimal(inside)
                .ok_or_else(|| format!("{text:?}: dec(digits,fraction) with 1 to 38 digits"));
        }
        let letters = text.bytes().take_while(u8::is_ascii_lowercase).count();
        let (kind, length) = text.split_at(letters);
        let characters = match kind {
            "an" => Characters::Printable,
            "a" => Characters::Letters,
            "n" => Characters::Digits,
            _ => return Err(format!("{text:?} is no type")),
        };
        let (fixed, digits) = length.strip_prefix("..").map_or((true, length), |rest| (false, rest));
        match digits.parse::<usize>() {
            Ok(max @ 1..=TEXT_MAX) => {
                Ok(Notation::Text { min: if fixed { max } else { 1 }, max, characters })
            }
            _ => Err(format!("{text:?}: a length from 1 to {TEXT_MAX} is needed")),
        }
    }
}

fn decimal(inside: &str) -> Option<Notation> {
    let (digits, fraction) = inside.split_once(',')?;
    let (digits, fraction) = (digits.parse::<usize>().ok()?, fraction.parse::<usize>().ok()?);
    let whole = digits.checked_sub(fraction).filter(|w| *w > 0 && digits <= 38)?;
    Some(Notation::Decimal { whole, fraction })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_the_domain_writes_them() {
        use Characters::*;
        let text = |min, max, characters| Ok(Notation::Text { min, max, characters });
        assert_eq!(Notation::read("an..35"), text(1, 35, Printable));
        assert_eq!(Notation::read("an18"), text(18, 18, Printable));
        assert_eq!(Notation::read("n4"), text(4, 4, Digits));
        assert_eq!(Notation::read("a2"), text(2, 2, Letters));
        assert_eq!(Notation::read("dec(19,5)"), Ok(Notation::Decimal { whole: 14, fraction: 5 }));
        assert_eq!(Notation::read("instant"), Ok(Notation::Instant));
        for bad in
            ["", "an", "an..", "an0", "b5", "n..-1", "dec(5,5)", "dec(39,5)", "dec(5)", "an99999999", "text"]
        {
            assert!(Notation::read(bad).is_err(), "{bad}");
        }
    }
}
