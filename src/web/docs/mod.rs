//! `/docs` and `/llms.txt`: the guide from `docs/guide`, as pages and as Markdown, its search, and the API reference.

mod article;
mod reference;
mod search;
mod snippets;

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::LazyLock;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::CookieJar;

use self::article::{Article, Section};
use self::search::Hit;
use self::snippets::{Language, escape_into};
use super::api::operations::operations;
use super::base_url::BaseUrl;
use super::error::{ApiError, ErrorCode};
use super::{AppState, assets};

/// A page of the guide. The first has the address `/docs`, the others `/docs/{slug}`.
struct Page {
    group: &'static str,
    slug: &'static str,
    title: &'static str,
    markdown: &'static str,
}

macro_rules! pages {
    ($($group:literal: { $($slug:literal: $title:literal),* $(,)? })*) => {
        &[$($(Page {
            group: $group,
            slug: $slug,
            title: $title,
            markdown: include_str!(concat!("../../../docs/guide/", $slug, ".md")),
        }),*),*]
    };
}

const PAGES: &[Page] = pages! {
    "Get started": {
        "overview": "Overview",
        "authentication": "Authentication",
        "api-keys": "Managing keys",
        "rotation": "Rotate without downtime",
        "expiry": "Expiry, addresses and pause",
        "leaks": "When a key leaks",
        "moving-to-production": "Moving to production",
    }
    "The API": {
        "endpoints": "Endpoints",
        "errors": "Errors",
        "pagination": "Pagination",
        "idempotency": "Idempotency",
    }
    "Self-hosting": {
        "protect-your-own-api": "Protect your own API",
        "operating": "Running one node",
        "many-nodes": "Many nodes",
        "failover": "Failover",
        "backup": "Backup and restore",
        "moving": "Moving between SQLite and PostgreSQL",
        "upgrades": "Upgrades",
        "tls": "TLS",
        "monitoring": "Monitoring",
        "security-checklist": "Security checklist",
    }
};

const REFERENCE: &str = "reference";
const SEARCH: &str = "search";

/// The group of the guide that the reference is listed in, at its end.
const REFERENCE_GROUP: &str = "The API";

/// Pictures in the guide, from `docs/pictures`; `scripts/pictures` makes them.
const PICTURES: [&str; 3] = ["keys.png", "created.png", "revoke.png"];

/// The language that examples were last read in.
const COOKIE_LANGUAGE: &str = "keyhouse_language";

/// The requests of the API for Postman and Bruno, which `scripts/postman` makes.
const COLLECTION: &str = "keyhouse.postman_collection.json";
const COLLECTION_TEXT: &str = include_str!("../../../assets/postman.json");

/// Where a reader's own server is in the guide's texts.
const SERVER: &str = "http://127.0.0.1:8080";

/// The pages' Markdown, with pictures where the program serves them; in the repository they are beside the guide.
static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let placed = |page: &Page| {
        PICTURES.iter().fold(page.markdown.to_owned(), |text, name| {
            text.replace(&format!("(../pictures/{name})"), &format!("({})", assets::url(name)))
        })
    };
    PAGES.iter().map(placed).collect()
});

/// The articles of all pages in each language.
static ARTICLES: LazyLock<Vec<Vec<Article>>> = LazyLock::new(|| {
    let languages = |text: &String| Language::ALL.iter().map(|language| Article::new(text, *language)).collect();
    TEXTS.iter().map(languages).collect()
});

/// What a page depends on beside its text.
#[derive(Debug)]
pub(super) struct Reader {
    base_url: String,
    language: Language,
    /// The cookie to set, where the language was just chosen.
    chosen: Option<HeaderValue>,
    query: String,
}

