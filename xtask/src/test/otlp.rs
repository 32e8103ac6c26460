//! What the tests receive OTLP with: OpenTelemetry's own messages, as its Python SDK has them.

use std::path::PathBuf;

use anyhow::Result;

use super::VOICE;
use crate::{cache, fixtures};

/// PyPI's package of what `protoc` makes of the published messages.
const MESSAGES: &str = "opentelemetry-proto==1.45.2";

/// The folder that Python finds them in.
pub(super) fn messages() -> Result<PathBuf> {
    let folder = cache::folder("tools")?.join(MESSAGES.replace("==", "-"));
    cache::once(&folder, |folder| {
        let mut pip = fixtures::python()?;
        pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target"]);
        VOICE.quiet("downloading the messages of OTLP", pip.arg(folder).arg(MESSAGES))
    })?;
    Ok(folder)
}
