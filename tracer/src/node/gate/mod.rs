//! Holds the first start of an executable that nobody knows, at its execve, until its probes are in place: then it is seen
//! from its first instruction on.
//!
//! The kernel asks before it opens a file to execute it (`FAN_OPEN_EXEC_PERM`, fanotify(7)), once for each file, and waits
//! for the answer. One thread (`keeper.rs`) answers, in time, and does nothing that may take any itself; one
//! reads the file (`reader.rs`), one gets the kernel ready meanwhile, one looks which file systems there are
//! (`mounts.rs`), and the agent puts the probes in place. When the agent dies, however, the kernel lets everybody go on whom it holds (`fanotify_release`).

mod delay;
mod figures;
mod group;
mod keeper;
mod mounts;
mod reader;

use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit};
use thiserror::Error;

pub(super) use self::figures::Figures;
use self::group::Group;
use self::keeper::Keeper;
use super::program::Program;
use super::selector::Selection;
use crate::probe::warmth::Warmth;
use crate::target::descriptor::Identity as FileId;

/// Where the agent has fewer descriptors, none is held: without one for what is to be executed, the kernel refuses to
/// (`fanotify_read`).
const FEWEST_DESCRIPTORS: u64 = 4096;

/// Why no start is held.
#[derive(Debug, Error)]
pub enum GateError {
    /// The kernel does not ask gotrace.
    #[error(
        "the kernel does not let gotrace hold an execve ({0}): it takes CAP_SYS_ADMIN, and CONFIG_FANOTIFY_ACCESS_PERMISSIONS"
    )]
    Refused(io::Error),
    /// So few.
    #[error(
        "{0} open files are too few for gotrace to hold an execve: {FEWEST_DESCRIPTORS} are needed (ulimit -n)"
    )]
    Descriptors(u64),
    /// There is no thread, or no descriptor.
    #[error("the kernel has nothing to hold an execve with: {0}")]
    Resources(#[from] io::Error),
}

/// What is done while an execve is held.
#[derive(Debug)]
pub(super) struct Gate {
    group: Weak<Group>,
    offers: Receiver<Offer>,
    /// Rings when there is an offer.
    offered: Arc<EventFd>,
    end: Arc<End>,
    keeper: Option<JoinHandle<()>>,
    figures: Arc<Figures>,
}

/// A program that is to be watched before its first start goes on.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) file: FileId,
    pub(super) program: Box<Program>,
    /// Lets it go on, when it is dropped.
    pub(super) hold: Hold,
}

/// An execve that is held until this is dropped, or its time is over.
#[derive(Debug)]
pub(super) struct Hold {
    number: u64,
    since: Instant,
    /// How long it may last.
    patience: Duration,
    over: Sender<u64>,
    /// Rings when one is over.
    bell: Arc<EventFd>,
}

impl Hold {
    /// Whether its time is over.
    pub(super) fn is_over(&self) -> bool {
        self.since.elapsed() >= self.patience
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.over.send(self.number).is_ok() {
            ring(&self.bell);
        }
    }
}

/// That all of this is to end.
#[derive(Debug)]
struct End {
    is_near: AtomicBool,
    /// Readable from then on.
    bell: EventFd,
}

impl Gate {
    /// Holds the first starts of what may be selected, from now on; so long at most.
    ///
    /// # Errors
    /// When the kernel does not let it.
    pub(super) fn open(
        selection: Arc<Selection>,
        longest: Duration,
        warmth: Option<Warmth>,
    ) -> Result<Self, GateError> {
        let (most, _) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from)?;
        if most < FEWEST_DESCRIPTORS {
            return Err(GateError::Descriptors(most));
        }
        let group = Arc::new(Group::open().map_err(GateError::Refused)?);
        let weak = Arc::downgrade(&group);
        let end = Arc::new(End { is_near: AtomicBool::new(false), bell: bell()? });
        let figures = Arc::new(Figures::default());
        let (offer, offers) = mpsc::channel();
        let offered = Arc::new(bell()?);
        let warm = warmth.map(warm).transpose()?;
        let reader = reader::start(selection, Weak::clone(&weak), warm, offer, Arc::clone(&offered))?;
        let mut gate = Self {
            group: Weak::clone(&weak),
            offers,
            offered,
            end: Arc::clone(&end),
            keeper: None,
            figures: Arc::clone(&figures),
        };
        let keeper = Keeper::new(group, reader, longest, Arc::clone(&end), Arc::clone(&figures))?;
        // From here on somebody answers.
        gate.keeper = Some(named("gate").spawn(move || keeper.run())?);
        named("gate-mounts").spawn(move || mounts::keep_marking(&weak, &end, &figures))?;
        Ok(gate)
    }

    /// What became of those that were held.
    pub(super) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// The next program that is to be watched.
    pub(super) fn offer(&self) -> Option<Offer> {
        let _ = self.offered.read();
        self.offers.try_recv().ok()
    }

    /// What is readable when there is one.
    pub(super) fn bell(&self) -> &EventFd {
        &self.offered
    }

    /// Waits for one, so long.
    pub(super) fn wait(&self, longest: Duration) {
        let mut bell = [PollFd::new(self.offered.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut bell, PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX));
    }

    /// The file is known: its starts are not held any more, until it is written to.
    pub(super) fn is_known(&self, program: &Program) {
        if let Some(group) = self.group.upgrade() {
            group.ignore(&program.file);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.end.is_near.store(true, Ordering::SeqCst);
        ring(&self.end.bell);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Gets the kernel ready while others read, whenever it is asked to; on a thread of its own, since taking the probe away takes
/// time too.
fn warm(warmth: Warmth) -> io::Result<SyncSender<()>> {
    let (ask, asked) = mpsc::sync_channel(1);
    named("gate-warmth").spawn(move || {
        for () in asked {
            if let Err(error) = warmth.make() {
                tracing::debug!("every probe takes its time: {error}");
            }
        }
    })?;
    Ok(ask)
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

fn bell() -> io::Result<EventFd> {
    Ok(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)
}

/// It can only fail when it was rung 2^64 - 2 times and nobody came.
fn ring(bell: &EventFd) {
    let _ = bell.write(1);
}
