//! Lengths as variable-length integers: seven bits a byte, low bits first, shortest form only.
//!
//! The shortest form is required because content must have one encoding: another would change the root.

/// Appends a number.
pub(crate) fn put(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads a number and the rest of the bytes; `None` when cut off, too long or not in shortest form.
pub(crate) fn take(bytes: &[u8]) -> Option<(u64, &[u8])> {
    // Nearly every length of a real table fits one byte.
    if let Some((&first, rest)) = bytes.split_first()
        && first < 0x80
    {
        return Some((u64::from(first), rest));
    }
    let mut n = 0u64;
    for (i, &b) in bytes.iter().take(9).enumerate() {
        n |= u64::from(b & 0x7f) << (7 * i);
        if b < 0x80 {
            return (b != 0).then(|| (n, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form_and_cut_bytes_are_refused() {
        for n in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), (1 << 62) - 1] {
            let mut out = vec![];
            put(n, &mut out);
            assert_eq!(take(&out), Some((n, &[][..])));
            for cut in 0..out.len() {
                assert_eq!(take(&out[..cut]), None);
            }
        }
        assert_eq!(take(&[0x80, 0x00]), None, "zero in two bytes");
        assert_eq!(take(&[0xff; 12]), None, "longer than any number");
    }
}
