//! What a Go binary is, from its bytes alone: version, modules, functions, source lines, inits, and where it
//! can be probed. Everything is hostile input: every offset and count is checked against the file, memory is
//! bounded by it, and the file is read, never mapped.
//!
//! Nothing here trusts what stripping removes or linkers rename: neither sections nor symbols.

mod build_id;
mod build_info;
mod code;
mod collector;
mod debug_info;
mod effects;
mod elf;
mod error;
mod functions;
mod globals;
mod heap;
mod importers;
mod init_tasks;
mod layout;
mod lines;
mod loaded;
mod offsets;
mod pauses;
mod pclntab;
mod relocations;
mod runtime_layout;
mod scheduler;
mod site;
mod source;
mod stops;
mod version;
mod wait_reason;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use build_id::{CodeSegment, carries_go_note};
pub use build_info::{BuildInfo, Module, Setting};
pub use collector::{
    CollectorGlobals, CollectorLayout, CollectorRefusal, ControllerLayout, Holders, StatsLayout, WorkLayout,
};
pub use elf::Linking;
pub use error::BinaryError;
pub use functions::{Function, Functions};
pub use heap::{HeapGlobals, HeapLayout, HeapRefusal};
pub use init_tasks::InitTask;
pub use lines::Frame;
pub use loaded::Landmarks;
pub use pauses::PausesLayout;
pub use runtime_layout::{GLayout, MLayout, PLayout, PollLayout, RuntimeLayout};
pub use scheduler::{SchedulerGlobals, SchedulerLayout};
pub use site::{Site, SiteKind, SiteRefusal};
pub use stops::CallSite;
pub use version::{GoVersion, VersionSource};
pub use wait_reason::{ReasonKind, wait_reason};

use crate::units::{FileOffset, VirtAddr};
use elf::Elf;
use layout::Layout;
use lines::LineTables;
use offsets::Layouts;
use pclntab::Pclntab;
use relocations::Relocations;
use schemars::JsonSchema;
use serde::Serialize;
use source::{Source, u64_at};

/// The processor that a program is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// x86-64, Go's `amd64`.
    X86_64,
    /// 64-bit Arm, Go's `arm64`.
    Aarch64,
}

impl Machine {
    /// The one that gotrace itself is built for.
    pub const HOST: Self = if cfg!(target_arch = "x86_64") { Self::X86_64 } else { Self::Aarch64 };
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::X86_64 => "x86-64",
            Self::Aarch64 => "arm64",
        })
    }
}

/// How much gotrace knows of the program's Go version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// Everything.
    Full,
    /// Too old: what it is can be told, but it cannot be traced.
    TooOld,
    /// Newer than gotrace knows: functions are found by name; the list of inits is not read, because its
    /// layout may have changed.
    TooNew,
}

/// How it is known where a program's runtime keeps what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayoutSource {
    /// From gotrace's table of Go releases.
    Table,
    /// From the program's own debug information (DWARF).
    DebugInfo,
}

/// An open Go binary.
#[derive(Debug)]
pub struct GoBinary {
    source: Source,
    elf: Elf,
    relocations: Relocations,
    pclntab: Pclntab,
    functions: Functions,
    version: GoVersion,
    build_info: Option<BuildInfo>,
    /// `moduledata.gofunc`: what offsets of function data count from.
    gofunc: Option<u64>,
    line_tables: LineTables,
    layouts: OnceLock<Option<(Layouts, LayoutSource)>>,
}

impl GoBinary {
    /// Opens and reads a Go binary.
    ///
    /// # Errors
    /// When it cannot be read, is no Go program, or is damaged.
    pub fn open(path: &Path) -> Result<Self, BinaryError> {
        Self::read(Source::open(path)?)
    }

    /// Reads a Go binary from an open file; the path is for messages only.
    ///
    /// # Errors
    /// As [`GoBinary::open`].
    pub fn from_file(file: File, path: PathBuf) -> Result<Self, BinaryError> {
        Self::read(Source::from_file(file, path)?)
    }

