//! Serial numbers: `0x01 ‖ issuer epoch (u32) ‖ 96 random bits`, 17 octets.

use eport_identity::Epoch;
use rcgen::SerialNumber;

/// Draws a serial. The leading 1 keeps the number positive and its length fixed; the epoch lets everything a fenced
/// primary issued be named by a prefix.
pub(crate) fn draw(epoch: Epoch) -> SerialNumber {
    // Epochs beyond 2^32 would need four billion failovers; the low bits still differ between neighbours.
    let epoch = (epoch.as_u64() as u32).to_be_bytes();
    let random: [u8; 12] = rand::random();
    let mut bytes = [0u8; 17];
    bytes[0] = 1;
    bytes[1..5].copy_from_slice(&epoch);
    bytes[5..].copy_from_slice(&random);
    SerialNumber::from_slice(&bytes)
}

/// A serial as text: lower-case hex, as `cert list` prints it and the registry's revocation set stores it.
pub(crate) fn text(serial: &[u8]) -> String {
    serial.iter().map(|b| format!("{b:02x}")).collect()
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
