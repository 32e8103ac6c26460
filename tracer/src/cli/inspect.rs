//! `gotrace inspect BINARY`: what gotrace knows of a binary without running it.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;

use super::Exit;
use crate::export::inspect::{FunctionRow, FunctionRows, HookOf, HookRow, InitRow, Inspection, Lists};
use crate::probe;
use crate::probe::plan::{self, Detail, MissingHook, PlannedSite};
use crate::target::gobin::{Frame, GoBinary, InitTask};
use crate::units::VirtAddr;

/// Show what gotrace knows of a binary without running it
#[derive(clap::Args)]
pub(super) struct Args {
    /// The binary to read
    binary: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Show every package's init
    #[arg(long)]
    inits: bool,
    /// Show every module that the program depends on
    #[arg(long)]
    deps: bool,
    /// Show every function, with its file and line
    #[arg(long)]
    functions: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let binary = GoBinary::open(&args.binary)?;
    let inspection = inspect(&binary, args.functions);
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let written = if args.json {
        inspection.write_json(&mut out)
    } else {
        let lists = Lists { inits: args.inits, dependencies: args.deps };
        inspection.write_text(lists, &mut out)
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        other => other.context("cannot write to standard output").map(|()| Exit::Ok),
    }
}

fn inspect(binary: &GoBinary, functions: bool) -> Inspection<'_> {
    let (inits, inits_unknown) = match binary.init_tasks() {
        Ok(tasks) => {
            let mut places = Places::new();
            (tasks.iter().map(|task| init_row(binary, task, &mut places)).collect(), None)
        }
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    Inspection {
        path: binary.path().display().to_string(),
        go_version: binary.version().to_string(),
        go_version_source: binary.version().source,
        support: binary.support(),
        layouts: binary.layout_source(),
        machine: binary.machine(),
        build_info: binary.build_info().cloned(),
        linking: binary.linking().clone(),
        function_count: binary.functions().len(),
        functions: functions.then(|| {
            FunctionRows::new(|| binary.functions().iter().map(|function| function_row(binary, function)))
        }),
        inits,
        inits_unknown,
        counters_unknown: binary.scheduler().err().map(|refusal| refusal.to_string()),
        hooks: hooks(binary),
    }
}

fn hooks(binary: &GoBinary) -> Vec<HookRow> {
    let start = plan::startup(binary, Detail::Everything);
    let (gc, gc_missing) = match probe::gc(binary) {
        Ok(plan) => (plan.sites, plan.missing),
        Err(missing) => (Vec::new(), vec![missing]),
    };
    let (waits, waits_missing) = match probe::parking(binary) {
        Ok(plan) => (plan.sites, plan.missing),
        Err(missing) => (Vec::new(), vec![missing]),
    };
    rows(HookOf::Start, start.sites, start.missing)
        .chain(rows(HookOf::Gc, gc, gc_missing))
        .chain(rows(HookOf::Waits, waits, waits_missing))
        .collect()
}

fn rows(of: HookOf, sites: Vec<PlannedSite>, missing: Vec<MissingHook>) -> impl Iterator<Item = HookRow> {
    let site = move |PlannedSite { hook, function, site }| HookRow {
        of,
        hook: hook.name(),
        function,
        site: Some(site),
        reason: None,
    };
    let missing_row = move |MissingHook { hook, function, reason }| HookRow {
        of,
        hook: hook.name(),
        function,
        site: None,
        reason: Some(reason),
    };
    sites.into_iter().map(site).chain(missing.into_iter().map(missing_row))
}

fn function_row(binary: &GoBinary, function: crate::target::gobin::Function) -> FunctionRow {
    let (file, line) = place(binary, function.entry);
    let size = function.end.0 - function.entry.0;
    FunctionRow { name: function.name, entry: function.entry, size, file, line }
}

/// The authors' own `init` functions are numbered; `pkg.init` is what the compiler makes for variables.
fn init_row(binary: &GoBinary, task: &InitTask, places: &mut Places) -> InitRow {
    let written = task.functions.iter().find(|entry| {
        let function = binary.functions().containing(**entry);
        function.is_some_and(|function| {
            function.name.rsplit('.').next().is_some_and(|last| last.parse::<u32>().is_ok())
        })
    });
    let (file, line) = written
        .map_or((None, 0), |entry| places.entry(*entry).or_insert_with(|| place(binary, *entry)).clone());
    InitRow { package: task.package.clone(), functions: task.functions.len(), file, line }
}

/// Where functions begin. In a file made to waste time very many tasks may name the same function.
type Places = HashMap<VirtAddr, (Option<String>, u32)>;

fn place(binary: &GoBinary, address: VirtAddr) -> (Option<String>, u32) {
    // The outermost frame is the function itself, whatever was inlined into its first instruction.
    match binary.frames(address).pop() {
        Some(Frame { file, line, .. }) => (file.as_deref().map(str::to_owned), line),
        None => (None, 0),
    }
}
