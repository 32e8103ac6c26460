//! When the agent looks into the ring again.

use std::time::Duration;

/// So often while there is something to do. The ring has room for what all programs that start meanwhile tell.
const SHORTEST: Duration = Duration::from_millis(20);

/// So often, at least, while there is nothing: what is to end the agent comes by another way.
const LONGEST: Duration = Duration::from_millis(250);

/// What to do until the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing, whatever comes: it is taken together.
    Sleep(Duration),
    /// Wait for what is announced.
    Listen(Duration),
}

/// How long since there was something to do.
#[derive(Debug)]
pub(super) struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

impl Pace {
    /// What to do after a turn, in which there was something to do or not.
    pub(super) fn after(&mut self, busy: bool) -> Rest {
        if busy {
            self.0 = SHORTEST;
            return Rest::Sleep(SHORTEST);
        }
        self.0 = (self.0 * 2).min(LONGEST);
        Rest::Listen(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_slows_down_while_nothing_comes_and_is_quick_again_at_once() {
        let mut pace = Pace::default();
        let rests: Vec<_> = [false, false, false, false, false].map(|busy| pace.after(busy)).into();
        let listen = |milliseconds| Rest::Listen(Duration::from_millis(milliseconds));
        assert_eq!(rests, [listen(40), listen(80), listen(160), listen(250), listen(250)]);
        assert_eq!(pace.after(true), Rest::Sleep(SHORTEST));
        assert_eq!(pace.after(false), listen(40));
    }
}
