//! What has not come back yet: goroutines in a system call or parked, at one moment.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::class::Idle;
use super::site::Site;
use crate::target::gobin::{Frame, ReasonKind};
use crate::units::Nanos;

/// The name under which a report says who of them it cannot tell.
pub const BLOCKED_NOW: &str = "blocked_now";

/// A goroutine that is blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedNow {
    /// Its id.
    pub goid: u64,
    /// What it is doing, as the contract names it: `waiting`, `syscall`.
    pub state: Cow<'static, str>,
    /// The system call that it is in, or that would have blocked.
    pub syscall: Option<String>,
    /// Why it is parked, in the runtime's words.
    pub wait_reason: Option<Cow<'static, str>>,
    /// The thread that it is on, while it is in a system call.
    pub tid: Option<u32>,
    /// The descriptor.
    pub fd: Option<u64>,
    /// What it stands for, in words.
    pub object: Option<String>,
    /// Since when, on the boot clock; none when nothing tells.
    pub since: Option<Since>,
    /// Its stack, innermost first; empty when it cannot be had.
    pub stack: Vec<Arc<Frame>>,
    /// The go statement that made it.
    pub origin: Option<Frame>,
}

/// Since when something lasts, on the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Since {
    /// Since then: gotrace saw it begin.
    Exactly(Nanos),
    /// Since then or before.
    AtLatest(Nanos),
}

impl Since {
    /// The time.
    #[must_use]
    pub const fn time(self) -> Nanos {
        match self {
            Self::Exactly(time) | Self::AtLatest(time) => time,
        }
    }

    /// Whether it is exact.
    #[must_use]
    pub const fn is_exact(self) -> bool {
        matches!(self, Self::Exactly(_))
    }
}

/// What a blocked goroutine is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// In a system call or a wait for the network, and no rule says that it idles.
    Suffered,
    /// Parked by the program: channels, locks, timers. Who has work there and who has none does not show.
    Parked,
    /// With nothing to do.
    Idle(Idle),
}

impl Standing {
    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suffered => "suffered",
            Self::Parked => "parked",
            Self::Idle(_) => "idle",
        }
    }
}

impl BlockedNow {
    /// What it is to a reader.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if let Some(idle) = Idle::of_stack(&self.stack, false) {
            return Standing::Idle(idle);
        }
        match &self.wait_reason {
            Some(reason) => match ReasonKind::of(reason) {
                ReasonKind::Poller => Standing::Suffered,
                ReasonKind::Idle => Standing::Idle(Idle::Runtime),
                _ => Standing::Parked,
            },
            None => Standing::Suffered,
        }
    }
}

/// Blocked goroutines that are in the same place, on the same kind of thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedGroup {
    /// What they are to a reader.
    pub standing: Standing,
    /// The line of code that they are in.
    pub site: Site,
    /// The one that has been there for the longest time.
    pub longest: BlockedNow,
    /// How many there are.
    pub count: u64,
}

/// Puts together what has the same stack, wait and creator: the suffered first, then who has been there longest.
pub(super) fn groups(blocked: &[BlockedNow], module: Option<&str>) -> Vec<BlockedGroup> {
    let mut by_place: HashMap<_, Vec<&BlockedNow>> = HashMap::new();
    for one in blocked {
        let stack: Vec<(&str, u32)> = one.stack.iter().map(|frame| (&*frame.function, frame.line)).collect();
        let origin = one.origin.as_ref().map(|frame| (&*frame.function, frame.line));
        by_place
            .entry((&one.state, one.syscall.as_deref(), &one.wait_reason, stack, origin))
            .or_default()
            .push(one);
    }
    let group = |members: Vec<&BlockedNow>| {
        // Who is there since an unknown time comes last.
        let longest =
            members.iter().min_by_key(|one| (one.since.is_none(), one.since.map(Since::time), one.goid))?;
        Some(BlockedGroup {
            standing: longest.standing(),
            site: Site::of(&longest.stack, longest.origin.as_ref(), module),
            longest: (*longest).clone(),
            count: members.len() as u64,
        })
    };
    let mut groups: Vec<BlockedGroup> = by_place.into_values().filter_map(group).collect();
    groups.sort_by_key(|group| {
        let since = group.longest.since;
        (group.standing, since.is_none(), since.map(Since::time), group.longest.goid)
    });
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(goid: u64, function: &str, reason: Option<&'static str>, since: Option<Since>) -> BlockedNow {
        let frame = Frame {
            function: function.into(),
            file: None,
            line: 3,
            inlined: false,
            begins: 0,
            address: None,
        };
        BlockedNow {
            goid,
            state: "waiting".into(),
            syscall: Some("read".to_owned()),
            wait_reason: reason.map(Into::into),
            tid: None,
            fd: Some(goid),
            object: None,
            since,
            stack: vec![frame.into()],
            origin: None,
        }
    }

    #[test]
    fn the_same_place_is_told_once_with_who_is_there_longest() {
        let at = |time| Some(Since::Exactly(Nanos(time)));
        let blocked = [
            one(1, "main.read", Some("IO wait"), at(50)),
            one(2, "main.read", Some("IO wait"), at(20)),
            one(3, "main.read", Some("IO wait"), None),
            one(4, "main.wait", Some("chan receive"), at(1)),
            one(5, "internal/poll.(*FD).Accept", Some("IO wait"), at(1)),
            one(6, "main.call", None, Some(Since::AtLatest(Nanos(30)))),
        ];
        let groups = groups(&blocked, None);
        let told: Vec<_> =
            groups.iter().map(|group| (group.standing.name(), group.longest.goid, group.count)).collect();
        assert_eq!(told, [("suffered", 2, 3), ("suffered", 6, 1), ("parked", 4, 1), ("idle", 5, 1)]);
    }
}
