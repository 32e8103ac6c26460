//! Everything that a look at a running program's blocking tells, ready for any format.

use super::super::findings::Finding;
use super::super::gc::GcReport;
use super::super::parking::ParkingReport;
use super::super::report::{Ending, MissingProbe, Subject};
use super::super::time_sums::TimeSums;
use super::super::waits::{Symbols, syscall_name};
use super::cause::BlockingCause;
use super::class::{Class, Idle};
use super::entry::{Entry, Group, grouped, total};
use super::findings::findings;
use super::losses::BlockingLosses;
use super::names::type_name;
use super::now::{BlockedGroup, BlockedNow, groups};
use super::on_cpu::{OnCpu, on_cpu};
use super::scheduler::Scheduler;
use super::site::{Place, Site};
use super::slow::{SlowCall, SlowCalls};
use super::stacks::Stacks;
use super::sums::tallies;
use crate::event::blocking::{Caller, Kind};
use crate::stream::{ProbeLoss, Tables};
use crate::units::Nanos;

/// What a report is made from.
pub struct BlockingInput<'a> {
    /// Whose report it is; its wall clock is that of `began`.
    pub subject: Subject,
    /// When the span began, on the boot clock.
    pub began: Nanos,
    /// When it ended: when the tables were read.
    pub ended: Nanos,
    /// From how long on a stack was taken.
    pub stack_from: Nanos,
    /// From how long on a call was told by itself.
    pub slow_from: Nanos,
    /// How many times a second it was looked where the program runs, on each CPU; zero for never.
    pub frequency: u64,
    /// The sums at the end of the span.
    pub tables: &'a Tables,
    /// The sums at its beginning; none when it began with the first probe.
    pub before: Option<&'a Tables>,
    /// The slow calls of the span.
    pub slow: &'a SlowCalls,
    /// Who was blocked when it ended.
    pub blocked_now: Vec<BlockedNow>,
    /// Every probe's account.
    pub losses: Vec<ProbeLoss>,
    /// Records that were none of this version's.
    pub undecodable: u64,
    /// What could not be seen, each with the reason.
    pub missing: Vec<MissingProbe>,
    /// How the process ended, if it did.
    pub ending: Ending,
    /// What addresses mean.
    pub symbols: &'a dyn Symbols,
}

/// What a running program's system calls and network waits cost it in a span of time.
#[derive(Clone, Debug)]
pub struct BlockingReport {
    /// Whose report it is; its wall clock is that of `began`.
    pub subject: Subject,
    /// When the span began, on the boot clock.
    pub began: Nanos,
    /// When it ended.
    pub ended: Nanos,
    /// From how long on a stack was taken.
    pub stack_from: Nanos,
    /// From how long on a call was told by itself.
    pub slow_from: Nanos,
    /// How many times a second it was looked where the program runs, on each CPU; zero for never.
    pub frequency: u64,
    /// Every sum, the costliest first.
    pub entries: Vec<Entry>,
    /// Where the program was met on a CPU, the most first.
    pub on_cpu: Vec<OnCpu>,
    /// The slowest calls and waits one by one, the slowest first.
    pub slow: Vec<SlowCall>,
    /// How many slow ones there were.
    pub slow_count: u64,
    /// Who was blocked when the span ended.
    pub blocked_now: Vec<BlockedNow>,
    /// The same, by place: the suffered first.
    pub blocked_groups: Vec<BlockedGroup>,
    /// What the calls do to the scheduler.
    pub scheduler: Scheduler,
    /// What of the data is missing.
    pub losses: BlockingLosses,
    /// What could not be seen, each with the reason.
    pub missing: Vec<MissingProbe>,
    /// How the process ended, if it did.
    pub ending: Ending,
    /// Why goroutines did not run, when that was asked for.
    pub parking: Option<ParkingReport>,
    /// What the garbage collector did, unless that was not wanted or could not be seen.
    pub gc: Option<GcReport>,
}

