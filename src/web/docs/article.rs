//! A page of the guide: Markdown to HTML, with its sections for the contents and the search.

use std::fmt::Write;
use std::sync::LazyLock;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::snippets::{Call, Language, escape_into, highlight};
use crate::web::assets;

/// A heading and the text below it.
#[derive(Debug, Default, Clone)]
pub(super) struct Section {
    /// The heading's id on the page; empty for the text above the first one.
    pub anchor: String,
    pub heading: String,
    pub text: String,
}

/// A page of the guide in one language. `$KEYHOUSE_URL` is still to be replaced by the server's address.
pub(super) struct Article {
    pub html: String,
    pub sections: Vec<Section>,
}

impl Article {
    pub(super) fn new(markdown: &str, language: Language) -> Self {
        let events: Vec<Event<'_>> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
        let mut page = Self { html: String::new(), sections: vec![Section::default()] };
        let mut plain: Vec<Event<'_>> = Vec::new();
        let mut examples = 0;
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            match event {
                Event::Start(Tag::Heading { level, .. }) => {
                    let inner: Vec<_> =
                        events.by_ref().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_)))).collect();
                    html::push_html(&mut page.html, plain.drain(..));
                    page.heading(level, inner);
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let mut code = String::new();
                    for event in events.by_ref() {
                        match event {
                            Event::Text(text) => code.push_str(&text),
                            _ => break,
                        }
                    }
                    html::push_html(&mut page.html, plain.drain(..));
                    let label = match &kind {
                        CodeBlockKind::Fenced(label) => label.as_ref(),
                        CodeBlockKind::Indented => "",
                    };
                    examples += 1;
                    page.html.push_str(&block(label, &code, language, examples));
                }
                event => {
                    if let Some(section) = page.sections.last_mut() {
                        match &event {
                            Event::Text(text) | Event::Code(text) => section.text.push_str(text),
                            // Words of two blocks, lines or cells are apart; the parts of a sentence are as written.
                            Event::SoftBreak | Event::HardBreak => section.text.push(' '),
                            Event::End(tag) if !tag_is_inline(tag) && !section.text.ends_with(' ') => {
                                section.text.push(' ');
                            }
                            _ => {}
                        }
                    }
                    plain.push(event);
                }
            }
        }
        html::push_html(&mut page.html, plain.drain(..));
        // A wide table scrolls by itself and is reachable by keyboard; the page never scrolls sideways.
        page.html = page
            .html
            .replace("<table>", "<div class=\"card scrolls\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table class=\"grid stay\">")
            .replace("</table>", "</table></div>");
        page
    }

    fn heading(&mut self, level: HeadingLevel, inner: Vec<Event<'_>>) {
        let words: String = inner
            .iter()
            .filter_map(|event| match event {
                Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
                _ => None,
            })
            .collect();
        let mut content = String::new();
        html::push_html(&mut content, inner.into_iter());
        if level == HeadingLevel::H1 {
            let _infallible = write!(self.html, "<h1 tabindex=\"-1\">{content}</h1>");
            if let Some(section) = self.sections.last_mut() {
                section.heading = words;
            }
            return;
        }
        let anchor = slug::slugify(&words);
        let _infallible = write!(self.html, "<{level} id=\"{anchor}\"><a href=\"#{anchor}\">{content}</a></{level}>");
        self.sections.push(Section { anchor, heading: words, text: String::new() });
    }
}

const fn tag_is_inline(tag: &TagEnd) -> bool {
    matches!(tag, TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image)
}

/// The button that copies the code beside it. It needs the script, which shows it.
pub(super) static COPY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "<button type=\"button\" class=\"button quiet only-icon low\" data-copy aria-label=\"Copy\" hidden>{}</button>",
        assets::icon("copy")
    )
});

/// A block of code under a bar with its title and a Copy button. A request has a tab for each language.
fn block(label: &str, code: &str, language: Language, number: usize) -> String {
    if let (true, Some(call)) = (label == "sh", Call::parse(code)) {
        return tabbed(&call, language, &format!("example-{number}"));
    }
    let (title, code) = match label.split_once(' ') {
        // A response is one line in the source; on the page it is laid out for reading.
        Some(("json", status)) => {
            let laid_out = serde_json::from_str::<serde_json::Value>(code).map(|value| format!("{value:#}\n"));
            (format!("{status} response"), laid_out.unwrap_or_else(|_| code.to_owned()))
        }
        Some((_, engine)) => (if engine == "sqlite" { "SQLite" } else { "PostgreSQL" }.to_owned(), code.to_owned()),
        None if label == "http" => ("Response".to_owned(), laid_out_http(code)),
        None if label == "text" => ("Output".to_owned(), code.to_owned()),
        // The address is filled into each example, so it need not be set.
        None => ("Shell".to_owned(), code.replace("export KEYHOUSE_URL=http://127.0.0.1:8080\n", "")),
    };
    format!(
        "<div class=\"code\"><div class=\"code-head\"><span>{title}</span>{}</div><pre tabindex=\"0\" role=\"group\" \
         aria-label=\"{title}\">{}</pre></div>",
        *COPY,
        highlight(&code)
    )
}

fn laid_out_http(code: &str) -> String {
    let Some((head, body)) = code.split_once("\n\n") else { return code.to_owned() };
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(value) => format!("{head}\n\n{value:#}\n"),
        Err(_) => code.to_owned(),
    }
}

/// A request in the chosen language, with links to the others.
pub(super) fn tabbed(call: &Call, language: Language, id: &str) -> String {
    let mut tabs = String::new();
    for other in Language::ALL {
        let current = if other == language { " aria-current=\"true\"" } else { "" };
        // "Go" alone does not describe a link.
        let _infallible = write!(
            tabs,
            "<a href=\"?lang={}#{id}\"{current}>{}<span class=\"unseen\"> code</span></a>",
            other.as_str(),
            other.label()
        );
    }
    let mut name = String::new();
    escape_into(&mut name, &format!("{} example", language.label()));
    format!(
        "<div class=\"code\" id=\"{id}\"><div class=\"code-head\"><nav class=\"tabs\" aria-label=\"Language of example \
         {}\">{tabs}</nav>{}</div><pre tabindex=\"0\" role=\"group\" aria-label=\"{name}\">{}</pre></div>",
        id.trim_start_matches("example-"),
        *COPY,
        highlight(&call.source(language))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_for_the_search_has_its_punctuation_as_written() {
        let markdown = "# Keys\n\n## Create\n\nSelect **Create**, then *copy* the [token](/docs).\nIt is `pk_live_…`.\n\n- One\n- Two\n";
        let article = Article::new(markdown, Language::Go);
        assert_eq!(article.sections[1].text, "Select Create, then copy the token. It is pk_live_…. One Two ");
    }
}
