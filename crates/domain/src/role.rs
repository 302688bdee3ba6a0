//! The roles of a team's members.

/// What a member may do. Exactly one owner per team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Owner,
    Admin,
    Manager,
    Member,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Manager, Self::Member];
    /// Those that can be given; ownership is handed over instead.
    pub const GIVEN: [Self; 3] = [Self::Admin, Self::Manager, Self::Member];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Member => "member",
        }
    }

    /// As people read it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::Manager => "Manager",
            Self::Member => "Member",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// One that can be given to somebody.
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
