//! Which characters a reader can see: the rule that names and e-mail addresses share.

use icu_properties::props::{
    DefaultIgnorableCodePoint, Emoji, EmojiModifier, ExtendedPictographic, GeneralCategory, Ideographic, Script,
};
use icu_properties::{CodePointMapData, CodePointSetData};

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
const KEYCAP: char = '\u{20e3}';
/// A Braille cell without dots. Unicode counts it as a symbol, but it looks like a space.
const BRAILLE_BLANK: char = '\u{2800}';

/// The first character of `text` that changes nothing a reader sees, or that reverses the direction of what follows.
///
/// Invisible are the format characters (general category Cf, which includes the bidirectional controls), the
/// default-ignorable code points of the Unicode standard (section 5.21) and U+2800. Two kinds are allowed where they do
/// change the picture: joiners between letters of a script that joins and between emoji, and variation selectors after an
/// emoji or an ideograph.
pub(crate) fn first_invisible(text: &str) -> Option<char> {
    let chars: Vec<char> = text.chars().collect();
    let neighbour = |at: usize| chars.get(at).copied();
    (0..chars.len())
        .find(|&at| {
            let before = at.checked_sub(1).and_then(neighbour);
            is_invisible(chars[at]) && !changes_the_picture(before, chars[at], neighbour(at + 1))
        })
        .map(|at| chars[at])
}

/// Whether `c` leaves a mark of its own: neither white space nor invisible, and no accent that needs a base.
pub(crate) fn is_visible(c: char) -> bool {
    let is_mark = matches!(
        CodePointMapData::<GeneralCategory>::new().get(c),
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark
    );
    !c.is_whitespace() && !c.is_control() && !is_mark && !is_invisible(c)
}

/// Whether `c` never changes what is seen by itself. See [`first_invisible`] for the exceptions by context.
pub(crate) fn is_invisible(c: char) -> bool {
    c == BRAILLE_BLANK
        || CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::Format
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

fn changes_the_picture(before: Option<char>, c: char, after: Option<char>) -> bool {
    let Some(before) = before else { return false };
    match c {
        ZERO_WIDTH_JOINER if ends_emoji(before) => {
            after.is_some_and(|after| CodePointSetData::new::<ExtendedPictographic>().contains(after))
        }
        ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER => joins(before) && after.is_some_and(joins),
        '\u{fe0e}' | '\u{fe0f}' => {
            after == Some(KEYCAP) || (!before.is_ascii() && CodePointSetData::new::<Emoji>().contains(before))
        }
        '\u{e0100}'..='\u{e01ef}' => CodePointSetData::new::<Ideographic>().contains(before),
        _ => false,
    }
}

fn ends_emoji(c: char) -> bool {
    c == '\u{fe0f}'
        || CodePointSetData::new::<ExtendedPictographic>().contains(c)
        || CodePointSetData::new::<EmojiModifier>().contains(c)
}

/// Whether `c` belongs to a script in which a joiner changes the shape of the letters beside it.
fn joins(c: char) -> bool {
    matches!(
        CodePointMapData::<Script>::new().get(c),
        Script::Arabic
            | Script::Bengali
            | Script::Devanagari
            | Script::Gujarati
            | Script::Gurmukhi
            | Script::Kannada
            | Script::Khmer
            | Script::Malayalam
            | Script::Mongolian
            | Script::Myanmar
            | Script::Oriya
            | Script::Sinhala
            | Script::Syriac
            | Script::Tamil
            | Script::Telugu
            | Script::Tibetan
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_found() {
        for (text, found) in [
            ("Ada", None),
            ("Ünal Özil", None),
            ("zed\u{200b}", Some('\u{200b}')),
            ("\u{3164}", Some('\u{3164}')),
            ("a\u{2800}b", Some('\u{2800}')),
            ("soft\u{ad}hyphen", Some('\u{ad}')),
            ("abc\u{202e}txt.live", Some('\u{202e}')),
            ("\u{feff}a", Some('\u{feff}')),
            ("a\u{180e}b", Some('\u{180e}')),
            ("a\u{e0041}b", Some('\u{e0041}')),
            // Between Latin letters a joiner changes nothing.
            ("Ada\u{200d}Owner", Some('\u{200d}')),
            ("Ada\u{fe0f}", Some('\u{fe0f}')),
            // Persian "I go", a Devanagari conjunct, a family, a heart, a keycap, a Japanese place.
            ("می\u{200c}روم", None),
            ("क्\u{200d}ष", None),
            ("👩\u{200d}👧", None),
            ("❤\u{fe0f}\u{200d}🔥", None),
            ("1\u{fe0f}\u{20e3}", None),
            ("葛\u{e0100}城", None),
        ] {
            assert_eq!(first_invisible(text), found, "{text:?}");
        }
    }

    #[test]
    fn accents_and_spaces_alone_are_not_visible() {
        for c in [' ', '\u{a0}', '\u{3000}', '\u{301}', '\u{20dd}', '\u{200d}', '\u{7}'] {
            assert!(!is_visible(c), "{c:?}");
        }
        for c in ['a', '-', '測', '\u{93e}', '👩'] {
            assert!(is_visible(c), "{c:?}");
        }
    }
}
