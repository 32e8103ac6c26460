//! Where the running kernel's structures keep what, from its own type information (BTF).
//!
//! One lookup does not need the whole graph of types that libraries build (100 ms for a kernel's 5 MB): this
//! walks over the records once (Documentation/bpf/btf.rst; include/uapi/linux/btf.h).

use std::io;
use std::path::Path;

/// The kernel's own BTF.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;

/// The offset in bytes of a field of one of the kernel's structures; none when the kernel has no such field.
///
/// # Errors
/// When the kernel's BTF cannot be read or is damaged.
pub fn offset_of(structure: &str, field: &str) -> io::Result<Option<u32>> {
    let bytes = std::fs::read(Path::new(VMLINUX))?;
    Btf::new(&bytes)
        .and_then(|btf| btf.offset_of(structure.as_bytes(), field.as_bytes()))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "damaged type information"))
}

struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Btf<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let magic = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        if magic != MAGIC {
            return None;
        }
        let header = usize::try_from(word(bytes, 4)?).ok()?;
        let section = |at: usize| -> Option<&'a [u8]> {
            let start = header.checked_add(usize::try_from(word(bytes, at)?).ok()?)?;
            let length = usize::try_from(word(bytes, at + 4)?).ok()?;
            bytes.get(start..start.checked_add(length)?)
        };
        Some(Self { types: section(8)?, strings: section(16)? })
    }

    /// None when damaged, some none when absent.
    fn offset_of(&self, structure: &[u8], field: &[u8]) -> Option<Option<u32>> {
        let mut at = 0;
        while at < self.types.len() {
            let info = word(self.types, at + 4)?;
            let (kind, count) = (info >> 24 & 0x1f, usize::try_from(info & 0xffff).ok()?);
            let members = at + 12;
            if kind == KIND_STRUCT && self.is_named(word(self.types, at)?, structure) {
                let bitfields = info >> 31 == 1;
                for member in 0..count {
                    let record = members + member * 12;
                    if self.is_named(word(self.types, record)?, field) {
                        let bits = word(self.types, record + 8)?;
                        let bits = if bitfields { bits & 0x00ff_ffff } else { bits };
                        return Some(Some(bits / 8));
                    }
                }
                return Some(None);
            }
            at = members + trailing(kind, count)?;
        }
        Some(None)
    }

    fn is_named(&self, offset: u32, name: &[u8]) -> bool {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.strings.get(offset..));
        rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// How many bytes follow a type's first twelve.
fn trailing(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => count * 12,
        // ENUM, FUNC_PROTO
        6 | 13 => count * 8,
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header, an int, and `struct s { int a; int b; }`.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0s\0a\0b\0";
        let types: [u32; 13] = [1, 1 << 24, 4, 0x20, 5, 4 << 24 | 2, 8, 7, 1, 0, 9, 1, 32];
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        let lengths = [24, 0, size_of_val(&types), size_of_val(&types), strings.len()];
        for length in lengths {
            bytes.extend_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
        }
        bytes.extend(types.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend_from_slice(strings);
        bytes
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        let bytes = sample();
        let btf = Btf::new(&bytes).unwrap();
        assert_eq!(btf.offset_of(b"s", b"b"), Some(Some(4)));
        assert_eq!(btf.offset_of(b"s", b"c"), Some(None));
        assert_eq!(btf.offset_of(b"t", b"b"), Some(None));
    }

    #[test]
    fn damaged_information_is_refused() {
        let bytes = sample();
        for length in 0..bytes.len() {
            let found = Btf::new(&bytes[..length]).and_then(|btf| btf.offset_of(b"s", b"b"));
            assert_eq!(found, None, "{length} bytes");
        }
    }
}
