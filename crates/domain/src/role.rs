//! The roles of a team's members.

/// The role of a member in a team. [`permission`](crate::permission) says what each may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything. Each team has exactly one owner.
    Owner,
    /// Settings, members and keys; not transfer or deletion of the team.
    Admin,
    /// Edits products.
    Manager,
    /// Views products.
    Member,
}

impl Role {
    /// All roles, the most powerful first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Manager, Self::Member];
    /// The roles that an invitation or a change of role can give. Ownership is transferred instead.
    pub const GIVEN: [Self; 3] = [Self::Admin, Self::Manager, Self::Member];

    /// The word in the database and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Member => "member",
        }
    }

    /// The name in pages and in the terminal.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::Manager => "Manager",
            Self::Member => "Member",
        }
    }

    /// The role of a word that [`Role::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// As [`Role::parse`], for one of [`Role::GIVEN`].
    pub fn parse_given(text: &str) -> Option<Self> {
        Self::GIVEN.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether this role may create, rename and revoke its team's keys, and manage its settings and members.
    pub const fn administers(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }

    /// Whether this role may change the catalog.
    pub const fn edits(self) -> bool {
        matches!(self, Self::Owner | Self::Admin | Self::Manager)
    }
}
