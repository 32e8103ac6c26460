//! What the kernel side wrote, on this side.

use aya::maps::{Array, MapData};
use tracer_ebpf::main_thread::{self, MainThread, NONE};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::event::{Account, Decoder, Wait, WaitKind};
use crate::probe::load::{LoadError, Loaded, MainThreadWords};
use crate::stream::Ring;
use crate::units::{Nanos, RuntimeAddr};

/// The maps of an object that was loaded to trace one process.
pub(super) struct KernelSide {
    pub(super) ring: Ring,
    pub(super) decoder: Decoder,
    main_thread: Array<MapData, MainThreadWords>,
}

/// Where the main thread was when the trace ended before `main.main`.
#[derive(Clone, Debug)]
pub(super) struct Closing {
    /// Where its time had gone by then.
    pub(super) account: Account,
    /// What it was waiting for, if it was and lives; without a stack.
    pub(super) wait: Option<Wait>,
}

impl KernelSide {
    /// Takes the maps; once.
    pub(super) fn of(loaded: &mut Loaded, log: bool) -> Result<Self, LoadError> {
        let (ring, decoder) = (Ring::of(loaded, log)?, Decoder::default());
        Ok(Self { ring, decoder, main_thread: loaded.take_main_thread()? })
    }

    /// Where the main thread was when it was last looked at or, while it lives, at `end`.
    pub(super) fn closing(&self, gone: Option<Nanos>, end: Nanos) -> Option<Closing> {
        let words = self.main_thread.get(&0, 0).ok()?;
        let main = MainThread::read_from_bytes(words.as_bytes()).ok()?;
        if main.task == 0 || main.over == main_thread::MAIN_BEGAN {
            return None;
        }
        let mut closing = Closing { account: main.account, wait: None };
        if gone.is_none() && main.over == 0 {
            closing.go_on(&main, end);
        }
        // They are not kept but read, by the thread itself.
        (closing.account.minor_faults, closing.account.major_faults) = (u64::MAX, u64::MAX);
        Some(closing)
    }
}

impl Closing {
    /// Adds the state that the thread is in still.
    fn go_on(&mut self, main: &MainThread, end: Nanos) {
        let time = end.since(Nanos(main.since));
        match main.state {
            main_thread::ON_CPU => self.account.on_cpu += time.0,
            main_thread::RUNNABLE => self.account.runnable += time.0,
            _ => {
                let Some(kind) = WaitKind::from_number(main.wait.kind) else { return };
                self.account.blocked[kind as usize] += time.0;
                let would_block = (main.would_block[0], main.would_block[1]);
                let wait_reason = u8::try_from(main.wait.wait_reason).ok();
                let in_poller = kind == WaitKind::Network && wait_reason.is_some();
                self.wait = Some(Wait {
                    start: Nanos(main.wait.start),
                    duration: Nanos(main.wait.duration + time.0),
                    kind,
                    syscall: (main.wait.syscall != NONE).then_some(main.wait.syscall),
                    arguments: main.wait.arguments,
                    wait_reason,
                    polled: in_poller.then_some(would_block),
                    goid: wait_reason.map(|_| 1),
                    ip: RuntimeAddr(main.wait.ip),
                    stack: Vec::new(),
                });
            }
        }
    }
}
