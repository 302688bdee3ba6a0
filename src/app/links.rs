//! One-time links: bearer credentials for setting up, joining a team, resetting a password and signing in

use super::App;
use super::infra::password_hasher::Overloaded;
use super::sessions::{ClientInfo, SignInError, StartedSession};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::{LinkId, PersonId, TeamId};
use keyhouse_domain::link::{Link, Purpose};
use keyhouse_domain::password::{Password, PasswordError};
use keyhouse_domain::permission::TeamAdmin;
use keyhouse_domain::person::Person;
use keyhouse_domain::person::{Email, EmailLookup, PersonName};
use keyhouse_domain::role::Role;
use keyhouse_domain::secret::Secret;
use keyhouse_domain::team::{Team, TeamName, TeamRef};
use keyhouse_store::{Joining, LinkError, NewLink, NewPerson, SetUpLinkError, StoreError};

pub use keyhouse_store::{InviteError, WithdrawInvitationError};

/// Why a link was not used.
#[derive(Debug, thiserror::Error)]
pub enum UseLinkError {
    /// It was used, withdrawn or has expired, or it is for something else.
    #[error("the link was used or has expired")]
    Gone,
    /// A person with this address exists, or is already in the team.
    #[error("an account with this email address already exists")]
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

impl From<LinkError> for UseLinkError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Gone => Self::Gone,
            LinkError::AlreadyExists => Self::AlreadyExists,
            LinkError::Store(error) => error.into(),
        }
    }
}

/// How an invitation can be accepted: it depends on who has its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invitee {
    /// No person has the address: a new one chooses a name and a password.
    New,
    /// A person who has a password and must enter it.
    Known(Person),
    /// A person who has not chosen a password yet. The inviting admin has seen the invitation's link, so it must not be enough
    /// to choose one: the person needs a link that was created on the server's command line.
    NoPasswordSet,
}

