//! `gotrace node run`: watches the machine until it is told to end.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::super::ending::ended;
use super::super::exit::EnvironmentRefused;
use super::super::log::Format;
use super::super::recorder::size;
use super::super::rights::{self, Beside};
use super::super::ring::{DRAIN_INTERVAL, ring_size};
use super::super::{Cli, Common, Exit};
use super::interval;
use super::sending::Receiver;
use crate::doctor::{self, Check, Verdict};
use crate::node::{
    Collections, Endpoint, Limits, Overhead, Profiles, Selection, Selector, Session, Shared, Token, serve,
    watch_in_turn,
};

/// How often it is looked whether what kept the agent from its work still does.
const RETRY: Duration = Duration::from_secs(5);

/// So long it is waited for the end of what is being collected, which is killed.
const COLLECTION_END: Duration = Duration::from_millis(500);

/// Watch the starts of a machine's Go processes and serve metrics of them
///
/// The probes lie on the executables of the processes that are selected, one set for each file; every new process of
/// them is seen from its first instruction on, in containers too. Of a program that gotrace did not know, the first
/// process is seen from where it is by then, and its time to main.main all the same.
///
/// GET /metrics has the metrics, /readyz what keeps the agent from its work, and /healthz whether it lives.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  sudo gotrace node run --select exe=/usr/bin/server
  sudo gotrace node run --select namespace=shop --select 'cgroup=/system.slice/*'
  sudo gotrace node run --all --log-format json
  sudo gotrace node run --all --pprof &
  go tool pprof http://127.0.0.1:9464/pids/4242/debug/pprof/profile?seconds=5
  sudo gotrace node run --all --otlp http://127.0.0.1:4318
  sudo gotrace node run --all --otlp http://127.0.0.1:4318 --otlp-metrics 15s

Variables, for --otlp: OTEL_EXPORTER_OTLP_ENDPOINT (as --otlp, which is stronger), OTEL_EXPORTER_OTLP_HEADERS,
OTEL_EXPORTER_OTLP_TIMEOUT (milliseconds), OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME (of every start, and of the
agent as who sends metrics); OTEL_EXPORTER_OTLP_PROTOCOL may be http/protobuf only. For --otlp-metrics without INTERVAL:
OTEL_METRIC_EXPORT_INTERVAL (milliseconds).