    fn read(source: Source) -> Result<Self, BinaryError> {
        let elf = Elf::read(&source)?;
        let relocations = Relocations::of(&source, &elf)?;
        let pclntab = Pclntab::find(&source, &elf, &relocations)?;
        let (version, build_info) = match build_info::read(&source, &elf)? {
            Some((version, info)) => (Some(version), info),
            None => (None, None),
        };
        let functions = Functions::read(&source, &elf, &pclntab)?;
        let unknown = GoVersion::unknown();
        let mut binary = Self {
            source,
            elf,
            relocations,
            pclntab,
            functions,
            version: version.unwrap_or(unknown),
            build_info,
            gofunc: None,
            line_tables: LineTables::default(),
            layouts: OnceLock::new(),
        };
        if binary.version.minor() == 0 {
            binary.version = code::build_version(&binary).ok_or_else(|| {
                binary.source.unsupported("a Go program that does not tell which Go built it")
            })?;
        }
        let layout = layout::of(binary.version.minor());
        let mark = layout.map(|layout| layout.wrapper).or_else(|| binary.functions.mark_of_pairs());
        binary.functions.set_wrapper(mark);
        binary.elf.linking.cgo = binary.functions.named("crosscall2").is_some();
        if let Some(layout) = layout {
            let field = VirtAddr(binary.pclntab.moduledata.0.wrapping_add(layout.gofunc));
            binary.gofunc = binary.relocated(field, 8).ok().and_then(|word| u64_at(&word, 0));
        }
        Ok(binary)
    }

    /// The open file: what was read here is what a probe on it reaches, whatever the path names by then.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.source.file
    }

    /// The path that it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The processor that it is built for.
    #[must_use]
    pub fn machine(&self) -> Machine {
        self.elf.machine
    }

    /// The Go version that built it.
    #[must_use]
    pub fn version(&self) -> &GoVersion {
        &self.version
    }

    /// How much gotrace knows of that version.
    #[must_use]
    pub fn support(&self) -> Support {
        let minor = self.version.minor();
        if minor < *layout::KNOWN.start() {
            Support::TooOld
        } else if minor > *layout::KNOWN.end() {
            Support::TooNew
        } else {
            Support::Full
        }
    }

    /// Where its runtime keeps what, and how that is known. The table's rows are the debug information of the same
    /// release, so the program's own is read, when it is first asked for, of what the table does not have itself: a patch
    /// release beyond those that were measured, and whatever was built with experiments, of no release, or under a name of
    /// somebody's own. Without debug information a patch release is taken for its neighbour.
    fn known_layouts(&self) -> Option<&(Layouts, LayoutSource)> {
        let known = self.layouts.get_or_init(|| {
            let table = |layouts: &Layouts| (*layouts, LayoutSource::Table);
            offsets::exactly(&self.version)
                .map(table)
                .or_else(|| Some((debug_info::layouts(self)?, LayoutSource::DebugInfo)))
                .or_else(|| offsets::of(&self.version).map(table))
        });
        known.as_ref()
    }

    fn layouts(&self) -> Option<&Layouts> {
        self.known_layouts().map(|(layouts, _)| layouts)
    }

    /// How it is known where its runtime keeps what; none when it is not.
    #[must_use]
    pub fn layout_source(&self) -> Option<LayoutSource> {
        self.known_layouts().map(|(_, source)| *source)
    }

    /// Where its collector keeps its notes. What is no release is not taken for one here.
    fn collector_layout(&self) -> Option<CollectorLayout> {
        match self.known_layouts()? {
            (_, LayoutSource::Table) => CollectorLayout::of(&self.version),
            (layouts, LayoutSource::DebugInfo) => layouts.collector(),
        }
    }

    /// The same, where only its own debug information tells.
    #[must_use]
    pub fn own_collector_layout(&self) -> Option<CollectorLayout> {
        self.collector_layout().filter(|_| self.layout_source() == Some(LayoutSource::DebugInfo))
    }

    /// What `go build` noted, when it did.
    #[must_use]
    pub fn build_info(&self) -> Option<&BuildInfo> {
        self.build_info.as_ref()
    }

    /// How it is linked.
    #[must_use]
    pub fn linking(&self) -> &Linking {
        &self.elf.linking
    }

    /// Where the kernel or the dynamic linker starts it.
    #[must_use]
    pub fn entry(&self) -> VirtAddr {
        self.elf.entry
    }

    /// Its functions.
    #[must_use]
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Where the file keeps the instruction at that address; none when no instruction is there.
    #[must_use]
    pub fn file_offset(&self, at: VirtAddr) -> Option<FileOffset> {
        self.elf.segment_of(at).filter(|segment| segment.executable)?;
        self.elf.offset_of(at)
    }

    /// The layout of its Go version.
    fn layout(&self) -> Result<Layout, BinaryError> {
        layout::of(self.version.minor()).ok_or_else(|| {
            self.source.unsupported(format!("the layout of {}'s tables is not known", self.version))
        })
    }

    /// Bytes by address, as they are in the file.
    fn bytes(&self, at: VirtAddr, len: u64) -> Option<Vec<u8>> {
        self.elf.bytes(&self.source, at, len).ok()
    }

    /// Bytes by address, as they are once the program is loaded at the address that the file states.
    fn relocated(&self, at: VirtAddr, len: u64) -> Result<Vec<u8>, BinaryError> {
        self.relocations.apply(&self.source, &self.elf, at, len)
    }
}
