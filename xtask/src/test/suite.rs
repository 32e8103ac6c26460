//! Counts: what each part of the tests said, and the closing table.

use std::io::Read as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::exec::{Voice, line};

const VOICE: Voice = Voice("check");

/// Far longer than any test takes, and than a build before the first of them.
const PATIENCE: Duration = Duration::from_secs(600);

/// How many failed tests of a part are run a second time; more than that is no bad luck.
const AGAIN_AT_MOST: usize = 3;

/// All that ran.
#[derive(Default)]
pub(crate) struct Suite {
    parts: Vec<Part>,
    notes: Vec<String>,
}

/// One run of some tests in one place.
#[derive(Default)]
pub(crate) struct Part {
    what: String,
    place: String,
    /// When it began, if it runs beside others: its lines then say whose they are.
    beside_others: Option<Instant>,
    passed: u64,
    failed: u64,
    seconds: u64,
    /// Whether a closing line of the test runner was seen.
    reported: bool,
    /// The tests that the test runner named at its end as failed.
    failures: Failures,
    /// Those of them that passed when they were run a second time.
    passed_again: Vec<String>,
}

impl Suite {
    /// Runs a part; an error in it counts as a failure, and the others go on.
    pub(crate) fn part(&mut self, what: &str, place: &str, run: impl FnOnce(&mut Part) -> Result<()>) {
        self.parts.push(Part::of(what, place, None, run));
    }

