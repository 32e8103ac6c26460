//! gotrace's own messages, and through the `log` crate those of aya and of the kernel side: to standard error.

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON object a line, with the time
    Json,
}

/// Sets the messages up, for the whole life of the process.
pub(super) fn init(quiet: bool, verbose: u8, format: Format) {
    let level = match (quiet, verbose) {
        (true, _) => Level::ERROR,
        (false, 0) => Level::WARN,
        (false, 1) => Level::INFO,
        (false, _) => Level::DEBUG,
    };
    let messages = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::from_level(level))
        .with_target(verbose >= 2)
        .with_ansi(false)
        // It would tell on standard error that nothing can be told there, and panic.
        .log_internal_errors(false);
    // Fails only when it is called twice.
    let _ = match format {
        Format::Text => messages.without_time().finish().try_init(),
        Format::Json => messages.json().flatten_event(true).finish().try_init(),
    };
}
