//! Ed25519 keys that sign JSON Web Tokens (RFC 7519, RFC 8037), and their encryption at rest.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::rng::Rng;

/// Length of an Ed25519 private key (RFC 8032).
const SEED_LEN: usize = 32;
/// The shortest secret, in bytes: half of it in hexadecimal digits is 128 bits.
pub const SECRET_MIN: usize = 32;
/// Separates the encryption key from any other use of the same secret.
const PURPOSE: &[u8] = b"keyhouse identity key 1";

/// The configured secret that encrypts private keys in the database. `Debug` does not show it.
#[derive(Clone)]
pub struct SealingSecret(Zeroizing<String>);

/// The text is too short for a [`SealingSecret`].
#[derive(Debug, thiserror::Error)]
#[error("must have at least {SECRET_MIN} characters; to generate one, run `openssl rand -hex 32`")]
pub struct SecretTooShort;

/// A key that signs tokens. `Debug` does not show it.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    /// The encoded first part of each token.
    header: String,
}

/// A public key as `/.well-known/jwks.json` lists it (RFC 7517, RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicJwk {
    kty: &'static str,
    crv: &'static str,
    r#use: &'static str,
    alg: &'static str,
    /// The key's id: its thumbprint (RFC 7638).
    pub kid: String,
    x: String,
}

impl SealingSecret {
    /// Reads a secret from the configuration.
    ///
    /// # Errors
    ///
    /// [`SecretTooShort`] below [`SECRET_MIN`] characters.
    pub fn parse(text: &str) -> Result<Self, SecretTooShort> {
        if text.chars().count() < SECRET_MIN { Err(SecretTooShort) } else { Ok(Self(Zeroizing::new(text.to_owned()))) }
    }

    fn cipher(&self) -> LessSafeKey {
        let extracted = Salt::new(HKDF_SHA256, PURPOSE).extract(self.0.as_bytes());
        let key = extracted.expand(&[], &AES_256_GCM).expect("32 bytes are less than HKDF's limit of 255 blocks");
        LessSafeKey::new(UnboundKey::from(key))
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingSecret(…)")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// Makes a key. Returns its public part, and its private part as it may be stored: nonce, ciphertext, tag.
    pub fn generate(rng: &Rng, secret: &SealingSecret) -> (Vec<u8>, Vec<u8>) {
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        rng.fill_bytes(&mut seed[..]);
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).expect("any 32 bytes are a private key");
        let public = pair.public_key().as_ref().to_vec();
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let mut sealed = Zeroizing::new(seed.to_vec());
        let tag = secret
            .cipher()
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&public), &mut sealed)
            .expect("32 bytes are less than the limit of AES-GCM");
        (public, [&nonce[..], &sealed[..], tag.as_ref()].concat())
    }

    /// Decrypts a stored key. `None` if it was encrypted with another secret or for another public key.
    pub fn unseal(public: &[u8], sealed: &[u8], secret: &SealingSecret) -> Option<Self> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let seed = secret.cipher().open_in_place(nonce, Aad::from(public), &mut sealed).ok()?;
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()?;
        let header = serde_json::json!({ "alg": "EdDSA", "typ": "JWT", "kid": thumbprint(public) });
        Some(Self { pair, header: BASE64URL_NOPAD.encode(header.to_string().as_bytes()) })
    }

    /// A token with these claims, in the compact serialization (RFC 7515 section 3.1).
    pub fn sign(&self, claims: &impl Serialize) -> String {
        let claims = serde_json::to_vec(claims).expect("claims are strings and numbers");
        let mut token = format!("{}.{}", self.header, BASE64URL_NOPAD.encode(&claims));
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        BASE64URL_NOPAD.encode_append(signature.as_ref(), &mut token);
        token
    }
}

impl PublicJwk {
    /// The public key with these 32 bytes.
    pub fn new(public: &[u8]) -> Self {
        let (kid, x) = (thumbprint(public), BASE64URL_NOPAD.encode(public));
        Self { kty: "OKP", crv: "Ed25519", r#use: "sig", alg: "EdDSA", kid, x }
    }
}

/// The thumbprint of a public key: SHA-256 of its required members in the order of their names (RFC 8037, appendix A.3).
fn thumbprint(public: &[u8]) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64URL_NOPAD.encode(public));
    BASE64URL_NOPAD.encode(&Sha256::digest(members.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(of: char) -> SealingSecret {
        SealingSecret::parse(&of.to_string().repeat(SECRET_MIN)).unwrap()
    }

    #[test]
    fn the_example_of_rfc_8037_has_its_thumbprint_and_its_signature() {
        let seed = BASE64URL_NOPAD.decode(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let jwk = PublicJwk::new(pair.public_key().as_ref());
        assert_eq!(jwk.x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(jwk.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let signed = pair.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
        let expected = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(BASE64URL_NOPAD.encode(signed.as_ref()), expected);
    }

    #[test]
    fn a_private_key_is_stored_encrypted_and_opens_with_its_secret_alone() {
        let (public, sealed) = SigningKey::generate(&Rng::seeded(7), &secret('a'));
        assert!(SigningKey::unseal(&public, &sealed, &secret('a')).is_some());
        assert!(SigningKey::unseal(&public, &sealed, &secret('b')).is_none(), "another secret");
        let (other, _) = SigningKey::generate(&Rng::seeded(8), &secret('a'));
        assert!(SigningKey::unseal(&other, &sealed, &secret('a')).is_none(), "another key's public part");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(SigningKey::unseal(&public, &changed, &secret('a')).is_none(), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(SigningKey::unseal(&public, &sealed[..length], &secret('a')).is_none(), "cut to {length}");
        }
    }

    #[test]
    fn a_secret_has_at_least_32_characters_and_is_not_shown() {
        assert!(SealingSecret::parse(&"x".repeat(31)).is_err());
        assert_eq!(format!("{:?}", secret('q')), "SealingSecret(…)");
    }
}
