//! "Which key is this?": a token that was found where it should not be, whose it is, and the way to end it.

use askama::Template;
use axum::extract::State;

use super::form::Faults;
use super::halt::Answer;
use super::keys::{PAGE, Row};
use super::pages::{self, Frame};
use super::visitor::{Holds, Posted};
use crate::domain::role::ManageKeys;
use crate::domain::team::Team;
use crate::domain::token::RawToken;
use crate::web::{Web, assets};

#[derive(Template)]
#[template(path = "key_find.html")]
struct FindPage {
    frame: Frame,
    base: String,
    faults: Faults,
    found: Option<Found>,
}

/// Whose a token is.
struct Found {
    key: Row,
    team: String,
    /// Where it can be revoked, if this person may.
    revoke: Option<String>,
}

pub async fn find_form(holds: Holds<ManageKeys>) -> Answer {
    find_page(&holds, Faults::default(), None)
}

fn find_page(holds: &Holds<ManageKeys>, faults: Faults, found: Option<Found>) -> Answer {
    let frame = Frame::of(holds, "Which key is this?", "keys");
    let page = FindPage { frame, base: holds.at(PAGE), faults, found };
    Ok(pages::form(&page.faults, &page))
}

/// Tells of keys in teams whose keys this person manages, and of no other: a token does not tell strangers whose it is.
pub async fn find_key(State(web): State<Web>, Posted { who: holds, form }: Posted<Holds<ManageKeys>>) -> Answer {
    let token = match RawToken::parse(form.get("token").trim().as_bytes(), web.app.brand()) {
        Ok(token) => token,
        Err(fault) => {
            let sentence = format!("This is no token of this Keyhouse: {fault}. Paste the whole of it");
            return find_page(&holds, Faults::one("token", sentence), None);
        }
    };
    let found = web.app.find_key(token).await?;
    let manages = |team: &Team| holds.teams.iter().any(|(mine, role)| mine.id == team.id && role.administers());
    let Some((key, team)) = found.filter(|(_, team)| manages(team)) else {
        let sentence = "No key of yours has this token. Its form is right, so it may be another team’s";
        return find_page(&holds, Faults::one("token", sentence), None);
    };
    let base = format!("/t/{}{PAGE}", team.slug.as_str());
    let revoke = key.key.is_active().then(|| format!("{base}/{}/revoke", key.key.id));
    let now = web.app.clock().now();
    let found = Found { key: Row::of(&key, now), team: team.name.as_str().to_owned(), revoke };
    find_page(&holds, Faults::default(), Some(found))
}
