//! Who suffers from a wait and who only idles.
//!
//! What no rule of [`RULES`] knows is suffered: better shown once too often than hidden.

use std::sync::Arc;

use super::super::waits::syscall_name;
use super::stacks::{Resolved, has_any};
use crate::event::blocking::{Caller, Key, Kind, StackTaken};
use crate::target::gobin::Frame;

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A goroutine's that wanted to go on.
    Suffered,
    /// Nobody's.
    Idle(Idle),
    /// Of calls and waits too short to take their stack.
    Brief,
    /// Of threads that run no Go code that is known: C code's own.
    Outside,
}

/// How to wait without having anything to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Idle {
    /// For a connection.
    Accept,
    /// For a client's next request.
    ServerConnection,
    /// For the next answer, or for the other side to hang up: a client's connection, in use or not.
    ClientConnection,
    /// For messages of a database or broker, or another multiplexed connection.
    Subscription,
    /// For a datagram, in a server.
    Datagrams,
    /// For signals.
    Signals,
    /// For files to change.
    FileWatch,
    /// The garbage collector's workers.
    Collector,
    /// The runtime's network poller, and with it all timers.
    Poller,
    /// Threads that have nothing to run.
    Threads,
    /// The runtime's monitor thread, and threads that look for work.
    Monitor,
    /// Other calls that the runtime makes between goroutines.
    Runtime,
}

impl Idle {
    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::ServerConnection => "server_connection",
            Self::ClientConnection => "client_connection",
            Self::Subscription => "subscription",
            Self::Datagrams => "datagrams",
            Self::Signals => "signals",
            Self::FileWatch => "file_watch",
            Self::Collector => "collector",
            Self::Poller => "poller",
            Self::Threads => "threads",
            Self::Monitor => "monitor",
            Self::Runtime => "runtime",
        }
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Accept => "accept loops",
            Self::ServerConnection => "server connections between requests",
            Self::ClientConnection => "client connections: unused, or an answer is awaited (not told apart)",
            Self::Subscription => "readers of subscriptions and shared connections",
            Self::Datagrams => "datagram servers",
            Self::Signals => "signal handling",
            Self::FileWatch => "file watchers",
            Self::Collector => "garbage collector's workers",
            Self::Poller => "network poller and timers",
            Self::Threads => "threads without work",
            Self::Monitor => "monitor thread, and threads that look for work",
            Self::Runtime => "the runtime's other calls",
        }
    }

    /// Of a goroutine with this stack, the innermost frame first; none when no rule knows it. `gave_up` says that the
    /// stack is that of what it did next.
    #[must_use]
    pub fn of_stack(stack: &[Arc<Frame>], gave_up: bool) -> Option<Self> {
        let applies = |rule: &&Rule| {
            has_any(stack, rule.within)
                && (gave_up || rule.at.is_empty() || has_any(stack, rule.at))
                && !has_any(stack, rule.unless)
        };
        RULES.iter().find(applies).map(|rule| rule.idle)
    }

    /// Whether there is a rule about stacks with that function on them. On most stacks there is none, and so none to try.
    pub(super) fn is_known(function: &str) -> bool {
        RULES.iter().flat_map(|rule| rule.within).any(|prefix| function.starts_with(prefix))
    }
}

impl Class {
    pub(super) fn of(key: &Key, stack: &Resolved) -> Self {
        match (key.caller, key.stack) {
            (Caller::Runtime, _) => Self::Idle(of_runtime(key.syscall)),
            (Caller::Unknown, _) => Self::Outside,
            (Caller::Goroutine, StackTaken::TooShort) => Self::Brief,
            (Caller::Goroutine, _) if !stack.may_idle => Self::Suffered,
            (Caller::Goroutine, _) => {
                Idle::of_stack(&stack.frames, key.kind == Kind::NoRetry).map_or(Self::Suffered, Self::Idle)
            }
        }
    }

    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suffered => "suffered",
            Self::Idle(_) => "idle",
            Self::Brief => "brief",
            Self::Outside => "outside",
        }
    }
}

/// A thread between goroutines is in the scheduler, so the system call tells.
fn of_runtime(syscall: u64) -> Idle {
    match syscall_name(syscall).as_str() {
        "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => Idle::Poller,
        "futex" => Idle::Threads,
        "nanosleep" | "clock_nanosleep" | "sched_yield" => Idle::Monitor,
        _ => Idle::Runtime,
    }
}

/// What an idle stack looks like. Names are beginnings of functions' names.
struct Rule {
    idle: Idle,
    /// One of these is on the stack: what makes the goroutine what it is.
    within: &'static [&'static str],
    /// And one of these, if there are any: the place where it has nothing to do.
    at: &'static [&'static str],
    /// And none of these.
    unless: &'static [&'static str],
}

impl Rule {
    const fn new(idle: Idle, within: &'static [&'static str]) -> Self {
        Self { idle, within, at: &[], unless: &[] }
    }
}

