//! `/docs` and `/llms.txt`: the guide, from `docs/guide`, as pages and as the Markdown they are made of.

use std::fmt::Write;
use std::sync::LazyLock;

use askama::Template;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd, html};

use super::api::operations::operations;
use super::assets;
use super::base_url::BaseUrl;
use super::error::{ApiError, ErrorCode};
use super::middleware::security_headers::REFERENCE_POLICY;

/// A page of the guide. The first has the address `/docs`, the others `/docs/{slug}`.
struct Page {
    slug: &'static str,
    title: &'static str,
    markdown: &'static str,
}

macro_rules! pages {
    ($($slug:literal: $title:literal),* $(,)?) => {
        &[$(Page { slug: $slug, title: $title, markdown: include_str!(concat!("../../docs/guide/", $slug, ".md")) }),*]
    };
}

const PAGES: &[Page] = pages! {
    "overview": "Overview",
    "api-keys": "Managing keys",
    "authentication": "Authentication",
    "endpoints": "Endpoints",
    "errors": "Errors",
    "idempotency": "Idempotency",
    "pagination": "Pagination",
    "moving-to-production": "Moving to production",
    "protect-your-own-api": "Protect your own API",
    "operating": "Operating Keyhouse",
};

const REFERENCE: &str = "reference";

/// Pictures in the guide, from `docs/pictures`; `scripts/pictures` makes them.
const PICTURES: [&str; 3] = ["keys.png", "created.png", "revoke.png"];

/// A link of the side bar.
struct Link {
    title: &'static str,
    href: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "docs.html")]
struct GuidePage<'a> {
    title: &'a str,
    slug: &'a str,
    links: Vec<Link>,
    /// Made by us from our own files.
    article: &'a str,
}

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage {
    links: Vec<Link>,
}

fn address(slug: &str) -> String {
    if slug == PAGES[0].slug { "/docs".to_owned() } else { format!("/docs/{slug}") }
}

fn links(current: &str) -> Vec<Link> {
    let guide = PAGES.iter().map(|page| (page.title, page.slug));
    guide
        .chain([("Reference", REFERENCE)])
        .map(|(title, slug)| Link { title, href: address(slug), current: slug == current })
        .collect()
}

/// The pages' Markdown with pictures where the program serves them; in the repository they lie beside the guide.
static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let placed = |page: &Page| {
        PICTURES.iter().fold(page.markdown.to_owned(), |text, name| {
            text.replace(&format!("(../pictures/{name})"), &format!("({})", assets::url(name)))
        })
    };
    PAGES.iter().map(placed).collect()
});

static ARTICLES: LazyLock<Vec<String>> = LazyLock::new(|| TEXTS.iter().map(|text| article(text)).collect());

/// Markdown to HTML; each heading gets an id from its words, so that it can be linked to.
fn article(markdown: &str) -> String {
    let mut events: Vec<Event<'_>> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
    for start in 0..events.len() {
        let Event::Start(Tag::Heading { .. }) = events[start] else { continue };
        let mut words = String::new();
        for event in &events[start..] {
            match event {
                Event::Text(text) | Event::Code(text) => words.push_str(text),
                Event::End(TagEnd::Heading(_)) => break,
                _ => {}
            }
        }
        if let Event::Start(Tag::Heading { id, .. }) = &mut events[start] {
            *id = Some(slug::slugify(words).into());
        }
    }
    // An answer is one line in the source, as it comes; on the page it is laid out to be read.
    let mut in_json = false;
    for event in &mut events {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => in_json = language.starts_with("json"),
            Event::End(TagEnd::CodeBlock) => in_json = false,
            Event::Text(text) if in_json => {
                if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
                    *text = format!("{value:#}\n").into();
                }
            }
            _ => {}
        }
    }
    let mut out = String::new();
    html::push_html(&mut out, events.into_iter());
    // A wide table scrolls by itself and can be reached by keyboard; the page never scrolls sideways.
    out.replace("<table>", "<div class=\"scrolls\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table>")
        .replace("</table>", "</table></div>")
        .replace("<pre>", "<pre tabindex=\"0\">")
}