Exit codes: 0 after SIGTERM or Ctrl-C; 3 when it cannot listen, has no token where there is to be one, or cannot send
what it is to.")]
pub(super) struct Args {
    /// Look at processes that are so: exe=PATH, module=NAME, cgroup=GLOB, container=ID, namespace=NS or pod=NS/NAME.
    /// Repeatable; one that fits is enough
    #[arg(long, value_name = "WHAT", required_unless_present = "all")]
    select: Vec<Selector>,
    /// Look at every Go process of the machine
    #[arg(long, conflicts_with = "select")]
    all: bool,
    /// Where to answer over HTTP. Who can reach that can read what runs here
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// So many running processes, and so many sets of labels, at most
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_processes: u32,
    /// So many executables at most
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_binaries: u32,
    /// With more memory than this, such as 128M, no further executable is watched
    #[arg(long, value_name = "SIZE", default_value = "128M", value_parser = size)]
    max_rss: u64,
    /// When gotrace and its probes take more than this part of one processor over ten seconds, such as 0.05, the
    /// program whose starts are most to tell is not watched for a minute
    #[arg(long, value_name = "PART", value_parser = part)]
    max_overhead: Option<f64>,
    /// When the probes of a program take more than this part of one processor over ten seconds, it is not watched for a
    /// minute
    #[arg(long, value_name = "PART", value_parser = part)]
    max_overhead_each: Option<f64>,
    /// While there is this file, no probe is in place
    #[arg(long, value_name = "FILE")]
    kill_switch: Option<PathBuf>,
    /// Hold the first start of an executable that gotrace does not know until its probes are in place, for 20 ms or that
    /// TIME at most: then it is seen from its first instruction on, too. Takes CAP_SYS_ADMIN
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "20ms",
        value_parser = hold)]
    gate_new: Option<Duration>,
    /// Also tell what the selected processes are blocked on, by cause: in each TIME (60s) the one that was not for longest is
    /// watched for ten seconds, by a probe on the machine's system calls
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "60s",
        value_parser = interval)]
    blocking: Option<Duration>,
    /// Also serve profiles of the selected processes: /pids lists them, and /pids/PID/debug/pprof/profile, block and
    /// startup are for go tool pprof. To whoever asks from this machine; from elsewhere with --pprof-token only
    #[arg(long)]
    pprof: bool,
    /// Serve profiles to whoever shows the token in FILE, and to nobody else: as Authorization: Bearer TOKEN, or as the
    /// password of any user. It is not encrypted on its way
    #[arg(long, value_name = "FILE", requires = "pprof")]
    pprof_token: Option<PathBuf>,
    /// Send each start as a trace to an OTLP receiver, such as a collector, over HTTP: http://HOST:PORT. The start is
    /// the root; its phases and the inits that took longest are in it
    #[arg(long, value_name = "URL")]
    otlp: Option<Endpoint>,
    /// Also send it all that /metrics has: every minute, or so often, such as 15s; and at the end
    #[arg(long, value_name = "INTERVAL", value_parser = interval)]
    otlp_metrics: Option<Option<Duration>>,
    /// The size of the buffer between kernel and gotrace, in KiB: a power of two
    #[arg(long, value_name = "KIB", default_value_t = 8192, value_parser = ring_size)]
    ring_size: u32,
    /// How gotrace's own messages are written
    #[arg(long, value_enum, default_value = "text")]
    pub(super) log_format: Format,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    // Before anything is put in place.
    let collects = args.pprof || args.blocking.is_some();
    let collections = Arc::new(Collections::of_gotrace());
    let profiles = profiles(args, &collections)?.map(Arc::new);
    let receiver = Receiver::of(args.otlp.as_ref(), args.otlp_metrics)?;
    if args.otlp_metrics.is_some() && receiver.is_nobody() {
        return Err(no_receiver().into());
    }
    let listener = TcpListener::bind(args.listen)
        .map_err(|error| EnvironmentRefused(format!("cannot listen on {}: {error}", args.listen)))?;
    let address = listener.local_addr()?;
    let beside = Beside {
        samples: args.pprof,
        starts_itself: collects,
        holds: args.gate_new.is_some(),
        ..Beside::default()
    };
    rights::narrow(beside);
    let ended = ended()?;
    raise_open_files();
    let selection = Arc::new(selection(args));
    let limits = Limits {
        binaries: args.max_binaries as usize,
        memory: args.max_rss,
        ring_bytes: args.ring_size * 1024,
        overhead: Overhead { node: args.max_overhead, each: args.max_overhead_each },
        gate_new: args.gate_new,
    };
    let state = Shared::new(args.max_processes as usize);
    if args.pprof {
        state.keep_starts();
    }
    serve(listener, state.clone(), profiles)?;
    if let Some(each) = args.blocking {
        watch_in_turn(state.clone(), Arc::clone(&collections), each)?;
    }
    common.note(&format!("metrics at http://{address}/metrics; SIGTERM ends"));
    let sending = receiver.begin(&state)?;

    while !ended.load(Ordering::SeqCst) {
        let reasons = unfit(args.kill_switch.as_deref());
        if reasons.is_empty() {
            match Session::begin(Arc::clone(&selection), limits, state.clone()) {
                Ok(mut session) => {
                    let held = session.hold_first_starts();
                    let held = held.err().map(|error| ("gate", error.to_string()));
                    tell(&state, lacking().into_iter().chain(held).collect());
                    tracing::info!("watching");
                    collections.allow(true);
                    watch(session, &ended, args.kill_switch.as_deref(), &collections);
                    continue;
                }
                Err(error) => tell(&state, vec![("kernel", error.to_string())]),
            }
        } else {
            tell(&state, reasons);
        }
        let begun = Instant::now();
        while begun.elapsed() < RETRY && !ended.load(Ordering::SeqCst) {
            std::thread::sleep(DRAIN_INTERVAL);
        }
    }
    sending.end();
    Ok(Exit::Ok)
}

