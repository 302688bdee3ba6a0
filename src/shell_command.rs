//! Command lines that the program prints, on pages and in the terminal, and that work as pasted.

/// The program's name and the flags that lead another run of it to the same database, quoted for a POSIX shell.
#[derive(Debug, Clone)]
pub struct ShellCommand {
    program: String,
    flags: String,
}

impl Default for ShellCommand {
    fn default() -> Self {
        Self { program: "keyhouse".to_owned(), flags: String::new() }
    }
}

impl ShellCommand {
    /// `flags` is empty, or begins with a blank and is quoted already.
    pub fn new(program: &str, flags: String) -> Self {
        Self { program: quoted(program), flags }
    }

    /// A command line: `words` with the program before and the flags behind them.
    pub fn line(&self, words: &str) -> String {
        format!("{} {words}{}", self.program, self.flags)
    }
}

/// A word as a POSIX shell reads it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:+,=%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("./target/release/keyhouse"), "./target/release/keyhouse");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_flags_follow_the_words_of_a_command() {
        let shell = ShellCommand::new("/opt/key house/keyhouse", " --data /srv/keys".to_owned());
        assert_eq!(shell.line("person list"), "'/opt/key house/keyhouse' person list --data /srv/keys");
        assert_eq!(ShellCommand::default().line("person list"), "keyhouse person list");
    }
}
