//! The color theme: the system's, or the one chosen in this browser.
//!
//! The choice is a cookie, read on the server, so that the first paint has the right colors without an inline script.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::CookieJar;

use super::AppState;
use keyhouse_domain::public_url::PublicUrl;

const COOKIE: &str = "keyhouse_theme";

/// A choice of colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn parse(text: &str) -> Self {
        [Self::Light, Self::Dark].into_iter().find(|theme| theme.as_str() == text).unwrap_or_default()
    }

    /// The choice that the request's cookie holds.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        CookieJar::from_headers(headers).get(COOKIE).map_or_else(Self::default, |cookie| Self::parse(cookie.value()))
    }
}

tokio::task_local! {
    static CURRENT: Theme;
}

/// Renders with the theme of a request: templates read it by `current`, error pages included.
pub(crate) fn scope<F: Future>(theme: Theme, render: F) -> tokio::task::futures::TaskLocalFuture<Theme, F> {
    CURRENT.scope(theme, render)
}

/// As `scope`, for what is rendered without an `await`.
pub(crate) fn sync_scope<T>(theme: Theme, render: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(theme, render)
}

/// Whether a theme is the current one, for the buttons that choose it.
pub(crate) fn is(name: &str) -> bool {
    current().as_str() == name
}

/// The theme of the request that is being answered.
pub(crate) fn current() -> Theme {
    CURRENT.try_with(|theme| *theme).unwrap_or_default()
}

/// Remembers the choice for a year and returns to the page that the form was on.
pub(crate) async fn choose(State(state): State<AppState>, headers: HeaderMap, form: Bytes) -> Response {
    let chosen = form_urlencoded::parse(&form).find(|(name, _)| name == "theme").map(|(_, value)| Theme::parse(&value));
    let referrer = headers.get(header::REFERER).and_then(|value| value.to_str().ok()?.parse::<Uri>().ok());
    let path = referrer.as_ref().and_then(|uri| uri.path_and_query()).map_or("/", |path| path.as_str());
    // A path of two slashes would lead to another host.
    let back = if path.starts_with("//") { "/" } else { path };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let answer = response.headers_mut();
    answer.insert(header::LOCATION, HeaderValue::from_str(back).unwrap_or(HeaderValue::from_static("/")));
    let secure = if state.public_url.as_ref().is_some_and(PublicUrl::is_https) { "; Secure" } else { "" };
    let theme = chosen.unwrap_or_default().as_str();
    let cookie = format!("{COOKIE}={theme}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}");
    answer.insert(header::SET_COOKIE, HeaderValue::from_str(&cookie).expect("a cookie of ASCII words"));
    response
}
