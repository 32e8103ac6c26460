//! The image's functions, instruction by instruction, and what they refer to.

use super::{CODE, Image, Placed, Writer};

/// One function: its name, its code, and what the runtime takes it for.
pub(super) struct Code {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) func_id: u8,
    /// Where in the code a four-byte distance to what has to be written.
    pub(super) links: Vec<(usize, Link)>,
}

#[derive(Clone, Copy)]
pub(super) enum Link {
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

    pub(super) fn functions(self) -> Vec<Code> {
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
}

/// The addresses of what code refers to.
pub(super) struct Targets {
    pub(super) version: u64,
    pub(super) runtime_tasks: u64,
    pub(super) tasks: [u64; 3],
}

impl Writer {
    /// The distances in the code.
    pub(super) fn link(&mut self, placed: &Placed, targets: &Targets) {
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
}