impl FromRequestParts<AppState> for Reader {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let Ok(base_url) = BaseUrl::from_request_parts(parts, state).await;
        let query = |name: &str| {
            let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
            pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let asked = query("lang").and_then(|text| Language::parse(&text));
        let kept = CookieJar::from_headers(&parts.headers)
            .get(COOKIE_LANGUAGE)
            .and_then(|cookie| Language::parse(cookie.value()));
        let secure = state.public_url.as_ref().is_some_and(|url| url.is_https());
        Ok(Self {
            base_url: base_url.to_string(),
            language: asked.or(kept).unwrap_or_default(),
            chosen: asked.and_then(|language| {
                let secure = if secure { "; Secure" } else { "" };
                let cookie = format!(
                    "{COOKIE_LANGUAGE}={}; Path=/docs; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}",
                    language.as_str()
                );
                HeaderValue::from_str(&cookie).ok()
            }),
            query: query("q").unwrap_or_default(),
        })
    }
}

impl Reader {
    /// The text with this server's address in its examples.
    fn fill(&self, html: &str) -> String {
        let mut base_url = String::new();
        escape_into(&mut base_url, &self.base_url);
        html.replace("$KEYHOUSE_URL", &base_url).replace(SERVER, &base_url)
    }

    fn page(&self, template: &impl Template) -> Response {
        let mut response = match template.render() {
            Ok(html) => text_of("text/html; charset=utf-8", html),
            Err(error) => return ApiError::new(ErrorCode::InternalError).with_source(error).into_response(),
        };
        if let Some(cookie) = &self.chosen {
            response.headers_mut().insert(header::SET_COOKIE, cookie.clone());
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
    }
}

/// A link of the sidebar, or to the previous or next page.
#[derive(Clone)]
struct Link {
    title: &'static str,
    href: String,
    current: bool,
}

/// What all pages of the docs share.
struct Frame {
    groups: Vec<(&'static str, Vec<Link>)>,
    query: String,
    version: &'static str,
}

impl Frame {
    fn new(current: &str) -> Self {
        let mut groups: Vec<(&'static str, Vec<Link>)> = Vec::new();
        for page in PAGES {
            let link = Link { title: page.title, href: address(page.slug), current: page.slug == current };
            match groups.last_mut().filter(|(group, _)| *group == page.group) {
                Some((_, links)) => links.push(link),
                None => groups.push((page.group, vec![link])),
            }
        }
        if let Some((_, links)) = groups.iter_mut().find(|(group, _)| *group == REFERENCE_GROUP) {
            links.push(Link { title: "Reference", href: address(REFERENCE), current: current == REFERENCE });
        }
        Self { groups, query: String::new(), version: env!("CARGO_PKG_VERSION") }
    }

    /// The pages before and after the current one.
    fn around(&self) -> (Option<Link>, Option<Link>) {
        let links: Vec<&Link> = self.groups.iter().flat_map(|(_, links)| links).collect();
        let Some(at) = links.iter().position(|link| link.current) else { return (None, None) };
        let before = at.checked_sub(1).and_then(|at| links.get(at));
        (before.map(|link| (*link).clone()), links.get(at + 1).map(|link| (*link).clone()))
    }
}

#[derive(Template)]
#[template(path = "docs.html")]
struct GuidePage<'a> {
    frame: Frame,
    title: &'a str,
    group: &'a str,
    description: String,
    markdown: String,
    /// HTML made from the guide's own Markdown.
    article: String,
    sections: &'a [Section],
    previous: Option<Link>,
    next: Option<Link>,
}

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage<'a> {
    frame: Frame,
    entries: Vec<(&'a reference::Entry, String)>,
    collection: String,
    common: &'a [(u16, Vec<&'static str>)],
}

#[derive(Template)]
#[template(path = "docs_search.html")]
struct SearchPage {
    frame: Frame,
    hits: Vec<Hit>,
}

fn address(slug: &str) -> String {
    if slug == PAGES[0].slug { "/docs".to_owned() } else { format!("/docs/{slug}") }
}

pub(super) async fn index(reader: Reader) -> Response {
    guide(PAGES[0].slug, &reader)
}

pub(super) async fn index_markdown(reader: Reader) -> Response {
    markdown(TEXTS[0].replace(SERVER, &reader.base_url))
}

