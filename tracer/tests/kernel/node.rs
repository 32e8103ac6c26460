//! The agent of a machine: every start of the programs that it is to look at, in the right place.

mod blocking;
mod fuse;
mod gate;
mod groups;
mod load;
mod otlp;
mod pauses;
mod profiles;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant, SystemTime};

use self::groups::{Container, hierarchy};
use crate::support::{fixtures_of, gotrace, is_emulated, nethttp};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent, and what it says.
struct Agent {
    child: Child,
    address: String,
    said: Receiver<String>,
}

impl Agent {
    fn of(args: &[String]) -> Self {
        Self::listening("127.0.0.1:0", args)
    }

    fn listening(at: &str, args: &[String]) -> Self {
        Self::with(at, args, &[])
    }

    fn with(at: &str, args: &[String], variables: &[(&str, &str)]) -> Self {
        let mut command = gotrace();
        command.args(["node", "run", "--listen", at]).args(args).stderr(Stdio::piped());
        command.envs(variables.iter().copied());
        let mut child = command.spawn().expect("gotrace runs");
        let (say, said) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
        let first = said.recv_timeout(PATIENCE).expect("its first line");
        let (_, rest) = first.split_once("http://").expect("its address");
        let address = rest.split('/').next().unwrap_or_default().to_owned();
        Self { child, address, said }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    /// The metric's samples, by their labels.
    fn samples(&self, name: &str) -> BTreeMap<String, f64> {
        let text = self.get("/metrics");
        let of = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{'))
                .then(|| (labels.to_owned(), value.parse().expect("a number")))
        };
        text.lines().filter_map(of).collect()
    }

    fn sum(&self, name: &str) -> f64 {
        self.samples(name).values().sum()
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < until, "{what} did not come:\n{}", self.get("/metrics"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn watches(&self, binaries: f64) {
        self.wait_for("the binaries", |agent| agent.sum("gotrace_binaries") == binaries);
        assert!(self.get("/readyz").starts_with("HTTP/1.1 200 "));
    }

    /// SIGTERM. Returns what else it said.
    fn end(mut self) -> Vec<String> {
        let begun = Instant::now();
        Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(self.child.wait().expect("it ends").success());
        let most = Duration::from_secs(if is_emulated() { 10 } else { 1 });
        assert!(begun.elapsed() < most, "{:?}", begun.elapsed());
        self.said.iter().collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Copies of programs under names of their own, so that nobody else runs them.
fn programs(folder: &Path) -> Vec<PathBuf> {
    let mut fixtures = fixtures_of("nethttp");
    fixtures.retain(|fixture| fixture.build == "default");
    let copy = |(index, path): (usize, &PathBuf)| {
        let copy = folder.join(format!("node-test-{index}"));
        std::fs::copy(path, &copy).expect("a copy");
        copy
    };
    fixtures.iter().take(3).map(|fixture| &fixture.path).enumerate().map(copy).collect()
}

fn select(programs: &[PathBuf]) -> Vec<String> {
    programs.iter().flat_map(|path| ["--select".to_owned(), format!("exe={}", path.display())]).collect()
}

fn run(program: &Path) {
    assert!(Command::new(program).stdout(Stdio::null()).status().expect("it starts").success());
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_start_is_told_of_its_pod_even_when_that_is_gone() {
    const EACH: usize = 20;
    let Some(root) = hierarchy() else {
        eprintln!("skipped: no hierarchy of the second version of control groups can be written to");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let programs = programs(folder.path());
    let agent = Agent::of(&select(&programs));
    agent.watches(programs.len() as f64);
    let containers: Vec<Container> = (0..4).map(|index| Container::make(&root, index)).collect();
    std::thread::scope(|scope| {
        for container in &containers {
            let programs = &programs;
            scope.spawn(move || {
                for _ in 0..EACH {
                    for program in programs {
                        let mut command = Command::new(program);
                        container.enter(&mut command);
                        assert!(command.stdout(Stdio::null()).status().unwrap().success());
                    }
                }
                container.remove();
            });
        }
    });
    let all = (containers.len() * programs.len() * EACH) as f64;
    agent.wait_for("every start", |agent| agent.sum("gotrace_starts_total") == all);
    let mut expected = BTreeMap::new();
    for container in &containers {
        for index in 0..programs.len() {
            let labels = format!(
                "{{exe=\"node-test-{index}\",module=\"example.com/nethttp\",namespace=\"{}\",pod=\"{}\",container_id=\"{}\"",
                container.namespace,
                container.pod,
                &container.id[..12],
            );
            expected.insert(format!("{labels},outcome=\"main\"}}"), EACH as f64);
        }
    }
    assert_eq!(agent.samples("gotrace_starts_total"), expected);
    assert_eq!(agent.sum("gotrace_startup_seconds_count"), all);
    for none in ["unsure", "unplaced", "unselected", "joined_late"] {
        assert_eq!(agent.sum(&format!("gotrace_starts_{none}_total")), 0.0, "{none}");
    }
    assert_eq!(agent.sum("gotrace_probe_records_lost_total"), 0.0);
    assert!(
        agent.samples("gotrace_last_slowest_init_seconds").keys().all(|labels| labels.contains("package=\""))
    );
    agent.end();
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_whose_probes_take_too_much_is_let_go_and_no_other_is() {
    let folder = tempfile::tempdir().unwrap();
    let programs = programs(folder.path());
    // A start has some hundred hits, each of half a microsecond and more.
    let agent = Agent::of(&[select(&programs), vec!["--max-overhead-each=0.0001".to_owned()]].concat());
    agent.watches(programs.len() as f64);
    run(&programs[1]);
    agent.wait_for("that it is let go", |agent| {
        run(&programs[0]);
        agent.sum("gotrace_binaries_suspended_total") > 0.0
    });
    assert_eq!(agent.sum("gotrace_binaries_suspended_total"), 1.0);
    assert_eq!(agent.sum("gotrace_binaries"), programs.len() as f64 - 1.0);
    let said = agent.end();
    let gone = said.iter().find(|line| line.contains("not watched for a minute")).expect("it says so");
    assert!(gone.contains("node-test-0"), "{gone}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_that_comes_later_is_seen_from_its_next_start_on() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::of(&["--select".to_owned(), "module=example.com/nethttp".to_owned()]);
    agent.wait_for("readiness", |agent| agent.get("/readyz").starts_with("HTTP/1.1 200 "));
    let before = agent.sum("gotrace_binaries");
    let program = folder.path().join("node-test-later");
    std::fs::copy(nethttp().path, &program).unwrap();
    let mut first = Command::new(&program).args(["-sleep", "60s"]).stdout(Stdio::null()).spawn().unwrap();
    agent.wait_for("the binary", |agent| agent.sum("gotrace_binaries") > before);
    let of = |name: &str| -> f64 {
        agent
            .samples(name)
            .iter()
            .filter(|(labels, _)| labels.contains("node-test-later"))
            .map(|(_, value)| value)
            .sum()
    };
    agent.wait_for("the first process", |_| of("gotrace_processes") == 1.0);
    agent.wait_for("what its runtime counts", |_| {
        of("gotrace_goroutines") >= 1.0 && of("gotrace_heap_live_bytes") > 0.0
    });
    let late = of("gotrace_starts_joined_late_total");
    assert!(late <= 1.0, "{late}");
    let seen = of("gotrace_starts_total");
    for _ in 0..10 {
        run(&program);
    }
    agent.wait_for("every start", |_| of("gotrace_starts_total") == seen + 10.0);
    first.kill().unwrap();
    first.wait().unwrap();
    agent.wait_for("the end of the first", |_| of("gotrace_processes") == 0.0);
    // Another file in its place is another program.
    std::fs::remove_file(&program).unwrap();
    agent.wait_for("the binary to go", |agent| agent.sum("gotrace_binaries") == before);
    agent.end();
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_server_is_ready_when_it_listens_and_its_waiting_goroutines_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let program = programs(folder.path()).remove(0);
    let agent = Agent::of(&select(std::slice::from_ref(&program)));
    agent.watches(1.0);
    // This one never listens.
    run(&program);
    let mut server =
        Command::new(&program).args(["-serve", "60s"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let main = lines.next().and_then(|line| line.strip_prefix("main.main unix_ns=")?.parse::<u64>().ok());
    assert!(lines.next().is_some_and(|line| line.starts_with("listening on")));
    // It listens by now: the program says so, and when it came to main.main.
    let listens = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let most = listens.as_secs_f64() - main.expect("its time") as f64 / 1e9;

    agent.wait_for("both starts", |agent| agent.sum("gotrace_starts_total") == 2.0);
    agent.wait_for("its being ready", |agent| agent.sum("gotrace_startup_ready_seconds_count") == 1.0);
    let ready = agent.sum("gotrace_startup_ready_seconds_sum");
    let to_main = agent.sum("gotrace_last_startup_seconds");
    assert!((0.0..=most).contains(&(ready - to_main)), "{ready} after {to_main}, at most {most} later");

    // `main` sleeps, and the server waits to be called.
    let of_server = format!("pid=\"{}\"", server.id());
    let blocked = |agent: &Agent| -> Vec<(String, f64)> {
        let all = agent.samples("gotrace_goroutines_blocked");
        let of_it = all.into_iter().filter(|(labels, _)| labels.contains(&of_server));
        let reason = |labels: &str| labels.split("reason=\"").nth(1)?.split('"').next().map(str::to_owned);
        of_it.filter_map(|(labels, count)| Some((reason(&labels)?, count))).collect()
    };
    let both = [("poller".to_owned(), 1.0), ("sleep".to_owned(), 1.0)];
    agent.wait_for("what its goroutines wait for", |agent| blocked(agent) == both);
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.id())).unwrap().count();
    agent.wait_for("its threads", |agent| {
        let all = agent.samples("gotrace_threads");
        all.iter().any(|(labels, count)| labels.contains(&of_server) && *count == threads as f64)
    });
    assert!(agent.sum("gotrace_startup_probes_seconds_total") > 0.0);
    server.kill().unwrap();
    server.wait().unwrap();
    agent.end();
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn nothing_is_put_in_place_where_it_cannot_listen() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = gotrace().args(["node", "run", "--all", "--listen", &address]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(3), 1), "{said}");
    assert!(said.contains("cannot listen on") && said.contains("in use"), "{said}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_file_takes_every_probe_away_and_its_end_brings_them_back() {
    let folder = tempfile::tempdir().unwrap();
    let (programs, switch) = (programs(folder.path()), folder.path().join("off"));
    let more = ["--kill-switch".to_owned(), switch.display().to_string()];
    let json = ["--log-format".to_owned(), "json".to_owned()];
    let agent = Agent::of(&[select(&programs).as_slice(), &more, &json].concat());
    agent.watches(programs.len() as f64);
    run(&programs[0]);
    agent.wait_for("the start", |agent| agent.sum("gotrace_starts_total") == 1.0);
    std::fs::write(&switch, "").unwrap();
    agent.wait_for("the probes' end", |agent| agent.sum("gotrace_binaries") == 0.0);
    agent.wait_for("the reason", |agent| agent.get("/readyz").contains("\r\n\r\nkill-switch: there is "));
    run(&programs[0]);
    std::fs::remove_file(&switch).unwrap();
    agent.watches(programs.len() as f64);
    run(&programs[0]);
    agent.wait_for("the start after it", |agent| agent.sum("gotrace_starts_total") == 2.0);
    let said = agent.end();
    assert!(said.len() > 3, "{said:?}");
    for line in said {
        let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        assert!(line["timestamp"].is_string() && line["message"].is_string(), "{line}");
    }
}

/// The command's process enters a group before it executes.
fn enter(command: &mut Command, procs: std::fs::File) {
    let enter = move || (&procs).write_all(b"0");
    // SAFETY: between fork and exec it only writes to an open file.
    unsafe { command.pre_exec(enter) };
}
