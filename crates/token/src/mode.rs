//! The mode of a token: live or test.

/// Which of a team's two sets of data a key belongs to. There is no default: it is chosen when the key is created and
/// never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The team's real data.
    Live,
    /// Data to try things out with, kept apart from the live data.
    Test,
}

impl Mode {
    /// The name in pages and in the terminal.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Live => "Live",
            Self::Test => "Test",
        }
    }

    /// The word in tokens, in the database, in responses and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// The mode of a word that [`Mode::as_str`] gives. `None` for any other text, capitals included.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Live, Self::Test].into_iter().find(|mode| mode.as_str() == text)
    }
}
