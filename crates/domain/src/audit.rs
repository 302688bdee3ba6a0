//! The audit log: who changed what, when and from where. Each change writes one event in its own transaction.

use super::email::Email;
use super::ids::{AuditId, IdSeed, PersonId, TeamId};
use super::timestamp::Timestamp;

/// Who made a change. The name is stored with the event, so it stays as it was when the person changes it or leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditActor {
    /// `None` for the command line and for the server itself.
    pub person: Option<PersonId>,
    /// The name at the time of the change.
    pub name: String,
}

impl AuditActor {
    /// The server itself: for what happens by time, such as an expiry.
    pub fn server() -> Self {
        Self { person: None, name: "Keyhouse".to_owned() }
    }
}

/// The source that the audit log has for what the server does by itself.
pub const SERVER: &str = "server";

macro_rules! actions {
    ($($variant:ident = $word:literal),* $(,)?) => {
        /// What was done. The words are stored and filtered by, so they never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $(#[doc = concat!("`", $word, "`")] $variant),*
        }

        impl Action {
            /// All actions, in the order of the filter on the audit page.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stored word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }

            /// The action of a stored word.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|action| action.as_str() == text)
            }
        }
    };
}

actions! {
    TeamCreated = "team.created",
    TeamRenamed = "team.renamed",
    TeamKeyLifetimeChanged = "team.key_lifetime_changed",
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
    KeyRotated = "key.rotated",
    KeyFormerTokenEnded = "key.former_token_ended",
    KeyPaused = "key.paused",
    KeyResumed = "key.resumed",
    KeyConditionsChanged = "key.conditions_changed",
    KeyExpired = "key.expired",
    KeyRevoked = "key.revoked",
    KeyLeaked = "key.leak_reported",
    LeakNoticeDismissed = "key.leak_notice_dismissed",
    KeyRevocationCompleted = "key.revocation_completed",
    ProductCreated = "product.created",
    ProductChanged = "product.changed",
    ProductArchived = "product.archived",
    ProductRestored = "product.restored",
    SignedIn = "person.signed_in",
    SignInFailed = "person.sign_in_failed",
    SignedOut = "person.signed_out",
    PasswordChanged = "person.password_changed",
    ProfileChanged = "person.profile_changed",
    LinkMade = "person.link_made",
}

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// The event's id; ids are in the order of the events.
    pub id: AuditId,
    /// The team whose log has the event.
    pub team: TeamId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: AuditActor,
    /// The address that the actor's account has when the log is read: names are not unique. `None` for the command line,
    /// and for an account that was removed.
    pub by_email: Option<Email>,
    /// What was done.
    pub action: Action,
    /// The id of what was changed.
    pub target: String,
    /// The change in words: names, prefixes, roles. Never a secret.
    pub detail: String,
    /// The client's address, `shell` or `server`.
    pub source: String,
}

/// What all events of one change have in common.
#[derive(Debug, Clone)]
pub struct AuditContext {
    /// The first event's id is made from it, the others' from the numbers that follow.
    pub seed: IdSeed,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: AuditActor,
    /// The client's address, `shell` or `server`.
    pub source: String,
}

impl AuditContext {
    /// The `nth` event of the change. Two seeds differ in 80 random bits, so the ids of two changes do not collide.
    pub fn event(&self, nth: u16, team: TeamId, action: Action, target: impl ToString, detail: String) -> AuditEvent {
        AuditEvent {
            id: AuditId::new(IdSeed { random: self.seed.random + u128::from(nth), ..self.seed }),
            team,
            at: self.at,
            by: self.by.clone(),
            by_email: None,
            action,
            target: target.to_string(),
            detail,
            source: self.source.clone(),
        }
    }
}

/// Which of a team's events to list. `None` in a field means any value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Who made the change.
    pub person: Option<PersonId>,
    /// The id of the key, person or product that was changed.
    pub target: Option<String>,
    /// What was done.
    pub action: Option<Action>,
    /// The earliest time.
    pub since: Option<Timestamp>,
}
