//! What kinds of bytes a text holds, found in one pass: nearly every text is plain ASCII, and all its questions end here.

/// Lower-case ASCII letter.
pub(crate) const LOWER: u8 = 1;
/// ASCII control character.
pub(crate) const CONTROL: u8 = 1 << 1;
/// Part of a character beyond ASCII.
pub(crate) const WIDE: u8 = 1 << 2;
/// Must be escaped in JSON.
pub(crate) const ESCAPED: u8 = 1 << 3;
/// Anything but an ASCII digit.
pub(crate) const NO_DIGIT: u8 = 1 << 4;

static CLASSES: [u8; 256] = table();

const fn table() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let mut class = 0;
        if b.is_ascii_lowercase() {
            class |= LOWER;
        }
        if b.is_ascii_control() {
            class |= CONTROL;
        }
        if !b.is_ascii() {
            class |= WIDE;
        }
        if b < 0x20 || b == b'"' || b == b'\\' {
            class |= ESCAPED;
        }
        if !b.is_ascii_digit() {
            class |= NO_DIGIT;
        }
        classes[byte] = class;
        byte += 1;
    }
    classes
}

/// The classes of all bytes, united. Empty text: none.
pub(crate) fn of(text: &str) -> u8 {
    text.as_bytes().iter().fold(0, |found, b| found | CLASSES[usize::from(*b)])
}

/// How many bytes from the start need no escape in JSON.
pub(crate) fn plain(bytes: &[u8]) -> usize {
    let ends = |b: &u8| CLASSES[usize::from(*b)] & ESCAPED != 0;
    bytes.iter().position(ends).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_the_classes_of_the_standard_library() {
        for c in (0u32..0x3000).filter_map(char::from_u32) {
            let found = of(c.encode_utf8(&mut [0; 4]));
            assert_eq!(found & LOWER != 0, c.is_ascii_lowercase(), "{c:?}");
            assert_eq!(found & CONTROL != 0, c.is_ascii_control(), "{c:?}");
            assert_eq!(found & WIDE != 0, !c.is_ascii(), "{c:?}");
            assert_eq!(found & NO_DIGIT != 0, !c.is_ascii_digit(), "{c:?}");
            assert_eq!(found & ESCAPED != 0, c < ' ' || c == '"' || c == '\\', "{c:?}");
        }
        assert_eq!(of("CSQU3054383"), NO_DIGIT);
        assert_eq!(of(""), 0);
    }
}
