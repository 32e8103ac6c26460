//! Who is blocked at this moment: what the kernel side saw begin, and what the program's memory tells of the rest.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::event::blocking::{InSyscall, Parked};
use crate::model::blocking::{BlockedNow, Since};
use crate::model::{BinarySymbols, Code as _, LoadedCode, Stack, syscall_name};
use crate::stream::Tables;
use crate::target::descriptor::{Descriptor, Object};
use crate::target::gobin::{Frame, GoBinary, ReasonKind};
use crate::target::goroutines::{
    Goroutine, GoroutineError, GoroutineList, GoroutineStatus, Goroutines, Limits, StackRead,
};
use crate::target::memory::ProcessMemory;
use crate::target::process::{Process, ProcessError};
use crate::units::{Nanos, RuntimeAddr, boot_clock, monotonic_clock};

/// Enough to see what is there; of a million alike, a thousand stand for all.
const LIMITS: Limits = Limits { listed: 8 << 20, told: 4096, stacks: 4096, groups: 4096 };

/// The goroutines of a process, to be looked at as often as wanted.
pub(super) struct Observer<'a> {
    process: &'a Process,
    memory: ProcessMemory,
    code: LoadedCode<'a>,
    list: Result<Option<GoroutineList<'a>>, GoroutineError>,
    /// Whether addresses and paths are left out.
    redact: bool,
}

/// Who is blocked, and of whom it is not known.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) blocked: Vec<BlockedNow>,
    /// What is not told, in words.
    pub(super) untold: Vec<String>,
}

impl<'a> Observer<'a> {
    /// Of that process, which runs that binary.
    pub(super) fn of(process: &'a Process, binary: &'a GoBinary, redact: bool) -> Result<Self, ProcessError> {
        let memory = process.memory()?;
        let bias = process.load_bias(binary, &memory)?;
        let list = GoroutineList::find(binary, bias, &memory);
        Ok(Self { process, memory, code: LoadedCode { binary, bias }, list, redact })
    }

    /// What its addresses mean.
    pub(super) fn symbols(&self) -> BinarySymbols<'a> {
        let LoadedCode { binary, bias } = self.code;
        BinarySymbols { binary, bias }
    }

    /// An object in words, as far as it may be told.
    fn told(&self, object: &Object) -> String {
        if self.redact { object.redacted() } else { object.to_string() }
    }

    /// Looks at all goroutines.
    pub(super) fn look(&self, tables: &Tables) -> Seen {
        let list = match &self.list {
            Ok(Some(list)) => list,
            Ok(None) => return Seen::default(),
            Err(error) => return Seen::untold(format!("who is blocked now: {error}")),
        };
        let goroutines = match list.read(&self.memory, LIMITS) {
            Ok(goroutines) => goroutines,
            Err(error) => return Seen::untold(format!("who is blocked now: {error}")),
        };
        let mut seen = Seen { untold: counted(&goroutines), ..Seen::default() };
        let mut sources = Sources { observer: self, stacks: HashMap::new(), descriptors: OnceCell::new() };
        let parked: HashMap<u64, &Parked> =
            tables.parked.iter().map(|parked| (parked.goid, parked)).collect();
        let calls: HashMap<u32, &InSyscall> = tables.in_syscall.iter().map(|call| (call.tid, call)).collect();
        for goroutine in &goroutines.all {
            let one = match goroutine.place.status {
                GoroutineStatus::Waiting => {
                    sources.waiting(goroutine, &goroutines, parked.get(&goroutine.goid).copied())
                }
                GoroutineStatus::Syscall | GoroutineStatus::Running => {
                    let tid = goroutine.thread.and_then(|thread| self.process.thread_known_as(thread.procid));
                    let call = tid.and_then(|tid| calls.get(&tid).copied());
                    let in_call = goroutine.place.status == GoroutineStatus::Syscall || call.is_some();
                    in_call.then(|| sources.in_syscall(goroutine, &goroutines, tid, call)).flatten()
                }
                _ => None,
            };
            seen.blocked.extend(one);
        }
        seen
    }

    /// A time of the process's monotonic clock, on the boot clock; none when its clock is another.
    fn on_boot_clock(&self, monotonic: u64) -> Option<Nanos> {
        let ago = monotonic_clock().0.checked_sub(monotonic).filter(|_| self.process.shares_clock())?;
        Some(Nanos(boot_clock().0.saturating_sub(ago)))
    }
}

impl Seen {
    fn untold(why: String) -> Self {
        Self { blocked: Vec::new(), untold: vec![why] }
    }
}

