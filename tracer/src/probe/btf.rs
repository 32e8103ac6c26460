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
const KIND_UNION: u32 = 5;

/// The offset in bytes of a field of one of the kernel's structures; none when the kernel has no such field.
///
/// # Errors
/// When the kernel's BTF cannot be read or is damaged.
pub fn offset_of(structure: &str, field: &str) -> io::Result<Option<u32>> {
    let [offset] = offsets_of([(structure, field)])?;
    Ok(offset)
}

/// As [`offset_of`], for several fields. A field of a nameless struct or union inside counts as the structure's own.
///
/// # Errors
/// When the kernel's BTF cannot be read or is damaged.
pub(super) fn offsets_of<const N: usize>(fields: [(&str, &str); N]) -> io::Result<[Option<u32>; N]> {
    let bytes = std::fs::read(Path::new(VMLINUX))?;
    Btf::new(&bytes)
        .and_then(|btf| btf.offsets_of(fields))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "damaged type information"))
}

/// Nameless structs in nameless structs: the kernel's go three deep.
const DEEPEST: usize = 8;

struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type's record begins in `types`, by its id less one.
    records: Vec<usize>,
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
        let (types, strings) = (section(8)?, section(16)?);
        let mut records = Vec::new();
        let mut at = 0;
        while at < types.len() {
            records.push(at);
            let (kind, count) = kind_and_count(types, at)?;
            at += 12 + trailing(kind, count)?;
        }
        Some(Self { types, strings, records })
    }

    /// None when damaged; in it, none for a field that is absent.
    fn offsets_of<const N: usize>(&self, fields: [(&str, &str); N]) -> Option<[Option<u32>; N]> {
        let mut found = [None; N];
        let mut met = [false; N];
        for &record in &self.records {
            if kind_and_count(self.types, record)?.0 != KIND_STRUCT {
                continue;
            }
            let name = word(self.types, record)?;
            for (index, (structure, field)) in fields.iter().enumerate() {
                // The first of several of that name.
                if !met[index] && self.is_named(name, structure.as_bytes()) {
                    met[index] = true;
                    found[index] = self.member(record, field.as_bytes(), DEEPEST)?;
                }
            }
        }
        Some(found)
    }

    /// The offset of a member of the struct or union whose record is there.
    fn member(&self, record: usize, field: &[u8], deepest: usize) -> Option<Option<u32>> {
        let (_, count) = kind_and_count(self.types, record)?;
        let bitfields = word(self.types, record + 4)? >> 31 == 1;
        for member in 0..count {
            let at = record + 12 + member * 12;
            let bits = word(self.types, at + 8)?;
            let offset = (if bitfields { bits & 0x00ff_ffff } else { bits }) / 8;
            let name = word(self.types, at)?;
            if self.is_named(name, field) {
                return Some(Some(offset));
            }
            let nested = usize::try_from(word(self.types, at + 4)?).ok()?;
            if self.is_named(name, b"") && deepest > 0 {
                let record = *self.records.get(nested.checked_sub(1)?)?;
                let inside = match kind_and_count(self.types, record)?.0 {
                    KIND_STRUCT | KIND_UNION => self.member(record, field, deepest - 1)?,
                    _ => None,
                };
                if let Some(inside) = inside {
                    return Some(offset.checked_add(inside));
                }
            }
        }
        Some(None)
    }

    fn is_named(&self, offset: u32, name: &[u8]) -> bool {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.strings.get(offset..));
        rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.first() == Some(&0))
    }
}

fn kind_and_count(types: &[u8], record: usize) -> Option<(u32, usize)> {
    let info = word(types, record + 4)?;
    Some((info >> 24 & 0x1f, usize::try_from(info & 0xffff).ok()?))
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

    /// A header, an int, `union { int c; }`, and `struct s { int a; int b; union { int c; }; }`.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0s\0a\0b\0c\0";
        let types: [u32; 22] = [
            1,
            1 << 24,
            4,
            0x20, // int
            0,
            5 << 24 | 1,
            4,
            11,
            1,
            0, // union
            5,
            4 << 24 | 3,
            12,
            7,
            1,
            0,
            9,
            1,
            32,
            0,
            2,
            64, // struct
        ];
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
        let fields = [("s", "b"), ("s", "c"), ("s", "d"), ("t", "b")];
        assert_eq!(btf.offsets_of(fields), Some([Some(4), Some(8), None, None]));
    }

    #[test]
    fn damaged_information_is_refused() {
        let bytes = sample();
        for length in 0..bytes.len() {
            let found = Btf::new(&bytes[..length]).and_then(|btf| btf.offsets_of([("s", "c")]));
            assert_eq!(found, None, "{length} bytes");
        }
    }

    #[test]
    fn a_union_in_itself_has_an_end() {
        let mut bytes = sample();
        // The nameless union's member becomes nameless, and of its own type.
        let member = 24 + 16 + 12;
        bytes[member..member + 8].copy_from_slice(&[0, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(Btf::new(&bytes).unwrap().offsets_of([("s", "c")]), Some([None]));
    }
}
