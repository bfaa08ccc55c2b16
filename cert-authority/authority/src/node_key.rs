//! The node's own key for encryption at rest: platform data keys are wrapped to its public half and unwrapped only here.
//!
//! Wrapping is HPKE (RFC 9180) with X25519, HKDF-SHA256 and AES-256-GCM; the context (platform, key number) is bound to the
//! wrapped key, so that one platform's key cannot be passed off as another's. The key file is sealed: AES-256-GCM under a key
//! derived from a secret that stands in another file, which production puts on another medium (a systemd credential, a TPM,
//! a removable medium). Neither file may lie in the data directory: a copy of it alone opens nothing.
//!
//! The secret is random bytes made by a machine, never a password: it is stretched by nothing.

use crate::{Error, files};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use rand::RngCore;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// Length of a public key.
pub const PUBLIC_KEY_LEN: usize = 32;
/// Length of a wrapped data key: encapsulated key, ciphertext, tag.
pub const WRAPPED_LEN: usize = 32 + 32 + 16;
/// Purpose string of every wrapping.
const INFO: &[u8] = b"eport data key wrap 1";
/// First line of a key file.
const FILE_MAGIC: &str = "eport node key 1";
/// Shortest secret accepted.
const SECRET_LEN_MIN: usize = 32;

/// Public half of a node key or of a recovery key.
pub type PublicKey = [u8; PUBLIC_KEY_LEN];

/// Unwraps data keys. Implemented by whatever keeps the private key: a sealed file here, a hardware module elsewhere.
pub trait Unwrap: Send + Sync {
    /// The public half, under which data keys are wrapped for this holder.
    fn public(&self) -> PublicKey;
    /// The data key in `wrapped`, if it was wrapped for this holder and this context.
    fn unwrap_key(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error>;
}

/// Wraps a data key for the holder of `public`, bound to a context.
pub fn wrap_key(public: &PublicKey, key: &[u8; 32], context: &[u8]) -> Result<Vec<u8>, Error> {
    let to = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(public)
        .map_err(|_| wrap_fault("the holder's public key is not valid"))?;
    let (encapped, sealed) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &to,
        INFO,
        key,
        context,
    )
    .map_err(|_| wrap_fault("the key could not be wrapped"))?;
    let mut out = encapped.to_bytes().to_vec();
    out.extend_from_slice(&sealed);
    Ok(out)
}

/// 32 random bytes for a new data key.
pub fn new_data_key() -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(&mut *key);
    key
}

fn wrap_fault(reason: &'static str) -> Error {
    Error::Wrap { reason }
}

/// A node key in memory.
pub struct NodeKey {
    private: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: PublicKey,
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(..)")
    }
}

impl NodeKey {
    /// A new key.
    pub fn generate() -> Self {
        let (private, public) = X25519HkdfSha256::gen_keypair();
        Self { private, public: public.to_bytes().into() }
    }

    /// Opens the key file; makes file and secret when neither exists. A key without its secret, or a secret without its key,
    /// is refused: a new key would hide that an old one was lost.
    pub fn open_or_create(file: &Path, secret: &Path) -> Result<Self, Error> {
        match (file.exists(), secret.exists()) {
            (true, _) => Self::open(file, secret),
            (false, true) if file != secret => Self::create_under(file, secret),
            (false, _) => {
                let mut bytes = Zeroizing::new([0u8; SECRET_LEN_MIN]);
                rand::rng().fill_bytes(&mut *bytes);
                files::write_key(secret, &Zeroizing::new(hex(&*bytes)))?;
                Self::create_under(file, secret)
            }
        }
    }

    /// Makes a key under a secret that exists.
    fn create_under(file: &Path, secret: &Path) -> Result<Self, Error> {
        let key = Self::generate();
        key.save(file, secret)?;
        Ok(key)
    }

    /// Writes the key, sealed under the secret file's content.
    pub fn save(&self, file: &Path, secret: &Path) -> Result<(), Error> {
        let (mut salt, mut nonce) = ([0u8; 16], [0u8; 12]);
        rand::rng().fill_bytes(&mut salt);
        rand::rng().fill_bytes(&mut nonce);
        let mut sealed = Zeroizing::new(self.private.to_bytes().to_vec());
        let kek = kek(secret, &salt)?;
        kek.seal_in_place_append_tag(assume(nonce), aad(&self.public), &mut *sealed)
            .map_err(|_| wrap_fault("the node key could not be sealed"))?;
        let text = format!(
            "{FILE_MAGIC}\n{}\n{}\n{}\n{}\n",
            hex(&self.public),
            hex(&salt),
            hex(&nonce),
            hex(&sealed)
        );
        files::write_key(file, &text)
    }