/// What of the goroutines is only counted.
fn counted(goroutines: &Goroutines) -> Vec<String> {
    let alike: usize = goroutines.groups.iter().map(|group| group.count - group.told.min(group.count)).sum();
    let mut untold = Vec::new();
    let mut tell = |count: usize, what: &str| {
        if count > 0 {
            untold.push(format!("{count} goroutines {what}"));
        }
    };
    tell(alike, "more are in the same places as those that are told");
    tell(goroutines.changed, "moved on whenever their stack was read");
    tell(goroutines.unreadable, "cannot be read");
    tell(goroutines.beyond, "were not looked at: there are too many");
    untold
}

/// What goroutines share is looked up once.
struct Sources<'a, 'b> {
    observer: &'a Observer<'b>,
    stacks: HashMap<usize, Vec<Arc<Frame>>>,
    /// All open descriptors; none before the first is asked for.
    descriptors: OnceCell<BTreeMap<u64, Descriptor>>,
}

impl Sources<'_, '_> {
    fn waiting(
        &mut self,
        goroutine: &Goroutine,
        all: &Goroutines,
        parked: Option<&Parked>,
    ) -> Option<BlockedNow> {
        let wait = goroutine.place.wait?;
        let in_poller = wait.kind == ReasonKind::Poller;
        let parked = parked.filter(|_| in_poller);
        let fd = parked.map(|parked| u64::from(parked.fd)).or(goroutine.polled_fd);
        let noted = goroutine.wait_since.and_then(|since| self.observer.on_boot_clock(since));
        Some(BlockedNow {
            goid: goroutine.goid,
            state: "waiting".into(),
            syscall: parked.map(|parked| syscall_name(parked.syscall)),
            wait_reason: Some(wait.text.into()),
            tid: None,
            fd: fd.filter(|_| in_poller),
            object: fd.filter(|_| in_poller).and_then(|fd| self.object(fd)),
            since: parked.map(|parked| Since::Exactly(parked.since)).or(noted.map(Since::AtLatest)),
            stack: self.stack(goroutine, all),
            origin: self.origin(goroutine),
        })
    }

    /// None when its thread has come out of the call in the meantime.
    fn in_syscall(
        &mut self,
        goroutine: &Goroutine,
        all: &Goroutines,
        tid: Option<u32>,
        call: Option<&InSyscall>,
    ) -> Option<BlockedNow> {
        let process = self.observer.process;
        let thread = tid.and_then(|tid| process.thread(tid))?;
        let now = thread.syscall;
        // In C code it is in the state of a system call, and in none.
        if now.is_none() && goroutine.place.status != GoroutineStatus::Syscall {
            return None;
        }
        let call = call.filter(|call| now.is_some_and(|now| now.number == call.syscall));
        let object = now.map(|now| now.object(process, &self.observer.memory));
        let fd = object.as_ref().and_then(|object| object.fd);
        let object = match fd {
            Some(fd) => self.object(fd),
            // A path, an address or a time.
            None if self.observer.redact => None,
            None => object.and_then(|object| object.object),
        };
        let since = call.map(|call| Since::Exactly(call.since));
        let off_cpu = thread.off_cpu_since.map(Since::AtLatest);
        Some(BlockedNow {
            goid: goroutine.goid,
            state: "syscall".into(),
            syscall: now.map(|now| syscall_name(now.number)),
            wait_reason: None,
            tid,
            fd,
            object,
            since: since.or(off_cpu),
            stack: self.stack(goroutine, all),
            origin: self.origin(goroutine),
        })
    }

    fn object(&self, fd: u64) -> Option<String> {
        let descriptors = self.descriptors.get_or_init(|| self.observer.process.descriptors());
        descriptors.get(&fd).map(|descriptor| self.observer.told(&descriptor.object))
    }

    fn stack(&mut self, goroutine: &Goroutine, all: &Goroutines) -> Vec<Arc<Frame>> {
        let StackRead::At(index) = goroutine.stack else { return Vec::new() };
        let Some(calls) = all.stacks.get(index) else { return Vec::new() };
        let code = &self.observer.code;
        let frames = || Stack::of(calls, code).frames.into_iter().map(Arc::new).collect();
        self.stacks.entry(index).or_insert_with(frames).clone()
    }

    /// The go statement that made it.
    fn origin(&self, goroutine: &Goroutine) -> Option<Frame> {
        let created = goroutine.place.created;
        let made = created != RuntimeAddr(0);
        made.then(|| self.observer.code.frames(created, true).into_iter().next()).flatten()
    }
}
