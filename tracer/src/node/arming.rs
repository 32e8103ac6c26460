//! The probes of the programs: into place, and away when a file has changed or watching takes too much.

use std::sync::Arc;
use std::time::Instant;

use super::agent::Session;
use super::collection::collections_time;
use super::looker::Stamp;
use super::program::Program;
use super::programs::Watched;
use crate::export::printable;
use crate::target::descriptor::Identity as FileId;
use crate::units::{boot_clock, clock_time};

impl Session {
    /// Puts a program's probes in place. Returns its number.
    pub(super) fn watch(
        &mut self,
        file: FileId,
        program: Program,
    ) -> Result<u64, Box<dyn std::error::Error>> {
        let stamp = Stamp::of(&program.file)?;
        let number = self.programs.next_number();
        let begun = Instant::now();
        self.kernel.watching.arm(number, &program.file, &program.sites)?;
        tracing::debug!(exe = %printable(&program.exe), took = ?begun.elapsed(), "probes are in place");
        tracing::info!(
            exe = %printable(&program.exe),
            module = %printable(program.module.as_deref().unwrap_or_default()),
            sites = program.sites.len(),
            "watched"
        );
        let watched = Watched { program: Arc::new(program), stamp, since: boot_clock(), events: 0 };
        self.programs.watch(file, number, watched);
        self.state.lock().binaries = self.programs.len();
        // Others of it may have begun meanwhile.
        self.look_around = true;
        Ok(number)
    }

    /// Takes those away of files that are not what they were, or that nobody can run any more.
    pub(super) fn files_changed(&mut self, changed: &[u64], unlinked: &[u64]) {
        let runs = |number: &u64| {
            let Some(watched) = self.programs.get(*number) else { return false };
            let state = self.state.lock();
            state.registry.iter().any(|running| Arc::ptr_eq(&running.program, &watched.program))
        };
        let gone: Vec<u64> =
            changed.iter().copied().chain(unlinked.iter().copied().filter(|number| !runs(number))).collect();
        for number in gone {
            if let Some(watched) = self.programs.get(number) {
                tracing::info!(exe = %printable(&watched.program.exe), "no longer watched: its file was changed or removed");
            }
            if let Err(error) = self.kernel.watching.disarm(number) {
                tracing::warn!("{error}");
            }
            self.programs.forget(number);
            self.look_around = true;
        }
        self.state.lock().binaries = self.programs.len();
    }

    /// When watching takes too much, programs go: each whose own probes do and, when none does and all together take too much,
    /// the one whose starts are most to tell. They are looked at again a minute later.
    pub(super) fn keep_budget(&mut self) {
        let now = Instant::now();
        let Some(budget) = self.budget.as_mut().filter(|budget| budget.is_due(now)) else { return };
        let own = clock_time(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default();
        let cpu = own.plus(collections_time());
        let hits = self.kernel.losses().map_or(0, |losses| losses.iter().map(|loss| loss.hits).sum());
        let counts = self.programs.take_counts();
        let mut going = budget.too_dear(now, &counts);
        let together = budget.exceeded(now, cpu, hits);
        let busiest = counts.into_iter().max_by_key(|(_, events)| *events).filter(|(_, events)| *events > 0);
        if let (Some(part), Some((number, _)), true) = (together, busiest, going.is_empty()) {
            going.push((number, part));
        }
        going.into_iter().for_each(|(number, part)| self.suspend(number, part));
    }

    /// Takes a program's probes away for a minute, as watching took that part of a processor.
    fn suspend(&mut self, number: u64, part: f64) {
        if let Some(Watched { program, .. }) = self.programs.get(number) {
            let exe = printable(&program.exe);
            tracing::warn!(%exe, part, "not watched for a minute: watching takes more than it may");
        }
        if let Err(error) = self.kernel.watching.disarm(number) {
            tracing::warn!("{error}");
        }
        self.programs.suspend(number, boot_clock());
        let mut state = self.state.lock();
        state.binaries = self.programs.len();
        state.tally.suspended += 1;
    }
}
