//! Settings → Members: the list, and the open invitations.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::authorize::Authorized;
use super::forms::{FieldErrors, RawForm};
use super::layout::{Layout, TimeTag, Undo};
use super::rejection::{PageResult, Rejection};
use super::responses::{page, url};
use crate::app::keys::RevokeKeyError;
use crate::app::members::ChangeMemberError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::KeyName;
use keyhouse_domain::ids::{LinkId, PersonId};
use keyhouse_domain::link::{Link, Purpose};
use keyhouse_domain::pagination::Limit;
use keyhouse_domain::permission::{ManageTeam, Permission};
use keyhouse_domain::role::Role;
use keyhouse_domain::search::{Found, SearchTerm};
use keyhouse_domain::team::Member;
use keyhouse_token::Mode;

/// Path of the members page, below the team's.
pub(super) const PAGE: &str = "/settings/members";
/// Members on one page.
const ROWS: usize = 50;

struct MemberRow {
    id: String,
    name: String,
    email: String,
    role: Role,
    /// When they last used a session that is still stored.
    seen: Option<TimeTag>,
    joined: TimeTag,
    /// The active keys that they created.
    keys: usize,
    is_me: bool,
}

/// A member who has asked for another address.
struct EmailChangeRow {
    id: String,
    name: String,
    email: String,
    pending: String,
}

struct InvitationRow {
    id: String,
    email: String,
    role: &'static str,
    made_by: String,
    until: TimeTag,
}

#[derive(Template)]
#[template(path = "members.html")]
struct MembersPage<'a> {
    layout: Layout,
    base: String,
    settings: String,
    search: &'a str,
    /// What is wrong with the search term.
    problem: Option<String>,
    /// Whether the search ran out of time before the end of the list.
    is_cut_short: bool,
    rows: Vec<MemberRow>,
    changes: Vec<EmailChangeRow>,
    invitations: Vec<InvitationRow>,
    count: u64,
    next: Option<String>,
    is_first: bool,
    is_owner: bool,
}

/// The page that shows a one-time link, once.
#[derive(Template)]
#[template(path = "link_created.html")]
pub(super) struct LinkCreatedPage {
    pub layout: Layout,
    pub base: String,
    pub title: &'static str,
    pub email: String,
    /// What the link does, as a sentence.
    pub about: String,
    pub link: String,
}

pub(super) async fn index(State(state): State<AppState>, access: Authorized<ManageTeam>, query: Query) -> PageResult {
    let now = state.app.clock().now();
    let (search, after) = (query.get_or_empty("q").trim(), query.get_or_empty("after"));
    let team = access.team().id;
    let mut problem = None;
    let found = match SearchTerm::parse(search) {
        Ok(None) => first_of(state.app.queries().members_page(team, after, ROWS as u32 + 1).await?),
        Ok(Some(term)) => {
            let limit = Limit::parse(&ROWS.to_string()).unwrap_or_default();
            state.app.search_members(access.membership.person.id, team, &term, after, limit).await?
        }
        Err(too_long) => {
            problem = Some(too_long.to_string());
            Found { items: Vec::new(), next: None, is_cut_short: false }
        }
    };
    let next = found.next.as_ref().map(|next| url(&access.path(PAGE), [("q", search), ("after", next.as_str())]));
    let is_first = after.is_empty();
    let invitations = if is_first { state.app.invitations_of(access.team()).await? } else { Vec::new() };
    let changes =
        if is_first { state.app.queries().members_changing_email(access.team().id).await? } else { Vec::new() };
    let change = |member: Member| EmailChangeRow {
        id: member.person.to_string(),
        email: member.email.to_string(),
        pending: member.pending_email.map_or_else(String::new, |email| email.to_string()),
        name: member.name,
    };
    let message = match query.get_or_empty("done") {
        "role" => "Role changed",
        "removed" => "Removed from the team",
        "withdrawn" => "Invitation withdrawn",
        "restored" => "Invitation restored. Its link works again",
        "handed_over" => "The team has a new owner",
        _ => "",
    };
    let undo = match (query.get_or_empty("done"), query.get_or_empty("invitation").parse::<LinkId>()) {
        ("withdrawn", Ok(id)) => {
            Some(Undo { action: access.path(&format!("/settings/invitations/{id}/restore")), verb: "" })
        }
        _ => None,
    };
    let people: Vec<_> = found.items.iter().map(|member| member.person).collect();
    let seen = state.app.queries().last_seen(&people).await?;
    let keys = state.app.active_keys_of(team).await?;
    let row = |member: Member| MemberRow {
        id: member.person.to_string(),
        email: member.email.to_string(),
        role: member.role,
        seen: seen.get(&member.person).map(|&at| TimeTag::past(at, now)),
        joined: TimeTag::past(member.joined_at, now),
        keys: keys.iter().filter(|key| key.creator.person == Some(member.person)).count(),
        is_me: member.person == access.membership.person.id,
        name: member.name,
    };
    let invitation = |link: Link| match link.purpose {
        Purpose::Invite { email, role, .. } => Some(InvitationRow {
            id: link.id.to_string(),
            email: email.to_string(),
            role: role.label(),
            made_by: link.made_by,
            until: TimeTag::future(link.expires_at, now),
        }),
        _ => None,
    };
    let code = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let rendered = MembersPage {
        layout: Layout::of(&access, "Members", "members").with_message(message).with_undo(undo),
        base: access.path(PAGE),
        settings: access.path("/settings"),
        search,
        problem,
        is_cut_short: found.is_cut_short,
        rows: found.items.into_iter().map(row).collect(),
        changes: changes.into_iter().map(change).collect(),
        invitations: invitations.into_iter().filter_map(invitation).collect(),
        count: state.app.queries().member_count(access.team().id).await?,
        next,
        is_first,
        is_owner: access.membership.role == Role::Owner,
    };
    Ok(page(code, &rendered))
}

