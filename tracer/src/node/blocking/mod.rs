//! What the running processes are blocked on: one after the other is watched for a while.
//!
//! To watch all of them all the time would be a probe on every system call of the machine for each.

mod metrics;
mod times;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

pub(super) use self::metrics::encode;
pub(super) use self::times::Blocked;
use super::collection::{CollectError, Collections, Subject, Target};
use super::state::Shared;
use super::workload::Workload;
use crate::export::printable;

/// So long a process is watched, unless the next one's turn comes sooner.
const SPAN: Duration = Duration::from_secs(10);

/// Whose turn was when, by number.
#[derive(Debug, Default)]
struct Turns {
    last: HashMap<u32, u64>,
    now: u64,
}

impl Turns {
    /// Whoever was not watched for longest, those first who never were.
    fn next(&mut self, running: impl Iterator<Item = u32>) -> Option<u32> {
        let running: Vec<u32> = running.collect();
        self.last.retain(|pid, _| running.contains(pid));
        let next = running.into_iter().min_by_key(|pid| (self.last.get(pid).copied().unwrap_or(0), *pid))?;
        self.now += 1;
        self.last.insert(next, self.now);
        Some(next)
    }
}

/// From now on one of the running processes is watched in each such time, on a thread of its own, while collecting is
/// allowed.
///
/// # Errors
/// When the kernel has no thread.
pub fn watch_in_turn(state: Shared, collections: Arc<Collections>, each: Duration) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let turns = async move {
        let mut turns = Turns::default();
        let mut time = interval_at(Instant::now() + each, each);
        time.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            time.tick().await;
            turn(&state, &collections, &mut turns, each.min(SPAN)).await;
        }
    };
    thread::Builder::new().name("blocking".to_owned()).spawn(move || runtime.block_on(turns))?;
    Ok(())
}

async fn turn(state: &Shared, collections: &Collections, turns: &mut Turns, span: Duration) {
    let next = {
        let state = state.lock();
        let next = turns.next(state.registry.sorted().into_iter().map(|running| running.process.pid));
        next.and_then(|pid| state.registry.get(pid).map(|running| (pid, running.workload.clone())))
    };
    let Some((pid, workload)) = next else { return };
    let Some(target) = Target::of(state, pid) else { return };
    match collections.collect(target, Subject::BlockedReport, span).await {
        Ok(report) => note(state, &workload, &report),
        // Everything that is collected ends then; or it has ended itself.
        Err(CollectError::Off | CollectError::Target(_)) => {}
        Err(error) => {
            tracing::warn!(pid, exe = %printable(&workload.exe), "what it is blocked on: {error}");
            state.lock().tally.unheard += 1;
        }
    }
}

fn note(state: &Shared, workload: &Workload, report: &[u8]) {
    let blocked = Blocked::of(report);
    let mut state = state.lock();
    match blocked {
        Some(blocked) => state.workloads.of(workload).blocked.get_or_insert_default().add(&blocked),
        None => state.tally.unheard += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_and_who_comes_has_the_next() {
        let mut turns = Turns::default();
        let mut next = |running: &[u32]| turns.next(running.iter().copied());
        assert_eq!(next(&[]), None);
        assert_eq!([next(&[7, 8]), next(&[7, 8]), next(&[7, 8])], [Some(7), Some(8), Some(7)]);
        assert_eq!([next(&[7, 8, 9]), next(&[7, 8, 9])], [Some(9), Some(8)]);
        // Another one that was given its number.
        assert_eq!([next(&[8, 9]), next(&[7, 8, 9])], [Some(9), Some(7)]);
    }
}
