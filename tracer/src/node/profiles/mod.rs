//! `/pids`: profiles of processes that have no endpoint of their own, as `net/http/pprof` serves them.

mod access;
mod request;
mod startup;

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde::Serialize;
use thiserror::Error;

pub use self::access::{Token, TokenError};
use self::request::{Kind, Request, RequestError};
pub(super) use self::startup::{KeptStarts, SeenWhole};
use super::collection::{CollectError, Collections, Subject, Target};
use super::state::Shared;
use super::workload::Workload;
use crate::export::printable;

/// Answers for profiles.
#[derive(Debug)]
pub struct Profiles {
    token: Option<Token>,
    collections: Arc<Collections>,
}

/// Why there is no profile.
#[derive(Debug, Error)]
enum Refused {
    #[error(transparent)]
    Access(#[from] access::Refusal),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("only GET")]
    Method,
    #[error(
        "process {0} is not looked at: it has ended, is no Go program that gotrace knows, is not selected, or began \
         less than some seconds ago"
    )]
    Unknown(u32),
    #[error(
        "the start of process {0} is not kept: it had begun before its binary was watched, or there was no room"
    )]
    NotKept(u32),
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error("the profile could not be written: {0}")]
    Write(#[from] std::io::Error),
}

/// A process as it is listed.
#[derive(Serialize)]
struct Listed<'a> {
    pid: u32,
    /// Of its executable, as its own mount namespace has it.
    path: String,
    #[serde(flatten)]
    workload: &'a Workload,
    profiles: String,
}

impl Profiles {
    /// For whoever is on this machine or, with a token, for whoever shows it.
    #[must_use]
    pub const fn new(token: Option<Token>, collections: Arc<Collections>) -> Self {
        Self { token, collections }
    }

    /// Whether a path is answered here.
    pub(super) fn is_for(path: &str) -> bool {
        Request::is_for(path)
    }

    /// Answers somebody at that address.
    pub(super) async fn answer(
        &self,
        request: &Parts,
        peer: SocketAddr,
        state: &Shared,
    ) -> Response<Full<Bytes>> {
        let mut response = match self.find(request, peer, state).await {
            Ok(response) => response,
            Err(refused) => refused.response(),
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn find(
        &self,
        request: &Parts,
        peer: SocketAddr,
        state: &Shared,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        access::check(self.token.as_ref(), peer.ip(), &request.headers).inspect_err(|refusal| {
            tracing::warn!(%peer, "refused a profile: {refusal}");
        })?;
        if request.method != Method::GET {
            return Err(Refused::Method);
        }
        match Request::parse(request.uri.path(), request.uri.query())? {
            Request::Processes => Ok(respond("application/json", list(state))),
            Request::Kinds(pid) => {
                target(state, pid)?;
                Ok(respond("text/plain; charset=utf-8", kinds(pid)))
            }
            Request::Profile { pid, kind: Kind::Startup, .. } => Ok(file(Kind::Startup, start(state, pid)?)),
            Request::Profile { pid, kind, time } => {
                let target = target(state, pid)?;
                let subject = if kind == Kind::Profile { Subject::OnCpu } else { Subject::Blocked };
                tracing::info!(%peer, pid, kind = kind.name(), seconds = time.as_secs(), "a profile is asked for");
                let profile = self.collections.collect(target, subject, time).await.inspect_err(|error| {
                    tracing::info!(%peer, pid, kind = kind.name(), "no profile: {error}");
                })?;
                Ok(file(kind, profile))
            }
        }
    }
}

impl Refused {
    fn response(&self) -> Response<Full<Bytes>> {
        let status = match self {
            Self::Access(access::Refusal::Token) => StatusCode::UNAUTHORIZED,
            Self::Access(_) => StatusCode::FORBIDDEN,
            Self::Request(RequestError::Seconds) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Request(RequestError::Path)
            | Self::Unknown(_)
            | Self::NotKept(_)
            | Self::Collect(CollectError::Target(_)) => StatusCode::NOT_FOUND,
            Self::Collect(CollectError::Busy | CollectError::Off | CollectError::Unfit(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Collect(CollectError::Late) => StatusCode::GATEWAY_TIMEOUT,
            Self::Collect(CollectError::Failed(_)) | Self::Write(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = respond("text/plain; charset=utf-8", format!("{self}\n"));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // go tool pprof shows what is said then (internal/driver, `statusCodeError`).
        headers.insert("x-go-pprof", HeaderValue::from_static("1"));
        match self {
            Self::Access(access::Refusal::Token) => {
                let schemes = HeaderValue::from_static("Bearer realm=\"gotrace\", Basic realm=\"gotrace\"");
                headers.insert(WWW_AUTHENTICATE, schemes);
            }
            Self::Method => drop(headers.insert(ALLOW, HeaderValue::from_static("GET"))),
            Self::Collect(CollectError::Busy) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
            }
            _ => {}
        }
        response
    }
}

/// The process of that number, if it is one that is looked at.
fn target(state: &Shared, pid: u32) -> Result<Target, Refused> {
    Target::of(state, pid).ok_or(Refused::Unknown(pid))
}

fn start(state: &Shared, pid: u32) -> Result<Vec<u8>, Refused> {
    let target = target(state, pid)?;
    let state = state.lock();
    let running = state.registry.get(pid).ok_or(Refused::Unknown(pid))?;
    let starts = state.starts.as_ref().ok_or(Refused::NotKept(pid))?;
    let start = starts.of(pid, &running.program, target.identity.start).ok_or(Refused::NotKept(pid))?;
    Ok(start.profile(pid)?)
}

fn list(state: &Shared) -> String {
    let state = state.lock();
    let listed = state.registry.sorted().into_iter().map(|running| Listed {
        pid: running.process.pid,
        path: printable(&running.process.exe().to_string_lossy()),
        workload: &running.workload,
        profiles: format!("/pids/{}/debug/pprof/", running.process.pid),
    });
    let lines: Vec<String> =
        listed.filter_map(|one| serde_json::to_string(&one).ok()).map(|line| format!("  {line}")).collect();
    if lines.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", lines.join(",\n")) }
}

fn kinds(pid: u32) -> String {
    let line = |kind: Kind| format!("/pids/{pid}/debug/pprof/{}: {}\n", kind.name(), kind.about());
    Kind::ALL.into_iter().map(line).collect()
}

fn file(kind: Kind, profile: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = respond("application/octet-stream", profile);
    let name = format!("attachment; filename=\"{}.pb.gz\"", kind.name());
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    response
}

fn respond(kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