/// The first page of a list that was read one row further than a page.
fn first_of(mut members: Vec<Member>) -> Found<Member, String> {
    let has_more = members.len() > ROWS;
    members.truncate(ROWS);
    let next = members.last().filter(|_| has_more).map(|last| last.email.canonical().to_owned());
    Found { items: members, next, is_cut_short: false }
}

/// A member of the team.
pub(super) async fn find<P>(state: &AppState, access: &Authorized<P>, id: PersonId) -> Result<Member, Rejection> {
    state.app.queries().member(access.team().id, id).await?.ok_or_else(Rejection::not_found)
}

/// An active key that a member created.
pub(super) struct CreatedKey {
    pub name: String,
    pub prefix: String,
    pub mode: Mode,
}

/// The active keys that a member created: they know their tokens, also after they lose access.
pub(super) async fn created_keys<P>(
    state: &AppState,
    access: &Authorized<P>,
    person: PersonId,
) -> Result<Vec<CreatedKey>, Rejection> {
    let keys = state.app.active_keys_of(access.team().id).await?;
    let created = keys.into_iter().filter(|key| key.creator.person == Some(person));
    Ok(created
        .map(|key| CreatedKey {
            name: key.name.as_ref().map_or("", KeyName::as_str).to_owned(),
            prefix: key.key.prefix().to_string(),
            mode: key.key.mode,
        })
        .collect())
}

/// Revokes the active keys that a member created, before a change takes the permission away. Not in one transaction with
/// it: if the change fails, the keys are revoked all the same, which the person asked for.
pub(super) async fn revoke_created_keys<P: Permission>(
    state: &AppState,
    access: &Authorized<P>,
    raw: &RawForm,
    person: PersonId,
) -> Result<(), Rejection> {
    let Ok(permit) = access.membership.permit() else { return Err(access.permission_lost(state, raw).await) };
    match state.app.revoke_keys_created_by(&permit, person, None).await {
        // Another person has revoked it meanwhile.
        Ok(()) | Err(RevokeKeyError::NoSuchKey) => Ok(()),
        Err(RevokeKeyError::Forbidden(_)) => Err(access.permission_lost(state, raw).await),
        Err(RevokeKeyError::Store(error)) => Err(error.into()),
    }
}

/// What a page shows after a change of a member failed; or the response in its place.
pub(super) async fn change_error<P: Permission>(
    state: &AppState,
    access: &Authorized<P>,
    raw: &RawForm,
    error: ChangeMemberError,
) -> Result<FieldErrors, Rejection> {
    match error {
        ChangeMemberError::NoSuchMember => Err(Rejection::not_found()),
        ChangeMemberError::Forbidden(_) => Err(access.permission_lost(state, raw).await),
        ChangeMemberError::IsOwner => Ok(FieldErrors::one("member", "This is the owner. Transfer ownership first")),
        ChangeMemberError::Changed(role) => {
            Ok(FieldErrors::one("member", format!("The role was changed to {} meanwhile", role.label())))
        }
        ChangeMemberError::Store(error) => Err(error.into()),
    }
}
