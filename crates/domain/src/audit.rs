//! Who did what, when, to what. One event per change, written in the change's own transaction.

use super::ids::{AuditId, IdSeed, PersonId, TeamId};
use super::timestamp::Timestamp;

/// Who did something, as it is written down for good: the name stays when the person goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditActor {
    /// `None` for the shell and for Keyhouse itself.
    pub person: Option<PersonId>,
    pub name: String,
}

macro_rules! actions {
    ($($variant:ident = $word:literal),* $(,)?) => {
        /// What was done. The word is fixed: it is stored, and people filter by it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($variant),*
        }

        impl Action {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|action| action.as_str() == text)
            }
        }
    };
}

actions! {
    TeamCreated = "team.created",
    TeamRenamed = "team.renamed",
    TeamHandedOver = "team.handed_over",
    TeamDeleted = "team.deleted",
    MemberInvited = "member.invited",
    InvitationWithdrawn = "member.invitation_withdrawn",
    MemberAdded = "member.added",
    MemberRoleChanged = "member.role_changed",
    MemberRemoved = "member.removed",
    MemberLeft = "member.left",
    KeyCreated = "key.created",
    KeyRenamed = "key.renamed",
    KeyRevoked = "key.revoked",
    ProductCreated = "product.created",
    ProductChanged = "product.changed",
    ProductArchived = "product.archived",
    ProductRestored = "product.restored",
    CurrentUser = "person.signed_in",
    SignInFailed = "person.sign_in_failed",
    SignedOut = "person.signed_out",
    PasswordChanged = "person.password_changed",
    ProfileChanged = "person.profile_changed",
    LinkMade = "person.link_made",
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    pub id: AuditId,
    pub team: TeamId,
    pub at: Timestamp,
    pub by: AuditActor,
    pub action: Action,
    /// The id of what it was done to.
    pub target: String,
    /// What changed, in words: names, prefixes, roles. Never a secret.
    pub detail: String,
    /// Where from: the client's address, or `shell`.
    pub source: String,
}

/// When, by whom and from where one deed is done; it may leave several events.
#[derive(Debug, Clone)]
pub struct AuditContext {
    pub seed: IdSeed,
    pub at: Timestamp,
    pub by: AuditActor,
    pub source: String,
}

impl AuditContext {
    /// The deed's `nth` event. Seeds lie far enough apart that neighbours never meet.
    pub fn event(&self, nth: u16, team: TeamId, action: Action, target: impl ToString, detail: String) -> AuditEvent {
        AuditEvent {
            id: AuditId::new(IdSeed { random: self.seed.random + u128::from(nth), ..self.seed }),
            team,
            at: self.at,
            by: self.by.clone(),
            action,
            target: target.to_string(),
            detail,
            source: self.source.clone(),
        }
    }
}

/// Which of a team's events are asked for; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub person: Option<PersonId>,
    /// What it was done to: the id of a key, a person or a product.
    pub target: Option<String>,
    pub action: Option<Action>,
}
