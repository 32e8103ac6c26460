//! `/proc/PID/maps` (fs/proc/task_mmu.c, `show_map_vma`).

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A part of a process's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// Its addresses.
    pub range: Range<u64>,
    /// Whether there may be code in it.
    pub is_executable: bool,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// The file, in the process's own mount namespace; that may be deleted. None of what is no file's.
    pub path: Option<&'a Path>,
}

impl<'a> Mapping<'a> {
    /// Parses a row, without its end; none when it is not one.
    #[must_use]
    pub fn parse(row: &'a [u8]) -> Option<Self> {
        // ADDRESSES MODE OFFSET DEVICE INODE, and behind blanks that fill up a column what is mapped. That is no UTF-8
        // when the process's own paths are none.
        let mut fields = row.splitn(6, |byte| *byte == b' ');
        let mut text = || std::str::from_utf8(fields.next()?).ok();
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (begin, end) = text()?.split_once('-')?;
        let (mode, offset) = (text()?, number(text()?)?);
        let (_device, _inode) = (text()?, text()?);
        let path = fields.next().map(<[u8]>::trim_ascii_start).filter(|path| path.starts_with(b"/"));
        Some(Self {
            range: number(begin)?..number(end)?,
            is_executable: mode.contains('x'),
            offset,
            path: path.map(|path| Path::new(OsStr::from_bytes(path))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_part_of_memory() {
        let row = b"7f00-7f40 r-xp 00002000 fe:00 99                     /srv/a b\xff.so";
        let mapping = Mapping::parse(row).unwrap();
        assert_eq!((mapping.range, mapping.is_executable, mapping.offset), (0x7f00..0x7f40, true, 0x2000));
        assert_eq!(mapping.path, Some(Path::new(OsStr::from_bytes(b"/srv/a b\xff.so"))));
        let of =
            |row: &'static [u8]| Mapping::parse(row).map(|mapping| (mapping.is_executable, mapping.path));
        assert_eq!(of(b"1-2 rw-p 00000000 00:00 0 "), Some((false, None)));
        assert_eq!(of(b"1-2 rw-p 00000000 00:00 0                          [heap]"), Some((false, None)));
        for bad in [&b""[..], b"1-2", b"x-2 r-xp 0 00:00 0", b"1-2 r-xp x 00:00 0", b"1-2 r-xp 0 00:00"] {
            assert_eq!(Mapping::parse(bad), None, "{bad:?}");
        }
    }
}