const RULES: [Rule; 11] = [
    Rule::new(
        Idle::Accept,
        &["internal/poll.(*FD).Accept", "syscall.Accept", "golang.org/x/sys/unix.Accept"],
    ),
    // net/http/server.go: between requests it peeks at four bytes.
    Rule {
        idle: Idle::ServerConnection,
        within: &["net/http.(*conn).serve"],
        at: &["bufio.(*Reader).Peek"],
        unless: &["net/http.serverHandler.ServeHTTP"],
    },
    // A new connection's first line. The header behind it comes from a client that has begun.
    Rule {
        idle: Idle::ServerConnection,
        within: &["net/http.(*conn).readRequest"],
        at: &["net/textproto.(*Reader).ReadLine", "net/textproto.(*Reader).readLine"],
        unless: &[
            "net/textproto.(*Reader).ReadMIMEHeader",
            "net/textproto.readMIMEHeader",
            "net/textproto.(*Reader).readContinuedLine",
            "net/http.serverHandler.ServeHTTP",
        ],
    },
    // While a handler runs: whether the client is still there. And the frame readers of HTTP/2, which hand what they
    // read to others: x/net's, the copy in net/http, and the package that the copy became.
    Rule::new(
        Idle::ServerConnection,
        &[
            "net/http.(*connReader).backgroundRead",
            "net/http.(*http2serverConn).readFrames",
            "net/http/internal/http2.(*serverConn).readFrames",
            "golang.org/x/net/http2.(*serverConn).readFrames",
            "google.golang.org/grpc/internal/transport.(*http2Server).HandleStreams",
        ],
    ),
    // net/http/transport.go: the goroutine that asked is parked in a select, so the wait for its answer is only
    // seen here, as is that of a connection that nobody uses.
    Rule {
        idle: Idle::ClientConnection,
        within: &["net/http.(*persistConn).readLoop"],
        at: &["bufio.(*Reader).Peek"],
        unless: &[],
    },
    Rule::new(
        Idle::ClientConnection,
        &[
            "net/http.(*http2ClientConn).readLoop",
            "net/http.(*http2clientConnReadLoop).run",
            "net/http/internal/http2.(*ClientConn).readLoop",
            "golang.org/x/net/http2.(*ClientConn).readLoop",
            "google.golang.org/grpc/internal/transport.(*http2Client).reader",
        ],
    ),
    Rule::new(
        Idle::Subscription,
        &[
            "github.com/hashicorp/yamux.(*Session).recv",
            "github.com/jackc/pgx/v5/pgconn.(*PgConn).WaitForNotification",
            "github.com/lib/pq.(*ListenerConn).listenerConnLoop",
            "github.com/nats-io/nats.go.(*Conn).readLoop",
            "github.com/quic-go/quic-go.(*Transport).listen",
            "github.com/rabbitmq/amqp091-go.(*Connection).reader",
            "github.com/redis/go-redis/v9.(*PubSub).Receive",
            "go.mongodb.org/mongo-driver/x/mongo/driver/topology.(*Server).check",
            "golang.org/x/crypto/ssh.(*handshakeTransport).readLoop",
        ],
    ),
    Rule::new(
        Idle::Datagrams,
        &["github.com/miekg/dns.(*Server).readUDP", "github.com/miekg/dns.(*Server).serveUDP"],
    ),
    Rule::new(Idle::Signals, &["os/signal.signal_recv", "os/signal.loop"]),
    Rule::new(
        Idle::FileWatch,
        &[
            "github.com/fsnotify/fsnotify.(*Watcher).readEvents",
            "github.com/fsnotify/fsnotify.(*inotify).readEvents",
        ],
    ),
    Rule::new(
        Idle::Collector,
        &["runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.bgscavenge", "runtime.forcegchelper"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(functions: &[&str]) -> Option<Idle> {
        of_gave_up(functions, false)
    }

    fn of_gave_up(functions: &[&str], gave_up: bool) -> Option<Idle> {
        let frame = |function: &&str| Frame {
            function: (*function).into(),
            file: None,
            line: 0,
            inlined: false,
            begins: 0,
            address: None,
        };
        Idle::of_stack(&functions.iter().map(frame).map(Arc::new).collect::<Vec<_>>(), gave_up)
    }

    #[test]
    fn a_server_idles_between_requests_and_not_within() {
        let idle = ["net.(*conn).Read", "bufio.(*Reader).Peek", "net/http.(*conn).serve"];
        assert_eq!(of(&idle), Some(Idle::ServerConnection));
        let handler = ["bufio.(*Reader).Peek", "net/http.serverHandler.ServeHTTP", "net/http.(*conn).serve"];
        assert_eq!(of(&handler), None);
        let serve = ["net/http.(*conn).readRequest", "net/http.(*conn).serve"];
        let line = [&["net/textproto.(*Reader).ReadLine", "net/http.readRequest"], &serve[..]].concat();
        assert_eq!(of(&line), Some(Idle::ServerConnection));
        let header = [
            &["net/textproto.(*Reader).readLineSlice", "net/textproto.(*Reader).readContinuedLineSlice"],
            &["net/textproto.readMIMEHeader", "net/http.readRequest"],
            &serve[..],
        ];
        assert_eq!(of(&header.concat()), None);
    }

    #[test]
    fn who_gives_up_is_known_by_what_it_is() {
        let closes = ["internal/poll.(*FD).Close", "net/http.(*conn).close", "net/http.(*conn).serve"];
        assert_eq!((of(&closes), of_gave_up(&closes, true)), (None, Some(Idle::ServerConnection)));
    }

    #[test]
    fn what_no_rule_knows_is_suffered() {
        assert_eq!(of(&["syscall.read", "main.main"]), None);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["runtime.futex", "os/signal.signal_recv", "os/signal.loop"]), Some(Idle::Signals));
    }
}
