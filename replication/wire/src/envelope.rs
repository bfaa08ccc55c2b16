//! The envelope around every journal message: which history, which platform, which placement the sender acts under.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use eport_model::{Code, Coded, Lineage, RegionCode, codes};

/// Bytes before the body: format 1, lineage 16, platform 4, placement version 8.
pub const ENVELOPE_HEADER_LEN: usize = 29;
const FORMAT: u8 = 1;

/// A message of one platform. The receiver compares lineage and placement version before it looks at the body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The history the sender belongs to.
    pub lineage: Lineage,
    /// The platform spoken about.
    pub platform: RegionCode,
    /// The newest placement version the sender knows.
    pub placement_version: u64,
    /// The message, in the codec of its purpose.
    pub body: Bytes,
}

/// Why bytes are not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Shorter than the header.
    #[error("an envelope needs {ENVELOPE_HEADER_LEN} bytes, {0} came")]
    Truncated(usize),
    /// A format of another version.
    #[error("envelope format {0} is not known")]
    Format(u8),
    /// The platform is not a region code.
    #[error("{0} is not a region code")]
    Platform(u32),
}

impl Coded for EnvelopeError {
    fn code(&self) -> Code {
        codes::FRAME_MALFORMED
    }
}

impl Envelope {
    /// The bytes to send.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(ENVELOPE_HEADER_LEN + self.body.len());
        out.put_u8(FORMAT);
        out.put_slice(self.lineage.as_bytes());
        out.put_u32_le(self.platform.as_u32());
        out.put_u64_le(self.placement_version);
        out.put_slice(&self.body);
        out.freeze()
    }

    /// Reads received bytes; the body shares their memory.
    pub fn decode(mut bytes: Bytes) -> Result<Envelope, EnvelopeError> {
        if bytes.len() < ENVELOPE_HEADER_LEN {
            return Err(EnvelopeError::Truncated(bytes.len()));
        }
        let format = bytes.get_u8();
        if format != FORMAT {
            return Err(EnvelopeError::Format(format));
        }
        let mut lineage = [0u8; 16];
        bytes.copy_to_slice(&mut lineage);
        let region = bytes.get_u32_le();
        let platform = RegionCode::try_from(region).map_err(|_| EnvelopeError::Platform(region))?;
        let placement_version = bytes.get_u64_le();
        Ok(Envelope { lineage: Lineage::from_bytes(lineage), platform, placement_version, body: bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_survives_the_wire_and_damage_is_refused() {
        let sent = Envelope {
            lineage: Lineage::from_bytes([7; 16]),
            platform: "440300".parse().unwrap(),
            placement_version: 42,
            body: Bytes::from_static(b"append"),
        };
        let bytes = sent.encode();
        assert_eq!(Envelope::decode(bytes.clone()).unwrap(), sent);
        for cut in 0..ENVELOPE_HEADER_LEN {
            assert_eq!(Envelope::decode(bytes.slice(..cut)), Err(EnvelopeError::Truncated(cut)));
        }
        let mut wrong = bytes.to_vec();
        wrong[0] = 9;
        assert_eq!(Envelope::decode(wrong.into()), Err(EnvelopeError::Format(9)));
        let mut wrong = bytes.to_vec();
        wrong[17..21].copy_from_slice(&7u32.to_le_bytes());
        assert_eq!(Envelope::decode(wrong.into()), Err(EnvelopeError::Platform(7)));
    }
}
