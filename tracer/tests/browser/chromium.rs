//! Chromium without a window, driven through two pipes (`--remote-debugging-pipe`): JSON objects with a zero byte behind
//! each, as the Chrome DevTools Protocol has them. No socket, no other library.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser of its own, which ends with this value.
pub(crate) struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// What came without having been asked for.
    pub(crate) events: Vec<Value>,
    sent: u64,
    /// Its profile.
    _folder: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let chromium = std::env::var_os("GOTRACE_CHROMIUM").expect("GOTRACE_CHROMIUM names Chromium");
        let folder = tempfile::tempdir().unwrap();
        // The protocol's descriptors are 3 and 4; the shell puts the pipes there.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"]).arg(chromium);
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            // Drawings with WebGL, as speedscope's are, without a graphics processor.
            "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-extensions",
            "--no-first-run",
            "--no-pings",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
        ]);
        // SAFETY: the call has no preconditions.
        if unsafe { libc::geteuid() } == 0 {
            // Its sandbox does not work for root, and the pages are our own.
            command.arg("--no-sandbox");
        }
        command.arg(format!("--user-data-dir={}", folder.path().display()));
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium starts");
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let (send, messages) = channel();
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { break };
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        Self { process, commands, messages, events: Vec::new(), sent: 0, _folder: folder }
    }

    /// Sends a command, of a page if there is a session, and returns what it gives.
    pub(crate) fn call(&mut self, session: Option<&str>, method: &str, parameters: &Value) -> Value {
        self.sent += 1;
        let id = self.sent;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("Chromium listens");
        let until = Instant::now() + PATIENCE;
        loop {
            let message = self.receive(until).unwrap_or_else(|| panic!("no answer to {method}"));
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// Waits for an event.
    pub(crate) fn wait_for(&mut self, method: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.events.iter().any(|event| event["method"] == method) {
            let event = self.receive(until).unwrap_or_else(|| panic!("{method} did not come"));
            self.events.push(event);
        }
    }

    fn receive(&self, until: Instant) -> Option<Value> {
        self.messages.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
