//! Stacks with their weights, one a line: what flame graph tools read. Brendan Gregg's format: the frames, the
//! outermost first, with semicolons between; a space; the weight.

use std::borrow::Cow;
use std::io::{self, Write};

use ahash::RandomState;
use indexmap::IndexMap;
use regex::Regex;

use super::printable;

/// The most that a scaled stack weighs: so much that a hundred thousand of them can be added up.
const MOST: f64 = 1e13;

/// Stacks with their weights.
#[derive(Debug)]
pub struct Folded {
    stacks: Stacks,
    /// All weights. They end where who draws them could no longer tell how they differ.
    total: u64,
    focus: Option<Regex>,
}

#[derive(Debug)]
enum Stacks {
    /// Equal ones are one.
    Merged(IndexMap<String, u64, RandomState>),
    /// In the order of time.
    InOrder(Vec<(String, u64)>),
}

impl Folded {
    /// None yet. Equal stacks become one.
    #[must_use]
    pub fn merged(focus: Option<Regex>) -> Self {
        Self { stacks: Stacks::Merged(IndexMap::default()), total: 0, focus }
    }

    /// None yet. They stay in the order in which they come, which is that of time.
    #[must_use]
    pub fn in_order(focus: Option<Regex>) -> Self {
        Self { stacks: Stacks::InOrder(Vec::new()), total: 0, focus }
    }

    /// Adds a stack, the outermost frame first, unless the focus is on others.
    pub fn add<S: AsRef<str>>(&mut self, frames: &[S], weight: u64) {
        let is_focus = |focus: &Regex| frames.iter().any(|frame| focus.is_match(frame.as_ref()));
        let is_out = self.focus.as_ref().is_some_and(|focus| !is_focus(focus));
        if weight == 0 || frames.is_empty() || is_out {
            return;
        }
        let length: usize = frames.iter().map(|frame| frame.as_ref().len() + 1).sum();
        let mut stack = String::with_capacity(length);
        for (depth, frame) in frames.iter().enumerate() {
            if depth > 0 {
                stack.push(';');
            }
            stack.push_str(&escape(frame.as_ref()));
        }
        self.add_escaped(stack, weight);
    }

    fn add_escaped(&mut self, stack: String, weight: u64) {
        let weight = weight.min(i64::MAX.unsigned_abs() - self.total);
        self.total += weight;
        match &mut self.stacks {
            Stacks::Merged(stacks) => *stacks.entry(stack).or_default() += weight,
            Stacks::InOrder(stacks) => stacks.push((stack, weight)),
        }
    }

    /// Adds what others have.
    pub(super) fn add_all(&mut self, other: Self) {
        other.into_stacks().into_iter().for_each(|(stack, weight)| self.add_escaped(stack, weight));
    }

    /// The lines with so many times their weight, without those that have none then.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a picture"
    )]
    pub(super) fn scaled(&self, by: f64) -> String {
        let weighed =
            self.stacks().map(|(stack, weight)| (stack, (weight as f64 * by).round().min(MOST) as u64));
        let some = weighed.filter(|(_, weight)| *weight > 0);
        some.map(|(stack, weight)| format!("{stack} {weight}\n")).collect()
    }

    /// Writes the lines.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.stacks().try_for_each(|(stack, weight)| writeln!(out, "{stack} {weight}"))
    }

    fn stacks(&self) -> Box<dyn Iterator<Item = (&str, u64)> + '_> {
        match &self.stacks {
            Stacks::Merged(stacks) => {
                Box::new(stacks.iter().map(|(stack, weight)| (stack.as_str(), *weight)))
            }
            Stacks::InOrder(stacks) => {
                Box::new(stacks.iter().map(|(stack, weight)| (stack.as_str(), *weight)))
            }
        }
    }

    fn into_stacks(self) -> Vec<(String, u64)> {
        match self.stacks {
            Stacks::Merged(stacks) => stacks.into_iter().collect(),
            Stacks::InOrder(stacks) => stacks,
        }
    }
}

/// A frame that cannot be taken for several, for a comment or for a weight, whoever named the function.
pub(super) fn escape(frame: &str) -> Cow<'_, str> {
    // As most are. All bytes are looked at, which the compiler does several at a time.
    let is_plain = |byte: u8| byte.is_ascii_graphic() & (byte != b';') & (byte != b'#');
    if !frame.is_empty() && frame.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        Cow::Borrowed(frame)
    } else {
        escaped(frame).into()
    }
}

fn escaped(frame: &str) -> String {
    let frame = printable(frame).replace(';', "\\u{3b}");
    if frame.is_empty() {
        return "?".to_owned();
    }
    let is_number = |text: &str| {
        !text.is_empty() && text.chars().all(|character| character.is_ascii_digit() || character == '.')
    };
    match (frame.strip_prefix(['#', ' ']), frame.rsplit_once(' ')) {
        (Some(rest), _) => format!("\\u{{{:x}}}{}", u32::from(frame.as_bytes()[0]), escape_end(rest)),
        (None, Some((_, last))) if last.is_empty() || is_number(last) => escape_end(&frame),
        _ => frame,
    }
}

/// The last space, if what is behind it could be a weight.
fn escape_end(frame: &str) -> String {
    match frame.rsplit_once(' ') {
        Some((before, last))
            if last.chars().all(|character| character.is_ascii_digit() || character == '.') =>
        {
            format!("{before}\\u{{20}}{last}")
        }
        _ => frame.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(folded: &Folded) -> Vec<String> {
        let mut out = Vec::new();
        folded.write(&mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    fn stack(frames: &[&str]) -> Vec<String> {
        frames.iter().map(|frame| (*frame).to_owned()).collect()
    }

    #[test]
    fn equal_stacks_are_one_where_time_does_not_matter() {
        let mut merged = Folded::merged(None);
        let mut in_order = Folded::in_order(None);
        for folded in [&mut merged, &mut in_order] {
            for (leaf, weight) in [("b", 1), ("c", 2), ("b", 3), ("d", 0)] {
                folded.add(&stack(&["a", leaf]), weight);
            }
        }
        assert_eq!(lines(&merged), ["a;b 4", "a;c 2"]);
        assert_eq!(lines(&in_order), ["a;b 1", "a;c 2", "a;b 3"]);
    }

    #[test]
    fn the_focus_is_on_whole_stacks() {
        let mut folded = Folded::merged(Some(Regex::new("^main").unwrap()));
        folded.add(&stack(&["runtime.main", "main.main"]), 1);
        folded.add(&stack(&["runtime.mstart"]), 2);
        assert_eq!(lines(&folded), ["runtime.main;main.main 1"]);
    }

    #[test]
    fn a_hostile_name_stays_one_frame() {
        let mut folded = Folded::merged(None);
        folded.add(&stack(&["# a", "b;c 7", "d\ne 8", "", " f", "g "]), 1);
        let line = &lines(&folded)[0];
        assert_eq!(line, r"\u{23} a;b\u{3b}c\u{20}7;d\u{a}e\u{20}8;?;\u{20}f;g\u{20} 1");
        assert_eq!(escape("[read, tcp *->10.0.0.7:443]"), "[read, tcp *->10.0.0.7:443]");
    }
}
