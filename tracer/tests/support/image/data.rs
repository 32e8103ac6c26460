//! The image's variables: the version, the init tasks, the module data.

use super::code::Targets;
use super::{DATA, Image, Inits, Placed, Writer};

impl Writer {
    /// Everything writable; the addresses of what code refers to.
    pub(super) fn data(&mut self, image: Image, placed: &Placed) -> Targets {
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
}
