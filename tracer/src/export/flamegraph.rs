//! Flame graphs as SVG, drawn by inferno.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use inferno::flamegraph::color::{BasicPalette, Palette};
use inferno::flamegraph::{Options, from_lines};
use regex::Regex;

use super::folded::escape;
use super::printable;
use crate::target::gobin::Frame;

/// What the widths are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Nanoseconds.
    Time,
    /// Samples.
    Samples,
}

/// Stacks that are to be drawn.
pub(super) struct Picture<'a> {
    stacks: Vec<Stack<'a>>,
    is_in_order: bool,
    focus: Option<&'a Regex>,
    /// How much more all may weigh together, for inferno to tell how they differ.
    room: u64,
}

struct Stack<'a> {
    /// The outermost first.
    frames: Vec<Cow<'a, Arc<Frame>>>,
    weight: u64,
}

impl<'a> Picture<'a> {
    /// None yet. What they have in common is drawn once.
    pub(super) fn merged(focus: Option<&'a Regex>) -> Self {
        Self { stacks: Vec::new(), is_in_order: false, focus, room: i64::MAX.unsigned_abs() }
    }

    /// None yet. They are drawn in the order in which they come, which is that of time.
    pub(super) fn in_order(focus: Option<&'a Regex>) -> Self {
        Self { is_in_order: true, ..Self::merged(focus) }
    }

    /// Adds a stack, the outermost frame first, unless the focus is on others.
    pub(super) fn add(&mut self, frames: Vec<Cow<'a, Arc<Frame>>>, weight: u64) {
        let is_in = |focus: &Regex| frames.iter().any(|frame| focus.is_match(&frame.function));
        if weight == 0 || frames.is_empty() || !self.focus.is_none_or(is_in) {
            return;
        }
        let weight = weight.min(self.room);
        self.room -= weight;
        self.stacks.push(Stack { frames, weight });
    }

    /// Draws them.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn write_svg(mut self, title: &str, weight: Weight, out: &mut dyn Write) -> io::Result<()> {
        let mut options = Options::default();
        options.title = printable(title);
        options.deterministic = true;
        options.hash = true;
        // Of stacks in the order in which they are drawn.
        options.flame_chart = true;
        match weight {
            Weight::Time => {
                options.colors = Palette::Basic(BasicPalette::Io);
                options.count_name = "µs".to_owned();
                options.factor = 1e-3;
            }
            Weight::Samples => options.count_name = "samples".to_owned(),
        }
        if self.stacks.is_empty() {
            return empty(&options.title, out);
        }
        arrange(&mut self.stacks, self.is_in_order, options.min_width);
        let lines: Vec<String> = self.stacks.iter().map(Stack::line).collect();
        // inferno takes a chart's lines from the last to the first.
        from_lines(&mut options, lines.iter().rev().map(String::as_str), out)
    }
}

impl Stack<'_> {
    fn function(&self, depth: usize) -> Option<&str> {
        self.frames.get(depth).map(|frame| &*frame.function)
    }

    /// The frames with semicolons between, and the weight.
    fn line(&self) -> String {
        let frames: Vec<Cow<'_, str>> = self.frames.iter().map(|frame| escape(&frame.function)).collect();
        format!("{} {}", frames.join(";"), self.weight)
    }

    /// A frame as it is in the line, and what is behind it there.
    fn part(&self, depth: usize) -> Option<String> {
        let behind = if self.frames.len() > depth + 1 { ";" } else { " " };
        Some([&*escape(self.function(depth)?), behind].concat())
    }
}

