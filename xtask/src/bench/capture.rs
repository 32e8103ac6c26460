//! `cargo xtask bench capture`: how long `gotrace report` takes for a long capture and in how much memory, how long a
//! flame graph of many stacks takes, and how large a capture of a busy server is.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::ensure_root;
use super::figures::{Figures, Table};
use super::server::requests_per_second;
use crate::build;
use crate::exec::{self, Voice};
use crate::fixtures::{self, Fixture};

const VOICE: Voice = Voice("bench");

const SERVER: &str = "caddy";

/// What a report of a capture takes, and how large a capture is.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many slow calls the made-up capture has
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// How many stacks the flame graph has
    #[arg(long, default_value_t = 50_000)]
    stacks: u64,
    /// How long the server is followed, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u32,
}

impl Args {
    /// Everything.
    pub(super) const WHOLE: Self = Self { events: 10_000_000, stacks: 50_000, seconds: 20 };
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    table(args).map(|_| ExitCode::SUCCESS)
}

pub(super) fn table(args: &Args) -> Result<Table> {
    ensure_root("capture")?;
    let gotrace = build::gotrace()?;
    let folder = tempfile::tempdir().context("creating a folder for captures")?;
    let [fixture] = fixtures::named([SERVER])?;
    let mut rows = Vec::new();
    let captures =
        [("events.gotrace", args.events, 2_000, "txt"), ("stacks.gotrace", 1_000, args.stacks, "svg")];
    for (name, events, stacks, format) in captures {
        let capture = folder.path().join(name);
        synthesize(&capture, events, stacks)?;
        let (took, peak) = report(&gotrace, &capture, &folder.path().join("a").with_extension(format))?;
        let what = format!("{format} of {events} slow calls, {stacks} stacks");
        rows.push((format!("{what}: s"), took.as_secs_f64()));
        rows.push((format!("{what}: MB in memory at most"), peak));
    }
    rows.push((
        "bytes in the capture of a slow call of a busy caddy".into(),
        of_server(&gotrace, &fixture, &folder, args.seconds)?,
    ));
    let mut table = Table::new("gotrace report of a capture, on one processor");
    for (name, figure) in rows {
        let mut figures = Figures::default();
        figures.add(figure);
        table.row(&name, &figures, None);
    }
    Ok(table)
}

/// Has the example of the same name write a capture.
fn synthesize(path: &Path, events: u64, stacks: u64) -> Result<()> {
    let mut command = exec::cargo();
    // With the features that gotrace was built with, for the rest of it to be there.
    command.args(["run", "--release", "--quiet", "--package", "tracer", "--example", "synthesize"]);
    command.args(build::FEATURES).arg("--");
    VOICE.run("making a capture up", command.arg(path).arg(events.to_string()).arg(stacks.to_string()))
}

/// How long a report takes, and the most megabytes that it had in memory.
fn report(gotrace: &Path, capture: &Path, output: &Path) -> Result<(Duration, f64)> {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(gotrace).arg("report").arg(capture).arg("-o").arg(output);
    let began = Instant::now();
    let child = command.spawn().context("starting gotrace report")?;
    let pid = libc::pid_t::try_from(child.id())?;
    let mut status = 0;
    // SAFETY: a rusage is numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both are writable.
    if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } != pid || status != 0 {
        bail!("{} failed: {status}", exec::line(&command));
    }
    let kib = u64::try_from(usage.ru_maxrss)?;
    Ok((began.elapsed(), mega(kib * 1024)))
}

fn mega(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "shown with a digit")]
    let bytes = bytes as f64;
    bytes / 1e6
}

/// How many bytes there are for each call of a server that is busy.
fn of_server(gotrace: &Path, fixture: &Fixture, folder: &TempDir, seconds: u32) -> Result<f64> {
    let (mut server, url) = serve(fixture, folder)?;
    let load = thread::spawn(move || requests_per_second(&url, seconds + 3));
    thread::sleep(Duration::from_secs(1));
    let capture = folder.path().join("server.gotrace");
    let mut attach = Command::new(gotrace);
    attach.args([
        "attach",
        "-q",
        "--slow",
        "0s",
        "--ring-size",
        "65536",
        "--duration",
        &format!("{seconds}s"),
        "-o",
    ]);
    let status = attach.arg(&capture).arg(server.id().to_string()).status();
    let rate = load.join().map_err(|_| anyhow::anyhow!("wrk's thread has failed"))?;
    drop(server.kill());
    drop(server.wait());
    let (status, rate) = (status.context("starting gotrace attach")?, rate?);
    // It fails when much was lost, which is said.
    let told = Command::new(gotrace).args(["report", "--json"]).arg(&capture).output();
    let said = String::from_utf8(told.context("starting gotrace report")?.stdout)?;
    let summary: Value = serde_json::from_str(said.lines().last().context("the report has no lines")?)?;
    let events = summary["slow"].as_u64().context("the report counts no slow calls")?;
    let size = fs::metadata(&capture)?.len();
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let each = size as f64 / events.max(1) as f64;
    println!(
        "\n{SERVER} under wrk ({rate:.0} requests/s), --slow 0s: {events} calls in {seconds} s ({status}), {size} bytes"
    );
    Ok(each)
}

/// A server of a folder of files.
fn serve(fixture: &Fixture, folder: &TempDir) -> Result<(Child, String)> {
    let root = folder.path().join("root");
    fs::create_dir(&root).context("creating a folder to serve")?;
    for number in 0..100 {
        fs::write(root.join(format!("file{number}")), vec![b'x'; 1000 + 100 * number])?;
    }
    let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = Command::new(PathBuf::from(&fixture.path));
    command.args(["file-server", "--browse", "--listen", &at, "--root"]).arg(&root).envs(&fixture.env);
    command.env("HOME", folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = command.spawn().with_context(|| format!("starting {}", exec::line(&command)))?;
    // wrk fails when it does not listen by then.
    thread::sleep(Duration::from_secs(2));
    Ok((server, format!("http://{at}/")))
}
