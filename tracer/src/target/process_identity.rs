//! One process, and no other that is given its number or that it becomes.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::descriptor::Identity;
use super::process::Process;
use crate::units::Nanos;

/// By what a process is known that has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// When it began, as the kernel counts that: on the boot clock, in steps of 10 ms.
    pub start: Nanos,
    /// Which file it runs.
    pub file: Identity,
}

/// No identity as it is written.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("an identity is START:MAJOR:MINOR:INODE, four numbers")]
pub struct NoIdentity;

impl Process {
    /// By what it is known; none when it has ended or may not be looked at.
    #[must_use]
    pub fn is_who(&self) -> Option<ProcessIdentity> {
        Some(ProcessIdentity { start: self.stat().ok()?.start, file: self.exe_identity()? })
    }
}

impl fmt::Display for ProcessIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { device: (major, minor), inode } = self.file;
        write!(f, "{}:{major}:{minor}:{inode}", self.start.0)
    }
}

impl FromStr for ProcessIdentity {
    type Err = NoIdentity;

    fn from_str(text: &str) -> Result<Self, NoIdentity> {
        let mut parts = text.split(':');
        let mut next = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or(NoIdentity);
        let (start, major, minor, inode) = (Nanos(next()?), next()?, next()?, next()?);
        let narrow = |number: u64| u32::try_from(number).map_err(|_| NoIdentity);
        let file = Identity { device: (narrow(major)?, narrow(minor)?), inode };
        if parts.next().is_some() { Err(NoIdentity) } else { Ok(Self { start, file }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_it_is_written() {
        let own = Process::of_pid(std::process::id()).unwrap().is_who().unwrap();
        assert_eq!(own.to_string().parse(), Ok(own));
        for text in ["", "1:2:3", "1:2:3:4:5", "1:2:3:x", "1:4294967296:3:4", "-1:2:3:4"] {
            assert_eq!(text.parse::<ProcessIdentity>(), Err(NoIdentity), "{text}");
        }
    }
}
