//! Pages, as a browser without JavaScript sees them.

use crate::{Answer, TestApp};
use keyhouse_domain::person::Email;
use keyhouse_domain::secret::Secret;

pub const PASSWORD: &str = "lamp river quiet stone";

impl TestApp {
    /// Sets a fresh Keyhouse up as Ada with the team Acme; the cookie of her browser.
    pub async fn set_up(&self) -> String {
        let code = self.inner.set_up_link().await.unwrap().expect("there is no person yet");
        let fields = [("name", "Ada"), ("email", "ada@example.com"), ("team", "Acme"), ("password", PASSWORD)];
        let answer = self.call("POST", &format!("/link/{}", code.expose())).form(&fields).await;
        assert_eq!((answer.status.as_u16(), answer.location()), (303, "/t/acme/products"), "{answer}");
        answer.cookie().expect("a session")
    }

    pub async fn page(&self, cookie: &str, path: &str) -> Answer {
        self.get(path).cookie(cookie).await
    }

    /// Sends a form of a page that was rendered for the person who is signed in with `cookie`.
    pub async fn send(&self, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let owner = self.person_id(cookie).await.unwrap_or_default();
        self.call("POST", path).cookie(cookie).form(&[fields, &[("for", &owner)]].concat()).await
    }

    /// The id of the person who is signed in with `cookie`.
    pub async fn person_id(&self, cookie: &str) -> Option<String> {
        let secret = Secret::parse(cookie.split_once('=')?.1)?;
        let (_, person) = self.inner.session(&secret).await.expect("the database answers")?;
        Some(person.id.to_string())
    }

    pub async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.call("POST", "/sign-in").form(&[("email", email), ("password", password)]).await
    }

    /// Whether a cookie's session is good.
    pub async fn is_in(&self, cookie: &str) -> bool {
        self.page(cookie, "/account").await.status == 200
    }

    /// Invites a person through the page, who joins with [`PASSWORD`]; their browser's cookie.
    pub async fn join(&self, admin: &str, name: &str, role: &str) -> String {
        let email = format!("{}@example.com", name.to_lowercase());
        let path = "/t/acme/settings/members/invite";
        let invited = self.send(admin, path, &[("email", &email), ("role", role)]).await;
        let link = link_in(&invited);
        let joined = self.call("POST", &link).form(&[("name", name), ("password", PASSWORD)]).await;
        assert_eq!(joined.status, 303, "{joined}");
        joined.cookie().expect("a session")
    }

    /// Invites the person who has an account with this address, as the page does once it has named the account.
    pub async fn invite_known(&self, admin: &str, team: &str, email: &str, role: &str) -> Answer {
        let address = Email::parse(email).expect("an address");
        let account = self.inner.queries().account(&address).await.expect("the database answers").expect("an account");
        let id = account.person.id.to_string();
        let fields = [("email", email), ("role", role), ("account", &*id)];
        self.send(admin, &format!("/t/{team}/settings/members/invite"), &fields).await
    }

    /// Invites a person who has an account with [`PASSWORD`]; they accept.
    pub async fn join_again(&self, admin: &str, email: &str, role: &str) {
        let invited = self.invite_known(admin, "acme", email, role).await;
        let joined = self.call("POST", &link_in(&invited)).form(&[("password", PASSWORD)]).await;
        assert_eq!(joined.status, 303, "{joined}");
    }
}

/// The one-time link that a page shows, without the host.
pub fn link_in(answer: &Answer) -> String {
    let at = answer.text().find("/link/").unwrap_or_else(|| panic!("no link in {answer}"));
    answer.text()[at..at + "/link/".len() + 64].to_owned()
}

/// The text between two others.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let from = text.find(before).unwrap_or_else(|| panic!("no {before} in {text}")) + before.len();
    &text[from..from + text[from..].find(after).expect("an end")]
}

/// Everything that a page says of what is wrong.
pub fn faults(answer: &Answer) -> Vec<String> {
    answer.text().split("class=\"fault\"").skip(1).map(|rest| between(rest, ">", "</p>").to_owned()).collect()
}
