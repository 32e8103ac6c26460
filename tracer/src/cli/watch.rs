//! `gotrace watch BINARY`: the startup of every new process of a binary, whoever starts it.

mod binary;
mod kernel_side;
mod telling;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use tracer_ebpf::config::Config;

use self::kernel_side::KernelSide;
use self::telling::Telling;
use super::ending::ended;
use super::recorder::size;
use super::rights::{self, Beside};
use super::ring::{DRAIN_INTERVAL, ring_size};
use super::traceable::Traceable;
use super::{Common, Exit};
use crate::doctor;
use crate::probe::load::{LoadOptions, Loaded};
use crate::probe::plan::Detail;
use crate::probe::{Starts, watch_config};

/// Show the startup of every new process of a Go program
///
/// For programs that something else starts: systemd, a container runtime, cron. The probes lie on the file, so
/// every process that begins to run it is seen, in containers too, until Ctrl-C; those that run already are not.
/// A process's startup is told when it comes to main.main, or to its end before that.
///
/// Times count from the end of the process's execve. A file that takes the binary's place later is another one:
/// watch it anew.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  sudo gotrace watch /usr/bin/server
  sudo gotrace watch -o starts.ndjson --count 10 /usr/bin/server && gotrace diff before.ndjson starts.ndjson

Exit codes: 0 after Ctrl-C or --count starts; 3 when gotrace cannot trace here, 4 when the program is not found
or no Go program that gotrace knows, 5 when data was lost.")]
pub(super) struct Args {
    /// Append every start to FILE, as NDJSON; or, when its name ends in .gotrace, write a capture, for gotrace report.
    /// Repeatable
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// How large a capture may become, such as 100M: the next start then begins a new file, and the one before is
    /// called FILE.1
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// One JSON object a line on standard output instead of text
    #[arg(long)]
    json: bool,
    /// End after so many starts
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// How many inits to show in text; 0 for all
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// The size of the buffer between kernel and gotrace, in KiB: a power of two
    #[arg(long, value_name = "KIB", default_value_t = 8192, value_parser = ring_size)]
    ring_size: u32,
    /// Watch the program of the processes that have this name now, in a container too
    #[arg(long, value_name = "NAME", conflicts_with = "binary", required_unless_present = "binary")]
    name: Option<String>,
    /// The program to watch: a path, or a name that is looked for in PATH
    binary: Option<OsString>,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    rights::narrow(Beside { writes: !args.output.is_empty(), ..Beside::default() });
    let traceable = Traceable::of(binary::named(args)?, Detail::Lean)?;
    let Traceable { binary, plan, .. } = &traceable;
    let path = binary.path();
    doctor::fit(doctor::checks(&format!("gotrace watch {}", path.display())))?;
    let mut telling = Telling::open(args, &traceable)?;
    let ended = ended()?;

    let mut loaded = Loaded::load(&LoadOptions {
        starts: Starts { config: watch_config(false), most_under_way: 1024, ..Starts::NONE },
        ring_bytes: args.ring_size * 1024,
        ..LoadOptions::of_start(Config::default())
    })?;
    let mut kernel = KernelSide::of(&mut loaded, telling.recorder.is_on())?;
    let mut watching = loaded.watch_starts()?;
    watching.arm(0, binary.file(), &plan.sites)?;
    common.note(&format!("watching {} for new processes; Ctrl-C ends", path.display()));

    // What was dropped before the first start: nothing.
    kernel.losses()?;
    let mut unsure = 0_u64;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 && !ended.load(Ordering::SeqCst) {
        std::thread::sleep(DRAIN_INTERVAL);
        kernel.losses()?;
        for started in kernel.drain() {
            if !kernel.is_sure(&started)? {
                unsure += 1;
            } else if left > 0 {
                let losses = kernel.losses_of(&started)?;
                telling.tell(&started, losses, kernel.take_undecodable())?;
                left -= 1;
            }
        }
        telling.recorder.tick();
    }
    watching.detach();
    // A probe may have been running while the sites were disarmed.
    let mut rest = kernel.drain();
    let stray = kernel.stray();
    rest.extend(kernel.take_rest());
    for started in rest.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        if kernel.is_sure(&started)? {
            let losses = kernel.losses_of(&started)?;
            telling.tell(&started, losses, 0)?;
        } else {
            unsure += 1;
        }
    }
    let losses = kernel.losses()?;
    let dropped: u64 = losses.iter().map(|loss| loss.dropped).sum();
    let hits: u64 = losses.iter().map(|loss| loss.hits).sum();
    common.note(&format!(
        "{} starts told, {unsure} left out because their main.main may be what was lost; {hits} probe hits, \
         {dropped} lost, {stray} of no known start",
        telling.told
    ));
    telling.recorder.commit()?;
    Ok(if dropped + stray > 0 { Exit::Incomplete } else { Exit::Ok })
}