pub(super) async fn index(base: BaseUrl) -> Response {
    guide(PAGES[0].slug, &base)
}

pub(super) async fn index_markdown(base: BaseUrl) -> Response {
    markdown(at_base(&TEXTS[0], &base))
}

/// `/docs/{page}` and `/docs/{page}.md`.
pub(super) async fn page(base: BaseUrl, Path(name): Path<String>) -> Response {
    match name.strip_suffix(".md") {
        Some(REFERENCE) => markdown(reference_markdown()),
        Some(slug) => match PAGES.iter().position(|page| page.slug == slug) {
            Some(place) => markdown(at_base(&TEXTS[place], &base)),
            None => absent(),
        },
        None if name == REFERENCE => {
            let mut response = page_of(&ReferencePage { links: links(REFERENCE) });
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(REFERENCE_POLICY));
            response
        }
        None => guide(&name, &base),
    }
}

/// What is where, for readers that are programs.
pub(super) async fn llms_txt() -> Response {
    let mut text =
        "# Keyhouse\n\n> The public API of a team's product catalog, behind API keys.\n\n## Docs\n\n".to_owned();
    for page in PAGES {
        let _infallible =
            writeln!(text, "- [{}]({}.md): {}", page.title, address(page.slug), first_sentence(page.markdown));
    }
    text.push_str("- [Reference](/docs/reference.md): every call, one by one\n");
    text.push_str("- [OpenAPI 3.1](/api/v1/openapi.json): the exact description, for programs\n");
    text_of("text/plain; charset=utf-8", text)
}

fn first_sentence(markdown: &str) -> String {
    let text = markdown.split("\n\n").nth(1).unwrap_or_default().replace('\n', " ");
    text.split_inclusive(". ").next().unwrap_or_default().trim().trim_end_matches('.').to_owned()
}

/// The base URL of the examples in the guide.
const EXAMPLE_BASE: &str = "http://127.0.0.1:8080";

/// A text of the guide with the address of this installation in its examples, so that they work as pasted.
fn at_base(text: &str, base: &BaseUrl) -> String {
    text.replace(EXAMPLE_BASE, &base.to_string())
}

fn guide(slug: &str, base: &BaseUrl) -> Response {
    let Some(place) = PAGES.iter().position(|page| page.slug == slug) else { return absent() };
    page_of(&GuidePage {
        title: PAGES[place].title,
        slug,
        links: links(slug),
        article: &at_base(&ARTICLES[place], base),
    })
}

/// The calls of the reference in words.
fn reference_markdown() -> String {
    let mut text =
        "# Reference\n\nEvery call. The exact description is [`/api/v1/openapi.json`](/api/v1/openapi.json).\n"
            .to_owned();
    for operation in operations() {
        let codes: Vec<_> =
            operation.errors.iter().map(|code| format!("{} `{}`", code.status(), code.code())).collect();
        let _infallible = write!(
            text,
            "\n## {}\n\n`{} {}`\n\n{}\n\nSuccess: {}. Beyond what every call can hear, it can refuse with: {}.\n",
            operation.summary,
            operation.method,
            operation.path,
            operation.description,
            operation.success.0,
            if codes.is_empty() { "nothing".to_owned() } else { codes.join(", ") },
        );
    }
    text
}

fn absent() -> Response {
    ApiError::new(ErrorCode::RouteNotFound).into_response()
}

fn page_of(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => text_of("text/html; charset=utf-8", html),
        Err(error) => ApiError::new(ErrorCode::InternalError).with_source(error).into_response(),
    }
}

fn markdown(text: impl Into<Bytes>) -> Response {
    text_of("text/markdown; charset=utf-8", text)
}

/// May be kept for a little while: the next version of the program has other words.
fn text_of(media_type: &'static str, text: impl Into<Bytes>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, text.into()).into_response()
}
