//! Settings → Members: invite, change roles, remove, hand the team over.

use askama::Template;
use axum::extract::State;

use super::forms::FieldErrors;
use super::layout::{self, Layout, TimeTag, address, ok};
use super::rejection::{PageResult, Rejection, see_other};
use super::session::{Authorized, AuthorizedForm, LastPathParam};
use crate::app::members::ChangeMemberError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::KeyName;
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::link::{Link, Purpose};
use keyhouse_domain::permission::{ManageTeam, OwnTeam};
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::Member;

pub(super) const PAGE: &str = "/settings/members";
/// Members on one page.
const ROWS: usize = 50;

struct Row {
    id: String,
    name: String,
    email: String,
    role: Role,
    joined: TimeTag,
    is_me: bool,
}

struct Invitation {
    id: String,
    email: String,
    role: &'static str,
    made_by: String,
    until: TimeTag,
}

#[derive(Template)]
#[template(path = "members.html")]
struct MembersPage<'a> {
    frame: Layout,
    base: String,
    settings: String,
    search: &'a str,
    rows: Vec<Row>,
    invitations: Vec<Invitation>,
    count: u64,
    next: Option<String>,
    is_first: bool,
    owns: bool,
}

pub(super) async fn list(
    State(state): State<AppState>,
    authorized: Authorized<ManageTeam>,
    query: Query,
) -> PageResult {
    let now = state.app.clock().now();
    let (search, after) = (query.get_or_empty("q"), Email::parse(query.get_or_empty("after")).ok());
    let mut members = state.app.members_page(authorized.team(), search, after.as_ref(), ROWS as u32 + 1).await?;
    let more = members.len() > ROWS;
    members.truncate(ROWS);
    let next = members
        .last()
        .filter(|_| more)
        .map(|last| address(&authorized.at(PAGE), [("q", search), ("after", last.email.as_str())]));
    let is_first = after.is_none();
    let invitations = if is_first { state.app.invitations_of(authorized.team()).await? } else { Vec::new() };
    let done = match query.get_or_empty("done") {
        "role" => "Role changed",
        "removed" => "Removed from the team",
        "withdrawn" => "Invitation withdrawn",
        "handed_over" => "The team has a new owner",
        _ => "",
    };
    let row = |member: Member| Row {
        id: member.person.to_string(),
        email: member.email.to_string(),
        role: member.role,
        joined: TimeTag::past(member.joined_at, now),
        is_me: member.person == authorized.seat.person.id,
        name: member.name,
    };
    let invitation = |link: Link| match link.purpose {
        Purpose::Invite { email, role, .. } => Some(Invitation {
            id: link.id.to_string(),
            email: email.to_string(),
            role: role.label(),
            made_by: link.made_by,
            until: TimeTag::future(link.expires_at, now),
        }),
        _ => None,
    };
    Ok(ok(&MembersPage {
        frame: Layout::of(&authorized, "Members", "members").with_message(done),
        base: authorized.at(PAGE),
        settings: authorized.at("/settings"),
        search,
        rows: members.into_iter().map(row).collect(),
        invitations: invitations.into_iter().filter_map(invitation).collect(),
        count: state.app.member_count(authorized.team()).await?,
        next,
        is_first,
        owns: authorized.seat.role == Role::Owner,
    }))
}

/// A deed on a member that failed: the page again, or what stands in for it.
async fn failed<R>(
    state: &AppState,
    authorized: &Authorized<R>,
    error: ChangeMemberError,
) -> Result<FieldErrors, Rejection> {
    match error {
        ChangeMemberError::NoSuchMember => Err(Rejection::not_found()),
        ChangeMemberError::Forbidden => Err(authorized.permission_lost(state).await),
        ChangeMemberError::IsOwner => {
            Ok(FieldErrors::one("member", "This is the owner: the team must be handed over first"))
        }
        ChangeMemberError::Store(error) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "member_role.html")]
struct RolePage {
    frame: Layout,
    base: String,
    member: Member,
    role: Role,
    is_me: bool,
    faults: FieldErrors,
}

async fn member<R>(state: &AppState, authorized: &Authorized<R>, id: PersonId) -> Result<Member, Rejection> {
    state.app.member(authorized.team(), id).await?.ok_or_else(Rejection::not_found)
}

fn role_page(authorized: &Authorized<ManageTeam>, member: Member, role: Role, faults: FieldErrors) -> PageResult {
    let page = RolePage {
        frame: Layout::of(authorized, &format!("Role of {}", member.name), "members"),
        base: authorized.at(PAGE),
        is_me: member.person == authorized.seat.person.id,
        member,
        role,
        faults,
    };
    Ok(layout::form(&page.faults, &page))
}

