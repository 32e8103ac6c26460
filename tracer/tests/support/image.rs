//! A Go binary made by hand: the smallest that has all that the reader looks at. Written from the Go sources and
//! not from the reader, so that the two check each other.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

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

/// One function: its name, its code, and what the runtime takes it for.
struct Code {
    name: &'static str,
    bytes: Vec<u8>,
    func_id: u8,
    /// Where in the code a four-byte distance to what has to be written.
    links: Vec<(usize, Link)>,
}

#[derive(Clone, Copy)]
enum Link {
    /// The function of that name, the first of them.
    Function(&'static str),
    /// `runtime.buildVersion`
    Version,
    /// `runtime.runtime_inittasks`
    RuntimeTasks,
    /// That init task.
    Task(usize),
}

fn code(name: &'static str, bytes: &[u8], links: &[(usize, Link)]) -> Code {
    Code { name, bytes: bytes.to_vec(), func_id: 0, links: links.to_vec() }
}

/// A function that checks its stack, makes a frame, and does what is given.
fn framed(name: &'static str, inner: &[u8], link: Option<(usize, Link)>) -> Code {
    // cmp rsp, [r14+16]; jbe more; push rbp; mov rbp, rsp
    let mut bytes = vec![0x49, 0x3b, 0x66, 0x10, 0x76, 0, 0x55, 0x48, 0x89, 0xe5];
    let links = link.map(|(at, link)| (bytes.len() + at, link)).into_iter().collect();
    bytes.extend_from_slice(inner);
    bytes.extend_from_slice(&[0x5d, 0xc3]); // pop rbp; ret
    let more = bytes.len();
    bytes[5] = u8::try_from(more - 6).expect("a short function");
    // more: jmp to the first instruction (Go calls morestack before)
    bytes.extend_from_slice(&[0xeb, u8::try_from(256 - (more + 2)).expect("a short function")]);
    Code { name, bytes, func_id: 0, links }
}

impl Image {
    fn wrapper(self) -> u8 {
        self.wrapper.unwrap_or(match self.layout {
            ..=21 => 21,
            22..=24 => 22,
            _ => 23,
        })
    }

    fn functions(self) -> Vec<Code> {
        let mut wrapper =
            code("runtime.schedinit", &[0xe9, 0, 0, 0, 0], &[(1, Link::Function("runtime.schedinit"))]);
        wrapper.func_id = self.wrapper();
        // rt0_go: call schedinit; mov eax, eax; call gcenable; ret
        let rt0 = code(
            "runtime.rt0_go",
            &[0xe8, 0, 0, 0, 0, 0x89, 0xc0, 0xe8, 0, 0, 0, 0, 0xc3],
            &[(1, Link::Function("runtime.schedinit")), (8, Link::Function("runtime.gcenable"))],
        );
        // mov rax, [rip+buildVersion+8]: the code may refer to either word
        let schedinit =
            framed("runtime.schedinit", &[0x48, 0x8b, 0x05, 0, 0, 0, 0], Some((3, Link::Version)));
        let entry = if self.arm64 { "_rt0_arm64_linux" } else { "_rt0_amd64_linux" };
        let mut functions = vec![
            code(entry, &[0xe9, 0, 0, 0, 0], &[(1, Link::Function("runtime.rt0_go"))]),
            schedinit,
            rt0,
            framed("runtime.gcenable", &[], None),
        ];
        functions.extend(if self.layout <= 20 { self.recursive() } else { Self::listed() });
        functions.extend([
            framed("runtime.init", &[], None),
            framed("errors.init", &[], None),
            framed("main.init.0", &[], None),
            // Its middle is the inlined main.helper.
            framed("main.main", &[0x90; 8], None),
            wrapper,
        ]);
        functions
    }

    /// From Go 1.21 on.
    fn listed() -> Vec<Code> {
        // mov rcx, [rip+runtime_inittasks]
        let main = framed("runtime.main", &[0x48, 0x8b, 0x0d, 0, 0, 0, 0], Some((3, Link::RuntimeTasks)));
        vec![main, framed("runtime.doInit1", &[], None)]
    }

    /// Up to Go 1.20.
    fn recursive(self) -> Vec<Code> {
        // lea rax, [task]; call doInit, for the runtime's and for main's
        let one = [0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0];
        let mut main = framed("runtime.main", &[one, one].concat(), None);
        for (at, link) in [
            (3, Link::Task(0)),
            (8, Link::Function("runtime.doInit")),
            (15, Link::Task(2)),
            (20, Link::Function("runtime.doInit")),
        ] {
            main.links.push((10 + at, link));
        }
        // cmp qword ptr [rdx+16], 0; je behind; nop
        vec![main, framed("runtime.doInit", &[0x48, 0x83, 0x7a, 0x10, 0, 0x74, 1, 0x90], None)]
    }

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

