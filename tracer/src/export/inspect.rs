//! What `gotrace inspect` found, for people and for programs.

use std::fmt;
use std::io::{self, Write};

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::printable;
use crate::target::gobin::{BuildInfo, LayoutSource, Linking, Machine, Site, Support, VersionSource};
use crate::units::VirtAddr;

/// What gotrace knows of a binary without running it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Inspection<'a> {
    /// The file.
    pub path: String,
    /// The Go version, as the linker wrote it.
    pub go_version: String,
    /// Where that was read.
    pub go_version_source: VersionSource,
    /// How much gotrace knows of that version.
    pub support: Support,
    /// How it is known where its runtime keeps what; null when it is not.
    pub layouts: Option<LayoutSource>,
    /// The processor that it is built for.
    pub machine: Machine,
    /// What `go build` noted.
    pub build_info: Option<BuildInfo>,
    /// How it is linked.
    pub linking: Linking,
    /// How many functions it has.
    pub function_count: usize,
    /// The functions, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functions: Option<FunctionRows<'a>>,
    /// Every init in the order in which the linker lined them up.
    pub inits: Vec<InitRow>,
    /// Why there is no list of inits.
    pub inits_unknown: Option<String>,
    /// Why the scheduler's counts of a running process cannot be read from its memory.
    pub counters_unknown: Option<String>,
    /// Every hook: its site, or why it has none.
    pub hooks: Vec<HookRow>,
}

/// The functions, each made when it is written: there may be very many.
pub struct FunctionRows<'a>(Box<dyn Fn() -> Rows<'a> + 'a>);

type Rows<'a> = Box<dyn Iterator<Item = FunctionRow> + 'a>;

impl<'a> FunctionRows<'a> {
    /// Rows that `rows` makes anew whenever they are written.
    pub fn new<I>(rows: impl Fn() -> I + 'a) -> Self
    where
        I: Iterator<Item = FunctionRow> + 'a,
    {
        Self(Box::new(move || Box::new(rows())))
    }
}

impl fmt::Debug for FunctionRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((self.0)()).finish()
    }
}

impl Serialize for FunctionRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// They are written as a list.
impl JsonSchema for FunctionRows<'_> {
    fn schema_name() -> Cow<'static, str> {
        Vec::<FunctionRow>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<FunctionRow>::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// One function.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FunctionRow {
    /// Its name.
    pub name: String,
    /// Its first instruction.
    pub entry: VirtAddr,
    /// Its size in bytes.
    pub size: u64,
    /// The file that it begins in.
    pub file: Option<String>,
    /// The line that it begins at.
    pub line: u32,
}

/// One package's init.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InitRow {
    /// The package.
    pub package: String,
    /// How many functions it runs.
    pub functions: usize,
    /// The file of the first `init` function that the package's authors wrote, when there is one.
    pub file: Option<String>,
    /// Its line.
    pub line: u32,
}

/// One hook.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HookRow {
    /// What it is a hook of.
    pub of: HookOf,
    /// The hook's name.
    pub hook: &'static str,
    /// The function that serves it.
    pub function: String,
    /// Where it is probed.
    pub site: Option<Site>,
    /// Why it is not.
    pub reason: Option<String>,
}

/// What hooks are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HookOf {
    /// The timeline of a start: `run`, `watch`.
    Start,
    /// The collector's cycles and the stops of the world: `attach`, and `run`.
    Gc,
    /// Why goroutines are parked: `attach --waits`.
    Waits,
}