pub(super) async fn role_form(
    State(state): State<AppState>,
    authorized: Authorized<ManageTeam>,
    LastPathParam(id): LastPathParam<PersonId>,
    query: Query,
) -> PageResult {
    let member = member(&state, &authorized, id).await?;
    let role = Role::parse_given(query.get_or_empty("role")).unwrap_or(member.role);
    role_page(&authorized, member, role, FieldErrors::default())
}

pub(super) async fn change_role(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<PersonId>,
    AuthorizedForm { who: authorized, form }: AuthorizedForm<Authorized<ManageTeam>>,
) -> PageResult {
    let member = member(&state, &authorized, id).await?;
    let Some(role) = Role::parse_given(form.get("role")) else {
        let role = member.role;
        return role_page(&authorized, member, role, FieldErrors::one("role", "Choose a role"));
    };
    match state.app.change_role(&authorized.permit, id, role).await {
        Ok(()) => Ok(see_other(&format!("{}?done=role", authorized.at(PAGE)))),
        Err(error) => {
            let faults = failed(&state, &authorized, error).await?;
            role_page(&authorized, member, role, faults)
        }
    }
}

#[derive(Template)]
#[template(path = "member_remove.html")]
struct RemovePage {
    frame: Layout,
    base: String,
    member: Member,
    /// Name, prefix, and whether it is live: the active keys they made.
    keys: Vec<(String, String, bool)>,
    faults: FieldErrors,
}

async fn remove_page(
    state: &AppState,
    authorized: &Authorized<ManageTeam>,
    member: Member,
    faults: FieldErrors,
) -> PageResult {
    let keys = state.app.keys_of(authorized.team()).await?;
    let theirs = keys.iter().filter(|key| key.key.is_active() && key.creator.person == Some(member.person));
    let page = RemovePage {
        frame: Layout::of(authorized, &format!("Remove {}?", member.name), "members"),
        base: authorized.at(PAGE),
        keys: theirs
            .map(|key| {
                let name = key.name.as_ref().map_or("", KeyName::as_str).to_owned();
                (name, key.key.prefix.to_string(), key.key.mode == keyhouse_token::Mode::Live)
            })
            .collect(),
        member,
        faults,
    };
    Ok(layout::form(&page.faults, &page))
}

pub(super) async fn remove_form(
    State(state): State<AppState>,
    authorized: Authorized<ManageTeam>,
    LastPathParam(id): LastPathParam<PersonId>,
) -> PageResult {
    let member = member(&state, &authorized, id).await?;
    remove_page(&state, &authorized, member, FieldErrors::default()).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<PersonId>,
    AuthorizedForm { who: mut authorized, form }: AuthorizedForm<Authorized<ManageTeam>>,
) -> PageResult {
    let member = member(&state, &authorized, id).await?;
    let revoke_keys = form.get("keys") == "revoke";
    if revoke_keys {
        // It may end live keys.
        authorized.signed_in.reauthenticate(&state, &form).await?;
    }
    match state.app.remove_member(&authorized.permit, id, revoke_keys).await {
        Ok(()) => Ok(see_other(&format!("{}?done=removed", authorized.at(PAGE)))),
        Err(error) => {
            let faults = failed(&state, &authorized, error).await?;
            remove_page(&state, &authorized, member, faults).await
        }
    }
}

#[derive(Template)]
#[template(path = "hand_over.html")]
struct HandOverPage {
    frame: Layout,
    base: String,
    team: String,
    member: Member,
    faults: FieldErrors,
}

fn hand_over_page(authorized: &Authorized<OwnTeam>, member: Member, faults: FieldErrors) -> PageResult {
    let team = authorized.team().name.as_str().to_owned();
    let frame = Layout::of(authorized, &format!("Make {} the owner?", member.name), "members");
    let page = HandOverPage { frame, base: authorized.at(PAGE), team, member, faults };
    Ok(layout::form(&page.faults, &page))
}

pub(super) async fn hand_over_form(
    State(state): State<AppState>,
    authorized: Authorized<OwnTeam>,
    LastPathParam(id): LastPathParam<PersonId>,
) -> PageResult {
    let member = member(&state, &authorized, id).await?;
    hand_over_page(&authorized, member, FieldErrors::default())
}

pub(super) async fn hand_over(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<PersonId>,
    AuthorizedForm { who: mut authorized, form }: AuthorizedForm<Authorized<OwnTeam>>,
) -> PageResult {
    let member = member(&state, &authorized, id).await?;
    authorized.signed_in.reauthenticate(&state, &form).await?;
    match state.app.transfer_ownership(&authorized.permit, id).await {
        Ok(()) => Ok(see_other(&format!("{}?done=handed_over", authorized.at(PAGE)))),
        Err(error) => {
            let faults = failed(&state, &authorized, error).await?;
            hand_over_page(&authorized, member, faults)
        }
    }
}
