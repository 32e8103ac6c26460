//! The files of a folder, served on loopback.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};

/// A server that goes on until the tests end.
pub(crate) struct Server {
    address: String,
}

impl Server {
    pub(crate) fn of(folder: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let folder = folder.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let folder = folder.clone();
                // A browser that closes early is no failure.
                std::thread::spawn(move || answer(&stream, &folder).ok());
            }
        });
        Self { address }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }
}

/// One request a connection: the file that is named, or none.
fn answer(mut stream: &TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for header in lines {
        if header?.is_empty() {
            break;
        }
    }
    let name = request.split(' ').nth(1).unwrap_or("").trim_start_matches('/');
    let name = PathBuf::from(name.split('?').next().unwrap_or(""));
    // No way out of the folder.
    let is_inside = name.components().all(|part| matches!(part, Component::Normal(_)));
    let file = is_inside.then(|| std::fs::read(folder.join(&name)).ok()).flatten();
    let kind = match name.extension().and_then(|ending| ending.to_str()) {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    };
    let (status, body) = file.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}
