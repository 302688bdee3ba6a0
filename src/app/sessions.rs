//! Browser sessions: sign in, re-authenticate, sign out; and a person's password and profile

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use super::App;
use super::infra::password_hasher::Caller;
pub use super::infra::password_hasher::Overloaded;
use super::rate_limit::login::Guesser;
use super::rate_limit::network;
use keyhouse_domain::audit::{AuditActor, AuditContext};
use keyhouse_domain::ids::{PersonId, SessionId};
use keyhouse_domain::password::{Password, PasswordError, PasswordHash};
use keyhouse_domain::person::Person;
use keyhouse_domain::person::{Email, EmailLookup, PersonName};
use keyhouse_domain::rate_limit::RateLimit;
use keyhouse_domain::secret::Secret;
use keyhouse_domain::session::{ABSOLUTE_TIMEOUT, Session};
use keyhouse_store::{Credentials, NewSession, PasswordCheckError, StoreError};

pub use keyhouse_store::ChangeProfileError;

/// How far a session's recorded last use may lag: one write per session and minute.
const SEEN_LAG: Duration = Duration::from_secs(60);

/// Calls of unsafe methods that a session may make in a minute.
static UNSAFE_CALLS: LazyLock<RateLimit> =
    LazyLock::new(|| RateLimit::new(60, Duration::from_secs(60)).expect("60 in 60 s is a limit"));

/// The client of a request.
#[derive(Debug, Clone, Copy)]
pub struct ClientInfo<'a> {
    pub addr: IpAddr,
    /// A short name of the browser, from its `User-Agent`.
    pub name: &'a str,
}

/// A new session. Its secret is sent in a cookie and stored only as a hash.
#[derive(Debug)]
pub struct StartedSession {
    pub secret: Secret,
}

