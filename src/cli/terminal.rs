//! Output for terminals: aligned columns, and colour that only repeats what a word says. `anstream` removes the colour in
//! pipes and where `NO_COLOR` is set.

use std::fmt::{self, Display};
use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use clap::builder::Styles;
use unicode_width::UnicodeWidthStr;

use keyhouse_token::Mode;

/// The colours of clap's help and errors.
pub(super) const STYLES: Styles =
    Styles::styled().header(style::STRONG.0).usage(style::STRONG.0).literal(style::ACCENT.0).error(style::ERROR.0);

/// Named styles, so that a colour always has one meaning.
pub(super) mod style {
    use super::{AnsiColor, Display, Painted, Style};

    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Paint(pub(super) Style);

    pub(crate) const PLAIN: Paint = Paint(Style::new());
    pub(crate) const STRONG: Paint = Paint(Style::new().bold());
    pub(crate) const MUTED: Paint = Paint(Style::new().dimmed());
    pub(crate) const ACCENT: Paint = Paint(AnsiColor::Cyan.on_default());
    pub(crate) const LIVE: Paint = Paint(AnsiColor::Green.on_default());
    pub(crate) const ERROR: Paint = Paint(AnsiColor::Red.on_default().bold());

    impl Paint {
        pub(crate) fn paint<T: Display>(self, text: T) -> Painted<T> {
            Painted { style: self.0, text }
        }
    }
}

/// Text with a style.
#[derive(Debug)]
pub(super) struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

/// The cell of a mode: Live in green, Test in grey.
pub(super) fn mode(mode: Mode) -> Cell {
    match mode {
        Mode::Live => Cell::new("Live", style::LIVE),
        Mode::Test => Cell::new("Test", style::MUTED),
    }
}

/// One cell of a table.
#[derive(Debug)]
pub(super) struct Cell {
    text: String,
    paint: style::Paint,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>, paint: style::Paint) -> Self {
        Self { text: text.into(), paint }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, style::PLAIN)
    }
}

/// A table whose columns are as wide as their widest text. Without any heading it has no heading line.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    head: [&'static str; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(head: [&'static str; N]) -> Self {
        Self { head, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| row[column].text.width());
            cells.chain([self.head[column].width()]).max().unwrap_or(0)
        });
        let print = |cells: &[(&str, style::Paint); N]| {
            let mut out = String::new();
            for ((text, paint), width) in cells.iter().zip(widths) {
                let pad = width - text.width();
                out.push_str(&format!("{}{:pad$}  ", paint.paint(text), ""));
            }
            outln!("{}", out.trim_end());
            anyhow::Ok(())
        };
        if self.head.iter().any(|head| !head.is_empty()) {
            print(&self.head.map(|head| (head, style::MUTED)))?;
        }
        for row in &self.rows {
            print(&std::array::from_fn(|column| (&*row[column].text, row[column].paint)))?;
        }
        Ok(())
    }
}

/// Prints a line to standard output, and returns from the function with the error if that fails.
macro_rules! outln {
    ($($part:tt)*) => { $crate::cli::terminal::line(format_args!($($part)*))? };
}
pub(super) use outln;

/// See [`outln!`].
pub(super) fn line(text: fmt::Arguments<'_>) -> anyhow::Result<()> {
    let mut out = anstream::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("can't write to standard output")
}

/// Prints one line of JSON to standard output.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    outln!("{}", serde_json::to_string(value)?);
    Ok(())
}
