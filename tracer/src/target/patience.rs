//! Questions that may get stuck in the kernel: a file of another machine that is gone.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// A thread that answers one question after the other, or gets stuck and is left there.
#[derive(Debug)]
pub struct Patient<Q, A> {
    questions: Sender<Q>,
    answers: Receiver<A>,
}

impl<Q: Send + 'static, A: Send + 'static> Patient<Q, A> {
    /// Starts it. It ends when this is dropped and its last question answered.
    pub fn start(answer: impl Fn(Q) -> A + Send + 'static) -> Self {
        let (questions, asked) = mpsc::channel();
        let (reply, answers) = mpsc::channel();
        let thread = move || {
            for question in asked {
                if reply.send(answer(question)).is_err() {
                    return;
                }
            }
        };
        // Where the kernel has no room for a thread, nobody hears the first question.
        drop(thread::Builder::new().spawn(thread));
        Self { questions, answers }
    }

    /// Asks. Whether it was heard: not when the thread has died, or could not be started.
    pub fn ask(&self, question: Q) -> bool {
        self.questions.send(question).is_ok()
    }

    /// The next answer, waited for so long; none when there is none by then.
    #[must_use]
    pub fn answer(&self, patience: Duration) -> Option<A> {
        self.answers.recv_timeout(patience).ok()
    }
}
