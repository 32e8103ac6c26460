//! The image's function table.

use super::code::Code;
use super::{Image, Placed, READ_ONLY, Writer};

impl Writer {
    /// cmd/link/internal/ld/pcln.go
    pub(super) fn pclntab(&mut self, image: Image, functions: Vec<(Code, u64)>, end: u64) -> Placed {
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
}
