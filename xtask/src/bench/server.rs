//! Servers on the loopback address, and those who ask them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::exec;
use crate::fixtures::Fixture;

/// No server needs this long to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many connections ask at a time.
const CONNECTIONS: &str = "32";

/// A process that ends with it.
struct Ours(Child);

impl Drop for Ours {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The net/http fixture, as a server.
pub(super) struct Server {
    process: Ours,
    pub(super) url: String,
}

impl Server {
    pub(super) fn start(fixture: &Fixture) -> Result<Self> {
        let mut command = Command::new(&fixture.path);
        command.args(["-serve", "1h"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().with_context(|| format!("starting {}", exec::line(&command)))?;
        let mut process = Ours(child);
        let said = BufReader::new(process.0.stdout.take().context("its output was piped")?);
        let url = said
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()))
            .context("the server does not say where it listens")?;
        Ok(Self { process, url })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// As many as wrk gets answers for.
pub(super) fn requests_per_second(url: &str, seconds: u32) -> Result<f64> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", "1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), url]);
    answers(&exec::text(&mut wrk)?)
}

/// The figure in wrk's report.
fn answers(said: &str) -> Result<f64> {
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        bail!("not every request was answered: {said}");
    }
    let line = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.context("wrk says no rate")?.trim().parse().context("reading wrk's rate")
}

/// Prometheus, which asks itself for its metrics each second.
pub(super) struct Prometheus {
    process: Ours,
    _folder: TempDir,
}

impl Prometheus {
    pub(super) fn start(fixture: &Fixture) -> Result<Self> {
        let folder = tempfile::tempdir().context("creating a folder for prometheus")?;
        let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "scrape_configs: [{{job_name: self, scrape_interval: 1s, static_configs: [{{targets: ['{at}']}}]}}]\n"
        );
        fs::write(&config, text).context("writing prometheus' configuration")?;
        let mut command = Command::new(&fixture.path);
        command
            .arg("--config.file")
            .arg(&config)
            .arg("--storage.tsdb.path")
            .arg(folder.path().join("data"))
            .args(["--web.listen-address", &at])
            .envs(&fixture.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("starting {}", exec::line(&command)))?;
        let mut process = Ours(child);
        let began = Instant::now();
        while !is_ready(&at) {
            if let Some(status) = process.0.try_wait()? {
                bail!("{} ended: {status}", exec::line(&command));
            }
            if began.elapsed() > PATIENCE {
                bail!("prometheus is not ready after {} s", PATIENCE.as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { process, _folder: folder })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

fn is_ready(at: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(at)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.0 200"))
}

#[cfg(test)]
mod tests {
    use super::answers;

    #[test]
    fn a_rate_is_read_and_one_with_errors_is_not() {
        assert_eq!(answers("x\nRequests/sec:  61234.56\nTransfer/sec: 1MB\n").unwrap(), 61234.56);
        assert!(answers("  Socket errors: connect 0, read 3\nRequests/sec: 5\n").is_err());
        assert!(answers("").is_err());
    }
}