    /// cmd/link/internal/ld/pcln.go
    fn pclntab(&mut self, image: Image, functions: Vec<(Code, u64)>, end: u64) -> Placed {
        let old = image.layout < 20;
        self.align(8);
        let begin = self.bytes.len();
        let pclntab = READ_ONLY + begin as u64;
        self.bytes.extend_from_slice(&(if old { 0xffff_fff0_u32 } else { 0xffff_fff1 }).to_le_bytes());
        self.bytes.extend_from_slice(&[0, 0, if image.arm64 { 4 } else { 1 }, 8]);
        self.bytes.resize(begin + 72, 0);
        // Names.
        let names_at = self.bytes.len();
        let names: Vec<u64> =
            functions.iter().map(|(function, _)| self.name(names_at, function.name)).collect();
        let helper = self.name(names_at, "main.helper");
        self.align(8);
        // Files by unit: one unit of two files.
        let units_at = self.bytes.len();
        self.u32(0);
        self.u32(8);
        // Files.
        let files_at = self.bytes.len();
        self.name(files_at, "main.go");
        self.name(files_at, "util.go");
        self.align(8);
        // Values by address: place 0 is none.
        let values_at = self.bytes.len();
        self.bytes.push(0);
        let mut values = |bytes: &[u8]| {
            let at = self.bytes.len() - values_at;
            self.bytes.extend_from_slice(bytes);
            at as u64
        };
        // Zigzag steps from -1: file 0 all along; line 10 for 10 bytes, 20 for 8, and 12 then; inlined call 0 in
        // the middle.
        let first_file = values(&[2, 127, 0]);
        let two_files = values(&[2, 10, 2, 8, 1, 127, 0]);
        let lines = values(&[22, 10, 20, 8, 15, 127, 0]);
        let inlined = values(&[0, 10, 2, 8, 1, 127, 0]);
        self.align(8);
        // The function table: where each begins and where its record is, then the records.
        let table_at = self.bytes.len();
        let record = if old { 40 } else { 44 };
        let text = functions.first().expect("functions").1;
        let each = record + 4 * 3 + 4 * 4;
        let records = (functions.len() * 8 + 4).next_multiple_of(4) as u64;
        for (index, (_, address)) in functions.iter().enumerate() {
            self.u32(address - text);
            self.u32(records + index as u64 * each);
        }
        self.u32(end - text);
        for (index, (function, address)) in functions.iter().enumerate() {
            let inlines = function.name == "main.main";
            for word in [
                address - text,
                names[index],
                0,
                0,
                0,
                if inlines { two_files } else { first_file },
                lines,
                3,
                0,
            ] {
                self.u32(word);
            }
            if !old {
                self.u32(9); // startLine
            }
            self.bytes.extend_from_slice(&[function.func_id, 0, 0, 4]);
            // pcdata: UnsafePoint, StackMapIndex, InlTreeIndex
            for word in [0, 0, if inlines { inlined } else { 0 }] {
                self.u32(word);
            }
            // funcdata: the fourth is the inline tree, at the begin of gofunc
            for word in [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, if inlines { 0 } else { 0xffff_ffff }] {
                self.u32(word);
            }
        }
        let end_of_table = (self.bytes.len() - table_at) as u64;
        let offset = |at: usize| (at - begin) as u64;
        let parts = [names_at, units_at, files_at, values_at, table_at].map(offset);
        let header = [functions.len() as u64, 2, if image.layout >= 26 { 0 } else { text }];
        for (index, word) in header.into_iter().chain(parts).enumerate() {
            self.bytes[begin + 8 + index * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        self.align(8);
        let gofunc = READ_ONLY + self.here();
        self.inlined_call(old, helper);
        Placed { functions, pclntab, parts, end_of_table, gofunc }
    }

    /// runtime/symtabinl.go: main.helper, called three bytes before its code.
    fn inlined_call(&mut self, old: bool, name: u64) {
        if old {
            // parent -1, function ID, file, line, name, parent's place
            self.bytes.extend_from_slice(&[0xff, 0xff, 0, 0]);
            for word in [0, 11, name, 7] {
                self.u32(word);
            }
        } else {
            // function ID and padding, name, parent's place, start line
            for word in [0, name, 7, 19] {
                self.u32(word);
            }
        }
    }

    /// Everything writable; the addresses of what code refers to.
    fn data(&mut self, image: Image, placed: &Placed) -> Targets {
        if let Some(version) = image.build_info {
            self.build_info(version);
        }
        let text = DATA + self.here();
        self.bytes.extend_from_slice(image.build_version.as_bytes());
        self.align(8);
        let version = DATA + self.here() + 8;
        self.pointer(text);
        self.u64(image.build_version.len() as u64);
        let tasks = self.tasks(image, placed);
        // The linker orders them by what they need: errors before the runtime here, to tell the two orders apart.
        let list = DATA + self.here();
        let listed = match image.inits {
            Inits::Several => vec![tasks[1], tasks[0], tasks[2]],
            Inits::Main => vec![tasks[2]],
            Inits::None => vec![],
        };
        for task in &listed {
            self.pointer(*task);
        }
        let runtime_list = DATA + self.here();
        self.pointer(tasks[0]);
        let runtime_tasks = DATA + self.here();
        self.slice(runtime_list, 1);
        self.module_data(image, placed, list, listed.len() as u64);
        Targets { version, runtime_tasks, tasks }
    }

    /// debug/buildinfo
    fn build_info(&mut self, version: &str) {
        const MARK: [u8; 16] = [0x77; 16];
        let modules = "path\texample.com/tiny\nmod\texample.com/tiny\tv1.2.3\t\nbuild\tCGO_ENABLED=0\n";
        self.align(16);
        self.bytes.extend_from_slice(b"\xff Go buildinf:\x08\x02");
        self.bytes.resize(self.bytes.len() + 16, 0);
        self.bytes.push(u8::try_from(version.len()).expect("a short version"));
        self.bytes.extend_from_slice(version.as_bytes());
        // As a varint, in one byte.
        self.bytes
            .push(u8::try_from(modules.len() + 32).ok().filter(|len| *len < 0x80).expect("a short list"));
        self.bytes.extend_from_slice(&MARK);
        self.bytes.extend_from_slice(modules.as_bytes());
        self.bytes.extend_from_slice(&MARK);
        self.align(8);
    }

    /// The three init tasks: runtime's, errors', main's.
    fn tasks(&mut self, image: Image, placed: &Placed) -> [u64; 3] {
        let entry = |name: &str| {
            placed.functions.iter().find(|(function, _)| function.name == name).map_or(0, |(_, at)| *at)
        };
        let mut task = |name: &str, needs: &[u64]| {
            self.align(8);
            let at = DATA + self.here();
            if image.layout <= 20 {
                self.u64(0);
                self.u64(needs.len() as u64);
                self.u64(1);
                for need in needs {
                    self.pointer(*need);
                }
            } else {
                self.u64(1 << 32);
            }
            self.pointer(entry(name));
            at
        };
        let runtime = task("runtime.init", &[]);
        let errors = task("errors.init", &[runtime]);
        [runtime, errors, task("main.init.0", &[runtime, errors])]
    }

    /// runtime/symtab.go, `moduledata`
    fn module_data(&mut self, image: Image, placed: &Placed, list: u64, tasks_listed: u64) {
        self.align(8);
        let begin = self.bytes.len();
        let [names, units, files, values, table] = placed.parts;
        let ends = [units, files, values, table, table + placed.end_of_table];
        self.pointer(placed.pclntab);
        for (part, end) in [names, units, files, values, table].into_iter().zip(ends) {
            self.slice(placed.pclntab + part, end - part);
        }
        let functions = placed.functions.len() as u64;
        self.slice(placed.pclntab + table, functions + 1);
        let text = placed.functions.first().expect("functions").1;
        let end = placed.functions.last().expect("functions").1 + 16;
        self.pointer(placed.pclntab + table); // findfunctab, of no matter here
        for address in [text, end, text] {
            self.pointer(address);
        }
        self.bytes.resize(begin + 600, 0);
        let gofunc = match image.layout {
            19 => 304,
            27.. => 344,
            _ => 320,
        };
        self.pointer_at(begin + gofunc, placed.gofunc);
        let tasks = match image.layout {
            ..=20 => return,
            26 => 472,
            27.. => 448,
            _ => 464,
        };
        self.pointer_at(begin + tasks, list);
        for at in [8, 16] {
            self.bytes[begin + tasks + at..][..8].copy_from_slice(&tasks_listed.to_le_bytes());
        }
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

    /// The distances in the code.
    fn link(&mut self, placed: &Placed, targets: &Targets) {
        for (function, address) in &placed.functions {
            for (at, link) in &function.links {
                let target = match link {
                    Link::Function(name) => {
                        let found = placed.functions.iter().find(|(function, _)| function.name == *name);
                        found.expect("a function to refer to").1
                    }
                    Link::Version => targets.version,
                    Link::RuntimeTasks => targets.runtime_tasks,
                    Link::Task(index) => targets.tasks[*index],
                };
                let place = address + *at as u64;
                let distance = i32::try_from(target.cast_signed() - (place + 4).cast_signed()).expect("near");
                let offset = usize::try_from(place - CODE).expect("small");
                self.bytes[offset..offset + 4].copy_from_slice(&distance.to_le_bytes());
            }
        }
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

struct Targets {
    version: u64,
    runtime_tasks: u64,
    tasks: [u64; 3],
}
