//! The token itself: its form, its checksum, its hash. The raw token exists only between generation or parsing and
//! hashing; it is zeroed on drop.
//!
//! `pk_live_` + 36 random characters + 6 of CRC-32 in base 62 = 50 characters, over 210 random bits. The checksum is no
//! security. It rejects a typo, a cut token or a swap of `live` and `test` without a look-up, and it lets secret scanners
//! tell a token from other text.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Mode;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_LEN: usize = 36;
const CHECKSUM_LEN: usize = 6;
/// How many random characters the display prefix keeps: `pk_live_AbC`.
const SHOWN_LEN: usize = 3;

/// The first part of every token of an installation: 2 to 10 characters of `a-z0-9`. It is fixed when the database is set
/// up, because scanners and people recognize tokens by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brand(String);

/// The text is not a [`Brand`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a token brand has 2 to 10 characters, a-z and 0-9")]
pub struct BrandError;

impl Brand {
    /// Bytes of the longest brand.
    const MAX: usize = 10;

    /// Reads a brand.
    ///
    /// # Errors
    ///
    /// [`BrandError`] if the length or a character is wrong.
    pub fn parse(text: &str) -> Result<Self, BrandError> {
        let fits =
            (2..=Self::MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err(BrandError) }
    }

    /// The brand as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A whole token. It is zeroed on drop and has no `Display`, `Serialize` or `Clone`; `Debug` shows the prefix.
///
/// ```
/// use keyhouse_token::{Brand, Mode, RawToken, TokenError};
///
/// let brand = Brand::parse("pk")?;
/// let token = RawToken::parse(b"pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB", &brand)?;
/// assert_eq!(token.mode(), Mode::Live);
/// assert_eq!(token.prefix().to_string(), "pk_live_012...");
///
/// // One wrong character fails the checksum, before any look-up.
/// let typo = RawToken::parse(b"pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RC", &brand);
/// assert_eq!(typo.unwrap_err(), TokenError::Checksum);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RawToken {
    text: Zeroizing<String>,
    mode: Mode,
}

/// Why a text is not a token of this installation. API clients get the same 401 for all of them; the log has the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not exactly as long as a token with this brand.
    #[error("wrong length")]
    Length,
    /// Does not begin with the brand and a mode.
    #[error("wrong prefix")]
    Prefix,
    /// A character after the prefix that is not of `0-9A-Za-z`.
    #[error("characters outside 0-9A-Za-z")]
    Alphabet,
    /// The last six characters do not fit the others.
    #[error("wrong checksum")]
    Checksum,
}

impl RawToken {
    /// Makes a new token. `fill` must fill its buffer with unpredictable bytes; outside tests they come from the operating
    /// system.
    pub fn from_entropy(brand: &Brand, mode: Mode, mut fill: impl FnMut(&mut [u8])) -> Self {
        // The whole capacity is reserved, because a string that grows leaves copies of itself in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(Self::len(brand)));
        text.push_str(&head(brand, mode));
        let mut byte = Zeroizing::new([0u8; 1]);
        for _ in 0..RANDOM_LEN {
            // Bytes from 248 (4 × 62) on are drawn again: their remainders would favour the first characters of the alphabet.
            byte[0] = u8::MAX;
            while byte[0] >= 248 {
                fill(&mut byte[..]);
            }
            text.push(char::from(ALPHABET[usize::from(byte[0] % 62)]));
        }
        let sum = checksum(text.as_bytes());
        text.extend(sum.iter().map(|&b| char::from(b)));
        Self { text, mode }
    }

    /// Checks the form of a token, without a look-up. The length is checked first, so that a long input costs nothing.
    ///
    /// # Errors
    ///
    /// The first [`TokenError`] in the order length, prefix, alphabet, checksum.
    pub fn parse(bytes: &[u8], brand: &Brand) -> Result<Self, TokenError> {
        let mode = check(bytes, brand)?;
        let text = std::str::from_utf8(bytes).map_err(|_| TokenError::Alphabet)?;
        Ok(Self { text: Zeroizing::new(text.to_owned()), mode })
    }