#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No such person, no password yet, or a wrong password. One error and one response time for all, so that neither shows
    /// which addresses have an account.
    #[error("the address or the password is wrong")]
    InvalidCredentials,
    #[error("too many wrong passwords; wait {0} seconds")]
    RateLimited(u64),
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PasswordCheckError> for SignInError {
    fn from(error: PasswordCheckError) -> Self {
        match error {
            // The password was changed after this one was verified: the old one was entered.
            PasswordCheckError::PasswordChanged => Self::InvalidCredentials,
            PasswordCheckError::Store(error) => Self::Store(error),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    #[error(transparent)]
    Unfit(#[from] PasswordError),
    #[error(transparent)]
    SignIn(#[from] SignInError),
}

impl From<Overloaded> for ChangePasswordError {
    fn from(busy: Overloaded) -> Self {
        Self::SignIn(busy.into())
    }
}

impl From<StoreError> for ChangePasswordError {
    fn from(error: StoreError) -> Self {
        Self::SignIn(error.into())
    }
}

impl App {
    /// Begins a session by e-mail address and password.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        browser: ClientInfo<'_>,
    ) -> Result<StartedSession, SignInError> {
        // A text that is not an address matches no person, but it is counted and takes as long.
        let email = EmailLookup::from_input(email);
        let found = self.queries().person_by_email(&email).await?;
        let (credentials, stored) = self.check_password(email.canonical(), found, password, browser.addr).await?;
        let budget = self.login_throttle.count_sign_in(credentials.person.id, self.clock.now());
        budget.map_err(SignInError::RateLimited)?;
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let context = self.personal_context(&credentials.person, browser);
        self.store.sign_in(credentials.person.id, &stored, &session, &context).await?;
        Ok(StartedSession { secret })
    }

    /// Verifies a person's password, within the login throttle. A failure is recorded in the audit logs of their teams.
    pub(crate) async fn check_password(
        &self,
        account: &str,
        found: Option<Credentials>,
        typed: &str,
        addr: IpAddr,
    ) -> Result<(Credentials, PasswordHash), SignInError> {
        let now = self.clock.now();
        // Queried for an unknown address too, so that the response takes the same time.
        let person = found.as_ref().map_or_else(|| PersonId::new(self.ids.seed()), |found| found.person.id);
        let known = self.queries().client_ips_of(person, now.minus(ABSOLUTE_TIMEOUT)).await?;
        let is_near = |ip: &String| ip.parse().is_ok_and(|ip: IpAddr| network(ip) == network(addr));
        let guesser = Guesser::Browser { addr, is_known: known.iter().any(is_near) };
        self.verify_password(account, guesser, found, typed, addr).await
    }

    /// Re-authenticates a person with a valid session by their password.
    async fn check_password_again(
        &self,
        person: &Person,
        typed: &str,
        addr: IpAddr,
    ) -> Result<(Credentials, PasswordHash), SignInError> {
        let found = self.queries().person(person.id).await?;
        self.verify_password(person.email.canonical(), Guesser::SignedIn(person.id), found, typed, addr).await
    }

    async fn verify_password(
        &self,
        account: &str,
        guesser: Guesser,
        found: Option<Credentials>,
        typed: &str,
        addr: IpAddr,
    ) -> Result<(Credentials, PasswordHash), SignInError> {
        let attempt =
            self.login_throttle.count(account, guesser, self.clock.now()).map_err(SignInError::RateLimited)?;
        let stored = found.as_ref().and_then(|found| found.password.clone());
        let (typed, began) = (Password::from_input(typed), attempt.began.clone());
        let is_it = self.hasher.verify(typed, stored.clone(), guesser.caller(), began).await?;
        match (is_it, found.zip(stored)) {
            (true, Some(right)) => {
                attempt.succeed();
                Ok(right)
            }
            (_, Some((credentials, _))) => {
                tracing::info!(person = %credentials.person.id, "sign-in failed: wrong password");
                self.note_failed_sign_in(&credentials.person, addr);
                Err(SignInError::InvalidCredentials)
            }
            (_, None) => {
                tracing::info!("sign-in failed: no account with a password has this address");
                Err(SignInError::InvalidCredentials)
            }
        }
    }

    /// Counts a call of an unsafe method against the session's budget of 60 a minute.
    ///
    /// # Errors
    ///
    /// Over the limit: the number of seconds to wait.
    pub(crate) fn count_unsafe_call(&self, session: SessionId) -> Result<(), u64> {
        self.session_calls.count(session, &UNSAFE_CALLS, self.clock.now()).map_or(Ok(()), Err)
    }

    /// Records a failed sign-in in a task of its own: the response time must not show whether the person exists.
    fn note_failed_sign_in(&self, person: &Person, addr: IpAddr) {
        // Without an actor: who typed the password is not known.
        let by = AuditActor { person: None, name: format!("Sign-in attempt for {}", person.email) };
        let (store, id, context) = (self.store.clone(), person.id, self.context(by, &addr.to_string()));
        tokio::spawn(async move {
            if let Err(error) = store.audit_failed_sign_in(id, &context).await {
                tracing::warn!(%error, "a failed sign-in is not in the audit log");
            }
        });
    }

    /// The valid session of a cookie's secret, with its person. Records its use at most once a minute.
    pub async fn session(&self, secret: &Secret) -> Result<Option<(Session, Person)>, StoreError> {
        let now = self.clock.now();
        let found = self.queries().session_by_secret(&secret.hash()).await?;
        let Some((mut session, person)) = found.filter(|(session, _)| session.is_valid(now)) else { return Ok(None) };
        if session.seen_at.plus(SEEN_LAG) <= now {
            // Pages that only read keep working while the database can't be written.
            match self.store.touch_session(session.id, now).await {
                Ok(()) => session.seen_at = now,
                Err(error) => tracing::warn!(%error, "the use of a session is not noted yet"),
            }
        }
        Ok(Some((session, person)))
    }

    /// Whether the session's person has authenticated within the last 15 minutes.
    pub fn is_fresh(&self, session: &Session) -> bool {
        session.is_fresh(self.clock.now())
    }

    /// Re-authenticates the person. The session continues under a new secret.
    pub async fn reauthenticate(
        &self,
        session: &Session,
        person: &Person,
        password: &str,
        browser: ClientInfo<'_>,
    ) -> Result<Secret, SignInError> {
        let (_, stored) = self.check_password_again(person, password, browser.addr).await?;
        let secret = self.secret();
        self.store.mark_reauthenticated(person.id, &stored, session.id, secret.hash(), self.clock.now()).await?;
        Ok(secret)
    }

    pub async fn sessions_of(&self, person: &Person) -> Result<Vec<Session>, StoreError> {
        let now = self.clock.now();
        let mut sessions = self.queries().sessions_of(person.id).await?;
        sessions.retain(|session| session.is_valid(now));
        Ok(sessions)
    }

    /// Ends one of a person's sessions, or all of them.
    pub async fn sign_out(
        &self,
        person: &Person,
        one: Option<SessionId>,
        browser: ClientInfo<'_>,
    ) -> Result<u64, StoreError> {
        self.store.end_sessions(person.id, one, &self.personal_context(person, browser)).await
    }

    /// Sets a new password: ends all of the person's sessions and begins one for this browser.
    pub async fn change_password(
        &self,
        person: &Person,
        old: &str,
        new: &str,
        browser: ClientInfo<'_>,
    ) -> Result<StartedSession, ChangePasswordError> {
        let new =
            Password::validate_new(new, &[person.email.as_str(), person.email.local_part(), person.name.as_str()])?;
        let (_, stored) = self.check_password_again(person, old, browser.addr).await?;
        let new = self.hash_password(new).await?;
        let secret = self.secret();
        let session = self.new_session(&secret, browser);
        let context = self.personal_context(person, browser);
        self.store.change_password(person.id, &stored, &new, &session, &context).await.map_err(SignInError::from)?;
        Ok(StartedSession { secret })
    }

    /// Changes a person's name and stores the address that they ask for. Returns whether the address is pending.
    ///
    /// # Errors
    ///
    /// See [`ChangeProfileError`].
    pub async fn change_profile(
        &self,
        person: &Person,
        name: &PersonName,
        email: &Email,
        browser: ClientInfo<'_>,
    ) -> Result<bool, ChangeProfileError> {
        self.store.change_profile(person.id, name, email, &self.personal_context(person, browser)).await
    }

    /// Deletes sessions and links that have ended; returns how many rows.
    pub async fn purge_sessions_and_links(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let sessions = super::in_batches(|batch| self.store.purge_sessions(now, batch)).await?;
        Ok(sessions + super::in_batches(|batch| self.store.purge_links(now, batch)).await?)
    }

    pub(crate) async fn hash_password(&self, password: Password) -> Result<PasswordHash, Overloaded> {
        let mut salt = [0; 16];
        self.rng.fill_bytes(&mut salt);
        // Setting a password needs a session or a one-time link, so its hash does not count as a stranger's.
        self.hasher.hash(password, salt, Caller::Known).await
    }

    pub(crate) fn new_session<'a>(&self, secret: &Secret, browser: ClientInfo<'a>) -> NewSession<'a> {
        NewSession { id: SessionId::new(self.ids.seed()), secret: secret.hash(), browser: browser.name }
    }

    pub(crate) fn personal_context(&self, person: &Person, browser: ClientInfo<'_>) -> AuditContext {
        let by = AuditActor { person: Some(person.id), name: person.name.as_str().to_owned() };
        self.context(by, &browser.addr.to_string())
    }
}
