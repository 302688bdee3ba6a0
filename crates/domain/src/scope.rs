//! What a key may do: its scope, and the access that a route needs.

/// What a route does with a team's data. Every route declares one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// The key is good, but its scope does not permit the access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key's scope does not permit this")]
pub struct ScopeInsufficient;

/// What a key may do with its team's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    ReadWrite,
    ReadOnly,
}

impl Scope {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "read_write",
            Self::ReadOnly => "read_only",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::ReadWrite, Self::ReadOnly].into_iter().find(|scope| scope.as_str() == text)
    }

    /// As people read it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ReadWrite => "Read & Write",
            Self::ReadOnly => "Read-only",
        }
    }

    /// The one place where a scope is compared with a deed.
    pub const fn permits(self, access: Access) -> bool {
        match (self, access) {
            (Self::ReadWrite, _) | (Self::ReadOnly, Access::Read) => true,
            (Self::ReadOnly, Access::Write) => false,
        }
    }
}
