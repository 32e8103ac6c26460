//! What the kernel complained of while the tests ran.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result, bail};

use crate::privilege::Road;

/// A point in the kernel's log.
pub(crate) struct KernelLog {
    last: u64,
}

const DEVICE: &str = "/dev/kmsg";

/// Linux's `O_NONBLOCK` on the architectures that gotrace runs on.
const O_NONBLOCK: i32 = 0o4000;

const TELLING: [&str; 8] =
    ["WARNING:", "BUG:", "Oops", "uprobe", "general protection", "Call Trace", "hung task", "rcu: INFO"];

/// What the kernel says (kernel/events/uprobes.c, `uprobe_unregister_nosync`) when gotrace is killed while it disarms, as
/// the tests of trust do on purpose; they look themselves at what stays in the program.
const OF_KILLS: &str = "failed to unregister, leaking uprobe";

impl KernelLog {
    /// The end of the log as it is now.
    pub(crate) fn now(road: Road) -> Result<Self> {
        if road != Road::Root {
            bail!("only root may read the kernel's log");
        }
        Ok(Self { last: records()?.last().map_or(0, |(number, _)| *number) })
    }

    /// The lines since then that no kernel should write.
    pub(crate) fn complaints(&self) -> Result<Vec<String>> {
        let telling = |text: &str| TELLING.iter().any(|word| text.contains(word)) && !text.contains(OF_KILLS);
        let new = records()?.into_iter().filter(|(number, text)| *number > self.last && telling(text));
        Ok(new.map(|(_, text)| text).collect())
    }
}

/// The log's records with their numbers: "6,339,5140900,-;text", one a read, the oldest first.
fn records() -> Result<Vec<(u64, String)>> {
    let mut device = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(DEVICE)
        .with_context(|| format!("opening {DEVICE}"))?;
    let mut records = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match device.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => records.extend(parse(&String::from_utf8_lossy(&buffer[..length]))),
            // The end, for now.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // EPIPE: this record was overwritten before it was read; the next one is there.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error).with_context(|| format!("reading {DEVICE}")),
        }
    }
    Ok(records)
}

fn parse(record: &str) -> Option<(u64, String)> {
    let (head, text) = record.split_once(';')?;
    let number = head.split(',').nth(1)?.parse().ok()?;
    Some((number, text.lines().next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn records_are_read() {
        let record = "4,812,99,-;WARNING: CPU: 1\n SUBSYSTEM=x\n";
        assert_eq!(parse(record), Some((812, "WARNING: CPU: 1".into())));
    }
}
