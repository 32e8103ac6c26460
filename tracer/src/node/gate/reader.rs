//! Whether an executable is one to watch, in a thread that may take its time.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::sync::{Arc, Weak};

use nix::sys::eventfd::EventFd;

use super::super::program::Executable;
use super::super::selector::{Facts, Selection};
use super::group::Group;
use super::keeper::MOST_HELD;
use super::{Hold, Offer, named, ring};
use crate::target::descriptor;
use crate::target::gobin::carries_go_note;
use crate::target::identity::Pods;
use crate::target::process::Process;

/// A file that is to be executed by a process.
pub(super) struct Asked {
    pub(super) file: File,
    pub(super) pid: u32,
    pub(super) hold: Hold,
}

struct Reader {
    selection: Arc<Selection>,
    group: Weak<Group>,
    pods: Pods,
    warm: Option<SyncSender<()>>,
    offers: Sender<Offer>,
    offered: Arc<EventFd>,
}

/// Starts it. It ends with the last who can ask it.
///
/// # Errors
/// When the kernel has no thread.
pub(super) fn start(
    selection: Arc<Selection>,
    group: Weak<Group>,
    warm: Option<SyncSender<()>>,
    offers: Sender<Offer>,
    offered: Arc<EventFd>,
) -> io::Result<SyncSender<Asked>> {
    let (ask, asked) = mpsc::sync_channel::<Asked>(MOST_HELD);
    let mut reader = Reader { selection, group, pods: Pods::default(), warm, offers, offered };
    named("gate-reader").spawn(move || asked.iter().for_each(|asked| reader.look(asked)))?;
    Ok(ask)
}

impl Reader {
    /// Whoever is not offered goes on by that.
    fn look(&mut self, Asked { file, pid, hold }: Asked) {
        if hold.is_over() {
            return;
        }
        let Ok(path) = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) else { return };
        let identity = Process::of_pid(pid).map(|process| process.identity()).unwrap_or_default();
        let pod = identity.pod_uid.as_deref().and_then(|uid| self.pods.of(uid)).cloned();
        let facts = Facts { exe: &path, identity: &identity, pod: pod.as_ref() };
        if !self.selection.may_take(facts) {
            return;
        }
        let (Some(id), Ok(opened)) = (descriptor::identity_of(&file), file.try_clone()) else { return };
        // Most of what is executed is none of Go's, and goes on at once.
        if !carries_go_note(&file) {
            return self.ignore(&file);
        }
        if let Some(warm) = &self.warm {
            let _ = warm.try_send(());
        }
        let program = match Executable::read(opened, path.clone()) {
            Executable::Go(program) => program,
            // The agent says so, should it look at one of its processes.
            Executable::Refused(_) | Executable::Other => return self.ignore(&file),
        };
        if !self.selection.takes(facts, program.module.as_deref()) {
            if self.selection.is_of_programs() {
                self.ignore(&file);
            }
            return;
        }
        if self.offers.send(Offer { file: id, program, hold }).is_ok() {
            ring(&self.offered);
        }
    }

    fn ignore(&self, file: &File) {
        if let Some(group) = self.group.upgrade() {
            group.ignore(file);
        }
    }
}
