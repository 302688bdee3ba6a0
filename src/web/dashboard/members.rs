//! Settings → Members: invite, change roles, remove, hand the team over.

use askama::Template;
use axum::extract::State;

use super::form::Faults;
use super::halt::{Answer, Halt, see_other};
use super::pages::{self, Frame, Moment, address, ok};
use super::visitor::{Holds, Posted, Rest};
use crate::app::links::InviteError;
use crate::app::members::ChangeMemberError;
use crate::domain::ids::{LinkId, PersonId};
use crate::domain::key::KeyName;
use crate::domain::person::Email;
use crate::domain::role::{ManageTeam, OwnTeam, Role};
use crate::domain::session::{Link, Purpose};
use crate::domain::team::Member;
use crate::web::extract::Query;
use crate::web::{Web, assets};

const PAGE: &str = "/settings/members";
/// Members on one page.
const ROWS: usize = 50;

struct Row {
    id: String,
    name: String,
    email: String,
    role: Role,
    joined: Moment,
    is_me: bool,
}

struct Invitation {
    id: String,
    email: String,
    role: &'static str,
    made_by: String,
    until: Moment,
}

#[derive(Template)]
#[template(path = "members.html")]
struct MembersPage<'a> {
    frame: Frame,
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

pub async fn list(State(web): State<Web>, holds: Holds<ManageTeam>, query: Query) -> Answer {
    let now = web.app.clock().now();
    let (search, after) = (query.text("q"), Email::parse(query.text("after")).ok());
    let mut members = web.app.members_page(holds.team(), search, after.as_ref(), ROWS as u32 + 1).await?;
    let more = members.len() > ROWS;
    members.truncate(ROWS);
    let next = members
        .last()
        .filter(|_| more)
        .map(|last| address(&holds.at(PAGE), [("q", search), ("after", last.email.as_str())]));
    let is_first = after.is_none();
    let invitations = if is_first { web.app.invitations_of(holds.team()).await? } else { Vec::new() };
    let done = match query.text("done") {
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
        joined: Moment::past(member.joined_at, now),
        is_me: member.person == holds.seat.person.id,
        name: member.name,
    };
    let invitation = |link: Link| match link.purpose {
        Purpose::Invite { email, role, .. } => Some(Invitation {
            id: link.id.to_string(),
            email: email.to_string(),
            role: role.label(),
            made_by: link.made_by,
            until: Moment::future(link.expires_at, now),
        }),
        _ => None,
    };
    Ok(ok(&MembersPage {
        frame: Frame::of(&holds, "Members", "members").saying(done),
        base: holds.at(PAGE),
        settings: holds.at("/settings"),
        search,
        rows: members.into_iter().map(row).collect(),
        invitations: invitations.into_iter().filter_map(invitation).collect(),
        count: web.app.member_count(holds.team()).await?,
        next,
        is_first,
        owns: holds.seat.role == Role::Owner,
    }))
}

#[derive(Template)]
#[template(path = "invite.html")]
struct InvitePage<'a> {
    frame: Frame,
    base: String,
    email: &'a str,
    role: &'static str,
    faults: Faults,
}

impl InvitePage<'_> {
    fn chosen(&self, role: &str) -> bool {
        self.role == role
    }
}

fn invite_page(holds: &Holds<ManageTeam>, email: &str, role: Option<Role>, faults: Faults) -> Answer {
    let (frame, role) = (Frame::of(holds, "Invite", "members"), role.map_or("", Role::as_str));
    let page = InvitePage { frame, base: holds.at(PAGE), email, role, faults };
    Ok(pages::form(&page.faults, &page))
}

pub async fn invite_form(holds: Holds<ManageTeam>, query: Query) -> Answer {
    invite_page(&holds, query.text("email"), Role::parse_given(query.text("role")), Faults::default())
}

#[derive(Template)]
#[template(path = "invited.html")]
struct InvitedPage {
    frame: Frame,
    base: String,
    email: String,
    role: &'static str,
    link: String,
}