/// It may be named by a variable, so clap cannot tell.
fn no_receiver() -> clap::Error {
    let why = "--otlp-metrics needs a receiver: --otlp URL, or OTEL_EXPORTER_OTLP_ENDPOINT";
    Cli::command().error(ErrorKind::MissingRequiredArgument, why)
}

/// Whether and to whom profiles are served.
fn profiles(args: &Args, collections: &Arc<Collections>) -> Result<Option<Profiles>, EnvironmentRefused> {
    let read = |path: &PathBuf| {
        Token::read(path).map_err(|error| {
            EnvironmentRefused(format!("cannot use the token in {}: {error}", path.display()))
        })
    };
    let token = args.pprof_token.as_ref().map(read).transpose()?;
    Ok(args.pprof.then(|| Profiles::new(token, Arc::clone(collections))))
}

/// Until it is to end, or not to watch.
fn watch(mut session: Session, ended: &AtomicBool, kill_switch: Option<&Path>, collections: &Collections) {
    let mut ticked: Option<Instant> = None;
    while !ended.load(Ordering::SeqCst) {
        if ticked.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            if kill_switch.is_some_and(Path::exists) {
                break;
            }
            session.tick();
            ticked = Some(Instant::now());
        }
        // After the tick: what that asks is mostly answered in the same turn.
        session.turn();
        session.rest();
    }
    // They are taken away meanwhile.
    collections.allow(false);
    let took = session.end();
    if !collections.wait_for_end(COLLECTION_END) {
        tracing::warn!("a collection does not end");
    }
    tracing::info!(milliseconds = took.as_millis(), "every probe is gone");
}

/// What keeps the agent from watching, by name.
fn unfit(kill_switch: Option<&Path>) -> Vec<(&'static str, String)> {
    if let Some(file) = kill_switch.filter(|file| file.exists()) {
        return vec![("kill-switch", format!("there is {}", file.display()))];
    }
    reasons(|check| check.verdict == Verdict::Fail)
}

/// The rights without which it watches, but does not see all processes or know whose they are.
fn lacking() -> Vec<(&'static str, String)> {
    reasons(|check| check.verdict == Verdict::Warn && check.name.starts_with("CAP_"))
}

fn reasons(keep: impl Fn(&Check) -> bool) -> Vec<(&'static str, String)> {
    let checks = doctor::checks("gotrace node run").into_iter().filter(keep);
    checks.map(|check| (check.name, format!("{}; {}", check.found, check.consequence))).collect()
}

/// Says so, once for each change.
fn tell(state: &Shared, reasons: Vec<(&'static str, String)>) {
    let reasons = reasons.into_iter().collect();
    let mut state = state.lock();
    if state.reasons != reasons {
        for (reason, why) in &reasons {
            tracing::error!("{reason}: {why}");
        }
        state.reasons = reasons;
    }
}

/// A part of a processor.
fn part(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if part > 0.0 && part <= 1024.0 => Ok(part),
        _ => Err("a positive number is needed, such as 0.05".to_owned()),
    }
}

/// How long others may be held.
fn hold(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let (shortest, longest) = (Duration::from_millis(1), Duration::from_secs(1));
    (shortest..=longest).contains(&time).then_some(time).ok_or("1ms to 1s is needed".to_owned())
}

/// What was asked for; an executable also by the path that its processes show, when it is a link here.
fn selection(args: &Args) -> Selection {
    if args.all {
        return Selection::All;
    }
    let mut selectors = args.select.clone();
    for selector in &args.select {
        if let Selector::Exe(path) = selector
            && let Ok(real) = std::fs::canonicalize(path)
            && real != *path
        {
            selectors.push(Selector::Exe(real));
        }
    }
    Selection::Any(selectors)
}

/// Every process and executable takes a descriptor; a shell's limit is for programs that use select(2).
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}
