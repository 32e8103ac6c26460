//! Who answers the kernel, in time.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::fanotify::FanotifyEvent;
use nix::sys::time::TimeSpec;
use signal_hook::consts::SIGCONT;

use super::delay::Delay;
use super::figures::Figures;
use super::group::Group;
use super::reader::Asked;
use super::{End, Hold, bell};

/// So many are held at a time; others go on at once.
pub(super) const MOST_HELD: usize = 64;

/// Answers. It waits for nothing else, opens no path and takes no lock that
/// another thread may keep.
pub(super) struct Keeper {
    group: Arc<Group>,
    reader: SyncSender<Asked>,
    end: Arc<End>,
    figures: Arc<Figures>,
    /// So long it waits for others, and so long an execve may be held: it takes a while to get a processor.
    patience: Duration,
    longest: Duration,
    /// The numbers of those that may go on.
    over: Receiver<u64>,
    let_go: Sender<u64>,
    bell: Arc<EventFd>,
    /// In the order in which they came.
    held: VecDeque<Held>,
    next: u64,
    own: i32,
    delay: Delay,
    /// Whether the agent was stopped meanwhile, by a signal.
    was_stopped: Arc<AtomicBool>,
}

struct Held {
    number: u64,
    question: FanotifyEvent,
    since: Instant,
}

impl Keeper {
    /// Nobody is asked of yet.
    ///
    /// # Errors
    /// When there is no descriptor.
    pub(super) fn new(
        group: Arc<Group>,
        reader: SyncSender<Asked>,
        longest: Duration,
        end: Arc<End>,
        figures: Arc<Figures>,
    ) -> io::Result<Self> {
        let (let_go, over) = mpsc::channel();
        let own = std::process::id().cast_signed();
        let (bell, held) = (Arc::new(bell()?), VecDeque::new());
        let patience = longest * 3 / 4;
        let was_stopped = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGCONT, Arc::clone(&was_stopped))?;
        Ok(Self {
            group,
            reader,
            end,
            figures,
            patience,
            longest,
            over,
            let_go,
            bell,
            held,
            next: 0,
            own,
            delay: Delay::default(),
            was_stopped,
        })
    }

    /// Until it is to end, or has held somebody for too long.
    pub(super) fn run(mut self) {
        let _ = self.delay.since_last();
        while !self.end.is_near.load(Ordering::SeqCst) && !self.figures.is_closed() {
            self.sleep();
            // The kernel does not say when it asked.
            let late = self.delay.since_last();
            if late > self.longest || self.was_stopped.load(Ordering::Relaxed) {
                self.give_up("the agent did not run", late);
            }
            let _ = self.bell.read();
            while let Ok(number) = self.over.try_recv() {
                self.let_go(number);
            }
            for question in self.group.questions() {
                self.take(question, late);
            }
            self.expire();
        }
    }

    fn sleep(&self) {
        let first = self.held.front().map(|held| self.patience.saturating_sub(held.since.elapsed()));
        let listen = |to| PollFd::new(to, PollFlags::POLLIN);
        let mut to = [listen(self.group.as_fd()), listen(self.bell.as_fd()), listen(self.end.bell.as_fd())];
        let _ = ppoll(&mut to, first.map(TimeSpec::from_duration), None);
    }

    fn take(&mut self, question: FanotifyEvent, late: Duration) {
        let Some(file) = question.fd() else {
            // That there were too many to ask of, who went on.
            return self.figures.skip();
        };
        let since = Instant::now().checked_sub(late).unwrap_or_else(Instant::now);
        let pid = question.pid();
        let is_own = pid == self.own;
        let asked = file.try_clone_to_owned().ok().filter(|_| !is_own && self.held.len() < MOST_HELD);
        self.next += 1;
        let number = self.next;
        let hold = Hold {
            number,
            since,
            patience: self.patience,
            over: self.let_go.clone(),
            bell: Arc::clone(&self.bell),
        };
        let asked = asked.map(|file| Asked { file: File::from(file), pid: pid.cast_unsigned(), hold });
        if let Some(asked) = asked
            && self.reader.try_send(asked).is_ok()
        {
            self.held.push_back(Held { number, question, since });
        } else {
            self.group.allow(&question);
            if !is_own {
                self.figures.skip();
            }
        }
    }

    fn let_go(&mut self, number: u64) {
        if let Some(index) = self.held.iter().position(|held| held.number == number)
            && let Some(held) = self.held.remove(index)
        {
            self.allow(&held);
        }
    }

    fn expire(&mut self) {
        let patience = self.patience;
        while let Some(held) = self.held.pop_front_if(|held| held.since.elapsed() >= patience) {
            self.figures.expire();
            self.allow(&held);
        }
    }

    fn allow(&self, held: &Held) {
        self.group.allow(&held.question);
        let time = held.since.elapsed();
        self.figures.held(time);
        if time > self.longest {
            self.give_up("an execve was held for too long", time);
        }
    }

    /// The machine, a limit of the agent's processor time or who stopped it does not let it keep what it promises.
    fn give_up(&self, why: &str, time: Duration) {
        self.figures.close();
        tracing::error!(milliseconds = time.as_millis(), "no further execve is held (--gate-new): {why}");
    }
}

/// Lets everybody go on. What is not known to this by then the kernel lets go on when the group is gone; should another
/// thread be stuck with it, nobody is asked of any more.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.group.forget();
        for held in std::mem::take(&mut self.held) {
            self.group.allow(&held.question);
        }
        loop {
            let questions = self.group.questions();
            if questions.is_empty() {
                return;
            }
            questions.iter().for_each(|question| self.group.allow(question));
        }
    }
}
