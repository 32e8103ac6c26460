//! The table: docs/matrix.json, and docs/matrix.md for people.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use super::aspect::{ASPECTS, Verdict};
use super::docs;
use crate::fixtures::Build;

/// What was tried, the latest of each.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Table {
    rows: Vec<Row>,
}

/// One Go version built in one way, on one kernel.
#[derive(Serialize, Deserialize)]
pub(super) struct Row {
    go: String,
    build: Build,
    kernel: String,
    parts: BTreeMap<String, Verdict>,
}

impl Row {
    pub(super) fn of(go: &str, build: Build, kernel: &str, verdicts: BTreeMap<&str, Verdict>) -> Self {
        let parts = verdicts.into_iter().map(|(name, verdict)| (name.to_owned(), verdict)).collect();
        Self { go: go.into(), build, kernel: kernel.into(), parts }
    }

    /// Versions by their numbers, builds in their order, this kernel before the guests'.
    fn place(&self) -> (Vec<u32>, u8, bool, String) {
        let numbers = self.go.split('.').filter_map(|number| number.parse().ok()).collect();
        (numbers, self.build as u8, self.kernel != "native", self.kernel.clone())
    }

    pub(super) fn unbuilt(go: &str, build: Build, reason: &str) -> Self {
        let verdicts = ASPECTS.iter().map(|aspect| (aspect.name, Verdict::Unbuilt(reason.into()))).collect();
        Self::of(go, build, "native", verdicts)
    }
}

impl Table {
    /// The table as it was left.
    pub(super) fn read() -> Result<Self> {
        let path = docs().join("matrix.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("reading {}", path.display())),
            Err(_) => Ok(Self::default()),
        }
    }

    /// Puts a row in place of what was there of its parts.
    pub(super) fn put(&mut self, row: Row) {
        let is_it =
            |other: &&mut Row| other.go == row.go && other.build == row.build && other.kernel == row.kernel;
        match self.rows.iter_mut().find(is_it) {
            Some(old) => old.parts.extend(row.parts),
            None => self.rows.push(row),
        }
    }

    pub(super) fn failed(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_)))
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} passed, {} failed, {} refused with a reason, {} not built",
            self.count(|verdict| *verdict == Verdict::Passed),
            self.failed(),
            self.count(|verdict| matches!(verdict, Verdict::Refused(_))),
            self.count(|verdict| matches!(verdict, Verdict::Unbuilt(_))),
        )
    }

    fn count(&self, is_it: impl Fn(&Verdict) -> bool) -> usize {
        self.rows.iter().flat_map(|row| row.parts.values()).filter(|verdict| is_it(verdict)).count()
    }

    /// Writes both files.
    pub(super) fn write(&mut self) -> Result<()> {
        self.rows.sort_by_key(Row::place);
        let json = serde_json::to_string_pretty(self)? + "\n";
        for (name, text) in [("matrix.json", json), ("matrix.md", self.markdown())] {
            let path = docs().join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    fn markdown(&self) -> String {
        let mut text = "# What was tried\n\n".to_owned();
        let mut say = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        say(
            "Written by `cargo xtask matrix`. Each part is compared with its oracle: the program's own account, Go's",
        );
        say(
            "own traces (`GODEBUG=inittrace=1,gctrace=1`), `runtime/metrics`. A number leads to the reason below.",
        );
        say("");
        say(&format!("{}.", self.summary()));
        say("");
        let names = ASPECTS.map(|aspect| aspect.name);
        say(&format!("| Go | build | kernel | {} |", names.join(" | ")));
        say(&format!("|---|---|---|{}", "---|".repeat(names.len())));
        let mut reasons = Reasons::default();
        for row in &self.rows {
            let cells = names.map(|name| match row.parts.get(name) {
                None => String::new(),
                Some(Verdict::Passed) => "yes".into(),
                Some(Verdict::Refused(reason)) => format!("refused [{}]", reasons.number(reason)),
                Some(Verdict::Failed(tests)) => format!("**failed** [{}]", reasons.number(&tests.join(", "))),
                Some(Verdict::Unbuilt(reason)) => format!("not built [{}]", reasons.number(reason)),
            });
            let label = row.build.to_possible_value();
            let label = label.as_ref().map_or("", |value| value.get_name());
            say(&format!("| {} | {} | {} | {} |", row.go, label, row.kernel, cells.join(" | ")));
        }
        say("");
        for (number, reason) in reasons.0.iter().enumerate() {
            say(&format!("{}. {}", number + 1, reason.replace('\n', " ")));
        }
        text
    }
}

/// The reasons, in the order of their first use.
#[derive(Default)]
struct Reasons(Vec<String>);

impl Reasons {
    fn number(&mut self, reason: &str) -> usize {
        let found = self.0.iter().position(|known| known == reason);
        found.unwrap_or_else(|| {
            self.0.push(reason.to_owned());
            self.0.len() - 1
        }) + 1
    }
}
