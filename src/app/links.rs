//! One-time links: who gets one, and what it lets them do. Whoever holds one is who it was made for.

use super::App;
use super::infra::password_hasher::Overloaded;
use super::sessions::{ClientInfo, SignInError, StartedSession};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::{LinkId, PersonId, TeamId};
use keyhouse_domain::link::{Link, Purpose};
use keyhouse_domain::password::{Password, PasswordError};
use keyhouse_domain::permission::TeamAdmin;
use keyhouse_domain::person::Person;
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::role::Role;
use keyhouse_domain::secret::Secret;
use keyhouse_domain::team::{Team, TeamName, TeamRef};
use keyhouse_store::{Invited, Joining, LinkUsed, NewLink, NewPerson, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    #[error("this person is in the team already")]
    IsMember,
    #[error("the member's role does not allow inviting, or no longer")]
    Forbidden,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum UseLinkError {
    /// Used, withdrawn, run out, or for something else.
    #[error("the link has been used or has run out")]
    Gone,
    /// Somebody with this address has an account, or is in the team.
    #[error("there is an account with this address already")]
    AlreadyExists,
    #[error(transparent)]
    InvalidPassword(#[from] PasswordError),
    #[error(transparent)]
    SignIn(#[from] SignInError),
}

impl From<StoreError> for UseLinkError {
    fn from(error: StoreError) -> Self {
        Self::SignIn(error.into())
    }
}

impl From<Overloaded> for UseLinkError {
    fn from(busy: Overloaded) -> Self {
        Self::SignIn(busy.into())
    }
}

fn done<T>(used: LinkUsed<T>) -> Result<T, UseLinkError> {
    match used {
        LinkUsed::Done(done) => Ok(done),
        LinkUsed::Gone => Err(UseLinkError::Gone),
        LinkUsed::Taken => Err(UseLinkError::AlreadyExists),
    }
}

/// How an invitation can be accepted: that depends on who has the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invitee {
    /// Nobody: they choose a name and a password.
    New,
    /// A person with a password, which they must know.
    Known(Person),
    /// A person who has not chosen a password yet. Whoever invites them holds the invitation's link too, and must not
    /// become them by it: they need a link from whoever runs the server.
    NoPasswordSet,
}

impl App {
    /// The link for the first person of an empty Keyhouse, in place of an earlier one. `None`: there is somebody already.
    pub async fn set_up_link(&self) -> Result<Option<Secret>, StoreError> {
        let code = self.secret();
        let context = self.context(AuditActor { person: None, name: "Keyhouse".to_owned() }, "start");
        let new = NewLink { id: LinkId::new(self.ids.seed()), code: code.hash(), purpose: &Purpose::SetUp };
        Ok(self.store.insert_set_up_link(new, &context).await?.then_some(code))
    }

    /// A link by which a person chooses a new password, from the machine's shell. `None`: nobody has this address.
    pub async fn reset_link(&self, user: &str, email: &Email) -> Result<Option<(Person, Secret)>, StoreError> {
        let Some(found) = self.store.person_by_email(email).await? else { return Ok(None) };
        let purpose = Purpose::Reset { person: found.person.id };
        let code = self.personal_link(user, &purpose, found.person.id).await?;
        Ok(Some((found.person, code)))
    }

    /// A link by which a person signs in, from the machine's shell; or, without a password yet, chooses one.
    pub async fn entry_link(&self, user: &str, email: &Email) -> Result<Option<Secret>, StoreError> {
        let Some(found) = self.store.person_by_email(email).await? else { return Ok(None) };
        let person = found.person.id;
        let purpose = if found.person.has_password { Purpose::SignIn { person } } else { Purpose::Reset { person } };
        self.personal_link(user, &purpose, person).await.map(Some)
    }

    /// A link by which a person signs in, password or not: for samples.
    pub async fn sign_in_link(&self, user: &str, email: &Email) -> Result<Option<Secret>, StoreError> {
        let Some(found) = self.store.person_by_email(email).await? else { return Ok(None) };
        let person = found.person.id;
        self.personal_link(user, &Purpose::SignIn { person }, person).await.map(Some)
    }

    async fn personal_link(&self, user: &str, purpose: &Purpose, person: PersonId) -> Result<Secret, StoreError> {
        let code = self.secret();
        let new = NewLink { id: LinkId::new(self.ids.seed()), code: code.hash(), purpose };
        self.store.insert_personal_link(person, new, &self.shell_context(user)).await?;
        Ok(code)
    }

    /// Invites somebody into the admin's team; an open invitation to the same address ends.
    pub async fn invite(&self, admin: &TeamAdmin, email: &Email, role: Role) -> Result<Secret, InviteError> {
        let code = self.secret();
        let purpose = Purpose::Invite { team: admin.team(), email: email.clone(), role };
        let new = NewLink { id: LinkId::new(self.ids.seed()), code: code.hash(), purpose: &purpose };
        match self.store.insert_invitation(admin, new, &self.audit_context(admin)).await? {
            Invited::Done => Ok(code),
            Invited::IsMember => Err(InviteError::IsMember),
            Invited::Forbidden => Err(InviteError::Forbidden),
        }
    }

    /// Takes an invitation back. `false`: it was used, or withdrawn, before.
    pub async fn withdraw_invitation(&self, admin: &TeamAdmin, id: LinkId) -> Result<bool, InviteError> {
        let done = self.store.withdraw_invitation(admin, id, &self.audit_context(admin)).await?;
        done.ok_or(InviteError::Forbidden)
    }

    pub async fn invitations_of(&self, team: &Team) -> Result<Vec<Link>, StoreError> {
        self.store.invitations(team.id, self.clock.now()).await
    }

    /// The link of a code, if it can still be used.
    pub async fn link(&self, code: &Secret) -> Result<Option<Link>, StoreError> {
        self.store.link(&code.hash(), self.clock.now()).await
    }

    pub async fn person(&self, id: PersonId) -> Result<Option<Person>, StoreError> {
        Ok(self.store.person(id).await?.map(|found| found.person))
    }

    pub async fn invitee(&self, email: &Email) -> Result<Invitee, StoreError> {
        Ok(match self.store.person_by_email(email).await? {
            None => Invitee::New,
            Some(found) if found.person.has_password => Invitee::Known(found.person),
            Some(_) => Invitee::NoPasswordSet,
        })
    }

    /// Makes the first person, their team and their session.
    pub async fn set_up(
        &self,
        code: &Secret,
        (name, email, password): (&PersonName, &Email, &str),
        team: &TeamName,
        browser: ClientInfo<'_>,
    ) -> Result<(StartedSession, Team), UseLinkError> {
        let person = PersonId::new(self.ids.seed());
        let password = choose(password, name, email, Some(team))?;
        self.must_be(code, |purpose| *purpose == Purpose::SetUp).await?;
        let password = self.hash_password(password).await?;
        let new = NewPerson { id: person, email, name, password: &password };
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let by = AuditActor { person: Some(person), name: name.as_str().to_owned() };
        let context = self.context(by, &browser.addr.to_string());
        let team = (TeamId::new(self.ids.seed()), team);
        let team = done(self.store.set_up(&code.hash(), new, team, &session, &context).await?)?;
        Ok((StartedSession { secret }, team))
    }

    /// Joins a team as somebody who had no account.
    pub async fn accept_as_new(
        &self,
        code: &Secret,
        email: &Email,
        name: &PersonName,
        password: &str,
        browser: ClientInfo<'_>,
    ) -> Result<(StartedSession, Team), UseLinkError> {
        let password = choose(password, name, email, None)?;
        self.must_be(code, |purpose| matches!(purpose, Purpose::Invite { email: invited, .. } if invited == email))
            .await?;
        let person = PersonId::new(self.ids.seed());
        let password = self.hash_password(password).await?;
        let who = Joining::New(NewPerson { id: person, email, name, password: &password });
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let by = AuditActor { person: Some(person), name: name.as_str().to_owned() };
        let context = self.context(by, &browser.addr.to_string());
        let team = done(self.store.accept_invitation(&code.hash(), who, Some(&session), &context).await?)?;
        Ok((StartedSession { secret }, self.joined(team).await?))
    }

    /// Joins a team as somebody with an account, whose password is typed, and begins a session.
    pub async fn accept_by_password(
        &self,
        code: &Secret,
        email: &Email,
        password: &str,
        browser: ClientInfo<'_>,
    ) -> Result<(StartedSession, Team), UseLinkError> {
        let found = self.store.person_by_email(email).await?;
        let (known, _) = self.check_password(&email.canonical(), found, password, browser.addr).await?;
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let context = self.personal_context(&known.person, browser);
        let who = Joining::Known(known.person.id);
        let team = done(self.store.accept_invitation(&code.hash(), who, Some(&session), &context).await?)?;
        Ok((StartedSession { secret }, self.joined(team).await?))
    }

    /// Joins a team as the person who is signed in already.
    pub async fn accept(&self, code: &Secret, person: &Person, browser: ClientInfo<'_>) -> Result<Team, UseLinkError> {
        let context = self.personal_context(person, browser);
        let who = Joining::Known(person.id);
        let team = done(self.store.accept_invitation(&code.hash(), who, None, &context).await?)?;
        self.joined(team).await
    }

    /// Sets a new password: every browser of the person is signed out, and this one gets a session.
    pub async fn reset_password(
        &self,
        code: &Secret,
        person: &Person,
        password: &str,
        browser: ClientInfo<'_>,
    ) -> Result<StartedSession, UseLinkError> {
        let password = choose(password, &person.name, &person.email, None)?;
        self.must_be(code, |purpose| *purpose == Purpose::Reset { person: person.id }).await?;
        let password = self.hash_password(password).await?;
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let context = self.personal_context(person, browser);
        done(self.store.reset_password(&code.hash(), &password, &session, &context).await?)?;
        Ok(StartedSession { secret })
    }

    pub async fn sign_in_by_link(
        &self,
        code: &Secret,
        person: &Person,
        browser: ClientInfo<'_>,
    ) -> Result<StartedSession, UseLinkError> {
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let context = self.personal_context(person, browser);
        done(self.store.sign_in_by_link(&code.hash(), &session, &context).await?)?;
        Ok(StartedSession { secret })
    }

    /// Looked at before a password is hashed: made-up codes must not cost that.
    async fn must_be(&self, code: &Secret, fits: impl Fn(&Purpose) -> bool) -> Result<(), UseLinkError> {
        let link = self.link(code).await?;
        if link.is_some_and(|link| fits(&link.purpose)) { Ok(()) } else { Err(UseLinkError::Gone) }
    }

    async fn joined(&self, team: TeamId) -> Result<Team, UseLinkError> {
        self.store.team(&TeamRef::Id(team)).await?.ok_or(UseLinkError::Gone)
    }
}

fn choose(
    password: &str,
    name: &PersonName,
    email: &Email,
    team: Option<&TeamName>,
) -> Result<Password, PasswordError> {
    let team = team.map_or("", TeamName::as_str);
    Password::validate_new(password, &[email.as_str(), email.local_part(), name.as_str(), team])
}
