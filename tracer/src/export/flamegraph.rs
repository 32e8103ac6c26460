//! Flame graphs as SVG, drawn by inferno.

use std::io::{self, Write};

use inferno::flamegraph::color::{BasicPalette, Palette};
use inferno::flamegraph::{Options, from_lines};

use super::folded::Folded;
use super::printable;

/// What the widths are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Nanoseconds.
    Time,
    /// Samples.
    Samples,
}

/// Draws the stacks. Those in the order of time become a chart whose x axis is time.
///
/// # Errors
/// Those of the writer.
pub(super) fn write_svg(folded: Folded, title: &str, weight: Weight, out: &mut dyn Write) -> io::Result<()> {
    let mut options = Options::default();
    options.title = printable(title);
    options.deterministic = true;
    options.hash = true;
    options.flame_chart = folded.is_in_order();
    match weight {
        Weight::Time => {
            options.colors = Palette::Basic(BasicPalette::Io);
            options.count_name = "µs".to_owned();
            options.factor = 1e-3;
        }
        Weight::Samples => options.count_name = "samples".to_owned(),
    }
    let lines = folded.into_lines();
    let lines = lines.iter().map(String::as_str);
    if lines.len() == 0 {
        return empty(&options.title, out);
    }
    // inferno takes a chart's lines from the last to the first.
    if options.flame_chart {
        from_lines(&mut options, lines.rev(), out)
    } else {
        from_lines(&mut options, lines, out)
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
    use super::*;

    fn svg(folded: Folded, weight: Weight) -> String {
        let mut out = Vec::new();
        write_svg(folded, "a <b> & \u{1b}c", weight, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hostile_names_are_text_in_the_drawing() {
        let folded = || {
            let mut folded = Folded::merged(None);
            folded.add(&["main.<script>alert(1)</script>", "x\u{1b}&\""], 2_000_000);
            folded
        };
        let drawn = svg(folded(), Weight::Time);
        assert!(drawn.contains("main.&lt;script&gt;alert(1)&lt;/script&gt; (2,000 µs"), "{drawn}");
        assert!(!drawn.contains("<script>alert"));
        assert!(drawn.contains("a &lt;b&gt; &amp; \\u{1b}c"));
        assert!(!drawn.contains('\u{1b}'));
        assert_eq!(drawn, svg(folded(), Weight::Time), "not the same each time");
    }

    #[test]
    fn nothing_is_drawn_as_nothing() {
        let drawn = svg(Folded::merged(None), Weight::Samples);
        assert!(drawn.contains("nothing to show") && drawn.contains("a &lt;b&gt; &amp; "));
    }

    #[test]
    fn a_chart_is_in_the_order_of_time() {
        let mut folded = Folded::in_order(None);
        for name in ["zuerst", "dann", "zuletzt"] {
            folded.add(&[name.to_owned()], 1_000_000);
        }
        let drawn = svg(folded, Weight::Time);
        let x = |name: &str| {
            let title = drawn.find(&format!("<title>{name} (")).unwrap();
            let from = title + drawn[title..].find("fg:x=\"").unwrap() + 6;
            drawn[from..].split('"').next().unwrap().parse::<u64>().unwrap()
        };
        assert!(x("zuerst") < x("dann") && x("dann") < x("zuletzt"));
    }
}
