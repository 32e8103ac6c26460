//! Profiles in speedscope's own reader: its pages, served here, as the npm registry has them.

use std::path::PathBuf;

use gotrace::export::Told;

use super::page::Page;
use super::reports::{file, running, start};
use super::server::Server;

/// Opens a profile in the view that lists functions.
fn opened(told: Told<'_>) -> (tempfile::TempDir, Server, Page) {
    let pages =
        PathBuf::from(std::env::var_os("GOTRACE_SPEEDSCOPE").expect("GOTRACE_SPEEDSCOPE names its pages"));
    let folder = tempfile::tempdir().unwrap();
    for page in std::fs::read_dir(pages).unwrap() {
        let page = page.unwrap().path();
        std::fs::copy(&page, folder.path().join(page.file_name().unwrap())).unwrap();
    }
    file(told, folder.path(), "profile.speedscope.json");
    let server = Server::of(folder.path());
    let address = server.address();
    let mut page = Page::open(&format!(
        "{address}/index.html#profileURL={address}/profile.speedscope.json&title=profile"
    ));
    page.wait_until("document.body.textContent.includes('Sandwich')");
    (folder, server, page)
}

/// The rows of its table: each function with its total and its own time.
fn functions(page: &mut Page) -> Vec<String> {
    page.press(&["3"]);
    // The profiles are listed in rows too, before the functions are.
    page.wait_until("[...document.querySelectorAll('tr')].some(row => row.innerText.includes('%'))");
    let rows = page.eval("[...document.querySelectorAll('tr')].map(row => row.innerText)");
    rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap().replace(['\t', '\n'], " ")).collect()
}

/// Whether a function is there with these figures.
fn has(rows: &[String], function: &str, figures: &str) -> bool {
    rows.iter().any(|row| row.contains(function) && row.contains(figures))
}

fn screenshot(page: &mut Page, name: &str) {
    page.press(&["1"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    page.screenshot(name);
}

#[test]
#[ignore = "needs Chromium"]
fn it_reads_how_a_program_started() {
    let (_folder, server, mut page) = opened(Told::Start(&start(12)));
    let rows = functions(&mut page);
    assert!(has(&rows, "example.com/app/part11", "200.00ms"), "{rows:#?}");
    assert!(has(&rows, "package_init", "211.00ms"), "{rows:#?}");
    screenshot(&mut page, "speedscope-start.png");
    page.assert_stays_at(&server);
}

#[test]
#[ignore = "needs Chromium"]
fn it_reads_what_a_program_was_blocked_on() {
    let (_folder, server, mut page) = opened(Told::Running(&running(40)));
    let rows = functions(&mut page);
    // All of it is in the system call, 40 times 2 ms.
    assert!(has(&rows, "internal/runtime/syscall.Syscall6", "80.00ms (100%)"), "{rows:#?}");
    assert!(has(&rows, "main.__proto__", "20.00ms (25%)"), "{rows:#?}");
    assert_eq!(page.eval("document.querySelectorAll('img').length"), 0);
    screenshot(&mut page, "speedscope-running.png");
    page.assert_stays_at(&server);
}