/// `/docs/{page}` and `/docs/{page}.md`, and the collection.
pub(super) async fn page(Path(name): Path<String>, reader: Reader) -> Response {
    match name.strip_suffix(".md") {
        Some(REFERENCE) => markdown(reference_markdown()),
        Some(slug) => match PAGES.iter().position(|page| page.slug == slug) {
            Some(place) => markdown(TEXTS[place].replace(SERVER, &reader.base_url)),
            None => absent(),
        },
        None if name == COLLECTION => text_of("application/json", COLLECTION_TEXT.replace(SERVER, &reader.base_url)),
        None if name == REFERENCE => {
            let entries =
                reference::ENTRIES.iter().map(|entry| (entry, reader.fill(&entry.example(reader.language)))).collect();
            reader.page(&ReferencePage {
                frame: Frame::new(REFERENCE),
                entries,
                collection: address(COLLECTION),
                common: &reference::COMMON,
            })
        }
        None if name == SEARCH => results(&reader),
        None => guide(&name, &reader),
    }
}

/// The list of pages for programs that read documentation.
pub(super) async fn llms_txt() -> Response {
    let mut text =
        "# Keyhouse\n\n> The public API of a team's product catalog, behind API keys.\n\n## Docs\n\n".to_owned();
    for page in PAGES {
        let _infallible =
            writeln!(text, "- [{}]({}.md): {}", page.title, address(page.slug), first_sentence(page.markdown));
    }
    text.push_str("- [Reference](/docs/reference.md): every operation\n");
    text.push_str("- [OpenAPI 3.1](/api/v1/openapi.json): the machine-readable description\n");
    text_of("text/plain; charset=utf-8", text)
}

fn first_sentence(markdown: &str) -> String {
    let text = markdown.split("\n\n").nth(1).unwrap_or_default().replace('\n', " ");
    text.split_inclusive(". ").next().unwrap_or_default().trim().trim_end_matches('.').to_owned()
}

fn guide(slug: &str, reader: &Reader) -> Response {
    let Some(place) = PAGES.iter().position(|page| page.slug == slug) else { return absent() };
    let language = Language::ALL.iter().position(|language| *language == reader.language).unwrap_or(0);
    let article = &ARTICLES[place][language];
    let frame = Frame::new(slug);
    let (previous, next) = frame.around();
    reader.page(&GuidePage {
        title: PAGES[place].title,
        group: PAGES[place].group,
        description: first_sentence(PAGES[place].markdown).replace('`', ""),
        markdown: format!("{}.md", address(slug)),
        article: reader.fill(&article.html),
        sections: &article.sections[1..],
        previous,
        next,
        frame,
    })
}

fn results(reader: &Reader) -> Response {
    let guide = PAGES.iter().zip(ARTICLES.iter()).flat_map(|(page, articles)| {
        articles[0].sections.iter().map(|section| (page.title, address(page.slug), section))
    });
    let operations = reference::SECTIONS.iter().map(|section| ("Reference", address(REFERENCE), section));
    let mut frame = Frame::new("");
    frame.query.clone_from(&reader.query);
    reader.page(&SearchPage { hits: search::search(&reader.query, guide.chain(operations)), frame })
}

/// The operations in words.
fn reference_markdown() -> String {
    let mut text = "# Reference\n\nEvery operation. The machine-readable description is \
                    [`/api/v1/openapi.json`](/api/v1/openapi.json).\n"
        .to_owned();
    for operation in operations() {
        let codes: Vec<_> =
            operation.errors.iter().map(|code| format!("{} `{}`", code.status(), code.code())).collect();
        let _infallible = write!(
            text,
            "\n## {}\n\n`{} {}`\n\n{}\n\nSuccess: {}. Errors in addition to those of every operation: {}.\n",
            operation.summary,
            operation.method,
            operation.path,
            operation.description,
            operation.success.0,
            if codes.is_empty() { "none".to_owned() } else { codes.join(", ") },
        );
    }
    text
}

fn absent() -> Response {
    ApiError::new(ErrorCode::RouteNotFound).into_response()
}

fn markdown(text: impl Into<Bytes>) -> Response {
    text_of("text/markdown; charset=utf-8", text)
}

/// Cached for five minutes: the next version of the program has other texts.
fn text_of(media_type: &'static str, text: impl Into<Bytes>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, text.into()).into_response()
}
