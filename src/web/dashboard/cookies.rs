//! Cookies: their names, their attributes, and how they are set and read.

use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};

use keyhouse_domain::secret::Secret;
use keyhouse_domain::session::ABSOLUTE_TIMEOUT;

/// The cookies of one installation.
///
/// Browsers share cookies between all ports of a host, so the names contain a tag of the database: two installations on
/// one host do not sign each other out.
#[derive(Debug, Clone)]
pub(super) struct Cookies {
    session: String,
    last_team: String,
    without_checklist: String,
    is_https: bool,
}

impl Cookies {
    /// `tag` identifies the database. Over HTTPS the name begins with `__Host-`, with which browsers insist on `Secure`,
    /// on the path `/` and on this host alone (RFC 6265bis, section 4.1.3.2).
    pub(super) fn new(tag: &str, is_https: bool) -> Self {
        let prefix = if is_https { "__Host-" } else { "" };
        let name = |purpose: &str| format!("{prefix}keyhouse_{tag}_{purpose}");
        Self { session: name("session"), last_team: name("team"), without_checklist: name("started"), is_https }
    }

    pub(super) fn session_secret(&self, jar: &CookieJar) -> Option<Secret> {
        jar.get(&self.session).and_then(|cookie| Secret::parse(cookie.value()))
    }

    /// The team whose pages this browser opened last: not a secret, and not trusted.
    pub(super) fn last_team<'a>(&self, jar: &'a CookieJar) -> Option<&'a str> {
        jar.get(&self.last_team).map(Cookie::value)
    }

    /// A response part that gives the browser a session's secret, for as long as a session can last.
    pub(super) fn set_session(&self, secret: &Secret) -> CookieJar {
        self.set(&self.session, secret.expose())
    }

    pub(super) fn clear_session(&self) -> CookieJar {
        let mut cookie = self.build(&self.session, "");
        cookie.make_removal();
        CookieJar::new().add(cookie)
    }

    pub(super) fn set_last_team(&self, team: &str) -> CookieJar {
        self.set(&self.last_team, team)
    }

    /// The teams whose checklist was dismissed in this browser, as slugs with a dot between them.
    pub(super) fn without_checklist<'a>(&self, jar: &'a CookieJar) -> Option<&'a str> {
        jar.get(&self.without_checklist).map(Cookie::value)
    }

    pub(super) fn set_without_checklist(&self, teams: &str) -> CookieJar {
        self.set(&self.without_checklist, teams)
    }

    fn set(&self, name: &str, value: &str) -> CookieJar {
        let mut cookie = self.build(name, value);
        cookie.set_max_age(ABSOLUTE_TIMEOUT.try_into().ok());
        CookieJar::new().add(cookie)
    }

    fn build(&self, name: &str, value: &str) -> Cookie<'static> {
        Cookie::build((name.to_owned(), value.to_owned()))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_https)
            .build()
    }
}