impl App {
    /// Creates the link by which the first person of an empty Keyhouse sets it up, in place of an earlier one. `None` if there
    /// is a person already.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn set_up_link(&self) -> Result<Option<Secret>, StoreError> {
        let code = self.secret();
        let context = self.context(AuditActor { person: None, name: "Keyhouse".to_owned() }, "start");
        let new = NewLink { id: LinkId::new(self.ids.seed()), code: code.hash(), purpose: &Purpose::SetUp };
        match self.store.create_set_up_link(new, &context).await {
            Ok(()) => Ok(Some(code)),
            Err(SetUpLinkError::AlreadySetUp) => Ok(None),
            Err(SetUpLinkError::Store(error)) => Err(error),
        }
    }

    /// Creates a password-reset link and ends all sessions of its person, from the command line. `None` if no person has
    /// this address.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn reset_link(
        &self,
        user: &str,
        email: impl Into<EmailLookup>,
    ) -> Result<Option<(Person, Secret)>, StoreError> {
        let Some(found) = self.queries().person_by_email(email).await? else { return Ok(None) };
        let purpose = Purpose::Reset { person: found.person.id };
        let code = self.personal_link(user, &purpose, found.person.id).await?;
        Ok(Some((found.person, code)))
    }

    /// Creates a sign-in link, from the command line; for a person without a password, a password-reset link. `None` if no
    /// person has this address.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn entry_link(&self, user: &str, email: &Email) -> Result<Option<Secret>, StoreError> {
        let Some(found) = self.queries().person_by_email(email).await? else { return Ok(None) };
        let person = found.person.id;
        let purpose = if found.person.has_password { Purpose::SignIn { person } } else { Purpose::Reset { person } };
        self.personal_link(user, &purpose, person).await.map(Some)
    }

    /// Creates a sign-in link, also for a person without a password: for sample data. `None` if no person has this address.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn sign_in_link(&self, user: &str, email: &Email) -> Result<Option<Secret>, StoreError> {
        let Some(found) = self.queries().person_by_email(email).await? else { return Ok(None) };
        let person = found.person.id;
        self.personal_link(user, &Purpose::SignIn { person }, person).await.map(Some)
    }

    async fn personal_link(&self, user: &str, purpose: &Purpose, person: PersonId) -> Result<Secret, StoreError> {
        let code = self.secret();
        let new = NewLink { id: LinkId::new(self.ids.seed()), code: code.hash(), purpose };
        self.store.create_personal_link(person, new, &self.shell_context(user)).await?;
        Ok(code)
    }

    /// Creates an invitation to the admin's team, in place of one to the same address.
    ///
    /// # Errors
    ///
    /// See [`InviteError`].
    pub async fn invite(&self, admin: &TeamAdmin, email: &Email, role: Role) -> Result<Secret, InviteError> {
        let code = self.secret();
        let purpose = Purpose::Invite { team: admin.team(), email: email.clone(), role };
        let new = NewLink { id: LinkId::new(self.ids.seed()), code: code.hash(), purpose: &purpose };
        self.store.create_invitation(admin, new, &self.audit_context(admin)).await?;
        Ok(code)
    }

    /// Withdraws an invitation.
    ///
    /// # Errors
    ///
    /// See [`WithdrawInvitationError`].
    pub async fn withdraw_invitation(&self, admin: &TeamAdmin, id: LinkId) -> Result<(), WithdrawInvitationError> {
        self.store.withdraw_invitation(admin, id, &self.audit_context(admin)).await
    }

    /// Makes the link of an invitation that was withdrawn work again.
    ///
    /// # Errors
    ///
    /// See [`WithdrawInvitationError`].
    pub async fn restore_invitation(&self, admin: &TeamAdmin, id: LinkId) -> Result<(), WithdrawInvitationError> {
        self.store.restore_invitation(admin, id, &self.audit_context(admin)).await
    }

    /// A team's open invitations, newest first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn invitations_of(&self, team: &Team) -> Result<Vec<Link>, StoreError> {
        self.queries().invitations(team.id, self.clock.now()).await
    }

    /// The link with this code, if it can still be used.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn link(&self, code: &Secret) -> Result<Option<Link>, StoreError> {
        self.queries().link(&code.hash(), self.clock.now()).await
    }

    /// A person by id.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn person(&self, id: PersonId) -> Result<Option<Person>, StoreError> {
        Ok(self.queries().person(id).await?.map(|found| found.person))
    }

    /// How an invitation to this address can be accepted.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn invitee(&self, email: &Email) -> Result<Invitee, StoreError> {
        Ok(match self.queries().person_by_email(email).await? {
            None => Invitee::New,
            Some(found) if found.person.has_password => Invitee::Known(found.person),
            Some(_) => Invitee::NoPasswordSet,
        })
    }

    /// Creates the first person, their team and their session.
    ///
    /// # Errors
    ///
    /// See [`UseLinkError`].
    pub async fn set_up(
        &self,
        code: &Secret,
        (name, email, password): (&PersonName, &Email, &str),
        team: &TeamName,
        browser: ClientInfo<'_>,
    ) -> Result<(StartedSession, Team), UseLinkError> {
        let person = PersonId::new(self.ids.seed());
        let password = choose(password, name, email, Some(team))?;
        self.check_purpose(code, |purpose| *purpose == Purpose::SetUp).await?;
        let password = self.hash_password(password).await?;
        let new = NewPerson { id: person, email, name, password: &password };
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let by = AuditActor { person: Some(person), name: name.as_str().to_owned() };
        let context = self.context(by, &browser.addr.to_string());
        let team = (TeamId::new(self.ids.seed()), team);
        let team = self.store.set_up(&code.hash(), new, team, &session, &context).await?;
        Ok((StartedSession { secret }, team))
    }

    /// Creates a person who joins the invitation's team, and begins a session.
    ///
    /// # Errors
    ///
    /// See [`UseLinkError`].
    pub async fn accept_as_new(
        &self,
        code: &Secret,
        email: &Email,
        name: &PersonName,
        password: &str,
        browser: ClientInfo<'_>,
    ) -> Result<(StartedSession, Team), UseLinkError> {
        let password = choose(password, name, email, None)?;
        self.check_purpose(
            code,
            |purpose| matches!(purpose, Purpose::Invite { email: invited, .. } if invited == email),
        )
        .await?;
        let person = PersonId::new(self.ids.seed());
        let password = self.hash_password(password).await?;
        let who = Joining::New(NewPerson { id: person, email, name, password: &password });
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let by = AuditActor { person: Some(person), name: name.as_str().to_owned() };
        let context = self.context(by, &browser.addr.to_string());
        let team = self.store.accept_invitation(&code.hash(), who, Some(&session), &context).await?;
        Ok((StartedSession { secret }, self.joined(team).await?))
    }

    /// Joins the invitation's team as an existing person by their password, and begins a session.
    ///
    /// # Errors
    ///
    /// See [`UseLinkError`].
    pub async fn accept_by_password(
        &self,
        code: &Secret,
        email: &Email,
        password: &str,
        browser: ClientInfo<'_>,
    ) -> Result<(StartedSession, Team), UseLinkError> {
        let found = self.queries().person_by_email(email).await?;
        let (known, _) = self.check_password(email.canonical(), found, password, browser.addr).await?;
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let context = self.personal_context(&known.person, browser);
        let who = Joining::Known(known.person.id);
        let team = self.store.accept_invitation(&code.hash(), who, Some(&session), &context).await?;
        Ok((StartedSession { secret }, self.joined(team).await?))
    }

    /// Joins the invitation's team as the person who is signed in.
    ///
    /// # Errors
    ///
    /// See [`UseLinkError`].
    pub async fn accept(&self, code: &Secret, person: &Person, browser: ClientInfo<'_>) -> Result<Team, UseLinkError> {
        let context = self.personal_context(person, browser);
        let who = Joining::Known(person.id);
        let team = self.store.accept_invitation(&code.hash(), who, None, &context).await?;
        self.joined(team).await
    }

    /// Sets a new password, ends every session of the person, and begins one.
    ///
    /// # Errors
    ///
    /// See [`UseLinkError`].
    pub async fn reset_password(
        &self,
        code: &Secret,
        person: &Person,
        password: &str,
        browser: ClientInfo<'_>,
    ) -> Result<StartedSession, UseLinkError> {
        let password = choose(password, &person.name, &person.email, None)?;
        self.check_purpose(code, |purpose| *purpose == Purpose::Reset { person: person.id }).await?;
        let password = self.hash_password(password).await?;
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let context = self.personal_context(person, browser);
        self.store.reset_password(&code.hash(), &password, &session, &context).await?;
        Ok(StartedSession { secret })
    }

    /// Begins a session by a sign-in link.
    ///
    /// # Errors
    ///
    /// See [`UseLinkError`].
    pub async fn sign_in_by_link(
        &self,
        code: &Secret,
        person: &Person,
        browser: ClientInfo<'_>,
    ) -> Result<StartedSession, UseLinkError> {
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let context = self.personal_context(person, browser);
        self.store.sign_in_by_link(&code.hash(), &session, &context).await?;
        Ok(StartedSession { secret })
    }

    /// Checks the link before a password is hashed: a made-up code must not cost an Argon2 hash.
    async fn check_purpose(&self, code: &Secret, fits: impl Fn(&Purpose) -> bool) -> Result<(), UseLinkError> {
        let link = self.link(code).await?;
        if link.is_some_and(|link| fits(&link.purpose)) { Ok(()) } else { Err(UseLinkError::Gone) }
    }

    async fn joined(&self, team: TeamId) -> Result<Team, UseLinkError> {
        self.queries().team(&TeamRef::Id(team)).await?.ok_or(UseLinkError::Gone)
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
