//! Profiles of processes that have no endpoint, by `go tool pprof` over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{Agent, select};
use crate::support::{children, fixtures_of};

/// A program under a name of its own, which does what it is told on standard input.
pub(super) struct Program {
    child: Child,
}

impl Program {
    pub(super) fn start(path: &Path, args: &[&str], line: &str) -> Self {
        let mut command = Command::new(path);
        let mut child =
            command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        said.read_line(&mut String::new()).expect("it is ready");
        writeln!(child.stdin.as_ref().expect("a pipe"), "{line}").expect("it listens");
        // What it says at last nobody reads.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Self { child }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A copy of the newest build of a program, so that nobody else runs it.
pub(super) fn copy(program: &str, folder: &Path) -> PathBuf {
    let mut builds = fixtures_of(program);
    builds.retain(|fixture| fixture.build == "default");
    let newest = builds.iter().max_by(|a, b| a.name.cmp(&b.name)).expect("it was built");
    let copy = folder.join(format!("profiled-{program}"));
    std::fs::copy(&newest.path, &copy).expect("a copy");
    copy
}

fn agent(programs: &[PathBuf], more: &[&str]) -> Agent {
    let more: Vec<String> = more.iter().map(ToString::to_string).collect();
    let agent = Agent::of(&[select(programs), vec!["--pprof".to_owned()], more].concat());
    agent.watches(programs.len() as f64);
    agent
}

/// `go tool pprof` of each version at hand.
fn pprof(url: &str) -> Vec<Output> {
    let folder = PathBuf::from(std::env::var_os("GOTRACE_PPROF").expect("GOTRACE_PPROF names a folder"));
    let versions = std::fs::read_dir(&folder).expect("a folder for each version");
    let temporary = tempfile::tempdir().expect("a folder");
    let run = |reader: PathBuf| {
        let mut command = Command::new(reader);
        command.args(["-top", "-cum", "-nodefraction=0", url]).env("PPROF_TMPDIR", temporary.path());
        command.output().expect("pprof runs")
    };
    let outputs: Vec<Output> =
        versions.map(|version| run(version.expect("an entry").path().join("pprof"))).collect();
    assert!(!outputs.is_empty(), "no pprof in {}", folder.display());
    outputs
}

fn tops(agent: &Agent, pid: u32, which: &str) -> Vec<String> {
    let url = format!("http://{}/pids/{pid}/debug/pprof/{which}", agent.address);
    let top = |output: Output| {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{url}: {said}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    pprof(&url).into_iter().map(top).collect()
}

fn lists(agent: &Agent, pid: u32) {
    let listed = format!("\"pid\":{pid},");
    agent.wait_for("the process in the list", |agent| agent.get("/pids").contains(&listed));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_without_an_endpoint_is_profiled() {
    let folder = tempfile::tempdir().unwrap();
    let [busy, blocked] = ["collector", "blocked"].map(|program| copy(program, folder.path()));
    let agent = agent(&[busy.clone(), blocked.clone()], &[]);
    let busy = Program::start(&busy, &[], "tight 3000");
    let blocked = Program::start(&blocked, &["tcp", "1200"], "");
    lists(&agent, busy.pid());
    lists(&agent, blocked.pid());
    let list = agent.get("/pids");
    let (_, json) = list.split_once("\r\n\r\n").unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_str(json).expect("JSON");
    let of_busy = list.iter().find(|one| one["pid"] == busy.pid()).unwrap();
    assert_eq!(of_busy["exe"], "profiled-collector");
    assert!(of_busy["path"].as_str().unwrap().ends_with("/profiled-collector"), "{of_busy}");

    for top in tops(&agent, busy.pid(), "profile?seconds=2") {
        assert!(top.contains("Type: cpu") && top.contains("main.tight"), "{top}");
    }
    for top in tops(&agent, blocked.pid(), "block?seconds=2") {
        assert!(top.contains("Type: delay") && top.contains("main.askLate"), "{top}");
    }
    for top in tops(&agent, blocked.pid(), "startup") {
        assert!(top.contains("Type: wall") && top.contains("complete: 0 lost"), "{top}");
        assert!(top.contains("package_init") && top.contains("net"), "{top}");
    }
    let unknown = agent.get("/pids/1/debug/pprof/profile?seconds=1");
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
    // A process that has ended, and whose number nobody has yet.
    let pid = blocked.pid();
    drop(blocked);
    let gone = agent.get(&format!("/pids/{pid}/debug/pprof/block?seconds=1"));
    assert!(gone.starts_with("HTTP/1.1 404 ") && gone.contains("is not looked at"), "{gone}");
    // What go tool pprof says then.
    let url = format!("http://{}/pids/{pid}/debug/pprof/block?seconds=1", agent.address);
    for output in pprof(&url) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("is not looked at"), "{said}");
    }
    agent.end();
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_start_that_was_not_seen_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy("blocked", folder.path());
    let program = Program::start(&path, &["tcp", "1200"], "");
    let agent = agent(&[path], &[]);
    lists(&agent, program.pid());
    let startup = agent.get(&format!("/pids/{}/debug/pprof/startup", program.pid()));
    assert!(startup.starts_with("HTTP/1.1 404 ") && startup.contains("is not kept"), "{startup}");
    agent.end();
}

/// Asks, and does not wait for the answer.
fn ask(agent: &Agent, pid: u32) -> TcpStream {
    let mut stream = TcpStream::connect(&agent.address).expect("it listens");
    let path = format!("/pids/{pid}/debug/pprof/profile?seconds=50");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("it listens");
    stream
}

/// The agent's children: who collects.
fn collecting(agent: &Agent) -> Vec<u32> {
    children(agent.child.id())
}

fn wait_for_children(agent: &Agent, count: usize) {
    agent.wait_for("who collects", |agent| collecting(agent).len() == count);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn few_are_collected_at_a_time_and_each_ends_with_whoever_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (path, switch) = (copy("blocked", folder.path()), folder.path().join("off"));
    let program = Program::start(&path, &["tcp", "2400"], "");
    let agent = agent(&[path], &["--kill-switch", switch.to_str().unwrap()]);
    lists(&agent, program.pid());
    let both = [ask(&agent, program.pid()), ask(&agent, program.pid())];
    wait_for_children(&agent, 2);
    let third = agent.get(&format!("/pids/{}/debug/pprof/profile?seconds=1", program.pid()));
    assert!(third.starts_with("HTTP/1.1 503 ") && third.contains("already"), "{third}");
    // Metrics are told meanwhile.
    assert!(agent.get("/healthz").starts_with("HTTP/1.1 200 "));
    drop(both);
    wait_for_children(&agent, 0);
    // While there is to be no probe, there is none of these either.
    let mut asked = ask(&agent, program.pid());
    wait_for_children(&agent, 1);
    std::fs::write(&switch, "").unwrap();
    let mut answer = String::new();
    asked.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("/readyz"), "{answer}");
    assert!(collecting(&agent).is_empty());
    std::fs::remove_file(&switch).unwrap();
    agent.watches(1.0);
    // SIGTERM ends the agent in a second, and with it who collects.
    let _asked = ask(&agent, program.pid());
    wait_for_children(&agent, 1);
    // It is at work by then.
    std::thread::sleep(Duration::from_secs(1));
    let collects = collecting(&agent);
    agent.end();
    for pid in collects {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} is still there");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn who_collects_ends_with_an_agent_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy("blocked", folder.path());
    let program = Program::start(&path, &["tcp", "2400"], "");
    let mut agent = agent(&[path], &[]);
    lists(&agent, program.pid());
    let _asked = ask(&agent, program.pid());
    wait_for_children(&agent, 1);
    let collects = collecting(&agent);
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(1);
    let is_there = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
    };
    while collects.iter().any(is_there) {
        assert!(Instant::now() < until, "{collects:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// In a network of its own, with an address that is not the loopback's.
fn in_a_network<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let alone = scope.spawn(|| {
            // SAFETY: it takes a number only, and is about this thread.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "root may");
            let ip =
                |args: &[&str]| Command::new("ip").args(args).status().is_ok_and(|status| status.success());
            let has_address =
                ip(&["link", "set", "lo", "up"]) && ip(&["address", "add", "192.0.2.1/32", "dev", "lo"]);
            has_address.then(work)
        });
        alone.join().expect("the test")
    })
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn from_another_machine_only_with_the_token() {
    const TOKEN: &str = "0123456789abcdefghij";
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (copy("collector", folder.path()), folder.path().join("token"));
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let program = Program::start(&path, &[], "tight 3000");
    let run = in_a_network(|| {
        let begin = |more: &[String]| {
            let select = select(std::slice::from_ref(&path));
            let mut agent =
                Agent::listening("0.0.0.0:0", &[select, vec!["--pprof".to_owned()], more.to_vec()].concat());
            let port = agent.address.rsplit(':').next().unwrap().to_owned();
            agent.address = format!("127.0.0.1:{port}");
            agent.watches(1.0);
            (agent, format!("192.0.2.1:{port}"))
        };
        let asked = |address: &str, path: &str, more: &str| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n")
                .unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        };
        let profile = format!("/pids/{}/debug/pprof/profile?seconds=1", program.pid());
        let (agent, remote) = begin(&[]);
        lists(&agent, program.pid());
        for path in ["/pids", profile.as_str(), "/pids/1"] {
            let answer = asked(&remote, path, "");
            assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("--pprof-token"), "{answer}");
            // No token would help.
            let answer = asked(&remote, path, &format!("Authorization: Bearer {TOKEN}\r\n"));
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        }
        assert!(asked(&remote, "/metrics", "").starts_with("HTTP/1.1 200 "));
        assert!(asked(&agent.address, "/pids", "").starts_with("HTTP/1.1 200 "));
        agent.end();

        let (agent, remote) = begin(&["--pprof-token".to_owned(), file.display().to_string()]);
        let with = format!("Authorization: Bearer {TOKEN}\r\n");
        let listed = format!("\"pid\":{},", program.pid());
        agent.wait_for("the process", |_| asked(&remote, "/pids", &with).contains(&listed));
        for address in [&agent.address, &remote] {
            for more in ["", "Authorization: Bearer 0123456789abcdefghiJ\r\n"] {
                let answer = asked(address, &profile, more);
                assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
                assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
            }
        }
        let answer = asked(&remote, &profile, &with);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        // The only way in which go tool pprof can show it.
        for output in pprof(&format!("http://gotrace:{TOKEN}@{remote}{profile}")) {
            let top = String::from_utf8_lossy(&output.stdout);
            assert!(top.contains("main.tight"), "{top}{}", String::from_utf8_lossy(&output.stderr));
        }
        let said = agent.end();
        assert!(!said.iter().any(|line| line.contains(TOKEN)), "{said:?}");
    });
    if run.is_none() {
        eprintln!("skipped: there is no ip to give a network an address");
    }
}
