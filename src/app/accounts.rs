//! Accounts: what the operator does to them, and the change of an address

use keyhouse_domain::ids::{LinkId, PersonId};
use keyhouse_domain::link::Purpose;
use keyhouse_domain::password::Password;
use keyhouse_domain::permission::TeamAdmin;
use keyhouse_domain::person::{Email, Person};
use keyhouse_domain::secret::Secret;
use keyhouse_store::{NewLink, StoreError};

use super::App;
use super::links::UseLinkError;
use super::sessions::ClientInfo;

pub use keyhouse_store::{EmailLinkError, RemovePersonError};

impl App {
    /// Ends all sessions of a person, from the command line; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn end_sessions_of(&self, user: &str, person: PersonId) -> Result<u64, StoreError> {
        self.store.end_sessions(person, None, &self.shell_context(user)).await
    }

    /// Removes an account that is in no team.
    ///
    /// # Errors
    ///
    /// See [`RemovePersonError`].
    pub async fn remove_person(&self, person: PersonId) -> Result<(), RemovePersonError> {
        self.store.remove_person(person, self.clock.now()).await
    }

    /// Gives those of some people who have no password a random one, the same for all, from the command line: for sample
    /// data. Returns the password and who got it.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn set_first_passwords(
        &self,
        user: &str,
        people: &[PersonId],
    ) -> anyhow::Result<(String, Vec<PersonId>)> {
        // 80 random bits in groups that can be typed: 3f2a9-c81d0-47b6e-05d9a.
        let digits = self.secret();
        let groups: Vec<_> = digits.expose().as_bytes()[..20].chunks(5).map(String::from_utf8_lossy).collect();
        let text = groups.join("-");
        let mut given = Vec::new();
        for &person in people {
            if self.person(person).await?.is_none_or(|person| person.has_password) {
                continue;
            }
            let hash = self.hash_password(Password::validate_new(&text, &[])?).await?;
            if self.store.set_first_password(person, &hash, &self.shell_context(user)).await? {
                given.push(person);
            }
        }
        Ok((text, given))
    }

    /// Creates a link that gives a person a new address, from the command line.
    ///
    /// # Errors
    ///
    /// See [`EmailLinkError`].
    pub async fn change_email_link(
        &self,
        user: &str,
        person: PersonId,
        email: &Email,
    ) -> Result<Secret, EmailLinkError> {
        let code = self.secret();
        let purpose = Purpose::ChangeEmail { person, email: email.clone() };
        let new = NewLink { id: LinkId::new(self.ids.seed()), code: code.hash(), purpose: &purpose };
        self.store.create_email_link(None, new, &self.shell_context(user)).await?;
        Ok(code)
    }

    /// Creates a link that gives a member of the admin's team the address that they asked for.
    ///
    /// # Errors
    ///
    /// See [`EmailLinkError`].
    pub async fn confirm_email_link(
        &self,
        admin: &TeamAdmin,
        person: PersonId,
        email: &Email,
    ) -> Result<Secret, EmailLinkError> {
        let code = self.secret();
        let purpose = Purpose::ChangeEmail { person, email: email.clone() };
        let new = NewLink { id: LinkId::new(self.ids.seed()), code: code.hash(), purpose: &purpose };
        self.store.create_email_link(Some(admin), new, &self.audit_context(admin)).await?;
        Ok(code)
    }

    /// Gives a person the address of a link.
    ///
    /// # Errors
    ///
    /// See [`UseLinkError`].
    pub async fn confirm_email(
        &self,
        code: &Secret,
        person: &Person,
        browser: ClientInfo<'_>,
    ) -> Result<(), UseLinkError> {
        self.store.confirm_email(&code.hash(), &self.personal_context(person, browser)).await?;
        Ok(())
    }

    /// Stores the URL under which this server is reached, for links that other processes print.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn set_served_url(&self, url: &str) -> Result<(), StoreError> {
        self.store.set_served_url(url).await
    }
}