    /// Opens a key file with its secret.
    pub fn open(file: &Path, secret: &Path) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Unusable { path: file.to_owned(), reason: reason.to_owned() };
        let text = files::read_key(file)?;
        let mut lines = text.lines();
        if lines.next() != Some(FILE_MAGIC) {
            return Err(bad("it is not a node key file of a known format"));
        }
        let mut field = |len: usize| {
            lines.next().and_then(unhex).filter(|b| b.len() == len).ok_or_else(|| bad("a line is damaged"))
        };
        let public: PublicKey = field(PUBLIC_KEY_LEN)?.try_into().map_err(|_| bad("a line is damaged"))?;
        let salt = field(16)?;
        let nonce: [u8; 12] = field(12)?.try_into().map_err(|_| bad("a line is damaged"))?;
        let mut sealed = Zeroizing::new(field(48)?);
        let opened = kek(secret, &salt)?
            .open_in_place(assume(nonce), aad(&public), &mut sealed)
            .map_err(|_| bad("it was sealed under another secret, or was altered"))?;
        let private =
            <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(opened).map_err(|_| bad("it holds no key"))?;
        let derived: PublicKey = X25519HkdfSha256::sk_to_pk(&private).to_bytes().into();
        if derived != public {
            return Err(bad("its public half does not belong to it"));
        }
        Ok(Self { private, public })
    }
}

impl Unwrap for NodeKey {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn unwrap_key(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
        let other = || wrap_fault("the data key was wrapped for another holder or context");
        let (encapped, sealed) = wrapped.split_at_checked(32).ok_or_else(other)?;
        let encapped = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapped).map_err(|_| other())?;
        let plain = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &encapped,
            INFO,
            sealed,
            context,
        )
        .map_err(|_| other())?;
        let plain = Zeroizing::new(plain);
        let mut key = Zeroizing::new([0; 32]);
        if plain.len() != key.len() {
            return Err(other());
        }
        key.copy_from_slice(&plain);
        Ok(key)
    }
}

/// The key that seals a key file: derived from the secret and a salt of the file.
fn kek(secret: &Path, salt: &[u8]) -> Result<ring::aead::LessSafeKey, Error> {
    use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
    let text = files::read_key(secret)?;
    let bytes = text.trim().as_bytes();
    if bytes.len() < SECRET_LEN_MIN {
        let reason = format!("a secret of at least {SECRET_LEN_MIN} random characters is needed");
        return Err(Error::Unusable { path: secret.to_owned(), reason });
    }
    let prk = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, salt).extract(bytes);
    let okm = prk.expand(&[b"eport node key seal 1"], &AES_256_GCM).expect("one key fits HKDF");
    Ok(LessSafeKey::new(UnboundKey::from(okm)))
}

fn aad(public: &PublicKey) -> ring::aead::Aad<PublicKey> {
    ring::aead::Aad::from(*public)
}

fn assume(nonce: [u8; 12]) -> ring::aead::Nonce {
    // A file has a key of its own by its salt, so this is the only use of the nonce.
    ring::aead::Nonce::assume_unique_for_key(nonce)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    if !digits.remainder().is_empty() || text.len() > 4096 {
        return None;
    }
    digits.map(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_data_key_opens_only_for_its_holder_and_its_context() {
        let (mine, other) = (NodeKey::generate(), NodeKey::generate());
        let key = new_data_key();
        let wrapped = wrap_key(&mine.public(), &key, b"440300/1").unwrap();
        assert_eq!(wrapped.len(), WRAPPED_LEN);
        assert_eq!(*mine.unwrap_key(&wrapped, b"440300/1").unwrap(), *key);
        assert!(mine.unwrap_key(&wrapped, b"440100/1").is_err());
        assert!(other.unwrap_key(&wrapped, b"440300/1").is_err());
        for bad in [&wrapped[..10], &wrapped[..79], &[0; 80][..]] {
            assert!(mine.unwrap_key(bad, b"440300/1").is_err());
        }
    }

    #[test]
    fn a_key_file_without_its_secret_or_with_another_one_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (file, secret) = (dir.path().join("node.key"), dir.path().join("secret"));
        let made = NodeKey::open_or_create(&file, &secret).unwrap();
        assert_eq!(NodeKey::open_or_create(&file, &secret).unwrap().public(), made.public());
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&hex(&made.private.to_bytes())), "the private key stands in its file");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&secret, "f".repeat(64)).unwrap();
        assert!(matches!(NodeKey::open_or_create(&file, &secret), Err(Error::Unusable { .. })));
        std::fs::remove_file(&secret).unwrap();
        assert!(NodeKey::open_or_create(&file, &secret).is_err());
    }

    #[test]
    fn a_damaged_key_file_or_a_short_secret_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (file, secret) = (dir.path().join("node.key"), dir.path().join("secret"));
        NodeKey::open_or_create(&file, &secret).unwrap();
        let good = std::fs::read_to_string(&file).unwrap();
        for at in [0, 20, 90, 130, 170] {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'0' { b'1' } else { b'0' };
            files::write_key(&file, &String::from_utf8(bad).unwrap()).unwrap();
            assert!(NodeKey::open(&file, &secret).is_err(), "byte {at}");
        }
        files::write_key(&file, &good).unwrap();
        files::write_key(&secret, "short").unwrap();
        assert!(matches!(NodeKey::open(&file, &secret), Err(Error::Unusable { .. })));
    }
}
