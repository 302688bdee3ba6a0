//! One-time links: who gets one, and what it lets them do. Whoever holds one is who it was made for.

use super::App;
use super::passwords::Busy;
use super::sign_in::{Browser, SignInError, Started};
use crate::domain::audit::By;
use crate::domain::ids::{LinkId, PersonId, TeamId};
use crate::domain::password::{Password, PasswordError};
use crate::domain::person::{Email, PersonName};
use crate::domain::role::{Role, TeamAdmin};
use crate::domain::secret::Secret;
use crate::domain::session::{Link, Person, Purpose};
use crate::domain::team::{Team, TeamName, TeamRef};
use crate::store::{Invited, Joining, LinkUsed, NewLink, NewPerson, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    #[error("this person is in the team already")]
    IsMember,
    #[error("the member's role does not allow inviting, or no longer")]
    NotAllowed,
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
    Taken,
    #[error(transparent)]
    Unfit(#[from] PasswordError),
    #[error(transparent)]
    SignIn(#[from] SignInError),
}

impl From<StoreError> for UseLinkError {
    fn from(error: StoreError) -> Self {
        Self::SignIn(error.into())
    }
}

impl From<Busy> for UseLinkError {
    fn from(busy: Busy) -> Self {
        Self::SignIn(busy.into())
    }
}

impl<T> LinkUsed<T> {
    fn done(self) -> Result<T, UseLinkError> {
        match self {
            Self::Done(done) => Ok(done),
            Self::Gone => Err(UseLinkError::Gone),
            Self::Taken => Err(UseLinkError::Taken),
        }
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
    Unproved,
}

impl App {
    /// The link for the first person of an empty Keyhouse, in place of an earlier one. `None`: there is somebody already.
    pub async fn set_up_link(&self) -> Result<Option<Secret>, StoreError> {
        let code = self.secret();
        let stamp = self.stamp(By { person: None, name: "Keyhouse".to_owned() }, "start");
        let new = NewLink { id: LinkId::new(self.ids.seed()), code: code.hash(), purpose: &Purpose::SetUp };
        Ok(self.store.insert_set_up_link(new, &stamp).await?.then_some(code))
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
        self.store.insert_personal_link(person, new, &self.shell_stamp(user)).await?;
        Ok(code)
    }

    /// Invites somebody into the admin's team; an open invitation to the same address ends.
    pub async fn invite(&self, admin: &TeamAdmin, email: &Email, role: Role) -> Result<Secret, InviteError> {
        let code = self.secret();
        let purpose = Purpose::Invite { team: admin.team(), email: email.clone(), role };
        let new = NewLink { id: LinkId::new(self.ids.seed()), code: code.hash(), purpose: &purpose };
        match self.store.insert_invitation(admin, new, &self.stamp_for(admin)).await? {
            Invited::Done => Ok(code),
            Invited::IsMember => Err(InviteError::IsMember),
            Invited::RoleLost => Err(InviteError::NotAllowed),
        }
    }

    /// Takes an invitation back. `false`: it was used, or withdrawn, before.
    pub async fn withdraw_invitation(&self, admin: &TeamAdmin, id: LinkId) -> Result<bool, InviteError> {
        let done = self.store.withdraw_invitation(admin, id, &self.stamp_for(admin)).await?;
        done.ok_or(InviteError::NotAllowed)
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
            Some(_) => Invitee::Unproved,
        })
    }

    /// Makes the first person, their team and their session.
    pub async fn set_up(
        &self,
        code: &Secret,
        (name, email, password): (&PersonName, &Email, &str),
        team: &TeamName,
        browser: Browser<'_>,
    ) -> Result<(Started, Team), UseLinkError> {
        let person = PersonId::new(self.ids.seed());
        let password = choose(password, name, email, Some(team))?;
        self.must_be(code, |purpose| *purpose == Purpose::SetUp).await?;
        let password = self.hash_password(password).await?;
        let new = NewPerson { id: person, email, name, password: &password };
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let by = By { person: Some(person), name: name.as_str().to_owned() };
        let stamp = self.stamp(by, &browser.addr.to_string());
        let team = (TeamId::new(self.ids.seed()), team);
        let team = self.store.set_up(&code.hash(), new, team, &session, &stamp).await?.done()?;
        Ok((Started { secret }, team))
    }

    /// Joins a team as somebody who had no account.
    pub async fn accept_as_new(
        &self,
        code: &Secret,
        email: &Email,
        name: &PersonName,
        password: &str,
        browser: Browser<'_>,
    ) -> Result<(Started, Team), UseLinkError> {
        let password = choose(password, name, email, None)?;
        self.must_be(code, |purpose| matches!(purpose, Purpose::Invite { email: invited, .. } if invited == email))
            .await?;
        let person = PersonId::new(self.ids.seed());
        let password = self.hash_password(password).await?;
        let who = Joining::New(NewPerson { id: person, email, name, password: &password });
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let by = By { person: Some(person), name: name.as_str().to_owned() };
        let stamp = self.stamp(by, &browser.addr.to_string());
        let team = self.store.accept_invitation(&code.hash(), who, Some(&session), &stamp).await?.done()?;
        Ok((Started { secret }, self.joined(team).await?))
    }

    /// Joins a team as somebody with an account, whose password is typed, and begins a session.
    pub async fn accept_by_password(
        &self,
        code: &Secret,
        email: &Email,
        password: &str,
        browser: Browser<'_>,
    ) -> Result<(Started, Team), UseLinkError> {
        let found = self.store.person_by_email(email).await?;
        let (known, _) = self.check_password(&email.canonical(), found, password, browser.addr).await?;
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let stamp = self.personal_stamp(&known.person, browser);
        let who = Joining::Known(known.person.id);
        let team = self.store.accept_invitation(&code.hash(), who, Some(&session), &stamp).await?.done()?;
        Ok((Started { secret }, self.joined(team).await?))
    }

    /// Joins a team as the person who is signed in already.
    pub async fn accept(&self, code: &Secret, person: &Person, browser: Browser<'_>) -> Result<Team, UseLinkError> {
        let stamp = self.personal_stamp(person, browser);
        let who = Joining::Known(person.id);
        let team = self.store.accept_invitation(&code.hash(), who, None, &stamp).await?.done()?;
        self.joined(team).await
    }

    /// Sets a new password: every browser of the person is signed out, and this one gets a session.
    pub async fn reset_password(
        &self,
        code: &Secret,
        person: &Person,
        password: &str,
        browser: Browser<'_>,
    ) -> Result<Started, UseLinkError> {
        let password = choose(password, &person.name, &person.email, None)?;
        self.must_be(code, |purpose| *purpose == Purpose::Reset { person: person.id }).await?;
        let password = self.hash_password(password).await?;
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let stamp = self.personal_stamp(person, browser);
        self.store.reset_password(&code.hash(), &password, &session, &stamp).await?.done()?;
        Ok(Started { secret })
    }

    pub async fn sign_in_by_link(
        &self,
        code: &Secret,
        person: &Person,
        browser: Browser<'_>,
    ) -> Result<Started, UseLinkError> {
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let stamp = self.personal_stamp(person, browser);
        self.store.sign_in_by_link(&code.hash(), &session, &stamp).await?.done()?;
        Ok(Started { secret })
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
    Password::choose(password, &[email.as_str(), email.local_part(), name.as_str(), team])
}