    /// SHA-256 of the whole token, the only form that is stored. A fast hash without salt is enough for a secret of 210
    /// random bits, which can't be guessed from its hash.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.text.as_bytes()).into())
    }

    /// The part that may be shown.
    pub fn prefix(&self) -> TokenPrefix {
        let end = self.text.len() - RANDOM_LEN - CHECKSUM_LEN + SHOWN_LEN;
        TokenPrefix(heapless::String::try_from(&self.text[..end]).expect("no prefix of a token is longer"))
    }

    /// The mode that the token names.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The secret itself, for the one response that shows it. The name makes each use easy to find.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether `bytes` begin with the brand and a mode.
    pub(crate) fn begins(bytes: &[u8], brand: &Brand) -> bool {
        mode_named_by(bytes, brand).is_some()
    }

    /// The length of a token with this brand, in bytes.
    pub(crate) fn len(brand: &Brand) -> usize {
        brand.0.len() + "_live_".len() + RANDOM_LEN + CHECKSUM_LEN
    }
}

impl fmt::Debug for RawToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawToken({})", self.prefix())
    }
}

/// SHA-256 of a token, as the database stores it. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Checks the form of a token as [`RawToken::parse`] does, and hashes it where it lies: no copy of it is made.
    ///
    /// # Errors
    ///
    /// The first [`TokenError`] in the order length, prefix, alphabet, checksum.
    pub fn of_token(bytes: &[u8], brand: &Brand) -> Result<Self, TokenError> {
        check(bytes, brand)?;
        Ok(Self(Sha256::digest(bytes).into()))
    }

    /// Reads a hash from the database. `None` if it does not have 32 bytes.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// The part of a token that may be shown: brand, mode and three random characters. `Display` appends `...`, as pages do:
/// `pk_live_AbC...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPrefix(heapless::String<{ TokenPrefix::MAX }, u8>);

impl TokenPrefix {
    /// Bytes of the longest prefix.
    const MAX: usize = Brand::MAX + "_live_".len() + SHOWN_LEN;

    /// Reads a prefix from the database. `None` for anything longer or of another form, so that a whole token can never be
    /// shown in its place.
    pub fn from_stored(text: &str) -> Option<Self> {
        let (head, shown) = text.rsplit_once('_')?;
        let (brand, mode) = head.rsplit_once('_')?;
        let fits = Brand::parse(brand).is_ok()
            && Mode::parse(mode).is_some()
            && shown.len() == SHOWN_LEN
            && shown.bytes().all(|b| b.is_ascii_alphanumeric());
        if fits { heapless::String::try_from(text).ok().map(Self) } else { None }
    }

    /// The prefix without the dots: `pk_live_AbC`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}...", self.0)
    }
}

fn head(brand: &Brand, mode: Mode) -> String {
    format!("{}_{}_", brand.0, mode.as_str())
}

/// Checks the form of a token; see [`RawToken::parse`].
fn check(bytes: &[u8], brand: &Brand) -> Result<Mode, TokenError> {
    if bytes.len() != RawToken::len(brand) {
        return Err(TokenError::Length);
    }
    let mode = mode_named_by(bytes, brand).ok_or(TokenError::Prefix)?;
    let body = &bytes[bytes.len() - RANDOM_LEN - CHECKSUM_LEN..];
    if !body.iter().all(u8::is_ascii_alphanumeric) {
        return Err(TokenError::Alphabet);
    }
    let (signed, sum) = bytes.split_at(bytes.len() - CHECKSUM_LEN);
    if checksum(signed) != sum {
        return Err(TokenError::Checksum);
    }
    Ok(mode)
}

/// The mode that a token's first characters name, if they are the brand and a mode.
fn mode_named_by(bytes: &[u8], brand: &Brand) -> Option<Mode> {
    let rest = bytes.strip_prefix(brand.0.as_bytes())?.strip_prefix(b"_")?;
    [Mode::Live, Mode::Test]
        .into_iter()
        .find(|mode| rest.strip_prefix(mode.as_str().as_bytes()).is_some_and(|rest| rest.starts_with(b"_")))
}

