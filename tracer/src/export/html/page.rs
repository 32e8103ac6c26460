//! The page around a report: head, policy, style, script and data.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::data;
use super::markup::Words;
use crate::model::Subject;

const STYLE: &str = include_str!("assets/report.css");

/// The page's script, in the order in which its parts build on one another.
const SCRIPT: [&str; 9] = [
    include_str!("assets/format.js"),
    include_str!("assets/dom.js"),
    include_str!("assets/chart.js"),
    include_str!("assets/chart_input.js"),
    include_str!("assets/flame.js"),
    include_str!("assets/timeline.js"),
    include_str!("assets/heap.js"),
    include_str!("assets/tables.js"),
    include_str!("assets/report.js"),
];

/// What a page is made from.
pub(super) struct Page<'a> {
    pub(super) subject: &'a Subject,
    /// Which of the histories it tells.
    pub(super) kind: &'static str,
    /// The first lines of the text report: whose it is, and what it comes to.
    pub(super) heading: Vec<String>,
    /// The NDJSON report.
    pub(super) lines: &'a [u8],
}

impl Page<'_> {
    /// Writes the page around its sections.
    pub(super) fn write(
        &self,
        out: &mut dyn Write,
        sections: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let script = format!("(() => {{\n\"use strict\";\n{}}})();\n", SCRIPT.concat());
        let exe = &self.subject.exe;
        let name = exe.file_name().unwrap_or(exe.as_os_str()).to_string_lossy();
        write!(
            out,
            "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
             <meta name=color-scheme content=\"light dark\">\n\
             <title>{} · gotrace</title>\n<style>{STYLE}</style>\n\
             <body data-kind={}>\n",
            hash(&script),
            hash(STYLE),
            Words(&name),
            self.kind
        )?;
        self.header(&name, out)?;
        writeln!(out, "<main>")?;
        sections(out)?;
        writeln!(
            out,
            "</main>\n<footer>gotrace {}; the data of this page are the lines of its NDJSON report</footer>",
            env!("CARGO_PKG_VERSION")
        )?;
        write!(out, "<script type=\"application/json\" id=data>")?;
        data::write_lines(self.lines, out)?;
        write!(out, "</script>\n<script>{script}</script>\n")
    }

    fn header(&self, name: &str, out: &mut dyn Write) -> io::Result<()> {
        let (subject, result) =
            self.heading.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let subject = subject.strip_prefix(name).unwrap_or(subject).trim();
        writeln!(out, "<header>\n<h1>{}</h1> <p class=subject>{}</p>", Words(name), Words(subject))?;
        writeln!(
            out,
            "<form role=search id=search hidden><label for=find>Find</label> \
             <input id=find type=search autocomplete=off spellcheck=false placeholder=\"package, function, object\"> \
             <kbd>/</kbd> <output for=find id=found></output></form>"
        )?;
        writeln!(out, "</header>")?;
        for line in result.iter().filter(|line| !line.is_empty()) {
            writeln!(out, "<p class=result>{}", Words(line))?;
        }
        writeln!(
            out,
            "<noscript><p class=cut>The charts need JavaScript; the tables are all here.</p></noscript>"
        )
    }
}

/// As the policy names what may run.
pub(super) fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// Begins a section.
pub(super) fn section(id: &str, title: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<section id={id} aria-labelledby={id}-title>\n<h2 id={id}-title>{}</h2>", Words(title))
}

/// Ends a section.
pub(super) fn end(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "</section>")
}

/// The place of a chart that the script draws.
pub(super) fn chart(id: &str, label: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<div class=chart id={id} data-label=\"{}\" hidden></div>", Words(label))
}
