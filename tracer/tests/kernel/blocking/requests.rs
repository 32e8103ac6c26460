//! A server that is asked all the time: net/http reads from each connection while it answers, in a goroutine that is
//! told to stop when the answer is there, and ends without another system call.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::Attached;
use crate::support::fixtures_of;

/// More than the kernel side has room for.
const REQUESTS: usize = 80_000;
const CONNECTIONS: usize = 8;

struct Server {
    child: Child,
    at: String,
}

impl Server {
    fn start() -> Self {
        let mut fixtures = fixtures_of("nethttp");
        fixtures.retain(|fixture| fixture.build == "default");
        fixtures.sort_by_key(|fixture| fixture.name.clone());
        let fixture = fixtures.pop().expect("a default build");
        let mut command = Command::new(&fixture.path);
        let mut child = command.args(["-serve", "1h"]).stdout(Stdio::piped()).spawn().expect("it starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let at = |line: String| Some(line.strip_prefix("listening on http://")?.to_owned());
        let at = said.map_while(Result::ok).find_map(at).expect("where it listens");
        Self { child, at }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

/// One request after the other on the same connection; it stays open.
fn ask(at: &str, times: usize) -> TcpStream {
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let mut answer = [0; 4096];
    for _ in 0..times {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
        let length = stream.read(&mut answer).expect("it answers");
        assert!(answer[..length].ends_with(b"hello\n"), "{}", String::from_utf8_lossy(&answer[..length]));
    }
    stream
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn goroutines_that_ended_in_a_wait_take_no_room_and_are_not_blocked_now() {
    let server = Server::start();
    let attached = Attached::to(server.child.id(), &[]);
    let connections: Vec<TcpStream> = std::thread::scope(|scope| {
        let askers: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| ask(&server.at, REQUESTS / CONNECTIONS))).collect();
        askers.into_iter().map(|asker| asker.join().expect("it asks")).collect()
    });
    let report = attached.end();
    report.assert_complete("nethttp");
    // Each connection's reader waits for the next request, and somebody accepts.
    let mut waiting = report.all("blocked_now");
    waiting.retain(|line| line["wait_reason"] == "IO wait" || !line["syscall"].is_null());
    assert!(waiting.len() <= CONNECTIONS + 8, "{} are said to wait: {waiting:?}", waiting.len());
    drop(connections);
}