    /// Runs the same part in several places at once; where there is more than one, each line says which it is from. What
    /// failed is run again, as [`Part::again`] says, one place after the other when all are done: in quiet.
    pub(crate) fn parts_at_once<T: Send>(
        &mut self,
        what: &str,
        places: Vec<(String, T)>,
        run: impl Fn(&mut T, &mut Part) -> Result<()> + Sync,
        again: impl Fn(&mut T, &[String], &mut Part) -> Result<()>,
    ) {
        let run = &run;
        let begun = (places.len() > 1).then(Instant::now);
        let ended = thread::scope(|scope| {
            let start = |(place, mut with): (String, T)| {
                scope.spawn(move || (Part::of(what, &place, begun, |part| run(&mut with, part)), with))
            };
            let started: Vec<_> = places.into_iter().map(start).collect();
            started.into_iter().map(ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        for ended in ended {
            let (mut part, mut with) = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let begun = Instant::now();
            if let Err(error) = part.again(|tests, part| again(&mut with, tests, part)) {
                part.fail(&format!("{error:#}"));
            }
            part.seconds += begun.elapsed().as_secs();
            self.parts.push(part);
        }
    }

    /// A part that could not even be started.
    pub(crate) fn lost(&mut self, what: &str, place: &str, error: &anyhow::Error) {
        self.part(what, place, |part| {
            part.fail(&format!("could not run: {error:#}"));
            Ok(())
        });
    }

    /// Something that the reader of the table must know.
    pub(crate) fn note(&mut self, note: &str) {
        VOICE.say(note);
        self.notes.push(note.into());
    }

    /// Prints the table and the closing line.
    pub(crate) fn finish(&self) -> Result<ExitCode> {
        println!("\n{:<22} {:<28} {:>7} {:>7} {:>8}", "what", "where", "passed", "failed", "seconds");
        for part in &self.parts {
            let Part { what, place, passed, failed, seconds, .. } = part;
            println!("{what:<22} {place:<28} {passed:>7} {failed:>7} {seconds:>8}");
        }
        for Part { what, place, passed_again, .. } in &self.parts {
            for test in passed_again {
                println!("note: {what} ({place}): {test} failed, and passed when it was run a second time");
            }
        }
        for note in &self.notes {
            println!("note: {note}");
        }
        let passed: u64 = self.parts.iter().map(|part| part.passed).sum();
        let failed: u64 = self.parts.iter().map(|part| part.failed).sum();
        println!("\n{passed} passed, {failed} failed");
        Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Part {
    fn of(
        what: &str,
        place: &str,
        beside_others: Option<Instant>,
        run: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Self {
        VOICE.say(format_args!("{what} ({place})"));
        let started = Instant::now();
        let mut part = Self { what: what.into(), place: place.into(), beside_others, ..Self::default() };
        if let Err(error) = run(&mut part) {
            part.fail(&format!("{error:#}"));
        } else if !part.reported {
            part.fail("the test runner never came to its closing line");
        }
        part.seconds = started.elapsed().as_secs();
        part
    }

    /// Runs a test runner, and reads what it prints; one that prints nothing for [`PATIENCE`] is ended.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<()> {
        VOICE.say(line(command));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", line(command)))?;
        let mut output = child.stdout.take().context("the output was piped")?;
        let (sender, said) = mpsc::channel();
        // Not joined: what a test left running may hold the pipe open for as long as it likes.
        thread::spawn(move || {
            let mut buffer = [0; 8 * 1024];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut unfinished = Vec::new();
        loop {
            match said.recv_timeout(PATIENCE) {
                Ok(bytes) => {
                    unfinished.extend(bytes);
                    while let Some(end) = unfinished.iter().position(|byte| *byte == b'\n') {
                        let text: Vec<u8> = unfinished.drain(..=end).collect();
                        self.line(&String::from_utf8_lossy(&text[..end]));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    // The test that is running is named in the line that it has not finished.
                    self.line(&String::from_utf8_lossy(&unfinished));
                    child.kill().with_context(|| format!("ending {}", line(command)))?;
                    child.wait().with_context(|| format!("waiting for {}", line(command)))?;
                    bail!("it printed nothing for {} s and was ended", PATIENCE.as_secs());
                }
            }
        }
        let status = child.wait().with_context(|| format!("waiting for {}", line(command)))?;
        self.exit(status.success());
        Ok(())
    }

    /// Prints and reads one line of a test runner.
    pub(crate) fn line(&mut self, text: &str) {
        match self.beside_others {
            Some(begun) => println!("[{}, {} s] {text}", self.place, begun.elapsed().as_secs()),
            None => println!("{text}"),
        }
        self.failures.line(text);
        if let Some((passed, failed)) = closing_line(text) {
            self.reported = true;
            self.passed += passed;
            self.failed += failed;
        }
    }

    /// Runs a few tests that failed a second time, by themselves: a machine that stood still for a moment makes a test of
    /// time fail once, a fault does it again. The closing table names those that passed then.
    pub(crate) fn again(&mut self, run: impl FnOnce(&[String], &mut Self) -> Result<()>) -> Result<()> {
        let names = self.failures.names.clone();
        // Anything else that failed is not a test's bad luck.
        if names.is_empty() || names.len() > AGAIN_AT_MOST || self.failed != names.len() as u64 {
            return Ok(());
        }
        self.failures.names.clear();
        VOICE.say(format_args!("{}: a second time: {}", self.what, names.join(" ")));
        let (passed, failed) = (self.passed, std::mem::take(&mut self.failed));
        self.reported = false;
        let ran = run(&names, self);
        let counted = self.passed - passed + self.failed;
        if ran.is_err() || counted != failed {
            self.passed = passed;
            self.failed = failed;
            self.reported = true;
            self.failures.names = names;
            return ran;
        }
        let failing = &self.failures.names;
        self.passed_again.extend(names.into_iter().filter(|name| !failing.contains(name)));
        Ok(())
    }

    /// The tests that failed, by name.
    pub(crate) fn failing(&self) -> &[String] {
        &self.failures.names
    }

    /// How many tests ended.
    pub(crate) fn counted(&self) -> u64 {
        self.passed + self.failed
    }

    /// How the test runner ended: one that fails without having said so has failed all the same.
    pub(crate) fn exit(&mut self, success: bool) {
        if !success && self.failed == 0 {
            self.fail("the test runner failed");
        }
    }

    /// Counts a check of our own.
    pub(crate) fn pass(&mut self, why: &str) {
        VOICE.say(format_args!("{}: {why}", self.what));
        self.reported = true;
        self.passed += 1;
    }

    /// Counts a failure of our own.
    pub(crate) fn fail(&mut self, why: &str) {
        VOICE.say(format_args!("FAILED: {} ({}): {why}", self.what, self.place));
        self.reported = true;
        self.failed += 1;
    }
}

/// The names of the tests that failed, as a test runner lists them at its end:
///
/// ```text
/// failures:
///     attach::waits::a_test
/// ```
#[derive(Default)]
struct Failures {
    listing: bool,
    names: Vec<String>,
}

impl Failures {
    fn line(&mut self, text: &str) {
        match text.strip_prefix("    ") {
            Some(name) if self.listing && !name.contains(' ') && !name.is_empty() => {
                self.names.push(name.trim_end().to_owned());
            }
            _ => self.listing = text.trim_end() == "failures:",
        }
    }
}

/// The numbers of `test result: ok. 3 passed; 0 failed; 2 ignored; …`.
fn closing_line(text: &str) -> Option<(u64, u64)> {
    let (_, counts) = text.trim().strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| {
        counts.split("; ").find_map(|count| count.strip_suffix(word)?.trim().parse::<u64>().ok())
    };
    Some((number(" passed")?, number(" failed")?))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{Failures, Part, Suite, closing_line};

    /// What a test runner prints when some of its tests fail.
    fn runner(part: &mut Part, passed: u64, failing: &[&str]) {
        part.line("failures:");
        part.line("");
        part.line("---- a::test stdout ----");
        part.line("    what it printed");
        part.line("");
        part.line("failures:");
        for name in failing {
            part.line(&format!("    {name}"));
        }
        part.line("");
        part.line(&format!("test result: FAILED. {passed} passed; {} failed; 0 ignored", failing.len()));
    }

    #[test]
    fn what_failed_is_known_by_name() {
        let mut failures = Failures::default();
        for text in
            ["failures:", "", "    printed", "failures:", "    a::test", "    b::test", "", "    printed"]
        {
            failures.line(text);
        }
        assert_eq!(failures.names, ["a::test", "b::test"]);
    }

    #[test]
    fn a_test_may_fail_once() {
        let mut part = Part::default();
        runner(&mut part, 5, &["a", "b"]);
        part.again(|names, part| {
            assert_eq!(names, ["a", "b"]);
            runner(part, 1, &["b"]);
            Ok(())
        })
        .unwrap();
        assert_eq!((part.passed, part.failed), (6, 1));
        assert_eq!(part.passed_again, ["a"]);
    }

    #[test]
    fn what_failed_is_run_again_when_every_place_is_done() {
        let still_running = AtomicUsize::new(2);
        let run = |failing: &mut &[&str], part: &mut Part| {
            if failing.is_empty() {
                std::thread::sleep(Duration::from_millis(20));
            }
            runner(part, 1, failing);
            still_running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        let again = |_: &mut &[&str], tests: &[String], part: &mut Part| {
            assert_eq!((tests, still_running.load(Ordering::SeqCst)), (&["a".to_owned()][..], 0));
            runner(part, 1, &[]);
            Ok(())
        };
        let mut suite = Suite::default();
        let places: Vec<(String, &[&str])> = vec![("here".into(), &["a"]), ("there".into(), &[])];
        suite.parts_at_once("tests", places, run, again);
        let counts = suite.parts.iter().map(|part| (part.passed, part.failed)).collect::<Vec<_>>();
        assert_eq!(counts, [(2, 0), (1, 0)]);
        assert_eq!(suite.parts[0].passed_again, ["a"]);
    }

    #[test]
    fn what_is_not_a_tests_bad_luck_is_not_tried_again() {
        let many = ["a", "b", "c", "d"];
        let mut part = Part::default();
        runner(&mut part, 5, &many);
        part.again(|_, _| unreachable!("too many failed")).unwrap();
        assert_eq!((part.passed, part.failed), (5, 4));

        let mut part = Part::default();
        runner(&mut part, 5, &["a"]);
        part.fail("the guest's kernel log");
        part.again(|_, _| unreachable!("something else failed")).unwrap();
        assert_eq!((part.passed, part.failed), (5, 2));

        let mut part = Part::default();
        runner(&mut part, 5, &["a"]);
        assert!(part.again(|_, _| anyhow::bail!("it could not be started")).is_err());
        assert_eq!((part.passed, part.failed), (5, 1));
    }

    #[test]
    fn closing_lines_are_read() {
        let text = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(closing_line(text), Some((12, 3)));
        assert_eq!(closing_line("test result: ok. x passed; 3 failed"), None);
        assert_eq!(closing_line("running 3 tests"), None);
    }
}