/// Puts the stacks into the order of their lines, unless theirs is that of time, and cuts off what is on top of frames that
/// are narrower than so many percent: inferno leaves that out, but only after it has looked at each frame, and of many
/// stacks that is most of the work.
fn arrange(stacks: &mut [Stack<'_>], is_in_order: bool, narrow: f64) {
    #[expect(clippy::cast_precision_loss, reason = "as inferno reckons")]
    let width = |stacks: &[Stack<'_>]| stacks.iter().map(|stack| stack.weight).sum::<u64>() as f64;
    let least = narrow / (100.0 / width(stacks));
    let mut wide = vec![(stacks, 0)];
    while let Some((stacks, depth)) = wide.pop() {
        // As long as all are alike there is nothing to sort.
        let differ = |pair: &[Stack<'_>]| pair[0].function(depth) != pair[1].function(depth);
        if !is_in_order && stacks.windows(2).any(differ) {
            stacks.sort_by_cached_key(|stack| stack.part(depth));
        }
        for alike in stacks.chunk_by_mut(|a, b| a.function(depth) == b.function(depth)) {
            if width(alike) >= least && alike[0].frames.len() > depth {
                wide.push((alike, depth + 1));
            } else {
                alike.iter_mut().for_each(|stack| stack.frames.truncate(depth + 1));
            }
        }
    }
}

/// Draws lines that have two weights, in microseconds: the second's widths, coloured by how they differ from the first's.
///
/// # Errors
/// Those of the writer.
pub(super) fn write_differential_svg(
    lines: &str,
    is_empty: bool,
    title: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut options = Options::default();
    options.title = printable(title);
    options.deterministic = true;
    // A factor would make its percentages of differences so many times too large.
    options.count_name = "µs".to_owned();
    if is_empty { empty(&options.title, out) } else { from_lines(&mut options, lines.lines(), out) }
}

/// inferno takes it for an error to have nothing to draw.
fn empty(title: &str, out: &mut dyn Write) -> io::Result<()> {
    let title: String = title
        .chars()
        .map(|character| match character {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            other => other.to_string(),
        })
        .collect();
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"60\">\
         <text x=\"600\" y=\"24\" text-anchor=\"middle\">{title}</text>\
         <text x=\"600\" y=\"48\" text-anchor=\"middle\">nothing to show</text></svg>"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::blocking_flame::label;
    use super::super::folded::Folded;
    use super::*;

    fn labels(functions: &[&str]) -> Vec<Cow<'static, Arc<Frame>>> {
        functions.iter().map(|function| Cow::Owned(Arc::new(label((*function).to_owned())))).collect()
    }

    fn svg(picture: Picture<'_>, weight: Weight) -> String {
        let mut out = Vec::new();
        picture.write_svg("a <b> & \u{1b}c", weight, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hostile_names_are_text_in_the_drawing() {
        let picture = || {
            let mut picture = Picture::merged(None);
            picture.add(labels(&["main.<script>alert(1)</script>", "x\u{1b}&\""]), 2_000_000);
            picture
        };
        let drawn = svg(picture(), Weight::Time);
        assert!(drawn.contains("main.&lt;script&gt;alert(1)&lt;/script&gt; (2,000 µs"), "{drawn}");
        assert!(!drawn.contains("<script>alert"));
        assert!(drawn.contains("a &lt;b&gt; &amp; \\u{1b}c"));
        assert!(!drawn.contains('\u{1b}'));
        assert_eq!(drawn, svg(picture(), Weight::Time), "not the same each time");
    }

    #[test]
    fn what_is_on_top_of_a_narrow_frame_is_cut_off() {
        let stacks = [("a;b;c", 500), ("a;b;d;e", 496), ("a;f;g", 1), ("a;f;h", 1), ("b", 1), ("b;c", 1)];
        let drawn = |narrow| {
            let mut stacks = stacks.map(|(frames, weight)| Stack {
                frames: labels(&frames.split(';').collect::<Vec<_>>()),
                weight,
            });
            arrange(&mut stacks, false, narrow);
            stacks.map(|stack| stack.line())
        };
        assert_eq!(drawn(0.1), stacks.map(|(frames, weight)| format!("{frames} {weight}")));
        assert_eq!(drawn(0.25), ["a;b;c 500", "a;b;d;e 496", "a;f 1", "a;f 1", "b 1", "b 1"]);
        assert_eq!(drawn(99.7), ["a;b 500", "a;b 496", "a;f 1", "a;f 1", "b 1", "b 1"]);
        assert_eq!(drawn(99.9), ["a 500", "a 496", "a 1", "a 1", "b 1", "b 1"]);
    }

    proptest! {
        /// What is cut off must not be seen in what is drawn.
        #[test]
        fn the_drawing_is_that_of_the_whole_lines(
            // What is before a semicolon and behind it in the order of characters.
            stacks in prop::collection::vec((prop::collection::vec("[a.<]{1,2}", 1..5), 1_u64..20_000), 1..40),
            in_order: bool,
        ) {
            let mut folded = if in_order { Folded::in_order(None) } else { Folded::merged(None) };
            let mut picture = if in_order { Picture::in_order(None) } else { Picture::merged(None) };
            for (functions, weight) in &stacks {
                folded.add(functions, *weight);
                picture.add(labels(&functions.iter().map(String::as_str).collect::<Vec<_>>()), *weight);
            }
            let mut lines = Vec::new();
            folded.write(&mut lines).unwrap();
            let mut lines: Vec<&str> = str::from_utf8(&lines).unwrap().lines().collect();
            let mut options = Options::default();
            options.title = "a <b> & \\u{1b}c".to_owned();
            options.deterministic = true;
            options.hash = true;
            options.flame_chart = in_order;
            if in_order {
                lines.reverse();
            }
            let mut whole = Vec::new();
            from_lines(&mut options, lines, &mut whole).unwrap();
            prop_assert_eq!(svg(picture, Weight::Samples), String::from_utf8(whole).unwrap());
        }
    }

    #[test]
    fn nothing_is_drawn_as_nothing() {
        let drawn = svg(Picture::merged(None), Weight::Samples);
        assert!(drawn.contains("nothing to show") && drawn.contains("a &lt;b&gt; &amp; "));
    }

    #[test]
    fn the_focus_is_on_whole_stacks() {
        let focus = Regex::new("^main").unwrap();
        let mut picture = Picture::merged(Some(&focus));
        picture.add(labels(&["runtime.main", "main.main"]), 1);
        picture.add(labels(&["runtime.mstart"]), 2);
        let lines: Vec<String> = picture.stacks.iter().map(Stack::line).collect();
        assert_eq!(lines, ["runtime.main;main.main 1"]);
    }

    #[test]
    fn a_chart_is_in_the_order_of_time() {
        let mut picture = Picture::in_order(None);
        for name in ["zuerst", "dann", "zuletzt"] {
            picture.add(labels(&[name]), 1_000_000);
        }
        let drawn = svg(picture, Weight::Time);
        let x = |name: &str| {
            let title = drawn.find(&format!("<title>{name} (")).unwrap();
            let from = title + drawn[title..].find("fg:x=\"").unwrap() + 6;
            drawn[from..].split('"').next().unwrap().parse::<u64>().unwrap()
        };
        assert!(x("zuerst") < x("dann") && x("dann") < x("zuletzt"));
    }
}