impl BlockingReport {
    /// What the input tells.
    #[must_use]
    pub fn of(input: BlockingInput<'_>) -> Self {
        let module = input.subject.module.as_deref();
        let mut stacks = Stacks::new(input.tables, input.symbols);
        let mut losses = BlockingLosses {
            probes: input.losses,
            undecodable: input.undecodable.saturating_add(input.tables.undecodable),
            untold_objects: input.slow.untold,
            ..BlockingLosses::default()
        };
        let tallies = tallies(input.tables, input.before);
        let mut entries = Vec::with_capacity(tallies.len());
        for tally in tallies {
            losses.add(&tally, stacks.is_missing(&tally.key));
            let resolved = stacks.resolve(tally.key.stack, tally.key.gopc);
            entries.push(Entry::of(tally, resolved, module, input.slow));
        }
        let samples = on_cpu(input.tables, input.before, &mut stacks, module);
        let rank =
            |entry: &Entry| (std::cmp::Reverse((entry.sums.total, entry.sums.count)), entry.key.syscall);
        entries.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.site.cmp(&b.site)));
        let blocked_groups = groups(&input.blocked_now, module);
        Self {
            began: input.began,
            ended: input.ended,
            stack_from: input.stack_from,
            slow_from: input.slow_from,
            frequency: input.frequency,
            scheduler: Scheduler::of(&entries),
            entries,
            on_cpu: samples,
            slow: input.slow.slowest().into_iter().cloned().collect(),
            slow_count: input.slow.count,
            blocked_now: input.blocked_now,
            blocked_groups,
            losses,
            missing: input.missing,
            ending: input.ending,
            parking: None,
            gc: None,
            subject: input.subject,
        }
    }

    /// How long the span was.
    #[must_use]
    pub fn span(&self) -> Nanos {
        self.ended.since(self.began)
    }

    /// What stands out, without the collector's part, the costliest first. Formats that do not tell it need not wait for it.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        findings(self)
    }

    /// What stands out, the collector's part too, the costliest first.
    #[must_use]
    pub fn all_findings(&self) -> Vec<Finding> {
        let of_gc = self.gc.iter().flat_map(|gc| &gc.findings);
        let mut findings: Vec<Finding> = self.findings().into_iter().chain(of_gc.cloned()).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.duration));
        findings
    }

    /// What kept goroutines from going on.
    pub fn suffered(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_suffered())
    }

    /// All of that time, of all goroutines together.
    #[must_use]
    pub fn suffered_total(&self) -> Nanos {
        total(self.suffered())
    }

    /// It by cause.
    #[must_use]
    pub fn by_cause(&self) -> Vec<Group<BlockingCause>> {
        grouped(self.suffered(), |entry| Some(entry.cause))
    }

    /// It by line of code and cause.
    #[must_use]
    pub fn by_site(&self) -> Vec<Group<(Site, BlockingCause)>> {
        grouped(self.suffered(), |entry| Some((entry.site.clone(), entry.cause)))
    }

    /// It by the go statement that made the goroutine.
    #[must_use]
    pub fn by_origin(&self) -> Vec<Group<Place>> {
        grouped(self.suffered(), |entry| entry.origin.as_ref().map(Place::of))
    }

    /// Waits in the network poller that ended without another try, by line of code: at most that long.
    #[must_use]
    pub fn without_retry(&self) -> Vec<Group<(Site, BlockingCause)>> {
        let waits = self
            .entries
            .iter()
            .filter(|entry| entry.class == Class::Suffered && entry.key.kind == Kind::NoRetry);
        grouped(waits, |entry| Some((entry.site.clone(), entry.cause)))
    }

    /// The idle time by its kind.
    #[must_use]
    pub fn idle(&self) -> Vec<Group<Idle>> {
        grouped(&self.entries, |entry| match entry.class {
            Class::Idle(idle) => Some(idle),
            _ => None,
        })
    }

    /// Calls and waits that were too short for a stack, and those of threads outside Go.
    #[must_use]
    pub fn apart(&self) -> Vec<Group<Class>> {
        grouped(&self.entries, |entry| {
            matches!(entry.class, Class::Brief | Class::Outside).then_some(entry.class)
        })
    }

    /// Every system call by its number, and of each by who made it.
    #[must_use]
    pub fn by_syscall(&self) -> Vec<Group<u64>> {
        grouped(self.calls(), |entry| Some(entry.key.syscall))
    }

    /// Every system call by its number and who made it.
    #[must_use]
    pub fn by_caller(&self) -> Vec<Group<(u64, Caller)>> {
        grouped(self.calls(), |entry| Some((entry.key.syscall, entry.key.caller)))
    }

    /// What the slow calls of suffering goroutines were on, the costliest first.
    #[must_use]
    pub fn by_object(&self) -> Vec<(String, TimeSums)> {
        let all = grouped(self.suffered(), |_| Some(()));
        all.into_iter().next().map(|group| group.objects).unwrap_or_default()
    }

    fn calls(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.key.kind == Kind::Call)
    }
}

impl Entry {
    /// The system call's name; of a wait, of the call that would have blocked.
    #[must_use]
    pub fn syscall(&self) -> String {
        syscall_name(self.key.syscall)
    }

    /// What kind of thing its descriptor stands for, where that is known.
    #[must_use]
    pub fn object_type(&self) -> Option<&'static str> {
        self.key.file_type.map(type_name)
    }
}