pub async fn invite(State(web): State<Web>, Posted { who: holds, form }: Posted<Holds<ManageTeam>>) -> Answer {
    let mut faults = Faults::default();
    let email = faults.check("email", Email::parse(form.get("email")));
    let role = Role::parse_given(form.get("role"));
    if role.is_none() {
        faults.add("role", "Choose what they may do");
    }
    let (Some(email), Some(role)) = (email, role) else {
        return invite_page(&holds, form.get("email"), role, faults);
    };
    match web.app.invite(&holds.permit, &email, role).await {
        Ok(code) => Ok(ok(&InvitedPage {
            frame: Frame::of(&holds, "Invited", "members"),
            base: holds.at(PAGE),
            email: email.to_string(),
            role: role.label(),
            link: format!("{}/link/{}", holds.signed_in.visitor.reached, code.expose()),
        })),
        Err(InviteError::IsMember) => {
            invite_page(&holds, form.get("email"), Some(role), Faults::one("email", "They are in the team already"))
        }
        Err(InviteError::NotAllowed) => Err(holds.lost(&web).await),
        Err(InviteError::Store(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "withdraw.html")]
struct WithdrawPage {
    frame: Frame,
    base: String,
    settings: String,
    id: String,
    email: String,
}

pub async fn withdraw_form(State(web): State<Web>, holds: Holds<ManageTeam>, Rest(id): Rest<LinkId>) -> Answer {
    let invitations = web.app.invitations_of(holds.team()).await?;
    let found = invitations.into_iter().find(|link| link.id == id).ok_or_else(Halt::absent)?;
    let Purpose::Invite { email, .. } = found.purpose else { return Err(Halt::absent()) };
    let frame = Frame::of(&holds, &format!("Withdraw the invitation of {email}?"), "members");
    Ok(ok(&WithdrawPage {
        frame,
        base: holds.at(PAGE),
        settings: holds.at("/settings"),
        id: id.to_string(),
        email: email.to_string(),
    }))
}

pub async fn withdraw(
    State(web): State<Web>,
    Rest(id): Rest<LinkId>,
    Posted { who: holds, .. }: Posted<Holds<ManageTeam>>,
) -> Answer {
    match web.app.withdraw_invitation(&holds.permit, id).await {
        Ok(true) => Ok(see_other(&format!("{}?done=withdrawn", holds.at(PAGE)))),
        Ok(false) => Err(Halt::absent()),
        Err(InviteError::IsMember | InviteError::NotAllowed) => Err(holds.lost(&web).await),
        Err(InviteError::Store(error)) => Err(error.into()),
    }
}

/// A deed on a member that failed: the page again, or what stands in for it.
async fn failed<R>(web: &Web, holds: &Holds<R>, error: ChangeMemberError) -> Result<Faults, Halt> {
    match error {
        ChangeMemberError::NoSuchMember => Err(Halt::absent()),
        ChangeMemberError::NotAllowed => Err(holds.lost(web).await),
        ChangeMemberError::IsOwner => {
            Ok(Faults::one("member", "This is the owner: the team must be handed over first"))
        }
        ChangeMemberError::Store(error) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "member_role.html")]
struct RolePage {
    frame: Frame,
    base: String,
    member: Member,
    role: Role,
    is_me: bool,
    faults: Faults,
}

async fn member<R>(web: &Web, holds: &Holds<R>, id: PersonId) -> Result<Member, Halt> {
    web.app.member(holds.team(), id).await?.ok_or_else(Halt::absent)
}

fn role_page(holds: &Holds<ManageTeam>, member: Member, role: Role, faults: Faults) -> Answer {
    let page = RolePage {
        frame: Frame::of(holds, &format!("Role of {}", member.name), "members"),
        base: holds.at(PAGE),
        is_me: member.person == holds.seat.person.id,
        member,
        role,
        faults,
    };
    Ok(pages::form(&page.faults, &page))
}

pub async fn role_form(
    State(web): State<Web>,
    holds: Holds<ManageTeam>,
    Rest(id): Rest<PersonId>,
    query: Query,
) -> Answer {
    let member = member(&web, &holds, id).await?;
    let role = Role::parse_given(query.text("role")).unwrap_or(member.role);
    role_page(&holds, member, role, Faults::default())
}

pub async fn change_role(
    State(web): State<Web>,
    Rest(id): Rest<PersonId>,
    Posted { who: holds, form }: Posted<Holds<ManageTeam>>,
) -> Answer {
    let member = member(&web, &holds, id).await?;
    let Some(role) = Role::parse_given(form.get("role")) else {
        let role = member.role;
        return role_page(&holds, member, role, Faults::one("role", "Choose a role"));
    };
    match web.app.change_role(&holds.permit, id, role).await {
        Ok(()) => Ok(see_other(&format!("{}?done=role", holds.at(PAGE)))),
        Err(error) => {
            let faults = failed(&web, &holds, error).await?;
            role_page(&holds, member, role, faults)
        }
    }
}

#[derive(Template)]
#[template(path = "member_remove.html")]
struct RemovePage {
    frame: Frame,
    base: String,
    member: Member,
    /// Name, prefix, and whether it is live: the active keys they made.
    keys: Vec<(String, String, bool)>,
    faults: Faults,
}

async fn remove_page(web: &Web, holds: &Holds<ManageTeam>, member: Member, faults: Faults) -> Answer {
    let keys = web.app.keys_of(holds.team()).await?;
    let theirs = keys.iter().filter(|key| key.key.is_active() && key.creator.person == Some(member.person));
    let page = RemovePage {
        frame: Frame::of(holds, &format!("Remove {}?", member.name), "members"),
        base: holds.at(PAGE),
        keys: theirs
            .map(|key| {
                let name = key.name.as_ref().map_or("", KeyName::as_str).to_owned();
                (name, key.key.prefix.to_string(), key.key.mode == crate::domain::key::Mode::Live)
            })
            .collect(),
        member,
        faults,
    };
    Ok(pages::form(&page.faults, &page))
}

pub async fn remove_form(State(web): State<Web>, holds: Holds<ManageTeam>, Rest(id): Rest<PersonId>) -> Answer {
    let member = member(&web, &holds, id).await?;
    remove_page(&web, &holds, member, Faults::default()).await
}

pub async fn remove(
    State(web): State<Web>,
    Rest(id): Rest<PersonId>,
    Posted { who: mut holds, form }: Posted<Holds<ManageTeam>>,
) -> Answer {
    let member = member(&web, &holds, id).await?;
    let revoke_keys = form.get("keys") == "revoke";
    if revoke_keys {
        // It may end live keys.
        holds.signed_in.prove(&web, &form).await?;
    }
    match web.app.remove_member(&holds.permit, id, revoke_keys).await {
        Ok(()) => Ok(see_other(&format!("{}?done=removed", holds.at(PAGE)))),
        Err(error) => {
            let faults = failed(&web, &holds, error).await?;
            remove_page(&web, &holds, member, faults).await
        }
    }
}

#[derive(Template)]
#[template(path = "hand_over.html")]
struct HandOverPage {
    frame: Frame,
    base: String,
    team: String,
    member: Member,
    faults: Faults,
}

fn hand_over_page(holds: &Holds<OwnTeam>, member: Member, faults: Faults) -> Answer {
    let team = holds.team().name.as_str().to_owned();
    let frame = Frame::of(holds, &format!("Make {} the owner?", member.name), "members");
    let page = HandOverPage { frame, base: holds.at(PAGE), team, member, faults };
    Ok(pages::form(&page.faults, &page))
}

pub async fn hand_over_form(State(web): State<Web>, holds: Holds<OwnTeam>, Rest(id): Rest<PersonId>) -> Answer {
    let member = member(&web, &holds, id).await?;
    hand_over_page(&holds, member, Faults::default())
}

pub async fn hand_over(
    State(web): State<Web>,
    Rest(id): Rest<PersonId>,
    Posted { who: mut holds, form }: Posted<Holds<OwnTeam>>,
) -> Answer {
    let member = member(&web, &holds, id).await?;
    holds.signed_in.prove(&web, &form).await?;
    match web.app.hand_over_team(&holds.permit, id).await {
        Ok(()) => Ok(see_other(&format!("{}?done=handed_over", holds.at(PAGE)))),
        Err(error) => {
            let faults = failed(&web, &holds, error).await?;
            hand_over_page(&holds, member, faults)
        }
    }
}
