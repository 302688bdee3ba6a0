//! What is around a page of a signed-in person: title, navigation, team switcher.

use askama::Template;

use super::authorize::Authorized;
use super::session::CurrentUser;
use crate::time_format::TimeFormat;
use keyhouse_domain::permission::Membership;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::Team;
use keyhouse_domain::timestamp::Timestamp;

/// The parts around a page.
pub(super) struct Layout {
    /// The most specific part first: `API keys · Acme`.
    pub title: String,
    /// Which entry of the navigation this page belongs to.
    pub section: &'static str,
    pub person: String,
    /// The role in the team; empty outside one.
    pub role: &'static str,
    pub email: String,
    /// The hidden field `for` of each form on the page.
    pub person_id: String,
    pub team: Option<LayoutTeam>,
    /// The person's other teams: name and path.
    pub others: Vec<(String, String)>,
    /// What has just been done, as a sentence; empty if nothing.
    pub message: String,
    /// The form that takes back what the message reports, if that can be done.
    pub undo: Option<Undo>,
}

/// A form that the message's *Undo* button sends.
pub(super) struct Undo {
    pub action: String,
    /// The value of the field `do`; empty without one.
    pub verb: &'static str,
}

pub(super) struct LayoutTeam {
    pub name: String,
    /// `/t/acme`
    pub base: String,
    pub administers: bool,
}

impl Layout {
    /// For a page of a team.
    pub(super) fn of<P>(access: &Authorized<P>, title: &str, section: &'static str) -> Self {
        let team = access.team();
        let others = access.teams.iter().filter(|(other, _)| other.id != team.id);
        Self {
            title: format!("{title} · {}", team.name.as_str()),
            section,
            person: access.user.person.name.as_str().to_owned(),
            role: access.membership.role.label(),
            email: access.user.person.email.as_str().to_owned(),
            person_id: access.user.person.id.to_string(),
            team: Some(LayoutTeam {
                name: team.name.as_str().to_owned(),
                base: access.path(""),
                administers: access.membership.role.administers(),
            }),
            others: others.map(|(team, _)| name_and_path(team)).collect(),
            message: String::new(),
            undo: None,
        }
    }

    /// For a page of the person, with the team whose pages this browser opened last, or else the first of their teams.
    pub(super) fn of_person(user: &CurrentUser, teams: &[(Team, Role)], title: &str, section: &'static str) -> Self {
        let personal = Self::personal(user, teams, title, section);
        let is_last = |(team, _): &&(Team, Role)| user.client.last_team.as_deref() == Some(team.slug.as_str());
        let Some((team, role)) = teams.iter().find(is_last).or(teams.first()) else { return personal };
        let others = teams.iter().filter(|(other, _)| other.id != team.id);
        Self {
            role: role.label(),
            team: Some(LayoutTeam {
                name: team.name.as_str().to_owned(),
                base: name_and_path(team).1,
                administers: role.administers(),
            }),
            others: others.map(|(team, _)| name_and_path(team)).collect(),
            ..personal
        }
    }

    /// For a page that says that the member's role does not have a permission.
    pub(super) fn for_member(membership: &Membership, title: &str) -> Self {
        let team = &membership.team;
        Self {
            title: format!("{title} · {}", team.name.as_str()),
            section: "",
            person: membership.person.name.as_str().to_owned(),
            role: membership.role.label(),
            email: membership.person.email.as_str().to_owned(),
            person_id: membership.person.id.to_string(),
            team: Some(LayoutTeam {
                name: team.name.as_str().to_owned(),
                base: name_and_path(team).1,
                administers: membership.role.administers(),
            }),
            others: Vec::new(),
            message: String::new(),
            undo: None,
        }
    }

    /// For a page outside any team.
    pub(super) fn personal(user: &CurrentUser, teams: &[(Team, Role)], title: &str, section: &'static str) -> Self {
        Self {
            title: title.to_owned(),
            section,
            person: user.person.name.as_str().to_owned(),
            role: "",
            email: user.person.email.as_str().to_owned(),
            person_id: user.person.id.to_string(),
            team: None,
            others: teams.iter().map(|(team, _)| name_and_path(team)).collect(),
            message: String::new(),
            undo: None,
        }
    }

    /// Path of the team's settings.
    pub(super) fn settings(&self) -> String {
        self.team.as_ref().map_or_else(|| "/".to_owned(), |team| format!("{}/settings", team.base))
    }

    pub(super) fn with_message(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    pub(super) fn with_undo(self, undo: Option<Undo>) -> Self {
        Self { undo, ..self }
    }
}

fn name_and_path(team: &Team) -> (String, String) {
    (team.name.as_str().to_owned(), format!("/t/{}", team.slug.as_str()))
}

/// At most `max` initials of a name, for its avatar: those of the first and the last word.
pub(super) fn initials(name: impl AsRef<str>, max: usize) -> String {
    let words: Vec<&str> =
        name.as_ref().split_whitespace().filter(|word| word.starts_with(char::is_alphanumeric)).collect();
    let ends = words.first().into_iter().chain(words.get(1..).and_then(<[&str]>::last));
    ends.filter_map(|word| word.chars().next()).take(max).flat_map(char::to_uppercase).collect()
}

/// A time in words, with the exact one in a tip that opens on hover, focus and tap. Escaped already.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<time class="when" tabindex="0" datetime="{{ iso }}" data-tip="{{ exact }}">{{ words }}</time>"#
)]
pub(super) struct TimeTag {
    words: String,
    pub(super) iso: String,
    pub(super) exact: String,
}

impl TimeTag {
    pub(super) fn past(at: Timestamp, now: Timestamp) -> Self {
        Self { words: at.ago(now), iso: at.to_string(), exact: at.exact() }
    }

    /// For the audit log: the exact time itself.
    pub(super) fn exact(at: Timestamp) -> Self {
        Self { words: at.exact(), iso: at.to_string(), exact: at.exact() }
    }

    pub(super) fn future(at: Timestamp, now: Timestamp) -> Self {
        Self { words: at.ahead(now), iso: at.to_string(), exact: at.exact() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_are_those_of_the_first_and_the_last_word() {
        for (name, expected) in
            [("Ines Marlow", "IM"), ("ada", "A"), ("Command line (root)", "CL"), ("Ana de la Cruz", "AC"), ("", "")]
        {
            assert_eq!(initials(name, 2), expected, "{name}");
        }
    }
}