impl Inspection<'_> {
    /// Writes one JSON object.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.write_all(b"\n")
    }

    /// Writes text. The lists of inits and dependencies come in full on request.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write_text(&self, lists: Lists, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", printable(&self.path))?;
        let from = match self.go_version_source {
            VersionSource::BuildInfo => "",
            VersionSource::BuildVersion => " (from runtime.buildVersion; the build information was removed)",
        };
        writeln!(out, "  built by    {}{from}", printable(&self.go_version))?;
        match self.support {
            Support::Full => {}
            Support::TooOld => {
                writeln!(out, "              older than Go 1.19: it can be read but not traced")?;
            }
            Support::TooNew => writeln!(
                out,
                "              newer than Go 1.27: phases can be traced, inits cannot, because their layout is not known"
            )?,
        }
        if let Some(LayoutSource::DebugInfo) = self.layouts {
            writeln!(out, "  layouts     of the runtime: from the program's own debug information")?;
        }
        self.write_module(lists, out)?;
        writeln!(out, "  linking     {} for {}", linking(&self.linking), self.machine)?;
        writeln!(out, "  functions   {}", self.function_count)?;
        self.write_inits(lists, out)?;
        if let Some(reason) = &self.counters_unknown {
            writeln!(out, "  counters    not read from memory: {}", printable(reason))?;
        }
        for (of, title) in [
            (HookOf::Start, "hooks of a start"),
            (HookOf::Gc, "hooks of the garbage collector, when it is attached to"),
            (HookOf::Waits, "hooks of attach --waits"),
        ] {
            writeln!(out, "  {title}")?;
            for row in self.hooks.iter().filter(|row| row.of == of) {
                row.write_text(out)?;
            }
        }
        for row in self.functions.iter().flat_map(|rows| (rows.0)()) {
            let file = printable(row.file.as_deref().unwrap_or("?"));
            writeln!(out, "{:#x} {:>7} {} {file}:{}", row.entry, row.size, printable(&row.name), row.line)?;
        }
        Ok(())
    }

    fn write_module(&self, lists: Lists, out: &mut dyn Write) -> io::Result<()> {
        let Some(info) = &self.build_info else {
            return writeln!(out, "  module      unknown: the binary has no list of modules");
        };
        let module = info
            .main
            .as_ref()
            .map(|module| format!("{} {}", printable(&module.path), printable(&module.version)));
        let module =
            module.or_else(|| info.path.as_deref().map(printable)).unwrap_or_else(|| "unknown".to_owned());
        let count = info.dependencies.len();
        writeln!(
            out,
            "  module      {}, {count} {}",
            module.trim_end(),
            if count == 1 { "dependency" } else { "dependencies" }
        )?;
        if lists.dependencies {
            for module in &info.dependencies {
                writeln!(out, "    {} {}", printable(&module.path), printable(&module.version))?;
            }
        }
        Ok(())
    }

    fn write_inits(&self, lists: Lists, out: &mut dyn Write) -> io::Result<()> {
        /// As many as fit on a first screen.
        const FIRST: usize = 8;
        if let Some(reason) = &self.inits_unknown {
            return writeln!(out, "  inits       unknown: {}", printable(reason));
        }
        writeln!(out, "  inits       {} packages, in this order", self.inits.len())?;
        let shown = if lists.inits { self.inits.len() } else { FIRST };
        for (seq, init) in self.inits.iter().enumerate().take(shown) {
            let place = init
                .file
                .as_deref()
                .map_or(String::new(), |file| format!("  {}:{}", printable(file), init.line));
            writeln!(out, "    #{seq:<4} {}{place}", printable(&init.package))?;
        }
        if self.inits.len() > shown {
            writeln!(out, "    … and {} more; --inits shows all", self.inits.len() - shown)?;
        }
        Ok(())
    }
}

impl HookRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let name = printable(&self.function);
        match (&self.site, &self.reason) {
            (Some(site), _) => writeln!(
                out,
                "    {:<15} {name:<20} {:#x}  {:<20} {}",
                self.hook,
                site.address,
                site.instruction,
                if site.emulated { "emulated" } else { "single-stepped" }
            ),
            (None, reason) => {
                let reason = reason.as_deref().unwrap_or("no site");
                writeln!(out, "    {:<15} {name:<20} not probed: {}", self.hook, printable(reason))
            }
        }
    }
}

/// Which lists to show in full.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lists {
    /// Every init.
    pub inits: bool,
    /// Every module.
    pub dependencies: bool,
}

fn linking(linking: &Linking) -> String {
    let mut words = Vec::new();
    words.push(if linking.interpreter.is_some() { "dynamic" } else { "static" });
    if linking.pie {
        words.push("position independent");
    }
    if linking.cgo {
        words.push("with C code");
    }
    words.push(if linking.stripped { "stripped" } else { "with symbols" });
    if linking.dwarf {
        words.push("with DWARF");
    }
    words.join(", ")
}
