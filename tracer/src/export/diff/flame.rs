//! A differential flame graph: the second side's stacks, coloured by how they differ from the first side's.

use std::io::{self, Write};

use inferno::differential;
use regex::Regex;

use crate::event::recorded::Blocking;
use crate::export::StartupFlame;
use crate::export::flamegraph::write_differential_svg;
use crate::export::folded::Folded;
use crate::model::Report;

/// The stacks of one side.
#[derive(Debug)]
pub struct DiffFlame {
    folded: Folded,
    focus: Option<Regex>,
    starts: u32,
}

impl DiffFlame {
    /// None yet; only stacks with a frame that matches the focus.
    #[must_use]
    pub fn new(focus: Option<Regex>) -> Self {
        Self { folded: Folded::merged(focus.clone()), focus, starts: 0 }
    }

    /// Adds a start.
    pub fn start(&mut self, report: &Report) {
        self.folded.add_all(StartupFlame { focus: self.focus.clone() }.folded(report));
        self.starts = self.starts.saturating_add(1);
    }

    /// Adds where a running program was blocked. Lines of code are left out of its frames: they move from one build to the
    /// next.
    pub fn blocked(&mut self, line: &Blocking) {
        let call = line.syscall.as_deref().unwrap_or("?");
        let leaf =
            if line.retried.is_some() { format!("[wait {call}]") } else { format!("[syscall {call}]") };
        let unknown = line.stack.is_empty().then(|| "(no stack)".to_owned());
        let frames = line.stack.iter().rev().map(|frame| function(frame).to_owned());
        let path: Vec<String> = unknown.into_iter().chain(frames).chain([leaf]).collect();
        self.folded.add(&path, line.total_ns.0);
    }

    /// How many starts were added.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Draws the second side as it differs from the first. A nanosecond counts so many microseconds on each: what is of
    /// one start, or of one span.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_svg(
        a: &Self,
        b: &Self,
        scales: [f64; 2],
        title: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let [before, after] = [(a, scales[0]), (b, scales[1])].map(|(side, scale)| side.folded.scaled(scale));
        let mut lines = Vec::new();
        let options = differential::Options::default();
        differential::from_readers(options, before.as_bytes(), after.as_bytes(), &mut lines)?;
        write_differential_svg(&String::from_utf8_lossy(&lines), after.is_empty(), title, out)
    }
}

/// A frame's function, without the file and the line.
fn function(frame: &str) -> &str {
    let is_place = |tail: &str| {
        let line = tail.rsplit_once(':').map(|(_, line)| line);
        line.is_some_and(|line| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match frame.rsplit_once(' ') {
        Some((function, tail)) if is_place(tail) => function,
        _ => frame,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Nanos;

    fn blocked(flame: &mut DiffFlame, stack: &[&str], micros: u64) {
        flame.blocked(&Blocking {
            kind: String::new(),
            class: "suffered".to_owned(),
            cause: None,
            syscall: Some("read".to_owned()),
            retried: None,
            count: 1,
            total_ns: Nanos(micros * 1000),
            max_ns: Nanos(0),
            site: None,
            stack: stack.iter().map(|frame| (*frame).to_owned()).collect(),
        });
    }

    fn drawn(a: &DiffFlame, b: &DiffFlame, scales: [f64; 2]) -> String {
        let mut out = Vec::new();
        DiffFlame::write_svg(a, b, scales, "a <b>", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The colour of a frame.
    fn colour<'a>(svg: &'a str, title: &str) -> &'a str {
        let at = svg.find(title).unwrap_or_else(|| panic!("no {title} in {svg}"));
        let from = at + svg[at..].find("fill=\"").unwrap() + 6;
        svg[from..].split('"').next().unwrap()
    }

    #[test]
    fn what_became_more_is_red_and_what_became_less_is_blue() {
        let (mut a, mut b) = (DiffFlame::new(None), DiffFlame::new(None));
        for (flame, [more, less, same]) in [(&mut a, [10, 90, 50]), (&mut b, [100, 20, 50])] {
            blocked(flame, &["main.more b.go:3", "main.main b.go:1"], more);
            blocked(flame, &["main.less b.go:9", "main.main b.go:2"], less);
            blocked(flame, &["main.<script>same b.go:9", "main.main b.go:2"], same);
        }
        blocked(&mut a, &["main.gone b.go:9"], 1000);
        let svg = drawn(&a, &b, [1e-3, 1e-3]);
        let rgb = |title: &str| {
            let numbers = colour(&svg, title).trim_start_matches("rgb(").trim_end_matches(')');
            numbers.split(',').map(|number| number.trim().parse::<u32>().unwrap()).collect::<Vec<_>>()
        };
        // The difference is at the top, where the time was.
        let (more, less) = (rgb("[syscall read] (100 µs"), rgb("[syscall read] (20 µs"));
        assert!(more[0] > more[2] && less[2] > less[0], "{more:?} {less:?}");
        assert!(svg.contains("; +52.94%)") && svg.contains("; -41.18%)"), "{svg}");
        assert!(svg.contains("main.&lt;script&gt;same") && !svg.contains("main.gone"));
        assert!(svg.contains("a &lt;b&gt;"));
        // Twice as long a span, and as much in it: half as much.
        assert!(drawn(&a, &b, [1e-3, 5e-4]).contains("[syscall read] (50 µs"));
        assert_eq!(svg, drawn(&a, &b, [1e-3, 1e-3]), "not the same each time");
    }

    #[test]
    fn nothing_is_drawn_as_nothing() {
        let (mut a, b) = (DiffFlame::new(None), DiffFlame::new(None));
        blocked(&mut a, &["main.gone b.go:9"], 1000);
        assert!(drawn(&a, &b, [1e-3, 1e-3]).contains("nothing to show"));
    }

    #[test]
    fn a_frame_is_its_function() {
        for (frame, is) in [
            ("main.f b.go:12", "main.f"),
            ("(not Go code)", "(not Go code)"),
            ("main.F[struct { X int }] b.go:1", "main.F[struct { X int }]"),
            ("main.F[struct { X int }]", "main.F[struct { X int }]"),
        ] {
            assert_eq!(function(frame), is);
        }
    }
}