/// CRC-32/ISO-HDLC in base 62, most significant first, padded with `0` to six.
fn checksum(signed: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(signed);
    let mut out = [b'0'; CHECKSUM_LEN];
    for place in out.iter_mut().rev() {
        *place = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIVE: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";
    const TEST: &str = "pk_test_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ3KwFxC";

    fn pk() -> Brand {
        Brand::parse("pk").unwrap()
    }

    fn parse(text: &str) -> Result<RawToken, TokenError> {
        RawToken::parse(text.as_bytes(), &pk())
    }

    #[test]
    fn the_published_vectors_hold() {
        assert_eq!(parse(LIVE).unwrap().mode(), Mode::Live);
        assert_eq!(parse(TEST).unwrap().mode(), Mode::Test);
    }

    #[test]
    fn each_fault_has_its_error() {
        for (text, fault) in [
            ("", TokenError::Length),
            (&LIVE[..49], TokenError::Length),
            ("pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RBB", TokenError::Length),
            ("sk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB", TokenError::Prefix),
            ("pk_LIVE_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB", TokenError::Prefix),
            ("pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWX Z4d72RB", TokenError::Alphabet),
            ("pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVW\u{00e9}Z4d72RB", TokenError::Alphabet),
            ("pk_test_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB", TokenError::Checksum),
            ("pk_live_1023456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB", TokenError::Checksum),
        ] {
            assert_eq!(parse(text).unwrap_err(), fault, "{text}");
        }
    }

    #[test]
    fn a_brand_is_short_and_plain() {
        for text in ["", "p", "PK", "p-k", "abcdefghijk"] {
            assert_eq!(Brand::parse(text), Err(BrandError), "{text}");
        }
        let brand = Brand::parse("acme2").unwrap();
        let token = RawToken::from_entropy(&brand, Mode::Test, |b| b.fill(7));
        assert!(token.expose().starts_with("acme2_test_777"));
        assert!(RawToken::parse(token.expose().as_bytes(), &brand).is_ok());
        assert!(RawToken::parse(token.expose().as_bytes(), &pk()).is_err());
    }

    #[test]
    fn debug_output_of_a_token_is_its_prefix() {
        let token = parse(LIVE).unwrap();
        assert_eq!(format!("{token:?}"), "RawToken(pk_live_012...)");
        assert_eq!(format!("{:?}", token.hash()), "TokenHash(..)");
        assert_eq!(token.prefix().as_str(), "pk_live_012");
    }

    /// Compiles only while `RawToken` lacks these traits: an implementation would make the call ambiguous.
    #[test]
    fn a_token_can_neither_be_cloned_nor_displayed_nor_serialized() {
        trait Lacks<A> {
            fn holds() {}
        }
        impl<T: ?Sized> Lacks<()> for T {}
        #[allow(dead_code, reason = "never constructed: only its type makes the call below ambiguous")]
        struct Cloned;
        #[allow(dead_code, reason = "as above")]
        struct Displayed;
        #[allow(dead_code, reason = "as above")]
        struct Serialized;
        impl<T: Clone> Lacks<Cloned> for T {}
        impl<T: fmt::Display> Lacks<Displayed> for T {}
        impl<T: serde::Serialize> Lacks<Serialized> for T {}
        <RawToken as Lacks<_>>::holds();
    }

    #[test]
    fn a_stored_prefix_is_never_longer_than_three_characters() {
        assert!(TokenPrefix::from_stored("pk_live_AbC").is_some());
        for text in ["pk_live_AbCd", "pk_live_Ab", "pk_prod_AbC", "pk_live_A.C", LIVE, ""] {
            assert_eq!(TokenPrefix::from_stored(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_generated_token_parses_to_itself(seed: u64, live: bool) {
            let mode = if live { Mode::Live } else { Mode::Test };
            let mut state = seed;
            let made = RawToken::from_entropy(&pk(), mode, |bytes| for b in bytes {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                *b = (state >> 56) as u8;
            });
            prop_assert_eq!(made.expose().len(), 50);
            let read = parse(made.expose()).unwrap();
            prop_assert_eq!(read.hash(), made.hash());
            prop_assert_eq!(TokenHash::of_token(made.expose().as_bytes(), &pk()), Ok(made.hash()));
            prop_assert_eq!(read.mode(), mode);
            prop_assert_eq!(TokenPrefix::from_stored(made.prefix().as_str()), Some(made.prefix()));
        }

        #[test]
        fn one_changed_character_is_refused(place in 0usize..50, with in 32u8..127) {
            let mut bytes = LIVE.as_bytes().to_vec();
            prop_assume!(bytes[place] != with);
            bytes[place] = with;
            let error = RawToken::parse(&bytes, &pk()).unwrap_err();
            prop_assert_eq!(TokenHash::of_token(&bytes, &pk()), Err(error));
        }

        #[test]
        fn parsing_arbitrary_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = RawToken::parse(&bytes, &pk());
        }
    }
}
