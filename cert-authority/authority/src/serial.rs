//! Serial numbers: `0x01 ‖ issuer epoch (u32) ‖ 96 random bits`, 17 octets.

use eport_identity::Epoch;
use rcgen::SerialNumber;

/// Bytes of a serial.
pub const SERIAL_LEN: usize = 17;
/// Largest serial that is read, in bytes.
const SERIAL_LEN_MAX: usize = 32;

/// Draws a serial. The leading 1 keeps the number positive and its length fixed; the epoch lets everything a fenced
/// primary issued be named by a prefix.
pub(crate) fn draw(epoch: Epoch) -> SerialNumber {
    SerialNumber::from_slice(&of(epoch, rand::random()))
}

/// The serial of an epoch with these random bits.
pub fn of(epoch: Epoch, random: [u8; 12]) -> [u8; SERIAL_LEN] {
    // Epochs beyond 2^32 would need four billion failovers; the low bits still differ between neighbours.
    let epoch = (epoch.as_u64() as u32).to_be_bytes();
    let mut bytes = [0u8; SERIAL_LEN];
    bytes[0] = 1;
    bytes[1..5].copy_from_slice(&epoch);
    bytes[5..].copy_from_slice(&random);
    bytes
}

/// A serial as text: lower-case hex without leading zeros, as `cert list` prints it and the registry's revocation set stores it.
pub(crate) fn text(serial: &[u8]) -> String {
    let start = serial.iter().position(|b| *b != 0).unwrap_or(serial.len());
    hex::encode(&serial[start..])
}

/// The bytes of a serial in hex.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() > 2 * SERIAL_LEN_MAX {
        return None;
    }
    hex::decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_carries_the_epoch_and_never_repeats() {
        let (a, b) = (draw(Epoch::from_u64(7)), draw(Epoch::from_u64(7)));
        assert_eq!(text(&a.to_bytes())[..10], *"0100000007");
        assert_eq!(a.to_bytes().len(), 17);
        assert_ne!(a, b);
    }
}
