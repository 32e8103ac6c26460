//! Go's own goroutine dump, as `runtime.Stack` and fatal signals print it.

use std::collections::BTreeMap;

/// One goroutine of a dump.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dumped {
    pub(super) state: String,
    pub(super) locked: bool,
    /// The runtime's number of its thread, where the dump tells threads: none when it has none.
    pub(super) thread: Option<Option<u64>>,
    /// Functions with `file:line`, innermost first, without the one where every goroutine begins.
    pub(super) frames: Vec<(String, String)>,
    pub(super) creator: Option<String>,
    pub(super) parent: Option<u64>,
}

/// Every goroutine, by its id.
pub(super) fn parse(text: &str) -> BTreeMap<u64, Dumped> {
    let mut all = BTreeMap::new();
    let mut current: Option<(u64, Dumped)> = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(header) = header(line) {
            all.extend(current.replace(header));
        } else if line.is_empty() {
            all.extend(current.take());
        } else if let Some((_, dumped)) = &mut current {
            if let Some(created) = line.strip_prefix("created by ") {
                let (creator, parent) = created.split_once(" in goroutine ").unzip();
                dumped.creator = Some(creator.unwrap_or(created).to_owned());
                dumped.parent = parent.and_then(|parent| parent.parse().ok());
                lines.next();
            } else if let (Some(function), Some(place)) = (function(line), lines.next()) {
                let place = place.trim_start().split(' ').next().unwrap_or_default();
                if function != "runtime.goexit" {
                    dumped.frames.push((function, place.to_owned()));
                }
            }
        }
    }
    all.extend(current);
    all
}

/// `goroutine 7 gp=0xc000006000 m=nil [chan receive, 2 minutes, locked to thread]:`
fn header(line: &str) -> Option<(u64, Dumped)> {
    let (number, rest) = line.strip_prefix("goroutine ")?.split_once(' ')?;
    let (before, state) = rest.strip_suffix("]:")?.split_once('[')?;
    let thread = before.split(' ').find_map(|word| word.strip_prefix("m="));
    let mut parts = state.split(", ");
    let dumped = Dumped {
        state: parts.next()?.to_owned(),
        locked: parts.any(|part| part == "locked to thread"),
        thread: thread.map(|number| number.parse().ok()),
        ..Dumped::default()
    };
    Some((number.parse().ok()?, dumped))
}

/// The name before the arguments, which may have brackets in them.
fn function(line: &str) -> Option<String> {
    let mut depth = 0;
    for (at, byte) in line.bytes().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (byte == b'(').then(|| line[..at].to_owned());
        }
    }
    None
}
