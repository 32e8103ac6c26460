//! `/metrics`, `/healthz` and `/readyz`; below `/pids` what `profiles/` answers, if it is asked to; and nothing else.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::metrics::{OPEN_METRICS, PROMETHEUS, open_metrics, prometheus};
use super::profiles::Profiles;
use super::state::Shared;

/// So many connections at a time; others wait.
const MOST_CONNECTIONS: usize = 32;

/// How long a request's head may take to come.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a connection may last. Prometheus makes another.
const CONNECTION_TIME: Duration = Duration::from_secs(120);

/// Answers on a thread of its own until the process ends.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(listener: TcpListener, state: Shared, profiles: Option<Arc<Profiles>>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || runtime.block_on(accept(listener, state, profiles)))?;
    Ok(())
}

async fn accept(listener: TcpListener, state: Shared, profiles: Option<Arc<Profiles>>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("cannot listen: {error}"),
    };
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, say.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (state, profiles) = (state.clone(), profiles.clone());
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let (state, profiles) = (&state, profiles.as_deref());
                async move {
                    let (request, _) = request.into_parts();
                    Ok::<_, Infallible>(match profiles {
                        Some(profiles) if Profiles::is_for(request.uri.path()) => {
                            profiles.answer(&request, peer, state).await
                        }
                        _ => answer(&request, state),
                    })
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), answer);
            if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIME, connection).await {
                tracing::debug!("a connection failed: {error}");
            }
            drop(place);
        });
    }
}

/// What formats whoever asks understands.
fn accepts(request: &Parts) -> &str {
    request.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default()
}

fn answer(request: &Parts, state: &Shared) -> Response<Full<Bytes>> {
    let (method, path) = (&request.method, request.uri.path());
    let text = |status, text: String| respond(status, "text/plain; charset=utf-8", text);
    if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
        let there = "there are /metrics, /healthz and /readyz; /pids with --pprof\n";
        return text(StatusCode::NOT_FOUND, there.to_owned());
    }
    if method != Method::GET && method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => {
            let reasons = state.lock().reasons.clone();
            if reasons.is_empty() {
                return text(StatusCode::OK, "ok\n".to_owned());
            }
            let mut lines = String::new();
            for (reason, why) in reasons {
                let _ = writeln!(lines, "{reason}: {why}");
            }
            text(StatusCode::SERVICE_UNAVAILABLE, lines)
        }
        _ => match read_metrics(state) {
            Ok(metrics) if accepts(request).contains("application/openmetrics-text") => {
                respond(StatusCode::OK, OPEN_METRICS, metrics)
            }
            Ok(metrics) => respond(StatusCode::OK, PROMETHEUS, prometheus(&metrics)),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
    }
}

/// The metrics, for somebody who will ask again.
fn read_metrics(state: &Shared) -> Result<String, std::fmt::Error> {
    state.lock().scraped = true;
    open_metrics(state)
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};

    use super::super::collection::Collections;
    use super::*;

    fn server() -> (SocketAddr, Shared) {
        server_with(None)
    }

    fn server_with(profiles: Option<Arc<Profiles>>) -> (SocketAddr, Shared) {
        let (listener, state) = (TcpListener::bind("127.0.0.1:0").unwrap(), Shared::new(10));
        let address = listener.local_addr().unwrap();
        serve(listener, state.clone(), profiles).unwrap();
        (address, state)
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn get(address: SocketAddr, path: &str) -> String {
        ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    #[test]
    fn what_keeps_it_from_being_ready_is_told_by_name() {
        let (address, state) = server();
        assert!(get(address, "/healthz").starts_with("HTTP/1.1 200 "));
        let answer = get(address, "/readyz");
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nstarting: "), "{answer}");
        state.lock().reasons.clear();
        assert!(get(address, "/readyz").starts_with("HTTP/1.1 200 "));
        let metrics = get(address, "/metrics");
        assert!(
            metrics.contains("text/plain; version=0.0.4") && metrics.contains("gotrace_ready 1\n"),
            "{metrics}"
        );
        assert!(get(address, "/debug/pprof/").starts_with("HTTP/1.1 404 "));
        let posted = ask(
            address,
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
    }

    #[test]
    fn nonsense_and_silence_keep_nobody_from_asking() {
        let (address, _) = server();
        let silent: Vec<TcpStream> =
            (0..MOST_CONNECTIONS - 1).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert!(ask(address, "\u{1}\u{2}\r\n\r\n").starts_with("HTTP/1.1 400 "));
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1 << 20));
        assert!(!ask(address, &long).starts_with("HTTP/1.1 200 "));
        assert!(get(address, "/healthz").starts_with("HTTP/1.1 200 "));
        drop(silent);
    }

    #[test]
    fn profiles_are_served_to_whoever_may_have_them_and_only_when_that_is_asked_for() {
        let (address, _) = server();
        assert!(get(address, "/pids").starts_with("HTTP/1.1 404 "));
        let (address, _) =
            server_with(Some(Arc::new(Profiles::new(None, Arc::new(Collections::of_gotrace())))));
        let asked = |request: &str| ask(address, &format!("{request}\r\nConnection: close\r\n\r\n"));
        let local = |path: &str| asked(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1"));
        assert!(local("/pids").ends_with("\r\n\r\n[]\n"), "{}", local("/pids"));
        let unknown = local("/pids/1/debug/pprof/profile?seconds=1");
        assert!(
            unknown.starts_with("HTTP/1.1 404 ") && unknown.contains("process 1 is not looked at"),
            "{unknown}"
        );
        assert!(unknown.contains("x-go-pprof: 1\r\n"), "{unknown}");
        assert!(local("/pids/1/debug/pprof/startup").starts_with("HTTP/1.1 404 "));
        assert!(local("/pids/1/debug/pprof/heap").starts_with("HTTP/1.1 404 "));
        assert!(local("/pids/1/debug/pprof/block?seconds=61").starts_with("HTTP/1.1 400 "));
        assert!(asked("POST /pids HTTP/1.1\r\nHost: localhost").starts_with("HTTP/1.1 405 "));
        assert!(asked("GET /pids HTTP/1.1\r\nHost: evil.example").starts_with("HTTP/1.1 403 "));
        assert!(local("/healthz").starts_with("HTTP/1.1 200 "));
    }
}
