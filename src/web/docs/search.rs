//! The search of the docs: every section of the guide and every operation, matched by their words.

use super::article::Section;

/// A section that matches.
#[derive(Debug)]
pub(super) struct Hit {
    pub page: &'static str,
    pub heading: String,
    pub href: String,
    pub excerpt: String,
}

/// Longest excerpt, in characters.
const EXCERPT: usize = 160;
const HITS_MAX: usize = 20;

/// The sections that contain every word of the query, those with the words in a heading first.
pub(super) fn search<'a>(query: &str, sections: impl Iterator<Item = (&'static str, String, &'a Section)>) -> Vec<Hit> {
    let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).take(8).collect();
    if words.is_empty() {
        return Vec::new();
    }
    let mut hits: Vec<(usize, Hit)> = sections
        .filter_map(|(page, href, section)| {
            let heading = format!("{page} {}", section.heading).to_lowercase();
            let text = section.text.to_lowercase();
            if !words.iter().all(|word| heading.contains(word) || text.contains(word)) {
                return None;
            }
            let in_heading = words.iter().filter(|word| heading.contains(*word)).count();
            let in_text: usize = words.iter().map(|word| text.matches(word.as_str()).count().min(5)).sum();
            let href = if section.anchor.is_empty() { href } else { format!("{href}#{}", section.anchor) };
            let excerpt = excerpt(&section.text, &words);
            Some((in_heading * 10 + in_text, Hit { page, heading: section.heading.clone(), href, excerpt }))
        })
        .collect();
    hits.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    hits.into_iter().map(|(_, hit)| hit).take(HITS_MAX).collect()
}

/// The part of the text around the first word that matches.
fn excerpt(text: &str, words: &[String]) -> String {
    let pieces: Vec<&str> = text.split_whitespace().collect();
    let matches = |piece: &&str| words.iter().any(|word| piece.to_lowercase().contains(word.as_str()));
    let start = pieces.iter().position(matches).unwrap_or(0).saturating_sub(6);
    let mut excerpt = if start > 0 { "… ".to_owned() } else { String::new() };
    for piece in &pieces[start..] {
        if excerpt.chars().count() + piece.chars().count() > EXCERPT {
            excerpt.push('…');
            break;
        }
        excerpt.push_str(piece);
        excerpt.push(' ');
    }
    excerpt.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_must_occur_and_headings_come_first() {
        let section = |heading: &str, text: &str| Section {
            anchor: slug::slugify(heading),
            heading: heading.to_owned(),
            text: text.to_owned(),
        };
        let sections =
            [section("Modes", "A key is Live or Test."), section("Rate limits", "Each key may make 600 calls.")];
        let find = |query: &str| -> Vec<String> {
            let all = sections.iter().map(|section| ("Overview", "/docs".to_owned(), section));
            search(query, all).into_iter().map(|hit| hit.href).collect()
        };
        assert_eq!(find("key"), ["/docs#modes", "/docs#rate-limits"]);
        assert_eq!(find("KEY limits"), ["/docs#rate-limits"]);
        assert_eq!(find("key absent"), Vec::<String>::new());
        assert_eq!(find("  "), Vec::<String>::new());
    }
}
