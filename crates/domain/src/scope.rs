//! The scope of a key, and the access that a route needs.

/// What a route does with a team's data. Every route declares one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads.
    Read,
    /// It changes something.
    Write,
}

/// The key's scope does not permit the access: 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key's scope does not permit this")]
pub struct ScopeInsufficient;

/// What a key may do with its team's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Reads and changes.
    ReadWrite,
    /// Reads only.
    ReadOnly,
}

impl Scope {
    /// The word in the database, in responses and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "read_write",
            Self::ReadOnly => "read_only",
        }
    }

    /// The scope of a word that [`Scope::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::ReadWrite, Self::ReadOnly].into_iter().find(|scope| scope.as_str() == text)
    }

    /// The name in pages and in the terminal.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ReadWrite => "Read & Write",
            Self::ReadOnly => "Read-only",
        }
    }

    /// Whether a key with this scope may use a route that needs `access`. No other code compares the two.
    pub const fn permits(self, access: Access) -> bool {
        match (self, access) {
            (Self::ReadWrite, _) | (Self::ReadOnly, Access::Read) => true,
            (Self::ReadOnly, Access::Write) => false,
        }
    }
}
