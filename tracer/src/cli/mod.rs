//! One verb a file. clap's types end here.

mod attach;
mod collection;
mod diff;
mod doctor;
mod ending;
mod exit;
mod flame;
mod followed;
mod generate;
mod inits;
mod inspect;
mod kernel_config;
mod kernel_side;
mod list;
mod log;
mod node;
mod open;
mod order;
mod output;
mod overhead;
mod ready;
mod recorder;
mod repair;
mod repeated;
mod report;
mod rights;
mod ring;
mod run;
mod session;
mod signals;
mod traceable;
mod until;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::Exit;

/// See why a Go program starts slowly, without rebuilding or touching it
#[derive(Parser)]
#[command(
    name = "gotrace",
    version,
    infer_subcommands = true,
    after_help = "Examples:
  sudo gotrace run -- ./server          the startup timeline of a program
  gotrace report start.gotrace          any report of a capture again, on any machine
  gotrace diff before.ndjson after.ndjson
                                        what became slower or faster
  sudo gotrace attach server            how far a running program's start is, and what it waits for
  sudo gotrace list                     the Go programs that run here
  gotrace inspect ./server              what a binary is, and where it can be probed
  gotrace doctor                        whether gotrace can work here"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

/// What every verb understands.
#[derive(clap::Args)]
struct Common {
    /// Say more on standard error: -v steps, -vv details, -vvv the kernel side's own log
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Colours in text
    #[arg(long, global = true, value_enum, default_value = "auto")]
    color: Color,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Color {
    /// When a terminal reads, and NO_COLOR is not set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Subcommand)]
enum Verb {
    Run(run::Args),
    Watch(watch::Args),
    Report(report::Args),
    Diff(diff::Args),
    Attach(attach::Args),
    Node(node::Args),
    List(list::Args),
    Inspect(inspect::Args),
    Repair(repair::Args),
    Doctor(doctor::Args),
    Generate(generate::Args),
}

impl Common {
    fn kernel_log(&self) -> bool {
        self.verbose >= 3
    }

    /// Tells the user one thing on standard error, unless asked to be quiet.
    fn note(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }
}

/// Tells the user one thing on standard error. Where nobody reads that, there is nobody to tell.
fn say(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "gotrace: {text}");
}

/// Parses the command line, runs the verb and returns the process's exit code.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { verb, common } = Cli::parse();
    match common.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    match &verb {
        // Nobody sits before it; what it does is to be found afterwards.
        Verb::Node(args) => log::init(common.quiet, common.verbose.max(1), args.log_format()),
        _ => log::init(common.quiet, common.verbose, log::Format::Text),
    }
    exit::code_of(match &verb {
        Verb::Run(args) => run::run(args, &common),
        Verb::Watch(args) => watch::run(args, &common),
        Verb::Report(args) => report::run(args, &common),
        Verb::Diff(args) => diff::run(args, &common),
        Verb::Attach(args) => attach::run(args, &common),
        Verb::Node(args) => node::run(args, &common),
        Verb::List(args) => list::run(args, &common),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Repair(args) => repair::run(args, &common),
        Verb::Doctor(args) => doctor::run(args),
        Verb::Generate(args) => generate::run(args),
    })
}
