//! What every page must be, whatever it is of. How it behaves is tested in a browser (tracer/tests/browser).

use super::page::hash;
use crate::export::blocking_tests::whole;
use crate::export::golden_tests::report;
use crate::export::{Format, Told, View};

fn pages() -> [(Told<'static>, &'static str); 2] {
    let start: &'static _ = Box::leak(Box::new(report()));
    let running: &'static _ = Box::leak(Box::new(whole()));
    [(Told::Start(start), "start"), (Told::Running(running), "running")]
}

fn written(told: Told<'_>, format: Format) -> String {
    let mut out = Vec::new();
    format.write(told, &View::default(), false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What is between two marks.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let at = page.find(from).unwrap_or_else(|| panic!("no {from}")) + from.len();
    &page[at..at + page[at..].find(to).unwrap()]
}

#[test]
fn its_data_are_the_lines_of_the_contract() {
    for (told, kind) in pages() {
        let page = written(told, Format::Html);
        let data = between(&page, "<script type=\"application/json\" id=data>", "</script>");
        let data: Vec<serde_json::Value> = serde_json::from_str(data).unwrap();
        let lines = written(told, Format::Ndjson);
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(data, lines, "{kind}");
    }
}

#[test]
fn nothing_runs_but_its_own_script() {
    for (told, kind) in pages() {
        let page = written(told, Format::Html);
        let policy = between(&page, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for (from, to, what) in
            [("<script>", "</script>", "script-src"), ("<style>", "</style>", "style-src")]
        {
            let hash = hash(between(&page, from, to));
            assert!(policy.contains(&format!("{what} '{hash}'")), "{kind}: {what}");
        }
        assert_eq!(page.matches("<script").count(), 2, "{kind}");
        for outside in [" style=", " src=", " href=\"http", "url(http", "@import", " onclick", "innerHTML"] {
            assert!(!page.contains(outside), "{kind}: {outside}");
        }
    }
}

#[test]
fn it_is_small_and_whole_without_its_script() {
    for (told, kind) in pages() {
        let page = written(told, Format::Html);
        assert!(page.len() < 200_000, "{kind}: {} bytes", page.len());
        let shown = &page[..page.find("<script").unwrap()];
        let names: &[&str] = match kind {
            "start" => {
                &["main.main after 4.00 ms", "net/http", "sleeps for 1.80 ms", "INCOMPLETE", "schedinit_done"]
            }
            _ => &[
                "in 10.000 s",
                "main.save",
                "name server",
                "INCOMPLETE",
                "task_struct.files",
                "/run/app.lock",
            ],
        };
        for name in names {
            assert!(shown.contains(name), "{kind}: {name}");
        }
        assert!(!shown.contains('\u{1b}'), "{kind}");
    }
}
