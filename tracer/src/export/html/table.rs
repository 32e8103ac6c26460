//! Tables that a browser shows without a script. What a cell is sorted by stands beside what it shows.

use std::io::{self, Write};

use super::markup::Words;
use crate::export::text::shares::{share, share_of};
use crate::units::Nanos;

/// A table has no more rows: a browser lays out so many in a moment.
const MOST_ROWS: usize = 1000;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something that is more or less.
    Number,
    /// A name or words.
    Words,
    /// A drawing.
    Bar,
}

/// A column's heading, what it holds, and what that means where the heading does not say it.
pub(super) struct Column(pub(super) &'static str, pub(super) Kind, pub(super) &'static str);

/// What stands in one place.
pub(super) enum Cell {
    /// Nothing is known, or there is nothing to say.
    Nothing,
    /// A number as it is shown.
    Number(u64, String),
    /// Words.
    Words(String),
    /// Words, and lines that can be unfolded.
    Folded(String, Vec<String>),
    /// Lengths of a whole.
    Bar(Vec<Length>, u64),
}

/// A stretch of a bar: its kind, which is a class of the style sheet; where it begins; how long it is; what it is.
pub(super) struct Length {
    pub(super) kind: &'static str,
    pub(super) from: u64,
    pub(super) length: u64,
    pub(super) name: String,
}

impl Cell {
    pub(super) fn time(time: Nanos) -> Self {
        Self::Number(time.0, time.for_people())
    }

    pub(super) fn maybe(time: Option<Nanos>) -> Self {
        time.map_or(Self::Nothing, Self::time)
    }

    pub(super) fn count(count: u64) -> Self {
        Self::Number(count, count.to_string())
    }

    pub(super) fn share(part: u64, whole: u64) -> Self {
        Self::Number(part, share(part, whole))
    }

    pub(super) fn words(words: impl Into<String>) -> Self {
        Self::Words(words.into())
    }

    fn write(&self, head: bool, out: &mut dyn Write) -> io::Result<()> {
        let tag = if head { "th scope=row" } else { "td" };
        match self {
            Self::Nothing => write!(out, "<{tag}>"),
            Self::Number(value, shown) => write!(out, "<{tag} class=n data-v={value}>{}", Words(shown)),
            Self::Words(words) => write!(out, "<{tag}{}>{}", long(words), Words(words)),
            Self::Folded(words, lines) if lines.is_empty() => {
                write!(out, "<{tag}{}>{}", long(words), Words(words))
            }
            Self::Folded(words, lines) => {
                write!(out, "<{tag}{}><details><summary>{}</summary><ul>", long(words), Words(words))?;
                lines.iter().try_for_each(|line| write!(out, "<li>{}", Words(line)))?;
                write!(out, "</ul></details>")
            }
            Self::Bar(lengths, whole) => {
                write!(out, "<{tag} class=b>")?;
                write_bar(lengths, *whole, out)
            }
        }
    }
}

/// What is longer than this takes several lines.
const LONG: usize = 90;

fn long(words: &str) -> &'static str {
    if words.len() > LONG { " class=l" } else { "" }
}

/// Draws a bar. Its rectangles are a thousandth of the whole wide at least, so that they can be seen.
pub(super) fn write_bar(lengths: &[Length], whole: u64, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "<svg class=bar viewBox=\"0 0 1000 10\" preserveAspectRatio=none aria-hidden=true>")?;
    for Length { kind, from, length, name } in lengths.iter().filter(|length| length.length > 0) {
        let (x, width) = (share_of(*from, whole) * 1000.0, (share_of(*length, whole) * 1000.0).max(1.0));
        write!(
            out,
            "<rect class=\"{kind}\" x=\"{x:.1}\" width=\"{width:.1}\" height=\"10\"><title>{}</title></rect>",
            Words(name)
        )?;
    }
    write!(out, "</svg>")
}

/// A table.
pub(super) struct Table {
    /// What it is of.
    pub(super) caption: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// Which column names a row.
    pub(super) head: usize,
    /// Which column it is sorted by, and whether the largest come first.
    pub(super) sorted: Option<(usize, bool)>,
}

impl Table {
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "<div class=scroll role=region tabindex=0 aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
            Words(&self.caption)
        )?;
        for (index, Column(name, kind, about)) in self.columns.iter().enumerate() {
            let sorted = match self.sorted {
                Some((by, true)) if by == index => " aria-sort=descending",
                Some((by, false)) if by == index => " aria-sort=ascending",
                _ => "",
            };
            let class = match kind {
                Kind::Number => " class=n data-sort=number",
                Kind::Words => " data-sort=words",
                Kind::Bar => " class=b",
            };
            let title = if about.is_empty() { String::new() } else { format!(" title=\"{}\"", Words(about)) };
            writeln!(out, "<th scope=col{class}{sorted}{title}>{}", Words(name))?;
        }
        writeln!(out, "<tbody>")?;
        for row in self.rows.iter().take(MOST_ROWS) {
            write!(out, "<tr>")?;
            row.iter().enumerate().try_for_each(|(index, cell)| cell.write(index == self.head, out))?;
            writeln!(out)?;
        }
        writeln!(out, "</table></div>")?;
        match self.rows.len().saturating_sub(MOST_ROWS) {
            0 => Ok(()),
            more => writeln!(
                out,
                "<p class=cut>The first {MOST_ROWS} rows; {more} more are left out of this table, and are in the NDJSON report."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize) -> String {
        let row = |row: usize| {
            let bar = Length { kind: "blocked", from: 1, length: 1, name: "\"<b>".to_owned() };
            vec![
                Cell::count(row as u64),
                Cell::Folded("<i>".to_owned(), vec!["a<b".to_owned()]),
                Cell::Bar(vec![bar], 4),
            ]
        };
        let table = Table {
            caption: "\"rows\"".to_owned(),
            columns: vec![
                Column("count", Kind::Number, "how many"),
                Column("name", Kind::Words, ""),
                Column("", Kind::Bar, ""),
            ],
            rows: (0..rows).map(row).collect(),
            head: 1,
            sorted: Some((0, false)),
        };
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_text_and_numbers_are_sorted_by_their_value() {
        let one = table(1);
        assert!(one.contains("<caption>&quot;rows&quot;</caption>"), "{one}");
        assert!(one.contains("aria-sort=ascending title=\"how many\">count"), "{one}");
        assert!(one.contains("<td class=n data-v=0>0"), "{one}");
        assert!(one.contains("<summary>&lt;i&gt;</summary><ul><li>a&lt;b</ul>"), "{one}");
        assert!(one.contains("x=\"250.0\" width=\"250.0\""), "{one}");
        assert!(!one.contains("left out"));
    }

    #[test]
    fn what_is_left_out_is_said() {
        let many = table(MOST_ROWS + 3);
        assert!(many.contains("The first 1000 rows; 3 more are left out"));
        assert_eq!(many.matches("<tr>").count(), MOST_ROWS + 1);
    }
}
