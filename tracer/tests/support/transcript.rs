//! The README's blocks as transcripts: what is typed there, and what it shows. A figure there stands for any
//! figure, and `…` for any lines.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use regex::{Captures, Regex};

/// A command and what it shows.
pub(crate) struct Transcript {
    /// What is typed, word by word, without `sudo`.
    pub(crate) command: Vec<String>,
    /// What is shown for it.
    pub(crate) shown: String,
}

/// Every `console` block of the README.
pub(crate) fn transcripts() -> Vec<Transcript> {
    let transcript = |block: &str| {
        let (typed, shown) = block.split_once('\n').expect("a command and what it shows");
        let command = typed.strip_prefix("$ ").and_then(words).expect("a command of gotrace's");
        Transcript { command, shown: shown.to_owned() }
    };
    blocks("console").map(transcript).collect()
}

/// Every command line of gotrace's in the README, word by word.
pub(crate) fn command_lines() -> Vec<Vec<String>> {
    let typed = blocks("sh").flat_map(str::lines).filter_map(words);
    typed.chain(transcripts().into_iter().map(|transcript| transcript.command)).collect()
}

fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{language}\n");
    let after = include_str!("../../../README.md").split("\n```");
    // Each opening fence is followed by its block, up to the closing one.
    after.filter_map(move |piece| piece.strip_prefix(&fence[3..]))
}

/// What gotrace is given by a line of the shell: up to a pipe or a comment.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.split([';', '|', '#']).next()?.trim();
    let given = line.strip_prefix("sudo ").unwrap_or(line).strip_prefix("gotrace ")?;
    Some(given.split_whitespace().map(str::to_owned).collect())
}

impl Transcript {
    /// Whether that is shown, but for its figures.
    pub(crate) fn is_shown_by(&self, output: &str) -> bool {
        let output: Vec<String> = output.lines().map(without_figures).collect();
        let expected: Vec<String> = self.shown.lines().map(without_figures).collect();
        let mut parts: Vec<&[String]> = expected.split(|line| line == "…").collect();
        let Some(last) = parts.pop() else { return false };
        let mut rest = &output[..];
        for (index, part) in parts.into_iter().enumerate() {
            let at = rest.windows(part.len().max(1)).position(|lines| lines.starts_with(part));
            match at {
                Some(at) if index > 0 || at == 0 => rest = &rest[at + part.len()..],
                _ => return false,
            }
        }
        if rest.len() == output.len() { rest == last } else { rest.ends_with(last) }
    }

    /// The lines that are not shown at all, but for their figures: where neighbours take the processors, the order
    /// is theirs.
    pub(crate) fn not_shown_by(&self, output: &str) -> Vec<&str> {
        let output: Vec<String> = output.lines().map(without_figures).collect();
        let missing = |line: &&str| *line != "…" && !output.contains(&without_figures(line));
        self.shown.lines().filter(missing).collect()
    }
}

/// A line with a sign for every figure that differs from run to run, for bars, and for the lesser reasons of a
/// phase's or init's time, which only a busy machine shows.
fn without_figures(line: &str) -> String {
    let replace = |line: String, pattern: &str, by: &str| -> String {
        let pattern = Regex::new(pattern).expect("a regular expression");
        pattern
            .replace_all(&line, |found: &Captures<'_>| {
                by.replace('1', found.get(1).map_or("", |word| word.as_str()))
            })
            .into_owned()
    };
    let mut line = line.to_owned();
    for (pattern, by) in [
        (r"[█▉▊▋▌▍▎▏]+", ""),
        (r"\b\d+(?:\.\d+)? (?:ns|µs|ms|s|m)\b", "TIME"),
        (r"\b\d+\.\d%", "SHARE"),
        (r"\b(pid|city) \d+", "1 N"),
        (r"\b(build|Linux) [\w.+~-]+", "1 N"),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"\b\d+ (waits|page faults|of them|probe hits|threads|Ps|goroutines)\b", "N 1"),
        (r"(?:, |  )(?:without a CPU|futex|page fault|unexplained|goroutine|gc|other|file|network) TIME", ""),
        (r", sleep TIME", "  sleep TIME"),
        // The program ends at the moment at which it is ready.
        (r"; (?:still running|exited with 0 after TIME)", "; END"),
        (r"main\.main \(so far\)", "main.main"),
        (r"\s+", " "),
    ] {
        line = replace(line, pattern, by);
    }
    line.trim().to_owned()
}
