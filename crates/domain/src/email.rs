//! E-mail addresses: one canonical form, and the look-up of rows that are older than it.

use std::fmt;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

use crate::characters;
use crate::name::PersonName;

/// The greatest length of an address, in bytes of its canonical form (RFC 5321, section 4.5.3.1.3, without the brackets).
const MAX_BYTES: usize = 254;

/// Characters that an address can hold only in quotes (RFC 5322, section 3.2.3), and that people paste along with one.
const SPECIALS: &str = "<>,;:\"()[]\\";

/// An e-mail address that a person gave. Two that differ in case, in normalization or in how their host is written are
/// equal in their [canonical](Email::canonical) form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    shown: String,
    canonical: String,
}

/// Why a text is not an email address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// No `@`, or nothing on one side of it.
    #[error("not an email address (expected name@host)")]
    Form,
    /// More than 254 bytes.
    #[error("an email address has at most {MAX_BYTES} characters")]
    TooLong,
    /// A character that an address must not contain, which is given.
    #[error("an email address must not contain {}", Named(*.0))]
    Character(char),
    /// The part after the `@` is not a domain name.
    #[error("not an email address: the part after the @ is not a domain name")]
    Host,
}

/// A character as an error message names it: itself if it can be seen, and its code point.
struct Named(char);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = u32::from(self.0);
        match self.0 {
            ' ' => f.write_str("a space"),
            c if characters::is_visible(c) => write!(f, "{c} (U+{code:04X})"),
            _ => write!(f, "the invisible character U+{code:04X}"),
        }
    }
}

impl Email {
    /// Reads an address that a person typed; white space around it is dropped.
    ///
    /// The part before the `@` is normalized to NFC. The host becomes lower case, in Unicode where it is shown and in
    /// IDNA ASCII (UTS #46) in the canonical form. Whether mail arrives there is not checked.
    ///
    /// # Errors
    ///
    /// One of [`EmailError`], with the first character that is refused.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.len() > 4 * MAX_BYTES {
            return Err(EmailError::TooLong);
        }
        let (local, host) = text.split_once('@').ok_or(EmailError::Form)?;
        if local.is_empty() || host.is_empty() {
            return Err(EmailError::Form);
        }
        let refused = |c: &char| {
            c.is_control() || c.is_whitespace() || *c == '@' || SPECIALS.contains(*c) || characters::is_invisible(*c)
        };
        if let Some(refused) = local.chars().chain(host.chars()).find(refused) {
            return Err(EmailError::Character(refused));
        }
        let local: String = local.nfc().collect();
        let (ascii_host, shown_host) = host_forms(host)?;
        let canonical = format!("{}@{ascii_host}", local.to_lowercase().nfc().collect::<String>());
        if canonical.len() > MAX_BYTES || local.len() + 1 + shown_host.len() > MAX_BYTES {
            return Err(EmailError::TooLong);
        }
        Ok(Self { shown: format!("{local}@{shown_host}"), canonical })
    }

    /// Reads an address back from the database and shows it as it is. Older rows may break the rules of
    /// [`Email::parse`]; the canonical form of such a row is its lower case.
    ///
    /// # Errors
    ///
    /// [`EmailError::Form`] for a text that was never stored as an address.
    pub fn from_stored(text: &str) -> Result<Self, EmailError> {
        if !text.contains('@') {
            return Err(EmailError::Form);
        }
        let canonical = Self::parse(text).map_or_else(|_| text.to_lowercase(), |email| email.canonical);
        Ok(Self { shown: text.to_owned(), canonical })
    }

    /// The address as people read it, with its host in Unicode.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// The form that is compared and kept unique: lower case, with its host in ASCII.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The forms under which the database may hold this address.
    pub fn lookup(&self) -> EmailLookup {
        EmailLookup { forms: [self.canonical.clone(), self.shown.to_lowercase(), self.canonical.clone()] }
    }

    /// The name of a person who has not given one: the part before the `@`, cut to the length of a name. The whole
    /// address if that part is not a name.
    pub fn as_name(&self) -> PersonName {
        let cut = |text: &str| -> String { text.chars().take(PersonName::MAX).collect() };
        PersonName::parse(&cut(self.local_part()))
            .or_else(|_| PersonName::parse(&cut(&self.shown)))
            .or_else(|_| PersonName::from_stored(&self.shown))
            .expect("an address is not empty")
    }

    /// The part before the `@`.
    pub fn local_part(&self) -> &str {
        self.shown.rsplit_once('@').map_or(&*self.shown, |(local, _)| local)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// An address that names an existing person, in a sign-in form or on the command line.
///
/// Rows that are older than the rules of [`Email::parse`] are stored under the lower case of what was typed at the time,
/// and must still be found; so any text is accepted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailLookup {
    forms: [String; 3],
}

impl EmailLookup {
    /// Reads a text that names a person; a text that is not an address matches no person.
    pub fn from_input(text: &str) -> Self {
        let typed = text.trim().to_lowercase();
        match Email::parse(text) {
            Ok(email) => Self { forms: [email.canonical, email.shown.to_lowercase(), typed] },
            Err(_) => Self { forms: [typed.clone(), typed.clone(), typed] },
        }
    }

