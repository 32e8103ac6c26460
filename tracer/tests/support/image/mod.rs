//! A Go binary made by hand: the smallest that has all that the reader looks at. Written from the Go sources and
//! not from the reader, so that the two check each other.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

mod code;
mod data;
mod pclntab;

use self::code::Code;

/// Where the three segments are in memory; each keeps its place in the file as the lower part of its addresses.
const READ_ONLY: u64 = 0x40_0000;
const CODE: u64 = 0x50_0000;
const DATA: u64 = 0x60_0000;

/// What can differ from one image to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Image {
    /// What the build information says; none leaves the block out.
    pub(crate) build_info: Option<&'static str>,
    /// What `runtime.buildVersion` says.
    pub(crate) build_version: &'static str,
    /// Whose tables are written: the minor version of Go.
    pub(crate) layout: u32,
    /// Which packages have something to run before `main.main`.
    pub(crate) inits: Inits,
    /// What marks wrappers, when it is not what the layout's version has.
    pub(crate) wrapper: Option<u8>,
    /// For arm64 by its headers and its names; its code stays x86-64's, which nobody may take it for.
    pub(crate) arm64: bool,
    /// Position independent, all pointers zero in the file and in the relocations only, as lld leaves them.
    pub(crate) relocated: bool,
}

/// Who has inits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Inits {
    /// The runtime, a package that imports it, and main.
    Several,
    /// The runtime and main, which imports nothing.
    Main,
    /// The runtime alone.
    None,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            build_info: Some("go1.26.6"),
            build_version: "go1.26.6",
            layout: 26,
            inits: Inits::Several,
            wrapper: None,
            arm64: false,
            relocated: false,
        }
    }
}

impl Image {
    /// The file's bytes.
    pub(crate) fn bytes(self) -> Vec<u8> {
        Writer::default().write(self)
    }
}

/// The file under way, and the places that hold addresses.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    pointers: Vec<(usize, u64)>,
}

/// Where the functions and the tables ended up.
struct Placed {
    functions: Vec<(Code, u64)>,
    pclntab: u64,
    /// Offsets of its parts.
    parts: [u64; 5],
    end_of_table: u64,
    gofunc: u64,
}

impl Writer {
    fn write(mut self, image: Image) -> Vec<u8> {
        const HEADERS: usize = 64 + 4 * 56;
        self.bytes.resize(HEADERS, 0);
        let mut functions = Vec::new();
        self.align(16);
        let code_begins = self.bytes.len();
        for mut function in image.functions() {
            self.align(16);
            functions.push((
                Code { bytes: Vec::new(), links: std::mem::take(&mut function.links), ..function },
                CODE + self.here(),
            ));
            self.bytes.append(&mut function.bytes);
        }
        self.align(16);
        let code_ends = self.bytes.len();
        let placed = self.pclntab(image, functions, CODE + code_ends as u64);
        let read_only_ends = self.bytes.len();
        self.align(16);
        let data_begins = self.bytes.len();
        let targets = self.data(image, &placed);
        let dynamic = self.relocations(image);
        self.link(&placed, &targets);
        self.headers(
            image,
            &placed,
            &[
                (1, 4, READ_ONLY, code_ends, read_only_ends),
                (1, 5, CODE, code_begins, code_ends),
                (1, 6, DATA, data_begins, self.bytes.len()),
                (if image.relocated { 2 } else { 0 }, 6, DATA, dynamic, dynamic + 48),
            ],
        );
        self.bytes
    }

    fn here(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn u32(&mut self, value: u64) {
        let value = u32::try_from(value).expect("a small number");
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn pointer(&mut self, value: u64) {
        self.pointers.push((self.bytes.len(), value));
        self.u64(value);
    }

    fn slice(&mut self, address: u64, len: u64) {
        self.pointer(address);
        self.u64(len);
        self.u64(len);
    }

    /// A string and the NUL behind it; where it begins, from the begin of its table.
    fn name(&mut self, table: usize, name: &str) -> u64 {
        let at = self.bytes.len() - table;
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        at as u64
    }

    fn pointer_at(&mut self, at: usize, value: u64) {
        self.pointers.push((at, value));
        self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// The relative relocations and the dynamic section that names them; where that is in the file.
    fn relocations(&mut self, image: Image) -> usize {
        self.align(8);
        let address = DATA + self.here();
        if !image.relocated {
            return self.bytes.len();
        }
        for (at, value) in std::mem::take(&mut self.pointers) {
            self.bytes[at..at + 8].fill(0);
            for word in [DATA + at as u64, 8, value] {
                self.u64(word);
            }
        }
        let len = DATA + self.here() - address;
        let dynamic = self.bytes.len();
        for word in [7, address, 8, len, 0, 0] {
            self.u64(word);
        }
        dynamic
    }

    fn headers(&mut self, image: Image, placed: &Placed, segments: &[(u32, u32, u64, usize, usize)]) {
        let all = std::mem::take(&mut self.bytes);
        self.bytes.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        let kind = if image.relocated { 3 } else { 2 };
        let machine = if image.arm64 { 183 } else { 62 };
        self.bytes.extend_from_slice(&[kind, 0, machine, 0, 1, 0, 0, 0]);
        self.u64(placed.functions.first().expect("functions").1);
        self.u64(64);
        self.u64(0);
        self.bytes.extend_from_slice(&[0, 0, 0, 0, 64, 0, 56, 0, 4, 0, 64, 0, 0, 0, 0, 0]);
        for (kind, flags, base, from, to) in segments {
            self.u32(u64::from(*kind));
            self.u32(u64::from(*flags));
            let (from, len) = (*from as u64, (*to - *from) as u64);
            for word in [from, base + from, base + from, len, len, 8] {
                self.u64(word);
            }
        }
        let written = self.bytes.len();
        self.bytes.extend_from_slice(&all[written..]);
    }
}