    /// The forms to look for, the best first.
    pub fn forms(&self) -> &[String; 3] {
        &self.forms
    }

    /// The best form, under which attempts to sign in are counted.
    pub fn canonical(&self) -> &str {
        &self.forms[0]
    }
}

impl From<&EmailLookup> for EmailLookup {
    fn from(lookup: &EmailLookup) -> Self {
        lookup.clone()
    }
}

impl From<&Email> for EmailLookup {
    fn from(email: &Email) -> Self {
        email.lookup()
    }
}

impl std::str::FromStr for EmailLookup {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::from_input(text))
    }
}

/// As it was typed, in lower case.
impl fmt::Display for EmailLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.forms[1])
    }
}

/// A host in ASCII and in Unicode.
fn host_forms(host: &str) -> Result<(String, String), EmailError> {
    let uts46 = Uts46::new();
    let ascii = uts46
        .to_ascii(host.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| refused_in_host(host))?;
    let (shown, valid) = uts46.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    valid.map_err(|_| EmailError::Host)?;
    let shown = shown.into_owned();
    Ok((ascii.into_owned(), shown))
}

fn refused_in_host(host: &str) -> EmailError {
    let refused = |c: &char| c.is_ascii() && !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    host.chars().find(refused).map_or(EmailError::Host, EmailError::Character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Email::parse(text).unwrap().canonical().to_owned()
    }

    #[test]
    fn one_address_has_one_canonical_form() {
        for (text, form) in [
            (" Ada@Example.com ", "ada@example.com"),
            ("ann@bücher.example", "ann@xn--bcher-kva.example"),
            ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
            ("ann@BU\u{308}CHER.example", "ann@xn--bcher-kva.example"),
            ("jo\u{308}rg@example.com", "jörg@example.com"),
            ("zed@例え。テスト", "zed@xn--r8jz45g.xn--zckzah"),
            ("o'neil+keys@localhost", "o'neil+keys@localhost"),
        ] {
            assert_eq!(canonical(text), form, "{text}");
        }
    }

    #[test]
    fn an_address_is_shown_in_unicode() {
        for text in ["Ann@bücher.example", "Ann@xn--bcher-kva.example", "Ann@BÜCHER.example"] {
            assert_eq!(Email::parse(text).unwrap().to_string(), "Ann@bücher.example");
        }
        assert_eq!(Email::parse("ada@example.com").unwrap().local_part(), "ada");
    }

    #[test]
    fn the_refused_character_is_named() {
        for (text, says) in [
            ("", "not an email address (expected name@host)"),
            ("ada", "not an email address (expected name@host)"),
            ("@example.com", "not an email address (expected name@host)"),
            ("ada@", "not an email address (expected name@host)"),
            ("a b@example.com", "an email address must not contain a space"),
            ("a@b@c", "an email address must not contain @ (U+0040)"),
            ("a\u{0}@b", "an email address must not contain the invisible character U+0000"),
            ("zed\u{200b}@example.com", "an email address must not contain the invisible character U+200B"),
            ("zed@exam\u{ad}ple.com", "an email address must not contain the invisible character U+00AD"),
            ("zed\u{a0}x@example.com", "an email address must not contain the invisible character U+00A0"),
            ("zed\u{202e}@example.com", "an email address must not contain the invisible character U+202E"),
            ("<zed@example.com>", "an email address must not contain < (U+003C)"),
            ("mailto:zed@example.com", "an email address must not contain : (U+003A)"),
            ("zed@example.com,", "an email address must not contain , (U+002C)"),
            ("zed@exa_mple.com", "an email address must not contain _ (U+005F)"),
            ("zed@example..com", "not an email address: the part after the @ is not a domain name"),
            ("zed@-example.com", "not an email address: the part after the @ is not a domain name"),
            ("zed@xn--a.example", "not an email address: the part after the @ is not a domain name"),
        ] {
            assert_eq!(Email::parse(text).unwrap_err().to_string(), says, "{text:?}");
        }
        assert_eq!(Email::parse(&format!("{}@example.com", "a".repeat(250))), Err(EmailError::TooLong));
    }

    #[test]
    fn an_address_gives_a_name() {
        let long = Email::parse(&format!("{}@example.com", "a".repeat(120))).unwrap();
        assert_eq!(PersonName::parse(long.as_name().as_str()), Ok(long.as_name()));
        assert_eq!(Email::parse("keyhouse@example.com").unwrap().as_name().as_str(), "keyhouse@example.com");
        assert_eq!(Email::parse("\u{301}@example.com").unwrap().as_name().as_str(), "\u{301}@example.com");
    }

    #[test]
    fn older_rows_are_found() {
        for (typed, stored) in [
            ("Ann@bücher.example", "ann@bücher.example"),
            ("ann@xn--bcher-kva.example", "ann@bücher.example"),
            ("ann@bücher.example", "ann@xn--bcher-kva.example"),
            ("<zed@example.com>", "<zed@example.com>"),
            ("zed\u{200b}@example.com", "zed\u{200b}@example.com"),
            ("zed@exa_mple.com", "zed@exa_mple.com"),
        ] {
            assert!(EmailLookup::from_input(typed).forms().contains(&stored.to_owned()), "{typed}");
        }
    }
}
